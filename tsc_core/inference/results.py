"""Predictions as plain JSON values and as text: what `tsc classify` prints (public format, see the README)."""

from __future__ import annotations

import math

from tsc_core.alerts import AllWise, Prediction
from tsc_core.survey import ZTF


def as_json(prediction: Prediction, error: str | None = None) -> dict:
    """One object's line of `tsc classify --json`; NaN becomes null."""
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
        "steps": [
            {"n": step.n, "model": step.model, "probabilities": dict(step.probabilities)} for step in prediction.steps
        ],
        "flags": list(prediction.flags),
    }


def failed(oid: str, source: str, error: str) -> dict:
    """The line of an object that could not be read."""
    return as_json(Prediction(oid, source, (), ()), error)


def as_text(line: dict) -> str:
    """The same line for a person: detections with their reasons, then probabilities step by step."""
    rows = [f"{line['oid']}  ({line['source']})"]
    if line["error"]:
        rows.append(f"  error: {line['error']}")
    rows += [f"  note: {flag}" for flag in line["flags"]]
    for detection in line["detections"]:
        band = ZTF.bands.get(detection["fid"], "?")
        magnitude = "  -  " if detection["magpsf"] is None else f"{detection['magpsf']:5.2f}"
        mark = "*" if detection["used"] else " "
        reason = "" if detection["used"] else f"  {detection['reason']}"
        rows.append(f"  {mark} {detection['mjd']:.5f}  {band} {magnitude}  {detection['candid']}{reason}")
    for step in line["steps"]:
        ranked = sorted(step["probabilities"].items(), key=lambda item: -item[1])
        rows.append(f"  n={step['n']}  " + "  ".join(f"{k} {p:.3f}" for k, p in ranked) + f"  [{step['model']}]")
    return "\n".join(rows)


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
