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
BANDS = ("g", "r", "i", "z")


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


def draw_field(ra: float, dec: float, rng: np.random.Generator) -> Field:
    """Field stars (by galactic latitude) and faint galaxies around a position."""
    area = (2 * HALF * ZTF.pixel_arcsec / 60.0) ** 2  # arcmin squared
    density = star_density(ra, dec) * rng.lognormal(0.0, 0.35)
    slope = 0.17 + 0.1 * min(1.0, density / 60.0)
    stars = rng.poisson(area * density * 10 ** (slope * (DEEPEST - 21.8)))
    galaxies = rng.poisson(area * 4.0 * 10 ** (0.36 * (DEEPEST - 22.0)) * rng.lognormal(0.0, 0.25))
    dust = reddening(ra, dec)
    s, g = _stars(stars, slope, dust, rng), _galaxies(galaxies, dust, rng)
    return s.joined(g)


def _stars(count: int, slope: float, dust: float, rng: np.random.Generator) -> Field:
    r = DEEPEST + np.log10(rng.uniform(10 ** (slope * (12.0 - DEEPEST)), 1.0, count)) / slope
    red = rng.uniform(size=count) < np.clip((r - 15.0) / 9.0, 0.1, 0.75)
    colour = np.where(red, rng.normal(1.35, 0.17, count), rng.normal(0.55, 0.16, count)) + min(dust, 0.8)
    cool = np.where(red, rng.gamma(3.0, 0.3, count), 0.38 * colour - 0.05)
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


# --- catalogues ---------------------------------------------------------------------------------------------


def star_score(r: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """PS1 star/galaxy score (Tachibana & Miller 2018): near 1 for stars, 0 for galaxies, 0.5 where features lack."""
    count = len(r)
    doubt = np.clip((r - 18.0) / 4.5, 0.02, 1.0) ** 1.5
    extended = size > 0.35
    vote = np.where(
        extended, rng.beta(0.35, 1.2 + 18.0 * (1.0 - doubt)), rng.beta(2.0 + 60.0 * (1.0 - doubt), 0.4, count)
    )
    unknown = rng.uniform(size=count) < np.clip((r - 19.6) / 4.5, 0.01, 0.5)
    trees = np.where(r < 21.0, 1200.0, 480.0)
    return np.where(unknown, 0.5, np.round(vote * trees) / trees)


def ps1_columns(field: Field, rng: np.random.Generator) -> dict[str, float | int]:
    """The three nearest PS1 sources within 30 arcsec as ZTF reports them; -999 where there are fewer."""
    r = field.mags[:, 1]
    listed = rng.uniform(size=len(r)) < 1.0 / (1.0 + np.exp((r - 21.9) / 0.22))
    x, y = field.x[listed], field.y[listed]
    mags, size = field.mags[listed], field.size[listed]
    distance = np.hypot(x + 0.03 * rng.standard_normal(len(x)), y + 0.03 * rng.standard_normal(len(x)))
    distance = distance * ZTF.pixel_arcsec
    near = np.argsort(distance)[: int((distance < 30.0).sum())]
    score = star_score(mags[near, 1], size[near], rng)
    record: dict[str, float | int] = {"nmtchps": len(near)}
    for rank in range(3):
        record |= _ps1_row(rank, near, mags, score, distance, rng)
    return record


def _ps1_row(
    rank: int, near: np.ndarray, mags: np.ndarray, score: np.ndarray, distance: np.ndarray, rng: np.random.Generator
) -> dict[str, float | int]:
    end = str(rank + 1)
    if rank >= len(near):
        empty = {f"s{band}mag{end}": -999.0 for band in BANDS}
        return {**empty, f"sgscore{end}": -999.0, f"distpsnr{end}": -999.0, f"objectidps{end}": 0}
    at, depth = near[rank], {"g": 22.0, "r": 22.2, "i": 22.3, "z": 21.8}
    row: dict[str, float | int] = {}
    for place, band in enumerate(BANDS):
        mag = float(mags[at, place] + 0.02 * rng.standard_normal())
        row[f"s{band}mag{end}"] = round(mag, 4) if mag < depth[band] + 0.25 * rng.standard_normal() else -999.0
    number = int(rng.integers(7 * 10**16, 2 * 10**17))
    return {
        **row,
        f"sgscore{end}": float(score[rank]),
        f"distpsnr{end}": float(distance[at]),
        f"objectidps{end}": number,
    }


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """ZTF's catalogue of the reference image in one band; arrays (N,): offsets (pixel), magnitude and sizes."""

    x: np.ndarray
    y: np.ndarray
    mag: np.ndarray
    error: np.ndarray
    chi: np.ndarray
    sharp: np.ndarray


def reference_catalogue(field: Field, fid: int, rng: np.random.Generator) -> Reference:
    """What DAOPhot lists in the reference image: all but the faintest, with chi and sharpness by kind of source."""
    mag = field.mags[:, fid - 1]
    listed = rng.uniform(size=len(mag)) < 1.0 / (1.0 + np.exp((mag - 22.9) / 0.25))
    if not listed.any():
        listed[np.argmin(mag)] = True
    mag, size = mag[listed], field.size[listed]
    faint = np.clip(10 ** (0.4 * (mag - 22.9)), 0.0, 2.0)
    error = np.round(np.hypot(0.014, 0.28 * faint) * rng.lognormal(0.0, 0.1, len(mag)), 3)
    wide = np.clip(size / 1.2, 0.0, 2.0)
    bright = 10 ** (-0.4 * (mag - 17.5))
    chi = rng.lognormal(np.log(0.66), 0.38, len(mag)) * (1.0 + 1.6 * wide * np.minimum(bright, 4.0) ** 0.4)
    chi = chi + np.clip(13.6 - mag, 0.0, None) * rng.uniform(0.3, 3.0, len(mag))
    noise = 0.012 + 0.3 * np.minimum(faint, 1.0)
    sharp = rng.normal(-0.018, noise) + 0.42 * wide - 0.22 * np.minimum(faint, 1.0)
    jitter = 0.04 + 0.3 * np.minimum(faint, 1.0)
    x = field.x[listed] + jitter * rng.standard_normal(len(mag))
    y = field.y[listed] + jitter * rng.standard_normal(len(mag))
    return Reference(x, y, mag + error * rng.standard_normal(len(mag)), error, np.round(chi, 3), np.round(sharp, 3))


def nearest_reference(catalogue: Reference, x: float, y: float) -> dict[str, float]:
    """``distnr`` (pixel) and the columns of the reference source nearest to an offset (x, y) in pixels."""
    distance = np.hypot(catalogue.x - x, catalogue.y - y)
    at = int(np.argmin(distance))
    return {
        "distnr": float(distance[at]),
        "magnr": round(float(catalogue.mag[at]), 3),
        "sigmagnr": float(catalogue.error[at]),
        "chinr": float(catalogue.chi[at]),
        "sharpnr": float(catalogue.sharp[at]),
        "_x": float(catalogue.x[at]),
        "_y": float(catalogue.y[at]),
    }


def gaia_columns(field: Field, rng: np.random.Generator) -> dict[str, float]:
    """Nearest Gaia source within 90 arcsec, and the nearest brighter than 14 mag; -999 where none."""
    mag = field.mags[:, 1] + 0.1
    distance = np.hypot(field.x, field.y) * ZTF.pixel_arcsec
    seen = (mag < 20.7) & (field.size < 0.6)
    columns = {}
    for end, chosen in (("", seen), ("bright", seen & (mag < 14.0))):
        where = np.flatnonzero(chosen)
        if len(where):
            at = where[np.argmin(distance[where])]
            columns |= {f"neargaia{end}": float(distance[at]), f"maggaia{end}": float(mag[at])}
        else:
            columns |= {f"neargaia{end}": -999.0, f"maggaia{end}": -999.0}
    if columns["neargaiabright"] == -999.0 and rng.uniform() < 0.35:  # stars beyond the field that was made
        columns |= {"neargaiabright": float(rng.uniform(46.0, 90.0)), "maggaiabright": float(rng.uniform(11.5, 14.0))}
    if columns["neargaia"] == -999.0 and rng.uniform() < 0.8:
        columns |= {
            "neargaia": float(rng.uniform(math.hypot(HALF, 5.0), 90.0)),
            "maggaia": float(rng.uniform(17.0, 20.6)),
        }
    return columns
