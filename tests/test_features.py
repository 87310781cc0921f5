"""The feature table against the paper, coordinates against astropy, and what is read where a field is missing."""

import math

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import ICRS, BarycentricMeanEcliptic, Galactic, SkyCoord, angular_separation
from hypothesis import given
from hypothesis import strategies as st

from tests.made_objects import alert, fetched
from tsc_core import features
from tsc_core.alerts import AllWise

PAPER_LIMITS = {  # paper, Table 3
    "sgscore1": (-1, "max"), "sgscore2": (-1, "max"), "sgscore3": (-1, "max"),
    "distpsnr1": (-1, "max"), "distpsnr2": (-1, "max"), "distpsnr3": (-1, "max"),
    "fwhm": ("min", 10), "ndethist": ("min", 20), "ncovhist": ("min", 3000), "non_detections": ("min", 2000),
    "chinr": (-1, 15), "sharpnr": (-1, 1.5),
}  # fmt: skip
PAPER_DYNAMIC = [
    "isdiffpos",
    "magpsf",
    "sigmapsf",
    "diffmaglim",
    "classtar",
    "fwhm",
    "ndethist",
    "ncovhist",
    "non_detections",
]


def one(name, **record):
    return features.read(alert(58300.0, **record), features.FEATURES[name])


def test_the_table_is_that_of_the_paper():
    assert set(features.DYNAMIC) == set(PAPER_DYNAMIC)
    assert len(features.DYNAMIC) == 9
    assert len(features.STATIC) == 14
    for feature in features.PAPER:
        assert (feature.low, feature.high) == PAPER_LIMITS.get(feature.name, ("min", "max")), feature.name
    assert len(features.FEATURES) == len(features.PAPER) + len(features.EXTRAS)  # no name twice


@pytest.mark.parametrize("system", ["galactic", "ecliptic"])
def test_coordinates_agree_with_astropy(system):
    rng = np.random.default_rng(0)
    ra = np.concatenate([rng.uniform(0, 360, 300), [0, 0, 359.9999, 192.8595, 266.405]])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 300))), [90, -90, 0, 27.1283, -28.936]])
    frame = {"galactic": Galactic(), "ecliptic": BarycentricMeanEcliptic(equinox="J2000")}[system]
    expected = SkyCoord(ra, dec, unit="deg", frame=ICRS()).transform_to(frame).spherical
    found = np.radians([getattr(features, system)(*position) for position in zip(ra, dec, strict=True)]).T
    gap = angular_separation(*found, expected.lon.rad, expected.lat.rad)
    assert np.degrees(gap).max() * 3600 < 0.1
    assert ((found[0] >= 0) & (found[0] < 2 * np.pi)).all()
    assert expected.lon.unit.is_equivalent(u.deg)


@given(st.floats(0, 360), st.floats(-90, 90))
def test_coordinates_stay_in_range(ra, dec):
    for system in (features.galactic, features.ecliptic):
        lon, lat = system(ra, dec)
        assert 0 <= lon <= 360
        assert -90 <= lat <= 90


@pytest.mark.parametrize("spelling", ["t", "T", "true", "1", "1.0", 1, 1.0, True, np.int64(1), " t "])
def test_a_positive_difference_is_1(spelling):
    assert one("isdiffpos", isdiffpos=spelling) == 1


@pytest.mark.parametrize("spelling", ["f", "F", "false", "0", "-1", 0, -1, -1.0, False, np.float64(-1)])
def test_a_negative_difference_is_0(spelling):
    assert one("isdiffpos", isdiffpos=spelling) == 0


@pytest.mark.parametrize("spelling", ["", "yes", None, 2, math.nan])
def test_an_unknown_sign_is_nan(spelling):
    assert math.isnan(one("isdiffpos", isdiffpos=spelling))
    assert math.isnan(one("isdiffpos"))


def test_derived_values():
    assert one("non_detections", ncovhist=300, ndethist=12) == 288
    assert one("is_g") == 1
    assert features.read(alert(58300.0, fid=2), features.FEATURES["is_g"]) == 0
    assert one("mag_minus_ref", magpsf=18.0, magnr=19.5) == -1.5
    assert one("mag_below_limit", magpsf=18.0, diffmaglim=20.5) == 2.5
    assert one("log_distnr", distnr=100.0) == pytest.approx(2 + math.log10(1.01))
    assert one("log_distnr", distnr=0.0) == -2  # the floor
    assert one("log_detected_fraction", ndethist=3, ncovhist=300) == pytest.approx(-2)
    assert one("log_age", jdstarthist=58300.0 + 2400000.5 - 100) == pytest.approx(2)
    south = {"ra": 12.85947789, "dec": -27.12825241}  # the galactic south pole
    assert one("gal_lat", **south) == pytest.approx(-90, abs=1e-5)
    assert one("abs_gal_lat", **south) == pytest.approx(90, abs=1e-5)
    assert one("gal_lat", ra=192.85947789, dec=27.12825241) == pytest.approx(90, abs=1e-5)


def test_missing_values_of_ztf():
    assert one("sgscore1", sgscore1=-999.0) == -999  # the paper: -1 through the clip
    assert one("distpsnr2", distpsnr2=-999.0) == -999
    for name, record in {
        "ps1_gr1": {"sgmag1": -999.0, "srmag1": 19.0},
        "elong": {"elong": -999.0},
        "log_neargaia": {"neargaia": -999.0},
    }.items():
        assert math.isnan(one(name, **record)), name


def test_a_counterpart_beyond_the_search_is_none():
    filled_in = {"sgscore1": 0.2, "distpsnr1": 120.0, "neargaia": 300.0, "sgscore2": 0.9, "distpsnr2": 29.9}
    for name in ("sgscore1", "distpsnr1", "log_distpsnr1", "log_neargaia"):
        assert math.isnan(one(name, **filled_in)), name
    assert one("sgscore2", **filled_in) == 0.9
    assert one("distpsnr2", **filled_in) == 29.9


@pytest.mark.parametrize("name", features.FEATURES)
def test_an_empty_record_gives_nan(name):
    value = one(name)
    assert math.isnan(value) or name == "is_g"


def test_a_complete_packet_has_the_features_of_the_paper():
    alerts = fetched().alerts
    values = features.read_dynamic(alerts, features.lookup(features.DYNAMIC, "dynamic"))
    assert values.shape == (5, 9)
    assert np.isfinite(values).all()
    assert np.isfinite(features.read_static(alerts, features.lookup(features.STATIC, "static"))).all()


def test_static_features_come_from_the_first_detection_that_has_them():
    table = features.lookup(("sgscore1", "ra"), "static")
    history, first, second = (
        alert(1.0, ra=10.0),
        alert(2.0, ra=11.0, sgscore1=-999.0),
        alert(3.0, ra=12.0, sgscore1=0.5),
    )
    np.testing.assert_array_equal(features.read_static((history, first, second), table), [-999.0, 10.0])
    np.testing.assert_array_equal(features.read_static((history,), table), [np.nan, 10.0])


def test_shapes_without_features_or_alerts():
    assert features.read_dynamic((alert(1.0), alert(2.0)), ()).shape == (2, 0)
    assert features.read_dynamic((), features.lookup(("magpsf",), "dynamic")).shape == (0, 1)
    assert features.time_differences(()).shape == (0,)


def test_time_differences_are_days_since_the_previous_detection():
    alerts = tuple(alert(mjd) for mjd in (58300.0, 58300.25, 58310.0))
    np.testing.assert_array_equal(features.time_differences(alerts), [0, 0.25, 9.75])


def test_colours():
    np.testing.assert_allclose(features.read_colours(AllWise(15.0, 14.5, 12.0, math.nan)), [0.5, 2.5, math.nan])
    assert np.isnan(features.read_colours(None)).all()


def test_lookup_refuses_by_name():
    with pytest.raises(ValueError, match=r"unknown feature 'magpfs'"):
        features.lookup(("magpsf", "magpfs"), "dynamic")
    with pytest.raises(ValueError, match=r"'ra' is static, but is listed as dynamic"):
        features.lookup(("ra",), "dynamic")
