"""Statistics of runs against what can be counted by hand."""

import math

import numpy as np
import pytest

from tsc_core.training import paper_tables
from tsc_core.training.statistics import cohen_d, compare, permutation_p, smallest_p, summary


def test_five_against_five_has_its_floor():
    low, high = [1.0, 2, 3, 4, 5], [11.0, 12, 13, 14, 15]
    assert smallest_p(5, 5) == pytest.approx(2 / 252)
    assert permutation_p(high, low) == pytest.approx(2 / 252)
    assert compare(high, low)["p_floor"] == pytest.approx(0.0079, abs=5e-5)


def test_equal_groups_do_not_differ():
    runs = [1.0, 2.0, 3.0]
    found = compare(runs, runs)
    assert found["p"] == 1
    assert found["difference"] == found["cohen_d"] == 0
    assert found["interval"][0] < 0 < found["interval"][1]


def test_twenty_against_twenty_are_drawn_and_repeat():
    rng = np.random.default_rng(0)
    first, second = rng.normal(92.74, 0.56, 20), rng.normal(91.27, 0.69, 20)
    assert permutation_p(first, second) == permutation_p(first, second) < 0.001
    assert 0 < smallest_p(20, 20) < 1e-4
    assert math.comb(40, 20) > 200_000


def test_effect_size_is_cohens():
    assert cohen_d([2.0, 4.0], [1.0, 3.0]) == pytest.approx(1 / math.sqrt(2))
    assert cohen_d([2.0, 2.0], [1.0, 1.0]) is None


def test_few_runs_give_no_comparison():
    assert compare([1.0], [2.0, 3.0]) is None
    assert summary([93.0]) == {"mean": 93.0, "std": None, "runs": 1}
    assert summary([1.0, 3.0])["std"] == pytest.approx(math.sqrt(2))
    assert summary([])["mean"] is None


def test_published_numbers_agree_with_one_another():
    best = {n: max(found.accuracy for found in row.values()) for n, row in paper_tables.RECURRENT.items()}
    assert best == {2: 91.7, 3: 92.0, 4: 92.5, 5: 93.2}
    gains = [paper_tables.COMPLETE[n].accuracy - paper_tables.METADATA_ALLWISE[n].accuracy for n in (2, 3, 4, 5)]
    assert gains == pytest.approx([0.47, 0.06, -0.5, 0.36])
