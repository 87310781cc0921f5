"""What AllWISE colours say of a class, apart from everything else that is known of an object.

Real alerts come without cross-matches, so a network or trees that learn from both real and simulated objects see
colours on simulated ones alone, and learn to pass them over. Here colours are a measurement of their own: how often
they occur in a class is counted on simulated objects, and Bayes' rule joins that to what all the rest says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tsc_core.features import COLOURS
from tsc_core.survey import TEMPORAL_CLASSES

WIDTH = 0.25  # of the kernel around each object, in standard deviations of a colour
EVEN = 0.05  # share of the density that is the same everywhere, so that colours nobody has say nothing
BOX = 8.0  # standard deviations over which it extends in each colour
FLOOR = 0.02  # of the probability that colours alone give a class: they never say more than about 50 to 1
ENOUGH = 20  # objects of each class that have a colour; with fewer it is not used


class ColourEvidence(nn.Module):
    """Moves probability between AGN, SN and VS by the colours of an object; other classes keep theirs.

    The density of colours in a class is that of its simulated objects, each with a Gaussian around it (kernel density).
    W2-W3 is read together with W1-W2, and W3-W4 with both, where the object has them and enough simulated ones do.

    Parameters
    ----------
    points : Tensor (P, 3), float32
        Scaled `COLOURS` of simulated objects, 0 where missing.
    owner : Tensor (P,), uint8
        Their classes, as places in `TEMPORAL_CLASSES`.

    Attributes
    ----------
    used : tuple of str
        The colours of which every class has `ENOUGH` objects.

    Raises
    ------
    ValueError
        Where sizes do not fit, a colour is not finite or a class is none of the three.
    """

    def __init__(self, points: Tensor, owner: Tensor) -> None:
        super().__init__()
        if points.ndim != 2 or points.shape[1] != len(COLOURS) or owner.shape != points.shape[:1]:
            raise ValueError(f"colours: need (P, {len(COLOURS)}) and (P,), found {(*points.shape,)}, {(*owner.shape,)}")
        if not torch.isfinite(points).all() or (len(owner) and int(owner.max()) >= len(TEMPORAL_CLASSES)):
            raise ValueError(f"colours: need finite numbers of {len(TEMPORAL_CLASSES)} classes")
        self.register_buffer("points", points.float())
        self.register_buffer("owner", owner.to(torch.uint8))
        has = (points != 0).cumprod(1).bool()  # W2-W3 counts with W1-W2 alone, W3-W4 with both
        own = owner[:, None] == torch.arange(len(TEMPORAL_CLASSES))
        members = (has.T[:, :, None] & own).float()  # (3 colours, P, 3 classes)
        counts = members.sum(1)
        self.used = tuple(name for name, least in zip(COLOURS, counts.min(1).values, strict=True) if least >= ENOUGH)
        self.register_buffer("shares", members / counts.clamp(min=1)[:, None], persistent=False)

    def evidence(self, allwise: Tensor) -> Tensor:
        """Logarithms to add to the logits of the three classes, (B, 3), for scaled colours and flag (B, 4)."""
        colours = allwise[:, : len(COLOURS)]
        apart = (colours[:, None] - self.points) / WIDTH  # (B, P, 3)
        kernel = (-0.5 * apart.square() - math.log(WIDTH * math.sqrt(2 * math.pi))).cumsum(-1).exp()
        told = torch.zeros(len(colours), len(TEMPORAL_CLASSES), dtype=colours.dtype)
        for place in range(len(self.used)):
            density = (1 - EVEN) * kernel[:, :, place] @ self.shares[place] + EVEN * BOX ** -(place + 1)
            has = (colours[:, : place + 1] != 0).all(1, keepdim=True)
            told = torch.where(has, (density / density.sum(1, keepdim=True) + FLOOR).log(), told)
        return told

    def forward(self, logits: Tensor, classes: Sequence[str], allwise: Tensor) -> Tensor:
        """Logits (..., B, K) of `classes` with the evidence of `allwise` (B, 4)."""
        if not allwise[:, : len(COLOURS)].any():
            return logits
        places = [classes.index(name) for name in TEMPORAL_CLASSES]
        before = logits[..., places]
        after = before + self.evidence(allwise).to(logits)
        moved = logits.clone()
        moved[..., places] = after + before.logsumexp(-1, keepdim=True) - after.logsumexp(-1, keepdim=True)
        return moved
