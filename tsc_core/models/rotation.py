"""Stratified random rotations: k views of a stamp, rotated and cropped in one sampling pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Rotations(nn.Module):
    """Rotate about the centre of the full stamp and sample only the a x a grid that the encoder sees.

    In training each view is jittered anew at every call; at prediction the jitter is 0, so that predictions
    repeat (paper, Sec. 3; the choices of `paper.md` 6.2 and 6.3).

    Parameters
    ----------
    views : int
        k: views at 360 / k degrees from each other.
    jitter_turns : float
        theta: every view turns by a further uniform draw in +- theta, as a fraction of a full turn.
    crop : int
        a: side of the sampled grid in pixels. Up to 44 no grid point leaves a 63 x 63 stamp; beyond, those
        outside are 0.
    """

    def __init__(self, views: int, jitter_turns: float, crop: int) -> None:
        super().__init__()
        self.views, self.jitter_turns, self.crop = views, jitter_turns, crop

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"views={self.views}, jitter_turns={self.jitter_turns}, crop={self.crop}"

    def angles(self, count: int) -> Tensor:
        """Counter-clockwise turns of `count` stamps, (count, k), as fractions of a full turn."""
        turns = torch.arange(self.views) / self.views
        if not self.training or self.jitter_turns == 0:
            return turns.expand(count, -1)
        return turns + self.jitter_turns * (2 * torch.rand(count, self.views) - 1)

    def grid(self, turns: Tensor, side: int) -> Tensor:
        """Where to sample a stamp of `side` pixels for turns (N, k): (N, k * a, a, 2), x before y, in [-1, 1]."""
        radians = 2 * math.pi * turns[..., None, None]  # (N, k, 1, 1)
        offset = torch.arange(self.crop, device=turns.device) - (self.crop - 1) / 2  # pixels from the centre
        y, x = torch.meshgrid(offset, offset, indexing="ij")  # (a, a) each; y grows downward
        cosine, sine = torch.cos(radians), torch.sin(radians)
        sampled = torch.stack((cosine * x - sine * y, sine * x + cosine * y), dim=-1)  # (N, k, a, a, 2)
        return sampled.flatten(1, 2) / ((side - 1) / 2)

    def forward(self, stamps: Tensor) -> Tensor:
        """Views (N * k, C, a, a), channels last, of stamps (N, C, H, W); the k views of a stamp lie together."""
        count, channels, side, _ = stamps.shape
        jittered = self.training and self.jitter_turns > 0
        turns = self.angles(count if jittered else 1).to(stamps.device)
        grid = self.grid(turns, side).expand(count, -1, -1, -1)
        views = functional.grid_sample(stamps, grid, align_corners=True)  # (N, C, k * a, a)
        views = views.view(count, channels, self.views, self.crop, self.crop).permute(0, 2, 3, 4, 1)
        return views.reshape(count * self.views, self.crop, self.crop, channels).permute(0, 3, 1, 2)
