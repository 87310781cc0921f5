"""Which detections of an object a model uses: 63x63 stamps, one per 6 hours, a window of n (paper, Sec. 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tsc_core.alerts import CHANNELS, Alert, AlertSequence
from tsc_core.survey import MAX_DETECTIONS, MIN_GAP_HOURS, ZTF

Window = Literal["first", "last"]
WINDOWS: tuple[Window, ...] = ("first", "last")
NEAR = 1e-6  # hours: 6 h to the second is 6 h, whatever the last digit of a Julian date


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The detections a model may use, and why each of the others is not.

    Attributes
    ----------
    window : {"first", "last"}
    used : tuple of Alert
        At most n, ascending in time.
    reasons : Mapping of candid to str
        One entry for each detection that is not used.
    """

    window: Window
    used: tuple[Alert, ...]
    reasons: Mapping[str, str]


def stamp_fault(alert: Alert) -> str | None:
    """Why the stamps of an alert that has some cannot be used; None if they can.

    A stamp that is not 63x63 drops the alert (paper, Sec. 2); so does one without a single finite pixel.
    """
    side = ZTF.stamp_size
    for name in CHANNELS:
        pixels = alert.stamps.channel(name)
        if pixels.shape != (side, side):
            return f"{name} stamp is {'x'.join(map(str, pixels.shape))}, not {side}x{side}"
        if not np.isfinite(pixels).any():
            return f"{name} stamp has no pixels: all NaN"
    return None


def select_alerts(sequence: AlertSequence, window: Window = "first", n: int = MAX_DETECTIONS) -> Selection:
    """Choose the detections that count.

    Parameters
    ----------
    sequence : AlertSequence
    window : {"first", "last"}
        "first": the n earliest detections with stamps, as in the paper. "last": the n most recent epochs up
        to the newest packet, earlier detections without stamps included.
    n : int
        Detections wanted at most.

    Raises
    ------
    ValueError
        For another window.
    """
    if window not in WINDOWS:
        raise ValueError(f"window is {window!r}: needs one of {', '.join(WINDOWS)}")
    reasons, usable = {}, []
    for alert in sequence.alerts:
        fault = _fault(alert, need_stamps=window == "first")
        if fault:
            reasons[alert.candid] = fault
        else:
            usable.append(alert)
    used = _first(usable, n, reasons) if window == "first" else _last(usable, n, reasons)
    return Selection(window, used, reasons)


def window_of(selection: Selection, n: int) -> tuple[Alert, ...] | None:
    """The n detections that a model for n takes: the first n, or the n most recent; None if there are fewer."""
    if len(selection.used) < n:
        return None
    return selection.used[:n] if selection.window == "first" else selection.used[len(selection.used) - n :]


def _fault(alert: Alert, need_stamps: bool) -> str | None:
    if alert.stamps is not None:
        return stamp_fault(alert)
    return f"no stamp ({alert.missing or 'none came'})" if need_stamps else None


def _hours(earlier: Alert, later: Alert) -> float:
    return (later.mjd - earlier.mjd) * 24.0


def _first(usable: list[Alert], n: int, reasons: dict[str, str]) -> tuple[Alert, ...]:
    kept: list[Alert] = []
    for alert in usable:
        if kept and (gap := _hours(kept[-1], alert)) < MIN_GAP_HOURS - NEAR:
            reasons[alert.candid] = f"{gap:.1f} h after the previous one: less than {MIN_GAP_HOURS:g} h is one epoch"
        elif len(kept) == n:
            reasons[alert.candid] = f"after the first {n}"
        else:
            kept.append(alert)
    return tuple(kept)


def _last(usable: list[Alert], n: int, reasons: dict[str, str]) -> tuple[Alert, ...]:
    newest = next((a for a in reversed(usable) if a.has_stamps), usable[-1] if usable else None)
    kept: list[Alert] = []  # newest first
    for alert in reversed(usable):
        if not kept and alert is not newest:
            reasons[alert.candid] = "after the newest packet"
        elif kept and (gap := _hours(alert, kept[-1])) < MIN_GAP_HOURS - NEAR:
            reasons[alert.candid] = f"{gap:.1f} h before the next one: less than {MIN_GAP_HOURS:g} h is one epoch"
        elif len(kept) == n:
            reasons[alert.candid] = f"before the last {n}"
        else:
            kept.append(alert)
    return tuple(reversed(kept))
