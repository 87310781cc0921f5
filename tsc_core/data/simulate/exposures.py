"""From a scene to the three cutouts of each alert: science, template and their difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.artefacts import Fault
from tsc_core.data.simulate.cadence import GAIN, READ_NOISE, SATURATION, ZERO_POINT, Visits
from tsc_core.data.simulate.render import STAMP, Galaxy, Psf, correlated, galaxy_shape, point_sources
from tsc_core.data.simulate.scene import Field

TEMPLATE_SEEING = {1: 2.1, 2: 1.92}  # FWHM in pixels
TEMPLATE_NOISE = {1: 1.55, 2: 2.0}  # DN per pixel, of about 15 frames
RESAMPLED = (0.09, -0.09)  # what resampling leaves in the template's noise (`correlated`)
WHITENED = (0.02, -0.024)  # and matching the seeing in the difference's
CHIP = ((-0.035, -0.005), 0.002)  # and the detector in the science image's
REACH = 12.0  # pixels beyond the image out to which sources still light it


@dataclass(frozen=True, slots=True, eq=False)
class Cutouts:
    """Images (A, H, W) of A alerts, and where their object lies from the middle pixel, (A, 2)."""

    science: np.ndarray
    template: np.ndarray
    difference: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What changes at the centre: light now and in the reference (DN, (A,)), and its trail (pixel per exposure)."""

    now: np.ndarray
    before: np.ndarray
    trail: tuple[float, float] = (0.0, 0.0)

    def pick(self, chosen: np.ndarray) -> Subject:
        """The epochs at `chosen`."""
        return Subject(self.now[chosen], self.before[chosen], self.trail)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All that lights the cutouts of one object besides the sky."""

    field: Field
    host: Galaxy | None
    subject: Subject
    visits: Visits
    fault: Fault


def expose(scene: Scene, rng: np.random.Generator, size: int = STAMP) -> Cutouts:
    """Render the cutouts of each visit; noise, sky and PSF are the visit's own."""
    visits = scene.visits
    offset = rng.uniform(-0.5, 0.5, (len(visits), 2))
    stretch = np.exp(0.03 * rng.standard_normal(len(visits)))
    seeing = Psf(visits.seeing * stretch, visits.seeing / stretch)
    sharp = np.array([TEMPLATE_SEEING[int(band)] for band in visits.fid])
    extra = _centre(scene.fault.extra, size)
    science = _light(scene, scene.subject.now, seeing, offset, size, trail=scene.subject.trail) + np.clip(
        extra, 0.0, None
    )
    template = _light(scene, scene.subject.before, Psf(sharp, sharp), offset, size)
    shift = offset + scene.fault.misalignment / 1.414 * rng.standard_normal(offset.shape)
    wrong = 1.0 + scene.fault.mismatch * rng.standard_normal(offset.shape)
    gain = 1.0 + 0.006 * rng.standard_normal(len(visits))
    matched = Psf(seeing.x * wrong[:, 0], seeing.y * wrong[:, 1])
    expected = _light(scene, scene.subject.before, matched, shift, size) * gain[:, None, None]
    return _with_noise(science, template, expected, np.minimum(extra, 0.0), offset, scene, rng)


def _centre(images: np.ndarray, size: int) -> np.ndarray:
    """The middle `size` pixels of full-size images."""
    edge = (images.shape[-1] - size) // 2
    return images[..., edge : edge + size, edge : edge + size] if edge > 0 else images


def _light(
    scene: Scene,
    flux: np.ndarray,
    psf: Psf,
    offset: np.ndarray,
    size: int,
    trail: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Field, host and the point source of `flux` under one PSF, (A, H, W)."""
    field, visits = scene.field, scene.visits
    near = np.maximum(np.abs(field.x), np.abs(field.y)) < size / 2 + REACH
    static = 10 ** (-0.4 * (field.mags[near][:, visits.fid - 1].T - visits.zeropoint[:, None]))
    x, y = field.x[near] + offset[:, :1], field.y[near] + offset[:, 1:]
    image = point_sources(static, x, y, psf, size, field.size[near] ** 2)
    steps = np.linspace(-0.5, 0.5, 5 if any(trail) else 1)  # a trail is drawn as five points
    share = np.repeat(flux[:, None] / len(steps), len(steps), 1)
    image = image + point_sources(share, offset[:, :1] + steps * trail[0], offset[:, 1:] + steps * trail[1], psf, size)
    if scene.host is None:
        return image
    mags = np.array([scene.host.mags[int(band)] for band in visits.fid])
    bright = 10 ** (-0.4 * (mags - visits.zeropoint))[:, None, None]
    return image + bright * galaxy_shape(scene.host, (psf.x + psf.y) / 2, offset, size)


def _with_noise(
    light: np.ndarray,
    template: np.ndarray,
    matched: np.ndarray,
    negative: np.ndarray,
    offset: np.ndarray,
    scene: Scene,
    rng: np.random.Generator,
) -> Cutouts:
    """Add background, photon and read noise; saturate; subtract."""
    visits, crowd = scene.visits, 0.33 * float((scene.field.mags[:, 1] < 21.8).sum())
    sky, shape = visits.sky[:, None, None], light.shape
    spread = np.sqrt(visits.noise[:, None, None] ** 2 + np.clip(light, 0, SATURATION) / GAIN)
    noise = spread * rng.standard_normal(shape, dtype=np.float32)
    zero = np.array([ZERO_POINT[int(band)] for band in visits.fid])
    scale = 10 ** (0.4 * (visits.zeropoint - zero))[:, None, None]
    woven = rng.normal(RESAMPLED, (0.03, 0.03))
    coadd = {band: correlated(rng.standard_normal(shape[1:]), float(woven[0]), float(woven[1])) for band in (1, 2)}
    depth = np.array([TEMPLATE_NOISE[int(band)] for band in visits.fid])[:, None, None] * rng.lognormal(0.0, 0.35)
    grain = np.stack([coadd[int(band)] for band in visits.fid])
    grain = grain * depth * scale * np.sqrt(1.0 + np.clip(template, 0, None) / scale / 1500.0)
    tilt = rng.normal(0.0, 0.018, (len(sky), 1, 1))
    full = SATURATION - sky
    science = (
        np.minimum(light, full) + sky + correlated(noise, (CHIP[0][0] + tilt, CHIP[0][1] + tilt), CHIP[1]) + negative
    )
    near, far = (rng.normal(mean, wide, (len(sky), 1, 1)) for mean, wide in zip(WHITENED, (0.042, 0.022), strict=True))
    # In crowded fields the subtraction weighs pixels such that its noise is below the background's.
    calm = rng.lognormal(0.0, 0.09, (len(sky), 1, 1)) * (
        0.95 - 0.45 * np.clip(np.log10(max(crowd, 1.0) / 8.0), 0.0, 0.6)
    )
    kept = (1.0 + 2 * near**2 + 2 * far**2) / (
        1.0 + 2 * near + 2 * far
    ) ** 2  # sharpening raises noise, blurring lowers it
    residue = (
        calm * correlated(noise, (near - 0.025, near + 0.01), far) * kept
        + negative
        - 0.5 * grain
        + rng.laplace(0.0, 0.4, (len(sky), 1, 1))
    )
    difference = np.minimum(light, full) - np.minimum(matched, full) + residue
    level = sky + 0.45 + rng.normal(0.0, 0.3, (len(sky), 1, 1)) - rng.gamma(1.2, 0.75, (len(sky), 1, 1))
    return Cutouts(science, np.minimum(template, full) + level + grain, difference, offset)


__all__ = ["GAIN", "READ_NOISE", "Cutouts", "Scene", "Subject", "expose"]
