"""What ZTF's pipeline measures on the difference image of each alert, measured here on the pixels themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.cadence import GAIN, Visits
from tsc_core.data.simulate.exposures import Cutouts
from tsc_core.data.simulate.render import MOFFAT_SIGMAS, MOFFAT_WEIGHTS, PIXEL_VARIANCE

CENTRE = 31
RADIUS = 4  # pixels around the centre that photometry sees
NEAR = slice(CENTRE - RADIUS, CENTRE + RADIUS + 1)
CORE = slice(CENTRE - 2, CENTRE + 3)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Measurements of A alerts, each array (A,); `positive` tells the sign of the difference."""

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


def measure(cutouts: Cutouts, visits: Visits, rng: np.random.Generator) -> Measured:
    """Photometry, shape and quality of the difference at the centre of each cutout."""
    difference = cutouts.difference
    background = np.median(difference.reshape(len(difference), -1)[:, ::7], axis=1)
    box = difference[:, NEAR, NEAR] - background[:, None, None]
    profile = psf_stamp(cutouts.offset, cutouts.width)
    norm = (profile**2).sum(axis=(1, 2))
    signed = (box * profile).sum(axis=(1, 2)) / norm
    positive = signed >= 0
    box = np.where(positive[:, None, None], box, -box)
    flux = np.abs(signed)
    noise = visits.noise
    residual = (box - flux[:, None, None] * profile) ** 2
    light = np.clip(cutouts.science[:, NEAR, NEAR] - visits.sky[:, None, None], 0, None)
    variance = noise[:, None, None] ** 2 + light / GAIN
    chipsf = (residual / variance)[:, 1:-1, 1:-1].mean(axis=(1, 2))
    error = noise / np.sqrt(norm)
    shape = _moments(box, noise, visits.seeing, rng)
    quality = flux / error / np.sqrt(np.clip(chipsf, 0.7, None))
    return Measured(
        positive,
        *_centroid(box, noise),
        *_photometry(box, flux, error, chipsf, noise, visits, rng),
        sky=background + 0.02 * noise * rng.standard_normal(len(flux)),
        scorr=flux / error,
        **shape,
        **_flags(difference[:, CORE, CORE] * np.where(positive, 1.0, -1.0)[:, None, None]),
        **_scores(quality, shape, chipsf, rng),
        dsnrms=flux / noise,
        ssnrms=np.clip(cutouts.science[:, CORE, CORE].max(axis=(1, 2)) - visits.sky, 1.0, None) / noise,
    )


def psf_stamp(offset: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The star's profile of unit flux on the photometry box, (A, 9, 9)."""
    grid = np.arange(-RADIUS, RADIUS + 1)
    spread = (width[:, None] * MOFFAT_SIGMAS) ** 2 + PIXEL_VARIANCE  # (A, K)
    x = np.exp(-0.5 * (grid - offset[:, :1, None]) ** 2 / spread[..., None])
    y = np.exp(-0.5 * (grid - offset[:, 1:, None]) ** 2 / spread[..., None])
    return np.einsum("ak,akx,aky->ayx", MOFFAT_WEIGHTS / (2 * np.pi * spread), x, y)


def _centroid(box: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of the light within 2 pixels of the centre, (A,) each, in pixels."""
    core = np.clip(box[:, 2:-2, 2:-2] - noise[:, None, None], 0, None)
    grid = np.arange(-2, 3)
    total = core.sum(axis=(1, 2)) + 1e-6
    return (core * grid).sum(axis=(1, 2)) / total, (core * grid[:, None]).sum(axis=(1, 2)) / total


def _photometry(
    box: np.ndarray,
    flux: np.ndarray,
    error: np.ndarray,
    chipsf: np.ndarray,
    noise: np.ndarray,
    visits: Visits,
    rng: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """magpsf, sigmapsf, chipsf, magap, sigmagap, magapbig, sigmagapbig."""
    grid = np.hypot(*np.meshgrid(np.arange(-RADIUS, RADIUS + 1), np.arange(-RADIUS, RADIUS + 1)))
    spread = 1.086 * error / flux
    sigma = np.sqrt(0.03**2 + (1.7 * spread) ** 2) * rng.lognormal(0.0, 0.12, len(flux))
    magnitudes = []
    for radius, kept in ((2.0, 0.80), (3.0, 0.93)):
        inside = 1.0 / (1.0 + np.exp((grid - radius) / 0.15))
        sums = np.clip((box * inside).sum(axis=(1, 2)), 0.25 * kept * flux, None) / kept
        bright = noise * np.sqrt((inside**2).sum()) / kept
        magnitudes += [visits.zeropoint - 2.5 * np.log10(sums), np.hypot(0.008, 1.086 * bright / sums)]
    return visits.zeropoint - 2.5 * np.log10(flux), np.clip(sigma, 0.02, 0.217), chipsf, *magnitudes


def _moments(box: np.ndarray, noise: np.ndarray, seeing: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Sizes from windowed second moments: fwhm, seeratio, aimage, bimage, classtar."""
    x, y = np.meshgrid(np.arange(-RADIUS, RADIUS + 1), np.arange(-RADIUS, RADIUS + 1))
    window = np.exp(-0.5 * (x**2 + y**2) / 1.6**2)
    weight = np.clip(box - 1.0 * noise[:, None, None], 0, None) * window
    total = weight.sum(axis=(1, 2)) + 1e-6
    mx, my = (weight * x).sum((1, 2)) / total, (weight * y).sum((1, 2)) / total
    xx = (weight * x**2).sum((1, 2)) / total - mx**2
    yy = (weight * y**2).sum((1, 2)) / total - my**2
    xy = (weight * x * y).sum((1, 2)) / total - mx * my
    root = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    a, b = np.sqrt(np.clip((xx + yy) / 2 + root, 0.09, None)), np.sqrt(np.clip((xx + yy) / 2 - root, 0.05, None))
    fwhm = np.round(2.355 * np.sqrt((a**2 + b**2) / 2) * 1.05, 2)
    wide = fwhm / seeing
    star = 1.0 / (1.0 + np.exp((wide - 1.65) / 0.17)) * (1.0 - np.abs(rng.normal(0.0, 0.02, len(a))))
    return {
        "fwhm": fwhm,
        "seeratio": np.clip(wide * rng.lognormal(0.05, 0.12, len(a)), 0.3, 2.0),
        "aimage": np.round(a * 0.85, 3),
        "bimage": np.round(b * 0.85, 3),
        "classtar": np.round(np.clip(star, 0.0, 1.0), 3),
    }


def _flags(core: np.ndarray) -> dict[str, np.ndarray]:
    """Nneg and sumrat of the central 5 x 5 pixels."""
    return {
        "nneg": (core < 0).sum(axis=(1, 2)),
        "sumrat": np.abs(core.sum(axis=(1, 2))) / np.abs(core).sum(axis=(1, 2)),
    }


def _scores(
    quality: np.ndarray, shape: dict[str, np.ndarray], chipsf: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Real/bogus scores that see what a classifier would: a star's width, roundness, a good fit."""
    odd = np.abs(np.log(np.clip(shape["seeratio"], 0.3, 2.0))) / 0.4 + (shape["aimage"] / shape["bimage"] - 1.1) / 0.25
    merit = (
        0.45 * np.log(np.clip(quality, 1.0, 60.0))
        - 0.7 * np.clip(odd, 0.0, 4.0)
        - 0.35 * np.log(np.clip(chipsf, 1, None))
    )
    merit = merit + 0.5 * rng.standard_normal(len(quality))
    rb = 1.0 / (1.0 + np.exp(-(0.8 * merit - 0.1)))
    drb = 1.0 / (1.0 + np.exp(-(3.5 * merit + 2.0)))
    return {"rb": np.round(rb * 700) / 700, "drb": drb}
