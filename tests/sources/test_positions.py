"""Positions that cannot be the object's are told, and taken from no feature."""

import math

import pytest

from tsc_core.alerts import Alert
from tsc_core.sources.base import Packet, merge
from tsc_core.sources.positions import STRAY_ARCSEC, mean_position, strays

OID = "ZTF18abcdefg"


def at(ra, dec, day=0, **fields):
    return Alert(OID, str(day), 58300.0 + day, 1, {"ra": ra, "dec": dec, "jd": 2458300.5 + day, **fields})


def test_detections_within_seconds_of_arc_are_no_strays():
    assert strays([]) == strays([at(10.0, 5.0)]) == {}
    assert strays([at(10.0, 5.0), at(10.0005, 5.0, 1)]) == {}  # 1.8 arcsec
    assert strays([at(0.0002, 89.9999), at(359.9, 89.9999, 1)]) == {}  # the pole
    assert strays([at(359.9999, 0.0), at(0.0001, 0.0, 1)]) == {}


def test_the_one_that_is_elsewhere_is_named_with_its_angle():
    alerts = [at(10.0, 5.0, day) for day in range(3)] + [at(190.0, -5.0, 3), at(10.0, 5.0 + 20 / 3600, 4)]
    found = strays(alerts)
    assert set(found) == {"3", "4"}
    assert found["3"] == pytest.approx(180 * 3600, rel=1e-3)
    assert found["4"] == pytest.approx(20.0, rel=1e-3)
    assert found["4"] > STRAY_ARCSEC
    assert set(strays(alerts[2:4])) == {"2", "3"}  # of two, either may be false
    assert strays([*alerts[:3], Alert(OID, "9", 58309.0, 1)]) == {}


def test_a_position_that_contradicts_its_own_record_is_told_even_of_one_detection():
    beside = {"ranr": 10.0, "decnr": 5.0, "distnr": 3.0}
    assert strays([at(10.0, 5.0 + 3.03 / 3600, **beside)]) == {}
    found = strays([at(10.0, 6.0, **beside)])
    assert found["0"] == pytest.approx(3600, rel=1e-2)
    assert strays([at(10.0, 5.0), at(10.0, 6.0, 1, **beside)]) == {"1": pytest.approx(3597, abs=1)}  # of two, this one
    for unknown in ({"ranr": -999.0}, {"decnr": -999.0}, {"distnr": -999.0}, {"distnr": math.nan}):
        assert strays([at(10.0, 6.0, **beside | unknown)]) == {}
    merged = merge(OID, "made", [Packet(at(10.0, 6.0, **beside))])
    assert math.isnan(merged.alerts[0].value("ra"))
    assert "counts as missing" in merged.flags[0]


def test_a_false_position_gives_way_to_the_others_and_is_said():
    history = tuple(at(150.0, 2.0, day) for day in range(3))
    merged = merge(OID, "made", [Packet(at(4.4, 53.7, 3, magpsf=18.0), history)])
    last = merged.alerts[-1]
    assert (last.value("ra"), last.value("dec")) == pytest.approx((150.0, 2.0))
    assert last.value("magpsf") == 18.0
    (said,) = merged.flags
    assert "position of 3" in said
    assert "deg; that of the other detections is used" in said
    assert mean_position(merged.alerts) == pytest.approx((150.0, 2.0))
