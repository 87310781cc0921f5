"""Many objects at once: a labelled archive to a report of how good the bundles are on it, per n."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from tsc_core.alerts import AlertSequence, Step
from tsc_core.evaluation.metrics import share, summarise, summarise_sets
from tsc_core.inference.doubt import UNLIKE_ABOVE
from tsc_core.inference.predictor import Predictor, Scored, as_step
from tsc_core.preprocessing import Selection, select_alerts
from tsc_core.preprocessing.quality import Window
from tsc_core.sources import Source, SourceError
from tsc_core.survey import is_made

AT_ONCE = 64  # objects held in memory and scored together


@dataclass(slots=True)
class Evaluation:
    """What was found for the labelled objects of one source.

    Attributes
    ----------
    rows : dict of int to list of (oid, label, probabilities (K,))
        For each n, the objects scored.
    doubts : dict of int to list of (label, Step)
        The same objects with what the bundle says of its doubt, where it says something.
    classes : dict of int to tuple of str
        Order of the probabilities for each n.
    models : dict of int to list of str
        The bundle that served each of the rows.
    held_out : dict of int to list of bool
        Whether that bundle had learnt from the object, whose answer is then that of the member that did not see it.
    skipped : Counter of str
        Objects left out, by reason.
    """

    window: Window
    rows: dict[int, list[tuple[str, str, np.ndarray]]] = field(default_factory=lambda: defaultdict(list))
    doubts: dict[int, list[tuple[str, Step]]] = field(default_factory=lambda: defaultdict(list))
    classes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    models: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    held_out: dict[int, list[bool]] = field(default_factory=lambda: defaultdict(list))
    skipped: Counter = field(default_factory=Counter)

    def report(self) -> dict:
        """The public report: metrics for each n, and what was skipped."""
        origins = {"simulated" if is_made(oid) else "real" for rows in self.rows.values() for oid, _, _ in rows}
        return {
            "window": self.window,
            "origin": " and ".join(sorted(origins)) or None,
            "n": {str(n): {**self._served(n), **self._summary(n)} for n in sorted(self.rows)},
            "skipped": dict(self.skipped.most_common()),
        }

    def _served(self, n: int) -> dict:
        """The bundle that served most objects, how many each served, and how many it had learnt from."""
        counts = Counter(self.models[n]).most_common()
        return {"model": counts[0][0], "models": dict(counts), "held_out": sum(self.held_out[n])}

    def _summary(self, n: int) -> dict:
        classes, rows = self.classes[n], self.rows[n]
        labels = np.array([classes.index(label) for _, label, _ in rows])
        found = summarise(labels, np.stack([probabilities for _, _, probabilities in rows]), classes)
        return found | self._doubt(n)

    def _doubt(self, n: int) -> dict:
        """Coverage of the conformal sets, and how many objects are called unlike the training data."""
        classes, rows = self.classes[n], self.doubts[n]
        if not rows:
            return {}
        labels = np.array([classes.index(label) for label, _ in rows])
        sets = np.array([[name in step.conformal for name in classes] for _, step in rows])
        right = np.array([label == max(step.probabilities, key=step.probabilities.get) for label, step in rows])
        unlike = np.array([step.unlike >= UNLIKE_ABOVE for _, step in rows])
        return {
            "conformal": summarise_sets(labels, sets, classes, rows[0][1].coverage),
            "unlike": share(unlike.sum(), len(rows)),
            "right_if_unlike": share(right[unlike].sum(), unlike.sum()),
            "right_if_alike": share(right[~unlike].sum(), (~unlike).sum()),
        }


def evaluate(
    predictor: Predictor,
    source: Source,
    labels: Mapping[str, str],
    window: Window = "first",
    progress: Callable[[int], object] = lambda count: None,
) -> Evaluation:
    """Score every labelled object of a source.

    An object that a bundle has learnt from is scored by the one member that did not see it.

    Parameters
    ----------
    labels : Mapping of oid to class
    progress : callable
        Told how many more objects were looked at.

    Raises
    ------
    ValueError
        Where real and simulated objects of the source have labels: one number for both would mean nothing.
    """
    listed = set(source.oids())
    made = Counter(is_made(oid) for oid, label in labels.items() if label and (oid in listed or not listed))
    if len(made) > 1:
        raise ValueError(f"{made[False]} real and {made[True]} simulated objects have labels: evaluate each kind alone")
    found = Evaluation(window)
    for group in _groups(_read(source, labels, window, found, progress), AT_ONCE):
        for (_, sequence), scores in zip(group, predictor.score(group), strict=True):
            _enter(found, sequence, labels[sequence.oid], scores, predictor.coverage)
    return found


def _read(
    source: Source,
    labels: Mapping[str, str],
    window: Window,
    found: Evaluation,
    progress: Callable[[int], object],
) -> Iterator[tuple[Selection, AlertSequence]]:
    listed = set(source.oids())
    for oid, label in labels.items():
        progress(1)
        if not label:
            found.skipped["no label"] += 1
        elif listed and oid not in listed:
            found.skipped["not in the source"] += 1
        else:
            try:
                sequence = source.fetch(oid)
            except (SourceError, ValueError) as error:
                found.skipped[f"not read: {type(error).__name__}"] += 1
                continue
            selection = select_alerts(sequence, window)
            if selection.used:
                yield selection, sequence
            else:
                found.skipped["no detection can be used"] += 1


def _enter(found: Evaluation, sequence: AlertSequence, label: str, scores: list[Scored], coverage: float) -> None:
    """Note each step; a label that the step's model does not know is left out and counted."""
    for scored in scores:
        classes = scored.bundle.classes_after(scored.n)
        if found.classes.setdefault(scored.n, classes) != classes:
            found.skipped[f"n={scored.n}: {scored.bundle.name} has other classes than the first bundle"] += 1
        elif label in classes:
            found.models[scored.n].append(scored.bundle.name)
            found.held_out[scored.n].append(scored.held_out is not None)
            found.rows[scored.n].append((sequence.oid, label, scored.probabilities.double().numpy()))
            step = as_step(scored, coverage)
            if step.conformal is not None:
                found.doubts[scored.n].append((label, step))
        else:
            found.skipped[f"n={scored.n}: label {label} is not among {', '.join(classes)}"] += 1


def _groups(items: Iterable, size: int) -> Iterator[list]:
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
