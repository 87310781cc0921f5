"""Load what the first visitor would wait for: the demo archive, libraries, and the models."""

from __future__ import annotations

import importlib

from tsc_core.display.desk import desk

# what pages import as they need it
LATER = ("plotly.graph_objs._figure", "plotly.graph_objs._scatter", "scipy.special", "pandas")


def make_ready() -> None:
    """Some seconds of work; models that cannot be loaded show on the page that asks for them."""
    source = desk().source("demo")
    desk().sequence(source, source.oids()[0])
    for name in LATER:
        importlib.import_module(name)
    desk().load_quietly()
