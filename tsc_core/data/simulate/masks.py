"""Pixels without a value: the rim of the chip, bad pixels and what was cut out around them, saturated stars."""

from __future__ import annotations

import numpy as np

from tsc_core.data.simulate.scene import Field

EDGES, SMALL, LARGE = 0.045, 0.035, 0.065  # shares of objects whose cutouts have each kind
SMALL_SIDE, LARGE_SIDE = 7, (11, 17)  # pixels: what is cut out around a bad pixel, and around a worse place
SPARED = 9  # pixels around the candidate in which there is none: it would not have been measured
SATURATED, GROWN = 12.6, (6, 10)  # r magnitude of stars that are cut out, and half the side of what is (pixels)


def draw_mask(size: int, field: Field, rng: np.random.Generator) -> np.ndarray:
    """Where cutouts (H, W) have no value, the same for all of an object's; all False for most objects."""
    mask = np.zeros((size, size), dtype=bool)
    kind = rng.uniform()
    if kind < EDGES:
        mask |= np.rot90(_edge(size, rng), rng.integers(4))
    elif kind < EDGES + SMALL + LARGE:
        small = kind < EDGES + SMALL
        for _ in range(1 + min(int(rng.exponential(0.6)), 3)):
            sides = (SMALL_SIDE,) * 2 if small else rng.integers(*LARGE_SIDE, 2)
            _cut(mask, *rng.integers(-4, size + 4, 2), *sides)
    for at in np.flatnonzero(field.mags[:, 1] < SATURATED):
        half = int(rng.integers(*GROWN))
        _cut(mask, round(field.x[at]) + size // 2, round(field.y[at]) + size // 2, 2 * half, 2 * half)
    return mask


def _edge(size: int, rng: np.random.Generator) -> np.ndarray:
    """The rim of the chip: rows from an edge on, in places a few more where the rim is ragged."""
    rows, depth = np.arange(size)[:, None], int(min(1.0 + rng.exponential(9.0), size // 2 - 5))
    ragged = np.repeat(rng.integers(0, 5, size // 7 + 1) * (rng.uniform() < 0.5), 7)[:size]
    return rows < np.minimum(depth + ragged, size // 2 - 5)


def _cut(mask: np.ndarray, x: int, y: int, width: int, height: int) -> None:
    """Mark a block around (x, y), in place, unless it reaches the candidate."""
    middle = mask.shape[0] // 2
    if abs(x - middle) > SPARED + width // 2 or abs(y - middle) > SPARED + height // 2:
        mask[
            max(y - height // 2, 0) : max(y + (height + 1) // 2, 0),
            max(x - width // 2, 0) : max(x + (width + 1) // 2, 0),
        ] = True


__all__ = ["draw_mask"]
