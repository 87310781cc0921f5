"""Configurations: what is written comes back, what cannot be is refused by name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsc_core.config import (
    ConfigError,
    EncoderConfig,
    ModelConfig,
    PreprocessConfig,
    RecurrentConfig,
    RunConfig,
    TrainConfig,
    from_dict,
    load,
    replace,
    to_dict,
)
from tsc_core.survey import CLASSES

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.toml"))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"modell": {}}, "modell"),
        ({"model": {"encoder": {"kernell": 3}}}, "kernell"),
        ({"training": {"lr": 0.1}}, "lr"),
        ({"model": 3}, "model"),
        ({"preprocess": {"crop": "33"}}, "preprocess.crop"),
        ({"preprocess": {"crop": True}}, r"preprocess\.crop is True"),
        ({"preprocess": {"allwise": 1}}, "preprocess.allwise"),
        ({"preprocess": {"channels": "science"}}, r"preprocess\.channels: needs a list"),
        ({"preprocess": {"channels": ["science", 2]}}, r"preprocess\.channels: needs a list"),
        ({"preprocess": {"channels": ["sience"]}}, "sience"),
        ({"preprocess": {"channels": []}}, "preprocess.channels"),
        ({"preprocess": {"crop": 0}}, r"preprocess\.crop is 0"),
        ({"preprocess": {"crop": 64}}, r"preprocess\.crop is 64"),
        ({"preprocess": {"dynamic": ["magpfs"]}}, "magpfs"),
        ({"preprocess": {"static": ["magpsf"]}}, "magpsf"),
        ({"preprocess": {"scaling": "minmax"}}, r"minmax.*needs one of stamp, sequence"),
        ({"model": {"kind": "lstm"}}, r"model\.kind is 'lstm': needs one of stamp, temporal"),
        ({"model": {"n": 6}}, r"model\.n is 6"),
        ({"model": {"n": 2.0}}, r"model\.n"),
        ({"model": {"kind": "stamp", "n": 2}}, "takes 1 detection"),
        ({"model": {"dropout": 1.0}}, r"model\.dropout is 1"),
        ({"model": {"hidden": 0}}, r"model\.hidden is 0"),
        ({"model": {"classes": ["AGN", "QSO"]}}, "QSO"),
        ({"model": {"classes": ["AGN"]}}, "model.classes"),
        ({"model": {"classes": ["AGN", "AGN"]}}, "model.classes"),
        ({"model": {"encoder": {"rotations": 0}}}, r"encoder\.rotations is 0"),
        ({"model": {"encoder": {"kernel": 4}}}, r"encoder\.kernel is 4: needs an odd"),
        ({"model": {"encoder": {"jitter_turns": 29.0}}}, r"encoder\.jitter_turns is 29"),
        ({"model": {"recurrent": {"kind": "conv1d", "kernel": 3}}}, r"recurrent\.kernel is 3"),
        ({"model": {"recurrent": {"units": 0}}}, r"recurrent\.units is 0"),
        ({"model": {"hidden": 10**9}}, r"model\.hidden is 1000000000: needs 1 to 1024"),
        ({"model": {"encoder": {"rotations": 10**9}}}, r"encoder\.rotations is 1000000000: needs 1 to 64"),
        ({"model": {"encoder": {"width": 129}}}, r"encoder\.width is 129: needs 1 to 128"),
        ({"model": {"recurrent": {"layers": 10**9}}}, r"recurrent\.layers is 1000000000: needs 1 to 16"),
        ({"training": {"learning_rate": float("nan")}}, "learning_rate"),
        ({"training": {"learning_rate": float("inf")}}, r"training\.learning_rate is inf: needs a finite number"),
        ({"training": {"weight_decay": 10**400}}, r"training\.weight_decay is inf: needs a finite number"),
        ([], "the configuration is a list: needs a table"),
        ({"training": {"batch_size": 0}}, "batch_size"),
        ({"training": {"drop_stamps": 1.5}}, "drop_stamps"),
        ({"training": {"patience": -1}}, "patience"),
        ({"data": {"window": "middle"}}, r"data\.window is 'middle'"),
        ({"data": {"validation_per_class": -1}}, "validation_per_class"),
    ],
)
def test_refused_by_name(values, named):
    with pytest.raises(ConfigError, match=named):
        from_dict(values, RunConfig)


runs = st.builds(
    RunConfig,
    name=st.text(max_size=10),
    model=st.builds(
        ModelConfig,
        n=st.integers(2, 5),
        classes=st.lists(st.sampled_from(CLASSES), min_size=2, unique=True).map(tuple),
        dropout=st.floats(0, 0.9),
        encoder=st.builds(EncoderConfig, rotations=st.integers(1, 9), jitter_turns=st.floats(0, 1)),
        recurrent=st.builds(RecurrentConfig, kind=st.sampled_from(["lstm", "conv1d", "gamma"])),
    ),
    preprocess=st.builds(PreprocessConfig, crop=st.integers(1, 63), allwise=st.booleans()),
    training=st.builds(TrainConfig, learning_rate=st.floats(1e-9, 1), frozen_encoder=st.none() | st.just("stamp")),
)


@given(runs)
def test_what_is_written_comes_back(run):
    assert from_dict(to_dict(run), RunConfig) == run


def test_a_whole_number_will_do_for_a_fraction():
    found = from_dict({"training": {"learning_rate": 1, "weight_decay": 0}}, RunConfig)
    assert isinstance(found.training.learning_rate, float)
    assert isinstance(found.training.weight_decay, float)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        load(path)
    for text in (b"[model", b"\xff\xfe", b"[model]\nkernel = 3\n"):
        path.write_bytes(text)
        with pytest.raises(ConfigError, match=r"mine\.toml"):
            load(path)


def test_the_defaults_are_the_published_protocol():
    training = TrainConfig()
    assert (training.iterations, training.extension, training.extension_after) == (30_000, 10_000, 20_000)
    assert (training.batch_size, training.learning_rate, training.evaluate_every) == (128, 1e-4, 10)


def test_replace_checks_too():
    with pytest.raises(ConfigError, match="crop is 99"):
        replace(PreprocessConfig(), crop=99)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_file_in_configs_is_a_run(path):
    found = load(path)
    assert found.name
    assert from_dict(to_dict(found), RunConfig) == found


def test_the_rate_falls_along_half_a_cosine_or_stays():
    falling = TrainConfig(iterations=100, extension=0, learning_rate=2e-3, cosine=True)
    assert falling.rate(0) == pytest.approx(2e-3)
    assert falling.rate(50) == pytest.approx(1e-3)
    assert falling.rate(100) == pytest.approx(0.0, abs=1e-12)
    assert TrainConfig(learning_rate=2e-3).rate(29_999) == 2e-3
    with pytest.raises(ConfigError, match="extension"):
        TrainConfig(cosine=True)
