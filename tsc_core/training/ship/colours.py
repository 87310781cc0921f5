"""Distributions of AllWISE colours, from simulated objects: no real alert comes with a cross-match."""

from __future__ import annotations

import torch
from torch import Tensor

from tsc_core.features import COLOURS
from tsc_core.models.colours import ColourEvidence
from tsc_core.survey import TEMPORAL_CLASSES

ENOUGH = 5  # objects of each class that have a colour; with fewer it is not used
LEAST_SPREAD = 0.1  # of the scaled colours


def learn_colours(evidence: ColourEvidence, allwise: Tensor, labels: Tensor) -> None:
    """Fit the normal distributions of `evidence` to scaled colours and flags (N, 4), one row for each object.

    Parameters
    ----------
    labels : Tensor (N,), int
        Places in the model's classes.
    """
    shape = len(TEMPORAL_CLASSES), len(COLOURS)
    mean, spread = torch.zeros(shape), torch.zeros(shape)
    for colour in range(len(COLOURS)):
        values = [allwise[(labels == place) & (allwise[:, colour] != 0), colour] for place in evidence.places]
        if min(map(len, values)) >= ENOUGH:
            mean[:, colour] = torch.stack([found.mean() for found in values])
            spread[:, colour] = torch.stack([found.std().clamp(min=LEAST_SPREAD) for found in values])
    evidence.learn(mean, spread)
