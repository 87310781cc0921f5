"""The metadata as data: each feature's name, unit, kind and clip limits, and how it is read from an alert.

The 23 of the paper (arXiv:2405.15073, Table 3) come first; `EXTRAS` are ours, chosen not to age with the
survey. Coordinates are closed-form rotations of ICRS, compared with `astropy.coordinates` by the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from tsc_core.alerts import Alert, AllWise
from tsc_core.survey import JD_TO_MJD, ZTF

Limit = float | Literal["min", "max"]
Kind = Literal["static", "dynamic"]
LIMITLESS: tuple[Limit, Limit] = ("min", "max")


@dataclass(frozen=True, slots=True)
class Feature:
    """One number of an alert.

    Attributes
    ----------
    name, unit : str
        The name is the record's field where there is one.
    kind : {"static", "dynamic"}
        Static features enter the head once per object, dynamic ones once per detection.
    low, high : float or {"min", "max"}
        Clip limits; "min" and "max" stand for the extremes of the training set.
    """

    name: str
    unit: str
    kind: Kind
    low: Limit = "min"
    high: Limit = "max"


def _group(kind: Kind, limits: tuple[Limit, Limit], unit: str, *names: str) -> tuple[Feature, ...]:
    return tuple(Feature(name, unit, kind, *limits) for name in names)


PAPER = (
    *_group("dynamic", LIMITLESS, "1 for a positive difference, 0 for a negative", "isdiffpos"),
    *_group("dynamic", ("min", 10.0), "pixel", "fwhm"),
    *_group("dynamic", LIMITLESS, "mag", "magpsf", "sigmapsf", "diffmaglim"),
    *_group("dynamic", LIMITLESS, "probability", "classtar"),
    *_group("dynamic", ("min", 20.0), "count", "ndethist"),
    *_group("dynamic", ("min", 3000.0), "count", "ncovhist"),
    *_group("dynamic", ("min", 2000.0), "count", "non_detections"),
    *_group("static", (-1.0, "max"), "probability", "sgscore1", "sgscore2", "sgscore3"),
    *_group("static", (-1.0, "max"), "arcsec", "distpsnr1", "distpsnr2", "distpsnr3"),
    *_group("static", LIMITLESS, "deg", "ra", "dec", "gal_lat", "gal_lon", "ecl_lat", "ecl_lon"),
    *_group("static", (-1.0, 15.0), "reduced chi-square", "chinr"),
    *_group("static", (-1.0, 1.5), "pixel", "sharpnr"),
)
EXTRAS = (
    *_group("dynamic", (-5.0, 10.0), "mag", "mag_minus_ref", "magap_minus_magpsf", "mag_below_limit"),
    *_group("dynamic", (-2.0, 2.0), "log10 arcsec", "log_distnr"),
    *_group("dynamic", (-2.0, 3.0), "log10", "log_chipsf", "log_scorr"),
    *_group("dynamic", (0.0, 10.0), "ratio", "elong", "seeratio", "sumrat"),
    *_group("dynamic", (0.0, 25.0), "count", "nneg"),
    *_group("dynamic", (0.0, 1.0), "flag", "is_g"),
    *_group("dynamic", (0.0, 1.0), "score", "rb", "drb"),
    *_group("dynamic", (-3.0, 0.0), "log10 of a fraction", "log_detected_fraction"),
    *_group("dynamic", (-2.0, 2.3), "log10 day", "log_age"),
    *_group("static", (-2.0, 1.8), "log10 arcsec", "log_neargaia", "log_distpsnr1"),
    *_group("static", (0.0, 3.0), "log10 of a count", "log_nmtchps"),
    *_group("static", (10.0, 24.0), "mag", "magnr", "ps1_r1", "gaia_mag"),
    *_group("static", (0.0, 0.5), "mag", "sigmagnr"),
    *_group("static", (-2.0, 4.0), "mag", "ps1_gr1", "ps1_ri1", "ps1_iz1", "ref_minus_ps1", "gaia_minus_ps1"),
    *_group("static", (0.0, 90.0), "deg", "abs_gal_lat", "abs_ecl_lat"),
)
FEATURES: dict[str, Feature] = {feature.name: feature for feature in PAPER + EXTRAS}
OURS = frozenset(feature.name for feature in EXTRAS)
DYNAMIC = tuple(feature.name for feature in PAPER if feature.kind == "dynamic")
STATIC = tuple(feature.name for feature in PAPER if feature.kind == "static")
COLOURS = ("W1-W2", "W2-W3", "W3-W4")  # AllWISE, Vega mag


def lookup(names: tuple[str, ...], kind: Kind) -> tuple[Feature, ...]:
    """Rows of the table by name.

    Raises
    ------
    ValueError
        For a name that is not in the table, or of the other kind.
    """
    for name in names:
        if name not in FEATURES:
            raise ValueError(f"unknown feature {name!r}; the table has {', '.join(FEATURES)}")
        if FEATURES[name].kind != kind:
            raise ValueError(f"feature {name!r} is {FEATURES[name].kind}, but is listed as {kind}")
    return tuple(FEATURES[name] for name in names)


# ICRS north galactic pole (ra, dec) and the galactic longitude of the north celestial pole, degrees (IAU 1958, J2000),
# and the J2000 mean obliquity (IAU 2006).
_GALACTIC_POLE = (192.85947789, 27.12825241, 122.93191814)
_OBLIQUITY = 23.4392794


def galactic(ra: float, dec: float) -> tuple[float, float]:
    """Galactic longitude in [0, 360) and latitude, degrees, of an ICRS position in degrees."""
    pole_ra, pole_dec, pole_lon = (math.radians(x) for x in _GALACTIC_POLE)
    a, d = math.radians(ra) - pole_ra, math.radians(dec)
    sin_b = math.sin(d) * math.sin(pole_dec) + math.cos(d) * math.cos(pole_dec) * math.cos(a)
    y = math.cos(d) * math.sin(a)
    x = math.sin(d) * math.cos(pole_dec) - math.cos(d) * math.sin(pole_dec) * math.cos(a)
    return math.degrees(pole_lon - math.atan2(y, x)) % 360.0, math.degrees(math.asin(max(-1.0, min(1.0, sin_b))))


def ecliptic(ra: float, dec: float) -> tuple[float, float]:
    """Mean ecliptic longitude in [0, 360) and latitude (J2000), degrees, of an ICRS position in degrees."""
    tilt, a, d = math.radians(_OBLIQUITY), math.radians(ra), math.radians(dec)
    sin_b = math.sin(d) * math.cos(tilt) - math.cos(d) * math.sin(tilt) * math.sin(a)
    y = math.sin(a) * math.cos(tilt) + math.tan(d) * math.sin(tilt)
    return math.degrees(math.atan2(y, math.cos(a))) % 360.0, math.degrees(math.asin(max(-1.0, min(1.0, sin_b))))


def _isdiffpos(alert: Alert) -> float:
    """1 for "t", "1", 1, 0 for "f", "0", 0, -1 (packets and the API spell it differently), else NaN."""
    found = str(alert.record.get("isdiffpos", "")).strip().lower()
    return {"t": 1.0, "true": 1.0, "1": 1.0, "1.0": 1.0}.get(
        found, 0.0 if found in ("f", "false", "0", "0.0", "-1", "-1.0") else math.nan
    )


def _difference(first: str, second: str) -> Callable[[Alert], float]:
    return lambda alert: _known(alert, first) - _known(alert, second)


# Where ZTF looks for a field's counterpart, arcsec (ZTF alert schema), by the field with its distance. Packets of one
# night carry constants beyond (sgscore1 0.2, distpsnr1 120, neargaia 300) although other fields tell of a counterpart:
# unknown, not absent.
SEARCHED = {f"{name}{rank}": (f"distpsnr{rank}", 30.0) for name in ("sgscore", "distpsnr") for rank in (1, 2, 3)}
SEARCHED["neargaia"] = ("neargaia", 90.0)


def _measured(alert: Alert, name: str) -> float:
    """The field, NaN where its counterpart lies farther away than ZTF looks for any."""
    if name in SEARCHED:
        distance, within = SEARCHED[name]
        if alert.value(distance) > within:
            return math.nan
    return alert.value(name)


def _known(alert: Alert, name: str) -> float:
    """The field, with ZTF's -999 for "missing" as NaN."""
    value = _measured(alert, name)
    return math.nan if value <= -99.0 else value


def _position(system: Callable[[float, float], tuple[float, float]], axis: int) -> Callable[[Alert], float]:
    def read(alert: Alert) -> float:
        ra, dec = alert.value("ra"), alert.value("dec")
        return system(ra, dec)[axis] if math.isfinite(ra + dec) else math.nan

    return read


def _ratio(alert: Alert) -> float:
    visits = alert.value("ncovhist")
    return alert.value("ndethist") / visits if visits > 0 else math.nan


def _log10(value: float) -> float:
    """log10 with a floor of 0.01, so that a distance or time of 0 is a small one; NaN stays NaN."""
    return math.log10(max(value, 0.01)) if math.isfinite(value) else math.nan


Reader = Callable[[Alert], float]
Rows = dict[Alert, list[float]]  # raw values of one set of features
DERIVED: dict[str, Reader] = {
    "isdiffpos": _isdiffpos,
    "non_detections": _difference("ncovhist", "ndethist"),
    "gal_lon": _position(galactic, 0),
    "gal_lat": _position(galactic, 1),
    "ecl_lon": _position(ecliptic, 0),
    "ecl_lat": _position(ecliptic, 1),
    "abs_gal_lat": lambda alert: abs(DERIVED["gal_lat"](alert)),
    "abs_ecl_lat": lambda alert: abs(DERIVED["ecl_lat"](alert)),
    "mag_minus_ref": _difference("magpsf", "magnr"),
    "magap_minus_magpsf": _difference("magap", "magpsf"),
    "mag_below_limit": _difference("diffmaglim", "magpsf"),
    "is_g": lambda alert: float(alert.fid == 1),
    "log_distnr": lambda alert: _log10(_known(alert, "distnr") * ZTF.pixel_arcsec),
    "log_chipsf": lambda alert: _log10(_known(alert, "chipsf")),
    "log_scorr": lambda alert: _log10(_known(alert, "scorr")),
    "log_neargaia": lambda alert: _log10(_known(alert, "neargaia")),
    "log_distpsnr1": lambda alert: _log10(_known(alert, "distpsnr1")),
    "log_nmtchps": lambda alert: _log10(_known(alert, "nmtchps") + 1),  # PS1 sources within 30 arcsec: crowding
    "log_detected_fraction": lambda alert: _log10(_ratio(alert)),
    "log_age": lambda alert: _log10(alert.mjd + JD_TO_MJD - _known(alert, "jdstarthist")),  # saturates at 200 d
    "ps1_r1": lambda alert: _known(alert, "srmag1"),
    "gaia_mag": lambda alert: _known(alert, "maggaia"),
    "ref_minus_ps1": _difference("magnr", "srmag1"),
    "gaia_minus_ps1": _difference("maggaia", "srmag1"),
    "ps1_gr1": _difference("sgmag1", "srmag1"),
    "ps1_ri1": _difference("srmag1", "simag1"),
    "ps1_iz1": _difference("simag1", "szmag1"),
}


@cache
def _reader(name: str) -> Reader:
    """What reads a feature: looked up once, for it reads some forty numbers of every alert."""
    if name in DERIVED:
        return DERIVED[name]
    return (lambda alert: _known(alert, name)) if name in OURS else (lambda alert: _measured(alert, name))


def read(alert: Alert, feature: Feature) -> float:
    """Raw value of a feature of one alert, in the feature's unit; NaN where the alert lacks it."""
    return _reader(feature.name)(alert)


def _row(alert: Alert, readers: list[Reader], known: Rows | None) -> list[float]:
    if known is None:
        return [read(alert) for read in readers]
    if alert not in known:
        known[alert] = [read(alert) for read in readers]
    return known[alert]


def read_dynamic(alerts: tuple[Alert, ...], features: tuple[Feature, ...], known: Rows | None = None) -> np.ndarray:
    """Raw dynamic features, (A, D) float64, NaN where missing.

    `known` keeps what was read of each alert, for windows that share alerts; it belongs to one set of features.
    """
    readers = [_reader(feature.name) for feature in features]
    return np.array([_row(alert, readers, known) for alert in alerts]).reshape(len(alerts), len(features))


def read_static(alerts: tuple[Alert, ...], features: tuple[Feature, ...], known: Rows | None = None) -> np.ndarray:
    """Raw static features, (S,) float64: of the first alert that has the value, NaN where none has."""
    readers = [_reader(feature.name) for feature in features]
    values = np.full(len(features), np.nan)
    for alert in alerts:
        missing = ~np.isfinite(values)
        if not missing.any():
            break
        values[missing] = np.array(_row(alert, readers, known))[missing]
    return np.where(np.isfinite(values), values, np.nan)


def read_colours(allwise: AllWise | None) -> np.ndarray:
    """W1-W2, W2-W3, W3-W4 in mag, (3,) float64, NaN where missing."""
    return np.array(allwise.colours if allwise else (math.nan,) * len(COLOURS))


def time_differences(alerts: tuple[Alert, ...]) -> np.ndarray:
    """Days since the previous alert, (A,) float64; 0 for the first."""
    days = np.array([alert.mjd for alert in alerts])
    return days - np.concatenate((days[:1], days[:-1]))
