"""Stamps as PNG: stretches, common limits, a colour for missing pixels, a 10 arcsec bar. North up, east left.

Drawing never touches what the models see: they take the pixels of the packet.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from tsc_core.alerts import CHANNELS, Alert
from tsc_core.survey import ZTF

Stretch = Literal["asinh", "zscale", "log", "linear"]
STRETCHES: tuple[Stretch, ...] = get_args(Stretch)

LOW_PERCENT, HIGH_PERCENT = 0.5, 99.95
SOFTENING, CONTRAST = 0.1, 1000.0  # of asinh and log, as in astropy.visualization, whose import takes half a second
SOFT_SIGMAS, SIGMA_PER_MAD = 3.0, 1.4826  # asinh is linear for the noise, logarithmic for what stands well out of it
ZERO_POINT = 26.3  # mag, near that of most exposures: counts of unknown `magzpsci` stand beside the others as they are
DEEPEST = 10.0  # mag: a `magzpsci` further from that is none
GREYS = 252  # palette entries 0..251 are grey, the rest is named below
NAN, BAR, EDGE, VOID = 252, 253, 254, 255
NAN_COLOUR, BAR_COLOUR, EDGE_COLOUR, DIM_COLOUR = (88, 62, 130), (255, 214, 64), (0, 0, 0), (150, 150, 150)
BAR_ARCSEC = 10.0
SCALE = 4  # screen pixels per stamp pixel in a strip, an integer so that nothing is smoothed
GAP = 2  # stamp pixels between the channels of a tile


class Limits(NamedTuple):
    """Black and white levels in counts, and where between them, from 0 to 1, asinh turns from linear to logarithmic."""

    low: float
    high: float
    softening: float = SOFTENING


def pixel_limits(images: Iterable[np.ndarray], stretch: Stretch) -> Limits:
    """Levels for drawing `images` alike.

    Percentiles 0.5 and 99.95 of the finite pixels, or for "zscale" the IRAF algorithm (Tody 1986) of
    `astropy.visualization`. (0, 1) where no pixel is finite; always low < high. The softening is three times the noise
    (robust, from the median absolute deviation), so that a bright star hides nothing that stands out of the noise.
    """
    pixels = np.concatenate([np.zeros(0), *(image[np.isfinite(image)].ravel() for image in images)])
    if not pixels.size:
        return Limits(0.0, 1.0)
    if stretch == "zscale":
        from astropy.visualization import ZScaleInterval

        low, high = ZScaleInterval().get_limits(pixels)
    else:
        low, high = np.percentile(pixels, (LOW_PERCENT, HIGH_PERCENT))
    if not high > low:
        return Limits(float(low) - 0.5, float(low) + 0.5)
    noise = SIGMA_PER_MAD * float(np.median(np.abs(pixels - np.median(pixels))))
    return Limits(float(low), float(high), SOFT_SIGMAS * noise / float(high - low) or SOFTENING)


def stretched(image: np.ndarray, stretch: Stretch, limits: Limits) -> np.ndarray:
    """Grey levels in [0, 1], (H, W) float64; NaN stays NaN.

    Raises
    ------
    ValueError
        For a stretch that is not one of `STRETCHES`.
    """
    if stretch not in STRETCHES:
        raise ValueError(f"unknown stretch {stretch!r}: needs one of {', '.join(STRETCHES)}")
    low, high, softening = Limits(*limits)
    level = np.clip((image.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    if stretch == "asinh":
        return np.arcsinh(level / softening) / np.arcsinh(1 / softening)
    return np.log(CONTRAST * level + 1) / np.log(CONTRAST + 1) if stretch == "log" else level


def comparable(alert: Alert, channel: str) -> np.ndarray:
    """A stamp without its sky (its median), in counts at `ZERO_POINT` where `magzpsci` is known; NaN stays NaN."""
    pixels = alert.stamps.channel(channel).astype(np.float64)
    known = pixels[np.isfinite(pixels)]
    depth = ZERO_POINT - alert.value("magzpsci")
    sky = np.median(known) if known.size else 0.0
    return (pixels - sky) * (10 ** (0.4 * depth) if abs(depth) < DEEPEST else 1.0)


def common_limits(alerts: Sequence[Alert], channel: str, stretch: Stretch) -> dict[int, Limits]:
    """Limits for each band (`fid`) over the `comparable` stamps of all `alerts`, so that brightening shows."""
    images: dict[int, list[np.ndarray]] = {}
    for alert in alerts:
        if alert.stamps is not None:
            images.setdefault(alert.fid, []).append(comparable(alert, channel))
    return {fid: pixel_limits(found, stretch) for fid, found in images.items()}


def _indices(image: np.ndarray, stretch: Stretch, limits: Limits | None, scale: int) -> np.ndarray:
    """Palette indices of one enlarged stamp with its bar, (scale H, scale W) uint8."""
    level = stretched(image, stretch, limits or pixel_limits([image], stretch))
    known = np.isfinite(level)
    grey = np.where(known, np.where(known, level, 0.0) * (GREYS - 1) + 0.5, NAN).astype(np.uint8)
    large = grey.repeat(scale, axis=0).repeat(scale, axis=1)
    width = round(BAR_ARCSEC / ZTF.pixel_arcsec * scale)
    if large.shape[0] > 8 * scale and large.shape[1] > width + 4 * scale:
        top, left = large.shape[0] - 3 * scale, 2 * scale
        large[top - 1 : top + scale - 1, left - 1 : left + width + 1] = EDGE
        large[top : top + scale - 2, left : left + width] = BAR
    return large


def _absent(side: int) -> np.ndarray:
    """The square drawn where there is no stamp: a frame and a sparse hatch."""
    rows, columns = np.mgrid[:side, :side]
    square = np.where((rows + columns) % (side // 6) < 2, GREYS // 2, VOID).astype(np.uint8)
    square[[0, 1, -2, -1], :] = square[:, [0, 1, -2, -1]] = GREYS // 2
    return square


def _palette(dim: bool) -> list[int]:
    grey = np.linspace(0, 255, GREYS).round().astype(int)[:, None].repeat(3, axis=1)
    colours = np.concatenate([grey, [NAN_COLOUR, BAR_COLOUR, EDGE_COLOUR, (0, 0, 0)]])
    if dim:
        colours = (0.35 * colours + 0.65 * np.array(DIM_COLOUR)).round().astype(int)
    return colours.ravel().tolist()


def _png(indices: np.ndarray, dim: bool) -> bytes:
    drawn = Image.frombytes("P", indices.shape[::-1], np.ascontiguousarray(indices).tobytes())
    drawn.putpalette(_palette(dim))
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG", transparency=VOID, compress_level=3)
    return buffer.getvalue()


def draw_stamp(
    image: np.ndarray | None,
    stretch: Stretch = "asinh",
    limits: Limits | None = None,
    *,
    scale: int = SCALE,
    dim: bool = False,
) -> bytes:
    """One stamp as PNG, each pixel a square of `scale` screen pixels.

    Parameters
    ----------
    image : ndarray (H, W) or None
        Counts, row 0 north, column 0 east; NaN is drawn in `NAN_COLOUR`. None draws an empty square.
    stretch : str
        One of `STRETCHES`.
    limits : (float, float) or None
        Black and white levels; the image's own where None.
    dim : bool
        Greyed, for a detection that no model used.
    """
    indices = _absent(ZTF.stamp_size * scale) if image is None else _indices(image, stretch, limits, scale)
    return _png(indices, dim)


def draw_tile(
    alert: Alert,
    channels: Sequence[str] = CHANNELS[:2],
    stretch: Stretch = "asinh",
    limits: dict[str, dict[int, Limits]] | None = None,
    *,
    scale: int = SCALE,
    dim: bool = False,
) -> bytes:
    """The stamps of one detection under each other, as one PNG with transparent gaps.

    `limits` holds, for each channel, the result of `common_limits`, of stamps made `comparable`; without it each stamp
    has its own.
    """
    parts = []
    for channel in channels:
        if alert.stamps is None:
            parts.append(_absent(ZTF.stamp_size * scale))
        else:
            shared = (limits or {}).get(channel, {}).get(alert.fid)
            pixels = comparable(alert, channel) if shared else alert.stamps.channel(channel)
            parts.append(_indices(pixels, stretch, shared, scale))
    width = max(part.shape[1] for part in parts)
    gap = np.full((GAP * scale, width), VOID, np.uint8)
    rows = [row for part in parts for row in (_widened(part, width), gap)]
    return _png(np.concatenate(rows[:-1]), dim)


def inline(png: bytes) -> str:
    """A picture as an address of its own, which a page shows without asking the server for it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


@cache
def icon() -> str:
    """The app's sign in a browser's tab: a star and its spikes."""
    y, x = np.mgrid[-31:32, -31:32].astype(np.float32)
    spikes = sum(np.exp(-((a / 1.5) ** 2) - np.abs(b) / 12) for a, b in ((x, y), (y, x)))
    return inline(draw_stamp(5000 * np.exp(-(x**2 + y**2) / 50) + 1000 * spikes, limits=Limits(0.0, 6000.0), scale=1))


def _widened(part: np.ndarray, width: int) -> np.ndarray:
    return np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=VOID)
