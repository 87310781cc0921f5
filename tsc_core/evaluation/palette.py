"""Colours and markers, the same on every page: Okabe-Ito hues, each with a marker or dash of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """How one class or band is drawn.

    Attributes
    ----------
    colour : str
        Hex RGB, readable on a white and on a dark page.
    marker : str
        Plotly marker symbol.
    dash : str
        Plotly line dash.
    """

    colour: str
    marker: str = "circle"
    dash: str = "solid"


CLASS_STYLES: dict[str, Style] = {
    "AGN": Style("#0072B2", "circle"),
    "SN": Style("#E69F00", "star"),
    "VS": Style("#CC79A7", "square"),
    "asteroid": Style("#56B4E9", "diamond"),
    "bogus": Style("#8C8C8C", "x"),
}
BAND_STYLES: dict[int, Style] = {
    1: Style("#009E73", "circle"),
    2: Style("#D55E00", "square"),
    3: Style("#7A68B8", "diamond"),
}
UNKNOWN_STYLE = Style("#8C8C8C", "hexagon")


def class_style(name: str) -> Style:
    """Style of a class; a neutral one for a class that is not ours."""
    return CLASS_STYLES.get(name, UNKNOWN_STYLE)


def band_style(fid: int) -> Style:
    """Style of a band by filter id; a neutral one for an unknown filter."""
    return BAND_STYLES.get(fid, UNKNOWN_STYLE)
