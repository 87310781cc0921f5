"""Load what the first visitor would wait for, in the background: the demo archive, libraries, then the models."""

from __future__ import annotations

import importlib
import threading
import time

from tsc_core.display.desk import Desk, desk

# needed below the stamps of a page
LATER = ("plotly.graph_objs._figure", "plotly.graph_objs._scatter", "scipy.special", "pandas")
MODELS_AFTER_S = 2.0  # a visitor who comes at once sees stamps before the models take the processor


def make_ready() -> threading.Thread:
    """Begin; a failure shows where what failed is asked for."""
    thread = threading.Thread(target=_load, args=[desk()], name="ready", daemon=True)
    thread.start()
    return thread


def _load(desk: Desk) -> None:
    source = desk.source("demo")
    desk.sequence(source, source.oids()[0])
    for name in LATER:
        importlib.import_module(name)
    time.sleep(MODELS_AFTER_S)
    desk.warm()
