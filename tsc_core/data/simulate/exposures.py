"""From a scene to the three cutouts of each alert: science, template and their difference."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import uniform_filter

from tsc_core.alerts import CHANNELS
from tsc_core.data.simulate.artefacts import Fault
from tsc_core.data.simulate.cadence import GAIN, SATURATION, Visits, stated_seeing
from tsc_core.data.simulate.calibration import joint
from tsc_core.data.simulate.pixels import central, centroid
from tsc_core.data.simulate.render import (
    SPARE,
    STAMP,
    Galaxy,
    Psf,
    band_limited,
    correlated,
    galaxy_shape,
    grid,
    point_sources,
    weighted,
)
from tsc_core.data.simulate.scene import COUNTED, CROWDED_COUNTED, Field, crowding

TEMPLATE_SEEING, TEMPLATE_SCATTER = {1: 2.07, 2: 1.80}, 0.10  # FWHM in pixels
THROUGHPUT = (0.05, 0.08)  # log of a reference's light per science DN: mean and scatter
REFERENCE_FULL = (30000.0, 42000.0)  # DN at which references saturate: less than a single image, cut before stacking
COMA, COMA_SCATTER, TURBULENT = (0.17, 0.95), 0.25, 2.0  # of the halo, and the FWHM (pixel) beyond which it fades
STREAK = {"science": -0.3, "template": 0.2}  # log of the streak's strength, with a scatter of 0.4
MATCHED = 0.5  # share of the reference's noise that matching it to the seeing leaves
NEARBY = 29.7  # pixels: within 30 arcsec PS1 counts sources
TIES = (-0.16, 0.55)  # between neighbouring pixels' noise: the range of detectors and resampling
QUIET = 0.45  # share of the pixels that count as without a source
SPECKLE = 0.125  # residuals of bright stars, in units of their light spread over `SPECKLE_REACH`
SPECKLE_REACH, SPECKLE_CORE = 9, 0.65
LIKE_A_STAR, LIKE_A_STAR_WITHIN = 0.45, 2.5  # less of it at the candidate (share, pixels): it passed as star-like
RINGING, ALTERNATING, AGREEING = 0.6, -0.55, 0.8  # share of it that rings, and the weights of neighbours
SOFTENED = 0.13  # how much the matching blurs what is sharper than a star
FITTED = 0.95  # how far the fitted position follows noise, beside the moments'
ELONGATION, ELLIPTICITY, WIDTH_ERROR = 0.05, 0.07, 0.09
STACKED_ELLIPTICITY = 0.05  # of references: they are means of many images
WINGLESS = 20.3  # r mag of field sources beyond which wings and streaks are below the noise
REACH = 12.0  # pixels beyond the image out to which sources still light it


@dataclass(frozen=True, slots=True, eq=False)
class Cutouts:
    """Images (A, H, W) of A alerts.

    `offset` (A, 2) is where their object lies from the middle pixel, `error` (A, 2) where ZTF believes it from there,
    `noise` (A,) that of the difference, `psf` that of the science images.
    """

    science: np.ndarray
    template: np.ndarray
    difference: np.ndarray
    offset: np.ndarray
    noise: np.ndarray
    error: np.ndarray
    psf: Psf


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
    """Render the cutouts of each visit, centred on where ZTF would see the change."""
    visits, fault, frame = scene.visits, scene.fault, size + 2 * SPARE
    offset = rng.uniform(-0.5, 0.5, (len(visits), 2)) if fault.at is None else fault.at
    seeing, sharp = _profiles(visits, rng)
    extra = _centre(fault.extra, frame).astype(np.float32)
    science = _light(scene, scene.subject.now, seeing, offset, frame, trail=scene.subject.trail)
    science = science + np.clip(extra, 0.0, None)
    odd = {band: np.exp(rng.normal(*THROUGHPUT)) for band in (1, 2)}
    template = _light(scene, scene.subject.before, sharp, offset, frame) * _tall(_of_band(odd, visits.fid))
    shift = offset + fault.misalignment / 1.414 * rng.standard_normal(offset.shape)
    wrong = 1.0 + fault.mismatch * rng.standard_normal(offset.shape)
    gain = 1.0 + 0.006 * rng.standard_normal(len(visits))
    matched = replace(seeing, x=seeing.x * wrong[:, 0], y=seeing.y * wrong[:, 1])
    expected = _light(scene, scene.subject.before, matched, shift, frame)
    speckle = _speckle(expected, rng)
    expected = expected * _tall(gain)
    whole = _with_noise(science, template, expected, np.minimum(extra, 0.0), offset, scene, rng)
    whole = replace(whole, difference=whole.difference + speckle, psf=seeing)
    return _centred(whole)


def _profiles(visits: Visits, rng: np.random.Generator) -> tuple[Psf, Psf]:
    """PSF of science images and references: elliptical and comatic, of widths that scatter about those drawn.

    Turbulence hides the optics' coma; where on the chip an object lies tells coma and streak of all its images.
    """
    count, place, row = len(visits), COMA_SCATTER * rng.standard_normal(2), 0.3 * rng.standard_normal()
    stretch = np.exp(ELONGATION + ELLIPTICITY * rng.standard_normal(count))
    width = visits.seeing * np.exp(WIDTH_ERROR * rng.standard_normal(count))
    calm = 0.1 + 0.9 / (1.0 + np.exp(np.clip((width - TURBULENT) / 0.2, -30, 30)))
    coma = np.array(COMA) * np.stack([np.ones(count), calm], axis=1) + 0.7 * place
    coma = coma + 0.7 * COMA_SCATTER * rng.standard_normal((count, 2))
    streak = np.exp(STREAK["science"] + row + 0.25 * rng.standard_normal(count))
    found = {band: _reference_profile(band, place, row, rng) for band in (1, 2)}
    sharp = Psf(*(np.stack([getattr(found[int(b)], n)[0] for b in visits.fid]) for n in Psf.__slots__))
    return Psf(width * stretch, width / stretch, coma, streak), sharp


def _reference_profile(band: int, place: np.ndarray, row: float, rng: np.random.Generator) -> Psf:
    """PSF of one reference image."""
    width = TEMPLATE_SEEING[band] * np.exp(TEMPLATE_SCATTER * rng.standard_normal(1))
    stretch = np.exp(ELONGATION + STACKED_ELLIPTICITY * rng.standard_normal(1))
    coma = np.array([COMA]) + 0.7 * place + 0.7 * COMA_SCATTER * rng.standard_normal((1, 2))
    return Psf(width * stretch, width / stretch, coma, np.exp(STREAK["template"] + row + 0.25 * rng.standard_normal(1)))


def _tall(values: np.ndarray) -> np.ndarray:
    """Numbers (A,) that go with images (A, H, W), in their precision, (A, 1, 1)."""
    return np.asarray(values, dtype=np.float32)[:, None, None]


def _of_band(values: dict[int, float], fid: np.ndarray) -> np.ndarray:
    return np.array([values[int(band)] for band in fid])


def _speckle(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a matched subtraction leaves of stars: a share of their light, wider, ringing along rows and columns."""
    light = np.clip(light, 0.0, None)
    around = np.clip(uniform_filter(light, (0, SPECKLE_REACH, SPECKLE_REACH)), 0.0, None)
    level = _tall(SPECKLE * np.exp(0.4 * rng.standard_normal(len(light))))
    rough = _ringing(rng.standard_normal((3, *light.shape), dtype=np.float32))
    x = grid(light.shape[-1])
    smooth = 1.0 - LIKE_A_STAR * np.exp(-0.5 * (x**2 + x[:, None] ** 2) / LIKE_A_STAR_WITHIN**2)
    return level * smooth.astype(np.float32) * light**SPECKLE_CORE * around ** (1.0 - SPECKLE_CORE) * rough


def _ringing(white: np.ndarray) -> np.ndarray:
    """White noise (3, A, H, W) as resampling ties it: pixels alternate along one axis and agree along the other."""
    rows, columns, rest = white
    rows = weighted(weighted(rows, ALTERNATING, -1), AGREEING, -2)
    columns = weighted(weighted(columns, ALTERNATING, -2), AGREEING, -1)
    rows += columns
    rows *= math.sqrt(RINGING / 2)
    rows += math.sqrt(1.0 - RINGING) * correlated(rest, 0.15, 0.1, 0.0)
    return rows


def _centred(cutouts: Cutouts) -> Cutouts:
    """Cut away the spare pixels such that the difference's centroid lies within the middle pixel, or nearest to it."""
    box = central(cutouts.difference)
    sign = np.where(box.sum(axis=(1, 2)) >= 0, 1.0, -1.0)[:, None, None]
    found = np.stack(centroid(box * sign, cutouts.noise), axis=1) - _lean(cutouts.psf)
    step = np.clip(np.rint(found), -SPARE, SPARE).astype(int)
    size = cutouts.difference.shape[-1] - 2 * SPARE
    cut = [(at, slice(y, y + size), slice(x, x + size)) for at, (x, y) in enumerate((SPARE + step).tolist())]
    images = (np.stack([getattr(cutouts, n)[c] for c in cut]) for n in CHANNELS)
    return Cutouts(*images, cutouts.offset - step, cutouts.noise, FITTED * (found - cutouts.offset), cutouts.psf)


def _lean(psf: Psf) -> np.ndarray:
    """How far the centroid of a star lies from its core, where the fit of its profile finds it, (A, 2)."""
    middle = np.zeros((len(psf.x), 1))
    star = point_sources(1e4 * np.ones_like(middle), middle, middle, psf, 9)
    return np.stack(centroid(star, np.ones(len(star))), axis=1)


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
    x, y, widen = field.x[near] + offset[:, :1], field.y[near] + offset[:, 1:], field.size[near] ** 2
    faint = field.mags[near, 1] > WINGLESS
    steps = np.linspace(-0.5, 0.5, 5 if any(trail) else 1)  # a trail is drawn as five points
    share = np.repeat(flux[:, None] / len(steps), len(steps), 1)
    drawn = (share, offset[:, :1] + steps * trail[0], offset[:, 1:] + steps * trail[1])
    drawn = (np.concatenate(both, axis=1) for both in zip(drawn, (v[:, ~faint] for v in (static, x, y)), strict=True))
    image = point_sources(*drawn, psf, size, np.concatenate([np.zeros(len(steps)), widen[~faint]]))
    if faint.any():
        image += point_sources(static[:, faint], x[:, faint], y[:, faint], psf, size, widen[faint], parts=3)
    if scene.host is None:
        return image
    mags = np.array([scene.host.mags[int(band)] for band in visits.fid])
    bright = 10 ** (-0.4 * (mags - visits.zeropoint))
    return image + _tall(bright) * galaxy_shape(scene.host, (psf.x + psf.y) / 2, offset, size)


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
    visits = scene.visits
    texture = _texture(scene, rng)
    full = _tall(SATURATION - visits.sky)
    light = np.minimum(light, full)
    template = np.minimum(template, _tall(rng.uniform(*REFERENCE_FULL) - visits.sky))
    change = light - np.minimum(matched, full) + negative
    change = band_limited(change, SOFTENED)
    reference = texture["template_noise"]
    calm = template <= _tall(_quantile(template, QUIET))
    science = _left(light, calm, texture, "science")
    under = _left(template, calm, texture, "template")
    left = _left(change, calm, texture, "difference", MATCHED * reference)
    spread = np.sqrt(1.0 + np.clip(light, 0, None) * _tall(1.0 / GAIN / texture["science_noise"] ** 2))
    white = spread * rng.standard_normal(light.shape, dtype=np.float32)
    grain = _grain(under, template, visits, rng)
    sky = _tall(visits.sky - science.level)
    above = _tall(visits.sky + texture["template_level"] - under.level)
    residue = left.grain(white) - MATCHED * grain + _tall(texture["difference_level"] - left.level)
    return Cutouts(
        light + negative + sky + science.grain(white),
        template + above + grain,
        change + residue,
        offset,
        texture["difference_noise"],
        np.zeros_like(offset),
        None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """What the noise of images must still bring (noise and ties, (A,)), and the level that their sources bring."""

    noise: np.ndarray
    ties: tuple[np.ndarray, ...]
    level: np.ndarray

    def grain(self, white: np.ndarray) -> np.ndarray:
        """White noise of unit variance (A, H, W) made into the noise of these images."""
        return _tall(self.noise) * correlated(white, *(tie[:, None, None] for tie in self.ties))


def _left(
    light: np.ndarray, calm: np.ndarray, texture: dict[str, np.ndarray], image: str, other: np.ndarray | float = 0.0
) -> Rest:
    """The wanted noise of an image's calm pixels, less what faint sources and `other` noise bring to them already.

    Light is cut at three times the noise, as where the noise of real images was measured.
    """
    count, most = calm.sum(axis=(1, 2)), 3.0 * _tall(texture[f"{image}_noise"])
    level = np.where(calm, np.clip(light, -most, most), 0.0).sum(axis=(1, 2)) / count
    flat = np.where(calm, np.clip(light - _tall(level), -most, most), np.float32(0.0))
    wanted = texture[f"{image}_noise"] ** 2
    own = np.maximum(wanted - _dot(flat, flat) / count - np.square(other), 0.5 * wanted)
    pairs = {
        "x": (np.s_[..., 1:], np.s_[..., :-1]),
        "y": (np.s_[:, 1:], np.s_[:, :-1]),
        "two": (np.s_[..., 2:], np.s_[..., :-2]),
    }
    ties = []
    for name, (ahead, behind) in pairs.items():
        both = np.maximum((calm[ahead] & calm[behind]).sum(axis=(1, 2)), 1)
        shared = _dot(flat[ahead], flat[behind]) / both
        ties.append(np.clip((texture[f"{image}_tie_{name}"] * wanted - shared) / own, *TIES))
    return Rest(np.sqrt(own), tuple(ties), level)


def _quantile(images: np.ndarray, level: float) -> np.ndarray:
    """A quantile of each image's pixels, (A,): sorting single numbers is faster than NumPy's search for one."""
    ranked = np.sort(images.reshape(len(images), -1), axis=1)
    place = level * (ranked.shape[1] - 1)
    low = ranked[:, int(place)]
    return low + (place - int(place)) * (ranked[:, int(place) + 1] - low)


def _dot(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Sum over the pixels of the product of two images, (A,)."""
    return np.einsum("ahw,ahw->a", one, two).astype(np.float64)


def _texture(scene: Scene, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Noise, its ties between pixels and the levels of each visit's images, as real exposures have them together.

    A reference image is one of its band: its numbers are the first visit's.
    """
    visits, field = scene.visits, scene.field
    counted = COUNTED + (CROWDED_COUNTED - COUNTED) * crowding(field)
    crowd = int(((field.mags[:, 1] < counted) & (np.hypot(field.x, field.y) < NEARBY)).sum())
    given = {
        "fid": visits.fid,
        "limit": visits.limit,
        "seeing": stated_seeing(visits.seeing, visits.fid),
        "sky": np.log(visits.sky),
        "crowd": np.full(len(visits), np.log(crowd + 1.0)),
    }
    drawn, _ = joint("texture").draw(given, rng)
    drawn |= {name: np.exp(drawn[name]) for name in ("science_noise", "template_noise", "difference_noise")}
    drawn |= {f"{image}_tie_y": drawn[f"{image}_tie_x"] + drawn[f"{image}_lean"] for image in CHANNELS}
    drawn |= {f"{image}_tie_two": drawn[f"{image}_two"] for image in CHANNELS}
    drawn["template_tie_two"] = drawn["template_tie_two"] + drawn["template_tie_x"]  # as `calibrate` stores it
    drawn["difference_noise"] = drawn["difference_noise"] * drawn["science_noise"]
    first = [int(np.argmax(visits.fid == band)) for band in visits.fid]
    scale = 10 ** (0.4 * (visits.zeropoint - visits.zeropoint[first]))
    reference = {name: drawn[name][first] for name in drawn if name.startswith("template") and name != "template_level"}
    reference["template_noise"] = reference["template_noise"] * scale
    return drawn | reference


def _grain(rest: Rest, template: np.ndarray, visits: Visits, rng: np.random.Generator) -> np.ndarray:
    """Noise of the reference image, the same in all visits of a band."""
    white = {band: rng.standard_normal(template.shape[1:]).astype(np.float32) for band in (1, 2)}
    grain = rest.grain(np.stack([white[int(band)] for band in visits.fid]))
    return grain * np.sqrt(1.0 + np.clip(template, 0, None) / 1500.0)


__all__ = ["Cutouts", "Scene", "Subject", "expose"]
