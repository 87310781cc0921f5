"""Kinds of object: what each is, how bright, where, in what host, and how its light changes.

An `Origin` is one drawn object before ZTF has looked at it. Numbers are round values of the literature, chosen
to give the range of each population, not to model any one object.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate import lightcurves as lc
from tsc_core.data.simulate.render import Galaxy
from tsc_core.data.simulate.sky import random_position

Light = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
Colours = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

# mean and scatter of W1-W2, W2-W3, W3-W4 (Vega mag); of stars without an excess, and what an excess adds
QSO_COLOURS: Colours = ((1.1, 0.2), (2.9, 0.4), (2.6, 0.4))
SEYFERT_COLOURS: Colours = ((0.7, 0.3), (2.7, 0.5), (2.5, 0.4))
BLAZAR_COLOURS: Colours = ((0.8, 0.25), (2.3, 0.4), (2.1, 0.4))
EARLY_COLOURS: Colours = ((0.0, 0.05), (0.8, 0.35), (1.8, 0.5))  # galaxies without dust, and with it
LATE_COLOURS: Colours = ((0.2, 0.12), (3.6, 0.5), (2.3, 0.4))
STAR_COLOURS: Colours = ((0.0, 0.05), (0.1, 0.2), (0.2, 0.3))
EXCESS = (0.3, 1.0, 0.6)
# AllWISE: magnitudes of W1 to W4 at about five sigma (W1: where the catalogue is nearly complete), and how much fainter
# a band is given, to two sigma, before it is an upper limit; a source needs five sigma in one band, taken to be W1
FIVE_SIGMA, BEYOND = np.array([17.1, 16.0, 11.5, 8.0]), np.array([0.0, 1.0, 1.0, 1.0])
EARLY = 4  # Sersic index


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """One object of the sky.

    Attributes
    ----------
    label, subclass : str
    ra, dec : deg
    light : callable
        ``(mjd, fid, rng) -> magnitudes (V,)`` of the point source.
    lasting : bool
        Whether it shines before and after (AGN, VS), so that the reference image has it too.
    host : Galaxy or None
    wise : tuple of float or None
        W1, W2, W3, W4 (Vega), NaN for a missing band.
    rate : tuple of float
        Motion in pixels per exposure (x, y), for asteroids.
    artefact : str or None
        The fault of a bogus detection, a key of `artefacts.ARTEFACTS`.
    density : float
        Stars brighter than r = 21.8 per square arcmin around it; 0 for the sky model's.
    """

    label: str
    subclass: str
    ra: float
    dec: float
    light: Light
    lasting: bool
    host: Galaxy | None = None
    wise: tuple[float, float, float, float] | None = None
    rate: tuple[float, float] = (0.0, 0.0)
    artefact: str | None = None
    density: float = 0.0


def _wise(w1: float, colours: Colours, rng: np.random.Generator) -> tuple[float, ...] | None:
    """AllWISE magnitudes for colours, with its noise and depth: bands fainter than the survey are NaN."""
    deviates, depth = rng.standard_normal(4), FIVE_SIGMA + rng.normal(0.0, 0.3, 4)
    means, scatter = np.array(colours).T
    expected = w1 - np.concatenate(([0.0], np.cumsum(means)))
    seen = expected < depth + BEYOND
    noise = 0.03 + 0.2 * 10 ** (0.4 * np.minimum(expected - depth, BEYOND))
    steps = means + np.sqrt(scatter**2 + noise[:-1] ** 2 + noise[1:] ** 2) * deviates[1:]
    mags = w1 + noise[0] * deviates[0] - np.concatenate(([0.0], np.cumsum(steps)))
    return tuple(np.where(seen, mags, math.nan).tolist()) if seen[0] else None


def _galaxy(r: float, colour: float, rng: np.random.Generator, x: float = 0.0, y: float = 0.0) -> Galaxy:
    """A galaxy of r magnitude `r`, its size following its brightness."""
    radius = 2.6 * 10 ** (-0.14 * (r - 18.0)) * rng.lognormal(0.0, 0.3)
    index = EARLY if rng.uniform() < 0.4 else 1
    ratio, angle = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0, math.pi))
    return Galaxy({1: r + colour, 2: r, 3: r - 0.4}, float(np.clip(radius, 0.4, 14.0)), ratio, angle, index, x, y)


# --- AGN ----------------------------------------------------------------------------------------------------


def _agn_light(g: float, colour: float, sigma: float, tau: float) -> Light:
    def light(mjd: np.ndarray, fid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        walk = lc.random_walk(mjd, tau, sigma, rng)
        return lc.band_value(fid, g, g - colour) + walk * lc.band_value(fid, 1.0, 0.8)

    return light


def _qso(rng: np.random.Generator) -> Origin:
    g, colour = float(rng.triangular(16.8, 20.4, 21.3)), float(rng.normal(0.25, 0.15))
    light = _agn_light(g, colour, rng.lognormal(math.log(0.27), 0.35), rng.lognormal(math.log(300.0), 0.6))
    wise = _wise(g - colour - rng.normal(3.6, 0.5), QSO_COLOURS, rng)
    host = _galaxy(g + 1.5, 0.7, rng) if rng.uniform() < 0.2 else None
    return Origin("AGN", "QSO", *random_position(rng, "extragalactic"), light, True, host, wise)


def _seyfert(rng: np.random.Generator) -> Origin:
    r = float(rng.triangular(15.5, 18.6, 20.0))
    g = r + float(rng.normal(0.9, 0.5))
    light = _agn_light(g, 0.35, rng.lognormal(math.log(0.25), 0.35), rng.lognormal(math.log(200.0), 0.6))
    wise = _wise(r - rng.normal(3.3, 0.5), SEYFERT_COLOURS, rng)
    return Origin("AGN", "Seyfert", *random_position(rng, "extragalactic"), light, True, _galaxy(r, 0.75, rng), wise)


def _blazar(rng: np.random.Generator) -> Origin:
    g, colour = float(rng.triangular(15.5, 18.0, 19.8)), float(rng.normal(0.5, 0.12))
    light = _agn_light(g, colour, rng.lognormal(math.log(0.45), 0.3), rng.lognormal(math.log(60.0), 0.6))
    host = _galaxy(g + 0.5, 0.9, rng) if rng.uniform() < 0.25 else None
    wise = _wise(g - colour - rng.normal(3.6, 0.5), BLAZAR_COLOURS, rng)
    return Origin("AGN", "blazar", *random_position(rng, "extragalactic"), light, True, host, wise)


# --- SN -----------------------------------------------------------------------------------------------------

# subclass: peak magnitude (g, r), rise, decline (g, r) in mag per day, plateau in days, tail, spread of the peak
SUPERNOVAE = {
    "SN Ia": ((-19.2, -19.1), 17.0, (0.085, 0.055), 30.0, 0.015, 0.35),
    "SN II": ((-17.1, -17.2), 12.0, (0.025, 0.009), 75.0, 0.012, 0.9),
    "SN Ibc": ((-17.3, -17.7), 15.0, (0.085, 0.065), 25.0, 0.016, 0.7),
    "SLSN": ((-21.4, -21.2), 35.0, (0.035, 0.022), 80.0, 0.02, 0.6),
}


def _distance_modulus(redshift: float) -> float:
    """Luminosity distance for H0 70, Omega_m 0.3, to second order in redshift."""
    return 5.0 * math.log10(4282.7 * redshift * (1.0 + 0.775 * redshift)) + 25.0


def _supernova(subclass: str, rng: np.random.Generator) -> Origin:
    (peak_g, peak_r), rise, (fall_g, fall_r), plateau, tail, spread = SUPERNOVAE[subclass]
    dust, offset = rng.exponential(0.15), rng.normal(0.0, spread)
    apparent = float(np.clip(19.9 - rng.exponential(0.9), 14.0, 20.6))  # what a survey of this depth finds, at peak
    modulus = apparent - (peak_r + offset) - 0.8 * dust
    redshift = float(
        np.clip(10 ** ((modulus - 43.16) / 5.0) / (1.0 + 0.5 * 10 ** ((modulus - 43.16) / 5.0)), 0.002, 0.6)
    )
    stretch = rng.lognormal(0.0, 0.12) * (1.0 + redshift)
    start = rng.uniform(0.0, 1.0)

    def light(mjd: np.ndarray, fid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        days = (mjd - start) / stretch
        g = lc.explosion(days, lc.Explosion(apparent + peak_g - peak_r + 0.3 * dust, rise, fall_g, plateau, tail))
        r = lc.explosion(days, lc.Explosion(apparent, rise * 1.1, fall_r, plateau, tail))
        return np.where(fid == 1, g, r)

    absolute = float(np.clip(rng.normal(-18.7, 1.7), -23.0, -13.0)) + (2.5 if subclass == "SLSN" else 0.0)
    host = _host(absolute + _distance_modulus(redshift), rng)
    wise = _host_wise(host, rng) if math.hypot(host.x, host.y) < 2.0 else None
    return Origin("SN", subclass, *random_position(rng, "extragalactic"), light, False, host, wise)


def _host_wise(host: Galaxy, rng: np.random.Generator) -> tuple[float, ...] | None:
    return _wise(host.mags[2] - rng.normal(2.6, 0.5), EARLY_COLOURS if host.index == EARLY else LATE_COLOURS, rng)


def _host(r: float, rng: np.random.Generator) -> Galaxy:
    """A host whose light the supernova follows: offsets of about a half-light radius."""
    galaxy = _galaxy(float(np.clip(r, 12.5, 25.0)), float(rng.normal(0.6, 0.2)), rng)
    radius, angle = galaxy.radius * rng.gamma(1.6, 0.62), rng.uniform(0, 2 * math.pi)
    x, y = -radius * math.cos(angle), -radius * math.sin(angle)
    return Galaxy(galaxy.mags, galaxy.radius, galaxy.ratio, galaxy.angle, galaxy.index, x, y)


# --- VS -----------------------------------------------------------------------------------------------------


def _star_wise(r: float, colour: float, excess: float, rng: np.random.Generator) -> tuple[float, ...] | None:
    colours = tuple((mean + by * excess, width) for (mean, width), by in zip(STAR_COLOURS, EXCESS, strict=True))
    return _wise(r - 1.0 - 1.5 * colour - excess, colours, rng)


def _variable(
    subclass: str, sky: str, r: float, colour: float, shape: Light, rng: np.random.Generator, excess: float = 0.0
) -> Origin:
    def light(mjd: np.ndarray, fid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return lc.band_value(fid, r + colour, r) + shape(mjd, fid, generator)

    return Origin("VS", subclass, *random_position(rng, sky), light, True, None, _star_wise(r, colour, excess, rng))


def _rr_lyrae(rng: np.random.Generator) -> Origin:
    ab = rng.uniform() < 0.75
    period, phase = (rng.uniform(0.42, 0.75) if ab else rng.uniform(0.25, 0.40)), rng.uniform()
    size, skew = (rng.uniform(0.5, 1.2), 0.45) if ab else (rng.uniform(0.3, 0.5), 0.1)

    def shape(mjd: np.ndarray, fid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return lc.pulsator(mjd, period, phase, size, skew) * lc.band_value(fid, 1.0, 0.72)

    return _variable("RR Lyrae", "halo", rng.triangular(12.3, 16.0, 19.8), rng.normal(0.25, 0.1), shape, rng)


def _eclipsing(rng: np.random.Generator) -> Origin:
    contact = rng.uniform() < 0.6
    period, phase = (rng.uniform(0.22, 0.6), rng.uniform()) if contact else (rng.lognormal(0.8, 0.8), rng.uniform())
    depth = rng.uniform(0.2, 0.8)
    depths, width = (depth, depth * rng.uniform(0.3, 1.0)), (0.13 if contact else rng.uniform(0.02, 0.06))

    def shape(mjd: np.ndarray, fid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return lc.eclipses(mjd, period, phase, depths, width)

    return _variable(
        "eclipsing binary", "old disc", rng.triangular(11.9, 15.5, 19.6), rng.normal(0.8, 0.35), shape, rng
    )


def _cepheid(rng: np.random.Generator) -> Origin:
    period, phase, size = rng.lognormal(math.log(6.0), 0.8), rng.uniform(), rng.uniform(0.4, 1.1)

    def shape(mjd: np.ndarray, fid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return lc.pulsator(mjd, period, phase, size, 0.4) * lc.band_value(fid, 1.0, 0.65)

    return _variable("Cepheid", "disc", rng.triangular(13.0, 15.0, 18.0), rng.normal(1.0, 0.3), shape, rng)


def _long_period(rng: np.random.Generator) -> Origin:
    period, phase, size = rng.lognormal(math.log(180.0), 0.6), rng.uniform(), 0.3 + min(rng.exponential(0.8), 3.5)

    def shape(mjd: np.ndarray, fid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        slow = lc.random_walk(mjd, 300.0, 0.15, generator)
        return (lc.pulsator(mjd, period, phase, size, 0.1) + slow) * lc.band_value(fid, 1.15, 1.0)

    r = rng.triangular(12.0, 14.8, 18.5)
    return _variable("long-period variable", "disc", r, rng.normal(1.9, 0.4), shape, rng, excess=rng.uniform(0.2, 1.2))


def _cataclysmic(rng: np.random.Generator) -> Origin:
    every, height, length = rng.lognormal(math.log(60.0), 0.6), rng.uniform(2.0, 4.5), rng.uniform(3.0, 9.0)

    def shape(mjd: np.ndarray, fid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        flicker = 0.2 * generator.standard_normal(len(mjd))
        return lc.outbursts(mjd, every, height, length, generator) + flicker

    return _variable("CV", "old disc", rng.triangular(17.0, 20.0, 22.5), rng.normal(0.2, 0.2), shape, rng, excess=0.4)


def _young(rng: np.random.Generator) -> Origin:
    sigma, tau, dips = rng.uniform(0.15, 0.5), rng.uniform(3.0, 40.0), rng.uniform(0.0, 1.2)

    def shape(mjd: np.ndarray, fid: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        walk = lc.random_walk(mjd, tau, sigma, generator)
        return (walk + dips * np.clip(walk / sigma, 0, 2) ** 2 * 0.3) * lc.band_value(fid, 1.2, 1.0)

    r = rng.triangular(13.5, 16.5, 19.5)
    return _variable("young star", "disc", r, rng.normal(1.3, 0.35), shape, rng, excess=rng.uniform(0.5, 2.0))


# --- asteroids and bogus --------------------------------------------------------------------------------------


def _constant(mag: float, colour: float) -> Light:
    return lambda mjd, fid, rng: lc.band_value(fid, mag + colour, mag) + 0.1 * rng.standard_normal(len(mjd))


def _asteroid(rng: np.random.Generator, fast: bool = False) -> Origin:
    r = float(np.clip(20.4 - rng.exponential(0.95), 14.5, 20.8))
    rate = rng.lognormal(math.log(3.0), 0.6) if fast else rng.lognormal(math.log(0.35), 0.4)
    angle = rng.normal(math.radians(20.0), 0.5)
    moved = (float(rate * math.cos(angle)), float(rate * math.sin(angle)))
    position = random_position(rng, "ecliptic")
    return Origin("asteroid", "near-earth" if fast else "main belt", *position, _constant(r, 0.5), False, rate=moved)


ARTEFACT_SHARES = {
    "bad subtraction": 0.55,
    "saturated star": 0.12,
    "diffraction spike": 0.08,
    "cosmic ray": 0.08,
    "hot column": 0.07,
    "ghost": 0.03,
    "noise": 0.07,
}


def _bogus(rng: np.random.Generator, artefact: str) -> Origin:
    ra, dec = random_position(rng, "stars" if rng.uniform() < 0.6 else "any")
    return Origin("bogus", artefact, ra, dec, _constant(lc.FAINT, 0.0), False, artefact=artefact)


SUBCLASSES: dict[str, dict[str, tuple[float, Callable[[np.random.Generator], Origin]]]] = {
    "AGN": {"QSO": (0.6, _qso), "Seyfert": (0.25, _seyfert), "blazar": (0.15, _blazar)},
    "SN": {
        name: (share, lambda rng, name=name: _supernova(name, rng))
        for name, share in (("SN Ia", 0.68), ("SN II", 0.20), ("SN Ibc", 0.08), ("SLSN", 0.04))
    },
    "VS": {
        "RR Lyrae": (0.25, _rr_lyrae),
        "eclipsing binary": (0.28, _eclipsing),
        "Cepheid": (0.05, _cepheid),
        "long-period variable": (0.20, _long_period),
        "CV": (0.07, _cataclysmic),
        "young star": (0.15, _young),
    },
    "asteroid": {"main belt": (0.97, _asteroid), "near-earth": (0.03, lambda rng: _asteroid(rng, fast=True))},
    "bogus": {name: (share, lambda rng, name=name: _bogus(rng, name)) for name, share in ARTEFACT_SHARES.items()},
}


def draw_origin(label: str, rng: np.random.Generator, subclass: str | None = None) -> Origin:
    """Draw an object of a class, its subclass by its share unless named."""
    table = SUBCLASSES[label]
    if subclass is None:
        shares = np.array([share for share, _ in table.values()])
        subclass = list(table)[int(rng.choice(len(table), p=shares / shares.sum()))]
    return table[subclass][1](rng)
