"""Metrics against values known beforehand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsc_core.evaluation import metrics

LABELS = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.9, 0.0], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]
)
COUNTS = np.array([[2, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_confusion_has_true_rows():
    np.testing.assert_array_equal(metrics.confusion(LABELS, PROBABILITIES), COUNTS)


def test_rates():
    assert metrics.accuracy(COUNTS) == pytest.approx(4 / 6)
    np.testing.assert_allclose(metrics.recalls(COUNTS), [2 / 3, 1 / 2, 1])
    assert metrics.balanced_accuracy(COUNTS) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_classes_without_objects_do_not_count():
    counts = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 3]])
    assert math.isnan(metrics.recalls(counts)[1])
    assert metrics.balanced_accuracy(counts) == pytest.approx(0.75)
    assert math.isnan(metrics.accuracy(np.zeros((3, 3), int)))
    assert math.isnan(metrics.balanced_accuracy(np.zeros((3, 3), int)))


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (98, 100, 0.9300, 0.9945), (0, 0, 0, 1)],
)
def test_wilson_intervals_as_tabulated(successes, total, low, high):
    assert metrics.wilson(successes, total) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_the_closed_form(pair):
    successes, total = pair
    z, p = 1.959963984540054, successes / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    low, high = metrics.wilson(successes, total)
    assert (low, high) == pytest.approx((max(0, centre - half), min(1, centre + half)), abs=1e-9)
    assert low <= p <= high


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.65, 0.65])
    probabilities = np.stack([confidence, 1 - confidence], 1)
    labels = np.array([0, 0, 0, 1, 0, 1])
    expected = (4 * abs(0.75 - 0.95) + 2 * abs(0.5 - 0.65)) / 6
    assert metrics.expected_calibration_error(labels, probabilities) == pytest.approx(expected)
    assert metrics.expected_calibration_error(np.array([0]), np.array([[1.0, 0.0]])) == 0


def test_classes_of_any_size_weigh_the_same():
    labels = np.array([0] * 90 + [1] * 10)
    weights = metrics.even(labels)
    assert weights.sum() == pytest.approx(1)
    assert weights[labels == 0].sum() == pytest.approx(0.5)
    frequent = np.tile([0.9, 0.1], (100, 1))  # what such a sample would call calibrated
    assert metrics.expected_calibration_error(labels, frequent) == pytest.approx(0)
    assert metrics.even_calibration_error(labels, frequent) == pytest.approx(0.4)
    assert metrics.brier(labels, frequent, weights) == pytest.approx((0.02 + 1.62) / 2)
    assert metrics.log_loss(labels, frequent, weights) == pytest.approx(-(math.log(0.9) + math.log(0.1)) / 2)
    (first,), (second,) = metrics.reliability(labels, frequent, weights)
    assert (first["frequency"], second["frequency"]) == pytest.approx((0.5, 0.5))
    assert second["high"] - second["low"] > metrics.wilson(50, 100)[1] - metrics.wilson(50, 100)[0]
    assert first["n"] == 100


def test_the_interval_of_a_calibration_error_holds_it():
    rng = np.random.default_rng(2)
    first = rng.random(60)
    labels = (rng.random(60) > first).astype(int)
    probabilities = np.stack([first, 1 - first], 1)
    found = metrics.summarise(labels, probabilities, ("AGN", "SN"))
    low, high = found["ece_interval"]
    assert 0 <= low <= found["ece"] <= high
    assert found["ece_of_sample"] == metrics.expected_calibration_error(labels, probabilities)


def test_calibrated_predictions_have_a_small_error():
    rng = np.random.default_rng(0)
    first = rng.random(20_000)
    labels = (rng.random(20_000) > first).astype(int)
    probabilities = np.stack([first, 1 - first], 1)
    assert metrics.expected_calibration_error(labels, probabilities) < 0.02
    for curve in metrics.reliability(labels, probabilities):
        assert all(place["low"] <= place["frequency"] <= place["high"] for place in curve)
        assert all(abs(place["probability"] - place["frequency"]) < 0.05 for place in curve)
        assert sum(place["n"] for place in curve) == 20_000


def test_scores_of_certain_predictions():
    certain = np.eye(3)[[0, 1, 2]]
    assert metrics.brier(np.array([0, 1, 2]), certain) == 0
    assert metrics.brier(np.array([1, 2, 0]), certain) == 2
    assert metrics.log_loss(np.array([0, 1, 2]), certain) == 0
    uniform = np.full((4, 3), 1 / 3)
    assert metrics.log_loss(np.array([0, 1, 2, 0]), uniform) == pytest.approx(math.log(3))
    assert metrics.brier(np.array([0, 1, 2, 0]), uniform) == pytest.approx(2 / 3)


def test_nothing_gives_nan():
    nothing = (np.zeros(0, int), np.zeros((0, 3)))
    for metric in (metrics.expected_calibration_error, metrics.brier, metrics.log_loss):
        assert math.isnan(metric(*nothing))
    assert all(map(math.isnan, metrics.bootstrap(lambda y, p: 1.0, *nothing)))


def test_bootstrap_repeats_and_keeps_the_class_counts():
    seen = []

    def metric(labels, probabilities):
        seen.append(np.bincount(labels).tolist())
        return float((probabilities.argmax(1) == labels).mean())

    first = metrics.bootstrap(metric, LABELS, PROBABILITIES, draws=50, seed=3)
    assert first == metrics.bootstrap(metric, LABELS, PROBABILITIES, draws=50, seed=3)
    assert set(map(tuple, seen)) == {(3, 2, 1)}
    assert first[0] <= 4 / 6 <= first[1]


def test_bootstrap_interval_is_that_of_theory():
    rng = np.random.default_rng(1)
    labels = np.zeros(400, int)
    probabilities = np.eye(2)[(rng.random(400) > 0.8).astype(int)]
    share = float((probabilities.argmax(1) == 0).mean())
    low, high = metrics.bootstrap(lambda y, p: float((p.argmax(1) == y).mean()), labels, probabilities)
    half = 1.96 * math.sqrt(share * (1 - share) / 400)
    assert (low, high) == pytest.approx((share - half, share + half), abs=0.012)


def test_the_interval_of_balanced_accuracy_is_that_of_theory_and_holds_the_truth():
    alone = np.array([[40, 10], [0, 0]])
    assert metrics.balanced_interval(alone) == pytest.approx(metrics.wilson(40, 50))
    many = np.array([[1600, 400], [100, 900]])
    half = 1.96 * math.sqrt(0.8 * 0.2 / 2000 + 0.9 * 0.1 / 1000) / 2
    assert metrics.balanced_interval(many) == pytest.approx((0.85 - half, 0.85 + half), abs=1e-3)
    rng, recalls, sizes = np.random.default_rng(5), np.array([0.7, 0.9, 0.95, 0.98]), np.array([1, 11, 100, 80])
    held = 0
    for found in rng.binomial(sizes, recalls, (1000, 4)):
        low, high = metrics.balanced_interval(np.diag(found) + np.roll(np.diag(sizes - found), 1, axis=1))
        held += low <= recalls.mean() <= high
    assert 0.92 < held / 1000 < 0.99


def test_one_object_of_a_class_leaves_its_share_open():
    low, high = metrics.balanced_interval(np.array([[0, 1], [0, 100]]))
    assert low == pytest.approx(0.5, abs=0.02)
    assert high > 0.5 + 0.35
    assert all(map(math.isnan, metrics.balanced_interval(np.zeros((2, 2), int))))


def test_precision_at_other_rates():
    counts = np.array([[90, 10], [10, 90]])
    np.testing.assert_allclose(metrics.precision_at(counts, np.array([0.5, 0.5])), [0.9, 0.9])
    rare = metrics.precision_at(counts, np.array([0.99, 0.01]))
    assert rare[1] == pytest.approx(0.9 * 0.01 / (0.9 * 0.01 + 0.1 * 0.99))
    np.testing.assert_allclose(metrics.precision_at(counts * [[1], [7]], np.array([0.99, 0.01])), rare)


def test_a_summary_holds_what_the_report_promises():
    found = metrics.summarise(LABELS, PROBABILITIES, ("AGN", "SN", "VS"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["objects"] == 6
    assert found["confusion"] == COUNTS.tolist()
    low, high = metrics.wilson(1, 2)
    assert found["recall"]["SN"] == {"value": 0.5, "low": low, "high": high, "n": 2}
    for name in ("accuracy", "balanced_accuracy", "ece", "brier", "log_loss"):
        assert 0 <= found[name] <= 2
    low, high = found["balanced_accuracy_interval"]
    assert low <= found["balanced_accuracy"] <= high

    for name in ("ece", "brier"):
        low, high = found[f"{name}_interval"]
        assert 0 <= low <= high
    assert sum(b["n"] for b in found["reliability"]["SN"]) == 6


def test_sets_are_summarised_by_hand():
    labels = np.array([0, 0, 1, 1, 1])
    sets = np.array([[1, 0], [0, 1], [1, 1], [0, 1], [0, 0]], bool)
    found = metrics.summarise_sets(labels, sets, ("AGN", "SN"), 0.9)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {name: (c["value"], c["n"]) for name, c in found["covered"].items()} == {"AGN": (0.5, 2), "SN": (2 / 3, 3)}
    assert found["size"] == 1.0
    assert (found["decided"]["value"], found["empty"]["value"]) == (0.6, 0.2)
    assert (found["right"]["value"], found["right"]["n"]) == (2 / 3, 3)
    nothing = metrics.summarise_sets(labels, np.zeros((5, 2), bool), ("AGN", "SN"), 0.9)
    assert nothing["right"] == {"value": None, "low": 0.0, "high": 1.0, "n": 0}


def test_a_class_without_objects_is_null_in_the_summary():
    found = metrics.summarise(np.array([0]), np.array([[0.9, 0.1]]), ("AGN", "SN"))
    assert found["recall"]["SN"] == {"value": None, "low": 0.0, "high": 1.0, "n": 0}
    assert found["balanced_accuracy"] == 1.0
    json.dumps(found, allow_nan=False)
