import itertools

import pytest

from tests.made_objects import bundle, fetched
from tsc_core.inference import speed


@pytest.fixture
def clock(monkeypatch):
    """Time passes only where work says so."""
    now = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])

    def work(seconds):
        lasting = itertools.cycle(seconds)

        def run():
            now[0] += next(lasting)

        return run

    return work


def test_pieces_of_work_take_turns_and_the_first_round_prepares(clock):
    found = speed.take_turns({"a": clock([9.0, 1.0, 2.0]), "b": clock([7.0, 4.0, 4.0])}, rounds=2)
    assert found == [{"a": 1.0, "b": 4.0}, {"a": 2.0, "b": 4.0}]


def test_quick_work_is_repeated_for_as_long_as_asked(clock):
    assert speed.take_turns({"a": clock([0.25])}, rounds=1, least=1.0) == [{"a": 0.25}]


def test_a_slow_round_spoils_neither_a_ratio_nor_a_rate(clock):
    found = speed.take_turns({"a": clock([1.0, 3.0, 3.0, 90.0]), "b": clock([1.0, 2.0, 2.0, 2.0])}, rounds=3)
    assert speed.median_ratio(found, "a", "b") == 1.5
    assert speed.best_seconds(clock([8.0, 50.0, 5.0]), rounds=2) == 5.0


def test_a_progression_is_measured_by_each_kind_of_bundle_there_is():
    second = bundle("temporal", 2)
    fifth = bundle("temporal", 5, encoder_of=second)
    many = [fetched(f"SIM{i}many") for i in range(2)]
    assert speed.progression_ratios([second], many, rounds=1) == {}
    assert set(speed.progression_ratios([second, fifth], many, rounds=1)) == {"each n"}
    found = speed.progression_ratios([second, fifth, bundle("unified", 5)], many, rounds=1)
    assert set(found) == {"each n", "one pass"}
    assert min(found.values()) > 0
