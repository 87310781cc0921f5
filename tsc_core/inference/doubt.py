"""How far a prediction is to be trusted: spread of the members, conformal sets, likeness to the training data.

Conformal sets are class-conditional ("Mondrian", Vovk 2012) and cross-conformal (Vovk 2015): each class is tested
against real objects of that class, every one scored by the member that was trained without it. A class is in the
set unless fewer than 1 - coverage of its own objects looked as strange. Priors do not enter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from tsc_core.alerts import Step

COVERAGE = 0.9
UNLIKE_ABOVE = 99.0  # percentile of the training objects from which on an object is called unlike them
PERCENTILES = np.arange(101)


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """What is kept of held-out objects after n detections, M members and K classes.

    Attributes
    ----------
    scores : dict of class to tuple of M ndarray
        Strangeness of the class's own objects, ascending, by the member that did not see them.
    energy : ndarray (101,)
        Percentiles 0, 1, ... 100 of the energy of held-out objects.
    """

    scores: dict[str, tuple[np.ndarray, ...]]
    energy: np.ndarray

    @classmethod
    def fit(cls, classes: Sequence[str], strange: np.ndarray, energy: np.ndarray, labels: np.ndarray,
            folds: np.ndarray, members: int) -> Doubt:  # fmt: skip
        """From N held-out objects.

        Parameters
        ----------
        classes : sequence of str
        strange : ndarray (N, K)
            `strangeness` of each object's held-out logits.
        energy : ndarray (N,)
        labels, folds : ndarray (N,), int
            Index of the true class; the member that did not see the object.
        members : int
            M.
        """
        scores = {
            name: tuple(np.sort(strange[(labels == k) & (folds == fold), k]) for fold in range(members))
            for k, name in enumerate(classes)
        }
        return cls(scores, np.percentile(energy, PERCENTILES))

    def p_values(self, strange: np.ndarray, own: int | None = None) -> dict[str, float]:
        """For each class, the share of its held-out objects that are at least as strange as this object would be.

        Parameters
        ----------
        strange : ndarray (M, K), or (1, K) with `own`
            By every member, or by the member that did not see the object.
        own : int, optional
            That member. Objects of its own fold, this one among them, then do not take part.
        """
        found = {}
        for k, (name, by_member) in enumerate(self.scores.items()):
            others = [m for m in range(len(by_member)) if m != own]
            values = {m: strange[0 if own is not None else m, k] for m in others}
            above = sum(len(by_member[m]) - np.searchsorted(by_member[m], values[m]) for m in others)
            found[name] = float((1 + above) / (1 + sum(len(by_member[m]) for m in others)))
        return found

    def conformal(self, strange: np.ndarray, coverage: float = COVERAGE, own: int | None = None) -> tuple[str, ...]:
        """Classes that cannot be ruled out; holds the true one for `coverage` of the objects of each class.

        A class with fewer than 1 / (1 - coverage) - 1 held-out objects can never be ruled out.
        """
        limit = 1 - coverage + 1e-9  # 1 - 0.9 is a little less than 0.1
        return tuple(name for name, p in self.p_values(strange, own).items() if p > limit)

    def percentile(self, energy: float) -> float:
        """Where an energy lies among those of held-out objects, 0 to 100; 100 beyond the greatest."""
        return float(np.interp(energy, self.energy, PERCENTILES, right=100.0))

    def to_dict(self) -> dict:
        """Plain JSON values."""
        scores = {name: [np.round(row, 4).tolist() for row in rows] for name, rows in self.scores.items()}
        return {"scores": scores, "energy": self.energy.round(4).tolist()}

    @classmethod
    def from_dict(cls, values: Mapping) -> Doubt:
        """The inverse of `to_dict`, to four decimals (`tsc_core.bundle` has checked the shapes)."""
        scores = {name: tuple(np.array(row, float) for row in rows) for name, rows in values["scores"].items()}
        return cls(scores, np.array(values["energy"], float))


def strangeness(logits: np.ndarray) -> np.ndarray:
    """Nonconformity (..., K) of each class, from tempered logits (..., K): its log-odds against it.

    Ranks objects as 1 - probability does, without ties where probabilities saturate.
    """
    values = np.asarray(logits, dtype=np.float64)
    others = np.stack([logsumexp(np.delete(values, k, axis=-1), axis=-1) for k in range(values.shape[-1])], axis=-1)
    return others - values


def energy(logits: np.ndarray) -> float:
    """Energy of one object, -logsumexp of its logits (M, K), averaged over members (Liu et al. 2020)."""
    return float(-logsumexp(np.asarray(logits, dtype=np.float64), axis=-1).mean())


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
        return f"{reason} at n = {places}: the probabilities mean little"
    return f"the models abstain at n = {places}: {reason}"
