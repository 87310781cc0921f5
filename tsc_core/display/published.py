"""ALeRCE's own classifiers on labelled objects, asked now: matrices that stand beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tsc_core.display.exports import csv_text
from tsc_core.evaluation.results import Result, Scores, counted
from tsc_core.sources import ObjectNotFound, SourceError
from tsc_core.sources.alerce_answers import ClassProbability

if TYPE_CHECKING:
    from tsc_core.sources.alerce import AlerceSource

AT_ONCE = 6
GIVE_UP = 6  # failures before the first answer: the service is not there
NAME = "ALeRCE, asked now"
CSV_COLUMNS = ("oid", *ClassProbability._fields)  # as of `tsc experiment baselines --probabilities`


@dataclass(frozen=True, slots=True)
class Asked:
    """What ALeRCE said of some objects: rows by object, and why there are none."""

    answers: Mapping[str, Sequence[ClassProbability]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def ask(source: AlerceSource, oids: Sequence[str], progress: Callable[[int, int], object]) -> Asked:
    """The probabilities of many objects; `progress` is told in this thread how many are done, of how many.

    Raises
    ------
    SourceError
        Where none of the first few objects gets an answer.
    """

    def one(oid: str) -> list[ClassProbability] | SourceError:
        try:
            return source.probabilities(oid)
        except SourceError as error:
            return error

    answers, failed = {}, {}
    with ThreadPoolExecutor(AT_ONCE, "published") as pool:
        try:
            for oid, found in zip(oids, pool.map(one, oids), strict=True):
                if isinstance(found, SourceError):
                    failed[oid] = str(found)
                    if not answers and len(failed) >= GIVE_UP and not isinstance(found, ObjectNotFound):
                        raise found
                else:
                    answers[oid] = newest(found)
                progress(len(answers) + len(failed), len(oids))
        finally:
            pool.shutdown(cancel_futures=True)
    return Asked(answers, failed)


def newest(rows: Iterable[ClassProbability]) -> list[ClassProbability]:
    """The newest version alone of each classifier; `rows` have it first."""
    versions: dict[str, str] = {}
    return [row for row in rows if versions.setdefault(row.classifier, row.version) == row.version]


def matrices(asked: Asked, ours: Result) -> list[Result]:
    """A result for each classifier that knows all classes of `ours`, on the objects of `ours` that it has."""
    from tsc_core.training.published import TO_CLASS

    known = TO_CLASS | {name: name for name in ours.classes}
    tables: dict[str, dict[str, np.ndarray]] = {}
    for oid, rows in asked.answers.items():
        for row in rows:
            if known.get(row.class_name) in ours.classes:
                shares = tables.setdefault(row.classifier, {}).setdefault(oid, np.zeros(len(ours.classes)))
                shares[ours.classes.index(known[row.class_name])] += row.probability
    found = (_result(name, table, ours) for name, table in sorted(tables.items()))
    return [result for result in found if result is not None]


def _result(classifier: str, table: Mapping[str, np.ndarray], ours: Result) -> Result | None:
    """None for a classifier that never names one of the classes: what it says holds for a part of the objects only."""
    labels = dict(zip(ours.scores.oids, ours.scores.labels.tolist(), strict=True))
    kept = {oid: shares / shares.sum() for oid, shares in table.items() if oid in labels and shares.sum() > 0}
    if not kept or not np.all(sum(kept.values()) > 0):
        return None
    values, truth = np.stack(list(kept.values())), np.array([labels[oid] for oid in kept])
    scores = Scores(tuple(kept), truth, values.argmax(1), values.max(1), values)
    counts = counted(scores, len(ours.classes))
    return Result(NAME, classifier, "", ours.origin, "", ours.classes, counts, scores, source=ours.source)


def as_csv(asked: Asked) -> str:
    """What ALeRCE said, as `tsc experiment baselines --probabilities` reads it."""
    rows = ({"oid": oid, **row._asdict()} for oid, found in asked.answers.items() for row in found)
    return csv_text(rows, CSV_COLUMNS)
