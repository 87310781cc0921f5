"""Measured on real alerts: what no simple physics predicts, such as PS1's star score or how SExtractor sizes a peak.

A table holds, for each bin of one condition (signal-to-noise, magnitude ...), quantiles of one number over real ZTF
alerts; the simulator enters with a rank between 0 and 1 that its own pixels or sources give. A joint distribution
(`joint`) holds several numbers that go together, given what the simulator knows. No alert can be read back from either.
`calibration.json` ships; `calibrate` makes it from an archive of packets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tsc_core.data.simulate.joint import Joint

PATH = Path(__file__).with_name("calibration.json")
CROWDED = 12  # PS1 sources within 30 arcsec from which on a field has tables of its own
DENSE = 45  # and from which on PS1 often does not know what lies at the candidate
FAR = 30.0  # arcsec: stands for the distance from a source that the candidate does not lie on
LEVELS = np.array([0, 0.01, 0.03, 0.06, *np.arange(0.1, 0.95, 0.05), 0.94, 0.97, 0.99, 1.0])


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
    stored = _stored()["tables"][name]
    return Table(np.array(stored["edges"]), np.array(stored["quantiles"]))


@cache
def joint(name: str) -> Joint:
    """One of the joint distributions that ship."""
    return Joint.from_dict(_stored()["joints"][name])


@cache
def own_quantiles() -> dict[str, np.ndarray]:
    """Quantiles of the pixels' numbers (`pixels.centre_numbers`) over made alerts, at `joint.LEVELS`."""
    return {name: np.array(quantiles) for name, quantiles in _stored()["own"].items()}


@contextmanager
def using(stored: Mapping[str, object]) -> Iterator[None]:
    """Let this process simulate with other contents than those of the file that ships."""
    global _instead
    _instead = stored
    _forget()
    try:
        yield
    finally:
        _instead = None
        _forget()


def _forget() -> None:
    for cached in (table, joint, own_quantiles, _stored):
        cached.cache_clear()


_instead: Mapping[str, object] | None = None


@cache
def _stored() -> Mapping[str, dict]:
    return json.loads(PATH.read_text(encoding="utf-8")) if _instead is None else _instead
