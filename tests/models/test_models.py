"""Every model with every recurrent layer: shapes, gradients, single objects, padding, files, repr."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import examples as made
from tsc_core.config import ConfigError, RecurrentConfig
from tsc_core.models import MODELS, RECURRENT, build_model

CASES = [("stamp", "lstm", 1)] + [
    (kind, layer, n)
    for kind in MODELS
    if kind != "stamp"
    for layer in RECURRENT
    for n in ((1, 2, 5) if kind == "unified" else (2, 3, 4, 5))
]


@pytest.mark.parametrize(("kind", "layer", "n"), CASES)
def test_every_model(kind, layer, n, tmp_path):
    config = made.config(kind, layer, n)
    torch.manual_seed(0)
    model = build_model(config, made.PREPROCESS)
    batch = made.batch(n, size=3)

    logits = model(batch)
    assert logits.shape == (3, len(config.classes))
    logits.square().sum().backward()
    unreached = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not unreached or (kind == "unified" and n == 1)  # with one detection, nothing recurs

    assert torch.isfinite(model(made.rows(batch, slice(0, 1)))).all()  # training mode, one object
    model.eval()
    together = model(batch)
    alone = torch.cat([model(made.rows(batch, slice(i, i + 1))) for i in range(3)])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    assert torch.equal(model(batch), together)

    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    torch.manual_seed(1)
    again = build_model(config, made.PREPROCESS).eval()
    assert not torch.equal(again(batch), together)
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(again(batch), together)
    assert type(model).__name__ in repr(model)
    if kind in ("temporal", "unified"):
        assert "views=2" in repr(model)


@pytest.mark.parametrize("layer", RECURRENT)
@pytest.mark.parametrize("kind", ["temporal", "metadata", "unified"])
def test_padding_is_never_seen(kind, layer):
    torch.manual_seed(0)
    model = build_model(made.config(kind, layer, 3), made.PREPROCESS)
    batch = made.batch(3)
    model.train()(made.padded(batch, 2))
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    model.eval()
    torch.testing.assert_close(model(made.padded(batch, 2)), model(batch), rtol=1e-5, atol=1e-6)
    if kind == "metadata":
        torch.manual_seed(0)
        plain = build_model(made.config(kind, layer, 3), made.PREPROCESS)
        plain(batch)
        for name, value in plain.named_buffers():
            torch.testing.assert_close(statistics[name], value)


@pytest.mark.parametrize("layer", RECURRENT)
def test_one_pass_gives_the_whole_progression(layer):
    torch.manual_seed(0)
    model = build_model(made.config("unified", layer, 5), made.PREPROCESS).eval()
    batch = made.batch(5)
    steps = model.forward_steps(batch)
    for n in range(1, 6):
        shorter = replace(
            batch,
            stamps=batch.stamps[:, :n], has_stamps=batch.has_stamps[:, :n],
            present=batch.present[:, :n], dynamic=batch.dynamic[:, :n],
        )  # fmt: skip
        torch.testing.assert_close(model(shorter), steps[:, n - 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["stamp", "temporal", "unified"])
def test_given_codes_replace_encoding(kind):
    model = build_model(made.config(kind, n=1 if kind == "stamp" else 2), made.PREPROCESS).eval()
    batch = made.batch(1 if kind == "stamp" else 2)
    blind = replace(batch, codes=model.code_batch(batch), stamps=torch.full_like(batch.stamps, float("nan")))
    assert torch.equal(model(blind), model(batch))


def test_a_missing_stamp_takes_the_learned_code():
    model = build_model(made.config(), made.PREPROCESS).eval()
    with torch.no_grad():
        model.coder.no_stamp.normal_()
    batch = made.batch(2)
    codes = model.code_batch(batch)
    assert torch.equal(codes[0, 1], model.coder.no_stamp)
    torch.testing.assert_close(codes[0, :1], model.encode(batch.stamps[0, :1]))
    nothing = replace(batch, has_stamps=torch.zeros_like(batch.has_stamps))
    assert torch.isfinite(model(nothing)).all()


def test_switches_remove_what_they_name():
    def model(**changes):
        return build_model(made.config(**changes), made.PREPROCESS).eval()

    batch = made.batch(2)
    blind = model(images=False)
    assert not [name for name, _ in blind.named_parameters() if "coder" in name]
    assert torch.equal(blind(replace(batch, stamps=batch.stamps + 1)), blind(batch))

    bare = model(metadata=False, allwise=False)
    assert bare.head[0].in_features == bare.recurrent.width
    changed = replace(batch, static=batch.static + 1, allwise=batch.allwise + 1, dynamic=batch.dynamic.clone())
    changed.dynamic[..., :-1] += 1
    assert torch.equal(bare(changed), bare(batch))
    changed.dynamic[..., -1] += 1
    assert not torch.equal(bare(changed), bare(batch))

    full = model()
    assert full.recurrent.cells.input_size == 8 + 9 + 1
    assert full.head[0].in_features == 8 + 14 + 4


def test_stamp_model_refuses_sequences():
    with pytest.raises(ValueError, match="takes 1 detection, the batch has 2"):
        build_model(made.config("stamp", n=1), made.PREPROCESS)(made.batch(2))


def test_impossible_sizes_are_named():
    tight = replace(made.config(), encoder=replace(made.ENCODER, padding=0))
    with pytest.raises(ConfigError, match="crop is 3"):
        build_model(tight, replace(made.PREPROCESS, crop=3))
    with pytest.raises(ConfigError, match=r"units is 6.*heads = 4"):
        build_model(replace(made.config(), recurrent=RecurrentConfig("transformer", units=6)), made.PREPROCESS)
