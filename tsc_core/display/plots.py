"""Plotly, imported so that it is whole whatever other threads import at the same time."""

from __future__ import annotations

from types import ModuleType


def graph_objects() -> ModuleType:
    """`plotly.graph_objects`, after pandas.

    Plotly looks whether `sys.modules` has pandas, and would use one that another thread is still importing: in a
    server, another session or the background. Importing it here waits until it is whole.
    """
    import pandas  # noqa: F401
    import plotly.graph_objects

    return plotly.graph_objects
