"""Images from lists of sources, all epochs of an object at once.

Point spread functions and galaxies are sums of Gaussians, so a field of N stars is one product of two small
matrices per exposure instead of N images. Positions are pixels from the stamp's centre, x to the right (west),
y down (south).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tsc_core.survey import ZTF

# A star as five Gaussians, fitted to isolated bright stars of real cutouts: two that are as wide as the seeing, the
# halo of the optics, wings, and the streak that bright stars have along a row. `STAR_SCALED` is the part of their sigma
# that grows with the seeing (per pixel of FWHM), `STAR_FIXED` the part that does not (pixel; x and y), `STAR_COMA` how
# far each follows the optics' coma.
STAR_WEIGHTS = np.array([0.5587, 0.3139, 0.0635, 0.0554, 0.0086])
STAR_SCALED = np.array([0.4043, 0.4808, 0.6936, 0.1656, 0.6925])
STAR_FIXED = np.array([[0.267, 1.227, 1.823, 3.212, 9.199], [0.379, 1.206, 1.070, 3.654, 0.199]])
STAR_COMA = np.array([-0.029, 0.334, 2.309, 0.664, 0.078])
# Exponential (n 1) and de Vaucouleurs (n 4) profiles of half-light radius 1 (after Hogg & Lang 2013).
PROFILES = {
    1: (np.array([0.075, 0.294, 0.434, 0.197]), np.array([0.22, 0.47, 0.84, 1.32])),
    4: (np.array([0.17, 0.25, 0.27, 0.20, 0.11]), np.array([0.09, 0.27, 0.70, 1.65, 3.60])),
}
PIXEL_VARIANCE = 1.0 / 12.0  # a square pixel widens a Gaussian
STAMP = ZTF.stamp_size
SPARE = 1  # pixels rendered beyond each edge, so that a cutout can be centred on what was measured
FRAME = STAMP + 2 * SPARE
LEAST = -40.0  # where a profile's logarithm ends: numbers too small to be normal ones make its products slow
Tie = np.ndarray | float


def grid(size: int = STAMP) -> np.ndarray:
    """Pixel centres along one side, 0 in the middle."""
    return np.arange(size) - size // 2


@dataclass(frozen=True, slots=True, eq=False)
class Psf:
    """A point spread function per exposure.

    Attributes
    ----------
    x, y : ndarray (A,)
        FWHM of the core in pixels along each axis.
    coma : ndarray (A, 2)
        How the optics push the halo to one side, 1 typical.
    streak : ndarray (A,)
        How strong the streak along a row is, 1 typical.
    """

    x: np.ndarray
    y: np.ndarray
    coma: np.ndarray
    streak: np.ndarray

    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Variance of each Gaussian along x and y, (A, K)."""
        both = zip((self.x, self.y), STAR_FIXED, strict=True)
        return tuple((fwhm[:, None] * STAR_SCALED) ** 2 + fixed**2 + PIXEL_VARIANCE for fwhm, fixed in both)

    def weights(self) -> np.ndarray:
        """Share of the light that each Gaussian has, (A, K)."""
        weights = np.repeat(STAR_WEIGHTS[None], len(self.x), 0)
        weights[:, -1] *= self.streak
        return weights / weights.sum(axis=1, keepdims=True)

    def shifts(self) -> np.ndarray:
        """Where each Gaussian lies from the star (pixel), (A, 2, K)."""
        return self.coma[:, :, None] * STAR_COMA


@dataclass(frozen=True, slots=True)
class Galaxy:
    """A smooth galaxy: magnitude per band, half-light radius (pixels), axis ratio, angle (rad), Sersic index 1 or 4."""

    mags: dict[int, float]
    radius: float
    ratio: float
    angle: float
    index: int
    x: float
    y: float


def point_sources(
    flux: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    psf: Psf,
    size: int,
    widen: np.ndarray | float = 0.0,
    parts: int = len(STAR_WEIGHTS),
) -> np.ndarray:
    """Sum of point sources, (A, H, W).

    Parameters
    ----------
    flux, x, y : ndarray (A, N)
        Counts and positions in each of A exposures.
    psf : Psf
    size : int
        Side of the images in pixels.
    widen : ndarray (N,) or float
        Variance (pixel squared) added to each source: small round galaxies.
    parts : int
        Gaussians of the profile that are drawn, the sharpest first.
    """
    place = np.stack([x, y])[:, :, None, :] + psf.shifts()[..., :parts].transpose(1, 0, 2)[..., None]
    spread = np.stack(psf.variances())[:, :, :parts, None] + np.broadcast_to(widen, x.shape[1:])
    light = flux[:, None, :] * psf.weights()[:, :parts, None] / (2.0 * np.pi * np.sqrt(spread[0] * spread[1]))
    columns, rows = _gaussians(place.reshape(2, len(x), -1), spread.reshape(2, len(x), -1), size)
    columns *= light.reshape(len(x), -1, 1).astype(np.float32)
    return np.matmul(rows.transpose(0, 2, 1), columns)


def _gaussians(position: np.ndarray, variance: np.ndarray, size: int) -> np.ndarray:
    """Gaussians of unit peak at positions (2, A, M) on the grid, (2, A, M, W)."""
    image = grid(size).astype(np.float32) - position.astype(np.float32)[..., None]
    np.square(image, out=image)
    image *= (-0.5 / variance).astype(np.float32)[..., None]
    np.clip(image, LEAST, 0.0, out=image)
    return np.exp(image, out=image)


def galaxy_shape(galaxy: Galaxy, fwhm: np.ndarray, shift: np.ndarray, size: int) -> np.ndarray:
    """A galaxy of unit flux seen through Gaussian seeing, (A, H, W); `fwhm` (A,), `shift` (A, 2) in pixels."""
    weights, sigmas = PROFILES[galaxy.index]
    cos, sin = np.cos(galaxy.angle), np.sin(galaxy.angle)
    x = (grid(size) - galaxy.x)[None, None, :] - shift[:, 0, None, None]
    y = (grid(size) - galaxy.y)[None, :, None] - shift[:, 1, None, None]
    major, minor = ((u + v).astype(np.float32) for u, v in ((x * cos, y * sin), (y * cos, -x * sin)))
    np.square(major, out=major)
    np.square(minor, out=minor)
    seeing = (fwhm / 2.2) ** 2 + PIXEL_VARIANCE
    image, spare, part = np.zeros_like(major), np.empty_like(major), np.empty_like(major)
    for weight, sigma in zip(weights, sigmas * galaxy.radius, strict=True):
        a, b = seeing + sigma**2, seeing + (sigma * galaxy.ratio) ** 2
        peak = weight / (2.0 * np.pi * np.sqrt(a * b))
        across, down, peak = (value.astype(np.float32)[:, None, None] for value in (-0.5 / a, -0.5 / b, peak))
        np.add(np.multiply(major, across, out=part), np.multiply(minor, down, out=spare), out=part)
        np.exp(np.clip(part, LEAST, 0.0, out=part), out=part)
        image += np.multiply(part, peak, out=part)
    return image


def _beside(images: np.ndarray, axis: int, step: int = 1) -> np.ndarray:
    """Sum of both pixels that lie `step` from each along an axis (-1 or -2), the image going on at its other edge."""
    found = np.empty_like(images)
    new, old = (found, images) if axis == -1 else (found.swapaxes(-1, -2), images.swapaxes(-1, -2))
    np.add(old[..., 2 * step :], old[..., : -2 * step], out=new[..., step:-step])
    np.add(old[..., step : 2 * step], old[..., -step:], out=new[..., :step])
    np.add(old[..., :step], old[..., -2 * step : -step], out=new[..., -step:])
    return found


def smoothed(images: np.ndarray, share: float) -> np.ndarray:
    """Images (A, H, W) in which each pixel gives `share` of its light to both neighbours, along both axes."""
    for axis in (-1, -2):
        around = _beside(images, axis)
        around *= share
        images = (1.0 - 2.0 * share) * images
        images += around
    return images


def band_limited(images: np.ndarray, share: float) -> np.ndarray:
    """Images (A, H, W) without their finest structure, as an optimal subtraction leaves them.

    Where the reference's profile has no signal the subtraction has none either: what is sharper than a star is blurred,
    by `smoothed` with `share`, but stars keep their width.
    """
    once = smoothed(images, share)
    return 2.0 * once - smoothed(once, share)


def weighted(images: np.ndarray, weight: float, axis: int) -> np.ndarray:
    """White noise to whose pixels both neighbours along an axis are added with a weight; its variance stays."""
    mixed = _beside(images, axis)
    mixed *= weight
    mixed += images
    mixed *= 1.0 / math.sqrt(1.0 + 2.0 * weight**2)
    return mixed


def correlated(noise: np.ndarray, across: Tie, down: Tie, two: Tie) -> np.ndarray:
    """White noise (A, H, W) tied between neighbours as resampling leaves it; its variance stays.

    `across` and `down` are the wanted correlations of pixels next to each other in x and in y, `two` that of pixels
    two apart. Both axes are smoothed by kernels (far, near, 1, near, far).
    """
    for axis, tie in ((-1, across), (-2, down)):
        near, far = _kernel(tie, two)
        norm = 1.0 / np.sqrt(1.0 + 2.0 * near**2 + 2.0 * far**2)
        mixed = noise * norm.astype(noise.dtype)
        for step, weight in ((1, near), (2, far)):
            around = _beside(noise, axis, step)
            around *= (weight * norm).astype(noise.dtype)
            mixed += around
        noise = mixed
    return noise


def _kernel(tie: Tie, two: Tie) -> tuple[np.ndarray, np.ndarray]:
    """Weights (near, far) whose correlations one and two pixels apart are `tie` and `two`, as far as there are any."""
    tie, two = np.broadcast_arrays(tie, two)
    pairs = [_kernel_of(*pair) for pair in zip(tie.ravel().tolist(), two.ravel().tolist(), strict=True)]
    weights = np.array(pairs).reshape(*tie.shape, 2)
    return weights[..., 0], weights[..., 1]


def _kernel_of(tie: float, two: float) -> tuple[float, float]:
    """As `_kernel`, of plain numbers: for the few of an object these are faster than arrays."""
    tie, two = min(max(tie, -0.4), 0.62), min(max(two, -0.3), 0.3)
    near, far = 0.5 * tie, 0.5 * two
    for _ in range(12):
        norm = 1.0 + 2.0 * near * near + 2.0 * far * far
        near = 0.5 * near + 0.25 * tie * norm / (1.0 + far)
        far = 0.5 * far + 0.25 * (two * norm - near * near)
    return near, far
