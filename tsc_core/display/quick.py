"""Confusion matrices of the demo archive, made here and now: how the shipped models do on objects one can open."""

from __future__ import annotations

from collections.abc import Callable

from tsc_core.display.desk import Desk
from tsc_core.evaluation.results import Result, result_of
from tsc_core.preprocessing.quality import Window

NAME = "demo archive, classified here"


def demo_results(
    desk: Desk, window: Window = "first", progress: Callable[[int], object] = lambda count: None
) -> list[Result]:
    """One result for each number of detections; every object can be opened in the explorer.

    `progress` is told how many more objects are done.
    """
    from tsc_core.inference.bulk import evaluate

    source = desk.source("demo")
    labels = {oid: desk.sequence(source, oid).label or "" for oid in source.oids()}
    found = evaluate(desk.predictor(), source, labels, window, progress)
    return result_of(NAME, found.report(), found.rows, "demo")
