"""The light curve: magnitudes of difference and of the object, and its figure."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from tsc_core.alerts import Alert, AlertSequence, UpperLimit
from tsc_core.display.plots import graph_objects
from tsc_core.display.text import band_name, is_negative, utc, utc_text
from tsc_core.evaluation.palette import band_style
from tsc_core.features import FEATURES, read

if TYPE_CHECKING:
    import plotly.graph_objects as go

TimeAxis = Literal["MJD", "UTC", "days"]
TIME_AXES: tuple[TimeAxis, ...] = get_args(TimeAxis)
NEAR_REFERENCE_ARCSEC = 1.4  # a reference source nearer than this is taken for the object itself, as ALeRCE does
RING, HALO = "rgba(128,128,128,0.95)", "#F0B400"
NEGATIVE = "<br>negative difference: fainter than the reference"
CORNER = {"xref": "paper", "yref": "paper", "x": 1, "y": 0, "xanchor": "right", "yanchor": "bottom", "showarrow": False}


@dataclass(frozen=True, slots=True)
class Point:
    """One detection of the light curve: its place in the sequence, and magnitude with error (NaN if unknown)."""

    place: int
    alert: Alert
    magnitude: float
    error: float


def corrected(alert: Alert) -> tuple[float, float]:
    """Apparent magnitude of the object and its error: the difference flux added to that of the reference.

    Taken from the record where the service gives it (`magpsf_corr`, `sigmapsf_corr_ext`), else computed from
    `magnr` (Foerster et al. 2021, AJ 161 242, appendix). NaN where the nearest reference source is further than
    1.4 arcsec, where a field is missing, or where the subtracted flux exceeds the reference.
    """
    if math.isfinite(given := alert.value("magpsf_corr")):
        return given, alert.value("sigmapsf_corr_ext")
    reference, difference, distance = alert.value("magnr"), alert.value("magpsf"), alert.value("distnr") * 1.01
    sign = read(alert, FEATURES["isdiffpos"])
    if not distance < NEAR_REFERENCE_ARCSEC or not math.isfinite(reference + difference + sign) or reference < 0:
        return math.nan, math.nan
    change = 10 ** (-0.4 * difference)
    flux = 10 ** (-0.4 * reference) + (change if sign else -change)
    if flux <= 0:
        return math.nan, math.nan
    return -2.5 * math.log10(flux), change * alert.value("sigmapsf") / flux


def points(sequence: AlertSequence, *, of_object: bool = False) -> list[Point]:
    """The detections with their difference magnitude, or with the object's (`corrected`)."""
    found = []
    for place, alert in enumerate(sequence.alerts):
        magnitude, error = corrected(alert) if of_object else (alert.value("magpsf"), alert.value("sigmapsf"))
        found.append(Point(place, alert, magnitude, error))
    return found


def light_curve(
    sequence: AlertSequence,
    *,
    used: Collection[str] = (),
    selected: int | None = None,
    time_axis: TimeAxis = "MJD",
    of_object: bool = False,
    with_limits: bool = True,
) -> go.Figure:
    """Magnitude against time, one legend entry for each band, which takes errors, limits and rings along.

    Markers of negative differences are hollow. What has no object magnitude is counted where that is drawn.

    Parameters
    ----------
    sequence : AlertSequence
    used : collection of str
        Candids of the detections that the models used: these are ringed.
    selected : int or None
        Place in the sequence of the detection marked by a line. Each point carries its own in `customdata`.
    time_axis : {"MJD", "UTC", "days"}
    of_object : bool
        The object's magnitude (`corrected`) instead of the difference's.
    with_limits : bool
        Draw 5-sigma limits of visits without a detection; they are of the difference, so never with `of_object`.
    """
    go = graph_objects()

    figure = go.Figure()
    every = points(sequence, of_object=of_object)
    drawn = [point for point in every if math.isfinite(point.magnitude)]
    start = sequence.alerts[0].mjd if sequence.alerts else 0.0
    limits = sequence.limits if with_limits and not of_object else ()
    for fid in sorted({point.alert.fid for point in drawn} | {limit.fid for limit in limits}):
        band = [point for point in drawn if point.alert.fid == fid]
        ringed = [point for point in band if point.alert.candid in used]
        for hollow in (False, True):
            found = [point for point in band if is_negative(point.alert) == hollow]
            figure.add_traces(_band(fid, found, start, time_axis, hollow))
        figure.add_trace(_rings(fid, ringed, start, time_axis))
        figure.add_trace(_limits(fid, [limit for limit in limits if limit.fid == fid], start, time_axis, not band))
    if of_object and len(drawn) < len(every):
        figure.add_annotation(text=_left_out(len(every) - len(drawn)), **CORNER)
    if selected is not None and 0 <= selected < len(sequence.alerts):
        x = _time(sequence.alerts[selected].mjd, start, time_axis)
        figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line={"color": HALO, "width": 2})
    titles = {"MJD": "MJD (days)", "UTC": "UTC", "days": "days since the first detection"}
    figure.update_layout(
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        height=360,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemdoubleclick": "toggleothers"},
        hovermode="closest",
        clickmode="event+select",
        uirevision=f"{sequence.source}/{sequence.oid}/{time_axis}/{of_object}",
    )
    figure.update_yaxes(
        autorange="reversed", title_text="object magnitude" if of_object else "difference magnitude", automargin=True
    )
    figure.update_xaxes(title_text=titles[time_axis], automargin=True, tickformat="" if time_axis == "UTC" else "~f")
    return figure


def _time(mjd: float, start: float, axis: TimeAxis) -> object:
    if axis == "UTC":
        return utc(mjd)
    return mjd if axis == "MJD" else mjd - start


def _band(fid: int, band: list[Point], start: float, axis: TimeAxis, hollow: bool) -> list[go.Scatter]:
    import plotly.graph_objects as go

    if not band:
        return []
    style, errors = band_style(fid), [p.error if math.isfinite(p.error) else 0.0 for p in band]
    name = f"{band_name(fid)} negative" if hollow else band_name(fid)
    trace = go.Scatter(
        x=[_time(p.alert.mjd, start, axis) for p in band],
        y=[p.magnitude for p in band],
        error_y={"type": "data", "array": errors, "thickness": 1.2, "width": 0},
        mode="markers",
        marker={"color": style.colour, "symbol": style.marker + "-open" * hollow, "size": 9, "line_width": 2 * hollow},
        name=f"{name} ({len(band)})",
        legendgroup=f"band {fid}",
        customdata=[[p.place] for p in band],
        text=[f"#{p.place + 1} · {utc_text(p.alert.mjd)} UTC · MJD {p.alert.mjd:.4f}" for p in band],
        hovertemplate="%{text}<br>%{y:.2f} mag" + NEGATIVE * hollow + "<extra>" + band_name(fid) + "</extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
    return [trace]


def _left_out(count: int) -> str:
    return "1 detection has no reference source" if count == 1 else f"{count} detections have no reference source"


def _rings(fid: int, ringed: list[Point], start: float, axis: TimeAxis) -> go.Scatter:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[_time(p.alert.mjd, start, axis) for p in ringed],
        y=[p.magnitude for p in ringed],
        mode="markers",
        marker={"color": RING, "symbol": "circle-open", "size": 18, "line": {"width": 2}},
        customdata=[[p.place] for p in ringed],
        name="used by the model",
        legendgroup=f"band {fid}",
        showlegend=False,
        hoverinfo="skip",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )


def _limits(fid: int, limits: list[UpperLimit], start: float, axis: TimeAxis, alone: bool) -> go.Scatter:
    import plotly.graph_objects as go

    return go.Scatter(
        x=[_time(limit.mjd, start, axis) for limit in limits],
        y=[limit.diffmaglim for limit in limits],
        mode="markers",
        marker={"color": band_style(fid).colour, "symbol": "triangle-down-open", "size": 7, "opacity": 0.6},
        name=f"{band_name(fid)} limits ({len(limits)})",
        legendgroup=f"band {fid}",
        showlegend=alone and bool(limits),
        text=[utc_text(limit.mjd) for limit in limits],
        hovertemplate="not detected, %{text} UTC<br>limit %{y:.2f} mag<extra>" + band_name(fid) + "</extra>",
    )
