"""The sky around a candidate: field stars and galaxies, and what the catalogues of PS1, Gaia and ZTF make of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.render import Galaxy
from tsc_core.data.simulate.sky import reddening, star_density
from tsc_core.survey import ZTF

HALF = 46.0  # pixels from the candidate out to which sources are made: beyond the stamp's corner
DEEPEST = 23.4  # mag: the faintest sources made, about the depth of ZTF's reference images
GALAXIES = 2.9  # brighter than r = 22 per square arcmin
BRIGHT_STARS, BRIGHT_GALAXIES = (18.4, 0.05), (21.0, 0.1)  # r mag and slope: fewer bright sources than faint ones imply
BANDS = ("g", "r", "i", "z")
CROWD_DOUBLES = (0.25, 60.0)  # share of its entries in a crowd that are second ones, from that density on
COUNTED, CROWDED_COUNTED = 21.85, 21.5  # r mag to which as many stars are made as PS1 lists: sparse, crowded fields
DEPTH, CROWDED_DEPTH = 21.95, 21.4  # r mag to which PS1 lists half the stars, in sparse and in crowded fields
CROWDING = (20.0, 45.0)  # sources brighter than r = 21 per square arcmin between which its depth falls


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Sources around a candidate; arrays (N,), the candidate's own counterpart first where it has one.

    Attributes
    ----------
    x, y : pixel
        Offsets from the candidate, x to the west, y to the south.
    mags : ndarray (N, 4)
        g, r, i, z.
    size : pixel
        Sigma of the Gaussian that a small galaxy is drawn as; 0 for a star.
    """

    x: np.ndarray
    y: np.ndarray
    mags: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def joined(self, other: Field) -> Field:
        """Both lists, this one first."""
        return Field(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in self.__slots__))


def one_source(x: float, y: float, mags: tuple[float, ...], size: float = 0.0) -> Field:
    """A field of a single source with g, r, i, z magnitudes."""
    return Field(np.array([x]), np.array([y]), np.array([mags]), np.array([size]))


def star_colours(r: float, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """g, r, i, z of a star of given r magnitude, its colour drawn."""
    colour = float(np.clip(rng.normal(0.75, 0.3), 0.1, 1.6))
    i = r - 0.5 * colour - rng.normal(0.0, 0.08)
    return r + colour, r, i, i - 0.3 * colour - rng.normal(0.0, 0.06)


def draw_field(ra: float, dec: float, rng: np.random.Generator, density: float = 0.0) -> Field:
    """Field stars and faint galaxies around a position; PS1 lists `density` stars per square arcmin, 0: as modelled."""
    area = (2 * HALF * ZTF.pixel_arcsec / 60.0) ** 2  # arcmin squared
    density = density * rng.lognormal(0.0, 0.1) if density else star_density(ra, dec) * rng.lognormal(0.0, 0.35)
    crowded = min(1.0, density / CROWD_DOUBLES[1])
    slope, counted = 0.19 + 0.075 * crowded, COUNTED + (CROWDED_COUNTED - COUNTED) * crowded
    single = 1.0 - CROWD_DOUBLES[0] * crowded
    stars = rng.poisson(area * density * single * 10 ** (slope * (DEEPEST - counted)))
    galaxies = rng.poisson(area * GALAXIES * 10 ** (0.36 * (DEEPEST - 22.0)) * rng.lognormal(0.0, 0.25))
    dust = reddening(ra, dec)
    s, g = _stars(stars, slope, dust, rng), _galaxies(galaxies, dust, rng)
    return _thinned(s, *BRIGHT_STARS, rng).joined(_thinned(g, *BRIGHT_GALAXIES, rng))


def crowding(field: Field) -> float:
    """How far a field is too crowded for PS1 to list its faint sources, 0 to 1."""
    area = (2 * HALF * ZTF.pixel_arcsec / 60.0) ** 2
    low, high = (math.log(limit) for limit in CROWDING)
    density = math.log(float((field.mags[:, 1] < 21.0).sum()) / area + 1.0)
    return min(max((density - low) / (high - low), 0.0), 1.0)


def _thinned(field: Field, knee: float, steeper: float, rng: np.random.Generator) -> Field:
    """Counts whose slope is `steeper` (per mag) for sources brighter than the r magnitude `knee`."""
    kept = rng.uniform(size=len(field)) < 10 ** (steeper * np.minimum(field.mags[:, 1] - knee, 0.0))
    return Field(*(getattr(field, name)[kept] for name in field.__slots__))


def _stars(count: int, slope: float, dust: float, rng: np.random.Generator) -> Field:
    r = DEEPEST + np.log10(rng.uniform(10 ** (slope * (12.0 - DEEPEST)), 1.0, count)) / slope
    red = rng.uniform(size=count) < np.clip((r - 11.0) / 13.0, 0.2, 0.75) * (1.0 - 0.4 * min(dust, 0.8))
    colour = np.where(red, rng.normal(1.18, 0.13, count), rng.normal(0.50, 0.16, count)) + 0.5 * min(dust, 0.8)
    cool = np.where(red, rng.gamma(3.0, 0.3, count), 0.45 * colour - 0.03)
    mags = np.stack([r + colour, r, r - cool, r - 1.55 * cool], axis=1)
    return Field(*_scatter(count, rng), mags, np.zeros(count))


def _galaxies(count: int, dust: float, rng: np.random.Generator) -> Field:
    r = DEEPEST + np.log10(rng.uniform(10 ** (0.36 * (15.0 - DEEPEST)), 1.0, count)) / 0.36
    colour = rng.normal(0.75, 0.35, count) + 0.3 * min(dust, 0.8)
    mags = np.stack([r + colour, r, r - 0.45 * colour, r - 0.75 * colour], axis=1)
    size = 0.75 * 10 ** (-0.11 * (r - 21.0)) * rng.lognormal(0.0, 0.3, count)
    return Field(*_scatter(count, rng), mags, size)


def _scatter(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(-HALF, HALF, count), rng.uniform(-HALF, HALF, count)


def galaxy_source(galaxy: Galaxy) -> Field:
    """How a catalogue of point sources lists a galaxy: its nucleus, with the size of the whole."""
    g, r = galaxy.mags[1], galaxy.mags[2]
    cool = 0.45 * (g - r)
    return one_source(galaxy.x, galaxy.y, (g, r, r - cool, r - 1.7 * cool), max(galaxy.radius / 1.3, 0.3))
