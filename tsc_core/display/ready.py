"""Load what the first visitor would wait for: the demo archive, libraries, and the models."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from tsc_core.display.desk import desk

# what pages import as they need it
LATER = ("plotly.graph_objs._figure", "plotly.graph_objs._scatter", "scipy.special", "pandas", "PIL.PngImagePlugin")


def make_ready(modules: Iterable[str] = ()) -> None:
    """Some seconds of work: libraries, further modules by name, and the answer on the first object of the demo archive.

    Models that cannot be loaded show on the page that asks for them.
    """
    for name in (*LATER, *modules):
        importlib.import_module(name)
    source = desk().source("demo")
    sequence = desk().sequence(source, source.oids()[0])
    desk().load_quietly()
    if desk().ready:
        desk().prediction(source, sequence)
