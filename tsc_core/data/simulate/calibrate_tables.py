"""Which quantile tables are fitted to real alerts, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.calibration import LEVELS

FEWEST = 25  # real alerts that a bin needs; with fewer it borrows its neighbour's
Row = Mapping[str, float]
SCORR_EDGES = (5.0, 5.6, 6.3, 7.2, 8.5, 10.0, 12.5, 16.0, 22.0, 35.0)
MAG_EDGES = (13.5, 14.5, 15.5, 16.5, 17.5, 18.5, 19.5, 20.5, 21.0, 21.5, 22.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How one table is fitted: the number, its condition, the bins, and which alerts count."""

    value: Callable[[Row], float]
    condition: Callable[[Row], float]
    edges: tuple[float, ...]
    only: Callable[[Row], bool] = lambda row: True


def _scorr(row: Row) -> float:
    return row["scorr"]


def _listed(row: Row, low: float, high: float) -> bool:
    """Whether the nearest PS1 source has an r magnitude and lies between two distances (arcsec)."""
    return row["srmag1"] > 0 and low <= row["distpsnr1"] < high


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
    "rb": Wanted(lambda r: r["rb"], _scorr, SCORR_EDGES),
    "drb": Wanted(lambda r: r["drb"], _scorr, SCORR_EDGES, lambda r: r.get("drb") is not None),
    **_score("on", 1, lambda r: _listed(r, 0.0, 1.5)),
    **_score("alone", 1, lambda r: _listed(r, 1.5, 30.0)),
    **_score("beside", 2, lambda r: _listed(r, 0.0, 1.5) and r["srmag2"] > 0),
}


def fit_tables(rows: Sequence[Row]) -> dict[str, object]:
    """Every table of `WANTED` from the candidate records of real alerts."""
    tables = {}
    for name, wanted in WANTED.items():
        kept = [row for row in rows if wanted.only(row)]
        value = np.array([wanted.value(row) for row in kept], dtype=float)
        bins = np.searchsorted(wanted.edges, [wanted.condition(row) for row in kept])
        tables[name] = {"edges": list(wanted.edges), "quantiles": _quantiles(value, bins, len(wanted.edges) + 1)}
    return tables


def _quantiles(value: np.ndarray, bins: np.ndarray, count: int) -> list[list[float]]:
    """Quantiles of each bin, of a bin and its neighbours where it holds fewer than `FEWEST`."""
    rows = []
    for place in range(count):
        reach = 0
        while (near := np.abs(bins - place) <= reach).sum() < min(FEWEST, len(value)):
            reach += 1
        rows.append([round(float(q), 5) for q in np.quantile(value[near], LEVELS)])
    return rows
