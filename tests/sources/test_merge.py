"""One sequence from several packets: no detection twice, none lost, time in order, ids exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.made_objects import alert
from tests.packet_maker import candid_of
from tsc_core.alerts import UpperLimit
from tsc_core.sources import merge
from tsc_core.sources.base import Packet, candid_mjd, true_mjd
from tsc_core.survey import JD_TO_MJD

OID = "ZTF18abcdefg"
SECOND = 1 / 86400


def packet(mjd, *history, limits=(), **fields):
    return Packet(alert(mjd, oid=OID, **fields), tuple(history), tuple(limits))


def earlier(mjd, **fields):
    return alert(mjd, with_stamps=False, oid=OID, **fields)


def candids(found):
    return [one.candid for one in found.alerts]


def test_order_is_that_of_time_whatever_the_order_of_packets():
    packets = [packet(mjd) for mjd in (58303.0, 58300.0, 58310.0)]
    found = merge(OID, "made", packets)
    assert [one.mjd for one in found.alerts] == [58300.0, 58303.0, 58310.0]
    assert candids(merge(OID, "made", packets[::-1])) == candids(found)


def test_the_same_packet_twice_is_one_detection():
    assert len(merge(OID, "made", [packet(58300.0), packet(58300.0)]).alerts) == 1


def test_a_packet_wins_over_its_echo_in_history():
    first = packet(58300.0, ndethist=1)
    second = packet(58303.0, earlier(58300.0), earlier(58295.0))
    for order in ([first, second], [second, first]):
        found = merge(OID, "made", order)
        assert [one.has_stamps for one in found.alerts] == [False, True, True]
        assert found.alerts[1].value("ndethist") == 1


def test_a_packet_with_stamps_wins_over_one_without():
    whole, bare = packet(58300.0), packet(58300.0, with_stamps=False)
    for order in ([whole, bare], [bare, whole]):
        assert merge(OID, "made", order).alerts[0].has_stamps


def test_candids_are_exact_texts():
    near = [candid_of(58300.0), candid_of(58300.0) + 1]  # the same as doubles
    assert float(near[0]) == float(near[1])
    found = merge(OID, "made", [packet(58300.0, candid=near[0])])
    assert candids(found) == [str(near[0])]
    assert all(type(one.candid) is str for one in found.alerts)


def test_a_candid_rounded_to_a_double_is_the_same_detection():
    candid = candid_of(58300.0, tail=15021)
    rounded = int(float(candid))
    assert rounded != candid
    late = 58300.0 + 0.4  # and its time is off as well
    found = merge(OID, "made", [packet(late, candid=candid), packet(58303.0, earlier(58300.0, candid=rounded))])
    assert candids(found) == [str(candid), str(candid_of(58303.0))]


def test_band_and_time_make_the_same_detection():
    other = candid_of(58300.0) + 7 * 10**9
    for seconds, count in ((0, 1), (5, 1), (20, 1), (40, 2), (90, 2)):
        echo = earlier(58300.0 + seconds * SECOND, candid=other + seconds * 10**6)
        assert len(merge(OID, "made", [packet(58300.0)], [echo]).alerts) == count, seconds
    assert len(merge(OID, "made", [packet(58300.0)], [earlier(58300.0, candid=other, fid=2)]).alerts) == 2


def test_packets_of_one_time_are_apart_if_their_candids_are():
    """Some files have the jd of a later packet in an earlier one."""
    pair = [packet(58300.0, candid=candid_of(58299.9)), packet(58300.0, candid=candid_of(58299.99))]
    found = merge(OID, "made", pair)
    assert [one.has_stamps for one in found.alerts] == [True, True]
    assert len(set(candids(found))) == 2


def test_detections_known_otherwise_stand_between_packets_and_history():
    listed = alert(58300.0, oid=OID, with_stamps=False, rb=0.9)
    found = merge(OID, "made", [packet(58303.0, earlier(58300.0, rb=0.1))], [listed])
    assert found.alerts[0].value("rb") == 0.9


def test_limits_are_kept_once_in_time_order():
    limits = [UpperLimit(58299.0, 1, 20.0), UpperLimit(58290.0, 2, 20.5)]
    found = merge(OID, "made", [packet(58300.0, limits=limits), packet(58303.0, limits=limits)], limits=limits[:1])
    assert found.limits == (limits[1], limits[0])


def test_nothing_gives_an_empty_sequence():
    found = merge(OID, "made", [])
    assert (found.alerts, found.limits, found.flags) == ((), (), ())


@given(st.lists(st.integers(0, 400), max_size=25), st.randoms(use_true_random=False))
def test_any_split_into_packets_and_history_gives_the_same_detections(hours, random):
    times = sorted({58300.0 + hour / 24 for hour in hours})
    packets = [packet(mjd, *(earlier(t) for t in times if t < mjd and random.random() < 0.7)) for mjd in times]
    random.shuffle(packets)
    found = merge(OID, "made", packets)
    assert candids(found) == [str(candid_of(mjd)) for mjd in times]
    assert all(one.has_stamps for one in found.alerts)


def test_a_candid_states_its_time():
    assert candid_mjd(OID, "1034526141515010021") == pytest.approx(57754 + 1034.526141515)
    assert candid_mjd(OID, str(candid_of(58300.2))) == pytest.approx(58300.2, abs=1e-5)
    assert candid_mjd("DEMO01", "1034526141515010021") is None
    for text in ("", "12", "abc", "1" * 20):
        assert candid_mjd(OID, text) is None


def test_the_candid_s_time_is_the_true_one_where_they_disagree_by_more_than_minutes():
    candid = str(candid_of(58300.2))
    assert true_mjd(OID, candid, 58300.9) == pytest.approx(58300.2, abs=1e-5)
    assert true_mjd(OID, candid, 58300.2001) == 58300.2001
    assert true_mjd("DEMO01", candid, 58300.9) == true_mjd(OID, "7", 58300.9) == 58300.9


def test_a_time_that_contradicts_the_candid_is_said():
    good = alert(58300.0, oid=OID, jd=58300.0 + JD_TO_MJD)
    candid = str(candid_of(58310.0))
    late = alert(true_mjd(OID, candid, 58310.4), oid=OID, candid=candid, jd=58310.4 + JD_TO_MJD)
    assert merge(OID, "made", [Packet(good)]).flags == ()
    (said,) = merge(OID, "made", [Packet(good), Packet(late)]).flags
    assert "1 detections" in said
    assert "0.40 d" in said
    assert "their candid, which is used" in said
