"""The parts that all heads share, and the classifier of a single alert (the "enhanced stamp classifier")."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsc_core.alerts import Batch
from tsc_core.config import ModelConfig, PreprocessConfig
from tsc_core.features import COLOURS
from tsc_core.models.encoder import AlertCoder, NoCoder
from tsc_core.models.forest import Forest


class FeatureNorm(nn.BatchNorm1d):
    """Batch normalisation over the last axis that leaves padding out of its statistics.

    Where a training batch has a single row, the running statistics are used: one row has no spread.
    """

    def forward(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """Normalise values (..., F); rows where `present` (...) is False do not count, and become 0 in training."""
        if not self.training:
            return self._scaled(values.flatten(0, -2), False).view_as(values)
        if present is None:
            present = torch.ones(values.shape[:-1], dtype=torch.bool, device=values.device)
        rows = values[present]
        normal = self._scaled(rows, len(rows) > 1)
        return torch.zeros_like(values).index_put((present,), normal)

    def _scaled(self, rows: Tensor, learn: bool) -> Tensor:
        momentum = self.momentum if self.momentum is not None else 0.0
        return functional.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, learn, momentum, self.eps
        )


def build_coder(model: ModelConfig, preprocess: PreprocessConfig) -> AlertCoder | NoCoder:
    """The alert coder of a model; without images it has no parameters and codes of length 0."""
    return AlertCoder(model.encoder, len(preprocess.channels), preprocess.crop) if model.images else NoCoder()


def build_head(inputs: int, model: ModelConfig) -> nn.Sequential:
    """FC with dropout, FC, FC to the classes (Table 4), for inputs (..., `inputs`)."""
    return nn.Sequential(
        nn.Linear(inputs, model.hidden),
        nn.ReLU(),
        nn.Dropout(model.dropout),
        nn.Linear(model.hidden, model.hidden),
        nn.ReLU(),
        nn.Linear(model.hidden, len(model.classes)),
    )


class ObjectFeatures(nn.Module):
    """What enters the head once for each object: static metadata, batch-normalised, and AllWISE with its flag.

    Parameters
    ----------
    model : ModelConfig
        `metadata` and `allwise` say what enters.
    preprocess : PreprocessConfig
        Names the static features.
    """

    def __init__(self, model: ModelConfig, preprocess: PreprocessConfig) -> None:
        super().__init__()
        statics = len(preprocess.static) if model.metadata else 0
        self.norm = FeatureNorm(statics) if statics else None
        self.allwise = model.colours_enter
        self.width = statics + (len(COLOURS) + 1 if self.allwise else 0)

    def forward(self, batch: Batch) -> Tensor:
        """(B, `width`), possibly of width 0."""
        parts = [self.norm(batch.static)] if self.norm else []
        parts += [batch.allwise] if self.allwise else []
        return torch.cat(parts, dim=1) if parts else batch.static.new_zeros(len(batch), 0)


class Classifier(nn.Module, ABC):
    """What all classifiers share: a coder of stamps, a network, and trees beside it.

    Parameters
    ----------
    model : ModelConfig
    preprocess : PreprocessConfig
    """

    def __init__(self, model: ModelConfig, preprocess: PreprocessConfig) -> None:
        super().__init__()
        self.coder = build_coder(model, preprocess)
        self.dynamics = len(preprocess.dynamic) if model.metadata else 0
        self.norm = FeatureNorm(self.dynamics) if self.dynamics else None
        self.object_features = ObjectFeatures(model, preprocess)
        self.forest = Forest(model, preprocess) if model.trees_share else None

    def encode(self, stamps: Tensor) -> Tensor:
        """Codes (N, E) of stamps (N, C, H, W)."""
        return self.coder.encode(stamps)

    def code_batch(self, batch: Batch) -> Tensor:
        """Codes (B, A, E) of a batch."""
        return self.coder(batch)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K) after each object's last detection: the network's, and the trees' where there are some."""
        logits = self.network(batch)
        return logits + self.forest(self.forest.newest(batch)) if self.forest else logits

    @abstractmethod
    def network(self, batch: Batch) -> Tensor:
        """Logits (B, K) without trees."""


class StampClassifier(Classifier):
    """One alert to class logits: code, dynamic and static metadata, head (paper, Sec. 3).

    Parameters
    ----------
    model : ModelConfig
    preprocess : PreprocessConfig
    """

    def __init__(self, model: ModelConfig, preprocess: PreprocessConfig) -> None:
        super().__init__(model, preprocess)
        self.head = build_head(self.coder.width + self.dynamics + self.object_features.width, model)

    def network(self, batch: Batch) -> Tensor:
        """Logits (B, K) of a batch of single alerts, without trees.

        Raises
        ------
        ValueError
            Where the batch has more than one detection for an object.
        """
        if batch.present.shape[1] != 1:
            raise ValueError(f"a stamp model takes 1 detection, the batch has {batch.present.shape[1]}")
        parts = [self.code_batch(batch)[:, 0]]
        if self.norm:
            parts.append(self.norm(batch.dynamic[:, 0, :-1]))  # the last column, time since the previous, is no use
        return self.head(torch.cat((*parts, self.object_features(batch)), dim=1))
