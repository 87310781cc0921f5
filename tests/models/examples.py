"""Small made batches for the tests of models and training."""

from dataclasses import replace

import numpy as np
import torch

from tsc_core.alerts import Batch, Example
from tsc_core.config import EncoderConfig, ModelConfig, PreprocessConfig, RecurrentConfig
from tsc_core.preprocessing import collate
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES

PREPROCESS = PreprocessConfig(crop=15)
ENCODER = EncoderConfig(rotations=2, width=4, codes=8)


def example(rng: np.random.Generator, n: int, preprocess: PreprocessConfig = PREPROCESS, label: int = 0) -> Example:
    """One object of n detections; the label shifts every modality."""
    stamps = rng.random((n, len(preprocess.channels), 63, 63), dtype=np.float32)
    stamps[..., 28 - 4 * label : 35 + 4 * label, 31] += label
    numbers = [rng.normal(label, 1, size).astype(np.float32) for size in ((n, len(preprocess.dynamic) + 1), 14, 4)]
    return Example(stamps, np.ones(n, dtype=bool), *numbers, label)


def without_stamp(found: Example, place: int) -> Example:
    """The same object with one stamp lost."""
    has, stamps = found.has_stamps.copy(), found.stamps.copy()
    has[place], stamps[place] = False, 0
    return replace(found, stamps=stamps, has_stamps=has)


def batch(n: int = 2, size: int = 3, seed: int = 0, preprocess: PreprocessConfig = PREPROCESS) -> Batch:
    """Objects of n detections; the first lacks its last stamp."""
    rng = np.random.default_rng(seed)
    examples = [example(rng, n, preprocess, i % 3) for i in range(size)]
    return collate([without_stamp(examples[0], n - 1), *examples[1:]])


def config(kind: str = "temporal", recurrent: str = "lstm", n: int = 2, **changes) -> ModelConfig:
    """A small model."""
    layer = RecurrentConfig(recurrent, units=8, kernel=min(2, n))
    classes = CLASSES if kind in ("stamp", "unified") else TEMPORAL_CLASSES
    return ModelConfig(kind, n, classes, encoder=ENCODER, recurrent=layer, **changes)


def rows(found: Batch, chosen: slice) -> Batch:
    """Some objects of a batch."""
    names = ("stamps", "has_stamps", "present", "dynamic", "static", "allwise", "labels")
    return Batch(*(getattr(found, name)[chosen] for name in names))


def padded(found: Batch, extra: int) -> Batch:
    """The same objects with `extra` padded places holding nonsense that must not be looked at."""
    noise = lambda x: torch.cat((x, torch.full((len(x), extra, *x.shape[2:]), 7.0)), dim=1)  # noqa: E731
    false = torch.zeros(len(found), extra, dtype=torch.bool)
    present, has = (torch.cat((x, false), dim=1) for x in (found.present, found.has_stamps))
    return replace(found, stamps=noise(found.stamps), dynamic=noise(found.dynamic), present=present, has_stamps=has)
