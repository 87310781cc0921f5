"""One run: repeatable, resumable after a kill, best weights kept, bad data refused before any training."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.models import examples as made
from tsc_core.config import ConfigError, RunConfig, TrainConfig
from tsc_core.training.batches import ExampleList, Sampler, hide
from tsc_core.training.objective import Objective
from tsc_core.training.trainer import _Run, train

TRAINING = TrainConfig(iterations=24, evaluate_every=4, batch_size=9, learning_rate=3e-3, extension=0)
CONFIG = RunConfig("test", made.config("temporal", "gru"), made.PREPROCESS, TRAINING)


def objects(count=18, seed=0, n=2, classes=3):
    rng = np.random.default_rng(seed)
    found = [made.example(rng, n, label=i % classes) for i in range(count)]
    return ExampleList([made.without_stamp(found[0], 0), *found[1:]])


class Killed(Exception):
    pass


class DyingExamples(ExampleList):
    """Examples whose reader is killed after some batches."""

    def __init__(self, examples, batches):
        super().__init__(examples.examples)
        self.left = batches

    def batch(self, indices, rng):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return super().batch(indices, rng)


class Fixed(torch.nn.Module):
    """Always the same logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, batch):
        return self.logits


def weights(run):
    return run.network.state_dict()


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_learns_and_writes_its_folder(tmp_path):
    run = train(CONFIG, objects(), objects(9, 1), tmp_path, progress=False)
    table = rows(tmp_path)
    assert [int(row["step"]) for row in table] == [4, 8, 12, 16, 20, 24]
    assert float(table[-1]["val_loss"]) < float(table[0]["val_loss"])
    best = min(table, key=lambda row: float(row["val_loss"]))
    assert run.result["best_step"] == int(best["step"])
    assert run.result["objects"] == {"training": 18, "validation": 9}
    assert json.loads((tmp_path / "config.json").read_text())["training"]["iterations"] == 24
    assert json.loads((tmp_path / "environment.json").read_text())["packages"]["torch"]
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("state*"))


@pytest.mark.parametrize("kind", ["stamp", "temporal", "unified"])
def test_same_seed_same_bits(kind, tmp_path):
    n = 1 if kind == "stamp" else 2
    few = replace(TRAINING, iterations=6, evaluate_every=3, entropy=0.5, drop_stamps=0.3, drop_allwise=0.3)
    config = replace(CONFIG, model=made.config(kind, n=n, dropout=0.3), training=few)
    data = objects(20, n=n, classes=len(config.model.classes)), objects(10, 1, n, len(config.model.classes))
    first, second = (weights(train(config, *data, tmp_path / name, progress=False)) for name in "ab")
    assert same(first, second)
    other = replace(config, training=replace(few, seed=1))
    assert not same(first, weights(train(other, *data, tmp_path / "c", progress=False)))


@pytest.mark.parametrize("cosine", [False, True])
def test_killed_and_resumed_is_as_never_killed(tmp_path, cosine):
    data, config = (objects(), objects(9, 1)), replace(CONFIG, training=replace(TRAINING, cosine=cosine))
    whole = train(config, *data, tmp_path / "whole", progress=False)
    broken = tmp_path / "broken"
    for batches in (7, 14):  # killed twice, between two validations
        with pytest.raises(Killed):
            train(config, DyingExamples(data[0], batches), data[1], broken, progress=False, save_every_seconds=0)
    assert not (broken / "result.json").exists()
    (broken / "metrics.csv").open("a").write("99,0.1")  # a half-written row
    resumed = train(config, *data, broken, progress=False)
    assert same(weights(whole), weights(resumed))
    assert rows(broken) == rows(tmp_path / "whole")
    assert resumed.result["best_step"] == whole.result["best_step"]


def die(run):
    raise Killed


ENDS = ({"extension": 12, "extension_after": 24}, {"evaluate_every": 1, "patience": 1, "learning_rate": 0.05})


@pytest.mark.parametrize("end", ENDS, ids=["limit", "patience"])
def test_killed_after_the_last_step_takes_no_more(tmp_path, monkeypatch, end):
    data, config = (objects(), objects(9, 1)), replace(CONFIG, training=replace(TRAINING, **end))
    whole = train(config, *data, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(_Run, "_finish", die)
        with pytest.raises(Killed):
            train(config, *data, tmp_path / "broken", progress=False, save_every_seconds=0)
    resumed = train(config, *data, tmp_path / "broken", progress=False)
    assert (resumed.result["steps"], resumed.result["best_step"]) == (whole.result["steps"], whole.result["best_step"])
    assert same(weights(whole), weights(resumed))
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")


def test_finished_run_is_read_not_repeated(tmp_path):
    data = objects(), objects(9, 1)
    run = train(CONFIG, *data, tmp_path, progress=False)
    again = train(CONFIG, DyingExamples(data[0], 0), data[1], tmp_path, progress=False)
    assert same(weights(run), weights(again))
    assert again.result == run.result


def test_another_configuration_in_the_folder_is_refused(tmp_path):
    data = objects(), objects(9, 1)
    train(CONFIG, *data, tmp_path, progress=False)
    with pytest.raises(ConfigError, match="another configuration"):
        train(replace(CONFIG, name="other"), *data, tmp_path, progress=False)


def test_missing_class_and_foreign_labels_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="validation set: no object of class VS"):
        train(CONFIG, objects(), objects(4, classes=2), tmp_path)
    with pytest.raises(ConfigError, match="training set: 6 labels are outside"):
        train(CONFIG, objects(24, classes=4), objects(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_late_best_extends_the_run(tmp_path):
    settings = replace(TRAINING, iterations=8, extension=8, extension_after=4)
    run = train(replace(CONFIG, training=settings), objects(), objects(9, 1), tmp_path / "a", progress=False)
    assert run.result["steps"] == 16
    settings = replace(settings, extension_after=8)
    run = train(replace(CONFIG, training=settings), objects(), objects(9, 1), tmp_path / "b", progress=False)
    assert run.result["steps"] == 8


def test_patience_stops_early(tmp_path):
    settings = replace(TRAINING, iterations=400, evaluate_every=1, learning_rate=0.05, patience=5)
    run = train(replace(CONFIG, training=settings), objects(), objects(9, 1), tmp_path, progress=False)
    assert run.result["steps"] == run.result["best_step"] + 5 < 400


def test_loss_that_is_no_number_ends_the_run(tmp_path):
    bad = objects()
    bad.examples[0].static[:] = np.nan
    with pytest.raises(FloatingPointError, match="training loss is nan at step"):
        train(CONFIG, bad, objects(9, 1), tmp_path, progress=False)


def test_bfloat16_trains(tmp_path):
    settings = replace(TRAINING, iterations=4, precision="bfloat16")
    run = train(replace(CONFIG, training=settings), objects(), objects(9, 1), tmp_path, progress=False)
    assert all(tensor.dtype == torch.float32 for tensor in weights(run).values() if tensor.is_floating_point())
    assert np.isfinite(run.result["val_loss"])


def test_balanced_batches_have_equal_classes():
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    sampler = Sampler(labels, 31, True, seed=3)
    counts = np.bincount(labels[sampler.indices(5)])
    assert sorted(counts) == [10, 10, 11]
    assert np.array_equal(sampler.indices(5), sampler.indices(5))
    assert not np.array_equal(sampler.indices(5), sampler.indices(6))
    plain = Sampler(labels, 112, False, seed=3).indices(0)
    assert sorted(plain) == list(range(112))


def test_hiding_loses_what_it_says():
    batch = made.batch(2, size=200)
    torch.manual_seed(0)
    hidden = hide(batch, TrainConfig(drop_stamps=0.5, drop_allwise=0.25))
    assert hidden.has_stamps.float().mean() == pytest.approx(0.5, abs=0.1)
    lost = (hidden.allwise == torch.tensor([0.0, 0, 0, 1])).all(1)
    assert lost.float().mean() == pytest.approx(0.25, abs=0.1)
    assert torch.equal(hidden.allwise[~lost], batch.allwise[~lost])
    assert hide(batch, TrainConfig()) is batch


def test_entropy_term_is_the_base_models():
    config = replace(CONFIG, training=replace(TRAINING, entropy=0.5), model=made.config(dropout=0.0))
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    objective = Objective(Fixed(logits), config)
    batch = made.batch(2, size=1)
    p = logits.softmax(1)[0]
    expected = -p[0].log() - 0.5 * -(p * p.log()).sum()
    found = objective({name: getattr(batch, name) for name in batch.__slots__})
    torch.testing.assert_close(found, expected)
