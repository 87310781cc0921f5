"""Numbers that go together, as fitted on real alerts: mixtures of Gaussians over normal scores.

A `Joint` holds some conditions (what the simulator knows already) and some targets (what it draws). Every number is
turned into its normal score by a table of quantiles; groups of alerts that differ in kind (SExtractor's width found
or not) have mixtures of their own. Drawing the targets given the conditions is then in closed form. What is stored are
quantiles, means and covariances over hundreds of alerts: none can be read back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

LEVELS = np.array([0.0, 0.005, 0.015, 0.03, *np.linspace(0.05, 0.95, 37), 0.97, 0.985, 0.995, 1.0])
LARGEST_SCORE = 3.0
ALERTS_PER_COMPONENT = 110
MOST_COMPONENTS = 20
WIDENED = 0.02  # added to the variances of the scores: keeps components from closing around a few alerts


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One Gaussian of a group, prepared for drawing its targets from its conditions.

    Attributes
    ----------
    group : int
    log_weight : float
        Logarithm of its share of all alerts, minus half the logarithm of the conditions' determinant.
    mean : ndarray (V,)
        Conditions first.
    whiten : ndarray (C, C)
        Inverse Cholesky factor of the conditions' covariance.
    slope, root : ndarray (T, C), (T, T)
        Regression of targets on conditions, and Cholesky factor of what remains.
    """

    group: int
    log_weight: float
    mean: np.ndarray
    whiten: np.ndarray
    slope: np.ndarray
    root: np.ndarray

    @classmethod
    def of(cls, group: int, weight: float, mean: np.ndarray, covariance: np.ndarray, conditions: int) -> Component:
        """Prepare a Gaussian (mean (V,), covariance (V, V)) whose first numbers are the conditions."""
        known, both = covariance[:conditions, :conditions], covariance[conditions:, :conditions]
        factor = np.linalg.cholesky(known)
        slope = np.linalg.solve(known, both.T).T
        rest = covariance[conditions:, conditions:] - slope @ both.T
        root = np.linalg.cholesky(rest + 1e-9 * np.eye(len(rest)))
        log_weight = float(np.log(weight) - np.log(np.diag(factor)).sum())
        return cls(group, log_weight, mean, np.linalg.inv(factor), slope, root)


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """All components of a distribution as arrays, first axis K: group, log_weight, mean, slope, root as in `Component`.

    `turn` (C, K C) and `shift` (K C,) whiten conditions for all components in one product.
    """

    group: np.ndarray
    log_weight: np.ndarray
    mean: np.ndarray
    slope: np.ndarray
    root: np.ndarray
    turn: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[Component]) -> Stack:
        """Stack components, which all have the same conditions and targets."""
        count = len(parts[0].whiten)
        arrays = (np.array([getattr(part, name) for part in parts]) for name in ("group", "log_weight", "mean"))
        slope, root = (np.array([getattr(part, name) for part in parts]) for name in ("slope", "root"))
        turn = np.concatenate([part.whiten.T for part in parts], axis=1)
        shift = np.concatenate([part.whiten @ part.mean[:count] for part in parts])
        return cls(*arrays, slope, root, turn, shift)

    def log_density(self, scores: np.ndarray) -> np.ndarray:
        """Logarithm of weight times density of conditions (N, C) in each component, up to a constant, (N, K)."""
        white = scores @ self.turn - self.shift
        return self.log_weight - 0.5 * np.square(white).reshape(len(scores), len(self.group), -1).sum(axis=2)

    def targets(self, chosen: np.ndarray, scores: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Scores of the targets (N, T) in the component of each row, given the conditions' (N, C).

        `normal` (N, T) are standard normal numbers.
        """
        mean, conditions = self.mean[chosen], scores.shape[1]
        away = self.slope[chosen] @ (scores - mean[:, :conditions])[..., None] + self.root[chosen] @ normal[..., None]
        return mean[:, conditions:] + away[..., 0]


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Distribution of `targets` given `conditions`, by groups; see `fit_joint` for how it is stored.

    Attributes
    ----------
    known : ndarray (C, L)
        Quantiles of the conditions over all groups at `LEVELS`.
    drawn : ndarray (G, T, L)
        Quantiles of the targets in each group.
    stack : Stack
        The mixture's components.
    """

    conditions: tuple[str, ...]
    targets: tuple[str, ...]
    groups: tuple[str, ...]
    known: np.ndarray
    drawn: np.ndarray
    stack: Stack

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> Joint:
        """A joint distribution as `fit_joint` wrote it."""
        conditions = tuple(stored["conditions"])
        components = tuple(
            Component.of(c["group"], c["weight"], np.array(c["mean"]), _square(c["covariance"]), len(conditions))
            for c in stored["components"]
        )
        known, drawn = np.array(stored["known"]), np.array(stored["drawn"])
        names = conditions, tuple(stored["targets"]), tuple(stored["groups"])
        return cls(*names, known, drawn, Stack.of(components))

    def draw(
        self, given: Mapping[str, np.ndarray], rng: np.random.Generator, own: Mapping[str, np.ndarray] | None = None
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Targets by name, each (N,), and the group that each row fell in, for conditions (N,) by name.

        `own` holds quantiles (at `LEVELS`) of conditions whose distribution is not that of the fitted alerts: these
        enter by their rank.
        """
        if not len(given[self.conditions[0]]):
            return {name: np.zeros(0) for name in self.targets}, np.zeros(0, dtype=int)
        scores = self._scores(given, rng, own)
        share = self._shares(scores).cumsum(axis=1)
        chosen = (rng.uniform(size=(len(scores), 1)) > share[:, :-1]).sum(axis=1)
        normal = rng.standard_normal((len(scores), len(self.targets)))
        group = self.stack.group[chosen]
        ranks = ndtr(self.stack.targets(chosen, scores, normal))
        found = np.empty(ranks.shape)
        for place in range(len(self.groups)):
            rows = group == place if len(self.groups) > 1 else slice(None)
            for column, quantiles in enumerate(self.drawn[place]):
                found[rows, column] = np.interp(ranks[rows, column], LEVELS, quantiles)
        return {name: found[:, column] for column, name in enumerate(self.targets)}, group

    def shares(
        self, given: Mapping[str, np.ndarray], rng: np.random.Generator, own: Mapping[str, np.ndarray] | None = None
    ) -> np.ndarray:
        """Probability of each component, (N, components), for conditions as in `draw`."""
        return self._shares(self._scores(given, rng, own))

    def _scores(
        self, given: Mapping[str, np.ndarray], rng: np.random.Generator, own: Mapping[str, np.ndarray] | None
    ) -> np.ndarray:
        known = [q if own is None else own.get(name, q) for name, q in zip(self.conditions, self.known, strict=True)]
        return _scores(np.array([given[name] for name in self.conditions], dtype=float), np.array(known), rng).T

    def _shares(self, scores: np.ndarray) -> np.ndarray:
        density = self.stack.log_density(scores)
        share = np.exp(density - density.max(axis=1, keepdims=True))
        return share / share.sum(axis=1, keepdims=True)


def _scores(values: np.ndarray, quantiles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal scores of values (C, N) by quantiles (C, L); a rank by chance where many share one value."""
    tiny = 1e-7 * (np.abs(quantiles[:, -1:] - quantiles[:, :1]) + 1e-9)
    rising = quantiles + tiny * np.arange(quantiles.shape[1]) / quantiles.shape[1]
    ends = np.concatenate([values - tiny, values + 2 * tiny], axis=1)
    found = np.array([np.interp(*both, LEVELS) for both in zip(ends, rising, strict=True)])
    low, high = found[:, : values.shape[1]], found[:, values.shape[1] :]
    rank = low + (high - low) * rng.uniform(size=values.shape)
    return np.clip(ndtri(np.clip(rank, 1e-6, 1.0 - 1e-6)), -LARGEST_SCORE, LARGEST_SCORE)


def _score(value: np.ndarray, quantiles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal scores of one number's values (N,)."""
    return _scores(value[None], quantiles[None], rng)[0]


def _square(lower: Sequence[float]) -> np.ndarray:
    """A symmetric matrix from its lower triangle, row by row."""
    size = int((np.sqrt(8 * len(lower) + 1) - 1) / 2)
    matrix = np.zeros((size, size))
    matrix[np.tril_indices(size)] = lower
    return matrix + np.tril(matrix, -1).T


def fit_joint(
    conditions: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    group: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, object]:
    """Fit a joint distribution; rows with a number that is not finite are left out.

    Parameters
    ----------
    conditions, targets : dict of ndarray (N,)
    group : sequence of str (N,), optional
        Kind of each alert.
    seed : int
        Of the expectation maximisation, and of the ranks of equal values.

    Returns
    -------
    dict
        Plain lists and numbers, for JSON; `Joint.from_dict` reads it.
    """
    table = np.stack([*conditions.values(), *targets.values()], axis=1).astype(float)
    kept = np.isfinite(table).all(axis=1)
    kinds = np.array([""] * len(table) if group is None else list(group))[kept]
    table, rng = table[kept], np.random.default_rng(seed)
    names, width = tuple(dict.fromkeys(sorted(kinds))), len(conditions)
    known = [quantiles(column) for column in table[:, :width].T]
    scores = np.stack([_score(column, q, rng) for column, q in zip(table[:, :width].T, known, strict=True)], axis=1)
    drawn, components = [], []
    for place, name in enumerate(names):
        rows = kinds == name
        marginals = [quantiles(column) for column in table[rows, width:].T]
        drawn.append(marginals)
        own = [_score(column, q, rng) for column, q in zip(table[rows, width:].T, marginals, strict=True)]
        share = float(rows.mean())
        components += _mixture(np.column_stack([scores[rows], *own]), place, share, seed)
    return {
        "conditions": list(conditions),
        "targets": list(targets),
        "groups": list(names),
        "alerts": len(table),
        "known": [q.tolist() for q in known],
        "drawn": [[q.tolist() for q in marginals] for marginals in drawn],
        "components": components,
    }


def quantiles(column: np.ndarray) -> np.ndarray:
    """Quantiles at `LEVELS`, to five digits."""
    return np.array([float(f"{q:.5g}") for q in np.quantile(column, LEVELS)])


def _mixture(scores: np.ndarray, group: int, share: float, seed: int) -> list[dict[str, object]]:
    """Gaussians of one group's scores (N, V)."""
    from sklearn.mixture import GaussianMixture

    count = int(np.clip(len(scores) // ALERTS_PER_COMPONENT, 1, MOST_COMPONENTS))
    model = GaussianMixture(count, reg_covar=WIDENED, random_state=seed, max_iter=300).fit(scores)
    lower = np.tril_indices(scores.shape[1])
    return [
        {
            "group": group,
            "weight": round(share * float(weight), 6),
            "mean": [round(float(x), 4) for x in mean],
            "covariance": [round(float(x), 4) for x in covariance[lower]],
        }
        for weight, mean, covariance in zip(model.weights_, model.means_, model.covariances_, strict=True)
    ]
