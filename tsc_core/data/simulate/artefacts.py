"""What is not in the sky: faults of detector, optics and subtraction that make bogus candidates.

Each returns a `Fault`: light that only the science image has, bright stars that go with it, and how badly the
images align. Amplitudes are DN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.cadence import Visits
from tsc_core.data.simulate.render import FRAME, grid

GRID = grid(FRAME)
RESIDUAL_WIDTH = (1.67, 0.36)  # FWHM (pixel), and how it follows the core of stars: less than in proportion
TRACK = 0.45  # pixel: sigma of a particle's track
DARK_PIXELS = 0.12  # share of the faults sharper than any star that are below the background


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """A detector's or pipeline's fault over the epochs of one candidate.

    Attributes
    ----------
    extra : ndarray (A, H, W)
        DN added to the science image only.
    stars : tuple of (x, y, r magnitude)
        Bright stars in both images, pixels from the candidate.
    misalignment : float
        Typical shift (pixel) between science and template.
    mismatch : float
        Typical fractional error of the matched seeing.
    at : ndarray (A, 2), optional
        Where, from the middle pixel, `extra` has its centre; stars are placed from there.
    """

    extra: np.ndarray
    stars: tuple[tuple[float, float, float], ...] = ()
    misalignment: float = 0.04
    mismatch: float = 0.012
    at: np.ndarray | None = None


def _blank(epochs: int) -> np.ndarray:
    return np.zeros((epochs, FRAME, FRAME))


def _line(x: float, y: float, angle: float, length: float, width: float) -> np.ndarray:
    """A streak of unit peak through (x, y), soft-edged along its length, (H, W)."""
    across = (GRID[None, :] - x) * -math.sin(angle) + (GRID[:, None] - y) * math.cos(angle)
    along = (GRID[None, :] - x) * math.cos(angle) + (GRID[:, None] - y) * math.sin(angle)
    return np.exp(-0.5 * (across / width) ** 2) / (1.0 + np.exp((np.abs(along) - length / 2) / 0.3))


def _limit(visits: Visits) -> np.ndarray:
    """Flux (DN) of the faintest point source that each visit detects, (A,)."""
    return 10 ** (-0.4 * (visits.limit - visits.zeropoint))


def _peak(visits: Visits, rng: np.random.Generator, low: float, scale: float = 1.0) -> np.ndarray:
    """Peak amplitudes (A, 1, 1) of at least `low` DN, where a usual visit detects 230 DN."""
    unit = _limit(visits) / 230.0
    return (low * unit * np.exp(scale * np.abs(rng.standard_normal(len(visits)))))[:, None, None]


def cosmic_ray(visits: Visits, rng: np.random.Generator) -> Fault:
    """A charged particle: a few pixels to a short track, sharper than any star, seen once; or a pixel gone dark."""
    dark = rng.uniform() < DARK_PIXELS
    length = 0.3 if dark else rng.exponential(1.5) + 0.3
    track = _line(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.4), rng.uniform(0, math.pi), length, TRACK)
    return Fault(_blank(len(visits)) + (-track if dark else track) * _peak(visits, rng, 190.0))


def diffraction_spike(visits: Visits, rng: np.random.Generator) -> Fault:
    """An arm of the spikes of a star that is far brighter than the chip holds."""
    angle = rng.choice([0.0, math.pi / 2]) + rng.normal(0.0, 0.03)
    away = rng.uniform(18.0, 44.0) * rng.choice([-1.0, 1.0])
    x, y = away * math.cos(angle), away * math.sin(angle)
    spike = _line(0.0, rng.uniform(-0.3, 0.3), angle, 200.0, rng.uniform(0.7, 1.5))
    fall = np.exp(-np.hypot(GRID[None, :] - x, GRID[:, None] - y) / rng.uniform(20.0, 60.0))
    image = spike * fall / max(float(fall[FRAME // 2, FRAME // 2]), 1e-9)
    extra = _blank(len(visits)) + image * _peak(visits, rng, 30.0, 0.8)
    return Fault(extra, ((x, y, rng.uniform(10.5, 13.0)),), 0.07, 0.017)


def bad_subtraction(visits: Visits, rng: np.random.Generator) -> Fault:
    """A star that the template does not cancel: some per cent of its light are left, odd in shape, of either sign."""
    epochs, limit = len(visits), _limit(visits)
    at = rng.uniform(-0.5, 0.5, (epochs, 2))
    share = 0.0135 * (5.0 + rng.exponential(2.5, epochs)) * rng.lognormal(0.0, 0.35, epochs)
    faintest = float((visits.zeropoint - 2.5 * np.log10(0.8 * limit / share)).min()) - rng.exponential(0.5)
    brightest = 12.4 + rng.exponential(0.6)
    mag = float(np.clip(min(rng.normal(15.8, 2.4), faintest), brightest, 20.0))
    share = share * np.exp(-0.5 * min(max((15.7 - mag) / 1.5, 0.0), 1.0) * np.abs(rng.standard_normal(epochs)))
    flux = np.maximum(share * 10 ** (-0.4 * (mag - visits.zeropoint)), limit * (1.3 + rng.exponential(0.4, epochs)))
    usual, power = RESIDUAL_WIDTH
    widths = usual * (visits.seeing / usual) ** power / 2.35
    extra = np.stack([_blob(x, y, w, rng) for (x, y), w in zip(at, widths, strict=True)])
    sign = rng.choice([-1.0, 1.0], epochs, p=[0.58, 0.42])
    star = (float(rng.normal(0.0, 0.13)), float(rng.normal(0.0, 0.13)), mag)
    return Fault(extra * (sign * flux)[:, None, None], (star,), rng.lognormal(math.log(0.05), 0.35), 0.017, at)


def _blob(x: float, y: float, width: float, rng: np.random.Generator) -> np.ndarray:
    """A sharp elliptical blob of unit sum in a shallow trough of the other sign, (H, W)."""
    a, b = width * rng.lognormal(0.48, 0.14), width * rng.lognormal(0.38, 0.10)
    turn = rng.uniform(0, math.pi)
    u = (GRID[None, :] - x) * math.cos(turn) + (GRID[:, None] - y) * math.sin(turn)
    v = (GRID[:, None] - y) * math.cos(turn) - (GRID[None, :] - x) * math.sin(turn)
    image = np.exp(-0.5 * ((u / a) ** 2 + (v / b) ** 2))
    around = np.exp(-0.5 * ((GRID[None, :] - x) ** 2 + (GRID[:, None] - y) ** 2) / 2.3**2)
    return image / image.sum() - rng.uniform(0.0, 0.25) * around / around.sum()


def saturated_star(visits: Visits, rng: np.random.Generator) -> Fault:
    """The core or the rim of a saturated star, with its bleeding column."""
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(0.0, 9.0)
    x, y, mag = offset * math.cos(angle), offset * math.sin(angle), rng.uniform(11.6, 13.6)
    bleed = _line(x, y, math.pi / 2, rng.uniform(4.0, 50.0), 0.7) * rng.normal(0.0, 150.0, (len(visits), 1, 1))
    return Fault(_blank(len(visits)) + bleed, ((x, y, mag),), 0.085, 0.017)


def hot_column(visits: Visits, rng: np.random.Generator) -> Fault:
    """A bad column or row, one pixel wide, over the whole stamp or from the candidate on."""
    image = np.zeros((FRAME, FRAME))
    middle = FRAME // 2
    image[middle if rng.uniform() < 0.5 else 0 :, middle] = 1.0
    if rng.uniform() < 0.3:
        image[:, middle + 1] = rng.uniform(0.2, 0.9)
    if rng.uniform() < 0.25:
        image = image.T
    rough = 1.0 + 0.25 * rng.standard_normal((len(visits), FRAME, FRAME))
    return Fault(image * rough * _peak(visits, rng, 40.0, 0.9))


def ghost(visits: Visits, rng: np.random.Generator) -> Fault:
    """Light reflected between the optics: a wide faint disc whose rim passes through the candidate."""
    radius, angle = rng.uniform(9.0, 30.0), rng.uniform(0, 2 * math.pi)
    x, y = radius * math.cos(angle), radius * math.sin(angle)
    distance = np.hypot(GRID[None, :] - x, GRID[:, None] - y)
    disc = 1.0 / (1.0 + np.exp((distance - radius) / 0.8))
    rim = np.exp(-0.5 * ((distance - radius) / 1.3) ** 2)
    return Fault(_blank(len(visits)) + (0.4 * disc + rim) * _peak(visits, rng, 25.0, 0.8))


def noise_peak(visits: Visits, rng: np.random.Generator) -> Fault:
    """A peak of the background that passed the threshold: a few pixels, no shape."""
    shape = rng.uniform(0.3, 1.0, (len(visits), 3, 3)) * (rng.uniform(size=(len(visits), 3, 3)) < 0.6)
    shape[:, 1, 1] = 1.0
    extra = _blank(len(visits))
    middle = FRAME // 2
    extra[:, middle - 1 : middle + 2, middle - 1 : middle + 2] = shape * _peak(visits, rng, 34.0, 0.25)
    return Fault(extra)


ARTEFACTS: dict[str, Callable[[Visits, np.random.Generator], Fault]] = {
    "bad subtraction": bad_subtraction,
    "saturated star": saturated_star,
    "diffraction spike": diffraction_spike,
    "cosmic ray": cosmic_ray,
    "hot column": hot_column,
    "ghost": ghost,
    "noise": noise_peak,
}
# Typical share of visits in which a fault shows again.
RECURS = {
    "bad subtraction": 0.009,
    "saturated star": 0.05,
    "diffraction spike": 0.04,
    "cosmic ray": 0.0,
    "hot column": 0.04,
    "ghost": 0.01,
    "noise": 0.003,
}
