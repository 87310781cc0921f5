"""How far a prediction is to be trusted: spread of the members, conformal sets, likeness to the training data.

Conformal sets are class-conditional ("Mondrian", Vovk 2012) and cross-conformal (Vovk 2015): each class is tested
against real objects of that class, every one scored by the member that was trained without it. A class is in the
set unless fewer than 1 - coverage of its own objects looked as strange. Priors do not enter.

Unlikeness is the Mahalanobis distance of the logits from the nearest class among the real objects that a member was
trained on (Lee et al. 2018, in the last layer), as a percentile of the same for held-out objects. The energy of the
logits was tried too: it calls an object with absurd metadata an ordinary one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from tsc_core.alerts import Step

COVERAGE = 0.9
UNLIKE_ABOVE = 97.5  # percentile of held-out objects from which on an object is called unlike the training data
PERCENTILES = np.arange(101)
SHRINKAGE = 0.01  # of covariances, towards a sphere


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """What is kept of real objects after n detections: M members, K classes, C logits.

    Attributes
    ----------
    scores : dict of class to tuple of M ndarray
        Strangeness of the class's own objects, ascending, by the member that did not see them.
    means : ndarray (M, K', C)
        Mean logits of the K' classes that have objects, over those the member was trained on.
    precisions : ndarray (M, C, C)
        Inverse covariance of the logits within a class.
    distances : ndarray (101,)
        Percentiles 0, 1, ... 100 of the distance of held-out objects.
    """

    scores: dict[str, tuple[np.ndarray, ...]]
    means: np.ndarray
    precisions: np.ndarray
    distances: np.ndarray

    @classmethod
    def fit(
        cls, classes: Sequence[str], strange: np.ndarray, logits: np.ndarray, labels: np.ndarray, folds: np.ndarray
    ) -> Doubt:
        """From N labelled objects.

        Parameters
        ----------
        classes : sequence of str
        strange : ndarray (N, K)
            `strangeness` by the member that did not see the object.
        logits : ndarray (N, M, C)
            By every member.
        labels, folds : ndarray (N,), int
            Index of the true class; the member that did not see the object.
        """
        members = range(logits.shape[1])
        scores = {
            name: tuple(np.sort(strange[(labels == k) & (folds == fold), k]) for fold in members)
            for k, name in enumerate(classes)
        }
        fitted = [_class_spread(logits[:, m].astype(np.float64), labels, folds != m) for m in members]
        means, precisions = (np.stack(part) for part in zip(*fitted, strict=True))
        own = [distance(row[[m]], means[[m]], precisions[[m]]) for row, m in zip(logits, folds, strict=True)]
        return cls(scores, means, precisions, np.percentile(own, PERCENTILES))

    def p_values(self, strange: np.ndarray, own: int | None = None) -> dict[str, float]:
        """For each class, the share of its held-out objects that are at least as strange as this object would be.

        Parameters
        ----------
        strange : ndarray (M, K), or (1, K) with `own`
            By every member, or by the member that did not see the object.
        own : int, optional
            That member. What it did not see, the object's own score too, then takes no part.
        """
        found = {}
        for k, (name, by_member) in enumerate(self.scores.items()):
            above, total = 1, 1
            for m, row in enumerate(by_member):
                if m != own:
                    above += len(row) - np.searchsorted(row, strange[m if own is None else 0, k])
                    total += len(row)
            found[name] = float(above / total)
        return found

    def conformal(self, strange: np.ndarray, coverage: float = COVERAGE, own: int | None = None) -> tuple[str, ...]:
        """Classes that cannot be ruled out; holds the true one for `coverage` of the objects of each class.

        A class with fewer than 1 / (1 - coverage) - 1 held-out objects can never be ruled out. Arguments as for
        `p_values`.
        """
        limit = 1 - coverage + 1e-9  # 1 - 0.9 is a little less than 0.1
        return tuple(name for name, p in self.p_values(strange, own).items() if p > limit)

    def unlike(self, logits: np.ndarray, own: int | None = None) -> float:
        """Percentile of an object's distance among those of held-out objects, 0 to 100.

        Logits (M, C), or (1, C) with `own`, the one member that did not see the object.
        """
        voting = slice(None) if own is None else [own]
        found = distance(logits, self.means[voting], self.precisions[voting])
        return float(np.interp(found, self.distances, PERCENTILES))

    def to_dict(self) -> dict:
        """Plain JSON values."""
        scores = {name: [np.round(row, 4).tolist() for row in rows] for name, rows in self.scores.items()}
        arrays = {name: _short(getattr(self, name)) for name in ("means", "precisions", "distances")}
        return {"scores": scores, **arrays}

    @classmethod
    def from_dict(cls, values: Mapping) -> Doubt:
        """The inverse of `to_dict`, to four decimals (`tsc_core.bundle` has checked the shapes)."""
        scores = {name: tuple(np.array(row, float) for row in rows) for name, rows in values["scores"].items()}
        return cls(scores, *(np.array(values[name], float) for name in ("means", "precisions", "distances")))


def _short(values: np.ndarray) -> list:
    """Numbers to six figures, as nested lists."""
    return np.vectorize(lambda value: float(f"{value:.6g}"))(values).tolist()


def _class_spread(logits: np.ndarray, labels: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (K', C) of the classes and inverse covariance (C, C) within them, of the objects that are `seen`."""
    rows = [seen & (labels == k) if (seen & (labels == k)).any() else labels == k for k in np.unique(labels)]
    means = np.stack([logits[row].mean(0) for row in rows])
    within = np.concatenate([logits[row] - mean for row, mean in zip(rows, means, strict=True)])
    covariance = within.T @ within / len(within)
    sphere = np.eye(len(covariance)) * max(SHRINKAGE * np.trace(covariance) / len(covariance), 1e-9)
    return means, np.linalg.inv(covariance + sphere)


def distance(logits: np.ndarray, means: np.ndarray, precisions: np.ndarray) -> float:
    """Squared Mahalanobis distance of logits (M, C) from the nearest of each member's classes, mean over members."""
    apart = logits[:, None] - means  # (M, K', C)
    return float(np.einsum("mkc,mcd,mkd->mk", apart, precisions, apart).min(1).mean())


def strangeness(logits: np.ndarray) -> np.ndarray:
    """Nonconformity (..., K) of each class, from tempered logits (..., K): its log-odds against it.

    Ranks objects as 1 - probability does, without ties where probabilities saturate.
    """
    values = np.asarray(logits, dtype=np.float64)
    others = np.stack([logsumexp(np.delete(values, k, axis=-1), axis=-1) for k in range(values.shape[-1])], axis=-1)
    return others - values


def spread(members: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The least and the greatest probability that a member gives each class, (K,) each; None for one member.

    Members differ in the real objects they were trained without and in their random start. The mean lies within.
    """
    if len(members) < 2:
        return None
    return members.min(0), members.max(0)


def abstention(step: Step) -> str | None:
    """Why no single class should be named after a step, in words; None where one can be, or nothing is known."""
    if step.unlike is not None and step.unlike >= UNLIKE_ABOVE:
        return "unlike the training data"
    if step.conformal is None or len(step.conformal) == 1:
        return None
    if not step.conformal:
        return "no class fits"
    return " or ".join(filter(None, (", ".join(step.conformal[:-1]), step.conformal[-1])))


def flags(steps: Sequence[Step]) -> tuple[str, ...]:
    """One sentence for each reason to abstain, with the steps it holds for."""
    reasons: dict[str, list[int]] = {}
    for step in steps:
        reason = abstention(step)
        if reason:
            reasons.setdefault(reason, []).append(step.n)
    return tuple(_sentence(reason, ", ".join(map(str, found))) for reason, found in reasons.items())


def _sentence(reason: str, places: str) -> str:
    if reason == "unlike the training data":
        return f"{reason} at n = {places}: take the probabilities with care"
    return f"the models abstain at n = {places}: {reason}"
