"""Grow the trees that stand beside the networks of a bundle: scikit-learn fits them, `tsc_core.models.forest` walks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier
from torch import Tensor, nn

TREES = 100
DEEPEST = 12  # nodes from a root to its leaves: every one is a step of each walk
LEAST_LEAF = 2  # windows in a leaf
TRIED = 0.6  # share of the features tried at each node
DRAWN = 0.9  # of as many windows as there are, each tree draws so many, with replacement and by weight
ENOUGH = 15  # real objects of a class that have that weight; fewer have their share of it


def weights_of(objects: np.ndarray, labels: np.ndarray, real: np.ndarray, real_weight: float) -> np.ndarray:
    """Weights (N,) of windows: an object counts once, classes equally, real ones `real_weight` times simulated ones."""
    weights = 1.0 / np.bincount(objects)[objects]
    for label in np.unique(labels):
        chosen = labels == label
        totals = {True: real_weight * share_of_enough(len(np.unique(objects[chosen & real]))), False: 1.0}
        for origin, total in totals.items():
            group = chosen & (real == origin)
            weights[group] *= total / max(weights[group].sum(), 1e-12)
        weights[chosen] /= weights[chosen].sum()
    return weights * len(weights) / weights.sum()


def share_of_enough(objects: int) -> float:
    """What of their full weight so many real objects of a class have: one or two shall not speak for a class."""
    return min(1.0, objects / ENOUGH)


def grow(inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int, seed: int) -> dict[str, Tensor]:
    """Tensors of `Forest` for trees fitted to windows (N, F) with labels and weights (N,)."""
    drawn = max(1, round(DRAWN * len(inputs)))
    trees = ExtraTreesClassifier(
        TREES,
        max_depth=DEEPEST,
        min_samples_leaf=LEAST_LEAF,
        max_features=TRIED,
        bootstrap=True,
        max_samples=drawn,
        random_state=seed,
    )
    trees.fit(inputs, labels, sample_weight=weights)
    return pack(trees, classes)


def pack(trees: ExtraTreesClassifier, classes: int) -> dict[str, Tensor]:
    """Fitted trees as the tensors of `Forest`, whose nodes are in scikit-learn's own order: the first child follows."""
    grown = [estimator.tree_ for estimator in trees.estimators_]
    roots = [0, *accumulate(tree.node_count for tree in grown)]
    second, votes, leaves = [], [], 0
    for root, tree in zip(roots, grown, strict=False):
        leaf = tree.children_left < 0
        place = np.where(leaf, -leaves - np.cumsum(leaf), tree.children_right + root)
        shares = np.zeros((int(leaf.sum()), classes))
        shares[:, trees.classes_] = tree.value[leaf, 0] / tree.value[leaf, 0].sum(axis=1, keepdims=True)
        second.append(place)
        votes.append(np.round(255 * shares))
        leaves += len(shares)
    return {
        "roots": torch.tensor(roots[:-1], dtype=torch.int32),
        "feature": _joined([np.maximum(tree.feature, 0) for tree in grown], torch.uint8),
        "threshold": _joined([tree.threshold for tree in grown], torch.float32),
        "second": _joined(second, torch.int32),
        "votes": _joined(votes, torch.uint8),
    }


def _joined(parts: Sequence[np.ndarray], kind: torch.dtype) -> Tensor:
    return torch.from_numpy(np.concatenate(parts)).to(kind)


@torch.no_grad()
def stand_beside(network: nn.Module, trees: dict[str, Tensor]) -> None:
    """Put trees into a trained network, whose own logits then weigh what is left of 1."""
    network.forest.plant(trees)
    for parameter in network.head[-1].parameters():
        parameter *= 1 - network.forest.share
