"""Probabilities as detections accumulate: the figure this project exists for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsc_core.alerts import Step
from tsc_core.display.plots import graph_objects
from tsc_core.display.text import plain_plotly
from tsc_core.evaluation.palette import class_style
from tsc_core.survey import CLASSES

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, slots=True)
class Reference:
    """Another classifier's probabilities of the object: drawn as dashed lines, never as ours."""

    label: str
    probabilities: Mapping[str, float]


def progression(
    steps: Sequence[Step],
    *,
    references: Sequence[Reference] = (),
    selected: int | None = None,
) -> go.Figure:
    """Probability against number of detections, one line per class.

    Parameters
    ----------
    steps : sequence of Step
        Ours, one for each n; the bundle's name stands below n, what its members span is a bar and a shade.
    references : sequence of Reference
        Other classifiers; only classes that we have too are drawn.
    selected : int or None
        The n marked by a line.
    """
    go = graph_objects()

    figure = go.Figure()
    names = [name for name in CLASSES if any(name in step.probabilities for step in steps)]
    for name in names:
        figure.add_traces(_class_traces(name, [step for step in steps if name in step.probabilities]))
    for reference in references:
        figure.add_traces(_reference_traces(reference, names))
    if selected is not None:
        figure.add_vline(x=selected, line={"color": "#F0B400", "width": 2})
    ticks = [step.n for step in steps]
    figure.update_layout(
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        height=360,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="x unified",
    )
    figure.update_yaxes(title_text="probability", range=[-0.03, 1.03], automargin=True)
    figure.update_xaxes(
        title_text="detections used",
        automargin=True,
        tickvals=ticks,
        ticktext=[f"{step.n}<br>{plain_plotly(step.model, 24)}" for step in steps],
        tickangle=0,
        tickfont={"size": 10},
        range=[min(ticks, default=1) - 0.4, max([2, *ticks]) + 0.4],
    )
    return figure


def _class_traces(name: str, steps: Sequence[Step]) -> list[go.Scatter]:
    import plotly.graph_objects as go

    style, x, y = class_style(name), [step.n for step in steps], [step.probabilities[name] for step in steps]
    low = [min(p, (step.low or {}).get(name, p)) for step, p in zip(steps, y, strict=True)]
    high = [max(p, (step.high or {}).get(name, p)) for step, p in zip(steps, y, strict=True)]
    spread = any(h > lo for lo, h in zip(low, high, strict=True))
    line = go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        name=name,
        legendgroup=name,
        line={"color": style.colour, "width": 2.5},
        marker={"symbol": style.marker, "size": 10, "color": style.colour},
        customdata=[[step.model, step.n] for step in steps],
        hovertemplate="%{y:.3f}",
        error_y={
            "type": "data",
            "array": [h - p for h, p in zip(high, y, strict=True)],
            "arrayminus": [p - lo for lo, p in zip(low, y, strict=True)],
            "thickness": 1.2,
            "width": 3,
            "visible": spread,
        },
    )
    if len(x) < 2 or not spread:
        return [line]
    shade = go.Scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=_faint(style.colour),
        line={"width": 0},
        mode="lines",
        name=name,
        legendgroup=name,
        showlegend=False,
        hoverinfo="skip",
    )
    return [shade, line]


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _reference_traces(reference: Reference, names: Sequence[str]) -> list[go.Scatter]:
    import plotly.graph_objects as go

    shown = [name for name in names if name in reference.probabilities]
    label = plain_plotly(reference.label, 60)
    return [
        go.Scatter(
            x=[0.5, 6],
            y=[reference.probabilities[name]] * 2,
            mode="lines",
            line={"color": class_style(name).colour, "width": 1.5, "dash": "dash"},
            name=label,
            legendgroup=f"reference {label}",
            showlegend=place == 0,
            hovertemplate=f"%{{y:.3f}} {name}, {label}<extra></extra>",
        )
        for place, name in enumerate(shown)
    ]
