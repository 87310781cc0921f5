"""AllWISE magnitudes at a position: one request to the CDS cross-match service for one object or for thousands."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from tsc_core.alerts import AllWise
from tsc_core.sources.base import SettingError, SourceError
from tsc_core.sources.http import Session
from tsc_core.sources.positions import Position, separation_arcsec

if TYPE_CHECKING:
    from astropy.table import Table

CATALOGUE = "vizier:II/328/allwise"
RADIUS_ARCSEC = 2.0  # paper, Sec. 2
DEFAULT_URL = "http://cdsxmatch.u-strasbg.fr/xmatch/api/v1/sync"  # as astroquery has it
LOCATION = "TSC_XMATCH_URL"
BYTES_PER_POSITION = 4096  # of an answer, several matches included
ROW, RA, DEC = "tsc_row", "tsc_ra", "tsc_dec"

DESIGNATION = re.compile(r"[\w.+-]{1,40}", re.ASCII)


class AllWiseService:
    """The cross-match service, asked through `astroquery` over the project's own session.

    Parameters
    ----------
    session : Session
        Brings the deadlines, retries and bounds.
    url : str, optional
        ``TSC_XMATCH_URL``, else CDS.
    """

    def __init__(self, session: Session, url: str | None = None) -> None:
        self.url = url or os.environ.get(LOCATION) or DEFAULT_URL
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingError(f"{LOCATION} is {self.url[:80]!r}: needs an http(s) address")
        session.hosts.add((parts.scheme, parts.netloc))
        self._session = session
        self._client = _client(session, self.url)

    def match(self, positions: Mapping[str, Position], radius: float = RADIUS_ARCSEC) -> dict[str, AllWise | None]:
        """The nearest AllWISE source within `radius` arcsec of each position (degrees), None without one.

        Raises
        ------
        SourceError
            Without a usable answer: then nothing is known of any of them.
        """
        if not positions:
            return {}
        from astropy import units
        from astropy.table import Table

        ra, dec = np.array(list(positions.values()), dtype=float).T
        asked = Table({ROW: np.arange(len(ra)), RA: ra, DEC: dec})
        most = max(self._session.limits.max_bytes, BYTES_PER_POSITION * len(ra))
        with self._session.within(time.monotonic() + self._session.limits.object_s, most):
            return self._matched(list(positions), asked, radius * units.arcsec)

    def match_one(self, position: Position, radius: float = RADIUS_ARCSEC) -> AllWise | None:
        """As `match`, of one position."""
        return self.match({"": position}, radius)[""]

    def _matched(self, names: list[str], asked: Table, radius: object) -> dict[str, AllWise | None]:
        try:
            found = self._client.query(asked, CATALOGUE, radius, colRA1=RA, colDec1=DEC, cache=False)
            return _nearest(names, asked, found, float(radius.value))
        except SourceError:
            raise
        except Exception as error:  # a VOTable parser raises many kinds on a broken answer, all mean the same here
            raise SourceError(f"AllWISE: unreadable answer ({type(error).__name__})") from None


def _client(session: Session, url: str) -> object:
    """`astroquery`'s cross-match client without its own session, cache files and request for the list of tables."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints about an optional package on import
        from astroquery.xmatch import XMatchClass

    class Client(XMatchClass):
        URL = url

        def _request(self, method: str, url: str, **kwargs: object) -> object:
            return session.request(method, url, data=kwargs.get("data"), files=kwargs.get("files"))

        def is_table_available(self, table_id: object) -> bool:
            return table_id == CATALOGUE

    return Client()


def _nearest(names: list[str], asked: Table, found: Table, radius: float) -> dict[str, AllWise | None]:
    """The nearest of the rows found for each row asked."""
    candidates: dict[int, list[AllWise]] = {}
    for line in found:
        row = int(line[ROW]) if ROW in found.colnames else 0
        if not 0 <= row < len(names) or (ROW not in found.colnames and len(names) > 1):
            raise SourceError("AllWISE: the answer does not say which position it is for")
        source = _source(line, (float(asked[RA][row]), float(asked[DEC][row])))
        if source.separation_arcsec <= radius:
            candidates.setdefault(row, []).append(source)
    result: dict[str, AllWise | None] = dict.fromkeys(names)
    for row, sources in candidates.items():
        best = min(sources, key=lambda source: (source.separation_arcsec, source.designation))
        bands = (best.w1, best.w2, best.w3, best.w4)
        result[names[row]] = AllWise(*bands, best.separation_arcsec, best.designation, len(sources) - 1)
    return result


def _source(line: object, centre: Position) -> AllWise:
    """One row of the answer as an `AllWise`."""
    separation = _number(line, "angDist")
    if math.isnan(separation):
        separation = separation_arcsec(centre, (_number(line, "RAJ2000"), _number(line, "DEJ2000")))
    bands = (_band(line, band) for band in "1234")
    name = str(line["AllWISE"]) if "AllWISE" in line.colnames else ""
    return AllWise(*bands, separation, name if DESIGNATION.fullmatch(name) else "")


def _band(line: object, band: str) -> float:
    """A magnitude, NaN where the catalogue has an upper limit: one without an error."""
    error = f"e_W{band}mag"
    limit = error in line.colnames and math.isnan(_number(line, error))
    return math.nan if limit else _number(line, f"W{band}mag")


def _number(line: object, column: str) -> float:
    """A cell as a float, NaN where the column is absent or the cell is empty."""
    if column not in line.colnames or np.ma.is_masked(line[column]):
        return math.nan
    try:
        return float(line[column])
    except (TypeError, ValueError):
        return math.nan
