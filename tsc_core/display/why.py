"""Why a step names its class: stamps with the patches that matter, and the metadata that matters."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tsc_core.alerts import Alert
from tsc_core.display.plots import graph_objects
from tsc_core.display.stamps import GAP, SCALE, Stretch, pixel_limits, stretched
from tsc_core.display.text import plain_plotly
from tsc_core.features import FEATURES

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tsc_core.inference.explain import Explanation, FeatureChange, PatchMap

FOR, AGAINST = (66, 165, 255), (255, 122, 0)  # of the class: RGB that differ for colour-blind eyes, on grey too
STRONGEST = 0.65  # opacity of the patch that matters most
WIDE = 252  # screen pixels that a picture has at most
MOST_FEATURES = 8
FAINT = 0.02  # log-odds: below this nothing is said of a feature


def strongest(found: Explanation) -> float:
    """The greatest change of the log-odds that hiding one patch makes; 0 without maps."""
    return max((float(np.abs(patches.change).max()) for patches in found.maps), default=0.0)


def maps_of(found: Explanation, candid: str) -> list[PatchMap]:
    """The maps of one detection, a channel each, in the order the model takes them."""
    return [patches for patches in found.maps if patches.candid == candid]


def explained_stamps(
    alert: Alert, maps: Sequence[PatchMap], edges: Sequence[int], top: float, stretch: Stretch = "asinh"
) -> bytes:
    """What the model sees of the stamps of one detection, under each other as PNG, tinted by what it says of the class.

    Parameters
    ----------
    maps : sequence of PatchMap
        Of this detection; their channels are drawn.
    edges : sequence of int
        Pixels between which the patches lie.
    top : float
        Change of the log-odds (in either direction) that gets the full tint.
    """
    seen = np.s_[edges[0] : edges[-1], edges[0] : edges[-1]]
    scale = max(WIDE // (edges[-1] - edges[0]), 1)
    parts = []
    for patches in maps:
        pixels = alert.stamps.channel(patches.channel)[seen]
        level = np.nan_to_num(stretched(pixels, stretch, pixel_limits([pixels], stretch)))
        tinted = _tinted(255 * level, patches.change, [edge - edges[0] for edge in edges], top)
        parts += [tinted.repeat(scale, axis=0).repeat(scale, axis=1), np.zeros((GAP * SCALE, scale * len(level), 4))]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(parts[:-1]).round().astype(np.uint8)).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _tinted(grey: np.ndarray, change: np.ndarray, edges: Sequence[int], top: float) -> np.ndarray:
    """Grey levels (H, W) with their patches tinted, (H, W, 4), 0 to 255."""
    drawn = np.concatenate([grey[..., None].repeat(3, axis=2), np.full((*grey.shape, 1), 255.0)], axis=2)
    for i, row in enumerate(change):
        for j, value in enumerate(row):
            tint = STRONGEST * min(abs(float(value)) / top, 1.0) if top > 0 else 0.0
            place = np.s_[edges[i] : edges[i + 1], edges[j] : edges[j + 1], :3]
            drawn[place] = (1 - tint) * drawn[place] + tint * np.array(FOR if value < 0 else AGAINST)
    return drawn


def feature_bars(found: Explanation, most: int = MOST_FEATURES) -> go.Figure:
    """What each feature of the metadata adds to the log-odds of the class: a bar each, the strongest at the top."""
    go = graph_objects()

    shown = [feature for feature in found.features[:most] if abs(feature.change) >= FAINT][::-1]
    evidence = [-feature.change for feature in shown]
    figure = go.Figure(
        go.Bar(
            x=evidence,
            y=[_words(feature) for feature in shown],
            orientation="h",
            marker={"color": [_hex(FOR) if value > 0 else _hex(AGAINST) for value in evidence]},
            text=[f"{value:+.2f}" for value in evidence],
            textposition="outside",
            cliponaxis=False,
            customdata=[[FEATURES[feature.name].unit if feature.name in FEATURES else ""] for feature in shown],
            hovertemplate="%{y} %{customdata[0]}: %{x:+.2f}<extra></extra>",
        )
    )
    figure.update_layout(margin={"l": 10, "r": 10, "t": 10, "b": 10}, height=90 + 32 * max(len(shown), 1), bargap=0.3)
    low, high = min([0.0, *evidence]), max([0.0, *evidence])
    room = 0.2 * max(high - low, FAINT)  # for the numbers beside the bars
    figure.update_xaxes(
        title_text=f"against {found.top} ←   log-odds   → for {found.top}",
        range=[low - room * (low < 0), high + room * (high > 0)],
    )
    figure.update_yaxes(automargin=True)
    return figure


def _words(feature: FeatureChange) -> str:
    value = f" = {feature.value:.4g}" if math.isfinite(feature.value) else ""
    return plain_plotly(f"{feature.name}{value}")


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
