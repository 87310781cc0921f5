"""What a bundle keeps of held-out objects, to tell how far a prediction is to be trusted: conformal sets, likeness.

Conformal sets are class-conditional ("Mondrian", Vovk 2012) and cross-conformal (Vovk 2015): each class is tested
against real objects of that class, every one scored by the member that was trained without it. A class is in the
set unless fewer than 1 - coverage of its own objects looked as strange. Priors do not enter.

Unlikeness is the Mahalanobis distance of an object's metadata, as the trees see them, from the nearest class of the
real objects that the members learnt from (Lee et al. 2018), as a percentile of the same for objects of a fold that was
left out. The distance of logits was tried: it calls absurd metadata ordinary, and clear objects strange.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

COVERAGE = 0.9
PERCENTILES = np.arange(101)
SHRINKAGE = 0.1  # of the covariance, towards a sphere
ARRAYS = ("means", "precision", "distances")


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """What is kept of real objects after n detections: M members, K classes, F numbers of metadata.

    Attributes
    ----------
    scores : dict of class to tuple of M ndarray
        Strangeness of the class's own objects, ascending, by the member that did not see them.
    means : ndarray (K', F)
        Mean metadata of the K' classes that have objects.
    precision : ndarray (F, F)
        Inverse covariance of the metadata within a class.
    distances : ndarray (101,)
        Percentiles 0, 1, ... 100 of the distance of objects from what the other folds would have given.
    """

    scores: dict[str, tuple[np.ndarray, ...]]
    means: np.ndarray
    precision: np.ndarray
    distances: np.ndarray

    @classmethod
    def fit(
        cls,
        classes: Sequence[str],
        strange: np.ndarray,
        inputs: np.ndarray,
        labels: np.ndarray,
        folds: np.ndarray,
        members: int,
    ) -> Doubt:
        """From N labelled objects.

        Parameters
        ----------
        classes : sequence of str
        strange : ndarray (N, K)
            `strangeness` by the member that did not see the object.
        inputs : ndarray (N, F)
            Scaled metadata (`tsc_core.bundle.Bundle.inputs`).
        labels, folds : ndarray (N,), int
            Index of the true class; the member that did not see the object.
        members : int
            How many members there are.
        """
        scores = {
            name: tuple(np.sort(strange[(labels == k) & (folds == fold), k]).round(4) for fold in range(members))
            for k, name in enumerate(classes)
        }
        own = np.empty(len(labels))
        for fold in np.unique(folds):
            others = folds != fold if (folds != fold).any() else folds == fold
            own[folds == fold] = distance(inputs[folds == fold], *_class_spread(inputs[others], labels[others]))
        kept = *_class_spread(inputs, labels), np.percentile(own, PERCENTILES)
        return cls(scores, *map(_short, kept))

    def p_values(self, strange: np.ndarray, own: int | None = None) -> dict[str, float]:
        """For each class, the share of its held-out objects that are at least as strange as this object would be.

        Parameters
        ----------
        strange : ndarray (M, K)
            By every member.
        own : int, optional
            The one member that did not see the object. It alone is asked then, and nothing else that it did not see,
            the object's own score among it, takes part.
        """
        found = {}
        for k, (name, by_member) in enumerate(self.scores.items()):
            above, total = 1, 1
            for m, row in enumerate(by_member):
                if m != own:
                    above += len(row) - np.searchsorted(row, strange[m if own is None else own, k])
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

    def unlike(self, inputs: np.ndarray) -> float:
        """Percentile of the distance of an object with metadata (F,) among those of held-out objects, 0 to 100."""
        return float(np.interp(distance(inputs[None], self.means, self.precision)[0], self.distances, PERCENTILES))

    def to_dict(self) -> dict:
        """Plain JSON values, from which `from_dict` makes the same again."""
        scores = {name: [row.tolist() for row in rows] for name, rows in self.scores.items()}
        return {"scores": scores, **{name: getattr(self, name).tolist() for name in ARRAYS}}

    @classmethod
    def from_dict(cls, values: Mapping, classes: Sequence[str], members: int, width: int) -> Doubt:
        """The inverse of `to_dict`, for a bundle with these classes and members and `width` numbers of metadata.

        Raises
        ------
        ValueError
            Where the values do not fit that bundle, or are not what `fit` gives.
        """
        scores = dict(values["scores"])
        if tuple(scores) != tuple(classes) or any(len(rows) != members for rows in scores.values()):
            raise ValueError(f"needs scores of {', '.join(classes)} by {members} members")
        if "precision" not in values:
            raise ValueError("is of an older version: train the bundle anew")
        arrays = [np.array(values[name], dtype=np.float64) for name in ARRAYS]
        kept = {name: tuple(np.array(row, dtype=np.float64) for row in rows) for name, rows in scores.items()}
        found = cls(kept, *arrays)
        found._check(width)
        return found

    def _check(self, width: int) -> None:
        known = 1 <= len(self.means) <= len(self.scores)
        if not known or self.means.shape[1:] != (width,) or self.precision.shape != (width, width):
            raise ValueError(f"needs means and a precision of {width} numbers of metadata")
        rows = [*(row for by_member in self.scores.values() for row in by_member), self.distances]
        if not all(np.isfinite(array).all() for array in (self.means, self.precision, *rows)):
            raise ValueError("needs finite numbers")
        if any(row.ndim != 1 or (np.diff(row) < 0).any() for row in rows) or len(rows[-1]) != len(PERCENTILES):
            raise ValueError("needs scores in ascending order, and 101 percentiles")


def _short(values: np.ndarray) -> np.ndarray:
    """Numbers to six figures, as a bundle keeps them."""
    return np.vectorize(lambda value: float(f"{value:.6g}"))(values)


def _class_spread(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (K', F) of the classes that there are, and inverse covariance (F, F) within them, of inputs (N, F)."""
    means, place = np.unique(labels, return_inverse=True)
    means = np.stack([inputs[labels == k].mean(0) for k in means]).astype(np.float64)
    within = inputs - means[place]
    covariance = within.T @ within / len(within)
    sphere = np.eye(len(covariance)) * max(np.trace(covariance) / len(covariance), 1e-9)
    return means, np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * sphere)


def distance(inputs: np.ndarray, means: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances (N,) of inputs (N, F) from the nearest of the means (K', F)."""
    apart = inputs[:, None] - means
    return (apart @ precision * apart).sum(-1).min(1)


def strangeness(logits: np.ndarray) -> np.ndarray:
    """Nonconformity (..., K) of each class, from tempered logits (..., K): its log-odds against it.

    Ranks objects as 1 - probability does, without ties where probabilities saturate.
    """
    values = np.asarray(logits, dtype=np.float64)
    own = np.eye(values.shape[-1], dtype=bool)
    return np.logaddexp.reduce(np.where(own, -np.inf, values[..., None, :]), axis=-1) - values
