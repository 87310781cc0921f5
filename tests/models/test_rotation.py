"""Rotations against `scipy.ndimage.rotate`, `rot90` and plain cropping; cyclic pooling's invariance."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from tsc_core.config import EncoderConfig
from tsc_core.models.encoder import Encoder
from tsc_core.models.rotation import Rotations


def smooth_stamps(count=2, channels=2):
    noise = np.random.default_rng(0).normal(size=(count, channels, 63, 63))
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 0, 2, 2)).astype(np.float32))


def crop(images, side):
    edge = (63 - side) // 2
    return images[..., edge : edge + side, edge : edge + side]


@pytest.mark.parametrize("side", [21, 33, 43, 63])
def test_first_view_is_the_plain_crop(side):
    stamps = smooth_stamps()
    views = Rotations(1, 0.0, side)(stamps)
    torch.testing.assert_close(views, crop(stamps, side), atol=1e-5, rtol=0)


@pytest.mark.parametrize("turns", range(4))
def test_quarter_turns_are_rot90(turns):
    stamps = smooth_stamps()
    views = Rotations(4, 0.0, 33)(stamps).reshape(2, 4, 2, 33, 33)
    torch.testing.assert_close(views[:, turns], crop(torch.rot90(stamps, turns, (2, 3)), 33), atol=1e-5, rtol=0)


@pytest.mark.parametrize("degrees", [17.0, 60.0, 201.5])
def test_any_angle_is_scipys_rotation(degrees):
    stamps = smooth_stamps(1, 1)
    rotations = Rotations(1, 0.0, 33)
    rotations.angles = lambda count: torch.tensor([[degrees / 360]])
    expected = ndimage.rotate(stamps[0, 0].numpy(), degrees, reshape=False, order=1)
    np.testing.assert_allclose(rotations(stamps)[0, 0].numpy(), crop(expected, 33), atol=1e-4)


def test_no_void_corners_up_to_44_pixels():
    ones = torch.ones(1, 1, 63, 63)
    rotations = Rotations(8, 1.0, 44)
    torch.manual_seed(0)
    assert rotations(ones.expand(50, -1, -1, -1)).min() > 0.999


def test_jitter_only_in_training_and_within_bounds():
    rotations = Rotations(6, 0.08, 33)
    torch.manual_seed(0)
    spread = rotations.angles(2000) - torch.arange(6) / 6
    assert spread.abs().max() <= 0.08
    assert spread.std() == pytest.approx(0.08 / np.sqrt(3), rel=0.02)
    assert len(torch.unique(spread)) > 10_000  # independent for each view of each stamp
    stamps = smooth_stamps()
    assert not torch.equal(rotations(stamps), rotations(stamps))
    rotations.eval()
    assert torch.equal(rotations(stamps), rotations(stamps))


def test_views_are_channels_last():
    views = Rotations(3, 0.1, 21)(smooth_stamps())
    assert views.shape == (6, 2, 21, 21)
    assert views.is_contiguous(memory_format=torch.channels_last)


def test_cyclic_pooling_is_invariant_to_quarter_turns():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(rotations=4, jitter_turns=0.0, width=4, codes=8), 2, 21).eval()
    stamps = smooth_stamps()
    codes = encoder(stamps)
    assert codes.std() > 1e-4
    for turns in (1, 2, 3):
        torch.testing.assert_close(encoder(torch.rot90(stamps, turns, (2, 3))), codes, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("crop_side", "padding", "flat"), [(33, 3, 64 * 81), (21, 3, 64 * 36), (21, 0, 64 * 16)])
def test_width_is_derived(crop_side, padding, flat):
    encoder = Encoder(EncoderConfig(padding=padding), 3, crop_side)
    assert encoder.project[0].in_features == flat
    assert encoder(torch.rand(2, 3, 63, 63)).shape == (2, 64)
