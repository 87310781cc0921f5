"""What every source of alerts keeps to, and how detections from several packets become one sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from tsc_core.alerts import Alert, AlertSequence, UpperLimit
from tsc_core.sources.positions import strays
from tsc_core.survey import is_made

JD_TO_MJD = 2400000.5
FIRST_NIGHT_MJD = 57754.0  # 2017-01-01: ZTF candids count days from here
ODD_DAYS = 0.01  # a record's time further than this from the candid's contradicts it
LATER = "may come another time"  # in a flag: the sequence lacks something that a later fetch can bring


class SourceError(Exception):
    """An object or packet that could not be read; the message is for a person."""


class SettingError(SourceError, ValueError):
    """An environment variable that cannot be used."""


class ObjectNotFound(SourceError):
    """The source has no such object."""


class BadPacket(SourceError):
    """Bytes that are no usable alert packet."""


@runtime_checkable
class Source(Protocol):
    """An object id -> `AlertSequence`.

    Attributes
    ----------
    name : str
        Written into sequences and results.
    problems : tuple of str
        Items of the source that could not be read, each named, with the reason.
    """

    name: str
    problems: tuple[str, ...]

    def oids(self) -> tuple[str, ...]:
        """Ids that can be listed; empty where the source cannot list."""

    def fetch(self, oid: str) -> AlertSequence:
        """Read one object; raises `ValueError` for a malformed id, `SourceError` where it cannot be had."""


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One decoded alert packet: its own alert, and the earlier detections and upper limits it carries."""

    alert: Alert
    history: tuple[Alert, ...] = ()
    limits: tuple[UpperLimit, ...] = ()


def merge(
    oid: str,
    source: str,
    packets: Sequence[Packet],
    detections: Iterable[Alert] = (),
    limits: Iterable[UpperLimit] = (),
) -> AlertSequence:
    """One sequence from packets, their history, and detections known otherwise.

    Packets are the same detection if their candids agree. One known otherwise is the same as another if the
    candids agree, also after rounding to a double (some brokers' files carry such), or if band and time agree
    within 20 s. The packet's own record wins over history. A position far from the others' counts as missing.
    """
    ordered = sorted(packets, key=lambda packet: -packet.alert.mjd)
    stamped_last = sorted((packet.alert for packet in ordered), key=lambda alert: alert.has_stamps)
    kept = list({alert.candid: alert for alert in stamped_last}.values())
    known = {key for alert in kept for key in _identities(alert)}
    for alert in (*detections, *(alert for packet in ordered for alert in packet.history)):
        keys = _identities(alert)
        if not known.intersection(keys):
            kept.append(alert)
        known.update(keys)
    visits = {
        (round(limit.mjd, 5), limit.fid): limit
        for limit in [*limits, *(limit for packet in ordered for limit in packet.limits)]
    }
    alerts = tuple(sorted(kept, key=lambda alert: (alert.mjd, alert.candid)))
    flags = _odd_times(alerts)
    alerts, moved = _without_strays(alerts)
    return AlertSequence(oid, source, alerts, tuple(visits[key] for key in sorted(visits)), flags=(*flags, *moved))


def _identities(alert: Alert) -> tuple[object, ...]:
    """Keys of which one shared means "the same detection"."""
    tick = round(alert.mjd * 8640)  # 10 s; an exposure takes 30 s, so the next begins later than all that share one
    times = tuple((alert.fid, near) for near in (tick - 1, tick, tick + 1))
    rounded = (float(alert.candid),) if alert.candid.isdecimal() else ()
    return (alert.candid, *rounded, *times)


def candid_mjd(alert_oid: str, candid: str) -> float | None:
    """MJD of the exposure as a ZTF candid states it in its leading digits; None where it states none."""
    if is_made(alert_oid) or not (candid.isdecimal() and 17 <= len(candid) <= 19):
        return None
    return FIRST_NIGHT_MJD + int(candid) / 1e15


def _odd_times(alerts: tuple[Alert, ...]) -> tuple[str, ...]:
    """Say in one line which records' `jd` contradict their candid, and which time is used."""
    odd = [alert for alert in alerts if _lateness(alert) > ODD_DAYS]
    kept = [alert.candid for alert in odd if alert.mjd != candid_mjd(alert.oid, alert.candid)]
    mended = len(odd) - len(kept)
    said = []
    if mended:
        said.append(f"the jd of {mended} earlier detections contradicts their candid; the candid's time is used")
    if kept:
        worst = max(_lateness(alert) for alert in odd if alert.candid in kept)
        said.append(f"the jd of {', '.join(kept)} is up to {worst:.2f} d off the time in its candid; jd is used")
    return tuple(said)


def _lateness(alert: Alert) -> float:
    stated, jd = candid_mjd(alert.oid, alert.candid), alert.value("jd")
    return abs(jd - JD_TO_MJD - stated) if stated is not None else 0.0


def _without_strays(alerts: tuple[Alert, ...]) -> tuple[tuple[Alert, ...], tuple[str, ...]]:
    """The alerts, positions taken away that cannot be the object's, and a line that says which and how far off."""
    far = strays(alerts)
    if not far:
        return alerts, ()
    kept = tuple(_nowhere(alert) if alert.candid in far else alert for alert in alerts)
    candids, degrees = ", ".join(far), max(far.values()) / 3600
    return kept, (f"the position of {candids} is up to {degrees:.3g} deg off the other detections; it is not used",)


def _nowhere(alert: Alert) -> Alert:
    return replace(alert, record={name: value for name, value in alert.record.items() if name not in ("ra", "dec")})
