"""Temperature scaling (Guo et al. 2017): one number per n, fitted on the validation set."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import nn

from tsc_core.training.batches import Examples, in_order

RANGE = (0.05, 20.0)  # temperatures searched; a set that is fitted perfectly would ask for 0


@torch.no_grad()
def logits_of(network: nn.Module, examples: Examples, size: int = 256) -> np.ndarray:
    """Logits (N, K) of a network in evaluation mode, float64."""
    network.eval()
    return np.concatenate([network(batch).double().numpy() for batch in in_order(examples, size)])


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The divisor of logits (N, K) that makes the mean log loss on labels (N,) least."""

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -scaled[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(RANGE), method="bounded").x))
