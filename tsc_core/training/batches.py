"""Which objects enter which batch. The random state of an iteration is a function of (seed, iteration).

So nothing random needs to be saved: a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tsc_core.alerts import Batch, Example
from tsc_core.config import TrainConfig
from tsc_core.preprocessing import collate

UNMATCHED = (0.0, 0.0, 0.0, 1.0)  # AllWISE colours at the training mean, and the flag


class Examples(Protocol):
    """What training asks of its data; `tsc_core.data.loaders.ExampleSet` is one such.

    Attributes
    ----------
    labels : ndarray (N,), int64
    """

    labels: np.ndarray

    def __len__(self) -> int:
        """Number of objects N."""

    def batch(self, indices: np.ndarray, rng: np.random.Generator) -> Batch:
        """Objects at `indices` as one batch; whatever is random in it is drawn from `rng`."""


class ExampleList:
    """Examples held in memory.

    Parameters
    ----------
    examples : list of Example
    """

    def __init__(self, examples: list[Example]) -> None:
        self.examples = examples
        self.labels = np.array([example.label for example in examples], dtype=np.int64)

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.examples)

    def batch(self, indices: np.ndarray, rng: np.random.Generator) -> Batch:
        """Objects at `indices`, nothing random."""
        return collate([self.examples[index] for index in indices])


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws the objects of each iteration.

    Attributes
    ----------
    labels : ndarray (N,)
    size : int
        Objects per batch.
    balanced : bool
        Equal numbers per class (the remainder goes to random classes), else all objects alike.
    seed : int
    """

    labels: np.ndarray
    size: int
    balanced: bool
    seed: int

    def rng(self, iteration: int) -> np.random.Generator:
        """The generator of an iteration, always in the same state."""
        return np.random.default_rng((self.seed, iteration))

    def torch_seed(self, iteration: int, process: int = 0) -> int:
        """Seed of torch's random state for an iteration: rotations, dropout, hiding."""
        return int(np.random.SeedSequence((self.seed, iteration, process)).generate_state(1)[0])

    def indices(self, iteration: int) -> np.ndarray:
        """Rows of the batch of an iteration; none twice unless there are too few to choose from."""
        rng = self.rng(iteration)
        if not self.balanced:
            return _draw(rng, np.arange(len(self.labels)), self.size)
        classes = rng.permutation(np.unique(self.labels))
        shares = [len(part) for part in np.array_split(np.arange(self.size), len(classes))]
        drawn = [_draw(rng, np.flatnonzero(self.labels == k), n) for k, n in zip(classes, shares, strict=True)]
        return rng.permutation(np.concatenate(drawn))


def _draw(rng: np.random.Generator, rows: np.ndarray, count: int) -> np.ndarray:
    return rng.choice(rows, count, replace=count > len(rows))


def in_order(examples: Examples, size: int, seed: int = 0) -> Iterator[Batch]:
    """All objects once, in order, always the same batches."""
    for start in range(0, len(examples), size):
        indices = np.arange(start, min(start + size, len(examples)))
        yield examples.batch(indices, np.random.default_rng((seed, start)))


def hide(batch: Batch, config: TrainConfig) -> Batch:
    """Lose stamps and cross-matches at random, blur metadata: `drop_stamps`, `drop_allwise`, `metadata_noise`.

    Everything random comes from torch's random state.
    """
    if config.metadata_noise > 0:
        dynamic, static = (
            values + config.metadata_noise * torch.randn(values.shape).to(values.device)
            for values in (batch.dynamic, batch.static)
        )
        batch = replace(batch, dynamic=dynamic, static=static)
    if config.drop_stamps > 0:
        kept = torch.rand(batch.has_stamps.shape) >= config.drop_stamps
        batch = replace(batch, has_stamps=batch.has_stamps & kept.to(batch.has_stamps.device))
    if config.drop_allwise > 0:
        lost = torch.rand(len(batch), 1) < config.drop_allwise
        unmatched = batch.allwise.new_tensor(UNMATCHED)
        batch = replace(batch, allwise=torch.where(lost.to(unmatched.device), unmatched, batch.allwise))
    return batch


def as_dict(batch: Batch) -> dict[str, Tensor]:
    """The tensors of a batch by name."""
    return {field.name: value for field in fields(batch) if (value := getattr(batch, field.name)) is not None}


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device."""
    return Batch(**{name: value.to(device, non_blocking=True) for name, value in as_dict(batch).items()})
