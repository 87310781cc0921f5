"""A cutout in numbers: noise, peaks, width of the centre, correlation of the noise, missing pixels, light around."""

from __future__ import annotations

import numpy as np

from tsc_core.alerts import CHANNELS, Stamps
from tsc_core.survey import ZTF

MEASURES = (
    "background", "noise", "peak", "lowest", "p1", "p10", "p90", "p99", "nan", "centre_peak", "centre_flux",
    "centre_width", "centre_offset", "tie_x", "tie_y", "tie_two", "bright",
)  # fmt: skip
STATISTICS = tuple(f"{channel}_{measure}" for channel in CHANNELS for measure in MEASURES)
IMPOSSIBLE = 1e30  # DN
RADIUS = 4
BOX = np.arange(-RADIUS, RADIUS + 1)


def statistics(stamps: Stamps | None) -> list[float]:
    """The numbers of `STATISTICS`; all NaN without stamps or where they are not of full size."""
    if stamps is None or any(stamps.channel(name).shape != (ZTF.stamp_size,) * 2 for name in CHANNELS):
        return [float("nan")] * len(STATISTICS)
    return [value for name in CHANNELS for value in _measures(stamps.channel(name))]


def _measures(image: np.ndarray) -> list[float]:
    """One image (H, W) in the order of `MEASURES`; lengths in pixels, levels in DN or in units of the noise."""
    known = np.abs(image) < IMPOSSIBLE  # some packets hold the smallest float instead of NaN
    if known.sum() < 100:
        return [float("nan")] * len(MEASURES)
    pixels = image[known].astype(np.float64)
    level = float(np.median(pixels))
    noise = 1.4826 * float(np.median(np.abs(pixels - level))) + 1e-6
    flat = np.where(known, image, level) - level
    tails = (np.percentile(pixels, (1, 10, 90, 99)) - level) / noise
    calm = np.clip(flat, -3 * noise, 3 * noise)
    power = float((calm**2).mean())
    ties = [(calm[:, 1:] * calm[:, :-1]), (calm[1:] * calm[:-1]), (calm[:, 2:] * calm[:, :-2])]
    return [
        level,
        noise,
        float(pixels.max()) - level,
        float(pixels.min()) - level,
        *tails.tolist(),
        1.0 - float(known.mean()),
        *_centre(flat, noise),
        *(float(tie.mean()) / power for tie in ties),
        float((np.abs(flat) > 5 * noise).mean()),
    ]


def _centre(flat: np.ndarray, noise: float) -> list[float]:
    """Peak and flux of the centre in units of the noise, its width (pixel squared) and offset (pixel)."""
    middle = ZTF.stamp_size // 2
    box = flat[middle - RADIUS : middle + RADIUS + 1, middle - RADIUS : middle + RADIUS + 1]
    square = BOX[:, None] ** 2 + BOX**2
    weight = np.clip(box - noise, 0.0, None) * np.exp(-square / 8.0)
    total = weight.sum() + 1e-6
    offset = np.hypot((weight * BOX).sum(), (weight * BOX[:, None]).sum()) / total
    return [
        float(box.max() / noise),
        float(box[3:6, 3:6].sum() / noise),
        float((weight * square).sum() / total),
        float(offset),
    ]
