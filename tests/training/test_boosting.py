"""Gradient boosting: runs that a seed makes, and what is recorded of them."""

import numpy as np
import torch

from tsc_core.training.boosting import boosted_probabilities
from tsc_core.training.frozen import CodedExamples


def examples(count: int, seed: int) -> CodedExamples:
    """Objects of three classes that overlap."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    dynamic = rng.normal(labels[:, None, None] / 2, 1.0, (count, 2, 6))
    whole = torch.ones(count, 2, dtype=torch.bool)
    blank = {"static": torch.zeros(count, 1), "allwise": torch.zeros(count, 4)}
    tensors = {"dynamic": torch.from_numpy(dynamic), "present": whole, "has_stamps": whole, **blank}
    return CodedExamples(tensors | {"labels": torch.from_numpy(labels)}, jitter=False)


SETS = examples(300, 0), examples(90, 1), examples(90, 2)


def test_a_seed_gives_a_run_of_its_own_and_the_same_one_again():
    first, again, other = (boosted_probabilities(SETS, seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.abs(first - other).mean() < 0.1  # and no other model


def test_the_best_iteration_comes_before_the_patience_that_follows_it():
    _, result = boosted_probabilities(SETS, 0)
    assert 0 < result["best_step"] <= result["steps"] - 10 < 390
