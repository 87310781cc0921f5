"""Light curves: magnitudes relative to a mean, or absolute rise and fall, at given times in given bands.

Every function takes times ``mjd`` (V,) and bands ``fid`` (V,), and returns (V,) magnitudes. Shapes are analytic:
broken power laws and exponentials for explosions, Fourier sums for pulsators, dips for eclipses, a damped
random walk for accretion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FAINT = 40.0  # mag that stands for nothing there


def band_value(fid: np.ndarray, g: float, r: float) -> np.ndarray:
    """`g` where the filter is 1, `r` elsewhere."""
    return np.where(np.asarray(fid) == 1, g, r)


def random_walk(mjd: np.ndarray, tau: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Damped random walk with zero mean, standard deviation `sigma` and memory `tau` days (Kelly et al. 2009)."""
    order = np.argsort(mjd, kind="stable")
    memory = np.exp(-np.diff(mjd[order]) / tau)
    kick = sigma * np.sqrt(1.0 - memory**2) * rng.standard_normal(len(memory))
    walk = np.empty(len(mjd))
    value = sigma * rng.standard_normal()
    walk[order[0]] = value
    for place, (keep, push) in enumerate(zip(memory.tolist(), kick.tolist(), strict=True), start=1):
        value = value * keep + push
        walk[order[place]] = value
    return walk


@dataclass(frozen=True, slots=True)
class Explosion:
    """Rise and fall of a supernova in one band: absolute peak, rise time, decline, and a late tail (days, mag)."""

    peak: float
    rise: float
    decline: float
    plateau: float
    tail: float


def explosion(days: np.ndarray, shape: Explosion) -> np.ndarray:
    """Magnitudes below the peak, plus the peak's, at days since explosion; `FAINT` before it.

    Rises as time squared, falls by `decline` mag per day until `plateau` days after the peak, then by `tail`.
    """
    days = np.asarray(days, dtype=float)
    up = np.clip(days / shape.rise, 1e-3, None)
    rising = -2.5 * np.log10(np.clip(1.0 - (1.0 - np.minimum(up, 1.0)) ** 2, 1e-6, None))
    after = np.clip(days - shape.rise, 0.0, None)
    curved = shape.decline * after**2 / (after + 6.0)
    knee = np.clip(after - shape.plateau, 0.0, None)
    late = curved + (shape.tail - shape.decline) * knee
    return np.where(days <= 0.0, FAINT, shape.peak + rising + late)


def pulsator(mjd: np.ndarray, period: float, phase: float, amplitude: float, skew: float) -> np.ndarray:
    """A pulsating star: a steep rise and slow fall (`skew` 0 sine, 0.5 RR Lyrae ab), total range about `amplitude`."""
    angle = 2.0 * math.pi * ((mjd - 58000.0) / period + phase)
    wave = np.sin(angle) + skew * np.sin(2 * angle + 0.5) + 0.5 * skew**2 * np.sin(3 * angle + 1.0)
    return 0.5 * amplitude * wave


def eclipses(mjd: np.ndarray, period: float, phase: float, depths: tuple[float, float], width: float) -> np.ndarray:
    """Two dips per period, `depths` mag deep and `width` of the period wide."""
    turn = ((mjd - 58000.0) / period + phase) % 1.0
    first = np.minimum(turn, 1.0 - turn) / width
    second = np.abs(turn - 0.5) / width
    return depths[0] * np.exp(-0.5 * first**2) + depths[1] * np.exp(-0.5 * second**2)


def outbursts(mjd: np.ndarray, every: float, height: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """Dwarf-nova outbursts: negative magnitudes (brighter) at irregular intervals of about `every` days."""
    start, end = float(mjd.min()) - 3 * length, float(mjd.max()) + 1.0
    count = int((end - start) / every) + 2
    times = start + np.cumsum(every * rng.uniform(0.6, 1.4, count)) - every * rng.uniform()
    since = mjd[:, None] - times[None, :]
    shape = np.where(since < 0, np.exp(-0.5 * (since / 0.7) ** 2), np.exp(-((np.clip(since, 0, None) / length) ** 3)))
    return -height * shape.max(axis=1)
