"""Doubt: sets cover what they promise, strange objects are told, and what is kept survives JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.made_objects import bundle, fetched
from tsc_core.alerts import Step
from tsc_core.bundle import BundleError, load_bundle, save_bundle
from tsc_core.inference.doubt import UNLIKE_ABOVE, abstention, flags, spread
from tsc_core.inference.predictor import LEARNT_FROM, Predictor
from tsc_core.models.doubt import Doubt, distance, strangeness
from tsc_core.preprocessing import select_alerts
from tsc_core.sources.demo import demo_source
from tsc_core.survey import TEMPORAL_CLASSES

CLASSES = ("AGN", "SN", "VS")
MEMBERS = 4


def drawn(count, seed, shares=(0.5, 0.2, 0.3)):
    """Exchangeable objects: labels, and logits (N, M, 3) by members that differ a little; AGN and VS overlap."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, count, p=shares)
    centres = np.array([[2.0, -1.0, 1.0], [-1.0, 3.0, -1.0], [1.0, -1.0, 2.0]])
    logits = centres[labels] + rng.normal(0, 1, (count, 3))
    return labels, logits[:, None] + rng.normal(0, 0.2, (count, MEMBERS, 3))


def fitted(count=600, seed=0):
    labels, logits = drawn(count, seed)
    folds = np.arange(count) % MEMBERS
    own = logits[np.arange(count), folds]
    return Doubt.fit(CLASSES, strangeness(own), own, labels, folds, MEMBERS), labels, logits, folds


def test_strangeness_is_the_log_odds_against_a_class():
    logits = np.log([[0.7, 0.2, 0.1]])
    np.testing.assert_allclose(strangeness(logits), np.log([[3 / 7, 4, 9]]))
    sure = strangeness(np.array([[200.0, 0.0, 0.0], [210.0, 0.0, 0.0]]))
    assert sure[1, 0] < sure[0, 0]  # probabilities would both be 1


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_of_new_objects_cover_each_class(coverage):
    found, *_ = fitted(3000)
    labels, logits = drawn(2000, seed=9)
    sets = [found.conformal(strangeness(row), coverage) for row in logits]
    for k, name in enumerate(CLASSES):
        hit = np.mean([name in s for s, label in zip(sets, labels, strict=True) if label == k])
        assert hit == pytest.approx(coverage, abs=0.035)  # class by class, though shares are uneven
    assert np.mean([len(s) for s in sets]) < 2


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_sets_of_held_out_objects_cover_each_class(coverage):
    found, labels, logits, folds = fitted(1000, seed=3)
    sets = [found.conformal(strangeness(row), coverage, fold) for row, fold in zip(logits, folds, strict=True)]
    for k, name in enumerate(CLASSES):
        hit = np.mean([name in s for s, label in zip(sets, labels, strict=True) if label == k])
        assert hit == pytest.approx(coverage, abs=0.02)


def test_p_values_by_hand():
    scores = {"AGN": (np.array([0.0, 2.0]), np.array([1.0])), "SN": (np.array([]), np.array([]))}
    found = Doubt(scores, np.zeros((1, 2)), np.eye(2), np.arange(101.0))
    both = np.array([[1.5, 9.0], [0.5, 9.0]])  # above: 2.0 of the first member's, 1.0 of the second's
    assert found.p_values(both) == {"AGN": 3 / 4, "SN": 1.0}
    assert found.p_values(np.array([[9.0, 9.0], [1.5, 9.0]]), own=1) == {"AGN": 2 / 3, "SN": 1.0}
    assert found.conformal(both, 0.3) == ("AGN", "SN")
    assert found.conformal(both + 9, 0.7) == ("SN",)  # a class of which nothing is known is never ruled out
    assert found.p_values(np.array([[9.0, 0.0], [2.0, 0.0]]), own=1)["AGN"] == 2 / 3  # as strange as one of them


def test_a_fold_takes_no_part_in_its_own_sets():
    found, _, logits, folds = fitted(200)
    for i in range(20):
        row = strangeness(logits[i])
        p = found.p_values(row, folds[i])
        for k, name in enumerate(CLASSES):
            others = np.concatenate([scores for m, scores in enumerate(found.scores[name]) if m != folds[i]])
            assert p[name] == (1 + (others >= row[folds[i], k]).sum()) / (1 + len(others))


def test_what_held_out_objects_say_of_coverage_can_fall_short():
    labels, logits = drawn(1000, 4)
    folds = np.arange(1000) % MEMBERS
    logits[folds == 0] = logits[folds == 0][..., [1, 2, 0]]  # a fold of objects that are told wrongly
    own = logits[np.arange(1000), folds]
    found = Doubt.fit(CLASSES, strangeness(own), own, labels, folds, MEMBERS)
    sets = [found.conformal(strangeness(logits[i]), 0.9, folds[i]) for i in range(1000)]
    hit = np.array([CLASSES[label] in s for s, label in zip(sets, labels, strict=True)])
    assert hit[folds == 0].mean() < 0.6
    assert hit[folds != 0].mean() > 0.9


def test_distance_of_theory():
    means, precision = np.array([[0.0, 0.0], [10.0, 0.0]]), np.diag([1.0, 0.25])
    assert distance(np.array([[3.0, 4.0], [9.0, 0.0]]), means, precision).tolist() == [9 + 4, 1]


def test_what_is_like_nothing_known_is_told():
    found, *_ = fitted()
    _, logits = drawn(1500, seed=5)
    new = np.array([found.unlike(row) for row in logits[:, 0]])
    assert np.mean(new >= 97.5) < 0.05
    assert np.mean(new < 50) == pytest.approx(0.5, abs=0.05)
    assert found.unlike(np.full(3, 30.0)) == 100
    assert found.unlike(np.array([40.0, -1.0, 1.0])) == 100  # on the side of a class, and far from it


def test_a_class_that_only_one_fold_has_is_fitted():
    labels, logits = drawn(60, 1)
    labels[:], folds = np.arange(60) % 2, np.arange(60) % MEMBERS
    labels[4] = 2
    found = Doubt.fit(CLASSES, strangeness(logits[:, 0]), logits[:, 0], labels, folds, MEMBERS)
    assert found.means.shape == (3, 3)
    for values in (found.means, found.precision, found.distances):
        assert np.isfinite(values).all()
    alone = Doubt.fit(CLASSES, strangeness(logits[:, 0]), logits[:, 0], labels, folds * 0, 1)
    assert np.isfinite(alone.distances).all()  # nothing is left of one fold without it


def test_numbers_that_never_change_say_nothing():
    labels, logits = drawn(200, 2)
    same = np.concatenate([logits[:, 0], np.full((200, 1), 7.0)], axis=1)
    found = Doubt.fit(CLASSES, strangeness(logits[:, 0]), same, labels, np.arange(200) % MEMBERS, MEMBERS)
    assert found.unlike(same[0]) < 100
    assert found.unlike(same[0] + [0, 0, 0, 60.0]) == 100


def test_what_is_kept_survives_json():
    found, *_ = fitted(80)
    again = Doubt.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)), CLASSES, MEMBERS, 3)
    _, logits = drawn(50, seed=2)
    for row in logits:
        assert again.p_values(strangeness(row)) == found.p_values(strangeness(row))
        assert again.unlike(row[0]) == found.unlike(row[0])


def test_spread_holds_the_mean():
    members = np.array([[0.2, 0.8], [0.5, 0.5]])
    low, high = spread(members)
    assert low.tolist() == [0.2, 0.5]
    assert high.tolist() == [0.5, 0.8]
    assert spread(members[:1]) is None


def test_abstention_and_its_reason():
    step = Step(2, "made", dict.fromkeys(CLASSES, 1 / 3))
    assert abstention(step) is None
    assert abstention(replace(step, conformal=("SN",), unlike=97.0)) is None
    assert abstention(replace(step, conformal=("AGN", "VS"))) == "AGN or VS"
    assert abstention(replace(step, conformal=CLASSES)) == "AGN, SN or VS"
    assert abstention(replace(step, conformal=())) == "no class fits"
    assert abstention(replace(step, conformal=("SN",), unlike=98.0)) == "unlike the training data"
    steps = [replace(step, n=n, conformal=found) for n, found in ((2, ("AGN", "VS")), (3, ("AGN", "VS")), (4, ("VS",)))]
    assert flags([*steps, replace(step, n=5, unlike=100.0)]) == (
        "the models abstain at n = 2, 3: AGN or VS",
        "unlike the training data at n = 5: take the probabilities with care",
    )


@pytest.fixture(scope="module")
def doubting():
    """A bundle of random weights with doubt fitted on made logits and metadata."""
    made = bundle("temporal", 2, members=MEMBERS, temperatures={2: 2.0}, folds={"SIM1seen": 1})
    labels, logits = drawn(200, 0)
    inputs = np.random.default_rng(1).normal(size=(200, made.metadata_reader.width))
    found = Doubt.fit(CLASSES, strangeness(logits[:, 0]), inputs, labels, np.arange(200) % MEMBERS, MEMBERS)
    return replace(made, doubt={2: found})


def test_a_prediction_tells_its_doubt(doubting):
    step = Predictor([doubting]).predict(fetched()).steps[0]
    scored = Predictor([doubting]).score([(select_alerts(fetched()), fetched())])[0][0]
    known = doubting.doubt[2]
    strange = strangeness((scored.logits / 2.0).numpy())
    assert step.conformal == known.conformal(strange)
    assert step.unlike == known.unlike(scored.inputs.double().numpy())
    assert step.coverage == 0.9
    assert all(step.low[name] <= step.probabilities[name] <= step.high[name] for name in TEMPORAL_CLASSES)
    wide = Predictor([doubting], coverage=0.9999).predict(fetched())
    assert wide.steps[0].conformal == CLASSES
    assert wide.flags[-1:] == flags(wide.steps) != ()


def test_a_held_out_object_is_judged_by_its_own_member(doubting):
    found = [(select_alerts(fetched("SIM1seen")), fetched("SIM1seen"))]
    own = Predictor([doubting]).score(found)[0][0]
    assert own.held_out == 1
    assert torch.equal(own.probabilities, own.members[1])
    told = Predictor([doubting]).predict(fetched("SIM1seen"))
    assert LEARNT_FROM in told.flags
    step = told.steps[0]
    assert list(step.probabilities.values()) == pytest.approx(own.probabilities.tolist())
    assert step.conformal == doubting.doubt[2].conformal(strangeness(own.tempered.numpy()), own=1)
    assert (step.low, step.high, step.held_out) == (None, None, True)  # the other members were told its label
    assert LEARNT_FROM not in Predictor([doubting]).predict(fetched()).flags


def test_a_bundle_keeps_its_doubt(doubting, tmp_path):
    again = load_bundle(save_bundle(doubting, tmp_path / "made"))
    assert again.doubt[2].to_dict() == doubting.doubt[2].to_dict()
    assert Predictor([again]).predict(fetched()).steps == Predictor([doubting]).predict(fetched()).steps


def test_a_bundle_from_before_doubt_loads(doubting, tmp_path):
    folder = save_bundle(doubting, tmp_path / "made")
    values = json.loads((folder / "bundle.json").read_text())
    del values["doubt"]
    (folder / "bundle.json").write_text(json.dumps(values))
    step = Predictor([load_bundle(folder)]).predict(fetched()).steps[0]
    assert (step.conformal, step.coverage, step.unlike) == (None, None, None)
    assert step.low is not None


def test_shipped_bundles_tell_absurd_metadata():
    source, told, usual = demo_source(), [], []
    predictor = Predictor.shipped(["stamp"], exact=True)
    for oid in source.oids():
        found = source.fetch(oid)
        absurd = [replace(a, record={**a.record, "magpsf": -40.0, "fwhm": 900.0, "distnr": 1e9}) for a in found.alerts]
        usual += [step.unlike for step in predictor.predict(found).steps]
        told += [step.unlike for step in predictor.predict(replace(found, alerts=tuple(absurd))).steps]
    assert len(told) == len(usual) >= 20
    assert np.mean(np.array(told) >= UNLIKE_ABOVE) > 0.9
    assert np.mean(np.array(usual) >= UNLIKE_ABOVE) < 0.2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(scores=[1]), "doubt|cannot convert|sequence"),
        (lambda d: d["scores"].pop("SN"), "scores of AGN, SN, VS by 4 members"),
        (lambda d: d["scores"]["SN"].pop(), "scores of AGN, SN, VS by 4 members"),
        (lambda d: d["scores"]["SN"][0].append(float("nan")), "finite"),
        (lambda d: d["scores"]["SN"][0].append(-1e9), "ascending"),
        (lambda d: d.update(means=[]), "means and a precision"),
        (lambda d: d["means"].append(d["means"][0]), "means and a precision"),
        (lambda d: d.update(precision=[[1.0]]), "means and a precision"),
        (lambda d: d["precision"][0].pop(), "inhomogeneous"),
        (lambda d: d["distances"].pop(), "101 percentiles"),
        (lambda d: d["distances"].__setitem__(3, float("inf")), "finite"),
        (lambda d: d.pop("distances"), "distances"),
        (lambda d: d.update(distances="none"), "could not convert"),
    ],
)
def test_broken_doubt_is_refused(change, said, doubting, tmp_path):
    folder = save_bundle(doubting, tmp_path / "made")
    values = json.loads((folder / "bundle.json").read_text())
    change(values["doubt"]["2"])
    (folder / "bundle.json").write_text(json.dumps(values))
    with pytest.raises(BundleError, match=rf"made is not a usable bundle.*({said})"):
        load_bundle(folder)
