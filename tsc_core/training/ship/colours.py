"""AllWISE colours of simulated objects, for the evidence of a bundle: no real alert comes with a cross-match."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tsc_core.features import COLOURS
from tsc_core.models.colours import ColourEvidence
from tsc_core.preprocessing import Preprocessor
from tsc_core.survey import TEMPORAL_CLASSES
from tsc_core.training.ship.material import Known


def learn_colours(preprocessor: Preprocessor, known: Sequence[Known]) -> ColourEvidence:
    """The colours of the simulated AGN, SN and VS that have a match, scaled as a bundle scales them."""
    chosen = [
        item
        for item in known
        if not item.is_real and item.label in TEMPORAL_CLASSES and item.sequence.allwise is not None
    ]
    found = preprocessor.metadata_of([(item.sequence.alerts[:1], item.sequence.allwise) for item in chosen])
    points = np.array([example.allwise[:-1] for example in found]).reshape(-1, len(COLOURS))
    owner = [TEMPORAL_CLASSES.index(item.label) for item in chosen]
    return ColourEvidence(torch.from_numpy(points), torch.tensor(owner, dtype=torch.uint8))
