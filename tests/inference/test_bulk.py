"""A labelled source to the public report: who was scored, who was not and why."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import packet_maker as maker
from tests.made_objects import bundle
from tsc_core.inference import bulk
from tsc_core.inference.predictor import Predictor
from tsc_core.models.doubt import Doubt, strangeness
from tsc_core.preprocessing import select_alerts
from tsc_core.sources.memory import MemorySource
from tsc_core.sources.packets import PacketSource


@pytest.fixture(scope="module")
def source():
    """Objects of 1 to 4 packets, one whose stamps are clipped, and one whose packet is cut."""
    packets = {}
    for i in range(1, 5):
        packets |= maker.make_object(f"SIM{i}bulk", mjds=tuple(58300.2 + 3 * k + 30 * i for k in range(i)))
    packets |= maker.make_object("SIM5bulk", mjds=(58600.2,), shape=(62, 63))
    packets |= {"cut": maker.make_packet("SIM6bulk", 58700.2)[:-4000]}
    return PacketSource.from_uploads([(f"{name}.avro", raw) for name, raw in packets.items()], "made")


LABELS = {
    "SIM1bulk": "bogus", "SIM2bulk": "SN", "SIM3bulk": "VS", "SIM4bulk": "asteroid", "SIM5bulk": "AGN",
    "SIM6bulk": "AGN", "SIM7bulk": "AGN", "SIM8bulk": "", "SIM9bulk": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def predictor():
    return Predictor([bundle("stamp", 1), bundle("temporal", 2), bundle("temporal", 3, seed=3)])


def test_the_report(source, predictor):
    found = bulk.evaluate(predictor, source, LABELS)
    report = found.report()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert {n: part["objects"] for n, part in report["n"].items()} == {"1": 4, "2": 2, "3": 1}
    assert report["n"]["1"]["classes"] == ["AGN", "SN", "VS", "asteroid", "bogus"]
    assert report["n"]["2"]["classes"] == ["AGN", "SN", "VS"]
    assert report["n"]["2"]["model"] == "temporal_2"
    assert np.sum(report["n"]["1"]["confusion"], axis=1).tolist() == [0, 1, 1, 1, 1]
    assert set(report["n"]["1"]["recall"]["SN"]) >= {"value", "low", "high"}
    assert {"accuracy", "balanced_accuracy", "ece"} <= set(report["n"]["1"])
    assert report["skipped"] == {
        "no label": 2,
        "not in the source": 1,
        "not read: BadPacket": 1,
        "no detection can be used": 1,
        "n=2: label asteroid is not among AGN, SN, VS": 1,
        "n=3: label asteroid is not among AGN, SN, VS": 1,
    }
    assert report["origin"] == "simulated"
    assert report["window"] == "first"


def test_every_row_names_the_bundle_that_served_it(source):
    seen = [source.fetch(oid) for oid in ("SIM1bulk", "SIM2bulk", "SIM3bulk")]
    blind = replace(seen[0], alerts=tuple(replace(a, stamps=None, missing="history") for a in seen[0].alerts))
    predictor = Predictor([bundle("stamp", 1), bundle("unified", 5)])
    found = bulk.evaluate(predictor, MemorySource("made", [blind, *seen[1:]]), LABELS, "last")
    assert dict(zip((oid for oid, _, _ in found.rows[1]), found.models[1], strict=True)) == {
        "SIM1bulk": "unified_5",
        "SIM2bulk": "stamp",
        "SIM3bulk": "stamp",
    }
    part = found.report()["n"]["1"]
    assert (part["model"], part["models"]) == ("stamp", {"stamp": 2, "unified_5": 1})


def test_groups_change_nothing(source, predictor, monkeypatch):
    whole = bulk.evaluate(predictor, source, LABELS)
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    told = []
    single = bulk.evaluate(predictor, source, LABELS, progress=told.append)
    assert sum(told) == len(LABELS)
    assert single.skipped == whole.skipped
    for n, rows in whole.rows.items():
        for (oid, label, probabilities), other in zip(rows, single.rows[n], strict=True):
            assert (oid, label) == other[:2]
            np.testing.assert_allclose(probabilities, other[2], atol=2e-6)


def test_objects_of_the_training_set_are_held_out(source):
    made = bundle("stamp", 1, members=2, folds={"SIM1bulk": 1})
    for place, member in enumerate(made.members):
        member.head[-1].weight.zero_()
        member.head[-1].bias.copy_(10.0 * (torch.arange(5) == place))
    found = bulk.evaluate(Predictor([made]), source, {"SIM1bulk": "SN", "SIM2bulk": "SN"})
    assert found.report()["n"]["1"]["held_out"] == 1
    assert found.held_out[1] == [True, False]
    rows = found.rows[1]
    assert rows[0][2].argmax() == 1
    assert rows[0][2][1] > 0.99
    assert rows[1][2][1] == pytest.approx(0.5, abs=0.01)


def test_the_coverage_of_sets_is_reported(source):
    made = bundle("stamp", 1, members=2, folds={"SIM1bulk": 1, "SIM2bulk": 0})
    rng = np.random.default_rng(0)
    labels, folds, logits = np.arange(40) % 5, np.arange(40) % 2, rng.normal(0, 1, (40, 2, 5))
    inputs = rng.normal(0, 1, (40, made.metadata_reader.width))
    doubt = Doubt.fit(made.classes, strangeness(logits[:, 0]), inputs, labels, folds, 2)
    found = bulk.evaluate(Predictor([replace(made, doubt={1: doubt})]), source, LABELS)
    report = found.report()["n"]["1"]
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["conformal"]["coverage"] == 0.9
    hit = {label: label in step.conformal for label, step in found.doubts[1]}  # one object of each class
    assert {name: c["value"] for name, c in report["conformal"]["covered"].items() if c["n"]} == hit
    assert report["unlike"]["n"] == 4
    assert report["right_if_unlike"]["n"] == report["unlike"]["n"] * report["unlike"]["value"]
    assert report["right_if_unlike"]["n"] + report["right_if_alike"]["n"] == 4
    wide = bulk.evaluate(Predictor([replace(made, doubt={1: doubt})], coverage=0.5), source, LABELS)
    assert wide.report()["n"]["1"]["conformal"]["coverage"] == 0.5
    assert "conformal" not in bulk.evaluate(Predictor([made]), source, LABELS).report()["n"]["1"]


def test_nothing_scored(predictor, source):
    report = bulk.evaluate(predictor, source, {"SIM7bulk": "SN"}).report()
    assert report["n"] == {}
    assert report["origin"] is None
    assert report["skipped"] == {"not in the source": 1}


def test_the_window_last_scores_the_most_recent(source, predictor):
    found = bulk.evaluate(predictor, source, {"SIM3bulk": "VS"}, "last")
    sequence = source.fetch("SIM3bulk")
    newest = predictor.score([(select_alerts(sequence, "last"), sequence)])[0][0]
    np.testing.assert_allclose(found.rows[1][0][2], newest.probabilities.numpy(), atol=2e-6)
    assert found.report()["window"] == "last"
