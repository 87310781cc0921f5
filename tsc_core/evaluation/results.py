"""Results with a confusion matrix, from wherever one was written: bundles, runs, reports. Real and simulated apart."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tsc_core.evaluation.metrics import even, percentiles, plausible, precision_at, reliability
from tsc_core.evaluation.runs import EXPERIMENT, TEST, Unreadable, flatten, number, read_object
from tsc_core.survey import CLASSES, NATURAL_COUNTS, TEMPORAL_CLASSES

PASSED_OVER = ("bundle.json", "config.json", "environment.json")
DRIFT = "drift.json"  # of real objects alone, by `tsc_core.training.ship.drift`
ABOUT = {"n": "model.n", "origin": "card.origin", "model": "name"}  # what to look for in a config or a bundle
ORIGINS = ("real", "simulated", "real and simulated", "unknown")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Objects that were scored.

    Attributes
    ----------
    oids : tuple of str
    labels, predicted : ndarray (N,), int
        Indices of the true and of the most probable class.
    probability : ndarray (N,)
        Of the predicted class.
    probabilities : ndarray (N, K) or None
        Of every class, where they were kept.
    """

    oids: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    probabilities: np.ndarray | None = None

    def at(self, places: np.ndarray) -> Scores:
        """The objects at some places, in that order."""
        return Scores(
            tuple(self.oids[place] for place in places),
            self.labels[places],
            self.predicted[places],
            self.probability[places],
            None if self.probabilities is None else self.probabilities[places],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One confusion matrix and what it is of.

    Attributes
    ----------
    name : str
        Where it was found.
    model : str
        The bundle, run or row of a table that was scored.
    n : str
        Number of detections, "" where it was not said.
    origin : str
        One of `ORIGINS`: what kind of objects. Results of different origins are never shown as one.
    split : str
        Which objects: "test", the title of a labelled set, "" where it was not said.
    classes : tuple of str
    counts : ndarray (K, K)
        Rows true, columns predicted.
    scores : Scores or None
        The objects, where they were kept.
    seed : str
        Of the training, "" where there is one run only. Results alike but for it can be averaged.
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
    seed: str = ""
    source: str = ""

    @property
    def title(self) -> str:
        """In words, the same for results that differ by seed alone."""
        place = self.name if self.name != self.model else ""
        parts = [self.model, f"n = {self.n}" if self.n else "", self.split, place]
        return " · ".join(part for part in parts if part)

    def cell(self, true: str, predicted: str) -> list[tuple[str, float]]:
        """Ids of the objects of one cell with the probability of the predicted class, surest first."""
        if self.scores is None or true not in self.classes or predicted not in self.classes:
            return []
        found = self.scores
        inside = (found.labels == self.classes.index(true)) & (found.predicted == self.classes.index(predicted))
        chosen = [(found.oids[i], float(found.probability[i])) for i in np.flatnonzero(inside)]
        return sorted(chosen, key=lambda item: -item[1])

    def reliability(self) -> dict[str, list[dict]]:
        """Bins of each class's probability, as `metrics.reliability`; of the predicted class's alone where only
        that was kept; empty without the objects. Classes weigh the same.
        """
        found = self.scores
        if found is None:
            return {}
        weights = even(found.labels)
        if found.probabilities is not None:
            return dict(zip(self.classes, reliability(found.labels, found.probabilities, weights), strict=True))
        correct = (found.labels == found.predicted).astype(int)
        pairs = np.stack([1 - found.probability, found.probability], axis=1)
        return {"predicted class": reliability(correct, pairs, weights)[1]}

    def natural_rates(self) -> dict[str, float]:
        """How frequent each class is among real objects (`NATURAL_COUNTS`); sums to 1, 0 for a class not ours."""
        counts = {name: float(NATURAL_COUNTS.get(name, 0)) for name in self.classes}
        total = sum(counts.values())
        return {name: count / total for name, count in counts.items()} if total else {}

    def natural_precision(self) -> dict[str, tuple[float, float, float]]:
        """Precision of each class at `natural_rates`, and its 95 % interval.

        Classes without a rate, or without objects, are left out. The interval allows for mistakes that were not among
        these objects, as few as they are (`metrics.plausible`).
        """
        rates = self.natural_rates()
        if not rates:
            return {}
        shares, seen = np.array(list(rates.values())), self.counts.sum(1) > 0
        found = precision_at(self.counts, shares)
        low, high = percentiles(precision_at(plausible(self.counts) * seen[:, None], shares))
        return {
            name: (float(value), float(min(least, value)), float(max(most, value)))
            for name, value, least, most, known in zip(self.classes, found, low, high, seen, strict=True)
            if known
            if rates[name]
        }

    def only(self, oids: Collection[str]) -> Result:
        """The same for some of its objects; itself where its objects were not kept."""
        if self.scores is None:
            return self
        scores = self.scores.at(np.flatnonzero(np.isin(self.scores.oids, list(oids))))
        return replace(self, scores=scores, counts=counted(scores, len(self.classes)))


def find_results(folder: str | Path) -> tuple[list[Result], list[str]]:
    """Every result below a folder, bundles before experiments, and files that could not be used, with their faults."""
    root, found, problems = Path(folder), [], []
    for path in sorted(root.rglob("*.json")):
        if path.name in PASSED_OVER or (path.name == "metrics.json" and (path.parent.parent / TEST).exists()):
            continue  # the second: the bundle inside a run, whose scores the run has itself
        name = path.parent.relative_to(root).as_posix()
        try:
            report = read_object(path)
            tables = _tables(path)
            if path.name == EXPERIMENT:
                found += _of_experiment(name, report, tables)
            else:
                found += [_result(name, trail, block, tables) for trail, block in _blocks(report, _around(path))]
        except Unreadable as error:
            problems.append(f"{name}: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"{name}/{path.name}: not as written by `tsc` ({type(error).__name__})")
    return sorted(
        found, key=lambda result: (result.name.count("/"), result.split.startswith(Path(DRIFT).stem))
    ), problems


def _of_experiment(name: str, report: Mapping, tables: Mapping[tuple[str, str], list[dict]]) -> list[Result]:
    """The test sets of an experiment's cells; the objects are kept for the first seed of each row."""
    cells, found = {cell["key"]: cell for cell in report["cells"]}, []
    for row in report["rows"]:
        published = {"classes": row.get("classes", list(TEMPORAL_CLASSES)), "confusion": row.get("confusion")}
        if _usable(published):  # another project's classifier on the same objects
            trail = {"model": str(row["label"]), "origin": str(report.get("origin")), "split": "test"}
            found.append(_result(name, trail, published, {}))
        for place, key in enumerate(row.get("cells", ())):
            cell = cells.get(key, {})
            if not _usable(cell.get("test") or {}):
                continue
            trail = {"n": str(cell["config"]["model"]["n"]), "origin": str(report.get("origin")), "split": "test"}
            trail |= {"model": str(row["label"]), "seed": str(cell.get("seed", ""))}
            rows = tables.get((str(row["label"]), ""), []) if place == 0 else []
            found.append(_result(name, trail, cell["test"], {("test", trail["n"]): rows}))
    return found


def _around(path: Path) -> dict[str, str]:
    """What the files beside a report say of it: a run's number of detections and origin, a bundle's name."""
    trail = _meaning(path.stem) | ({"origin": "real"} if path.name == DRIFT else {})
    for name in (path.with_name("config.json"), path.with_name("bundle.json"), path.parent / "bundle" / "bundle.json"):
        if name.exists():
            try:
                flat = flatten(read_object(name))
            except Unreadable:
                continue  # the page of the runs says what is wrong with it
            trail |= {key: str(flat[at]) for key, at in ABOUT.items() if at in flat}
    return trail


def _blocks(values: Mapping[str, object], trail: dict[str, str]) -> Iterator[tuple[dict[str, str], Mapping]]:
    """Every mapping with a usable confusion matrix, and what the mappings around it say of it."""
    for key in ("model", "origin", "source", "split"):
        if isinstance(values.get(key), str):
            trail = trail | {key: values[key]}
    if _usable(values):
        yield trail, values
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _blocks(value, _within(trail, _meaning(key)))


def _within(trail: dict[str, str], meaning: dict[str, str]) -> dict[str, str]:
    """What is said of a block inside another: a set inside a set is told by both names."""
    sets = [found["split"] for found in (trail, meaning) if found.get("split")]
    return trail | meaning | ({"split": ", ".join(sets)} if sets else {})


def _meaning(key: str) -> dict[str, str]:
    """What a key around a matrix tells: the number of detections, or which objects."""
    if key.isdecimal():
        return {"n": key}
    if key in ("n", "metrics", "report", "result"):
        return {}
    words = [word for word in ("simulated", "real") if word in key.lower()]
    return {"split": key} | ({"origin": words[0]} if len(words) == 1 else {})


def _usable(values: Mapping[str, object]) -> bool:
    classes, counts = values.get("classes"), values.get("confusion")
    if not isinstance(classes, list) or not isinstance(counts, list) or not classes:
        return False
    rows = [row for row in counts if isinstance(row, list) and len(row) == len(classes)]
    return len(rows) == len(counts) == len(classes) and all(number(x) >= 0 for row in rows for x in row)


def _result(
    name: str, trail: Mapping[str, str], block: Mapping, tables: Mapping[tuple[str, str], list[dict]]
) -> Result:
    classes, counts = tuple(str(c) for c in block["classes"]), np.array(block["confusion"], dtype=float)
    n, split, origin = trail.get("n", ""), trail.get("split", ""), trail.get("origin", "unknown")
    rows = next((tables[key] for key in ((split, n), ("", n), ("", "")) if key in tables), [])
    source = "demo" if trail.get("source") == "demo" or "demo" in split else "alerce" if origin == "real" else ""
    return Result(
        name=name,
        model=str(block.get("model", trail.get("model", name))),
        n=n,
        origin=origin if origin in ORIGINS else "unknown",
        split=split,
        classes=classes,
        counts=counts,
        scores=_scores(rows, classes, counts),
        seed=trail.get("seed", ""),
        source=source,
    )


def _tables(report: Path) -> dict[tuple[str, str], list[dict]]:
    """Rows of the CSV beside a report (`<stem>.csv` or `objects.csv`), by set (or row of a table) and n."""
    tables: dict[tuple[str, str], list[dict]] = {}
    for path in (report.with_suffix(".csv"), report.with_name("objects.csv")):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    key = (str(row.get("set") or row.get("row") or ""), str(row.get("n") or ""))
                    tables.setdefault(key, []).append(row)
        except (OSError, UnicodeDecodeError, csv.Error):
            continue
        break
    return tables


def _scores(rows: Sequence[Mapping[str, str]], classes: tuple[str, ...], counts: np.ndarray) -> Scores | None:
    """The objects of a matrix; None where there are none, or the table is of other objects than the matrix."""
    kept = [row for row in rows if row.get("label") in classes and row.get("oid")]
    if not kept:
        return None
    labels, oids = np.array([classes.index(row["label"]) for row in kept]), tuple(row["oid"] for row in kept)
    values = np.array([[number(row.get(name)) for name in classes] for row in kept])
    if np.isfinite(values).all():
        found = Scores(oids, labels, values.argmax(1), values.max(1), values)
    elif all(row.get("predicted") in classes for row in kept):
        predicted = np.array([classes.index(row["predicted"]) for row in kept])
        found = Scores(oids, labels, predicted, np.array([number(row.get("probability")) for row in kept]))
    else:
        return None
    return found if np.array_equal(counted(found, len(classes)), counts) else None


def counted(scores: Scores, classes: int) -> np.ndarray:
    """The confusion matrix (K, K) of objects."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (scores.labels, scores.predicted), 1)
    return counts


def on_common(first: Result, second: Result) -> tuple[Result, Result] | None:
    """Both on the objects that both have, in the same order; None where there are none, or labels disagree."""
    if first.scores is None or second.scores is None or first.classes != second.classes:
        return None
    common = set(first.scores.oids) & set(second.scores.oids)
    a, b = (result.only(common) for result in (first, second))
    a, b = (replace(result, scores=result.scores.at(np.argsort(result.scores.oids))) for result in (a, b))
    if not common or a.scores.oids != b.scores.oids or not np.array_equal(a.scores.labels, b.scores.labels):
        return None
    return a, b


def scored_alone(first: Result, second: Result) -> tuple[int, int]:
    """Objects that only the first takes for what they are, and only the second; the arguments as of `on_common`."""
    a, b = (result.scores.predicted == result.scores.labels for result in (first, second))
    return int((a & ~b).sum()), int((b & ~a).sum())


def result_of(name: str, report: Mapping[str, object], rows: Mapping[int, list[tuple]], source: str) -> list[Result]:
    """Results of an evaluation made just now: its report, and its rows (oid, label, probabilities) by n.

    The arguments are `tsc_core.inference.bulk.Evaluation.report()` and its `rows`.
    """
    found = []
    for n, block in report["n"].items():
        tables = {
            ("", n): [
                {"oid": oid, "label": label, **dict(zip(block["classes"], map(float, p), strict=True))}
                for oid, label, p in rows[int(n)]
            ]
        }
        found.append(_result(name, {"n": n, "origin": str(report["origin"])}, block, tables))
    return [replace(result, source=source) for result in found]


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
