"""What ZTF's pipeline measures on the difference image of each alert, measured here on the pixels.

Flux, aperture, moments, counts of negative pixels and the quality of the fit come from the cutouts themselves.
Numbers that hang on the inner life of SExtractor or of a trained classifier (fwhm, classtar, elong, rb, drb) take
their rank from those pixels and their value from tables of real alerts (`calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.cadence import GAIN, Visits, stated_seeing
from tsc_core.data.simulate.calibration import joint, own_quantiles, table
from tsc_core.data.simulate.exposures import Cutouts
from tsc_core.data.simulate.pixels import BOX, RADIUS, central, centre_numbers
from tsc_core.data.simulate.render import point_sources

PATCH = 2 * RADIUS + 5  # side of an image that is made for photometry alone
STAR_FLOOR = 0.015  # a subtraction is never better than this share of the star's own light
SELF_FLOOR = 0.03  # nor is the fit to the change itself
LIMIT_SIGMAS = 5.0 * 1.55  # the stated limit in units of the noise that detection really has
LARGEST_SIGMA = 0.217  # mag: ZTF sends nothing fainter than 5 sigma of the fit
LEAST_FWHM = 2.354  # pixel: a sigma of one pixel, the least that SExtractor states
USUAL_WIDTH = 0.02  # log pixel: windowed width of a star in the difference
GENUINE, FAULTY = ((0.20, 0.6), (0.18, 0.7)), (0.88, 1.25)  # least rank and power (rb, drb); largest rank and power
CHANNELS = ("difference", "science", "template")


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


def measure(
    cutouts: Cutouts, visits: Visits, steady: np.ndarray, rng: np.random.Generator, genuine: bool = True
) -> Measured:
    """Photometry, shape and quality of the difference at the centre of each cutout.

    `steady` (A,) is the light (DN) of the star under the change, for the noise that it brings; `genuine` tells a
    change of the sky from a fault, which ZTF's classifiers see in most cases.
    """
    difference, science, template = (central(getattr(cutouts, name)) for name in CHANNELS)
    profile = psf_stamp(cutouts)
    norm = (profile**2).sum(axis=(1, 2))
    signed = (difference * profile).sum(axis=(1, 2)) / norm
    sign = np.where(signed >= 0, 1.0, -1.0)
    least = 10 ** (-0.4 * (visits.limit - visits.zeropoint))  # nothing below the limit is sent
    box, flux = difference * sign[:, None, None], np.maximum(np.abs(signed), least * rng.uniform(0.9, 1.3, len(sign)))
    sky = visits.sky[:, None, None]
    light = np.clip(science - sky, 0, None)
    seen = centre_numbers(box, science - sky, template - sky, cutouts.noise)
    magpsf = visits.zeropoint - 2.5 * np.log10(flux)
    stated = _stated(seen | {"positive": (signed >= 0).astype(float)}, magpsf, visits, rng)
    inner = box[:, 2:-2, 2:-2]
    return Measured(
        signed >= 0,
        *cutouts.error.T,
        magpsf,
        stated["sigmapsf"],
        stated["chipsf"],
        *_apertures(box, flux, cutouts.noise, visits),
        sky=np.median(cutouts.difference.reshape(len(flux), -1)[:, ::3], axis=1) + 0.1 * rng.standard_normal(len(flux)),
        scorr=stated["scorr"],
        **_shape(seen, stated, genuine, rng),
        nneg=(inner < 0).sum(axis=(1, 2)),
        sumrat=np.abs(inner.sum(axis=(1, 2))) / np.abs(inner).sum(axis=(1, 2)),
        dsnrms=box.max(axis=(1, 2)) / cutouts.noise,
        ssnrms=np.clip(light.max(axis=(1, 2)), 1.0, None) / cutouts.noise,
    )


def psf_stamp(cutouts: Cutouts) -> np.ndarray:
    """The star's profile of unit flux on the photometry box, (A, 9, 9)."""
    here = np.ones((len(cutouts.offset), 1))
    return point_sources(here, cutouts.offset[:, :1], cutouts.offset[:, 1:], cutouts.psf, len(BOX))


def _stated(
    seen: dict[str, np.ndarray], magpsf: np.ndarray, visits: Visits, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What ZTF's pipeline states of such pixels: errors, quality, size and star score, drawn together, (A,) each."""
    stated = stated_seeing(visits.seeing, visits.fid)
    given = {"fid": visits.fid, "limit": visits.limit, "seeing": stated, "excess": visits.limit - magpsf, **seen}
    law = joint("measurement")
    drawn, group = law.draw(given, rng, own_quantiles())
    failing, least = (np.array([name == kind for name in law.groups])[group] for kind in ("none", "floor"))
    fwhm = np.round(np.exp(drawn["fwhm"]) * stated, 2)
    fwhm = np.where(least, np.round(LEAST_FWHM - rng.exponential(0.012, len(fwhm)), 2), fwhm)
    return {
        "sigmapsf": np.minimum(np.exp(drawn["sigmapsf"]), LARGEST_SIGMA),
        "chipsf": np.exp(drawn["chipsf"]),
        "scorr": np.maximum(np.exp(drawn["scorr"]), 5.0),
        "classtar": np.clip(np.round(drawn["classtar"], 3), 0.0, 1.0),
        "elong": np.exp(drawn["elong"]),
        "fwhm": np.where(failing, stated / 2.0, fwhm),
        "seeratio": np.where(failing, 2.0, np.minimum(stated / fwhm, 2.0)),
        "failing": failing,
    }


def _apertures(box: np.ndarray, flux: np.ndarray, background: np.ndarray, visits: Visits) -> tuple[np.ndarray, ...]:
    """magap, sigmagap, magapbig, sigmagapbig."""
    radius = np.hypot(*np.meshgrid(BOX, BOX))
    magnitudes = []
    for size, kept in ((2.0, 0.75), (3.0, 0.90)):
        inside = 1.0 / (1.0 + np.exp((radius - size) / 0.15))
        sums = np.clip((box * inside).sum(axis=(1, 2)) / kept, 0.4 * flux, 2.0 * flux)
        noise = background * np.sqrt((inside**2).sum()) / kept
        magnitudes += [visits.zeropoint - 2.5 * np.log10(sums), np.hypot(0.006, 1.086 * noise / sums)]
    return tuple(magnitudes)


def _verdicts(merit: np.ndarray, genuine: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ranks in [0, 1] among all alerts of ``rb`` and ``drb``, from a merit of about unit spread, and chance.

    Both classifiers see the same pixels and share most errors. Changes of the sky lie above most faults: labelled ones
    have a ``drb`` near 1 and an ``rb`` about the upper third.
    """
    from scipy.special import ndtr

    shared, *own = rng.standard_normal((3, len(merit)))
    ranks = (ndtr(0.45 * np.clip(merit, -3, 3) + 0.6 * shared + 0.66 * chance) for chance in own)
    if genuine:
        return tuple(least + (1.0 - least) * rank**power for rank, (least, power) in zip(ranks, GENUINE, strict=True))
    return tuple(FAULTY[0] * rank ** FAULTY[1] for rank in ranks)


def _shape(
    seen: dict[str, np.ndarray], stated: dict[str, np.ndarray], genuine: bool, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Sizes, star score and real/bogus scores."""
    scorr, fwhm, failing = stated["scorr"], stated["fwhm"], stated["failing"]
    minor = fwhm / np.where(failing, 1.6, 3.1) * rng.lognormal(0.0, 0.1, len(fwhm))
    merit = -np.abs(seen["width"] - USUAL_WIDTH) / 0.13 - 4.0 * seen["ratio"] + 1.0
    rb, drb = _verdicts(merit, genuine, rng)
    return {
        "fwhm": fwhm,
        "seeratio": stated["seeratio"],
        "aimage": np.round(minor * stated["elong"], 3),
        "bimage": np.round(minor, 3),
        "classtar": stated["classtar"],
        "rb": np.round(table("rb").draw(scorr, rb), 4),
        "drb": table("drb").draw(scorr, drb),
    }
