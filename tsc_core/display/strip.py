"""The strip: every detection of an object side by side, with its stamps, a caption, and why it is not used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tsc_core.alerts import CHANNELS, Alert, AlertSequence
from tsc_core.display.stamps import Stretch, common_limits, draw_tile
from tsc_core.display.text import band_name, days_text, is_negative, magnitude_text, utc_text
from tsc_core.sources.alerce_answers import NO_PACKET
from tsc_core.sources.avro import HISTORY

MOST_TILES = 48
STAMPLESS = (HISTORY, NO_PACKET)  # detections that never had stamps of their own


@dataclass(frozen=True, slots=True)
class Tile:
    """One detection as drawn.

    Attributes
    ----------
    place : int
        Place in the sequence, from 0.
    png : bytes
        Stamps under each other; greyed where unused, hatched where there is none.
    title, caption : str
        Number and date; band, magnitude with error, and time since the first detection.
    reason : str or None
        Why no model uses the detection.
    alt : str
        The picture in words.
    """

    place: int
    png: bytes
    title: str
    caption: str
    reason: str | None
    alt: str


def first_place(sequence: AlertSequence, used: Collection[str]) -> int:
    """Place of the detection to begin with: the first used, else the first with stamps, else the first."""
    alerts = sequence.alerts
    tests = (lambda alert: alert.candid in used and alert.has_stamps, lambda alert: alert.has_stamps)
    return next((i for test in tests for i, alert in enumerate(alerts) if test(alert)), 0)


def shown_places(
    sequence: AlertSequence, selected: int, used: Collection[str] = (), *, history: bool = True, most: int = MOST_TILES
) -> list[int]:
    """Places of the detections that the strip shows, in time order.

    Parameters
    ----------
    history : bool
        Also those known only from later packets, which never had stamps; used ones are always shown.
    most : int
        Where there are more, those nearest to the selected one are shown, with stamps first.
    """

    def wanted(place: int) -> bool:
        alert = sequence.alerts[place]
        return history or place == selected or alert.candid in used or alert.missing not in STAMPLESS

    def rank(place: int) -> tuple[bool, bool, int]:
        return place != selected, not sequence.alerts[place].has_stamps, abs(place - selected)

    places = [place for place in range(len(sequence.alerts)) if wanted(place)]
    return sorted(sorted(places, key=rank)[:most])


def tiles(
    sequence: AlertSequence,
    reasons: Mapping[str, str],
    places: Sequence[int],
    *,
    channels: Sequence[str] = CHANNELS[:2],
    stretch: Stretch = "asinh",
    common: bool = False,
) -> list[Tile]:
    """Draw the detections at `places`.

    Parameters
    ----------
    reasons : mapping of candid to str
        Unused detections, as `select_alerts` gives them.
    common : bool
        One pair of limits for each band and channel over the whole sequence; else each stamp has its own.
    """
    limits = {channel: common_limits(sequence.alerts, channel, stretch) for channel in channels} if common else None
    start = sequence.alerts[0].mjd if sequence.alerts else 0.0
    drawn = []
    for place in places:
        alert = sequence.alerts[place]
        reason = reasons.get(alert.candid)
        png = draw_tile(alert, channels, stretch, limits, dim=reason is not None)
        title = f"{place + 1} · {utc_text(alert.mjd, '%Y-%m-%d')}"
        drawn.append(Tile(place, png, title, caption(alert, start), reason, _alt(alert, place, channels, reason)))
    return drawn


def caption(alert: Alert, start: float) -> str:
    """Band, magnitude with error, "(−)" for a negative difference, and time since `start` (MJD)."""
    sign = " (−)" * is_negative(alert)
    return f"{band_name(alert.fid)} {magnitude_text(alert)}{sign}, {days_text(alert.mjd - start)}"


def _alt(alert: Alert, place: int, channels: Sequence[str], reason: str | None) -> str:
    what = " and ".join(channels) + " stamps" if alert.has_stamps else "no stamps"
    return f"Detection {place + 1}: {what}" + (f"; not used: {reason}" if reason else "")


def legend(sequence: AlertSequence, places: Sequence[int], channels: Sequence[str], *, common: bool = False) -> str:
    """What the strip shows, in words; `common` as of `tiles`."""
    words = " above ".join(channels).capitalize()
    words += ", north up, east left, yellow bar 10″, purple: no data. Greyed: not used."
    if any(is_negative(sequence.alerts[place]) for place in places):
        words += " (−): negative difference, fainter than the reference."
    if common:
        words += " Same limits in each band: sky taken off, counts at one zero point where it is known."
    if left := [alert for place, alert in enumerate(sequence.alerts) if place not in places]:
        stamped = any(alert.has_stamps for alert in left)
        words += f" {len(places)} of {len(sequence.alerts)} detections in the strip"
        words += ": those nearest to the selected one." if stamped else "; the others are not used and have no stamps."
    return words
