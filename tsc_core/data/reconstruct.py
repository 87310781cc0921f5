"""Earlier science stamps from a later packet: an estimate, for training only, and marked as such.

A packet carries earlier detections without pixels. What changed at the object's place is in the packet's own
difference image; scaled by the ratio of fluxes and laid on the template with fresh noise, it stands for the earlier
exposure. Seeing, background and subtraction faults of that night are not known and stay those of the packet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tsc_core.alerts import Alert, AlertSequence, Stamps
from tsc_core.features import FEATURES, read
from tsc_core.survey import ZTF

MARK = "reconstructed"
WINDOW_RADIUS, WINDOW_EDGE = 7.0, 1.0  # pixels around the object in which the difference is light, not only noise
LARGEST_RATIO = 5.0  # beyond it the noise of the difference would be drawn instead of the object
FILL_NOISE = 1.4826  # median absolute deviation to standard deviation


def reconstruct(sequence: AlertSequence, rng: np.random.Generator) -> AlertSequence:
    """The sequence with stamps for earlier detections where a later packet in the same band allows.

    A detection keeps having no stamps where no packet of its band has full-size ones, or where it was more than
    `LARGEST_RATIO` times as bright as that packet. Reconstructed alerts have ``record["reconstructed"]`` True.
    """
    donors = [alert for alert in sequence.alerts if _is_donor(alert)]
    return replace(sequence, alerts=tuple(_reconstructed(alert, donors, rng) for alert in sequence.alerts))


def _is_donor(alert: Alert) -> bool:
    whole = alert.stamps is not None and alert.stamps.shape == (ZTF.stamp_size,) * 2
    return whole and MARK not in alert.record and math.isfinite(_flux(alert))


def _flux(alert: Alert) -> float:
    """Signed flux of the difference in units of magnitude 0; NaN where it is not known."""
    sign = {1.0: 1.0, 0.0: -1.0}.get(read(alert, FEATURES["isdiffpos"]), math.nan)
    return sign * 10 ** (-0.4 * alert.value("magpsf"))


def _reconstructed(alert: Alert, donors: Sequence[Alert], rng: np.random.Generator) -> Alert:
    same_band = [donor for donor in donors if donor.fid == alert.fid]
    if alert.stamps is not None or not same_band:
        return alert
    donor = min(same_band, key=lambda other: abs(other.mjd - alert.mjd))
    ratio = _flux(alert) / _flux(donor)
    if not abs(ratio) <= LARGEST_RATIO:
        return alert
    stamps = _stamps(donor, ratio, math.copysign(1.0, _flux(alert)), _noise_ratio(alert, donor), rng)
    return replace(alert, stamps=stamps, missing=None, record={**alert.record, MARK: True})


def _noise_ratio(alert: Alert, donor: Alert) -> float:
    """How much noisier the earlier exposure was, by the limits of both; 1 where one is unknown."""
    deeper = donor.value("diffmaglim") - alert.value("diffmaglim")
    return float(np.clip(10 ** (0.4 * deeper), 0.5, 2.0)) if math.isfinite(deeper) else 1.0


def _stamps(donor: Alert, ratio: float, sign: float, noisier: float, rng: np.random.Generator) -> Stamps:
    """Template as it is; science and difference with the change scaled by `ratio`. NaN stays NaN."""
    difference = donor.stamps.difference * math.copysign(1.0, _flux(donor))
    level = np.nanmedian(difference)
    grain = FILL_NOISE * float(np.nanmedian(np.abs(difference - level)))
    change = ratio * _window() * (difference - level)
    # The scaled difference brings noise of its own; only what is missing is added.
    added = np.sqrt(np.clip((noisier * grain) ** 2 - (ratio * _window() * grain) ** 2, 0.0, None))
    change = change + added * rng.standard_normal(difference.shape)
    science = donor.stamps.template + change
    return Stamps(science.astype(np.float32), donor.stamps.template, (sign * change).astype(np.float32))


def _window() -> np.ndarray:
    """1 around the stamp's centre, falling to 0 outside, (H, W)."""
    axis = np.arange(ZTF.stamp_size) - ZTF.stamp_size // 2
    radius = np.hypot(axis[:, None], axis)
    return 1.0 / (1.0 + np.exp((radius - WINDOW_RADIUS) / WINDOW_EDGE))
