"""What ZTF's pipeline measures on the difference image of each alert, measured here on the pixels.

Flux, aperture, moments, counts of negative pixels and the quality of the fit come from the cutouts themselves.
Numbers that hang on the inner life of SExtractor or of a trained classifier (fwhm, classtar, elong, rb, drb) take
their rank from those pixels and their value from tables of real alerts (`calibration`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.cadence import GAIN, Visits, stated_seeing
from tsc_core.data.simulate.calibration import table
from tsc_core.data.simulate.exposures import Cutouts
from tsc_core.data.simulate.render import MOFFAT_SIGMAS, MOFFAT_WEIGHTS, PIXEL_VARIANCE

RADIUS = 4  # pixels around the centre that photometry sees
BOX = np.arange(-RADIUS, RADIUS + 1)
PATCH = 2 * RADIUS + 5  # side of an image that is made for photometry alone
STAR_FLOOR = 0.015  # a subtraction is never better than this share of the star's own light
SELF_FLOOR = 0.03  # nor is the fit to the change itself
LIMIT_SIGMAS = 5.0 * 1.55  # the stated limit in units of the noise that detection really has
# log(sigmapsf) of real alerts on a star and away from one: constant, log scorr, log chipsf, log of the flux in
# units of a fifth of the limit's, limit - 20.2 mag; then the scatter
SIGMA_ON = np.array([-0.35, -0.205, 0.126, -0.441, 0.071, 0.33])
SIGMA_OFF = np.array([-0.13, -0.208, 0.293, -0.602, 0.119, 0.242])
LARGEST_SIGMA = 0.217  # mag: ZTF sends nothing fainter than 5 sigma of the fit


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Measurements of A alerts, each array (A,), by ZTF's names; `positive` tells the sign, `x`, `y` the centroid."""

    positive: np.ndarray
    x: np.ndarray
    y: np.ndarray
    magpsf: np.ndarray
    sigmapsf: np.ndarray
    chipsf: np.ndarray
    magap: np.ndarray
    sigmagap: np.ndarray
    magapbig: np.ndarray
    sigmagapbig: np.ndarray
    sky: np.ndarray
    scorr: np.ndarray
    fwhm: np.ndarray
    seeratio: np.ndarray
    aimage: np.ndarray
    bimage: np.ndarray
    classtar: np.ndarray
    nneg: np.ndarray
    sumrat: np.ndarray
    rb: np.ndarray
    drb: np.ndarray
    dsnrms: np.ndarray
    ssnrms: np.ndarray


def scorr_noise(change: np.ndarray, steady: np.ndarray, visits: Visits) -> np.ndarray:
    """Noise (DN) of a change of light: background, photons of the star below, and what subtraction gets wrong."""
    background = 10 ** (-0.4 * (visits.limit - visits.zeropoint)) / LIMIT_SIGMAS
    photons = (change + steady) / GAIN
    return np.sqrt(
        background**2 + photons + ((STAR_FLOOR * steady) ** 2 + (SELF_FLOOR * change) ** 2) * visits.untidy**2
    )


def measure(cutouts: Cutouts, visits: Visits, steady: np.ndarray, rng: np.random.Generator) -> Measured:
    """Photometry, shape and quality of the difference at the centre of each cutout.

    `steady` (A,) is the light (DN) of the star under the change, for the noise that it brings.
    """
    middle = cutouts.difference.shape[-1] // 2
    near = slice(middle - RADIUS, middle + RADIUS + 1)
    difference = cutouts.difference[:, near, near]
    profile = psf_stamp(cutouts.offset, visits.seeing)
    norm = (profile**2).sum(axis=(1, 2))
    signed = (difference * profile).sum(axis=(1, 2)) / norm
    sign = np.where(signed >= 0, 1.0, -1.0)
    box, flux = difference * sign[:, None, None], np.maximum(np.abs(signed), 1.0)
    light = np.clip(cutouts.science[:, near, near] - visits.sky[:, None, None], 0, None)
    core = light[:, 2:-2, 2:-2].sum(axis=(1, 2))
    scorr = np.maximum(
        flux / scorr_noise(flux, np.maximum(steady, 0.0), visits), 5.0 + rng.exponential(0.25, len(flux))
    )
    photon = flux / np.sqrt(visits.noise**2 / norm + core / GAIN)
    chipsf = _fit_quality(box - flux[:, None, None] * profile, light, photon, visits, rng)
    shape = _shape(box, scorr, visits.zeropoint - 2.5 * np.log10(flux), steady / flux, visits, rng)
    return Measured(
        signed >= 0,
        *_centroid(scorr, cutouts.offset, rng),
        *_photometry(box, flux, steady / flux, scorr, chipsf, visits, rng),
        sky=np.median(cutouts.difference.reshape(len(flux), -1)[:, ::3], axis=1) + 0.1 * rng.standard_normal(len(flux)),
        scorr=scorr,
        **shape,
        nneg=(box[:, 2:-2, 2:-2] < 0).sum(axis=(1, 2)),
        sumrat=np.abs(box[:, 2:-2, 2:-2].sum(axis=(1, 2))) / np.abs(box[:, 2:-2, 2:-2]).sum(axis=(1, 2)),
        dsnrms=box.max(axis=(1, 2)) / visits.noise,
        ssnrms=np.clip(light.max(axis=(1, 2)), 1.0, None) / visits.noise,
    )


def psf_stamp(offset: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The star's profile of unit flux on the photometry box, (A, 9, 9)."""
    spread = (width[:, None] * MOFFAT_SIGMAS) ** 2 + PIXEL_VARIANCE  # (A, K)
    x = np.exp(-0.5 * (BOX - offset[:, :1, None]) ** 2 / spread[..., None])
    y = np.exp(-0.5 * (BOX - offset[:, 1:, None]) ** 2 / spread[..., None])
    return np.einsum("ak,akx,aky->ayx", MOFFAT_WEIGHTS / (2 * np.pi * spread), x, y)


def _fit_quality(
    residual: np.ndarray, light: np.ndarray, photon: np.ndarray, visits: Visits, rng: np.random.Generator
) -> np.ndarray:
    """Reduced chi-square of the fit, with the error of the PSF model that bright changes show."""
    variance = visits.noise[:, None, None] ** 2 + light / GAIN
    pixels = (residual**2 / variance)[:, 1:-1, 1:-1].mean(axis=(1, 2))
    return 1.1 * pixels + 0.035 * photon**1.3 * rng.lognormal(0.0, 0.7, len(photon))


def _centroid(scorr: np.ndarray, offset: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Error of the measured position (pixel), which falls with the signal, (A,) each."""
    error = (0.08 + 0.9 / scorr)[:, None] * rng.standard_normal((len(scorr), 2))
    return error[:, 0], error[:, 1]


def _photometry(
    box: np.ndarray,
    flux: np.ndarray,
    contrast: np.ndarray,
    scorr: np.ndarray,
    chipsf: np.ndarray,
    visits: Visits,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """magpsf, sigmapsf, chipsf, magap, sigmagap, magapbig, sigmagapbig."""
    radius = np.hypot(*np.meshgrid(BOX, BOX))
    magnitudes = []
    for size, kept in ((2.0, 0.75), (3.0, 0.90)):
        inside = 1.0 / (1.0 + np.exp((radius - size) / 0.15))
        sums = np.clip((box * inside).sum(axis=(1, 2)) / kept, 0.4 * flux, 2.0 * flux)
        noise = visits.noise * np.sqrt((inside**2).sum()) / kept
        magnitudes += [visits.zeropoint - 2.5 * np.log10(sums), np.hypot(0.006, 1.086 * noise / sums)]
    magpsf = visits.zeropoint - 2.5 * np.log10(flux)
    deep = np.log(5.0) + 0.4 * math.log(10.0) * (visits.limit - magpsf)
    expected, spread = np.zeros(len(flux)), np.zeros(len(flux))
    for place, fit in ((contrast > 0.3, SIGMA_ON), (contrast <= 0.3, SIGMA_OFF)):
        terms = np.stack([np.ones(len(flux)), np.log(scorr), np.log(chipsf), deep, visits.limit - 20.2])
        expected = np.where(place, fit[:-1] @ terms, expected)
        spread = np.where(place, fit[-1], spread)
    # The scatter is cut where ZTF's own threshold cuts it.
    sigma = np.exp(expected + _normal_below((math.log(LARGEST_SIGMA) - expected) / spread, rng) * spread)
    return magpsf, sigma, chipsf, *magnitudes


def _normal_below(top: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers below `top`."""
    from scipy.special import ndtr, ndtri

    return ndtri(np.clip(rng.uniform(size=len(top)) * ndtr(top), 1e-6, 1.0 - 1e-9))


def _rank(score: np.ndarray, weight: float, rng: np.random.Generator) -> np.ndarray:
    """A rank in [0, 1] from a score of about unit spread, mixed with chance."""
    from scipy.special import ndtr

    return ndtr(weight * np.clip(score, -3, 3) + math.sqrt(1.0 - weight**2) * rng.standard_normal(len(score)))


def _shape(
    box: np.ndarray,
    scorr: np.ndarray,
    magpsf: np.ndarray,
    contrast: np.ndarray,
    visits: Visits,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Sizes, star score and real/bogus scores; ranks by the windowed second moments of the pixels."""
    wide, ratio = _moments(box, visits.noise, visits.seeing)
    score = (np.log(wide) - 0.06) / 0.13
    on_star = contrast > 0.3
    stated = stated_seeing(visits.seeing)
    failing = np.where(on_star, table("fallback_on").draw(scorr, _rank(-score, 0.3, rng)), 0.0)
    failing = np.where(on_star, failing, table("fallback_off").draw(scorr, _rank(-score - 0.3, 0.5, rng))) > 0.5
    rank = _rank(score, 0.6, rng)
    relative = np.where(on_star, table("fwhm_on").draw(scorr, rank), table("fwhm_off").draw(scorr, rank))
    fwhm = np.where(failing, stated / 2.0, np.round(relative * stated, 2))
    floor = (scorr < 12.0) & (rng.uniform(size=len(fwhm)) < 0.13) & ~failing  # a sigma of one pixel: 2.355
    fwhm = np.where(floor, np.round(2.354 - rng.exponential(0.012, len(fwhm)), 2), fwhm)
    star = _rank(0.8 * (np.log(scorr) - 2.3) - 0.2 * score, 0.5, rng)
    classtar = np.where(on_star, table("classtar_on").draw(magpsf, star), 0.0)
    classtar = np.where(on_star, classtar, table("classtar_off").draw(visits.limit - magpsf, star))
    classtar = np.where(failing, table("classtar_failed").draw(magpsf, star), classtar)
    elong = table("elong").draw(scorr, _rank((np.log(ratio) - 0.12) / 0.1, 0.5, rng))
    minor = fwhm / np.where(failing, 1.6, 3.1) * rng.lognormal(0.0, 0.1, len(fwhm))
    merit = -np.abs(score) - 4.0 * np.log(ratio) + 1.0
    return {
        "fwhm": fwhm,
        "seeratio": np.where(failing, 2.0, np.minimum(stated / fwhm, 2.0)),
        "aimage": np.round(minor * elong, 3),
        "bimage": np.round(minor, 3),
        "classtar": np.round(classtar, 3),
        "rb": np.round(table("rb").draw(scorr, _rank(merit, 0.6, rng)), 4),
        "drb": table("drb").draw(scorr, _rank(merit, 0.7, rng)),
    }


def _moments(box: np.ndarray, noise: np.ndarray, seeing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width relative to a star's, and axis ratio, from windowed second moments."""
    x, y = np.meshgrid(BOX, BOX)
    window = np.exp(-0.5 * (x**2 + y**2) / 1.6**2)
    weight = np.clip(box - 1.0 * noise[:, None, None], 0, None) * window + 1e-6
    total = weight.sum(axis=(1, 2))
    mx, my = (weight * x).sum((1, 2)) / total, (weight * y).sum((1, 2)) / total
    xx, yy = (weight * x**2).sum((1, 2)) / total - mx**2, (weight * y**2).sum((1, 2)) / total - my**2
    xy = (weight * x * y).sum((1, 2)) / total - mx * my
    root = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    a2, b2 = np.clip((xx + yy) / 2 + root, 0.1, None), np.clip((xx + yy) / 2 - root, 0.06, None)
    sigma = seeing / 2.2
    star = np.sqrt(1.0 / (1.0 / (sigma**2 + PIXEL_VARIANCE) + 1.0 / 1.6**2))
    return np.sqrt((a2 + b2) / 2) / star, np.sqrt(a2 / b2)
