"""Probabilities for class frequencies other than the equal ones that the models are trained with.

Bayes' rule: each probability times the ratio of the wanted frequency to the trained one, renormalised. Conformal sets
hold for each class by itself and stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from tsc_core.alerts import Prediction, Step
from tsc_core.survey import CLASSES, NATURAL_COUNTS


def reweighted(probabilities: Mapping[str, float], priors: Mapping[str, float]) -> dict[str, float]:
    """Probabilities under other class frequencies.

    Parameters
    ----------
    probabilities : Mapping of class to float
        Under equal frequencies.
    priors : Mapping of class to float
        Wanted frequencies, relative to one another; a class that is not named cannot occur.

    Raises
    ------
    ValueError
        Where none of the classes can occur.
    """
    weights = {name: p * priors.get(name, 0.0) for name, p in probabilities.items()}
    total = sum(weights.values())
    if not total > 0:
        raise ValueError(f"none of {', '.join(probabilities)} can occur under the priors {dict(priors)}")
    return {name: weight / total for name, weight in weights.items()}


def read_priors(text: str) -> dict[str, float] | None:
    """Frequencies from "natural", "balanced" (None), or "AGN=0.3,SN=0.1,VS=0.6".

    Raises
    ------
    ValueError
        For anything else, an unknown class or one named twice, or a frequency that is negative or no number.
    """
    if text in ("natural", "balanced"):
        return dict(NATURAL_COUNTS) if text == "natural" else None
    found = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        try:
            if not equals:
                raise ValueError(f"{part!r} has no frequency")
            if (known := _class(name.strip())) in found:
                raise ValueError(f"{known} is there twice")
            found[known] = _frequency(value)
        except ValueError as error:
            raise ValueError(f"priors {text!r}: {error}; needs natural, balanced, or AGN=0.3,SN=0.1,...") from None
    if not sum(found.values()) > 0:
        raise ValueError(f"priors {text!r}: one class at least needs to occur")
    return found


def _class(name: str) -> str:
    if name not in CLASSES:
        raise ValueError(f"{name!r} is not among {', '.join(CLASSES)}")
    return name


def _frequency(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{text!r} is no frequency")
    return value


def natural(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Balanced probabilities at the rates of `NATURAL_COUNTS`."""
    return reweighted(probabilities, NATURAL_COUNTS)


def with_priors(prediction: Prediction, priors: Mapping[str, float] | None) -> Prediction:
    """A prediction under class frequencies, which each step then names; None: equal ones.

    A step none of whose classes can occur is left out, and a flag says so; other flags are of all steps.
    """
    able = [priors is None or _can_occur(step, priors) for step in prediction.steps]
    steps = tuple(_step(step, priors) for step, can in zip(prediction.steps, able, strict=True) if can)
    lost = ", ".join(str(step.n) for step, can in zip(prediction.steps, able, strict=True) if not can)
    flags = (f"no class of the model at n = {lost} can occur under the priors",) if lost else ()
    return replace(prediction, steps=steps, flags=(*prediction.flags, *flags))


def _can_occur(step: Step, priors: Mapping[str, float]) -> bool:
    return any(p > 0 and priors.get(name, 0.0) > 0 for name, p in step.probabilities.items())


def _step(step: Step, priors: Mapping[str, float] | None) -> Step:
    shares = reweighted(dict.fromkeys(step.probabilities, 1.0), priors or dict.fromkeys(step.probabilities, 1.0))
    if priors is None:
        return replace(step, priors=shares)
    found = replace(step, probabilities=reweighted(step.probabilities, priors), priors=shares)
    if step.low is None or step.high is None:
        return found
    bounds = {side: {c: _bound(step, c, p, shares) for c, p in getattr(step, side).items()} for side in ("low", "high")}
    return replace(found, **bounds)


def _bound(step: Step, name: str, bound: float, priors: Mapping[str, float]) -> float:
    """A bound on one probability, re-weighted by the odds of its class against all others as they stand."""
    others = {c: p for c, p in step.probabilities.items() if c != name}
    rest = sum(p * priors[c] for c, p in others.items()) / (sum(others.values()) or 1.0)
    total = bound * priors[name] + (1 - bound) * rest
    return bound * priors[name] / total if total > 0 else float(priors[name] > 0)
