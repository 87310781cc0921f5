"""Classifiers of a sequence of detections: temporal (paper, Sec. 4), metadata alone, and one for any number."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tsc_core.alerts import Batch
from tsc_core.config import ModelConfig, PreprocessConfig
from tsc_core.models.recurrent import build_recurrent, last_present
from tsc_core.models.stamp import Classifier, build_head


class TemporalClassifier(Classifier):
    """n detections to class logits: codes and dynamic metadata, recurrent layer, static metadata, head.

    Step input: code, dynamic metadata (batch-normalised), time difference. Head input: the state after the last
    detection, static metadata (batch-normalised), AllWISE colours and flag.

    Parameters
    ----------
    model : ModelConfig
    preprocess : PreprocessConfig
    """

    def __init__(self, model: ModelConfig, preprocess: PreprocessConfig) -> None:
        super().__init__(model, preprocess)
        self.recurrent = build_recurrent(self.coder.width + self.dynamics + 1, model.recurrent)
        self.head = build_head(self.recurrent.width + self.object_features.width, model)

    def steps(self, batch: Batch) -> Tensor:
        """What the recurrent layer reads for each detection, (B, A, F)."""
        parts = [self.code_batch(batch)]
        if self.norm:
            parts.append(self.norm(batch.dynamic[..., :-1], batch.present))
        return torch.cat((*parts, batch.dynamic[..., -1:]), dim=-1)

    def forward_steps(self, batch: Batch) -> Tensor:
        """Logits (B, A, K) after each detection; those at padded places mean nothing."""
        states = self.recurrent(self.steps(batch))  # (B, A, W)
        once = self.object_features(batch)[:, None].expand(-1, states.shape[1], -1)
        logits = self.head(torch.cat((states, once), dim=-1))
        return logits + self.forest(self.forest.inputs(batch)) if self.forest else logits

    def network(self, batch: Batch) -> Tensor:
        """Logits (B, K) without trees."""
        state = last_present(self.recurrent(self.steps(batch)), batch.present)  # (B, W)
        return self.head(torch.cat((state, self.object_features(batch)), dim=-1))


class MetadataClassifier(TemporalClassifier):
    """The temporal classifier without images (paper, Table 7)."""

    def __init__(self, model: ModelConfig, preprocess: PreprocessConfig) -> None:
        super().__init__(replace(model, images=False), preprocess)


class UnifiedClassifier(TemporalClassifier):
    """One model for any number of detections from 1 up, any of them without stamps (our own).

    The network is the temporal one; it is trained on the logits after every detection (`forward_steps`), so
    that one pass gives a whole progression.
    """
