"""What ALeRCE serves, one question each: asked through the real client, checked, and kept on disk.

The sessions of the `alerce` client, which know no deadline, are replaced by the project's (`http.Session`).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from tsc_core.alerts import Alert, AllWise, UpperLimit
from tsc_core.sources.alerce_answers import (
    CANDID,
    ClassProbability,
    check_candid,
    plain,
    read_detections,
    read_limits,
    read_objects,
    read_packet,
    read_probabilities,
)
from tsc_core.sources.allwise import AllWiseService
from tsc_core.sources.base import ObjectNotFound, Packet, SettingError, SourceError
from tsc_core.sources.cache import Cache, Kept
from tsc_core.sources.http import HttpError, Session
from tsc_core.sources.packets import MAX_PACKET
from tsc_core.sources.positions import Position, separation_arcsec
from tsc_core.survey import ZTF, check_oid

if TYPE_CHECKING:
    from alerce.core import Alerce

FRESH_S = 300.0  # an answer that changes is asked for again after this
SAME_ARCSEC = 0.1  # a cross-match made within this of a position is that position's
NEAR_ARCSEC = 1.0  # ... and within this, is better than none when the service is away

T = TypeVar("T")
Told = tuple[T, str | None]  # an answer, and a remark where it is not of now


def open_client(session: Session) -> Alerce:
    """The `alerce` client, led by ``ALERCE_CONFIG_PATH`` where set, over our session.

    Raises
    ------
    SettingError
        For a configuration that the client cannot use.
    """
    from alerce.core import Alerce

    try:
        client = Alerce()
        urls = client.legacy_ztf_client.ztf_url, client.legacy_stamps_client.config["AVRO_URL"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise SettingError(f"ALERCE_CONFIG_PATH: unusable configuration ({type(error).__name__}: {error})") from None
    for part in (client.legacy_ztf_client, client.legacy_stamps_client):
        part.session = session
    session.hosts |= {(urlsplit(url).scheme, urlsplit(url).netloc) for url in urls}
    return client


class AlerceService:
    """Questions to ALeRCE and to the cross-match. Safe to share between threads.

    Parameters
    ----------
    session : Session
    allwise : bool
        Whether the cross-match may be asked.
    """

    def __init__(self, session: Session, allwise: bool = True) -> None:
        self._session = session
        self._client = open_client(session)
        self._xmatch = AllWiseService(session) if allwise else None
        self._answers = Cache(urlsplit(self._client.legacy_ztf_client.ztf_url).netloc)
        self._packets = Cache(urlsplit(self._client.legacy_stamps_client.config["AVRO_URL"]).netloc)
        self._matches = Cache(urlsplit(self._xmatch.url).netloc) if self._xmatch else None

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the cache could not be written, if so."""
        caches = (self._answers, self._packets, self._matches)
        return tuple(dict.fromkeys(problem for cache in caches if cache for problem in cache.problems))

    @property
    def has_allwise(self) -> bool:
        """Whether the cross-match may be asked."""
        return self._xmatch is not None

    def detections(self, oid: str) -> Told[list[Alert]]:
        """The detections that ALeRCE lists, without stamps.

        Raises
        ------
        ObjectNotFound
            For an object that ALeRCE does not know, or knows without detections.
        SourceError
            Without a usable answer, now or kept.
        """
        try:
            found = self._changing(oid, "detections", self._ask_detections, lambda it: read_detections(oid, it))
        except HttpError as error:
            if error.status != 404:
                raise
            found = [], None
        if not found[0]:
            raise ObjectNotFound(self._why_none(oid))
        return found

    def _ask_detections(self, oid: str) -> object:
        """The list of detections; as part of the light curve where that list fails."""
        try:
            return self._client.query_detections(oid, survey=ZTF.name)
        except HttpError as error:
            if error.status == 404:
                raise
            try:
                return self._client.query_lightcurve(oid, survey=ZTF.name)["detections"]
            except SourceError:
                raise error from None

    def _why_none(self, oid: str) -> str:
        """Tell an id that ALeRCE does not have from an object without detections."""
        try:
            self._read("object", lambda: self._client.query_object(oid, survey=ZTF.name), lambda answer: answer)
        except HttpError as error:
            if error.status == 404:
                return f"{oid}: ALeRCE has no such object"
            return f"{oid}: ALeRCE lists no detections, and does not say whether it has the object ({plain(error)})"
        except SourceError as error:
            return f"{oid}: ALeRCE lists no detections ({plain(error)})"
        return f"{oid}: ALeRCE has the object, but lists no detections of it"

    def limits(self, oid: str) -> Told[list[UpperLimit]]:
        """Visits without a detection."""
        client = self._client
        return self._changing(
            oid, "non_detections", lambda name: client.query_non_detections(name, survey=ZTF.name), read_limits
        )

    def probabilities(self, oid: str) -> Told[list[ClassProbability]]:
        """ALeRCE's own probabilities, newest version of each classifier first."""
        client = self._client
        return self._changing(
            oid, "probabilities", lambda name: client.query_probabilities(name, survey=ZTF.name), read_probabilities
        )

    def objects(self, **conditions: object) -> list[dict[str, object]]:
        """Rows of one page of the list of objects."""
        query = self._client.query_objects
        return self._read("objects", lambda: query(survey=ZTF.name, format="json", **conditions), read_objects)

    def packet(self, oid: str, candid: str) -> Packet:
        """One alert packet, from the disk or from ALeRCE's store.

        Raises
        ------
        ValueError
            For a malformed id, before anything is asked.
        BadPacket
            For an answer that is no packet, or the packet of something else.
        HttpError
            Without an answer; `status` is 404 where the store does not have it.
        """
        kept = self._packets.get(check_oid(oid), check_candid(candid))
        if kept is not None:
            return read_packet(oid, candid, kept.data)
        with self._session.within(max_bytes=MAX_PACKET):
            raw = self._client.get_avro(oid, candid=candid, survey=ZTF.name)
        packet = read_packet(oid, candid, raw)
        self._packets.put(oid, candid, raw)
        return packet

    def kept_packets(self, oid: str) -> list[Packet]:
        """The packets on disk, when nothing else of an object can be had."""
        return [self.packet(oid, item) for item in self._packets.items(oid) if CANDID.fullmatch(item)]

    def allwise(self, oid: str, position: Position) -> Told[AllWise | None]:
        """The AllWISE source at a position (degrees) of an object; None without one."""
        kept = self._matches.get(oid, "allwise")
        match, distance = _read_match(kept, position)
        if distance <= SAME_ARCSEC:
            return match, None
        try:
            match = self._xmatch.match_one(position)
        except SourceError as error:
            if distance > NEAR_ARCSEC:
                raise
            return match, f"AllWISE as kept from {_date(kept)} ({plain(error)})"
        fields = {name: getattr(match, name) for name in AllWise.__slots__} if match else None
        self._matches.put(oid, "allwise", json.dumps({"position": position, "match": fields}).encode(), "json")
        return match, None

    def _changing(
        self, oid: str, item: str, ask: Callable[[str], object], read: Callable[[object], T]
    ) -> tuple[T, str | None]:
        """An answer that changes: kept for minutes, and for longer where the service does not answer."""
        kept = self._answers.get(check_oid(oid), item)
        if kept and 0 <= time.time() - kept.written < FRESH_S:
            return read(json.loads(kept.data)), None
        try:
            answer, value = self._read(item, lambda: ask(oid), lambda answer: (answer, read(answer)))
        except SourceError as error:
            if kept is None or getattr(error, "status", None) == 404:
                raise
            return read(json.loads(kept.data)), f"{item.replace('_', '-')} as kept from {_date(kept)} ({plain(error)})"
        if answer:
            self._answers.put(oid, item, json.dumps(answer).encode(), "json")
        return value, None

    def _read(self, what: str, ask: Callable[[], object], read: Callable[[object], T]) -> T:
        """Ask and read, with one kind of error for all the ways in which an answer can be wrong."""
        try:
            return read(ask())
        except SourceError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            why = "no JSON, or JSON that is cut" if "JSON" in type(error).__name__ else type(error).__name__
            raise SourceError(f"ALeRCE's {what.replace('_', '-')}: unreadable answer ({why})") from None


def _date(kept: Kept) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(kept.written))


def _read_match(kept: Kept | None, position: Position) -> tuple[AllWise | None, float]:
    """A kept cross-match and its distance from a position, arcsec; infinite without one."""
    if kept is None:
        return None, math.inf
    found = json.loads(kept.data)
    match = AllWise(**found["match"]) if found["match"] else None
    return match, separation_arcsec(tuple(found["position"]), position)
