"""Measured on real alerts: quantile tables of what no simple physics predicts, such as SExtractor's star score.

A table holds, for each bin of one or two conditions (signal-to-noise, magnitude ...), quantiles of one number over real
ZTF alerts. The simulator enters with a rank between 0 and 1 that its own pixels or sources give, so that what
depends on the scene still does; only the marginal distribution is borrowed. No alert can be read back from it.
`calibration.json` ships; `fit_tables` makes it from an archive of packets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name("calibration.json")
LEVELS = np.array([0, 0.01, 0.03, 0.06, *np.arange(0.1, 0.95, 0.05), 0.94, 0.97, 0.99, 1.0])
FEWEST = 25  # real alerts that a bin needs; with fewer it borrows its neighbour's
Row = Mapping[str, float]
SCORR_EDGES = (5.0, 5.6, 6.3, 7.2, 8.5, 10.0, 12.5, 16.0, 22.0, 35.0)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Quantiles (bins, levels) of one number, by bins of a condition with the given inner edges."""

    edges: np.ndarray
    quantiles: np.ndarray

    def draw(self, condition: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """The number at each `rank` in [0, 1] of the bin that each `condition` falls in."""
        bins = np.searchsorted(self.edges, condition)
        found = np.empty(len(bins))
        for place in np.unique(bins):
            chosen = bins == place
            found[chosen] = np.interp(rank[chosen], LEVELS, self.quantiles[place])
        return found

    def mean(self, condition: np.ndarray) -> np.ndarray:
        """The mean of the number in the bin of each `condition`."""
        steps = np.diff(LEVELS)
        means = (0.5 * (self.quantiles[:, 1:] + self.quantiles[:, :-1]) * steps).sum(axis=1)
        return means[np.searchsorted(self.edges, condition)]


@cache
def table(name: str) -> Table:
    """One of the tables that ship."""
    return _tables()[name]


@cache
def _tables() -> dict[str, Table]:
    stored = json.loads(PATH.read_text(encoding="utf-8"))["tables"]
    return {name: Table(np.array(t["edges"]), np.array(t["quantiles"])) for name, t in stored.items()}


def on_star(row: Row) -> bool:
    """Whether a reference source lies within the seeing of the candidate."""
    return row["distnr"] < 1.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """How one table is fitted: the number, its condition, the bins, and which alerts count."""

    value: Callable[[Row], float]
    condition: Callable[[Row], float]
    edges: tuple[float, ...]
    only: Callable[[Row], bool] = lambda row: True


def _fallback(row: Row) -> bool:
    """Where SExtractor finds no width, ZTF states half the image's: `seeratio` is then exactly 2."""
    return row["seeratio"] == 2.0


def _excess(row: Row) -> float:
    return row["diffmaglim"] - row["magpsf"]


def _scorr(row: Row) -> float:
    return row["scorr"]


def _listed(row: Row, low: float, high: float) -> bool:
    """Whether the nearest PS1 source has an r magnitude and lies between two distances (arcsec)."""
    return row["srmag1"] > 0 and low <= row["distpsnr1"] < high


EXCESS_EDGES = (0.15, 0.35, 0.6, 0.9, 1.2, 1.6, 2.1, 3.0)
FLUX_EDGES = (15.0, 16.0, 17.0, 17.6, 18.2, 18.6, 19.0, 19.3, 19.6, 19.9, 20.2)
MAG_EDGES = (13.5, 14.5, 15.5, 16.5, 17.5, 18.5, 19.5, 20.5, 21.0, 21.5, 22.0)
REF_EDGES = (13.5, 14.5, 15.5, 16.5, 17.5, 18.5, 19.5, 20.5, 21.5, 22.0, 22.5, 23.0)


def _score(name: str, rank: int, only: Callable[[Row], bool]) -> dict[str, Wanted]:
    """Two tables of PS1's star score: how often it is the 0.5 of "unknown", and its value elsewhere."""
    score, mag = f"sgscore{rank}", f"srmag{rank}"
    return {
        f"unknown_{name}": Wanted(lambda r: float(r[score] == 0.5), lambda r: r[mag], MAG_EDGES, only),
        f"sgscore_{name}": Wanted(
            lambda r: r[score], lambda r: r[mag], MAG_EDGES, lambda r: only(r) and r[score] != 0.5
        ),
    }


WANTED: dict[str, Wanted] = {
    "fwhm_on": Wanted(lambda r: 1 / r["seeratio"], _scorr, SCORR_EDGES, lambda r: on_star(r) and not _fallback(r)),
    "fwhm_off": Wanted(lambda r: 1 / r["seeratio"], _scorr, SCORR_EDGES, lambda r: not on_star(r) and not _fallback(r)),
    "fallback_on": Wanted(lambda r: float(_fallback(r)), _scorr, SCORR_EDGES, on_star),
    "fallback_off": Wanted(lambda r: float(_fallback(r)), _scorr, SCORR_EDGES, lambda r: not on_star(r)),
    "classtar_failed": Wanted(lambda r: r["classtar"], lambda r: r["magpsf"], FLUX_EDGES, _fallback),
    "classtar_on": Wanted(
        lambda r: r["classtar"], lambda r: r["magpsf"], FLUX_EDGES, lambda r: on_star(r) and not _fallback(r)
    ),
    "classtar_off": Wanted(
        lambda r: r["classtar"], _excess, EXCESS_EDGES, lambda r: not on_star(r) and not _fallback(r)
    ),
    "elong": Wanted(lambda r: r["elong"], _scorr, SCORR_EDGES),
    "rb": Wanted(lambda r: r["rb"], _scorr, SCORR_EDGES),
    "drb": Wanted(lambda r: r["drb"], _scorr, SCORR_EDGES, lambda r: r["drb"] is not None),
    **_score("on", 1, lambda r: _listed(r, 0.0, 1.5)),
    **_score("alone", 1, lambda r: _listed(r, 1.5, 30.0)),
    **_score("beside", 2, lambda r: _listed(r, 0.0, 1.5) and r["srmag2"] > 0),
    "chinr": Wanted(lambda r: r["chinr"], lambda r: r["magnr"], REF_EDGES),
    "sharpnr": Wanted(lambda r: r["sharpnr"], lambda r: r["magnr"], REF_EDGES),
    "sigmagnr": Wanted(lambda r: r["sigmagnr"], lambda r: r["magnr"], REF_EDGES),
}


def fit_tables(rows: Sequence[Row]) -> dict[str, object]:
    """The contents of `calibration.json` from the candidate records of real alerts."""
    tables = {}
    for name, wanted in WANTED.items():
        kept = [row for row in rows if wanted.only(row)]
        value = np.array([wanted.value(row) for row in kept], dtype=float)
        bins = np.searchsorted(wanted.edges, [wanted.condition(row) for row in kept])
        tables[name] = {"edges": list(wanted.edges), "quantiles": _quantiles(value, bins, len(wanted.edges) + 1)}
    return {"alerts": len(rows), "levels": LEVELS.tolist(), "tables": tables}


def _quantiles(value: np.ndarray, bins: np.ndarray, count: int) -> list[list[float]]:
    """Quantiles of each bin, of a bin and its neighbours where it holds fewer than `FEWEST`."""
    rows = []
    for place in range(count):
        reach = 0
        while (near := np.abs(bins - place) <= reach).sum() < min(FEWEST, len(value)):
            reach += 1
        rows.append([round(float(q), 5) for q in np.quantile(value[near], LEVELS)])
    return rows
