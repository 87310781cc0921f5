"""Experiments: every table on a small dataset, restarts, failures, engines, clear errors before any training."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.data.made import made_many
from tsc_core.cli import main
from tsc_core.config import ConfigError, DataConfig, EncoderConfig, TrainConfig
from tsc_core.data.store import Dataset, DatasetWriter
from tsc_core.survey import CLASSES
from tsc_core.training import cells
from tsc_core.training.engine import EngineError, run_cells
from tsc_core.training.experiments import EXPERIMENTS, compact, run_experiment, scale_for
from tsc_core.training.grids.scale import Scale, layer, setting_of
from tsc_core.training.paper_tables import RECURRENT
from tsc_core.training.sets import draw_split
from tsc_core.training.shared import SharedCodes

TWO = DataConfig(validation_per_class=2, test_per_class=2)


class Tiny(Scale):
    """The quick form on the smallest network, a few steps."""

    encoder = EncoderConfig(rotations=2, kernel=3, width=2, codes=4)
    crop = 15
    training = encoder_training = stamp_training = TrainConfig(
        iterations=4, extension=0, evaluate_every=2, batch_size=6, learning_rate=1e-3
    )

    def runs(self, own, quick):
        return range(2)


def write(path, sequences):
    with DatasetWriter(path) as writer:
        for sequence in sequences:
            writer.add(sequence, origin="simulated")
    return path


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return write(tmp_path_factory.mktemp("three") / "set", made_many(33))


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    labelled = (replace(s, label=CLASSES[i % 5]) for i, s in enumerate(made_many(55, detections=1)))
    return write(tmp_path_factory.mktemp("five") / "set", labelled)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment(name, three, five, tmp_path):
    data = five if name == "rotations" else three
    report = run_experiment(name, data, tmp_path, Tiny(quick=True, data=TWO))
    assert not report["failed"]
    assert json.loads((tmp_path / "experiment.json").read_text()) == report
    assert report["origin"] == "simulated"
    for row in report["rows"]:
        assert row["ours"]["runs"] == 2
        assert 0 <= row["ours"]["mean"] <= 100
    published = {row["paper"]["accuracy"] for row in report["rows"] if row["paper"]}
    landmark = {"rotations": 93.36, "recurrent": 93.2, "allwise": 98.27, "complete": 98.47, "baselines": 98.43}
    assert name == "ablations" or landmark[name] in published
    compared = [row["against_reference"] for row in report["rows"] if row["reference"]]
    assert name == "recurrent" or all(found["p_floor"] == pytest.approx(1 / 3) for found in compared)
    cell = report["cells"][0]
    assert np.sum(cell["test"]["confusion"]) == cell["test"]["objects"] == 2 * len(cell["test"]["classes"])
    assert (tmp_path / "curves.csv").read_text().count("\n") > len(report["cells"])
    assert (tmp_path / "objects.csv").read_text().startswith("row,oid,label,AGN")
    compact(tmp_path, tmp_path / "kept")
    assert sum(path.stat().st_size for path in (tmp_path / "kept").iterdir()) < 1_000_000


def test_finished_cells_are_skipped_and_failed_ones_done_again(three, tmp_path, monkeypatch):
    scale, real = Tiny(quick=True, data=TWO, longest=2), cells._work
    calls = []

    def work(cell, *rest):
        calls.append(cell.key)
        if len(calls) == 2:
            raise RuntimeError("lost a worker")
        return real(cell, *rest)

    monkeypatch.setattr(cells, "_work", work)
    report = run_experiment("allwise", three, tmp_path, scale)
    assert list(report["failed"].values()) == ["RuntimeError: lost a worker"]
    broken = calls[1]
    assert "lost a worker" in (tmp_path / "cells" / broken / "error.txt").read_text()
    assert min(row["ours"]["runs"] for row in report["rows"]) == 1
    again = run_experiment("allwise", three, tmp_path, scale)
    assert not again["failed"]
    assert calls[len(report["cells"]) :] == [broken]


@pytest.mark.slow
def test_every_engine_gives_the_same(three, tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    scale = replace(Tiny(quick=True, data=TWO), seeds=1)
    scale = scale_for("complete", Dataset(three), scale)
    chosen = [cell for cell in EXPERIMENTS["complete"](scale).cells if not cell.config.model.images][:3]

    def outcome(name, **engine):
        out = tmp_path / name
        found = run_cells(chosen, str(three), str(out), SharedCodes(str(out / "shared"), None), **engine)
        return sorted((r["key"], r["val_loss"], json.dumps(r["test"]["confusion"])) for r in found)

    alone = outcome("alone")
    assert outcome("pool", workers=2) == alone
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        assert outcome("dask", scheduler=cluster.scheduler_address) == alone


def test_no_scheduler_is_a_clear_error(tmp_path, monkeypatch):
    distributed = pytest.importorskip("dask.distributed")

    def refuse(*args, **options):
        raise OSError("connection refused")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(EngineError, match="no dask scheduler answers at tcp://nowhere:1"):
        list(run_cells([], "", "", SharedCodes("", None), scheduler="tcp://nowhere:1"))


def test_one_split_for_all_n_and_no_object_twice(three):
    data = replace(TWO, split_detections=5)
    split = draw_split(Dataset(three), ("AGN", "SN", "VS"), data, 5)
    assert len(split.oids("validation")) == len(split.oids("test")) == 6
    assert len(split.oids("train")) == 21
    again = draw_split(Dataset(three), ("AGN", "SN", "VS"), data, 5)
    assert again.places == split.places


def test_cells_that_train_the_same_are_one():
    scale = Scale(quick=True)
    found = EXPERIMENTS["rotations"](scale)
    assert len(found.cells) < sum(len(row.cells) for row in found.rows)
    keys = [cell.key for cell in EXPERIMENTS["recurrent"](Scale()).cells]
    assert len(set(keys)) == len(keys)


def test_steps_shorten_or_lengthen_every_training():
    quick, longer = Scale(quick=True), Scale(quick=True, steps=4000)
    assert [quick.training.iterations, quick.encoder_training.iterations, quick.stamp_training.iterations] == [
        400,
        300,
        120,
    ]
    assert longer.encoder_training.iterations == 3000
    assert longer.training.evaluate_every == 40 > quick.training.evaluate_every
    assert Scale(steps=50).training == replace(Scale().training, iterations=50)
    with pytest.raises(ConfigError, match="iterations"):
        EXPERIMENTS["complete"](Scale(steps=0))


def test_the_published_search_is_whole():
    rows = EXPERIMENTS["recurrent"](Scale()).rows
    searched = [row for row in rows if row.columns["n"] == 5 and row.columns["layer"] != "transformer"]
    assert len(searched) == 3 * 12 + 8 + 1 + 4
    assert all(len(row.cells) == 10 for row in rows)
    published = {(row.columns["n"], row.columns["layer"]) for row in rows if row.published}
    assert published == {(n, kind) for n, row in RECURRENT.items() for kind in row}


@pytest.mark.parametrize(
    ("kind", "setting"), [("gru", "2L 128U"), ("gamma", "k 7"), ("tdnn", "V 2"), ("conv1d", "Ke 4")]
)
def test_settings_read_as_written(kind, setting):
    assert setting_of(layer(kind, setting, Scale())) == setting


def test_small_datasets_are_refused_before_training(three, five, tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"'bogus': 0.*each class needs"):
        scale_for("rotations", Dataset(three), Scale(quick=True))
    with pytest.raises(ConfigError, match=r"'SN': 11.*each class needs 401"):
        scale_for("complete", Dataset(three), Scale())
    out = tmp_path / "out"
    assert main(["experiment", "complete", "--data", str(three), "--out", str(out)]) == 2
    assert "each class needs" in capsys.readouterr().err
    assert main(["experiment", "complete", "--data", str(tmp_path), "--out", str(out)]) == 2
    assert not out.exists()


def test_published_classifiers_stand_beside_ours(three, tmp_path):
    table = tmp_path / "probabilities.csv"
    lines = [
        f"{s.oid},stamp_classifier,{name},{0.8 if name == s.label else 0.1}"
        for s in made_many(33) for name in ("AGN", "SN", "VS", "asteroid")
    ]  # fmt: skip
    table.write_text("\n".join(["oid,classifier,class_name,probability", *lines]))
    report = run_experiment("baselines", three, tmp_path / "out", Tiny(quick=True, data=TWO), probabilities=table)
    row = report["rows"][-1]
    assert row["label"] == "stamp_classifier, published"
    assert row["ours"]["mean"] == 100
    assert row["paper"]["accuracy"] == 91.3
    assert row["columns"]["objects"] == 6
