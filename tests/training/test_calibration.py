"""Temperatures and class offsets against cases whose answer is known."""

import numpy as np
import pytest
from scipy.special import softmax

from tsc_core.training.calibration import fit_offsets, fit_temperature


def drawn(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels that follow the probabilities."""
    return np.array([rng.choice(len(p), p=p) for p in softmax(logits, axis=1)])


def test_the_temperature_that_made_the_labels_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (6000, 3))
    assert fit_temperature(logits, drawn(logits / 2.5, rng)) == pytest.approx(2.5, rel=0.1)


def test_offsets_undo_a_bias_towards_one_class():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(3), 400)
    logits = 2.0 * np.eye(3)[labels] + rng.normal(0, 1, (1200, 3)) + np.array([0.0, 1.5, 0.0])
    offsets = fit_offsets([(logits, labels)])
    assert offsets[1] - offsets[0] == pytest.approx(-1.5, abs=0.3)
    assert offsets[2] - offsets[0] == pytest.approx(0.0, abs=0.3)


def test_a_rare_class_weighs_as_much_as_a_frequent_one():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], [950, 50])
    logits = 1.5 * np.eye(2)[labels] + rng.normal(0, 1, (1000, 2))
    found = (logits + fit_offsets([(logits, labels)])).argmax(1)
    assert abs((found[labels == 0] == 0).mean() - (found[labels == 1] == 1).mean()) < 0.1


def test_classes_without_objects_and_no_groups_are_left_alone():
    logits, labels = np.random.default_rng(3).normal(size=(50, 4)), np.tile([0, 1], 25)
    assert fit_offsets([(logits, labels)])[2:].tolist() == [0.0, 0.0]
    assert fit_offsets([]) is None


def test_too_few_objects_of_a_class_say_nothing():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 40)
    logits = 2.0 * np.eye(3)[labels] + rng.normal(0, 1, (80, 3))
    rare = (np.vstack([logits, 5.0 * np.eye(3)[[0, 1]]]), np.append(labels, [2, 2]))
    offsets = fit_offsets([rare])
    np.testing.assert_allclose(offsets, fit_offsets([(logits, labels)]))
    assert offsets[2] == 0.0
    assert offsets[:2].sum() == pytest.approx(0.0, abs=1e-3)  # the others are not lifted above it either
