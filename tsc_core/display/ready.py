"""Load what the first visitor would wait for, in the background: libraries, the demo archive, then the models."""

from __future__ import annotations

import importlib
import threading

from tsc_core.display.desk import desk

NEEDED = ("pandas", "astropy.io.fits", "plotly.graph_objects", "PIL.PngImagePlugin", "scipy.special")


def make_ready() -> threading.Thread:
    """Begin; a failure shows where what failed is asked for."""
    thread = threading.Thread(target=_load, name="ready", daemon=True)
    thread.start()
    return thread


def _load() -> None:
    for name in NEEDED:
        importlib.import_module(name)
    source = desk().source("demo")
    desk().sequence(source, source.oids()[0])
    desk().warm()
