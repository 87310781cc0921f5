"""Results with a confusion matrix, from wherever one was written: bundles, runs, reports. Real and simulated apart."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsc_core.evaluation.metrics import confusion, precision_at, reliability
from tsc_core.evaluation.runs import Unreadable, number, read_object
from tsc_core.survey import CLASSES, is_made

NATURAL_COUNTS = {"AGN": 48_262, "SN": 2_524, "VS": 101_038}  # objects with 1 to 10 alerts in the paper (Sec. 2)
ORIGINS = ("simulated", "real", "real and simulated", "unknown")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Objects that were scored: ids, true classes as indices (N,), and probabilities (N, K)."""

    oids: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One confusion matrix and what it is of.

    Attributes
    ----------
    name : str
        Where it was found.
    model : str
        The bundle or run that was scored.
    n : str
        Number of detections, "" where it was not said.
    origin : str
        One of `ORIGINS`: what kind of objects. Results of different origins are never shown as one.
    split : str
        "test", "validation", ..., "" where it was not said.
    classes : tuple of str
    counts : ndarray (K, K)
        Rows true, columns predicted.
    scores : Scores or None
        The objects, where they were kept.
    source : str
        Where the objects can be opened, as `open_source` takes it; "" where unknown.
    """

    name: str
    model: str
    n: str
    origin: str
    split: str
    classes: tuple[str, ...]
    counts: np.ndarray
    scores: Scores | None = None
    source: str = ""

    @property
    def title(self) -> str:
        """In words, unique enough to choose by."""
        parts = [
            self.model,
            f"n = {self.n}" if self.n else "",
            self.split,
            self.name if self.name != self.model else "",
        ]
        return " · ".join(part for part in parts if part)

    def cell(self, true: str, predicted: str) -> list[tuple[str, float]]:
        """Ids of the objects of one cell with the probability of the predicted class, surest first."""
        if self.scores is None or true not in self.classes or predicted not in self.classes:
            return []
        row, column = self.classes.index(true), self.classes.index(predicted)
        inside = (self.scores.labels == row) & (self.scores.probabilities.argmax(1) == column)
        found = [(self.scores.oids[i], float(self.scores.probabilities[i, column])) for i in np.flatnonzero(inside)]
        return sorted(found, key=lambda item: -item[1])

    def reliability(self) -> list[list[dict]]:
        """Bins of each class's probability, as `metrics.reliability`; empty without the objects."""
        return reliability(self.scores.labels, self.scores.probabilities) if self.scores else []

    def natural_precision(self) -> dict[str, float]:
        """Precision of each class, were classes as frequent as `NATURAL_COUNTS`; other classes are left out."""
        rates = np.array([NATURAL_COUNTS.get(name, 0) for name in self.classes], dtype=float)
        if not rates.sum():
            return {}
        found = precision_at(self.counts, rates / rates.sum()).tolist()
        return {name: value for name, value, rate in zip(self.classes, found, rates, strict=True) if rate}


def find_results(folder: str | Path) -> tuple[list[Result], list[str]]:
    """Every result below a folder, and the files that could not be used, each with its fault."""
    root, found, problems = Path(folder), [], []
    for path in sorted(root.rglob("*.json")):
        if path.name in ("bundle.json", "config.json", "environment.json"):
            continue
        name = path.parent.relative_to(root).as_posix()
        try:
            report = read_object(path)
        except Unreadable as error:
            problems.append(f"{name}: {error}")
            continue
        tables = _tables(path)
        found += [_result(name, trail, block, tables) for trail, block in _blocks(report, {})]
    return found, problems


def _blocks(values: Mapping[str, object], trail: dict[str, str]) -> Iterator[tuple[dict[str, str], Mapping]]:
    """Every mapping with a usable confusion matrix, and what the mappings around it say of it."""
    for key in ("model", "origin", "source", "split", "window", "name"):
        if isinstance(values.get(key), str):
            trail = trail | {key: values[key]}
    if _usable(values):
        yield trail, values
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _blocks(value, trail | _meaning(key))


def _meaning(key: str) -> dict[str, str]:
    """What a key around a matrix tells: the number of detections, the split, or the origin."""
    if key.isdecimal():
        return {"n": key}
    if key in ("test", "validation", "training"):
        return {"split": key}
    words = [word for word in ("simulated", "real") if word in key.lower()]
    return {"origin": words[0]} if len(words) == 1 else {}


def _usable(values: Mapping[str, object]) -> bool:
    classes, counts = values.get("classes"), values.get("confusion")
    if not isinstance(classes, list) or not isinstance(counts, list) or not classes:
        return False
    rows = [row for row in counts if isinstance(row, list) and len(row) == len(classes)]
    return len(rows) == len(counts) == len(classes) and all(number(x) >= 0 for row in rows for x in row)


def _result(name: str, trail: Mapping[str, str], block: Mapping, tables: Mapping[str, list[dict]]) -> Result:
    classes = tuple(str(c) for c in block["classes"])
    n = trail.get("n", "")
    scores = _scores(tables.get(n, []), classes)
    counts = np.array(block["confusion"], dtype=float)
    if scores is not None and not np.array_equal(confusion(scores.labels, scores.probabilities), counts):
        scores = None  # the table is of other objects than the matrix
    origin = trail.get("origin", "unknown")
    return Result(
        name,
        str(block.get("model", trail.get("model", trail.get("name", name)))),
        n,
        origin if origin in ORIGINS else "unknown",
        trail.get("split", ""),
        classes,
        counts,
        scores,
        "demo" if trail.get("source", "").startswith("demo") else "alerce" if origin == "real" else "",
    )


def _tables(report: Path) -> dict[str, list[dict]]:
    """Rows of the CSV beside a report (`<stem>.csv` or `objects.csv`, as `tsc evaluate --objects`), by n."""
    tables: dict[str, list[dict]] = {}
    for path in (report.with_suffix(".csv"), report.with_name("objects.csv")):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    tables.setdefault(str(row.get("n", "")), []).append(row)
        except (OSError, UnicodeDecodeError, csv.Error):
            continue
        break
    return tables


def _scores(rows: Sequence[Mapping[str, str]], classes: tuple[str, ...]) -> Scores | None:
    kept = [row for row in rows if row.get("label") in classes and row.get("oid")]
    values = [[number(row.get(name)) for name in classes] for row in kept]
    if not kept or not all(math.isfinite(p) for row in values for p in row):
        return None
    labels = np.array([classes.index(row["label"]) for row in kept])
    return Scores(tuple(row["oid"] for row in kept), labels, np.array(values))


def origin_of(oids: Sequence[str]) -> str:
    """Whether ids are of simulated objects, real ones, or both."""
    kinds = {"simulated" if is_made(oid) else "real" for oid in oids}
    return " and ".join(sorted(kinds)) or "unknown"


def over_seeds(results: Sequence[Result]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Classes, and mean and standard deviation (K, K) of row shares over results of the same classes.

    Raises
    ------
    ValueError
        Where the results have different classes or origins: they are not of one kind.
    """
    if len({(result.classes, result.origin) for result in results}) != 1:
        raise ValueError("results of different classes or origins cannot be averaged")
    shares = np.stack([row_shares(result.counts) for result in results])
    spread = shares.std(0, ddof=1) if len(results) > 1 else np.full(shares.shape[1:], np.nan)
    return results[0].classes, shares.mean(0), spread


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Counts as shares of their row, (K, K); NaN for a class without objects."""
    totals = counts.sum(1, keepdims=True)
    return np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)


def class_order(names: Sequence[str]) -> list[str]:
    """Names in the project's order, unknown ones after."""
    return sorted(names, key=lambda name: CLASSES.index(name) if name in CLASSES else len(CLASSES))
