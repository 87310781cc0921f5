"""What every source of alerts keeps to, and how detections from several packets become one sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from tsc_core.alerts import Alert, AlertSequence, UpperLimit
from tsc_core.sources.positions import Position, mean_position, strays
from tsc_core.survey import JD_TO_MJD, is_made

FIRST_NIGHT_MJD = 57754.0  # 2017-01-01: ZTF candids count days from here
ODD_DAYS = 0.01  # a record's time further than this from the candid's contradicts it
MAX_MJD = 200_000.0  # the year 2406: later is no time of an alert
MAX_FID = 255
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
    within 20 s. The packet's own record wins over history. A false position gives way to the others'.
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


def check_exposure(mjd: object, fid: object) -> tuple[float, int]:
    """Time and band of an exposure.

    Raises
    ------
    ValueError
        For a time outside 0 to `MAX_MJD`, NaN among them, or a band outside 0 to `MAX_FID`.
    TypeError, OverflowError
        For what is no number, or an integer beyond any.
    """
    time, band = float(mjd), int(fid)
    if not 0 <= time <= MAX_MJD:
        raise ValueError(f"MJD {time:g}: expected 0 to {MAX_MJD:g}")
    if not 0 <= band <= MAX_FID:
        raise ValueError(f"fid {band}: expected 0 to {MAX_FID}")
    return time, band


def candid_mjd(oid: str, candid: str) -> float | None:
    """MJD of the exposure as a ZTF candid states it in its leading digits; None where it states none."""
    if is_made(oid) or not (candid.isdecimal() and 17 <= len(candid) <= 19):
        return None
    return FIRST_NIGHT_MJD + int(candid) / 1e15


def true_mjd(oid: str, candid: str, mjd: float) -> float:
    """The time that a candid states, where a record's own, `mjd`, was overwritten on its way here; else `mjd`.

    In packets where the two disagree `jdendhist`, which ZTF wrote beside `jd`, agrees with the candid.
    """
    stated = candid_mjd(oid, candid)
    return mjd if stated is None or abs(mjd - stated) <= ODD_DAYS else stated


def _odd_times(alerts: tuple[Alert, ...]) -> tuple[str, ...]:
    """Say in one line how many records' `jd` contradict their candid, and how far."""
    late = [abs(alert.value("jd") - JD_TO_MJD - alert.mjd) for alert in alerts if not is_made(alert.oid)]
    odd = [days for days in late if days > ODD_DAYS]
    said = f"the jd of {len(odd)} detections is up to {max(odd, default=0):.2f} d off the time in their candid, "
    return (said + "which is used",) if odd else ()


def _without_strays(alerts: tuple[Alert, ...]) -> tuple[tuple[Alert, ...], tuple[str, ...]]:
    """The alerts, positions that cannot be the object's replaced, and a line that says which and how far off."""
    far = strays(alerts)
    if not far:
        return alerts, ()
    place = mean_position(alert for alert in alerts if alert.candid not in far)
    kept = tuple(_moved(alert, place) if alert.candid in far else alert for alert in alerts)
    instead = "that of the other detections is used" if place else "it counts as missing"
    candids, degrees = ", ".join(far), max(far.values()) / 3600
    return kept, (f"the position of {candids} is false, by up to {degrees:.3g} deg; {instead}",)


def _moved(alert: Alert, place: Position | None) -> Alert:
    """The alert at another position (degrees), or at none."""
    kept = {name: value for name, value in alert.record.items() if name not in ("ra", "dec")}
    return replace(alert, record=kept | dict(zip(("ra", "dec"), place or (), strict=False)))
