"""How far a prediction is to be trusted, in words: spread of the members, and why no single class should be named.

What is kept of held-out objects for it, conformal sets and likeness to the training data, is `tsc_core.models.doubt`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsc_core.alerts import Step

UNLIKE_ABOVE = 97.5  # percentile of held-out objects from which on an object is called unlike the training data


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
