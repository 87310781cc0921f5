"""`tsc train`: from a dataset to a bundle that gives the trained network's probabilities; errors name what is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.data.made import made, made_many
from tests.training.test_experiments import write
from tsc_core.bundle import load_bundle
from tsc_core.cli import main
from tsc_core.config import load
from tsc_core.data.store import Dataset
from tsc_core.evaluation.results import find_results
from tsc_core.inference.bulk import evaluate
from tsc_core.inference.predictor import Predictor
from tsc_core.sources.memory import MemorySource
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES
from tsc_core.training.calibration import fit_temperature
from tsc_core.training.sets import make_sets

UNEVEN = [replace(made(i, detections=1 + i // 5 % 5), label=CLASSES[i % 5]) for i in range(50)]

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


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Objects of five classes and one to five detections."""
    return write(tmp_path_factory.mktemp("uneven") / "set", UNEVEN)


@pytest.mark.parametrize(("kind", "n", "classes"), [("temporal", 2, TEMPORAL_CLASSES), ("unified", 5, CLASSES)])
def test_the_metrics_are_those_of_the_saved_bundle(kind, n, classes, uneven, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tsc_core.training.run.fit_temperature", lambda logits, labels: 0.2)
    model = f"{n}\nclasses = {json.dumps(classes)}"
    assert run(config(tmp_path, kind=kind, n=model), uneven, tmp_path / "run") == 0
    test = json.loads(capsys.readouterr().out)["test"]
    assert json.loads((tmp_path / "run" / "bundle" / "metrics.json").read_text())["test"] == test
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.temperatures[n] == 0.2
    tested = set(make_sets(bundle.config, Dataset(uneven)).test.oids)
    labels = {found.oid: found.label for found in UNEVEN if found.oid in tested}
    report = evaluate(Predictor([bundle]), MemorySource("made", UNEVEN), labels).report()["n"]
    blocks = test["n"] if kind == "unified" else {str(n): test}
    assert blocks.keys() == report.keys()
    for length, block in blocks.items():
        assert block["confusion"] == report[length]["confusion"]
        assert block["log_loss"] == pytest.approx(report[length]["log_loss"], rel=1e-4)
    shown = {found.n: found.counts.tolist() for found in find_results(tmp_path / "run")[0]}
    assert shown == {length: block["confusion"] for length, block in blocks.items()}


def test_held_objects_keep_all_their_detections(uneven, tmp_path):
    sets = make_sets(load(config(tmp_path, kind="unified", n=5)), Dataset(uneven))
    usable = {found.oid: len(found.alerts) for found in UNEVEN}
    for held in (sets.validation, sets.test):
        batch = held.batch(np.arange(len(held)), np.random.default_rng(0))
        assert batch.present.sum(1).tolist() == [usable[oid] for oid in held.oids]
    assert len({usable[oid] for oid in sets.test.oids}) > 1


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
