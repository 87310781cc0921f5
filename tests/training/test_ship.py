"""The shipped bundles' pipeline: folds, windows, members that never saw what they are tested on, cards from files."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from tsc_core.alerts import Alert, AlertSequence, AllWise
from tsc_core.bundle import CHECKPOINTS, load_bundle, save_bundle
from tsc_core.config import (
    EncoderConfig,
    ModelConfig,
    PreprocessConfig,
    RecurrentConfig,
    RunConfig,
    TrainConfig,
    load,
)
from tsc_core.inference.doubt import abstention
from tsc_core.inference.predictor import Predictor
from tsc_core.preprocessing import select_alerts
from tsc_core.sources.demo import ARCHIVE, demo_source
from tsc_core.sources.memory import MemorySource
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES
from tsc_core.training.ship import members
from tsc_core.training.ship.__main__ import CONFIGS, arguments, describe, fit_preprocessor, met, taken_over
from tsc_core.training.ship.aims import across_time as summed_up
from tsc_core.training.ship.aims import against_aims
from tsc_core.training.ship.cards import measure, write_card, write_metrics
from tsc_core.training.ship.colours import learn_colours
from tsc_core.training.ship.drift import (
    DRAWS,
    MAY_2020,
    WHEN,
    across_time,
    as_few,
    content,
    judges,
    period,
    split,
    write_drift,
)
from tsc_core.training.ship.encoder import Pretraining, pretrain, stamped
from tsc_core.training.ship.material import Known, Material, as_history, deal_folds, simulated, views
from tsc_core.training.ship.members import HeldOut, Trainer, encode_all, even_out, train_bundle
from tsc_core.training.ship.real_ablations import run_variant, variants
from tsc_core.training.ship.strangers import STRANGERS, TDE, answers, strangers, strangers_section, write_strangers
from tsc_core.training.ship.tables import BEGIN, DOCUMENTS, END, filled, of_bundles

ENCODER = EncoderConfig(rotations=1, jitter_turns=0.05, padding=0, kernel=3, width=4, codes=8)
PREPROCESS = PreprocessConfig(crop=15, dynamic=("magpsf", "isdiffpos"), static=("sgscore1", "abs_gal_lat"))


def test_the_command_trains_the_encoder_for_a_number_of_epochs():
    assert arguments().parse_args([]).epochs == Pretraining().epochs
    assert arguments().parse_args(["--epochs", "3"]).epochs == 3


@pytest.fixture(scope="module")
def material() -> Material:
    made = simulated(30, seed=5)
    played = tuple(replace(known, origin="real") for known in made[15:])  # stand in for the sky
    return Material(made[:15], played, (made[0].sequence,), deal_folds(played, 2))


def config(kind: str, n: int) -> RunConfig:
    classes = CLASSES if kind != "temporal" else TEMPORAL_CLASSES
    layer = RecurrentConfig("gru", units=8)
    model = ModelConfig(
        kind, n, classes, hidden=8, trees_share=0.5, colours_apart=True, encoder=ENCODER, recurrent=layer
    )
    training = TrainConfig(iterations=4, extension=0, extension_after=4, evaluate_every=4, batch_size=8)
    return RunConfig(f"{kind}_{n}", model, PREPROCESS, training)


def test_folds_are_even_within_each_class_and_depend_on_ids_alone(material):
    folds = deal_folds(material.real, 3)
    for label in CLASSES:
        counts = np.bincount([folds[k.sequence.oid] for k in material.real if k.label == label], minlength=3)
        assert counts.max() - counts.min() <= 1
    assert deal_folds(material.real[::-1], 3) == folds


def test_history_has_neither_stamps_nor_what_packets_alone_carry(material):
    used = select_alerts(max(material.simulated, key=lambda k: len(k.sequence.alerts)).sequence, "last").used
    window = as_history(used)
    assert window[-1] is used[-1]
    assert len(used) > 1
    for alert in window[:-1]:
        assert not alert.has_stamps
        assert not {"ndethist", "sgscore1", "distpsnr3"} & set(alert.record)
        assert {"magpsf", "ra"} <= set(alert.record)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_windows_have_n_detections_in_order(material, n):
    for known in (*material.simulated, *material.real):
        for window in views(known, config("temporal" if n > 1 else "stamp", n).model):
            assert len(window) == n
            assert np.all(np.diff([alert.mjd for alert in window]) > 0)
            assert n > 1 or window[0].has_stamps


def test_the_newest_window_of_a_real_object_comes_first_and_half_the_time(material):
    known = max(material.real, key=lambda k: len(select_alerts(k.sequence, "last", 9).used))
    found = views(known, config("temporal", 2).model)
    newest = select_alerts(known.sequence, "last").used[-2:]
    same = [window == newest for window in found]
    assert same[0]
    assert sum(same) >= len(same) / 2


@pytest.fixture(scope="module")
def made_bundle(material):
    chosen = config("temporal", 2)
    encoder, losses = pretrain(stamped(material), ENCODER, PREPROCESS, Pretraining(epochs=1, batch_size=16))
    assert np.isfinite(losses).all()
    codes = encode_all((a for s in material.sequences for a in s.alerts), encoder, PREPROCESS)
    card = {"summary": "A test.", "trained_on": describe(material, chosen), "limits": ["All."], "licence": "MIT"}
    return train_bundle(chosen, material, fit_preprocessor(chosen, material), encoder, codes, card)


def test_members_share_the_encoder_and_differ_else(made_bundle):
    first, second = (member.state_dict() for member in made_bundle.members)
    for name, tensor in first.items():
        if name.startswith("coder.encoder."):
            assert tensor.equal(second[name])
    assert any(not tensor.equal(second[name]) for name, tensor in first.items())


def test_a_fold_is_scored_by_the_member_that_did_not_see_it(made_bundle, material):
    for known in material.real:
        selection = select_alerts(known.sequence, "last")
        steps = Predictor([made_bundle]).score([(selection, known.sequence)])[0]
        if known.label not in TEMPORAL_CLASSES:
            assert known.sequence.oid not in made_bundle.folds
        elif steps:
            assert steps[0].held_out == made_bundle.folds[known.sequence.oid]
            assert steps[0].probabilities.equal(steps[0].members[steps[0].held_out])


def test_periods_are_told_apart_by_the_newest_detection(material):
    early, late = {}, {}
    for known in material.real:
        newest = max(alert.mjd for alert in known.sequence.alerts)
        (late if period(known) else early)[known.sequence.oid] = newest
    assert all(mjd < MAY_2020 for mjd in early.values())
    assert all(mjd >= MAY_2020 for mjd in late.values())


def test_a_period_left_out_is_in_no_fold_and_tested_alone(material):
    for left_out in (0, 1):
        learnt, tested = split(material, left_out)
        assert {period(known) for known in learnt.real} == {1 - left_out}
        assert {period(known) for known in tested.real} == {left_out}
        assert set(learnt.folds) == {known.sequence.oid for known in learnt.real}
        assert len(learnt.real) + len(tested.real) == len(material.real)


def test_as_few_of_both_periods_are_as_many_of_each_class(material):
    learnt, _ = split(material, 1)
    counts = Counter(known.label for known in learnt.real)
    drawn = [as_few(material, counts, seed) for seed in range(3)]
    for few in drawn:
        assert Counter(known.label for known in few.real) == counts
        assert set(few.folds) == {known.sequence.oid for known in few.real}
        assert few.simulated is material.simulated
        assert {period(known) for known in few.real} == {0, 1}
    assert len({frozenset(few.folds) for few in drawn}) > 1


def test_what_packets_of_a_period_are_like(material):
    known = material.real[0]
    alerts = tuple(
        replace(alert, record={k: v for k, v in alert.record.items() if k != "drb"} | {"ra": 192.86, "dec": 27.13})
        for alert in known.sequence.alerts
    )
    polar = replace(known, sequence=replace(known.sequence, alerts=alerts))
    found = content([polar])[WHEN[period(polar)]]
    assert found == {polar.label: {"n": 1, "without_drb": 1.0, "far_from_plane": 1.0}}
    assert content([replace(polar, origin="real, drb < 0.1")]) == {when: {} for when in WHEN}


def test_each_object_is_judged_once_with_and_without_its_period(made_bundle, material, tmp_path):
    found = across_time(made_bundle, material)
    write_drift(tmp_path, found)
    write_card(tmp_path, made_bundle, {})
    card = (tmp_path / "card.md").read_text()
    measured, few, packets = found["report"], found["as_few"], found["packets"]
    assert f"| {WHEN[0]} | as few of both, draw 1 |" in card
    assert measured.keys() == {"both periods", "the other period alone"}
    assert {when: len(entries) for when, entries in few.items()} == dict.fromkeys(WHEN, DRAWS)
    assert sum(of["n"] for classes in packets.values() for of in classes.values()) == len(material.real)
    long_enough = [
        k
        for k in material.real
        if k.origin == "real" and k.label in TEMPORAL_CLASSES and len(select_alerts(k.sequence, "last").used) >= 2
    ]
    for periods in (*measured.values(), *({when: few[when][draw] for when in WHEN} for draw in range(DRAWS))):
        assert sum(entry["objects"] for entry in periods.values()) == len(long_enough)


def test_a_drawn_object_is_judged_by_the_member_that_did_not_see_it(made_bundle, material):
    _, tested = split(material, 1)
    drawn = {known.sequence.oid: 1 for known in tested.real[::2]}
    found = judges(replace(made_bundle, folds=drawn), tested)
    assert {oid: found[oid] for oid in drawn} == drawn
    assert found.keys() == {known.sequence.oid for known in tested.real}
    assert set(found.values()) <= set(range(len(made_bundle.members)))


def test_inputs_taken_away_on_real_objects(made_bundle, material):
    alerts = (alert for sequence in material.sequences for alert in sequence.alerts)
    codes = encode_all(alerts, made_bundle.model.coder.encoder, PREPROCESS)
    tested = set()
    for variant in variants(made_bundle.config):
        (cell, rows), (again, _) = run_variant(variant, made_bundle, codes, material, 2)
        assert (cell["seed"], again["seed"]) == (0, 1)
        assert cell["key"].startswith(variant.key)
        assert cell["test"]["objects"] == len(rows) == np.sum(cell["test"]["confusion"])
        tested.add(tuple(row["oid"] for row in rows))
        assert all(sum(float(row[name]) for name in TEMPORAL_CLASSES) == pytest.approx(1, abs=2e-4) for row in rows)
    assert len(tested) == 1  # the same objects for all
    assert set(tested.pop()) <= {known.sequence.oid for known in material.real}


@pytest.fixture
def marked(made_bundle, material) -> Trainer:
    """A trainer whose windows carry their own number as one more tensor, "row"."""
    alerts = (alert for sequence in material.sequences for alert in sequence.alerts)
    encoder = made_bundle.model.coder.encoder
    codes = encode_all(alerts, encoder, PREPROCESS)
    known = (*material.simulated, *material.real)
    trainer = Trainer.prepare(made_bundle.config, made_bundle.preprocessor, encoder, codes, known)
    return replace(trainer, tensors={**trainer.tensors, "row": torch.arange(len(trainer.tensors["labels"]))})


def rows_of(trainer: Trainer, oids) -> set[int]:
    """Numbers of the windows of these objects."""
    together = zip(trainer.known, trainer.rows, strict=True)
    return {row for item, rows in together if item.sequence.oid in oids for row in rows}


def test_a_trainer_may_learn_from_simulated_objects_alone(marked, material):
    real = rows_of(marked, {known.sequence.oid for known in material.real})
    assert real
    assert real & set(marked.sets(())[0].tensors["row"].tolist())
    assert not real & set(replace(marked, learns_real=False).sets(())[0].tensors["row"].tolist())


def test_network_and_trees_of_a_member_never_meet_its_fold(marked, made_bundle, material, monkeypatch):
    grown = []
    monkeypatch.setattr(members, "grow", lambda inputs, *others: grown.append(inputs))
    static = marked.tensors["static"].clone()
    static[:, 0] = marked.tensors["row"]  # an input of the trees that names its window
    named = replace(marked, tensors={name: t for name, t in marked.tensors.items() if name != "row"})
    named.tensors["static"] = static
    for fold in range(material.fold_count):
        unseen = {oid for oid, place in material.folds.items() if place == fold}
        hidden, others = rows_of(marked, unseen), rows_of(marked, material.folds.keys() - unseen)
        training, validation = (set(examples.tensors["row"].tolist()) for examples in marked.sets(unseen))
        named.trees(made_bundle.members[0].forest, unseen, 0)
        of_trees = set(grown.pop()[:, -len(PREPROCESS.static)].astype(int).tolist())
        assert hidden
        assert not hidden & (training | validation | of_trees)
        assert others & training
        assert others & of_trees


def test_a_bundle_hides_each_fold_from_the_member_that_will_judge_it(made_bundle, material, monkeypatch):
    asked = []
    learn = Trainer.member

    def noted(self, unseen, seed):
        asked.append(unseen)
        return learn(self, unseen, seed)

    monkeypatch.setattr(Trainer, "member", noted)
    codes = encode_all((a for s in material.sequences for a in s.alerts), made_bundle.model.coder.encoder, PREPROCESS)
    found = train_bundle(
        made_bundle.config, material, made_bundle.preprocessor, made_bundle.model.coder.encoder, codes, {}
    )
    assert len(asked) == len(found.members)
    for oid, place in found.folds.items():
        assert [oid in unseen for unseen in asked] == [member == place for member in range(len(asked))]


def test_offsets_of_a_member_are_fitted_without_its_fold(made_bundle, monkeypatch):
    rng = np.random.default_rng(0)
    labels, folds = np.arange(40) % 3, np.arange(40) % 2
    held = HeldOut(rng.normal(0, 1, (40, 2, 3)), np.zeros((40, 4)), labels, folds)
    asked = []
    monkeypatch.setattr(members, "fit_offsets", lambda groups: asked.append(groups))
    even_out(made_bundle, {2: held})
    for fold, ((logits, kept),) in enumerate(asked):
        others = folds != fold
        np.testing.assert_array_equal(kept, labels[others])
        np.testing.assert_array_equal(logits, held.logits[others, folds[others]])


def test_a_card_says_how_far_real_objects_are_from_the_aims():
    def found(value, ece):
        recall = {"AGN": {"n": 20}, "SN": {"n": 10}, "VS": {"n": 0}}
        return {
            "balanced_accuracy": value,
            "balanced_accuracy_interval": [value - 0.1, value + 0.1],
            "ece": ece,
            "ece_of_sample": 0.01,
            "recall": recall,
        }

    short = "\n".join(against_aims({"origin": "real", "n": {"2": found(0.85, 0.06), "3": found(0.5, 0.01)}}))
    assert "| 2 | 0.90 | 0.850 [0.750-0.950] | 0.050 |" in short
    assert "one SN more or less is 0.050" in short
    assert "above 0.05 at n = 2 (0.060); with objects as they come instead of classes alike, at most 0.010." in short
    assert "What was tried" in short
    perhaps = "\n".join(against_aims({"origin": "real", "n": {"2": found(0.91, 0.02)}}))
    assert "| 2 | 0.90 | 0.910 [0.810-1.010] | 0.000 |" in perhaps
    assert "What was tried" in perhaps
    surely = "\n".join(against_aims({"origin": "real", "n": {"2": found(1.0, 0.02)}}))
    assert "tried" not in surely
    made = "\n".join(against_aims({"origin": "simulated", "n": {"1": found(0.5, 0.2), "2": found(0.5, 0.2)}}))
    assert "| 2 | 0.98 | 0.500 [0.400-0.600] | 0.480 |" in made
    assert "| 1 |" not in made
    one = "\n".join(against_aims({"origin": "simulated", "n": {"1": found(0.5, 0.2)}}))
    assert "Calibration error above 0.05 at n = 1" in one
    assert "| 1 |" not in one
    assert "Calibration error above" in "\n".join(against_aims({"origin": "real", "n": {"3": found(0.5, 0.06)}}))
    assert against_aims({"origin": "real", "n": {}}) == []


def test_cards_name_classes_that_sets_hold_too_seldom():
    def report(covered):
        entry = {"ece": 0.01, "ece_of_sample": 0.01, "balanced_accuracy": 1.0, "recall": {}}
        entry["balanced_accuracy_interval"] = [1.0, 1.0]
        return {"origin": "real", "n": {"2": entry | {"conformal": {"covered": covered}}}}

    held = {"AGN": {"value": 0.9, "n": 40}, "SN": {"value": 0.5, "n": 29}}
    assert "hold 0.88 to 0.93 of all classes" in "\n".join(against_aims(report(held)))
    seldom = "\n".join(against_aims(report(held | {"VS": {"value": 0.8, "n": 30}})))
    assert "outside 0.88 to 0.93 of classes with 30 objects or more: VS 0.80 (n = 2)." in seldom


def test_what_was_not_learnt_from_is_summed_up_by_period():
    def entry(value, n=9, few_of=1):
        interval = [value - 0.05, value + 0.05]
        return {
            "balanced_accuracy": value,
            "balanced_accuracy_interval": interval,
            "recall": {
                "AGN": {"n": n, "value": value},
                "SN": {"n": few_of, "value": 1.0},
                "VS": {"n": 0, "value": None},
            },
        }

    report = {"both periods": dict(zip(WHEN, (entry(0.9), entry(0.7, 6)), strict=True))}
    report["the other period alone"] = dict.fromkeys(WHEN, entry(0.8))
    few = {when: [entry(0.79), entry(0.82)] for when in WHEN}
    first, second, last = summed_up({"report": report, "as_few": few})
    assert (
        "without SN (1): 0.900 from both periods, 0.800 from the other alone, 0.100 lost (aim: at most 0.03)" in first
    )
    assert "as few of both 0.790 to 0.820" in first
    assert "AGN, 0.90 to 0.80" in first
    assert "0.000 lost" in second
    assert "do not overlap" in last
    assert "the rarest class has 1" in last


def test_cards_say_who_names_the_objects_and_how_often_they_had_been_seen():
    def known(oid, label_source, *detections):
        alerts = [Alert(oid, str(i), 58300.0 + i, 1, {"ndethist": n}) for i, n in enumerate(detections)]
        return Known(AlertSequence(oid, "made", tuple(alerts)), "AGN", "real", label_source)

    listed = known("ZTF18aaaaaaa", "a list", 1, 7), known("ZTF18aaaaaab", "a list", 5)
    (line,) = met([*listed, known("ZTF18aaaaaac", "", 9)])
    assert line == "AGN by a list 2; not said 1. Detections (`ndethist`) up to the newest alert: 7 at the median."
    assert met([]) == []
    assert met([known("ZTF18aaaaaaa", "a list", None)])[0].endswith("newest alert: not known.")


def test_card_and_metrics_say_what_was_measured(made_bundle, material, tmp_path):
    folder = save_bundle(made_bundle, tmp_path / "temporal_2")
    source = MemorySource("simulated", (known.sequence for known in material.simulated))
    sets = {"Simulated": (source, {known.sequence.oid: known.label for known in material.simulated}, "first")}
    reports = write_metrics(folder, measure(load_bundle(folder), sets))
    write_card(folder, made_bundle, reports)
    kept = json.loads((folder / "metrics.json").read_text())
    found = kept["Simulated"]["n"]["2"]
    assert kept["Simulated"]["origin"] == "simulated"
    assert f"| 2 | {found['objects']} | {found['balanced_accuracy']:.3f}" in (folder / "card.md").read_text()
    table = of_bundles(tmp_path)
    assert f"| {found['objects']} | {found['balanced_accuracy']:.3f}" in table
    assert table in filled(f"a\n{BEGIN}\nold\n{END}\nb", table)
    with pytest.raises(ValueError, match="marks"):
        filled("no marks", table)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_say_what_files_say(name):
    text = (CHECKPOINTS.parent / name).read_text(encoding="utf-8")
    assert filled(text, DOCUMENTS[name]()) == text


def test_strangers_are_the_tdes_of_an_archive_and_the_bogus_stand_ins(material, tmp_path):
    labels = tmp_path / "labels.csv"
    oids = demo_source().oids()
    labels.write_text(f"oid,label\n{oids[0]},TDE\n{oids[1]},SN\nZTF18aaaaaaa,TDE\n")
    stand_in = replace(material.real[0], origin="real, drb < 0.1")
    twice = replace(stand_in, sequence=demo_source().fetch(oids[0]))  # a TDE with a low drb is no stand-in
    found = strangers(ARCHIVE, labels, (stand_in, twice, *material.real, *material.simulated))
    assert [(k.sequence.oid, k.origin) for k in found] == [
        (oids[0], TDE),
        (stand_in.sequence.oid, "real, drb < 0.1"),
    ]


def test_what_is_said_of_strangers_is_counted_by_kind_and_n(made_bundle, material, tmp_path):
    long_enough = [k for k in material.real if len(select_alerts(k.sequence, "last").used) >= 2]
    strange = [replace(k, origin=TDE, label=TDE) for k in long_enough[:3]]
    strange += [replace(k, origin="real, drb < 0.1", label="bogus") for k in long_enough[3:]]
    found = answers(made_bundle, strange)
    assert {kind: set(lengths) for kind, lengths in found.items()} == {TDE: {"2"}, "real, drb < 0.1": {"2"}}
    for kind, count in ((TDE, 3), ("real, drb < 0.1", len(long_enough) - 3)):
        row = found[kind]["2"]
        assert row["objects"] == sum(row["said"].values()) == row["decided"]["n"] == count
    by_hand = Predictor([made_bundle]).predict(strange[0].sequence, "last").steps[-1]
    alone = answers(replace(made_bundle, folds={}), strange[:1])[TDE]["2"]
    assert alone["said"][max(by_hand.probabilities, key=by_hand.probabilities.get)] == 1
    assert alone["decided"]["value"] == float(abstention(by_hand) is None)
    write_strangers(tmp_path, made_bundle, strange)
    write_card(tmp_path, made_bundle, {})
    assert f"| TDE | 2 | 3 | {', '.join(f'{k} {v}' for k, v in found[TDE]['2']['said'].items() if v)} |" in (
        tmp_path / "card.md"
    ).read_text(encoding="utf-8")
    write_strangers(tmp_path, made_bundle, ())
    assert not (tmp_path / STRANGERS).exists()
    assert strangers_section(tmp_path, TEMPORAL_CLASSES) == []


def test_recipes_of_the_shipped_bundles_are_valid_and_share_two_encoders():
    found = [load(path) for path in sorted(CONFIGS.glob("*.toml"))]
    assert [c.name for c in found] == ["stamp", "temporal_2", "temporal_3", "temporal_4", "temporal_5", "unified"]
    assert len({(c.preprocess.channels, c.preprocess.crop, c.model.encoder) for c in found}) == 2
    aging = {"drb", "ndethist", "ncovhist", "non_detections", "ra", "dec", "gal_lon", "ecl_lon"}
    assert not any(aging & {*c.preprocess.dynamic, *c.preprocess.static} for c in found)


def test_known_says_where_it_is_from(material):
    sequence = material.real[0].sequence
    assert not Known(sequence, "SN", "simulated").is_real
    assert Known(sequence, "bogus", "real, drb < 0.1").is_real


def test_colours_are_learnt_of_simulated_objects_with_a_match(made_bundle, material):
    agn, sn, star = (next(k for k in material.simulated if k.label == name) for name in TEMPORAL_CLASSES)
    match = AllWise(15.0, 14.0, 11.0, math.nan)
    known = [
        replace(k, origin=origin, sequence=replace(k.sequence, allwise=allwise))
        for k, origin, allwise in (
            (agn, "simulated", match),
            (star, "simulated", None),
            (sn, "real", match),
            (star, "simulated", replace(match, w2=15.0)),
        )
    ]
    found = learn_colours(made_bundle.preprocessor, known)
    assert found.owner.tolist() == [0, 2]
    scaled = made_bundle.preprocessor.metadata(agn.sequence.alerts[:1], match).allwise
    assert found.points[0].tolist() == scaled[:3].tolist()
    assert found.points[0, 0] != found.points[1, 0]
    assert (found.points[:, 2] == 0).all()
    assert learn_colours(made_bundle.preprocessor, ()).used == ()
    matched = [k for k in material.simulated if k.label in TEMPORAL_CLASSES and k.sequence.allwise]
    assert len(made_bundle.colours.owner) == len(matched) > 0


def test_an_encoder_is_taken_over_from_a_bundle_that_sees_the_same_stamps(made_bundle, tmp_path):
    folder = save_bundle(made_bundle, tmp_path / "temporal_2")
    encoder = taken_over(folder, made_bundle.config)
    for name, tensor in made_bundle.model.coder.encoder.state_dict().items():
        assert encoder.state_dict()[name].equal(tensor)
    wider = replace(made_bundle.config, preprocess=replace(PREPROCESS, crop=17))
    with pytest.raises(ValueError, match="the encoder of temporal_2 is for"):
        taken_over(folder, wider)
