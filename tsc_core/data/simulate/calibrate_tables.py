"""Which quantile tables are fitted to real alerts, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.calibration import CROWDED, DENSE, FAR, LEVELS

FEWEST = 25  # real alerts that a bin needs; with fewer it borrows its neighbour's
Row = Mapping[str, float]
SCORR_EDGES = (5.0, 5.6, 6.3, 7.2, 8.5, 10.0, 12.5, 16.0, 22.0, 35.0)
HERE = 1.5  # arcsec within which a source is the candidate's own
NEAR_EDGES = (2.0, 2.6, 3.3, 4.2, 5.5, 8.0, 12.0)
CROWD_EDGES = (6.0, 12.0, 25.0, 50.0)
MAG_EDGES = (13.5, 14.5, 15.5, 16.5, 17.5, 18.5, 19.5, 20.5, 21.0, 21.5, 22.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How one table is fitted: the number, its condition, the bins, and which alerts count."""

    value: Callable[[Row], float]
    condition: Callable[[Row], float]
    edges: tuple[float, ...]
    only: Callable[[Row], bool] = lambda row: True
    else_only: Callable[[Row], bool] | None = None  # where no alert counts by `only`


def _scorr(row: Row) -> float:
    return row["scorr"]


def _on(row: Row) -> bool:
    """Whether the nearest PS1 source is where the candidate is, and has an r magnitude."""
    return row["srmag1"] > 0 and 0.0 <= row["distpsnr1"] < HERE


def _unknown(row: Row) -> float:
    return float(row["score"] == 0.5)


def _score(beside: bool, crowded: bool) -> Wanted:
    """PS1's star score where it is not the 0.5 of "unknown", by magnitude; of fields of any kind where none is."""

    def anywhere(n: Row) -> bool:
        return n["mag"] > 0 and n["score"] != 0.5 and n["beside"] == beside

    def there(n: Row) -> bool:
        return anywhere(n) and (n["crowd"] >= CROWDED) == crowded

    return Wanted(lambda n: n["score"], lambda n: n["mag"], MAG_EDGES, there, anywhere)


WANTED: dict[str, Wanted] = {
    "rb": Wanted(lambda r: r["rb"], _scorr, SCORR_EDGES),
    "drb": Wanted(lambda r: r["drb"], _scorr, SCORR_EDGES, lambda r: r.get("drb") is not None),
    "sgscore_on": Wanted(
        lambda r: r["sgscore1"], lambda r: r["srmag1"], MAG_EDGES, lambda r: _on(r) and r["sgscore1"] != 0.5
    ),
    **{
        f"unknown_on_{place}": Wanted(
            lambda r: float(r["sgscore1"] == 0.5),
            lambda r: r["srmag1"],
            MAG_EDGES,
            lambda r, low=low, high=high: _on(r) and low <= r["nmtchps"] < high,
            _on,
        )
        for place, low, high in (("sparse", 0, CROWDED), ("crowded", CROWDED, DENSE), ("dense", DENSE, np.inf))
    },
}
NEIGHBOURS: dict[str, Wanted] = {
    "unknown_beside": Wanted(_unknown, lambda n: n["away"], NEAR_EDGES, lambda n: n["beside"] and n["mag"] > 0),
    "unknown_alone": Wanted(_unknown, lambda n: n["mag"], MAG_EDGES, lambda n: not n["beside"] and n["mag"] > 0),
    "unknown_lost": Wanted(_unknown, lambda n: n["away"] if n["beside"] else FAR, NEAR_EDGES, lambda n: n["mag"] < 0),
    "sgscore_lost": Wanted(
        lambda n: n["score"], lambda n: n["crowd"], CROWD_EDGES, lambda n: n["mag"] < 0 and n["score"] != 0.5
    ),
    **{
        f"sgscore_{where}_{how}": _score(beside, crowded)
        for beside, where in ((True, "beside"), (False, "alone"))
        for crowded, how in ((True, "crowded"), (False, "sparse"))
    },
}


def _neighbours(rows: Sequence[Row]) -> list[Row]:
    """PS1's sources that are not the candidate's own, as rows of their own; `mag` is negative where r is missing."""
    return [
        {
            "mag": row[f"srmag{rank}"],
            "score": row[f"sgscore{rank}"],
            "away": row[f"distpsnr{rank}"],
            "crowd": row["nmtchps"],
            "beside": 0.0 <= row["distpsnr1"] < HERE,
        }
        for row in rows
        for rank in (1, 2, 3)
        if row[f"distpsnr{rank}"] >= HERE
    ]


def fit_tables(rows: Sequence[Row]) -> dict[str, object]:
    """Every table of `WANTED` and `NEIGHBOURS` from the candidate records of real alerts.

    Raises
    ------
    ValueError
        Where no alert says anything of a table.
    """
    tables, near = {}, _neighbours(rows)
    for name, wanted in {**WANTED, **NEIGHBOURS}.items():
        among = near if name in NEIGHBOURS else rows
        kept = [row for row in among if wanted.only(row)]
        if not kept and wanted.else_only is not None:
            kept = [row for row in among if wanted.else_only(row)]
        if not kept:
            raise ValueError(f"no alert of {len(rows)} to fit the table {name} to")
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
