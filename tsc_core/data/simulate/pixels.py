"""What the pixels of a stamp say, measured the same way on real and on made ones."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

RADIUS = 4  # pixels around the centre that photometry sees
BOX = np.arange(-RADIUS, RADIUS + 1)
SQUARE = BOX[:, None] ** 2 + BOX**2
CORE = np.s_[..., RADIUS - 1 : RADIUS + 2, RADIUS - 1 : RADIUS + 2]
WINDOW = 1.6  # pixel: sigma of the window in which moments are taken
CALM_SHARE = 0.4
CALM = tuple(
    f"{image}_{name}"
    for image in ("science", "template", "difference")
    for name in ("level", "noise", "tie_x", "tie_y", "tie_two")
)
MAD = 1.4826


def central(image: np.ndarray) -> np.ndarray:
    """The 9 x 9 pixels in the middle of images (..., H, W)."""
    middle = image.shape[-1] // 2
    near = slice(middle - RADIUS, middle + RADIUS + 1)
    return image[..., near, near]


def centre_numbers(
    difference: np.ndarray, science: np.ndarray, template: np.ndarray, noise: np.ndarray
) -> dict[str, np.ndarray]:
    """Signal, shape and surroundings of what changed, (A,) each.

    Parameters
    ----------
    difference, science, template : ndarray (A, 9, 9)
        Central pixels in DN: the difference with a positive sign, the others above their background.
    noise : ndarray (A,)
        Of the difference, DN per pixel.
    """
    unit = noise[:, None, None]
    width, ratio, offset = moments(difference, noise)
    inner = difference[:, 2:-2, 2:-2]
    return {
        "signal": np.log(np.clip(difference[CORE].sum(axis=(1, 2)) / noise, 3.0, None)),
        "peaked": np.log(np.clip(difference[CORE].max(axis=(1, 2)), 1e-3, None) * 9.0)
        - np.log(np.clip(difference[CORE].sum(axis=(1, 2)), 1e-3, None)),
        "width": np.log(width),
        "ratio": np.log(ratio),
        "away": offset,
        "trough": np.arcsinh(difference.min(axis=(1, 2)) / noise),
        "balance": inner.sum(axis=(1, 2)) / np.abs(inner).sum(axis=(1, 2)),
        "below": np.arcsinh((template[CORE] / unit).sum(axis=(1, 2))),
        "now": np.arcsinh((science[CORE] / unit).sum(axis=(1, 2))),
    }


def moments(box: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Width (pixel), axis ratio and distance of the centroid (pixel) from windowed second moments, (A,) each."""
    window = np.exp(-0.5 * SQUARE / WINDOW**2)
    weight = np.clip(box - noise[:, None, None], 0, None) * window + 1e-6
    total = weight.sum(axis=(1, 2))
    mx, my = (weight.sum(axis=1) @ BOX) / total, (weight.sum(axis=2) @ BOX) / total
    xx, yy = (weight.sum(axis=1) @ BOX**2) / total - mx**2, (weight.sum(axis=2) @ BOX**2) / total - my**2
    xy = (weight * (BOX[:, None] * BOX)).sum((1, 2)) / total - mx * my
    root = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    a2, b2 = np.clip((xx + yy) / 2 + root, 0.1, None), np.clip((xx + yy) / 2 - root, 0.06, None)
    return np.sqrt((a2 + b2) / 2), np.sqrt(a2 / b2), np.hypot(mx, my)


def centroid(box: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position (x, y; pixel from the middle) of what is in boxes (A, 9, 9), as a window that follows it finds it."""
    x, y = np.zeros(len(box)), np.zeros(len(box))
    light = np.clip(box - noise[:, None, None], 0, None)
    for _ in range(3):
        across = np.exp(-0.5 * (BOX - x[:, None]) ** 2 / WINDOW**2)
        down = np.exp(-0.5 * (BOX - y[:, None]) ** 2 / WINDOW**2)
        weight = light * down[:, :, None] * across[:, None, :]
        total = weight.sum(axis=(1, 2)) + 1e-6
        x = x + 1.4 * ((weight.sum(axis=1) @ BOX) / total - x)
        y = y + 1.4 * ((weight.sum(axis=2) @ BOX) / total - y)
    return np.clip(x, -1.5, 1.5), np.clip(y, -1.5, 1.5)


def calm_numbers(science: np.ndarray, template: np.ndarray, difference: np.ndarray) -> list[float]:
    """The numbers of `CALM` of one alert's stamps (H, W): level, noise and ties between pixels where no source is.

    Which pixels are calm is told by the other image, whose noise is its own, so that the choice does not bias.
    """
    by_template = _calm(template)
    by_science = _calm(science)
    pairs = ((science, by_template), (template, by_science), (difference, by_template))
    return [value for image, calm in pairs for value in _noise(image, calm)]


def _calm(image: np.ndarray) -> np.ndarray:
    known = np.isfinite(image)
    smooth = uniform_filter(np.where(known, image, np.nanmax(image[known], initial=0.0)), 5)
    return known & (smooth <= np.quantile(smooth[known], CALM_SHARE))


def _noise(image: np.ndarray, calm: np.ndarray) -> list[float]:
    """Level, noise, and correlation with the neighbour in x, in y, and two pixels away."""
    calm = calm & np.isfinite(image)
    level = float(np.median(image[calm]))
    noise = MAD * float(np.median(np.abs(image[calm] - level))) + 1e-6
    flat = np.where(calm, np.clip(image - level, -3 * noise, 3 * noise), 0.0)
    power = float((flat**2).sum() / calm.sum())
    ties = []
    for step, axis in ((1, 1), (1, 0), (2, 1)):
        ahead, behind = (np.take(flat, range(*ends), axis) for ends in ((step, 63), (0, 63 - step)))
        both = np.take(calm, range(step, 63), axis) & np.take(calm, range(63 - step), axis)
        ties.append(float((ahead * behind).sum() / max(both.sum(), 1) / power))
    return [level, noise, *ties]
