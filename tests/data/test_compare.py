"""The comparison with real alerts: a test that sees what differs, and groups that leave no feature out."""

import numpy as np
import pytest

from tsc_core.data.simulate import two_sample
from tsc_core.data.simulate.compare import UNLABELLED_MIX, made_alert, sample, sites_of
from tsc_core.data.simulate.population import Recipe, simulate_each
from tsc_core.data.simulate.stamp_statistics import STATISTICS
from tsc_core.features import PAPER
from tsc_core.survey import CLASSES


@pytest.fixture(scope="module")
def pairs():
    return np.random.default_rng(1).normal(size=(2, 600, 3))


def test_equal_samples_cannot_be_told_apart(pairs):
    assert two_sample.told_apart(*pairs) == pytest.approx(0.5, abs=0.07)


def test_what_goes_together_is_seen_though_no_single_feature_differs(pairs):
    real, made = pairs
    tied = np.column_stack([real[:, 0], real[:, 0] + 0.1 * real[:, 1], real[:, 2]])
    loose = np.column_stack([made[:, 0], made[:, 1], made[:, 2]])
    assert max(two_sample.distances(tied, loose, ("a", "b", "c")).values()) < 0.1
    assert two_sample.told_apart(tied, loose) > 0.9
    found = two_sample.by_group(tied, loose, ("a", "b", "c"), {"both": ("a", "b"), "other": ("c",)})
    assert found["both"] > 0.9
    assert found["other"] == pytest.approx(0.5, abs=0.1)


def test_distance_is_that_of_kolmogorov_and_smirnov():
    real, made = np.array([[1.0, np.nan], [2.0, np.nan]]), np.array([[1.5, 0.0], [9.0, 0.0]])
    assert two_sample.distances(real, made, ("x", "y")) == {"x": 0.5, "y": None}


def test_groups_leave_nothing_out():
    groups = two_sample.METADATA_GROUPS
    assert {name for members in groups.values() for name in members} == {feature.name for feature in PAPER}
    for names in (list(two_sample.STAMP_GROUPS)[:4], list(two_sample.STAMP_GROUPS)[4:]):
        listed = [name for group in names for name in two_sample.STAMP_GROUPS[group]]
        assert sorted(listed) == sorted(STATISTICS)


def test_sites_take_the_label_or_a_class_of_the_mix():
    alerts = [alert for alert, _ in simulate_each(made_alert, 20, 3, Recipe(detections=1))]
    known = {alerts[0].oid: "SN", alerts[1].oid: "asteroid"}
    sites = sites_of(alerts, known, np.random.default_rng(0))
    assert [site.label for site in sites[:2]] == ["SN", "asteroid"]
    assert {site.label for site in sites} <= set(CLASSES)
    assert sum(UNLABELLED_MIX.values()) == pytest.approx(1.0)
    made = sample(simulate_each(made_alert, 2, 3, Recipe(sites=sites[:2])))
    assert len(made) == 2
    assert np.isfinite(made.stamps).all()
