"""Examples of different lengths in one batch: padding at the end, nothing else changed."""

import numpy as np
import pytest
import torch

from tests.made_objects import alert, preprocessor
from tsc_core.preprocessing import collate


def examples(*lengths):
    return [
        preprocessor()(tuple(alert(58300.0 + k, magpsf=18.0 + k) for k in range(length)), None, label)
        for label, length in enumerate(lengths)
    ]


def test_shapes_padding_and_types():
    made = examples(3, 1, 2)
    batch = collate(made)
    assert len(batch) == 3
    assert batch.stamps.shape == (3, 3, 2, 63, 63)
    assert batch.dynamic.shape == (3, 3, len(preprocessor().config.dynamic) + 1)
    assert batch.present.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert batch.labels.tolist() == [0, 1, 2]
    assert batch.labels.dtype == torch.int64
    assert batch.codes is None
    for row, example in enumerate(made):
        count = len(example.has_stamps)
        np.testing.assert_array_equal(batch.stamps[row, :count].numpy(), example.stamps)
        np.testing.assert_array_equal(batch.dynamic[row, :count].numpy(), example.dynamic)
        assert not batch.stamps[row, count:].any()
        assert not batch.dynamic[row, count:].any()
        assert not batch.has_stamps[row, count:].any()


def test_a_batch_of_one_keeps_its_axis():
    batch = collate(examples(1))
    assert batch.stamps.shape == (1, 1, 2, 63, 63)
    assert batch.static.shape[0] == batch.allwise.shape[0] == 1


def test_codes_are_padded_alike():
    made = examples(1, 2)
    batch = collate(made, [torch.ones(1, 4), torch.full((2, 4), 2.0)])
    assert batch.codes.shape == (2, 2, 4)
    assert batch.codes[0, 1].tolist() == [0, 0, 0, 0]


def test_no_examples():
    with pytest.raises(ValueError, match="at least one example"):
        collate([])
