"""Many objects one after another: each becomes a row, also where it could not be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tsc_core.display.desk import LIVE, Desk
from tsc_core.display.exports import csv_text
from tsc_core.inference.results import failed, line_of
from tsc_core.sources import Source, SourceError
from tsc_core.survey import CLASSES, check_oid

if TYPE_CHECKING:
    from tsc_core.alerts import AlertSequence
    from tsc_core.preprocessing.quality import Window

MOST_OBJECTS = 2000
AT_ONCE = 4  # live objects read at the same time; the source bounds the requests of all of them
COLUMNS = ("oid", "class", "probability", "not ruled out", "notes", "error", "n", "model")
COLUMNS += (*CLASSES, "detections", "used")


def lines(desk: Desk, source: Source, oids: Iterable[str], window: Window) -> Iterator[dict]:
    """One line per object as of `tsc classify --json`, in the order given; a failure is its line's `error`."""

    def read(oid: str) -> AlertSequence | str:
        try:
            return desk.sequence(source, check_oid(oid))
        except (SourceError, ValueError) as error:
            return str(error)

    with ThreadPoolExecutor(AT_ONCE if source.name == LIVE else 1, "batch") as pool:
        try:
            for oid, found in zip(oids, pool.map(read, oids), strict=True):
                if isinstance(found, str):
                    yield failed(oid, source.name, found)
                else:
                    yield line_of(desk.prediction(source, found, window))
        finally:
            pool.shutdown(cancel_futures=True)


def row_of(line: dict) -> dict[str, object]:
    """A line as one row of a table: the class after the most detections, its probabilities, what is to be doubted."""
    row: dict[str, object] = {"oid": line["oid"], "error": line["error"] or ""}
    row["notes"] = "; ".join(flag for flag in line["flags"] if flag != line["error"])
    row |= {"detections": len(line["detections"]), "used": sum(seen["used"] for seen in line["detections"])}
    if line["steps"]:
        last = line["steps"][-1]
        best = max(last["probabilities"], key=last["probabilities"].get)
        row |= {"class": best, "probability": last["probabilities"][best], "n": last["n"], "model": last["model"]}
        row |= last["probabilities"]
        if "conformal" in last:
            row["not ruled out"] = ", ".join(last["conformal"]) or "no class fits"
    return row


def as_csv(found: Iterable[dict]) -> str:
    """Lines as CSV, a row per object."""
    return csv_text(map(row_of, found), COLUMNS)


def as_json_lines(found: Iterable[dict]) -> str:
    """Lines as JSON, one object per line: the format of `tsc classify --json`."""
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in found)
