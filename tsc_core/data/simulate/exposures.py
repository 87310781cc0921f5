"""From a scene to the three cutouts of each alert: science, template and their difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.artefacts import Fault
from tsc_core.data.simulate.cadence import GAIN, READ_NOISE, SATURATION, ZERO_POINT, Visits
from tsc_core.data.simulate.render import GRID, Galaxy, Psf, galaxy_shape, point_sources, smooth
from tsc_core.data.simulate.scene import Field

TEMPLATE_SEEING = {1: 2.25, 2: 2.05}  # FWHM in pixels
TEMPLATE_NOISE = 1.6  # DN per pixel, of about 15 frames
RESAMPLED = 0.22  # weight of neighbouring pixels that resampling leaves in the template's noise
FAINTEST_DRAWN = 0.3  # sources whose peak is below this many DN are left out


@dataclass(frozen=True, slots=True, eq=False)
class Cutouts:
    """Images (A, H, W) of A alerts and the FWHM (pixel) of a star in the difference."""

    science: np.ndarray
    template: np.ndarray
    difference: np.ndarray
    offset: np.ndarray
    width: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What changes at the centre: light now and in the reference (DN, (A,)), and its trail (pixel per exposure)."""

    now: np.ndarray
    before: np.ndarray
    trail: tuple[float, float] = (0.0, 0.0)


def expose(
    field: Field, host: Galaxy | None, subject: Subject, visits: Visits, fault: Fault, rng: np.random.Generator
) -> Cutouts:
    """Render the cutouts of each visit; noise, sky and PSF are the visit's own."""
    epochs = len(visits)
    offset = rng.uniform(-0.5, 0.5, (epochs, 2))
    seeing = _psf(visits.seeing, rng)
    sharp = np.array([TEMPLATE_SEEING[int(band)] for band in visits.fid])
    static = _static(field, visits)
    stars = (
        static,
        np.repeat(field.x[None], epochs, 0) + offset[:, :1],
        np.repeat(field.y[None], epochs, 0) + offset[:, 1:],
    )
    light = point_sources(*stars, seeing, field.size**2) + _host(host, visits, visits.seeing, offset)
    light += _subject(subject.now, subject.trail, offset, seeing) + np.clip(fault.extra, 0.0, None)
    template = point_sources(*stars, Psf(sharp, sharp), field.size**2) + _host(host, visits, sharp, offset)
    template += _subject(subject.before, (0.0, 0.0), offset, Psf(sharp, sharp))
    matched = _matched(field, host, subject, visits, fault, static, offset, seeing, rng)
    return _with_noise(light, template, matched, np.minimum(fault.extra, 0.0), offset, visits, rng)


def _psf(seeing: np.ndarray, rng: np.random.Generator) -> Psf:
    stretch = np.exp(0.03 * rng.standard_normal(len(seeing)))
    return Psf(seeing * stretch, seeing / stretch)


def _static(field: Field, visits: Visits) -> np.ndarray:
    """Counts of the field's sources in each visit, (A, N)."""
    mags = field.mags[:, visits.fid - 1].T
    return 10 ** (-0.4 * (mags - visits.zeropoint[:, None]))


def _host(host: Galaxy | None, visits: Visits, fwhm: np.ndarray, offset: np.ndarray) -> np.ndarray | float:
    if host is None:
        return 0.0
    flux = np.array([10 ** (-0.4 * (host.mags[int(f)] - z)) for f, z in zip(visits.fid, visits.zeropoint, strict=True)])
    return flux[:, None, None] * galaxy_shape(host, fwhm, offset)


def _subject(flux: np.ndarray, trail: tuple[float, float], offset: np.ndarray, psf: Psf) -> np.ndarray:
    """The changing point source, drawn as five points along its trail."""
    steps = np.linspace(-0.5, 0.5, 5 if any(trail) else 1)
    x = offset[:, :1] + steps * trail[0]
    y = offset[:, 1:] + steps * trail[1]
    return point_sources(np.repeat(flux[:, None] / len(steps), len(steps), 1), x, y, psf)


def _matched(
    field: Field,
    host: Galaxy | None,
    subject: Subject,
    visits: Visits,
    fault: Fault,
    static: np.ndarray,
    offset: np.ndarray,
    seeing: Psf,
    rng: np.random.Generator,
) -> np.ndarray:
    """The template brought to the science image's seeing, place and gain, each with its error, (A, H, W)."""
    epochs = len(visits)
    shift = offset + fault.misalignment / 1.414 * rng.standard_normal((epochs, 2))
    wrong = 1.0 + fault.mismatch * rng.standard_normal((epochs, 2))
    psf = Psf(seeing.x * wrong[:, 0], seeing.y * wrong[:, 1])
    gain = (1.0 + 0.01 * rng.standard_normal(epochs))[:, None]
    x, y = field.x[None] + shift[:, :1], field.y[None] + shift[:, 1:]
    image = point_sources(static * gain, x, y, psf, field.size**2)
    image += _subject(subject.before * gain[:, 0], (0.0, 0.0), shift, psf)
    return image + _host(host, visits, (psf.x + psf.y) / 2, shift)


def _with_noise(
    light: np.ndarray,
    template: np.ndarray,
    matched: np.ndarray,
    negative: np.ndarray,
    offset: np.ndarray,
    visits: Visits,
    rng: np.random.Generator,
) -> Cutouts:
    """Add background, photon and read noise; saturate; subtract."""
    sky = visits.sky[:, None, None]
    spread = np.sqrt((sky + np.clip(light, 0, SATURATION)) / GAIN + READ_NOISE**2)
    noise = spread * rng.standard_normal(light.shape)
    zero = np.array([ZERO_POINT[int(band)] for band in visits.fid])
    scale = 10 ** (0.4 * (visits.zeropoint - zero))[:, None, None]
    coadd = {band: smooth(rng.standard_normal((len(GRID), len(GRID))), RESAMPLED) for band in (1, 2)}
    grain = np.stack([coadd[int(band)] for band in visits.fid])
    depth = TEMPLATE_NOISE * scale * np.sqrt(1.0 + template / scale / 1500.0)
    grain = grain * depth
    full = SATURATION - sky
    science = np.minimum(light, full) + sky + noise + negative
    difference = np.minimum(light, full) - np.minimum(matched, full) + noise + negative - smooth(grain, 0.3) * 0.8
    level = sky + rng.normal(0.4, 0.5, (len(sky), 1, 1))
    width = visits.seeing
    return Cutouts(science, np.minimum(template, full) + level + grain, difference, offset, width)
