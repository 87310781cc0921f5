"""Positions of an object's detections: their mean, how far two lie apart, and which cannot be the object's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from tsc_core.alerts import Alert
from tsc_core.survey import ZTF

STRAY_ARCSEC = 10.0  # detections of an object lie within 2 arcsec; false positions were found degrees away

Position = tuple[float, float]  # right ascension and declination, degrees, J2000


def mean_position(alerts: Iterable[Alert]) -> Position | None:
    """Mean right ascension and declination of detections, degrees; None where none has a position.

    Taken between unit vectors, so that detections on both sides of 0 h have a mean at 0 h.
    """
    known = _directions(alerts)
    if not len(known):
        return None
    x, y, z = known.mean(0)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def separation_arcsec(a: Position, b: Position) -> float:
    """Angle between two positions (degrees), arcsec; haversine, exact for small ones. NaN for NaN."""
    (ra1, dec1), (ra2, dec2) = np.radians(a), np.radians(b)
    h = math.sin((dec2 - dec1) / 2) ** 2 + math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(h)))) * 3600 if math.isfinite(h) else math.nan


def strays(alerts: Sequence[Alert]) -> dict[str, float]:
    """Candids of detections whose position cannot be the object's, with how far it is off, arcsec.

    Such a position contradicts the detection's own record, which tells the nearest source of the reference image
    (`ranr`, `decnr`) and how far it is (`distnr`, pixels), or lies far from where most of the others are. Of two
    that disagree and may both be true, both.
    """
    placed = [alert for alert in alerts if math.isfinite(alert.value("ra") + alert.value("dec"))]
    wrong = {alert.candid: angle for alert in placed if (angle := _contradicted(alert)) > STRAY_ARCSEC}
    placed = [alert for alert in placed if alert.candid not in wrong]
    return wrong | _astray(placed) if len(placed) > 1 else wrong


def _contradicted(alert: Alert) -> float:
    """Nearest reference source: its distance as stated less that of the positions, arcsec; NaN: unknown."""
    ra, dec, pixels = (alert.value(name) for name in ("ranr", "decnr", "distnr"))
    if not (ra >= 0 and abs(dec) <= 90 and pixels >= 0):  # -999 stands for none
        return math.nan
    return abs(separation_arcsec((alert.value("ra"), alert.value("dec")), (ra, dec)) - pixels * ZTF.pixel_arcsec)


def _astray(placed: Sequence[Alert]) -> dict[str, float]:
    """Of detections with positions, those far from the median one."""
    known = _directions(placed)
    middle = np.median(known, axis=0)
    chord = np.linalg.norm(known - middle / max(np.linalg.norm(middle), 1e-9), axis=1)
    apart = np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1.0))) * 3600
    found = zip(placed, apart.tolist(), strict=True)
    return {alert.candid: angle for alert, angle in found if angle > STRAY_ARCSEC}


def _directions(alerts: Iterable[Alert]) -> np.ndarray:
    """Unit vectors (N, 3) of the detections that have a position."""
    pairs = [(alert.value("ra"), alert.value("dec")) for alert in alerts]
    ra, dec = np.radians([pair for pair in pairs if math.isfinite(sum(pair))] or np.empty((0, 2))).T
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
