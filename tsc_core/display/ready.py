"""Load what the first visitor would wait for: the demo archive, libraries, and the models."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable

from tsc_core.display.desk import desk

# what pages import as they need it
LATER = ("plotly.graph_objs._figure", "plotly.graph_objs._scatter", "scipy.special", "pandas", "PIL.PngImagePlugin")


def make_ready(modules: Iterable[str] = ()) -> None:
    """Some seconds of work: libraries, further modules by name, and the answer on the first object of the demo archive.

    Whatever cannot be loaded is logged and nothing else: it shows on the page that asks for it, and others work.
    """
    try:
        for name in (*LATER, *modules):
            importlib.import_module(name)
        source = desk().source("demo")
        for oid in source.oids()[:1]:
            desk().prediction(source, desk().sequence(source, oid))
    except Exception:
        logging.getLogger(__name__).warning("not everything could be loaded before the first visitor", exc_info=True)
