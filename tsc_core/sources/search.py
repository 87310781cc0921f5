"""Finding objects: what a person writes (a position, days, ids) -> conditions of ALeRCE's list of objects."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tsc_core.survey import JD_TO_MJD, check_oid

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_RADIUS_ARCSEC = 30.0
MAX_RADIUS_ARCSEC = 3600.0
MAX_PAGE_SIZE = 1000
PAGE = "https://alerce.online/object/{oid}"
SHOWN = ("oid", "class_name", "probability", "classifier_name", "classifier_version", "ndet", "firstmjd", "lastmjd")
POSITIONED = ("meanra", "meandec")
UNIX_EPOCH_JD = 2440587.5

Day = float | str


def parse_position(text: str | tuple[float, float]) -> tuple[float, float]:
    """Right ascension and declination in degrees from "150.1 2.2", "10:00:24 +02:12:00" or "10h00m24s +2d12m".

    Raises
    ------
    ValueError
        For anything that is no position on the sky.
    """
    from astropy import units
    from astropy.coordinates import SkyCoord

    try:
        if isinstance(text, str):
            words = text.replace(",", " ").split()
            sexagesimal = len(words) > 2 or any(sign in text.lower() for sign in ":hm")
            joined = " ".join(words)
            point = SkyCoord(joined, unit=(units.hourangle if sexagesimal else units.deg, units.deg))
        else:
            point = SkyCoord(*map(float, text), unit=units.deg)
    except (ValueError, TypeError) as error:
        shown = str(text)[:60]
        raise ValueError(
            f"{shown!r} is no position ({str(error)[:80]}): e.g. 150.1 2.2 or 10:00:24 +02:12:00"
        ) from None
    if not math.isfinite(point.ra.deg + point.dec.deg):
        raise ValueError("a position needs two numbers")
    return float(point.ra.deg), float(point.dec.deg)


def parse_day(day: Day) -> float:
    """MJD of a day given as MJD, or as an ISO date (UTC).

    Raises
    ------
    ValueError
        For anything else.
    """
    try:
        number = float(day)
    except ValueError:
        try:
            moment = datetime.fromisoformat(str(day))
        except ValueError:
            raise ValueError(f"{str(day)[:40]!r} is no day: expected e.g. 2024-05-31 or an MJD") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp() / 86400.0 + UNIX_EPOCH_JD - JD_TO_MJD
    if not 15000.0 < number < 100000.0:
        raise ValueError(f"{day} is no MJD between 15000 and 100000")
    return number


def parse_oids(text: str) -> tuple[list[str], list[str]]:
    """Object ids of a text or file, and the words in it that are none; each in order, none twice.

    Words are separated by spaces, commas or lines; # begins a remark; a column title "oid" is passed over.
    """
    words = [word for line in text.splitlines() for word in re.split(r"[\s,;]+", line.partition("#")[0]) if word]
    named = dict.fromkeys(word for quoted in words if (word := quoted.strip("\"'")).lower() not in ("", "oid"))
    good, bad = [], []
    for word in named:
        try:
            good.append(check_oid(word))
        except ValueError:
            bad.append(word)
    return good, bad


def conditions(
    position: str | tuple[float, float] | None = None,
    radius_arcsec: float = DEFAULT_RADIUS_ARCSEC,
    oids: Iterable[str] = (),
    classifier: str | None = None,
    class_name: str | None = None,
    probability: float | None = None,
    ndet: tuple[int, int] | None = None,
    first: tuple[Day, Day] | None = None,
    last: tuple[Day, Day] | None = None,
    page: int = 1,
    page_size: int = 100,
) -> dict[str, object]:
    """Conditions as ALeRCE names them.

    Parameters
    ----------
    position : str or (float, float)
        Centre of a cone, degrees or sexagesimal; `radius_arcsec` is its radius.
    oids : iterable of str
        Object ids.
    classifier, class_name : str
        One of ALeRCE's classifiers and its class; `probability` is the least.
    ndet : (int, int)
        Range of the number of detections.
    first, last : (day, day)
        Ranges of the first and the last detection; MJD or ISO dates.
    page, page_size : int

    Raises
    ------
    ValueError
        For a value out of its range, by name.
    """
    asked: dict[str, object] = {"page": _within("page", page, 1, 100_000), "count": "false"}
    asked["page_size"] = _within("page_size", page_size, 1, MAX_PAGE_SIZE)
    if position is not None:
        asked["ra"], asked["dec"] = parse_position(position)
        asked["radius"] = _within("radius_arcsec", radius_arcsec, 0.0, MAX_RADIUS_ARCSEC)
    named = [check_oid(oid) for oid in oids]
    asked |= {"oid": named} if named else {}
    asked |= {
        name: _word(name, text) for name, text in (("classifier", classifier), ("class_name", class_name)) if text
    }
    if probability is not None:
        asked["probability"] = _within("probability", probability, 0.0, 1.0)
    if ndet is not None:
        asked["ndet"] = _range("ndet", [int(_within("ndet", bound, 0, 1_000_000)) for bound in ndet])
    asked |= {
        name: _range(name, [parse_day(day) for day in days])
        for name, days in (("firstmjd", first), ("lastmjd", last)) if days is not None
    }  # fmt: skip
    return asked


def _within(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}: needs {low:g} to {high:g}")
    return value


def _range(name: str, bounds: Sequence[float]) -> list[float]:
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        raise ValueError(f"{name} is {list(bounds)}: needs a lower and an upper bound")
    return list(bounds)


def _word(name: str, text: str) -> str:
    if not re.fullmatch(r"[\w./() -]{1,80}", text, re.ASCII):
        raise ValueError(f"{name} is {text[:40]!r}: needs letters, digits, '_', '-', '/', '(' and ')'")
    return text


def table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Rows of the list of objects as a table, with a link to each object's page at ALeRCE; empty without rows."""
    import pandas as pd

    columns = [*SHOWN, *POSITIONED]
    frame = pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=columns)
    frame["link"] = [PAGE.format(oid=oid) for oid in frame["oid"]]
    return frame
