"""Live objects from ALeRCE: the detections it lists, the packets a window needs, AllWISE beside them.

Two round trips: the lists, then packets and cross-match, all that is independent at the same time. Each service
fails alone: what could not be had is named in `AlertSequence.flags` and `Alert.missing`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tsc_core.alerts import Alert, AlertSequence, AllWise, Stamps, UpperLimit
from tsc_core.preprocessing.quality import WINDOWS, Window, select_alerts, stamp_fault
from tsc_core.sources.alerce_answers import ClassProbability, check_candid, plain
from tsc_core.sources.alerce_service import AlerceService
from tsc_core.sources.asking import Asking
from tsc_core.sources.base import LATER, ObjectNotFound, Packet, SourceError, merge
from tsc_core.sources.http import HttpError, Limits, Session
from tsc_core.sources.positions import mean_position
from tsc_core.sources.search import conditions, table
from tsc_core.survey import MAX_DETECTIONS, ZTF, check_oid

if TYPE_CHECKING:
    import pandas as pd

NOT_ASKED = "its packet was not asked for: "
UNNEEDED = "the window does without it"
GONE = "its packet is gone from ALeRCE's store"
MAX_LOST = 15  # packets found gone or unusable before giving up on an object's others
LISTED_ONLY = ("magpsf_corr", "sigmapsf_corr", "sigmapsf_corr_ext", "corrected", "dubious", "has_stamp")
REMEMBERED = 100

Progress = Callable[[str, int, int], None]


class AlerceSource:
    """Objects as ALeRCE has them now. Safe to share between threads.

    Opening it imports the client, which takes a second or two; an object then costs two round trips.

    Parameters
    ----------
    window : {"first", "last"}
        Which detections get their stamps, as `preprocessing.quality.select_alerts` chooses them.
    n : int
        How many of them.
    progress : callable, optional
        Called as ``progress(what, done, total)``, in the thread that called `fetch`: "detections", then "stamps",
        then "AllWISE" and "upper limits".
    deadline_s : float, optional
        Seconds for one object; `Limits.object_s` by default.
    allwise : bool
        Whether to ask for the cross-match.
    limits : Limits, optional
        `Limits.from_environment()` by default.
    """

    name = "alerce"

    def __init__(
        self,
        window: Window = "first",
        n: int = MAX_DETECTIONS,
        progress: Progress | None = None,
        deadline_s: float | None = None,
        *,
        allwise: bool = True,
        limits: Limits | None = None,
    ) -> None:
        if window not in WINDOWS:
            raise ValueError(f"window is {window!r}: needs one of {', '.join(WINDOWS)}")
        limits = limits or Limits.from_environment()
        self.limits = replace(limits, object_s=deadline_s) if deadline_s is not None else limits
        self.window, self.n, self._progress = window, n, progress
        self.session = Session(self.limits)
        self._service = AlerceService(self.session, allwise)
        self._problems: deque[str] = deque(maxlen=REMEMBERED)

    def __enter__(self) -> AlerceSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    @property
    def problems(self) -> tuple[str, ...]:
        """Objects that could not be had so far, each with the reason. What is missing of others is in their flags."""
        return tuple(self._problems)

    def oids(self) -> tuple[str, ...]:
        """Empty: ALeRCE has more objects than anyone lists; see `search`."""
        return ()

    def fetch(self, oid: str, progress: Progress | None = None) -> AlertSequence:
        """One object: all its detections, those of the window with stamps, upper limits and AllWISE.

        Raises
        ------
        ValueError
            For a malformed id, before any request.
        ObjectNotFound
            Where ALeRCE has no such object or no detection of it.
        SourceError
            Where its detections could not be had.
        """
        check_oid(oid)
        with Asking(self.session, self.limits.object_s) as asking:
            fetch = _Fetch(self._service, asking, oid, self.window, self.n, progress or self._progress or _silent)
            try:
                sequence = fetch.run()
            except SourceError as error:
                self._problems.append(str(error))
                raise
        return replace(sequence, flags=(*sequence.flags, *self._service.problems))

    def fetch_packet(self, oid: str, candid: str) -> Alert:
        """One detection with its stamps, from the disk or from ALeRCE; raises as `fetch`."""
        check_oid(oid)
        with self.session.within(time.monotonic() + self.limits.object_s):
            return self._service.packet(oid, check_candid(candid)).alert

    def fetch_packets(
        self, oid: str, candids: Iterable[str], progress: Progress | None = None
    ) -> dict[str, Alert | str]:
        """Several detections of an object with their stamps, asked for together; in its place, why one did not come."""
        wanted = [check_candid(candid) for candid in candids]
        found: dict[str, Alert | str] = {}
        with Asking(self.session, self.limits.object_s) as asking:
            asked = {asking.ask(self._service.packet, check_oid(oid), candid): candid for candid in wanted}
            for future in asking.completed(asked):
                packet, reason = asking.outcome(future)
                found[asked[future]] = packet.alert if packet else _why(reason)
                (progress or self._progress or _silent)("stamps", len(found), len(wanted))
        return {candid: found[candid] for candid in wanted}

    def probabilities(self, oid: str) -> list[ClassProbability]:
        """ALeRCE's own (classifier, version, class, probability), newest version of each classifier first."""
        check_oid(oid)
        with self.session.within(time.monotonic() + self.limits.object_s):
            return self._service.probabilities(oid)[0]

    def search(self, **wanted: object) -> pd.DataFrame:
        """One page of objects that fit; the keywords are those of `search.conditions`.

        Returns
        -------
        DataFrame
            Columns oid, class_name, probability, classifier_name, classifier_version, ndet, firstmjd, lastmjd, meanra,
            meandec (degrees), link (the object's page at ALeRCE). Missing values are None or NaN.
        """
        asked = conditions(**wanted)
        with self.session.within(time.monotonic() + self.limits.object_s):
            return table(self._service.objects(**asked))


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody follows."""


def _why(error: SourceError) -> str:
    if getattr(error, "status", None) == 404:
        return f"{GONE} (HTTP 404)"
    return f"its packet did not come: {plain(error)}" + (f" ({LATER})" if _passing(error) else "")


def _passing(error: SourceError | None) -> bool:
    """Whether the same question may have an answer later."""
    return isinstance(error, HttpError) and error.passing


class _Fetch:
    """The reading of one object: what was listed, what came, what did not and why."""

    def __init__(
        self, service: AlerceService, asking: Asking, oid: str, window: Window, n: int, progress: Progress
    ) -> None:
        self.service, self.asking, self.oid, self.progress = service, asking, oid, progress
        self.window, self.n = window, n
        self.flags: list[str] = []
        self.listed: list[Alert] = []
        self.packets: dict[str, Packet] = {}
        self.failed: dict[str, str] = {}  # candid -> why its packet did not come
        self.lost: set[str] = set()  # packets that are gone or unusable: others take their places
        self.spare: Mapping[str, str] = {}  # candid -> why the window does without it

    def run(self) -> AlertSequence:
        """Ask for everything; raises `SourceError` only where no detection is known."""
        limits = self.asking.ask_aside(self.service.limits, self.oid)
        self.listed = self._detections()
        self.progress("detections", 1, 1)
        position = mean_position(self.listed)
        asked = self.service.has_allwise and position is not None
        allwise = self.asking.ask_aside(self.service.allwise, self.oid, position) if asked else None
        self._fetch_packets()
        match, was_asked = self._allwise(allwise)
        self._flag_failed()
        return self._sequence(self._limits(limits), match, was_asked)

    def _detections(self) -> list[Alert]:
        self.progress("detections", 0, 1)
        found, error = self.asking.outcome(self.asking.ask(self.service.detections, self.oid))
        if error is None:
            listed, remark = found
            self.flags += [remark] if remark else []
            return listed
        kept = [] if isinstance(error, ObjectNotFound) else self.service.kept_packets(self.oid)
        if isinstance(error, ObjectNotFound):
            raise error
        if not kept:
            raise SourceError(f"{self.oid}: its detections could not be had: {plain(error)}")
        self.packets = {packet.alert.candid: packet for packet in kept}
        self.flags.append(
            f"the list of detections did not come, it {LATER} ({plain(error)}): only packets kept from before are shown"
        )
        return [replace(packet.alert, stamps=None) for packet in kept]

    def _fetch_packets(self) -> None:
        """Packets of the window; where one is gone or unusable, of the detection that takes its place."""
        done = 0
        while (wanted := self._wanted()) and self.asking.time_left and len(self.lost) < MAX_LOST:
            total = done + len(wanted)
            self.progress("stamps", done, total)
            asked = {self.asking.ask(self.service.packet, self.oid, candid): candid for candid in wanted}
            for future in self.asking.completed(asked):
                self._take(asked[future], *self.asking.outcome(future))
                done += 1
                self.progress("stamps", done, total)
        if wanted and len(self.lost) >= MAX_LOST:
            self.flags.append(f"{len(self.lost)} packets are gone or unusable: no further ones were asked for")
        elif wanted:
            self.failed |= dict.fromkeys(wanted, f"no time was left for its packet: it {LATER}")

    def _wanted(self) -> list[str]:
        """Candids that the window would use and whose packets were not asked for yet.

        A packet that failed to come, but may come another time, keeps its place: nothing else stands in for it.
        """
        sequence = self._merged()
        tried = self.packets.keys() | self.lost
        hopeful = {alert.candid for alert in self.listed if alert.missing is None} - tried
        supposed = tuple(
            replace(a, stamps=_PLACE) if a.candid in hopeful and not a.stamps else a for a in sequence.alerts
        )
        selection = select_alerts(replace(sequence, alerts=supposed), self.window, self.n)
        self.spare = selection.reasons
        return [alert.candid for alert in selection.used if alert.stamps is _PLACE and alert.candid not in self.failed]

    def _take(self, candid: str, packet: Packet | None, error: SourceError | None) -> None:
        if packet is not None:
            self.packets[candid] = packet
            if packet.alert.stamps is None or stamp_fault(packet.alert):
                self.lost.add(candid)
            return
        self.failed[candid] = _why(error)
        if not _passing(error):
            self.lost.add(candid)

    def _flag_failed(self) -> None:
        self.flags += [f"detection {candid}: {reason}" for candid, reason in sorted(self.failed.items())]

    def _allwise(self, asked: Future | None) -> tuple[AllWise | None, bool]:
        if asked is None:
            return None, False
        self.progress("AllWISE", 0, 1)
        found, error = self.asking.outcome(asked)
        self.progress("AllWISE", 1, 1)
        if error is not None:
            self.flags.append(
                f"AllWISE colours are missing: {plain(error)}" + (f" ({LATER})" if _passing(error) else "")
            )
            return None, False
        match, remark = found
        self.flags += [remark] if remark else []
        return match, True

    def _limits(self, asked: Future) -> list[UpperLimit]:
        self.progress("upper limits", 0, 1)
        found, error = self.asking.outcome(asked)
        self.progress("upper limits", 1, 1)
        if error is not None:
            self.flags.append(f"upper limits are those in the packets alone: {plain(error)}")
            return []
        limits, remark = found
        self.flags += [remark] if remark else []
        return limits

    def _merged(self, limits: Iterable[UpperLimit] = ()) -> AlertSequence:
        """Packets, their history, and what only ALeRCE's list has; a packet's history says more than that list."""
        known = {alert.candid for packet in self.packets.values() for alert in packet.history}
        others = [alert for alert in self.listed if alert.candid not in known]
        return merge(self.oid, AlerceSource.name, list(self.packets.values()), others, limits)

    def _sequence(self, limits: list[UpperLimit], allwise: AllWise | None, asked: bool) -> AlertSequence:
        sequence, listed = self._merged(limits), {alert.candid: alert for alert in self.listed}
        alerts = tuple(self._complete(alert, listed.get(alert.candid)) for alert in sequence.alerts)
        flags = (*sequence.flags, *self.flags)
        return replace(sequence, alerts=alerts, allwise=allwise, allwise_asked=asked, flags=flags)

    def _complete(self, alert: Alert, listed: Alert | None) -> Alert:
        """Add what only ALeRCE's list says, and why there are no stamps."""
        if listed is None:
            return alert
        extra = {name: listed.record[name] for name in LISTED_ONLY if name in listed.record}
        missing = plain(alert.missing) if alert.missing else None
        if alert.stamps is None and alert.candid not in self.packets:
            missing = (
                self.failed.get(alert.candid) or listed.missing or NOT_ASKED + self.spare.get(alert.candid, UNNEEDED)
            )
        return replace(alert, record={**extra, **alert.record}, missing=missing)


_PLACE = Stamps(*[np.zeros((ZTF.stamp_size, ZTF.stamp_size), dtype=np.float32)] * 3)  # of stamps still to come
