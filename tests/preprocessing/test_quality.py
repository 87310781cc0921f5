"""Which detections count: the 63x63 rule, the 6-hour rule, the windows; every other has its reason."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.made_objects import alert, fetched, sequence
from tsc_core.preprocessing import select_alerts, window_of
from tsc_core.survey import MAX_DETECTIONS, MIN_GAP_HOURS

START = 58300.0


def at(*hours, **fields):
    return [alert(START + hour / 24, **fields) for hour in hours]


def mjds(selection):
    return [round((one.mjd - START) * 24, 6) for one in selection.used]


def test_six_hours_to_the_second_is_a_new_epoch():
    for hours, count in ((5.99, 1), (6.0, 2), (6.01, 2)):
        selection = select_alerts(sequence(*at(0, hours)))
        assert len(selection.used) == count, hours
    late = 2458300.123456789 - 2400000.5  # times as they come out of a Julian date
    assert len(select_alerts(sequence(alert(late), alert(late + 0.25))).used) == 2


def test_the_gap_is_counted_from_the_last_one_kept():
    selection = select_alerts(sequence(*at(0, 4, 8, 12)))
    assert mjds(selection) == [0, 8]
    assert sorted(selection.reasons.values()) == [
        "4.0 h after the previous one: less than 6 h is one epoch",
        "4.0 h after the previous one: less than 6 h is one epoch",
    ]


def test_the_window_last_keeps_the_newest_of_an_epoch():
    selection = select_alerts(sequence(*at(0, 24, 27)), "last")
    assert mjds(selection) == [0, 27]
    assert list(selection.reasons.values()) == ["3.0 h before the next one: less than 6 h is one epoch"]


@pytest.mark.parametrize(("window", "expected"), [("first", [0, 24, 48, 72, 96]), ("last", [24, 48, 72, 96, 120])])
def test_an_object_of_six_detections(window, expected):
    six = sequence(*at(0, 24, 48, 72, 96, 120))
    selection = select_alerts(six, window)
    assert mjds(selection) == expected
    (reason,) = selection.reasons.values()
    assert reason == {"first": "after the first 5", "last": "before the last 5"}[window]
    for n in range(1, 6):
        part = [round((one.mjd - START) * 24, 6) for one in window_of(selection, n)]
        assert part == (expected[:n] if window == "first" else expected[-n:])
    assert window_of(selection, 6) is None


@pytest.mark.parametrize("shape", [(62, 63), (63, 62), (64, 64), (0, 63)])
def test_a_stamp_of_another_size_drops_the_alert(shape):
    odd, *good = at(0, shape=shape) + at(24, 48)
    selection = select_alerts(sequence(odd, *good))
    assert selection.used == tuple(good)
    assert selection.reasons == {odd.candid: f"science stamp is {shape[0]}x{shape[1]}, not 63x63"}


def test_a_stamp_without_pixels_drops_the_alert():
    (blank,) = at(0, fill=np.nan)
    selection = select_alerts(sequence(blank, *at(24)))
    assert selection.reasons == {blank.candid: "science stamp has no pixels: all NaN"}
    some = alert(START)
    some.stamps.template[:, 1:] = np.nan
    assert select_alerts(sequence(some)).used == (some,)


def test_a_dropped_alert_does_not_start_an_epoch():
    odd, good = at(0, shape=(62, 63)) + at(3)
    assert select_alerts(sequence(odd, good)).used == (good,)


def test_history_counts_in_the_window_last_alone():
    history, packet = at(0, with_stamps=False) + at(24)
    found = sequence(history, packet)
    assert select_alerts(found, "first").used == (packet,)
    assert "no stamp" in select_alerts(found, "first").reasons[history.candid]
    assert select_alerts(found, "last").used == (history, packet)


def test_the_window_last_ends_at_the_newest_packet():
    packet, later = at(0) + at(24, with_stamps=False)
    selection = select_alerts(sequence(packet, later), "last")
    assert selection.used == (packet,)
    assert selection.reasons[later.candid] == "after the newest packet"
    without = at(0, 24, with_stamps=False)
    assert select_alerts(sequence(*without), "last").used == tuple(without)


def test_nothing_to_choose_from():
    for window in ("first", "last"):
        selection = select_alerts(sequence(), window)
        assert selection.used == ()
        assert window_of(selection, 1) is None


def test_another_window_is_refused():
    with pytest.raises(ValueError, match="'middle': needs one of first, last"):
        select_alerts(sequence(), "middle")


detections = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["whole", "whole", "clipped", "blank", "history"])),
    max_size=14,
    unique_by=lambda pair: pair[0],
).map(sorted)
KINDS = {"whole": {}, "clipped": {"shape": (62, 63)}, "blank": {"fill": np.nan}, "history": {"with_stamps": False}}


@given(detections, st.sampled_from(["first", "last"]), st.integers(1, MAX_DETECTIONS))
def test_every_detection_is_used_or_has_its_reason(drawn, window, n):
    found = sequence(*(alert(START + hour / 24, **KINDS[kind]) for hour, kind in drawn))
    selection = select_alerts(found, window, n)
    used = {one.candid for one in selection.used}
    assert len(used) == len(selection.used) <= n
    assert used | set(selection.reasons) == {one.candid for one in found.alerts}
    assert not used & set(selection.reasons)
    assert all(reason for reason in selection.reasons.values())
    times = [one.mjd for one in selection.used]
    assert times == sorted(times)
    assert all(later - earlier >= MIN_GAP_HOURS / 24 - 1e-7 for earlier, later in itertools.pairwise(times))
    whole = [hour for hour, kind in drawn if kind == "whole"]
    if window == "first":
        assert all(one.has_stamps for one in selection.used)
        assert not whole or times[0] == START + whole[0] / 24
    elif whole:
        assert times[-1] == START + whole[-1] / 24


def test_real_bytes_take_the_same_way():
    found = fetched(mjds=(58300.2, 58300.3, 58303.3), shape=(63, 63))
    assert [reason[:5] for reason in select_alerts(found).reasons.values()] == ["2.4 h"]
    assert select_alerts(fetched(shape=(63, 61))).used == ()
