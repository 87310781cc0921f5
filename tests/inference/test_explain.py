"""Explanations: what a model does not read changes nothing, what it reads changes what it must."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.made_objects import CROP, alert, bundle, fetched, sequence
from tsc_core.alerts import CHANNELS, AllWise
from tsc_core.inference.explain import ALLWISE, explain, hide, patch_edges, pixel_gradients
from tsc_core.inference.predictor import Predictor
from tsc_core.inference.priors import reweighted
from tsc_core.preprocessing import select_alerts, window_of
from tsc_core.preprocessing.transform import TIME_DIFFERENCE

SMALL = 1e-6  # rounding in batches of another size


@pytest.fixture(scope="module")
def stamp():
    return bundle("stamp", 1, members=2)


def change_of(found, name):
    return next(feature.change for feature in found.features if feature.name == name)


def test_patches_tile_what_the_model_sees():
    edges = patch_edges(63, 27)
    assert (edges[0], edges[-1], len(edges)) == (18, 45, 6)
    assert all(width in (5, 6) for width in np.diff(edges))


def test_one_patch_of_one_channel_is_hidden_in_each_copy():
    stamps = torch.rand(3, 63, 63)
    edges = patch_edges(63, 15)
    copies = hide(stamps, edges)
    assert copies.shape == (75, 3, 63, 63)
    changed = (copies != stamps).view(3, 5, 5, 3, 63, 63)
    for c in range(3):
        for other in set(range(3)) - {c}:
            assert not changed[c, :, :, other].any()
        assert changed[c, 1, 3, c, edges[1] : edges[2], edges[3] : edges[4]].float().mean() > 0.7  # one is the median
        assert changed[c].sum((0, 1))[c].max() == 1  # no pixel is hidden twice
    assert copies[0, 0, edges[0], edges[0]] == stamps[0, 24:39, 24:39].median()


def test_a_map_for_each_stamped_detection_and_channel(stamp):
    found = explain(Predictor([stamp]), fetched())
    first = select_alerts(fetched()).used[0]
    assert [(m.candid, m.channel) for m in found.maps] == [(first.candid, name) for name in CHANNELS]
    assert all(m.change.shape == (5, 5) for m in found.maps)
    assert any(np.abs(m.change).max() > 10 * SMALL for m in found.maps)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["top"] == found.top


def test_the_log_odds_are_those_of_the_prediction(stamp):
    predictor = Predictor([stamp])
    found, step = explain(predictor, fetched()), predictor.predict(fetched()).steps[0]
    p = step.probabilities[found.top]
    assert p == max(step.probabilities.values())
    assert found.log_odds == pytest.approx(math.log(p / (1 - p)), abs=1e-4)


def test_an_object_that_was_learnt_from_is_explained_by_the_member_that_answers():
    made = bundle("stamp", 1, members=2)
    known = Predictor([replace(made, folds={fetched().oid: 1})])
    (step,) = known.predict(fetched()).steps
    found = explain(known, fetched(), stamps=False)
    p = step.probabilities[found.top]
    assert found.log_odds == pytest.approx(math.log(p / (1 - p)), abs=1e-4)
    others = explain(Predictor([made]), fetched(), stamps=False)
    assert abs(others.log_odds - found.log_odds) > 1e-3


def test_the_class_explained_is_that_of_the_priors(stamp):
    predictor = Predictor([stamp])
    usual, step = explain(predictor, fetched(), stamps=False), predictor.predict(fetched()).steps[0]
    priors = {name: float(name != usual.top) for name in step.probabilities} | {usual.top: 1e-4}
    found, there = explain(predictor, fetched(), priors=priors, stamps=False), reweighted(step.probabilities, priors)
    assert found.top == max(there, key=there.get) != usual.top
    assert found.log_odds == pytest.approx(math.log(there[found.top] / (1 - there[found.top])), abs=1e-4)
    tiny = explain(predictor, fetched(), priors={name: 1e-14 * rate for name, rate in priors.items()}, stamps=False)
    assert tiny.log_odds == pytest.approx(found.log_odds)
    alone = explain(predictor, fetched(), priors={"SN": 1.0}, stamps=False)
    assert alone.top == "SN"
    assert all(math.isfinite(feature.change) for feature in alone.features)


def test_a_patch_that_is_flat_or_not_looked_at_changes_nothing(stamp):
    flat = sequence(alert(58300.2, fill=7.0))
    assert all(np.abs(m.change).max() < SMALL for m in explain(Predictor([stamp]), flat).maps)
    blind = replace(stamp, members=tuple(map(without_images, bundle("stamp", 1, members=2).members)))
    found = explain(Predictor([blind]), fetched())
    assert len(found.maps) == 3
    assert all(np.abs(m.change).max() < SMALL for m in found.maps)


def without_images(network):
    """The head no longer reads the codes, which come first."""
    network.head[0].weight[:, : network.coder.width] = 0
    return network


def test_a_channel_that_is_not_looked_at_changes_nothing():
    made = bundle("stamp", 1)
    made.model.coder.encoder.trunk[0].weight[:, 1] = 0
    made.model.head[0].weight[:, : made.model.coder.width] *= 30  # random codes hardly differ
    found = {m.channel: np.abs(m.change).max() for m in explain(Predictor([made]), fetched()).maps}
    assert found["template"] < SMALL
    assert found["science"] > 10 * SMALL


def test_hiding_in_all_views_agrees_with_the_network_itself(stamp):
    found = explain(Predictor([stamp]), fetched(), all_views=True)
    (first,) = window_of(select_alerts(fetched()), 1)
    example = stamp.preprocessor((first,))
    edges, copy = patch_edges(63, CROP), example.stamps.copy()
    seen = copy[0, 0, edges[0] : edges[-1], edges[0] : edges[-1]]
    copy[0, 0, edges[2] : edges[3], edges[1] : edges[2]] = np.sort(seen.ravel())[(seen.size - 1) // 2]
    assert changed_odds(stamp, example, copy) == pytest.approx(found.maps[0].change[2, 1], abs=1e-5)


def test_gradients_of_pixels_add_up_to_the_change_of_the_whole(stamp):
    pytest.importorskip("captum")
    predictor = Predictor([stamp])
    maps = pixel_gradients(predictor, fetched(), points=64)
    (first,) = window_of(select_alerts(fetched()), 1)
    example = stamp.preprocessor((first,))
    blank, edges = example.stamps.copy(), patch_edges(63, CROP)
    for c in range(3):
        seen = blank[0, c, edges[0] : edges[-1], edges[0] : edges[-1]]
        blank[0, c] = np.sort(seen.ravel())[(seen.size - 1) // 2]
    assert sum(m.change.sum() for m in maps) == pytest.approx(-changed_odds(stamp, example, blank), rel=0.05, abs=2e-4)
    assert [m.channel for m in maps] == list(CHANNELS)
    assert maps[0].change.shape == (63, 63)
    assert maps[0].change[:20].max() == 0  # beyond what the model sees
    assert pixel_gradients(Predictor([bundle("metadata", 3)]), fetched()) == ()


def changed_odds(made, example, stamps):
    from tsc_core.preprocessing import collate

    odds = []
    for version in (example, replace(example, stamps=stamps)):
        logits = torch.stack([member(collate([version]))[0] for member in made.members])
        p = made.probabilities(logits, 1).mean(0).double()
        odds.append(torch.log(p / (1 - p)))
    return float(odds[1][odds[0].argmax()] - odds[0].max())


def test_a_feature_that_is_not_read_changes_nothing(stamp):
    made = bundle("stamp", 1)
    name = made.config.preprocess.dynamic[2]
    made.model.head[0].weight[:, made.model.coder.width + 2] = 0
    before, after = explain(Predictor([stamp]), fetched()), explain(Predictor([made]), fetched(), stamps=False)
    assert abs(change_of(before, name)) > 10 * SMALL
    assert abs(change_of(after, name)) < SMALL
    assert after.maps == ()


def test_a_missing_feature_changes_nothing_and_has_no_value(stamp):
    found = explain(Predictor([stamp]), sequence(alert(58300.2, magpsf=18.0)), stamps=False)
    unknown = [f for f in found.features if f.name not in ("magpsf",)]
    assert all(abs(f.change) < SMALL for f in unknown if math.isnan(f.value))
    assert sum(math.isnan(f.value) for f in unknown) > 10
    assert next(f.value for f in found.features if f.name == "magpsf") == 18.0


def test_features_come_by_their_weight(stamp):
    found = explain(Predictor([stamp]), fetched(), stamps=False)
    sizes = [abs(f.change) for f in found.features]
    assert sizes == sorted(sizes, reverse=True)
    assert {f.name for f in found.features} == {*stamp.config.preprocess.dynamic, *stamp.config.preprocess.static}


def test_a_sequence_has_maps_for_its_stamps_its_time_and_its_colours():
    made = bundle("temporal", 3)
    alerts = (alert(58300.2), alert(58303.2, with_stamps=False), alert(58306.2))
    found = explain(Predictor([made]), sequence(*alerts, allwise=AllWise(15.0, 14.0, 12.0, 9.0)), "last")
    assert [m.candid for m in found.maps] == [a.candid for a in (alerts[0], alerts[2]) for _ in range(2)]
    names = {f.name: f for f in found.features}
    assert names[TIME_DIFFERENCE].value == pytest.approx(3.0)
    assert (ALLWISE in names) == (made.config.model.allwise and made.config.preprocess.allwise)


def test_the_step_asked_for_and_none_where_there_is_none(stamp):
    predictor = Predictor([stamp, bundle("temporal", 2), bundle("metadata", 3)])
    assert explain(predictor, fetched(), n=1).model == "stamp"
    last = explain(predictor, fetched())
    assert (last.n, last.maps) == (3, ())  # no images
    assert explain(predictor, fetched(), n=5) is None
    assert explain(predictor, sequence()) is None


def test_the_same_twice(stamp):
    first, second = (explain(Predictor([stamp]), fetched()).to_dict() for _ in range(2))
    assert first == second
