"""How fast the models are on this machine, measured when asked."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

from tsc_core.alerts import AlertSequence
from tsc_core.display.desk import Desk

REPEATS = 5


def measure(desk: Desk) -> list[dict[str, object]]:
    """Median milliseconds to classify one demo object after 1, 2, ... detections, each with all steps before it."""
    source, predictor = desk.source("demo"), desk.predictor()
    sequences = [desk.sequence(source, oid) for oid in source.oids()]
    rows = []
    for n in range(1, 6):
        fitting = [cut for sequence in sequences if (cut := _cut(sequence, n)) is not None]
        if not fitting:
            continue
        times = []
        for sequence in (fitting * REPEATS)[:REPEATS]:
            started = time.perf_counter()
            predictor.predict(sequence)
            times.append(1000 * (time.perf_counter() - started))
        rows.append({"detections": n, "median ms per object": round(median(times), 1), "measured": len(times)})
    return rows


def _cut(sequence: AlertSequence, n: int) -> AlertSequence | None:
    """The object when it had n usable detections; None where it has fewer."""
    from tsc_core.preprocessing.quality import select_alerts

    used = select_alerts(sequence).used[:n]
    return replace(sequence, alerts=used) if len(used) == n else None
