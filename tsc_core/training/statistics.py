"""Runs against runs: permutation test with its floor, effect size, bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

EXACT = 200_000  # splittings up to which the permutation test takes them all
LEVEL = 0.95


def summary(values: Sequence[float]) -> dict[str, float | int | None]:
    """Mean, sample standard deviation (None for one run) and number of runs; None without any."""
    if not values:
        return {"mean": None, "std": None, "runs": 0}
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "runs": len(values)}


def smallest_p(first: int, second: int) -> float:
    """The least two-sided p that a permutation test of `first` against `second` runs can give."""
    splittings = math.comb(first + second, first)
    return min(1.0, 2 / (splittings if splittings <= EXACT else EXACT + 1))


def permutation_p(values: Sequence[float], reference: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of the difference of means under exchange of runs; exact where there are few splittings."""
    found = stats.permutation_test(
        (np.asarray(values), np.asarray(reference)),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        vectorized=True,
        n_resamples=EXACT,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def cohen_d(values: Sequence[float], reference: Sequence[float]) -> float | None:
    """Difference of means over the pooled standard deviation; None where runs do not vary."""
    n, m = len(values), len(reference)
    pooled = ((n - 1) * np.var(values, ddof=1) + (m - 1) * np.var(reference, ddof=1)) / (n + m - 2)
    return float((np.mean(values) - np.mean(reference)) / math.sqrt(pooled)) if pooled > 0 else None


def difference_interval(
    values: Sequence[float], reference: Sequence[float], draws: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval (95 %) of the difference of means, each group of runs drawn anew."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(group, (draws, len(group))).mean(1) for group in (values, reference)]
    low, high = np.quantile(means[0] - means[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def compare(values: Sequence[float], reference: Sequence[float]) -> dict[str, float | list[float] | None] | None:
    """Runs against reference runs; None where either has fewer than two.

    Returns
    -------
    dict
        difference of means, its 95 % bootstrap `interval`, `p` of the permutation test, `p_floor` (the least p that so
        few runs can give) and `cohen_d`.
    """
    if min(len(values), len(reference)) < 2:
        return None
    return {
        "difference": float(np.mean(values) - np.mean(reference)),
        "interval": list(difference_interval(values, reference)),
        "p": permutation_p(values, reference),
        "p_floor": smallest_p(len(values), len(reference)),
        "cohen_d": cohen_d(values, reference),
    }
