"""Probabilities as detections accumulate: repeatable, encoded once, held out where asked, bogus discarded."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.made_objects import alert, bundle, colours, fetched, sequence
from tsc_core.alerts import AlertSequence, AllWise
from tsc_core.bundle import Bundle, load_bundle, save_bundle
from tsc_core.inference.predictor import BOGUS_TWICE, Predictor
from tsc_core.models.doubt import Doubt
from tsc_core.preprocessing import Preprocessor, collate, select_alerts, window_of
from tsc_core.sources.alerce import NOT_ASKED
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def predictor(shipped_folder):
    return Predictor(load_bundle(path) for path in sorted(shipped_folder.iterdir()))


def table(prediction):
    return {step.n: list(step.probabilities.values()) for step in prediction.steps}


def certain_of(made: Bundle, name: str) -> Bundle:
    """The same bundle, which says `name` whatever it sees."""
    for member in made.members:
        member.head[-1].weight.zero_()
        member.head[-1].bias.copy_(torch.tensor([10.0 * (other == name) for other in made.classes]))
    return made


@pytest.mark.parametrize("window", ["first", "last"])
def test_a_step_for_each_number_of_detections(predictor, window):
    prediction = predictor.predict(fetched(), window)
    assert [(step.n, step.model) for step in prediction.steps] == [
        (1, "stamp"), (2, "temporal_2"), (3, "temporal_3"), (4, "temporal_4"), (5, "temporal_5"),
    ]  # fmt: skip
    assert tuple(prediction.steps[0].probabilities) == CLASSES
    for step in prediction.steps:
        assert sum(step.probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert all(0 < p < 1 for p in step.probabilities.values())
    assert all(tuple(step.probabilities) == TEMPORAL_CLASSES for step in prediction.steps[1:])


def test_twice_the_same_bit_for_bit(predictor):
    assert table(predictor.predict(fetched())) == table(predictor.predict(fetched()))


def test_a_saved_bundle_predicts_the_same(tmp_path):
    made = bundle("temporal", 2, members=2, temperatures={2: 0.7})
    again = load_bundle(save_bundle(made, tmp_path / "made"))
    assert table(Predictor([again]).predict(fetched())) == table(Predictor([made]).predict(fetched()))


@pytest.mark.parametrize("scaling", ["stamp", "sequence"])
@pytest.mark.parametrize("window", ["first", "last"])
def test_shared_codes_change_nothing(scaling, window):
    second = shaped(bundle("temporal", 2), scaling)
    third = shaped(bundle("temporal", 3, seed=5, encoder_of=second), scaling)
    found = fetched()
    together = Predictor([second, third]).predict(found, window)
    for step, made in zip(together.steps, (second, third), strict=True):
        alerts = window_of(select_alerts(found, window), step.n)
        plain = made.model(collate([made.preprocessor(alerts)])).softmax(-1)[0]  # each stamp encoded by itself
        np.testing.assert_allclose(list(step.probabilities.values()), plain.numpy(), atol=2e-6)


def shaped(made, scaling):
    config = replace(made.config, preprocess=replace(made.config.preprocess, scaling=scaling))
    return replace(made, config=config, preprocessor=replace(made.preprocessor, config=config.preprocess))


def test_each_stamp_passes_an_encoder_once(predictor, monkeypatch):
    passed = []
    for made in predictor.bundles:

        def counted(stamps, encode=made.model.encode):
            passed.append(len(stamps))
            return encode(stamps)

        monkeypatch.setattr(made.model, "encode", counted)
    predictor.predict(fetched())
    assert sum(passed) == 2 + 5  # the stamp model: first and second alert; the shared encoder: all five


def test_many_at_once_are_as_one_by_one(predictor):
    many = [fetched(f"SIM{i}many", mjds=tuple(58300.2 + 3 * k + i for k in range(i + 1))) for i in range(4)]
    rows = predictor.score([(select_alerts(found), found) for found in many])
    assert [len(row) for row in rows] == [1, 2, 3, 4]
    for row, found in zip(rows, many, strict=True):
        alone = predictor.predict(found)
        for scored, step in zip(row, alone.steps, strict=False):
            assert scored.n == step.n
            np.testing.assert_allclose(scored.probabilities.numpy(), list(step.probabilities.values()), atol=2e-6)


def test_members_are_averaged_and_a_held_out_object_is_scored_by_its_own(predictor):
    made = bundle("temporal", 2, members=3, folds={"SIM1in": 1}, temperatures={2: 2.0})
    for place, member in enumerate(made.members):
        certain_of(replace(made, members=(member,)), TEMPORAL_CLASSES[place])
    both = [(select_alerts(found), found) for found in (fetched("SIM1in"), fetched("SIM1out"))]
    inside, outside = [row[0].probabilities for row in Predictor([made]).score(both)]
    sure = (torch.tensor([10.0, 0.0, 0.0]) / 2).softmax(-1)  # tempered
    torch.testing.assert_close(inside, sure[[1, 0, 2]])
    torch.testing.assert_close(outside, torch.full((3,), 1 / 3))


def test_one_model_for_any_number_is_read_for_five_classes_then_three():
    made = certain_of(bundle("unified", 5), "asteroid")
    made.model.head[-1].bias[1] = 5.0  # then SN
    steps = Predictor([made]).predict(fetched()).steps
    assert [step.n for step in steps] == [1, 2, 3, 4, 5]
    assert max(steps[0].probabilities, key=steps[0].probabilities.get) == "asteroid"
    for step in steps[1:]:
        assert tuple(step.probabilities) == TEMPORAL_CLASSES
        assert max(step.probabilities, key=step.probabilities.get) == "SN"


@pytest.mark.parametrize("scaling", ["stamp", "sequence"])
@pytest.mark.parametrize("window", ["first", "last"])
def test_one_pass_gives_a_whole_progression_as_step_by_step(window, scaling, monkeypatch):
    made, passes = shaped(bundle("unified", 5, temperatures={3: 0.5}), scaling), []
    whole = made.model.network
    monkeypatch.setattr(made.model, "network", lambda batch: passes.append(len(batch)) or whole(batch))
    many = [fetched(f"SIM{i}many", mjds=tuple(58300.2 + 3 * k + i for k in range(2 + i))) for i in range(4)]
    rows = Predictor([made]).score([(select_alerts(found, window), found) for found in many])
    assert passes == [2 + 3 + 4 + 5]
    for row, found in zip(rows, many, strict=True):
        assert [scored.n for scored in row] == list(range(1, len(found.alerts) + 1))
        for scored in row:
            alerts = window_of(select_alerts(found, window), scored.n)
            plain = made.probabilities(made.model(collate([made.preprocessor(alerts)])), scored.n)[0]
            torch.testing.assert_close(scored.probabilities, plain, atol=2e-6, rtol=0)


def test_bogus_on_the_first_and_second_alert_is_discarded():
    bogus, good = certain_of(bundle("stamp", 1), "bogus"), certain_of(bundle("stamp", 1, seed=3), "VS")
    second = bundle("temporal", 2)
    found = fetched()
    discarded = Predictor([bogus, second]).predict(found)
    assert [step.n for step in discarded.steps] == [1]
    assert BOGUS_TWICE in discarded.flags
    kept = Predictor([good, second]).predict(found)
    assert [step.n for step in kept.steps] == [1, 2]
    assert BOGUS_TWICE not in kept.flags
    once = Predictor([bogus, second]).predict(fetched(mjds=(58300.2,)))
    assert BOGUS_TWICE not in once.flags
    three = certain_of(bundle("stamp", 1, classes=TEMPORAL_CLASSES), "SN")
    assert BOGUS_TWICE not in Predictor([three]).predict(found).flags


def judged_by_brightness() -> Bundle:
    """A stamp model that calls an alert bogus where it is faint."""
    made = bundle("stamp", 1)
    column = made.model.coder.width  # the first of the dynamic metadata after the code
    place = made.config.preprocess.dynamic.index("magpsf")
    for layer in (made.model.head[0], made.model.head[3], made.model.head[5]):
        layer.weight.zero_()
        layer.bias.zero_()
    made.model.head[0].weight[0, column + place] = 100.0  # brightness alone decides
    made.model.head[3].weight[0, 0] = 1.0
    made.model.head[5].weight[CLASSES.index("bogus"), 0] = 1.0
    made.model.head[5].bias[0] = 1.0
    return made


def as_bright_as(*magnitudes: float) -> AlertSequence:
    """An object with one detection for each magnitude."""
    found = fetched(mjds=tuple(58300.2 + 3 * i for i in range(len(magnitudes))))
    pairs = zip(found.alerts, magnitudes, strict=True)
    return replace(found, alerts=tuple(replace(a, record={**a.record, "magpsf": magpsf}) for a, magpsf in pairs))


def test_bogus_on_one_of_the_two_is_kept():
    predictor = Predictor([judged_by_brightness(), bundle("temporal", 2)])
    for magnitudes, discarded in (((15.0, 25.0), False), ((25.0, 15.0), False), ((25.0, 25.0), True)):
        prediction = predictor.predict(as_bright_as(*magnitudes))
        assert (BOGUS_TWICE in prediction.flags) == discarded


@pytest.mark.parametrize("window", ["first", "last"])
def test_the_first_and_second_alert_of_the_object_count_not_those_of_the_window(window):
    predictor = Predictor([judged_by_brightness(), bundle("temporal", 2)])
    later = as_bright_as(15.0, 15.0, 25.0, 25.0, 15.0, 15.0, 15.0)  # bogus where the last five begin
    assert BOGUS_TWICE not in predictor.predict(later, window).flags
    early = as_bright_as(25.0, 25.0, 15.0, 15.0, 15.0, 15.0, 15.0)  # bogus before the last five
    assert BOGUS_TWICE in predictor.predict(early, window).flags


def test_alerts_whose_packets_were_not_asked_for_leave_the_first_two_unknown():
    predictor = Predictor([judged_by_brightness(), bundle("temporal", 2)])
    first, *others = as_bright_as(25.0, 25.0, 25.0).alerts
    for missing, discarded in (("history", True), (f"{NOT_ASKED}before the last 5", False)):
        found = sequence(replace(first, stamps=None, missing=missing), *others)
        assert (BOGUS_TWICE in predictor.predict(found, "last").flags) == discarded


def test_every_detection_is_described(predictor):
    found = fetched(mjds=(58300.2, 58300.3, 58303.0))
    prediction = predictor.predict(found)
    assert [d.used for d in prediction.detections] == [True, False, True]
    assert [d.reason is None for d in prediction.detections] == [True, False, True]
    assert [d.candid for d in prediction.detections] == [one.candid for one in found.alerts]
    assert prediction.detections[0].magpsf == pytest.approx(18.0)


def test_no_probabilities_have_a_reason(predictor):
    assert predictor.predict(sequence()).flags == ("no detection can be used: there is none",)
    clipped = predictor.predict(fetched(shape=(62, 63)))
    assert clipped.steps == ()
    assert clipped.flags[-1] == "no detection can be used: science stamp is 62x63, not 63x63"
    five = Predictor(made for made in predictor.bundles if made.name == "temporal_5")
    assert five.predict(fetched(mjds=(58300.2, 58303.2))).flags[-1] == (
        "no bundle at hand takes 2 usable detections: temporal_5 needs 5"
    )
    assert Predictor([]).predict(fetched()).steps == ()


@pytest.mark.parametrize("kind", ["temporal", "metadata", "unified"])
def test_detections_without_stamps_are_taken_in_the_window_last(kind):
    history = alert(58300.0, with_stamps=False, magpsf=18.0)
    found = sequence(history, alert(58303.0, magpsf=18.2))
    (*_, step) = Predictor([bundle(kind, 2)]).predict(found, "last").steps
    assert step.n == 2
    assert sum(step.probabilities.values()) == pytest.approx(1)


def test_a_stamp_model_gives_nothing_without_a_stamp(predictor):
    prediction = predictor.predict(sequence(*(alert(58300.0 + i, with_stamps=False) for i in range(3))), "last")
    assert [step.n for step in prediction.steps] == [2, 3]


def test_a_match_changes_the_answer_and_none_is_no_error():
    made, found = bundle("temporal", 2), fetched()
    matched = replace(found, allwise=AllWise(15.0, 14.0, 12.0, float("nan")))
    first, second = (table(Predictor([made]).predict(one)) for one in (found, matched))
    assert np.isfinite(second[2]).all()
    assert first.keys() == second.keys()


def test_colours_apart_change_the_answer_but_not_how_strange_an_object_is():
    made, rng = bundle("temporal", 2, members=2, colours=colours()), np.random.default_rng(0)
    inputs = rng.normal(size=(60, made.metadata_reader.width))
    known = Doubt.fit(TEMPORAL_CLASSES, rng.normal(size=(60, 3)), inputs, np.arange(60) % 3, np.arange(60) // 3 % 2, 2)
    made = replace(made, doubt={2: known})
    found, (star, match) = fetched(), (AllWise(15.0, w2, float("nan"), float("nan")) for w2 in (15.0, 13.0))
    fitted = [(select_alerts(found).used, allwise) for allwise in (star, match)]
    made = replace(made, preprocessor=Preprocessor.fit(made.config.preprocess, fitted))
    matched = replace(found, allwise=match)
    (first,), (second,) = (Predictor([made]).predict(one).steps for one in (found, matched))
    assert second.probabilities["AGN"] > first.probabilities["AGN"] + 0.1
    assert second.unlike == first.unlike
    plain, red = (Predictor([made]).score([(select_alerts(one), one)])[0][0] for one in (found, matched))
    assert red.logits.equal(plain.logits)
    allwise = made.preprocessor(select_alerts(found).used[:2], match).allwise
    joined = made.probabilities(plain.logits[:, None], 2, torch.tensor(allwise)[None])
    torch.testing.assert_close(red.probabilities, joined.mean(0)[0])


def test_only_bundles_that_ship_can_be_named(random_bundles):
    assert [made.name for made in Predictor.shipped(["temporal_3", "stamp"]).bundles] == ["temporal_3", "stamp"]
    assert len(Predictor.shipped().bundles) == 5
    with pytest.raises(ValueError, match="no bundle temporal_9: there are stamp, temporal_2"):
        Predictor.shipped(["temporal_9"])


def test_the_window_is_checked(predictor):
    with pytest.raises(ValueError, match="needs one of first, last"):
        predictor.predict(fetched(), "middle")
