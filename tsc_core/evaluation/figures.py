"""Figures of results: confusion matrices that can be clicked, reliability diagrams, training curves."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsc_core.evaluation.palette import class_style
from tsc_core.evaluation.results import class_order, row_shares

if TYPE_CHECKING:
    import altair as alt
    import plotly.graph_objects as go

CELL_PIXELS = 88
CELL = "cell"  # name of the selection that a click on a matrix sets
OTHERS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A68B8", "#8C8C8C")  # runs
PANELS_ACROSS, NO_OBJECTS = 3, "#C9CED4"
DASHES = ("solid", "dash", "dot", "dashdot")


def matrix_rows(
    classes: Sequence[str], counts: np.ndarray, shares: np.ndarray | None = None, spread: np.ndarray | None = None
) -> list[dict]:
    """One row per cell: true and predicted class, count, share of the true class, and what is written in it."""
    shares = row_shares(counts) if shares is None else shares
    rows = []
    for i, true in enumerate(classes):
        for j, predicted in enumerate(classes):
            share = float(shares[i, j])
            text = f"{100 * share:.1f} %" if math.isfinite(share) else "none"
            if spread is not None and math.isfinite(spread[i, j]):
                text = f"{100 * share:.1f} ± {100 * spread[i, j]:.1f} %"
            known = share if math.isfinite(share) else None
            rows.append(
                {"true": true, "predicted": predicted, "count": float(counts[i, j]), "share": known, "text": text}
            )
    return rows


def _size(classes: Sequence[str], cell: int) -> dict[str, int]:
    """Width and height of a matrix: cells that hold their two lines, five of them within a tablet's page."""
    return {"width": cell * len(classes), "height": cell * len(classes)}


def _axes(order: Sequence[str]) -> dict[str, alt.X | alt.Y]:
    """True classes down, predicted ones across; labels stand in the middle of their cells, the outermost too."""
    import altair as alt

    across = alt.Axis(labelAngle=0, orient="top", labelFlush=False)
    return {
        "x": alt.X("predicted:N", sort=list(order), title="predicted", axis=across),
        "y": alt.Y("true:N", sort=list(order), title="true", axis=alt.Axis(labelFlush=False)),
    }


def confusion_chart(
    classes: Sequence[str],
    counts: np.ndarray,
    shares: np.ndarray | None = None,
    spread: np.ndarray | None = None,
    cell: int = CELL_PIXELS,
) -> alt.LayerChart:
    """A matrix with counts and row per cent; a click on a cell sets the selection `CELL` to its two classes.

    Parameters
    ----------
    classes : sequence of str
    counts : ndarray (K, K)
        Rows true, columns predicted.
    shares, spread : ndarray (K, K), optional
        Mean and standard deviation of row shares over seeds, instead of those of `counts`.
    cell : int
        Pixels along the side of a cell.
    """
    import altair as alt

    order = class_order(classes)
    rows = matrix_rows(classes, counts, shares, spread)
    picked = alt.selection_point(name=CELL, fields=["true", "predicted"], on="click", empty=False)
    base = alt.Chart(alt.Data(values=rows)).encode(
        **_axes(order),
        tooltip=["true:N", "predicted:N", "count:Q", alt.Tooltip("share:Q", format=".3f")],
    )
    scale = alt.Scale(domain=[0, 1], scheme="blues")
    cells = base.mark_rect(cursor="pointer", invalid="show").encode(
        color=alt.condition(
            "isValid(datum.share)", alt.Color("share:Q", scale=scale, legend=None), alt.value(NO_OBJECTS)
        ),
        stroke=alt.condition(picked, alt.value("#F0B400"), alt.value("#8C8C8C")),
        strokeWidth=alt.condition(picked, alt.value(4), alt.value(0.5)),
    )
    ink = alt.condition("datum.share > 0.55", alt.value("white"), alt.value("#1B2530"))
    number = base.mark_text(dy=-8, fontSize=15, fontWeight="bold").encode(
        text=alt.Text("count:Q", format=",.1~f"), color=ink
    )
    share = base.mark_text(dy=11, fontSize=12).encode(text="text:N", color=ink)
    return alt.layer(cells.add_params(picked), number, share).properties(**_size(classes, cell))


def difference_chart(
    classes: Sequence[str], first: np.ndarray, second: np.ndarray, cell: int = CELL_PIXELS
) -> alt.LayerChart:
    """Row shares of the first matrix less those of the second, in points, on a fixed scale of -100 to 100."""
    import altair as alt

    change = 100 * (row_shares(first) - row_shares(second))
    order, rows = class_order(classes), []
    for i, true in enumerate(classes):
        for j, predicted in enumerate(classes):
            known = float(change[i, j]) if math.isfinite(change[i, j]) else None
            text = f"{known:+.1f}" if known is not None else "none"
            rows.append({"true": true, "predicted": predicted, "points": known, "text": text})
    base = alt.Chart(alt.Data(values=rows)).encode(
        **_axes(order),
        tooltip=["true:N", "predicted:N", "points:Q"],
    )
    scale = alt.Scale(domain=[-100, 0, 100], range=["#D55E00", "#F4F4F4", "#0072B2"])
    cells = base.mark_rect(stroke="#8C8C8C", strokeWidth=0.5, invalid="show").encode(
        color=alt.condition(
            "isValid(datum.points)", alt.Color("points:Q", scale=scale, legend=None), alt.value(NO_OBJECTS)
        )
    )
    words = base.mark_text(fontSize=14).encode(
        text="text:N", color=alt.condition("abs(datum.points) > 60", alt.value("white"), alt.value("#1B2530"))
    )
    return alt.layer(cells, words).properties(**_size(classes, cell))


def reliability_figure(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> go.Figure:
    """Frequency against probability, a panel per class, with Wilson intervals; the diagonal is perfect calibration.

    The larger a point, the more objects had such a probability.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    across = min(len(curves), PANELS_ACROSS)
    down = math.ceil(len(curves) / across) if curves else 1
    titles = [html.escape(name) for name in curves]
    figure = make_subplots(down, max(across, 1), shared_yaxes=True, subplot_titles=titles, vertical_spacing=0.2)
    for place, (name, bins) in enumerate(curves.items()):
        style, at = class_style(name), {"row": place // across + 1, "col": place % across + 1}
        most = max((b["n"] for b in bins), default=1)
        figure.add_shape(type="line", x0=0, y0=0, x1=1, y1=1, line={"dash": "dot", "color": "#8C8C8C"}, **at)
        figure.add_trace(
            go.Scatter(
                x=[b["probability"] for b in bins],
                y=[b["frequency"] for b in bins],
                error_y={
                    "type": "data",
                    "array": [b["high"] - b["frequency"] for b in bins],
                    "arrayminus": [b["frequency"] - b["low"] for b in bins],
                    "thickness": 1,
                    "width": 2,
                },
                mode="lines+markers",
                name=html.escape(name),
                line={"color": style.colour},
                marker={"symbol": style.marker, "size": [5 + 9 * math.sqrt(b["n"] / most) for b in bins]},
                customdata=[[b["n"]] for b in bins],
                hovertemplate="%{x:.2f} given, %{y:.2f} of %{customdata[0]} objects<extra></extra>",
            ),
            **at,
        )
    figure.update_xaxes(range=[-0.03, 1.03], tickvals=[0, 0.5, 1])
    figure.update_xaxes(title_text="probability given", row=down)
    figure.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 0.5, 1])
    figure.update_yaxes(title_text="share of the class", col=1)
    figure.update_layout(height=80 + 250 * down, margin={"l": 10, "r": 10, "t": 30, "b": 10}, showlegend=False)
    return figure


def curves_figure(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
    metric: str,
    best: Mapping[str, float] | None = None,
) -> go.Figure:
    """A metric against step for several runs: raw values faint, smoothed ones strong, the best step marked.

    Parameters
    ----------
    curves : mapping of run to (steps, raw, smoothed)
    best : mapping of run to step, optional
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, (name, (steps, raw, smooth)) in enumerate(curves.items()):
        colour, dash = OTHERS[place % len(OTHERS)], DASHES[place // len(OTHERS) % len(DASHES)]
        if list(raw) != list(smooth):
            figure.add_scattergl(
                x=steps, y=raw, mode="lines", line={"color": colour, "width": 1}, opacity=0.25, legendgroup=name,
                showlegend=False, hoverinfo="skip",
            )  # fmt: skip
        figure.add_scatter(
            x=steps, y=smooth, mode="lines", name=html.escape(name), legendgroup=name,
            line={"color": colour, "width": 2, "dash": dash}, hovertemplate="%{y:.4f}",
        )  # fmt: skip
        at = (best or {}).get(name)
        if at in steps:
            figure.add_scatter(
                x=[at], y=[smooth[list(steps).index(at)]], mode="markers", legendgroup=name, showlegend=False,
                marker={"color": colour, "symbol": "star", "size": 12}, hovertemplate="best: step %{x}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(title_text="step")
    figure.update_yaxes(title_text=metric, automargin=True)
    figure.update_layout(height=420, margin={"l": 10, "r": 10, "t": 10, "b": 10}, hovermode="x unified")
    return figure


def parameter_figure(
    values: Sequence[object], metrics: Sequence[float], names: Sequence[str], axis: str, metric: str
) -> go.Figure:
    """A metric of finished runs against one hyper-parameter, a point per run."""
    import plotly.graph_objects as go

    figure = go.Figure(
        go.Scatter(
            x=list(values), y=list(metrics), mode="markers", text=[html.escape(name) for name in names],
            marker={"size": 10, "color": OTHERS[0], "opacity": 0.7},
            hovertemplate="%{text}<br>%{x}: %{y:.4f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title_text=axis)
    figure.update_yaxes(title_text=metric, automargin=True)
    figure.update_layout(height=380, margin={"l": 10, "r": 10, "t": 10, "b": 10})
    return figure
