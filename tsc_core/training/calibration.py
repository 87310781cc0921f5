"""Temperature scaling (Guo et al. 2017) and class offsets, fitted on objects that a model was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from torch import nn

from tsc_core.evaluation.metrics import even
from tsc_core.training.batches import Examples, in_order

LEAST = 5  # objects of a class that an offset is fitted to
RIDGE = 0.02  # weight of the offsets' squares beside the log loss
RANGE = (0.05, 20.0)  # temperatures searched; a set that is fitted perfectly would ask for 0


@torch.no_grad()
def logits_of(network: nn.Module, examples: Examples, size: int = 256) -> np.ndarray:
    """Logits (N, K) of a network in evaluation mode, float64."""
    network.eval()
    return np.concatenate([network(batch).double().numpy() for batch in in_order(examples, size)])


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The divisor of logits (N, K) that makes the log loss on labels (N,) least, with classes weighing the same."""
    weights = even(labels)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -(weights * scaled[np.arange(len(labels)), labels]).sum()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(RANGE), method="bounded").x))


def fit_offsets(groups: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray | None:
    """What to add to the logits so that the log loss with classes weighing the same is least, (K,).

    Parameters
    ----------
    groups : sequence of (logits (N, K), labels (N,))
        K may differ: the classes of a group with fewer are the first of the others'. A class with fewer than `LEAST`
        objects takes no part in its group; where it takes part in none, its offset stays 0. Large offsets are
        discouraged (`RIDGE`).

    Returns
    -------
    ndarray or None
        None without groups.
    """
    if not groups:
        return None
    width = max(logits.shape[1] for logits, _ in groups)
    weighted, known = [], np.zeros(width, dtype=bool)
    for logits, labels in groups:
        counts = np.bincount(labels, minlength=logits.shape[1])
        enough = counts >= LEAST
        known[: len(enough)] |= enough
        kept = enough[labels]
        weights = 1 / (counts[labels[kept]] * max(1, np.count_nonzero(enough)))
        weighted.append((np.where(enough, logits, -np.inf)[kept], labels[kept], weights))

    def loss(offsets: np.ndarray) -> float:
        total = RIDGE * np.square(offsets).sum()
        for logits, labels, weights in weighted:
            logs = log_softmax(logits + offsets[: logits.shape[1]], axis=1)
            total -= (weights * logs[np.arange(len(labels)), labels]).sum() / len(weighted)
        return total

    found = minimize(loss, np.zeros(width)).x
    return np.where(known, found, 0.0)
