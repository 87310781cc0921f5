"""The 8-bit path gives nearly the float32 codes, and never passes for them."""

from dataclasses import replace

import pytest
import torch

from tests.models import examples as made
from tsc_core.bundle import Bundle, shipped
from tsc_core.config import RunConfig
from tsc_core.inference import fast
from tsc_core.inference.predictor import Predictor
from tsc_core.models import build_model
from tsc_core.sources.demo import demo_source

pytest.importorskip("openvino")
CONFIG = RunConfig("test", made.config(), made.PREPROCESS)


def bundle(seed=0, config=CONFIG):
    torch.manual_seed(seed)
    return Bundle("test", config, None, (build_model(config.model, config.preprocess).eval(),))


def stamps(count=20):
    torch.manual_seed(1)
    return torch.rand(count, 2, 63, 63)


def test_codes_are_nearly_equal():
    encoder = bundle().model.coder.encoder
    quick = fast.FastEncoder(encoder, fast.calibrate(encoder, stamps()), threads=1)
    with torch.inference_mode():
        true, found = encoder(stamps()), quick(stamps())
    assert found.shape == true.shape
    assert (found - true).abs().max() < 0.05 * true.max()
    assert torch.equal(found, quick(stamps()))


def test_a_fast_bundle_predicts_and_keeps_the_original():
    plain = bundle()
    quick = fast.fast_bundle(plain, fast.calibrate(plain.model.coder.encoder, stamps()), threads=1)
    batch = made.batch(2)
    with torch.inference_mode():
        torch.testing.assert_close(quick.model(batch).softmax(1), plain.model(batch).softmax(1), atol=0.02, rtol=0)
    assert isinstance(quick.model.coder.encoder, fast.FastEncoder)
    assert not isinstance(plain.model.coder.encoder, fast.FastEncoder)


def test_codes_of_different_encoders_have_different_keys():
    keys = set()
    for seed in (0, 1):
        plain = bundle(seed)
        limits = fast.calibrate(plain.model.coder.encoder, stamps())
        keys |= {plain.encoder_key, fast.fast_bundle(plain, limits, 1).encoder_key}
    assert len(keys) == 4


def test_limits_are_kept_beside_the_bundle_and_checked(tmp_path):
    plain = bundle()
    limits = fast.calibrate(plain.model.coder.encoder, stamps())
    assert len(limits) == 6
    assert limits[0] == pytest.approx(1, abs=0.01)
    fast.write_limits(tmp_path, limits)
    assert fast.read_limits(tmp_path) == limits
    assert fast.read_limits(tmp_path / "other") is None
    with pytest.raises(fast.FastError, match="2 limits for an encoder of 6 layers"):
        fast.fast_bundle(plain, limits[:2])


def test_a_bundle_without_images_stays_as_it_is():
    blind = bundle(config=replace(CONFIG, model=made.config("metadata")))
    assert fast.fast_bundle(blind, []) is blind


def test_shipped_bundles_bring_their_limits_and_are_exact_when_asked():
    quick, plain = Predictor.shipped(["stamp"]).bundles[0], Predictor.shipped(["stamp"], exact=True).bundles[0]
    assert isinstance(quick.model.coder.encoder, fast.FastEncoder)
    assert not isinstance(plain.model.coder.encoder, fast.FastEncoder)


def test_the_fast_path_says_what_the_exact_one_says():
    source = demo_source()
    quick, plain = Predictor.shipped(), Predictor.shipped(exact=True)
    for oid in source.oids()[:6]:
        sequence = source.fetch(oid)
        for one, other in zip(quick.predict(sequence).steps, plain.predict(sequence).steps, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=0.05)


def test_an_openvino_that_does_not_work_leaves_float32(monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("no such device")

    monkeypatch.setattr(fast, "FastEncoder", broken)
    found = fast.load_fast(shipped()["stamp"])
    assert hasattr(found.model.coder.encoder, "trunk")
    assert "no such device" in caplog.text
