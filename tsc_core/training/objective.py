"""What a training step makes small, and the scores of a model on a set of examples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tsc_core.alerts import Batch
from tsc_core.config import RunConfig
from tsc_core.training.batches import hide, moved


class Objective(nn.Module):
    """A network with its loss: cross-entropy less `entropy` times the entropy of the prediction.

    The entropy term is the base model's (arXiv:2008.03309): it keeps predictions from being too sure. A `unified`
    network is scored after every detection.

    Parameters
    ----------
    network : nn.Module
    config : RunConfig
    """

    def __init__(self, network: nn.Module, config: RunConfig) -> None:
        super().__init__()
        self.network, self.training_config = network, config.training
        self.every_step = config.model.kind == "unified"

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (R, K) and labels (R,): a row for each object, or for each present detection of each."""
        if not self.every_step:
            return self.network(batch), batch.labels
        logits = self.network.forward_steps(batch)[batch.present]
        return logits, batch.labels[:, None].expand_as(batch.present)[batch.present]

    def forward(self, tensors: dict[str, Tensor]) -> Tensor:
        """The loss, a scalar, of a batch given by name of its tensors."""
        logits, labels = self.logits(hide(Batch(**tensors), self.training_config))
        loss = functional.cross_entropy(logits, labels)
        if self.training_config.entropy > 0:
            logs = logits.log_softmax(-1)
            loss = loss + self.training_config.entropy * (logs.exp() * logs).sum(-1).mean()
        return loss


@torch.no_grad()
def scores(objective: Objective, batches: Iterable[Batch], device: torch.device) -> dict[str, float]:
    """Mean cross-entropy `loss` (nats) and `accuracy` of the network on batches, dropout and jitter off."""
    objective.eval()
    loss, hits, rows = 0.0, 0, 0
    for batch in batches:
        logits, labels = objective.logits(moved(batch, device))
        loss += functional.cross_entropy(logits, labels, reduction="sum").item()
        hits += int((logits.argmax(-1) == labels).sum())
        rows += len(labels)
    return {"loss": loss / rows, "accuracy": hits / rows}


@torch.no_grad()
def probabilities(network: nn.Module, batches: Iterable[Batch], device: torch.device | str = "cpu") -> np.ndarray:
    """Class probabilities (N, K) after each object's last detection."""
    network.eval()
    return np.concatenate([network(moved(batch, torch.device(device))).softmax(-1).cpu().numpy() for batch in batches])
