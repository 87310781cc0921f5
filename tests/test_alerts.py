"""Alerts, cross-matches and ids: typed, frozen, NaN where there is no number."""

import dataclasses
import math

import numpy as np
import pytest

from tests.made_objects import alert, sequence, stamps
from tsc_core.alerts import CHANNELS, AllWise
from tsc_core.survey import check_oid, is_made


@pytest.mark.parametrize("found", [None, "18.5", "t", True, False, [18.5], math.nan])
def test_what_is_no_number_is_nan(found):
    assert math.isnan(alert(58300.0, magpsf=found).value("magpsf"))
    assert math.isnan(alert(58300.0).value("magpsf"))


@pytest.mark.parametrize("found", [18, 18.0, np.float32(18), np.int16(18)])
def test_numbers_of_every_type_are_floats(found):
    value = alert(58300.0, magpsf=found).value("magpsf")
    assert value == 18.0
    assert type(value) is float


def test_nothing_can_be_changed_in_place():
    for thing, name in ((alert(1.0), "mjd"), (sequence(), "oid"), (stamps(), "science"), (AllWise(1, 2, 3, 4), "w1")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)
        with pytest.raises((AttributeError, TypeError)):
            thing.extra = 1  # slots


def test_channels_by_name():
    cutouts = stamps(3)
    assert [cutouts.channel(name) is getattr(cutouts, name) for name in CHANNELS] == [True] * 3
    assert cutouts.shape == (63, 63)
    assert alert(1.0).has_stamps
    assert not alert(1.0, with_stamps=False).has_stamps


def test_colours_are_nan_where_a_band_is():
    first, second, third = AllWise(15.0, 14.0, math.nan, 9.0).colours
    assert first == 1.0
    assert math.isnan(second)
    assert math.isnan(third)


@pytest.mark.parametrize("oid", ["ZTF18abcdefg", "ZTF99zzzzzzz", "DEMO01", "SIM1abc", "SIM20250101x"])
def test_good_ids(oid):
    assert check_oid(oid) == oid


@pytest.mark.parametrize(
    "oid",
    ["", "ZTF18abcdef", "ZTF18abcdefgh", "ztf18abcdefg", "ZTF18ABCDEFG", "ZTF18abcdefg\n", " ZTF18abcdefg",
     "ZTF१८abcdefg", "../ZTF18abcdefg", "DEMO", "DEMO01/..", "SIM1" + "a" * 40, None, 18, b"ZTF18abcdefg"],
)  # fmt: skip
def test_bad_ids_are_refused_by_name(oid):
    with pytest.raises(ValueError, match="is not an object id") as caught:
        check_oid(oid)
    assert str(oid)[:10].strip() in str(caught.value) or "\\" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_made_id_cannot_be_taken_for_one_of_ztf():
    assert is_made("DEMO01")
    assert is_made("SIM1abc")
    assert not is_made("ZTF18abcdefg")
