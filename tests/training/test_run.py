"""`tsc train`: from a dataset to a bundle that gives the trained network's probabilities; errors name what is wrong."""

import json

import numpy as np
import pytest

from tests.data.made import made_many
from tests.training.test_experiments import write
from tsc_core.bundle import load_bundle
from tsc_core.cli import main
from tsc_core.inference.predictor import Predictor
from tsc_core.training.calibration import fit_temperature

TOML = """
name = "{name}"
[model]
kind = "{kind}"
n = {n}
[model.encoder]
rotations = 2
width = 2
kernel = 3
[preprocess]
crop = 15
[training]
iterations = {iterations}
evaluate_every = 2
batch_size = 6
{training}
[data]
validation_per_class = 2
test_per_class = 2
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write(tmp_path_factory.mktemp("run") / "set", made_many(24))


def config(tmp_path, name="made", kind="temporal", n=2, iterations=4, training=""):
    path = tmp_path / f"{name}.toml"
    path.write_text(TOML.format(name=name, kind=kind, n=n, iterations=iterations, training=training))
    return str(path)


def run(config_path, data, out):
    return main(["train", config_path, "--data", str(data), "--out", str(out), "--quiet"])


@pytest.mark.parametrize(("kind", "n"), [("temporal", 2), ("metadata", 3), ("unified", 5)])
def test_train_leaves_a_bundle_that_predicts(kind, n, dataset, tmp_path, capsys):
    assert run(config(tmp_path, kind=kind, n=n), dataset, tmp_path / "run") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["test"]["objects"] == 6
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.card["origin"] == "simulated"
    assert len(bundle.card["split_sha256"]) == 64
    assert sum(bundle.card["training_objects"].values()) == printed["objects"]["training"]
    steps = Predictor([bundle]).predict(made_many(1)[0]).steps
    assert [step.n for step in steps] == ([1, 2, 3, 4, 5] if kind == "unified" else [n])
    assert sum(steps[-1].probabilities.values()) == pytest.approx(1)


def test_a_frozen_encoder_is_taken_over(dataset, tmp_path):
    assert run(config(tmp_path, "first"), dataset, tmp_path / "first") == 0
    source = tmp_path / "first" / "bundle"
    frozen = config(tmp_path, "second", n=3, training=f'frozen_encoder = "{source}"')
    assert run(frozen, dataset, tmp_path / "second") == 0
    first, second = load_bundle(source), load_bundle(tmp_path / "second" / "bundle")
    assert first.encoder_key == second.encoder_key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("iterations = 4", "iteration = 4"), "iteration"),
        (("iterations = 4", 'iterations = "4"'), "iterations"),
        (("crop = 15", "crop = 64"), "preprocess.crop is 64"),
        (("n = 2", 'n = 2\n[model.recurrent]\nkind = "conv1d"\nkernel = 3'), "kernel is 3"),
        (("test_per_class = 2", "test_per_class = 7"), "too few objects"),
        (("n = 2", 'n = 2\nclasses = ["AGN", "bogus"]'), "no object of class bogus"),
    ],
)
def test_errors_come_before_any_training(change, message, dataset, tmp_path, capsys):
    path = tmp_path / "bad.toml"
    text = TOML.format(name="bad", kind="temporal", n=2, iterations=4, training="")
    assert change[0] in text
    path.write_text(text.replace(*change))
    assert run(str(path), dataset, tmp_path / "run") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_temperature_recovers_what_was_applied():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.08)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, abs=0.24)
