"""Metrics of a classifier, returned by name; every accuracy with its n and an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95  # of every interval here


def confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts (K, K): rows true, columns predicted (the most probable class).

    Parameters
    ----------
    labels : ndarray (N,), int
        Indices of true classes.
    probabilities : ndarray (N, K)
    """
    classes = probabilities.shape[1]
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    return counts


def accuracy(counts: np.ndarray) -> float:
    """Share of objects on the diagonal of a confusion matrix, NaN without objects."""
    return float(np.trace(counts) / counts.sum()) if counts.sum() else float("nan")


def recalls(counts: np.ndarray) -> np.ndarray:
    """Share found of each true class, (K,); NaN for a class without objects."""
    totals = counts.sum(1)
    return np.divide(np.diag(counts), totals, out=np.full(len(counts), np.nan), where=totals > 0)


def balanced_accuracy(counts: np.ndarray) -> float:
    """Mean recall over the classes that have objects, NaN if none has."""
    found = recalls(counts)
    return float(found[np.isfinite(found)].mean()) if np.isfinite(found).any() else float("nan")


def wilson(successes: float, total: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson score interval of a proportion; (0, 1) without trials. Weighted trials may be no whole number."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = float(successes / total), float(stats.norm.ppf((1 + level) / 2) ** 2)
    centre = share + z2 / (2 * total)
    half = math.sqrt(z2 * (share * (1 - share) / total + z2 / (4 * total**2)))
    low, high = (end / (1 + z2 / total) for end in (centre - half, centre + half))
    return max(0.0, min(share, low)), min(1.0, max(share, high))


def even(labels: np.ndarray) -> np.ndarray:
    """Weights (N,), sum 1, with which classes weigh the same: the frequencies that our probabilities assume."""
    classes, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1.0 / (counts[place] * max(1, len(classes)))


def balanced_interval(counts: np.ndarray) -> tuple[float, float]:
    """Interval of `balanced_accuracy`, from the Wilson interval of each class's recall; NaN without objects.

    The squared distances of the limits from the recalls add up, as for any sum of independent proportions (Zou &
    Donner 2008, Statistics in Medicine 27, 1693). Objects drawn again and again would let a class with one object,
    or with no mistake, look certain.
    """
    found, value = recalls(counts), balanced_accuracy(counts)
    known = np.flatnonzero(np.isfinite(found))
    if not len(known):
        return float("nan"), float("nan")
    limits = np.array([wilson(counts[k, k], counts[k].sum()) for k in known])
    below, above = np.sqrt(np.square(limits - found[known, None]).sum(0)) / len(known)
    return value - float(below), value + float(above)


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None, bins: int = 10
) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of the top probability, weighted by count.

    `weights` (N,) of the objects: equal ones by default, `even` for classes that weigh the same.
    """
    if len(labels) == 0:
        return float("nan")
    weights = np.ones(len(labels)) if weights is None else weights
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(place, weights * (correct - confidence), minlength=bins)
    return float(np.abs(gap).sum() / weights.sum())


def even_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The calibration error with classes weighing the same: that of probabilities which assume equal frequencies."""
    return expected_calibration_error(labels, probabilities, even(labels))


def brier(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean squared distance of the probabilities from the true class's unit vector, 0 to 2."""
    if len(labels) == 0:
        return float("nan")
    return float(np.average(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1), weights=weights))


def log_loss(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean negative log probability of the true class, nats."""
    if len(labels) == 0:
        return float("nan")
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.average(np.log(np.clip(chosen, 1e-12, None)), weights=weights))


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None, bins: int = 10
) -> list[list[dict]]:
    """For each class, the bins of its probability that have objects: mean probability, frequency, n and interval.

    With `weights` (N,) the interval is that of as many equal objects as say as much (Kish).
    """
    weights = np.ones(len(labels)) if weights is None else weights
    curves = []
    for k in range(probabilities.shape[1]):
        place = np.minimum((probabilities[:, k] * bins).astype(int), bins - 1)
        inside = [place == b for b in np.unique(place)]
        curves.append([_bin(probabilities[here, k], labels[here] == k, weights[here]) for here in inside])
    return curves


def _bin(probability: np.ndarray, hit: np.ndarray, weights: np.ndarray) -> dict:
    frequency = float(np.average(hit, weights=weights))
    alike = float(weights.sum() ** 2 / np.square(weights).sum())
    low, high = wilson(frequency * alike, alike)
    return {
        "probability": float(np.average(probability, weights=weights)),
        "frequency": frequency,
        "n": len(hit),
        "low": low,
        "high": high,
    }


def bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: np.ndarray,
    probabilities: np.ndarray,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of a `metric(labels, probabilities)` that is never negative, by drawing objects within each class.

    Draws of a calibration error are greater than itself on average; the percentiles are moved back by as much.
    """
    if len(labels) == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    values = []
    for _ in range(draws):
        chosen = np.concatenate([rng.choice(group, len(group)) for group in groups])
        values.append(metric(labels[chosen], probabilities[chosen]))
    bias = np.nanmean(values) - metric(labels, probabilities)
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) - bias
    return max(0.0, float(low)), float(high)


def precision_at(counts: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Precision of each class, (..., K), were the true classes as frequent as `rates` (K,), which sum to 1.

    Takes a matrix (K, K) or many (..., K, K); NaN for a class that nothing was taken for.
    """
    totals = counts.sum(-1, keepdims=True)
    rows = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)  # P(predicted | true)
    mass = rows * np.asarray(rates)[:, None]
    right, called = np.diagonal(mass, axis1=-2, axis2=-1), mass.sum(-2)
    return np.divide(right, called, out=np.full(right.shape, np.nan), where=called > 0)


def plausible(counts: np.ndarray, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Row shares (draws, K, K) that are compatible with a confusion matrix: Dirichlet, one object a row as prior.

    What was never seen is not taken for impossible, which matters to rare classes.
    """
    rng = np.random.default_rng(seed)
    return np.stack([rng.dirichlet(row + 1 / len(counts), draws) for row in np.asarray(counts, dtype=float)], axis=1)


def percentiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the interval of draws along the first axis; NaN where all draws are."""
    known = np.where(np.isfinite(values).any(0), values, 0.0)
    ends = np.nanquantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    low, high = np.where(np.isfinite(values).any(0), ends, np.nan)
    return low, high


def summarise(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> dict:
    """All that a report says of one model on N labelled objects, as plain JSON values.

    Parameters
    ----------
    labels : ndarray (N,), int
        Indices into `classes`.
    probabilities : ndarray (N, K)
    classes : sequence of str

    Returns
    -------
    dict
        objects, classes, confusion, accuracy, balanced_accuracy, ece, brier (each with its `_interval`), log_loss,
        recall by class with its Wilson interval, and `reliability` by class. NaN is given as None. All that judges
        probabilities lets classes weigh the same, as they assume; `ece_of_sample` takes the objects as they come.
    """
    weights = even(labels)
    counts = confusion(labels, probabilities)
    hit_low, hit_high = wilson(np.trace(counts), counts.sum())

    def interval(metric: Callable[[np.ndarray, np.ndarray], float]) -> list[float | None]:
        return [_plain(x) for x in bootstrap(metric, labels, probabilities, draws=400)]

    return {
        "objects": len(labels),
        "classes": list(classes),
        "confusion": counts.tolist(),
        "accuracy": _plain(accuracy(counts)),
        "accuracy_interval": [hit_low, hit_high],
        "balanced_accuracy": _plain(balanced_accuracy(counts)),
        "balanced_accuracy_interval": [_plain(x) for x in balanced_interval(counts)],
        "ece": _plain(even_calibration_error(labels, probabilities)),
        "ece_of_sample": _plain(expected_calibration_error(labels, probabilities)),
        "ece_interval": interval(even_calibration_error),
        "brier": _plain(brier(labels, probabilities, weights)),
        "brier_interval": interval(lambda y, p: brier(y, p, even(y))),
        "log_loss": _plain(log_loss(labels, probabilities, weights)),
        "recall": {name: share(counts[k, k], counts[k].sum()) for k, name in enumerate(classes)},
        "reliability": dict(zip(classes, reliability(labels, probabilities, weights), strict=True)),
    }


def share(successes: int, total: int) -> dict:
    """A proportion with its Wilson interval, as plain JSON values: value (None without trials), low, high, n."""
    low, high = wilson(successes, total)
    return {"value": _plain(successes / total if total else None), "low": low, "high": high, "n": int(total)}


def summarise_sets(labels: np.ndarray, sets: np.ndarray, classes: Sequence[str], coverage: float) -> dict:
    """How often conformal sets hold the true class, and how much they say, as plain JSON values.

    Parameters
    ----------
    labels : ndarray (N,), int
        Indices into `classes`.
    sets : ndarray (N, K), bool
        Whether a class is in an object's set.
    classes : sequence of str
    coverage : float
        What was asked for.

    Returns
    -------
    dict
        coverage; `covered` by class and `size` (mean number of classes); shares of sets with one class
        (`decided`) and with none (`empty`); `right`, the share of the decided whose class is the true one.
    """
    sizes, hit = sets.sum(1), sets[np.arange(len(labels)), labels]
    return {
        "coverage": coverage,
        "covered": {name: share(hit[labels == k].sum(), (labels == k).sum()) for k, name in enumerate(classes)},
        "size": _plain(sizes.mean() if len(sizes) else None),
        "decided": share((sizes == 1).sum(), len(sizes)),
        "empty": share((sizes == 0).sum(), len(sizes)),
        "right": share(hit[sizes == 1].sum(), (sizes == 1).sum()),
    }


def _plain(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
