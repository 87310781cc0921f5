"""Where ZTF looks and what is there: positions by kind of object, the sun, the moon, and counts of stars.

Angles are degrees, times MJD. Nothing here is an ephemeris: a degree is enough to say when a field is up.
"""

from __future__ import annotations

import math

import numpy as np

from tsc_core.features import ecliptic, galactic

SOUTH_LIMIT = -28.0  # deg: the southern edge of ZTF's grid of fields
NEW_MOON = 58134.1  # MJD of the new moon of 2018 January 17
SYNODIC_DAYS = 29.530589
EQUINOX = 58197.68  # MJD of the equinox of 2018 March 20
YEAR_DAYS = 365.2422


def sun_longitude(mjd: np.ndarray) -> np.ndarray:
    """Ecliptic longitude of the mean sun, degrees."""
    return (np.asarray(mjd) - EQUINOX) / YEAR_DAYS * 360.0 % 360.0


def elongation(ra: float, dec: float, mjd: np.ndarray) -> np.ndarray:
    """Angle between a position and the sun, degrees, for each time."""
    longitude, latitude = (math.radians(angle) for angle in ecliptic(ra, dec))
    away = np.radians(sun_longitude(mjd)) - longitude
    return np.degrees(np.arccos(np.clip(math.cos(latitude) * np.cos(away), -1.0, 1.0)))


def moonlight(mjd: np.ndarray) -> np.ndarray:
    """Brightness of the moon, 0 at new and 1 at full moon."""
    phase = (np.asarray(mjd) - NEW_MOON) / SYNODIC_DAYS % 1.0
    return np.sin(np.pi * phase) ** 4


def star_density(ra: float, dec: float) -> float:
    """Stars brighter than r = 21.8 per square arcmin: a disc and a halo, denser towards the galactic centre."""
    longitude, latitude = galactic(ra, dec)
    inward = 1.0 + 0.5 * math.cos(math.radians(longitude))
    depth = abs(latitude)
    return 1.2 + inward * (125.0 * math.exp(-depth / 6.0) + 10.0 * math.exp(-depth / 22.0))


def reddening(ra: float, dec: float) -> float:
    """E(B-V) in mag of a plane-parallel layer of dust, for colours only."""
    return 0.04 / max(abs(math.sin(math.radians(galactic(ra, dec)[1]))), 0.04)


def random_position(rng: np.random.Generator, kind: str) -> tuple[float, float]:
    """A position (ra, dec) in ZTF's sky.

    Parameters
    ----------
    rng : Generator
    kind : {"extragalactic", "disc", "old disc", "halo", "stars", "ecliptic", "any"}
        Which population: away from the plane, the thin disc, the nearby or old stars of the disc, the old stars around
        it, where stars of any kind are, near the ecliptic, or uniform.
    """
    weights = {
        "extragalactic": lambda ra, dec: float(abs(galactic(ra, dec)[1]) > 8.0) * math.exp(-0.8 * reddening(ra, dec)),
        "disc": lambda ra, dec: min(1.0, star_density(ra, dec) / 100.0),
        "old disc": lambda ra, dec: 0.15 + 0.85 * math.exp(-abs(galactic(ra, dec)[1]) / 12.0),
        "halo": lambda ra, dec: 0.45 + 0.55 * math.exp(-abs(galactic(ra, dec)[1]) / 12.0),
        "stars": lambda ra, dec: min(1.0, star_density(ra, dec) / 25.0),
        "ecliptic": lambda ra, dec: math.exp(-0.5 * (ecliptic(ra, dec)[1] / 9.0) ** 2),
        "any": lambda ra, dec: 1.0,
    }
    weight = weights[kind]
    while True:
        ra = float(rng.uniform(0.0, 360.0))
        dec = math.degrees(math.asin(rng.uniform(math.sin(math.radians(SOUTH_LIMIT)), 1.0)))
        if rng.uniform() < weight(ra, dec):
            return ra, dec
