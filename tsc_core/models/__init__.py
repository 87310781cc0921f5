"""The networks: `MODELS` and `RECURRENT` by name, and one `build_model`."""

from collections.abc import Callable

from torch import nn

from tsc_core.config import ModelConfig, PreprocessConfig
from tsc_core.models.recurrent import RECURRENT
from tsc_core.models.stamp import StampClassifier
from tsc_core.models.temporal import MetadataClassifier, TemporalClassifier, UnifiedClassifier

MODELS: dict[str, Callable[[ModelConfig, PreprocessConfig], nn.Module]] = {
    "stamp": StampClassifier,
    "temporal": TemporalClassifier,
    "metadata": MetadataClassifier,
    "unified": UnifiedClassifier,
}


def build_model(model: ModelConfig, preprocess: PreprocessConfig) -> nn.Module:
    """The network of a configuration, freshly initialised from torch's random state, in training mode.

    Every model has `forward(batch) -> logits (B, K)`, `network(batch)`, the same without trees,
    `encode(stamps (N, C, H, W)) -> codes (N, E)` and `code_batch(batch) -> codes (B, A, E)`; the sequence models
    also `forward_steps(batch) -> logits (B, A, K)`.

    Raises
    ------
    ConfigError
        Where the sizes do not fit together.
    """
    return MODELS[model.kind](model, preprocess)


__all__ = ["MODELS", "RECURRENT", "build_model"]
