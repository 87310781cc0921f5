"""Predictions as plain JSON values and as text: what `tsc classify` prints (public format, see the README)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tsc_core.alerts import AllWise, Prediction, Step
from tsc_core.inference.priors import natural, with_priors
from tsc_core.survey import ZTF


def line_of(prediction: Prediction, priors: Mapping[str, float] | None = None) -> dict:
    """One object's line under class frequencies (None: equal ones); without a step, its `error` is the reason."""
    found = with_priors(prediction, priors)
    return as_json(found, None if found.steps else found.flags[-1])


def as_json(prediction: Prediction, error: str | None = None) -> dict:
    """A prediction as it stands, with the keys of `tsc classify --json`; NaN becomes null."""
    return {
        "oid": prediction.oid,
        "source": prediction.source,
        "allwise": _allwise(prediction.allwise),
        "error": error,
        "detections": [
            {
                "candid": detection.candid,
                "mjd": detection.mjd,
                "fid": detection.fid,
                "magpsf": _number(detection.magpsf),
                "has_stamps": detection.has_stamps,
                "used": detection.used,
                "reason": detection.reason,
            }
            for detection in prediction.detections
        ],
        "steps": [_step(step) for step in prediction.steps],
        "flags": list(prediction.flags),
    }


def _step(step: Step) -> dict:
    """One step; what its bundle cannot tell has no key."""
    line = {"n": step.n, "model": step.model, "probabilities": dict(step.probabilities)}
    if step.priors is not None:
        line["priors"] = dict(step.priors)
        if len(set(step.priors.values())) == 1:
            line["natural"] = natural(step.probabilities)
    if step.low is not None and step.high is not None:
        line |= {"low": dict(step.low), "high": dict(step.high)}
    if step.conformal is not None:
        line |= {"conformal": list(step.conformal), "coverage": step.coverage}
    if step.unlike is not None:
        line["unlike"] = step.unlike
    return line


def failed(oid: str, source: str, error: str) -> dict:
    """The line of an object that could not be read."""
    return as_json(Prediction(oid, source, (), ()), error)


def as_text(line: dict) -> str:
    """The same line for a person: detections with their reasons, then probabilities step by step."""
    rows = [f"{line['oid']}  ({line['source']})"]
    if line["error"]:
        rows.append(f"  error: {line['error']}")
    rows += [f"  note: {flag}" for flag in line["flags"] if flag != line["error"]]
    for detection in line["detections"]:
        band = ZTF.bands.get(detection["fid"], "?")
        magnitude = "  -  " if detection["magpsf"] is None else f"{detection['magpsf']:5.2f}"
        mark = "*" if detection["used"] else " "
        reason = "" if detection["used"] else f"  {detection['reason']}"
        rows.append(f"  {mark} {detection['mjd']:.5f}  {band} {magnitude}  {detection['candid']}{reason}")
    for step in line["steps"]:
        ranked = sorted(step["probabilities"].items(), key=lambda item: -item[1])
        rows.append(f"  n={step['n']}  " + "  ".join(f"{k} {p:.3f}" for k, p in ranked) + f"  [{step['model']}]")
        rows += [f"       {text}" for text in _doubts(step, ranked[0][0])]
    if line.get("explanation"):
        rows += [f"  {text}" for text in _why(line["explanation"])]
    return "\n".join(rows)


def _why(found: dict, most: int = 8) -> list[str]:
    """The features that matter most to the last step, and the strongest patch of each stamp."""
    top, odds = found["top"], found["log_odds"]
    rows = [f"why {top} at n={found['n']}: log-odds {odds:+.2f}, changed by a feature at its mean or a hidden patch"]
    for feature in found["features"][:most]:
        value = "" if feature["value"] is None else f" = {feature['value']:.4g}"
        side = "for" if feature["change"] < 0 else "against"
        rows.append(f"  {feature['change']:+.2f}  {feature['name']}{value}, speaks {side} {top}")
    for patches in found["maps"]:
        cells = ((x, i, j) for i, row in enumerate(patches["change"], 1) for j, x in enumerate(row, 1))
        change, i, j = max(cells, key=lambda cell: abs(cell[0]))
        rows.append(f"  {change:+.2f}  {patches['channel']} of {patches['candid']}, patch {i} down and {j} across")
    return rows


def _doubts(step: dict, best: str) -> list[str]:
    """What a person should know beside the probabilities, as far as the step tells."""
    said = []
    if "low" in step:
        said.append(f"{best} {step['low'][best]:.3f} to {step['high'][best]:.3f} among the members")
    if "conformal" in step:
        said.append(f"{step['coverage']:.0%} set: {', '.join(step['conformal']) or 'none'}")
    rows = ["; ".join(said)] if said else []
    if "natural" in step:
        ranked = sorted(step["natural"].items(), key=lambda item: -item[1])
        rows.append("at natural rates: " + "  ".join(f"{k} {p:.3f}" for k, p in ranked))
    elif "priors" in step:
        rows.append("priors: " + "  ".join(f"{k} {p:.3f}" for k, p in step["priors"].items()))
    return rows


def _allwise(found: AllWise | None) -> dict | None:
    if found is None:
        return None
    bands = {band: _number(getattr(found, band)) for band in ("w1", "w2", "w3", "w4")}
    return {
        **bands,
        "separation_arcsec": _number(found.separation_arcsec),
        "designation": found.designation,
        "others": found.others,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
