"""Images from lists of sources, all epochs of an object at once.

Point spread functions and galaxies are sums of Gaussians, so a field of N stars is one product of two small
matrices per exposure instead of N images. Positions are pixels from the stamp's centre, x to the right (west),
y down (south).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsc_core.survey import ZTF

# A Moffat profile (beta 2.1, as wide-winged as real stars) of FWHM 1 as four Gaussians, from a least-squares fit.
MOFFAT_WEIGHTS = np.array([0.2102, 0.4393, 0.2618, 0.0887])
MOFFAT_SIGMAS = np.array([0.3346, 0.5792, 1.0578, 2.2655])
# Exponential (n 1) and de Vaucouleurs (n 4) profiles of half-light radius 1 (after Hogg & Lang 2013).
PROFILES = {
    1: (np.array([0.075, 0.294, 0.434, 0.197]), np.array([0.22, 0.47, 0.84, 1.32])),
    4: (np.array([0.17, 0.25, 0.27, 0.20, 0.11]), np.array([0.09, 0.27, 0.70, 1.65, 3.60])),
}
PIXEL_VARIANCE = 1.0 / 12.0  # a square pixel widens a Gaussian
STAMP = ZTF.stamp_size
SPARE = 1  # pixels rendered beyond each edge, so that a cutout can be centred on what was measured
FRAME = STAMP + 2 * SPARE
Tie = np.ndarray | float


def grid(size: int = STAMP) -> np.ndarray:
    """Pixel centres along one side, 0 in the middle."""
    return np.arange(size) - size // 2


@dataclass(frozen=True, slots=True, eq=False)
class Psf:
    """A point spread function per exposure: FWHM in pixels along x and y, each (A,)."""

    x: np.ndarray
    y: np.ndarray

    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Variance of each Gaussian along x and y, (A, K)."""
        return tuple((fwhm[:, None] * MOFFAT_SIGMAS) ** 2 + PIXEL_VARIANCE for fwhm in (self.x, self.y))


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
    flux: np.ndarray, x: np.ndarray, y: np.ndarray, psf: Psf, size: int, widen: np.ndarray | float = 0.0
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
    """
    across, down = psf.variances()
    gx = _gaussians(x, across, widen, size) * (flux[:, None, :] * MOFFAT_WEIGHTS[None, :, None])[..., None]
    gy = _gaussians(y, down, widen, size)
    epochs = len(flux)
    return np.matmul(gy.reshape(epochs, -1, size).transpose(0, 2, 1), gx.reshape(epochs, -1, size))


def _gaussians(position: np.ndarray, variance: np.ndarray, widen: np.ndarray | float, size: int) -> np.ndarray:
    """Normalised Gaussians on the grid, (A, K, N, W)."""
    spread = (variance[:, :, None] + widen)[..., None].astype(np.float32)
    offset = (grid(size) - position[:, None, :, None]).astype(np.float32)
    return np.exp(-0.5 * offset**2 / spread) / np.sqrt(2.0 * np.pi * spread)


def galaxy_shape(galaxy: Galaxy, fwhm: np.ndarray, shift: np.ndarray, size: int) -> np.ndarray:
    """A galaxy of unit flux seen through Gaussian seeing, (A, H, W); `fwhm` (A,), `shift` (A, 2) in pixels."""
    weights, sigmas = PROFILES[galaxy.index]
    cos, sin = np.cos(galaxy.angle), np.sin(galaxy.angle)
    x = (grid(size) - galaxy.x)[None, None, :] - shift[:, 0, None, None]
    y = (grid(size) - galaxy.y)[None, :, None] - shift[:, 1, None, None]
    major, minor = x * cos + y * sin, y * cos - x * sin
    seeing = (fwhm / 2.2) ** 2 + PIXEL_VARIANCE
    image = np.zeros((len(fwhm), size, size))
    for weight, sigma in zip(weights, sigmas * galaxy.radius, strict=True):
        a, b = (seeing + sigma**2)[:, None, None], (seeing + (sigma * galaxy.ratio) ** 2)[:, None, None]
        image += weight / (2.0 * np.pi * np.sqrt(a * b)) * np.exp(-0.5 * (major**2 / a + minor**2 / b))
    return image


def smoothed(images: np.ndarray, share: float) -> np.ndarray:
    """Images (A, H, W) in which each pixel gives `share` of its light to both neighbours, along both axes."""
    for axis in (-1, -2):
        images = (1.0 - 2.0 * share) * images + share * (np.roll(images, 1, axis) + np.roll(images, -1, axis))
    return images


def correlated(noise: np.ndarray, across: Tie, down: Tie, two: Tie) -> np.ndarray:
    """White noise (A, H, W) tied between neighbours as resampling leaves it; its variance stays.

    `across` and `down` are the wanted correlations of pixels next to each other in x and in y, `two` that of pixels
    two apart. Both axes are smoothed by kernels (far, near, 1, near, far).
    """
    for axis, tie in ((-1, across), (-2, down)):
        near, far = _kernel(tie, two)
        mixed = noise.copy()
        for step, weight in ((1, near), (2, far)):
            mixed += weight * (np.roll(noise, step, axis) + np.roll(noise, -step, axis))
        noise = mixed / np.sqrt(1.0 + 2.0 * near**2 + 2.0 * far**2)
    return noise


def _kernel(tie: Tie, two: Tie) -> tuple[Tie, Tie]:
    """Weights (near, far) whose correlations one and two pixels apart are `tie` and `two`, as far as there are any."""
    tie, two = np.clip(tie, -0.4, 0.62), np.clip(two, -0.3, 0.3)
    near, far = 0.5 * tie, 0.5 * two
    for _ in range(12):
        norm = 1.0 + 2.0 * near**2 + 2.0 * far**2
        near = 0.5 * near + 0.25 * tie * norm / (1.0 + far)
        far = 0.5 * far + 0.25 * (two * norm - near**2)
    return near, far
