"""What AllWISE colours say of a class, apart from everything else that is known of an object.

Real alerts come without cross-matches, so a network or trees that learn from both real and simulated objects see
colours on simulated ones alone, and learn to pass them over. Here colours are a measurement of their own: their
distributions are those of simulated objects, and Bayes' rule joins them to what the rest says.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsc_core.config import ModelConfig
from tsc_core.features import COLOURS
from tsc_core.survey import TEMPORAL_CLASSES

FLOOR = 0.05  # of the probability that colours alone give a class: they never say more than about 20 to 1


class ColourEvidence(nn.Module):
    """Moves probability between AGN, SN and VS by the colours of an object; other classes keep theirs.

    The colours of a class are taken to be independent and normal. Missing ones say nothing, nor do those that too few
    objects had to learn from.

    Parameters
    ----------
    model : ModelConfig

    Attributes
    ----------
    mean, spread : Tensor (3, 3), float32
        Of AGN, SN and VS, of the scaled colours `COLOURS`; a spread of 0 where it is not known.
    """

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        self.places = [model.classes.index(name) for name in TEMPORAL_CLASSES]
        for name in ("mean", "spread"):
            self.register_buffer(name, torch.zeros(len(TEMPORAL_CLASSES), len(COLOURS)))

    def evidence(self, allwise: Tensor) -> Tensor:
        """What to add to the logits of the three classes, (..., 3), for scaled colours and flag (..., 4)."""
        colours = allwise[..., None, :-1]
        told = (colours != 0) & (self.spread > 0).all(0)  # a missing colour is the training mean, which scales to 0
        spread = torch.where(self.spread > 0, self.spread, 1.0)
        likelihood = -0.5 * ((colours - self.mean) / spread).square() - spread.log()
        alone = torch.where(told, likelihood, 0.0).sum(-1).softmax(-1)
        return torch.where(told.any(-1), (alone + FLOOR).log(), 0.0)

    def forward(self, logits: Tensor, allwise: Tensor) -> Tensor:
        """Logits (..., K) with the evidence of `allwise` (..., 4), whose first axes fit those of the logits."""
        evidence = self.evidence(allwise)
        if not evidence.any():
            return logits
        before = logits[..., self.places]
        after = before + evidence
        moved = logits.clone()
        moved[..., self.places] = after + before.logsumexp(-1, keepdim=True) - after.logsumexp(-1, keepdim=True)
        return moved

    def learn(self, mean: Tensor, spread: Tensor) -> None:
        """Take the distributions of colours.

        Raises
        ------
        ValueError
            Where they are not finite, of other sizes, or a spread is negative.
        """
        if mean.shape != self.mean.shape or spread.shape != self.spread.shape:
            raise ValueError(f"colours: need {tuple(self.mean.shape)} means and spreads, found {tuple(mean.shape)}")
        if not (torch.isfinite(mean).all() and torch.isfinite(spread).all() and (spread >= 0).all()):
            raise ValueError("colours: need finite means, and spreads of 0 or more")
        self.mean, self.spread = mean.clone().float(), spread.clone().float()

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *args: object) -> None:
        if prefix + "mean" in state and prefix + "spread" in state:
            self.learn(state[prefix + "mean"], state[prefix + "spread"])
        super()._load_from_state_dict(state, prefix, *args)
