"""Metrics of a classifier, returned by name; every accuracy with its n and an interval."""

from __future__ import annotations

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


def wilson(successes: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson score interval of a proportion; (0, 1) without trials."""
    if total == 0:
        return 0.0, 1.0
    interval = stats.binomtest(int(successes), int(total)).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


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


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """Mean gap between confidence and accuracy over equal-width bins of the top probability, weighted by count."""
    if len(labels) == 0:
        return float("nan")
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    weight = np.bincount(place, minlength=bins)
    gap = np.bincount(place, correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / weight.sum())


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance of the probabilities from the true class's unit vector, 0 to 2."""
    if len(labels) == 0:
        return float("nan")
    return float(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1).mean())


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative log probability of the true class, nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, 1e-12, None)).mean()) if len(labels) else float("nan")


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> list[list[dict]]:
    """For each class, the bins of its probability that have objects: mean probability, frequency, n and interval."""
    curves = []
    for k in range(probabilities.shape[1]):
        place = np.minimum((probabilities[:, k] * bins).astype(int), bins - 1)
        curves.append([_bin(probabilities[place == b, k], labels[place == b] == k) for b in np.unique(place)])
    return curves


def _bin(probability: np.ndarray, hit: np.ndarray) -> dict:
    low, high = wilson(int(hit.sum()), len(hit))
    return {
        "probability": float(probability.mean()),
        "frequency": float(hit.mean()),
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
    """Percentile interval of `metric(labels, probabilities)`, objects drawn with replacement within each class."""
    if len(labels) == 0:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    values = []
    for _ in range(draws):
        chosen = np.concatenate([rng.choice(group, len(group)) for group in groups])
        values.append(metric(labels[chosen], probabilities[chosen]))
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


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
        recall by class with its Wilson interval, and `reliability` by class. NaN is given as None.
    """
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
        "ece": _plain(expected_calibration_error(labels, probabilities)),
        "ece_interval": interval(expected_calibration_error),
        "brier": _plain(brier(labels, probabilities)),
        "brier_interval": interval(brier),
        "log_loss": _plain(log_loss(labels, probabilities)),
        "recall": {name: share(counts[k, k], counts[k].sum()) for k, name in enumerate(classes)},
        "reliability": dict(zip(classes, reliability(labels, probabilities), strict=True)),
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
