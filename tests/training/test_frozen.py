"""Frozen-encoder mode agrees with the whole network where it should."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.models import examples as made
from tests.training.test_trainer import CONFIG, TRAINING, objects
from tsc_core.bundle import Bundle
from tsc_core.config import ConfigError
from tsc_core.models import build_model
from tsc_core.training.batches import in_order
from tsc_core.training.frozen import CodedExamples, adopt_encoder, coded
from tsc_core.training.objective import probabilities
from tsc_core.training.trainer import train


def network(config=CONFIG, seed=0):
    torch.manual_seed(seed)
    return build_model(config.model, config.preprocess)


def test_same_probabilities_from_codes_and_from_stamps():
    model, examples = network(), objects()
    codes = coded(examples, model.coder.encoder, draws=2)
    expected = probabilities(model, in_order(examples, 5))
    codes.jitter = False
    np.testing.assert_allclose(probabilities(model, in_order(codes, 7)), expected, atol=1e-5)


def test_training_from_codes_equals_training_with_the_encoder_held(tmp_path):
    still = replace(made.ENCODER, jitter_turns=0.0)  # without jitter both modes see the same numbers
    config = replace(CONFIG, model=replace(CONFIG.model, encoder=still), training=replace(TRAINING, iterations=12))
    data = objects(), objects(9, 1)
    whole, from_codes = network(config), network(config)
    for model in (whole, from_codes):
        model.coder.encoder.requires_grad_(False)
    codes = [coded(found, from_codes.coder.encoder, draws=i) for i, found in ((2, data[0]), (0, data[1]))]
    first = train(config, *data, tmp_path / "whole", network=whole, progress=False)
    second = train(config, *codes, tmp_path / "codes", network=from_codes, progress=False)
    for name, tensor in first.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
    assert first.result["val_loss"] == pytest.approx(second.result["val_loss"], rel=1e-4)


def test_training_draws_among_jittered_codes_and_evaluation_does_not():
    codes = coded(objects(), network().coder.encoder, draws=3)
    assert codes.tensors["codes"].shape == (18, 2, 4, 2, 8)
    rows = np.arange(18)
    first, second = (codes.batch(rows, np.random.default_rng(seed)).codes for seed in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first, codes.batch(rows, np.random.default_rng(0)).codes)
    kept = codes.tensors["codes"][3, 1]  # (V, k, E)
    options = torch.stack([(kept[i, 0] + kept[j, 1]) / 2 for i in (1, 2, 3) for j in (1, 2, 3)])
    assert (options - first[3, 1]).abs().amax(1).min() < 1e-6
    codes.jitter = False
    torch.testing.assert_close(
        codes.batch(rows, np.random.default_rng(0)).codes, codes.tensors["codes"][:, :, 0].mean(2)
    )


def test_missing_stamps_stay_missing_and_files_keep_all(tmp_path):
    codes = coded(objects(), network().coder.encoder)
    assert not codes.tensors["has_stamps"][0, 0]
    assert not codes.tensors["codes"][0, 0].any()
    codes.save(tmp_path / "codes.safetensors")
    again = CodedExamples.load(tmp_path / "codes.safetensors")
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in codes.tensors.items())
    assert again.first(1).batch(np.array([3]), np.random.default_rng(0)).codes.shape == (1, 1, 8)


def test_metadata_alone_needs_no_encoder(tmp_path):
    config = replace(CONFIG, model=made.config("metadata"))
    sets = [coded(found, None) for found in (objects(), objects(9, 1))]
    plain = train(config, objects(), objects(9, 1), tmp_path / "a", progress=False)
    lean = train(config, *sets, tmp_path / "b", progress=False)
    assert plain.result["val_loss"] == lean.result["val_loss"]


def test_an_encoder_is_taken_over_only_where_it_fits():
    bundle = Bundle("source", CONFIG, None, (network(seed=5),))
    adopted = adopt_encoder(network(), CONFIG, bundle)
    theirs = bundle.model.coder.encoder.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in adopted.coder.encoder.state_dict().items())
    assert not any(p.requires_grad for p in adopted.coder.encoder.parameters())
    assert adopted.coder.no_stamp.requires_grad
    other = replace(CONFIG, preprocess=replace(CONFIG.preprocess, crop=17))
    with pytest.raises(ConfigError, match=r"preprocess\.crop is 15 in source, 17 in this run"):
        adopt_encoder(network(other), other, bundle)
