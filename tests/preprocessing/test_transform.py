"""Scaling against NumPy by hand; NaN never leaves; fitted values survive a file."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.made_objects import alert, fetched
from tsc_core.alerts import AllWise, Stamps
from tsc_core.config import PreprocessConfig
from tsc_core.preprocessing import Preprocessor, select_alerts
from tsc_core.preprocessing.transform import Scale, scale_stamps

DYNAMIC, STATIC = ("magpsf", "ndethist"), ("sgscore1", "sharpnr", "ra")
PLAIN = PreprocessConfig(crop=21, dynamic=DYNAMIC, static=STATIC)


def star(mjd, *numbers, **fields):
    magpsf, ndethist, sgscore1, sharpnr, ra = numbers
    return alert(mjd, magpsf=magpsf, ndethist=ndethist, sgscore1=sgscore1, sharpnr=sharpnr, ra=ra, dec=0.0, **fields)


FIRST = (star(58300.0, 18.0, 5, 0.9, -999.0, 10.0), star(58302.0, 19.0, 50, 0.1, 0.5, 11.0))
SECOND = (star(58400.0, 17.0, 10, -999.0, 2.5, 30.0),)
MATCH = AllWise(15.0, 14.0, 12.0, 9.0)
OBJECTS = [(FIRST, MATCH), (SECOND, None)]


def standardised(values, reference):
    return (np.asarray(values) - np.mean(reference)) / np.std(reference)


def test_metadata_are_those_of_a_calculation_by_hand():
    fitted = Preprocessor.fit(PLAIN, OBJECTS)
    example = fitted(FIRST, MATCH, label=2)
    np.testing.assert_allclose(example.dynamic[:, 0], standardised([18, 19], [18, 19, 17]), rtol=1e-6)
    np.testing.assert_allclose(example.dynamic[:, 1], standardised([5, 20], [5, 20, 10]), rtol=1e-6)  # clipped at 20
    np.testing.assert_allclose(example.dynamic[:, 2], standardised([0, 2], [0, 2, 0]), rtol=1e-6)  # days
    np.testing.assert_allclose(example.static[0], standardised(0.9, [0.9, -1]), rtol=1e-6)  # -999 is -1 by the clip
    np.testing.assert_allclose(example.static[1], standardised(-1, [-1, 1.5]), rtol=1e-6)
    np.testing.assert_allclose(example.static[2], standardised(10, [10, 30]), rtol=1e-6)  # of the first detection
    np.testing.assert_array_equal(example.allwise, [0, 0, 0, 0])  # the only match is the mean; all known
    assert example.label == 2
    for array in (example.stamps, example.dynamic, example.static, example.allwise):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


def test_limits_come_from_training_data():
    fitted = Preprocessor.fit(PLAIN, OBJECTS)
    beyond = fitted((star(58300.0, 25.0, 999, 0.9, 0.5, 10.0),))
    np.testing.assert_allclose(beyond.dynamic[0, 0], standardised(19, [18, 19, 17]), rtol=1e-6)


def test_missing_values_take_the_mean():
    example = Preprocessor.fit(PLAIN, OBJECTS)((alert(58300.0),))
    np.testing.assert_array_equal(example.dynamic[0, :2], [0, 0])
    np.testing.assert_array_equal(example.static, [0, 0, 0])


def test_a_missing_match_or_band_is_flagged():
    matches = [AllWise(15.0, 14.0, 12.0, 9.0), AllWise(15.0, 14.5, 12.0, 9.0)]
    fitted = Preprocessor.fit(PLAIN, [(FIRST, matches[0]), (SECOND, matches[1]), (SECOND, None)])
    np.testing.assert_allclose(fitted(FIRST, matches[0]).allwise, [1, -1, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(fitted(FIRST, None).allwise, [0, 0, 0, 1])
    partly = fitted(FIRST, AllWise(15.0, 14.0, 12.0, float("nan"))).allwise
    np.testing.assert_allclose(partly, [1, -1, 0, 1], atol=1e-6)
    blind = replace(fitted, config=replace(PLAIN, allwise=False))
    np.testing.assert_array_equal(blind(FIRST, matches[0]).allwise, [0, 0, 0, 1])


def test_a_feature_that_does_not_vary_or_is_never_there_stays_finite():
    same = [((star(58300.0, 18.0, 5, np.nan, 0.1, 10.0),), None)] * 3
    fitted = Preprocessor.fit(PLAIN, same)
    assert fitted.dynamic.std[0] == 1
    for example in (fitted(same[0][0]), fitted(FIRST, MATCH)):
        assert np.isfinite(example.static).all()
        assert np.isfinite(example.dynamic).all()
        assert np.isfinite(example.allwise).all()


def test_infinities_do_not_pass():
    fitted = Preprocessor.fit(PLAIN, OBJECTS)
    for value in (np.inf, -np.inf):
        assert np.isfinite(fitted((star(58300.0, value, 5, value, 0.1, 10.0),)).static).all()
        assert np.isfinite(fitted((star(58300.0, value, 5, value, 0.1, 10.0),)).dynamic).all()


def test_quantiles_tame_a_long_tail_and_keep_the_order():
    values = np.random.default_rng(0).pareto(0.5, (2000, 1))
    limits = [("min", "max")]
    scale = Scale.fit(("x",), limits, values, "quantile")
    scaled = scale(values)[:, 0]
    assert abs(scaled).max() < 2.6
    assert abs(np.median(scaled)) < 0.05
    assert 0.9 < scaled.std() < 1.1
    order = np.argsort(values[:, 0])
    assert (np.diff(scaled[order]) >= 0).all()
    assert scale(np.array([[np.nan]])) == 0
    again = Scale.from_dict(json.loads(json.dumps(scale.to_dict())))
    np.testing.assert_array_equal(again(values), scale(values))


def test_quantiles_of_a_column_of_ties():
    scale = Scale.fit(("x", "none"), [("min", "max")] * 2, np.array([[1.0, np.nan]] * 5), "quantile")
    assert np.isfinite(scale(np.array([[1.0, 3.0], [2.0, np.nan]]))).all()


def test_nothing_to_fit_on():
    for objects in ([], [((), None)]):
        with pytest.raises(ValueError, match="no training objects"):
            Preprocessor.fit(PLAIN, objects)
    with pytest.raises(ValueError, match="at least one alert"):
        Preprocessor.fit(PLAIN, OBJECTS)(())


def test_a_file_changes_nothing():
    for method in ("standard", "quantile"):
        fitted = Preprocessor.fit(replace(PLAIN, metadata_scaling=method), OBJECTS)
        again = Preprocessor.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
        assert again.config == fitted.config
        for name in ("stamps", "dynamic", "static", "allwise"):
            np.testing.assert_array_equal(getattr(again(FIRST, MATCH), name), getattr(fitted(FIRST, MATCH), name))


def broken(change):
    values = Preprocessor.fit(PLAIN, OBJECTS).to_dict()
    change(values)
    return values


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["dynamic"]["mean"].append(0.0),
        lambda v: v["dynamic"]["std"].__setitem__(0, float("nan")),
        lambda v: v["static"]["names"].reverse(),
        lambda v: v["config"]["dynamic"].reverse(),
        lambda v: v["config"].update(crop=99),
    ],
)
def test_statistics_that_do_not_fit_are_refused(change):
    with pytest.raises(ValueError):
        Preprocessor.from_dict(broken(change))


# --- stamps


def with_pixels(science, fid=1, mjd=58300.0):
    found = alert(mjd, fid=fid)
    return replace(found, stamps=Stamps(science.astype(np.float32), found.stamps.template, found.stamps.difference))


def test_stamps_are_scaled_by_the_limits_of_the_crop():
    pixels = np.random.default_rng(0).normal(100, 10, (63, 63))
    pixels[0, 0] = 1e6  # outside of the crop
    pixels[31, 31] = 200.0
    stamps, has = scale_stamps((with_pixels(pixels),), PLAIN)
    centre = pixels[21:42, 21:42].astype(np.float32)
    expected = np.clip((pixels - centre.min()) / (centre.max() - centre.min()), 0, 1)
    np.testing.assert_allclose(stamps[0, 0], expected, atol=1e-6)
    assert stamps[0, 0, 21:42, 21:42].min() == 0
    assert stamps[0, 0, 31, 31] == 1
    assert has.tolist() == [True]
    assert stamps.shape == (1, 2, 63, 63)


def test_nan_pixels_are_0_and_do_not_set_limits():
    pixels = np.full((63, 63), np.nan)
    pixels[31, 30:33] = [1.0, 2.0, 3.0]
    stamps, _ = scale_stamps((with_pixels(pixels),), PLAIN)
    np.testing.assert_allclose(stamps[0, 0, 31, 30:33], [0, 0.5, 1])
    assert stamps[0, 0].sum() == 1.5


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0, 0.0, -3e38])
def test_a_stamp_of_one_value_is_finite(value):
    stamps, _ = scale_stamps((with_pixels(np.full((63, 63), value)),), PLAIN)
    assert np.isfinite(stamps).all()
    assert (stamps[0, 0] == 0).all()


def test_a_missing_stamp_is_zeros_and_said_so():
    stamps, has = scale_stamps((alert(58300.0), alert(58301.0, with_stamps=False)), PLAIN)
    assert has.tolist() == [True, False]
    assert (stamps[1] == 0).all()
    stamps, has = scale_stamps((alert(58301.0, with_stamps=False),), PLAIN)
    assert stamps.shape == (1, 2, 63, 63)
    assert not has.any()


def test_scaling_along_the_sequence_keeps_the_brightening():
    faint = np.zeros((63, 63))
    bright = faint.copy()
    faint[31, 31], bright[31, 31] = 10, 100
    alerts = (with_pixels(faint), with_pixels(bright, mjd=58301.0), with_pixels(faint, fid=2, mjd=58302.0))
    single, _ = scale_stamps(alerts, PLAIN)
    shared, _ = scale_stamps(alerts, replace(PLAIN, scaling="sequence"))
    np.testing.assert_allclose(single[:, 0, 31, 31], [1, 1, 1])
    np.testing.assert_allclose(shared[:, 0, 31, 31], [0.1, 1, 1])  # bands apart


def test_channels_are_those_of_the_configuration_in_its_order():
    found = alert(58300.0)
    both, _ = scale_stamps((found,), PLAIN)
    other, _ = scale_stamps((found,), replace(PLAIN, channels=("difference", "template")))
    np.testing.assert_array_equal(both[0, 1], other[0, 1])
    assert not np.array_equal(both[0, 0], other[0, 0])


def test_nothing_given_is_changed():
    found = alert(58300.0)
    before = found.stamps.science.copy()
    scale_stamps((found,), replace(PLAIN, scaling="sequence"))
    np.testing.assert_array_equal(found.stamps.science, before)


def test_the_example_of_training_is_that_of_prediction(tmp_path):
    from tsc_core.data.loaders import ExampleSet, windows
    from tsc_core.data.store import Dataset, DatasetWriter
    from tsc_core.preprocessing import window_of

    made = [fetched(f"SIM{i}set", mjds=tuple(58300.2 + 3.1 * k + i for k in range(i + 2)), nan=i) for i in range(5)]
    made[2] = replace(made[2], allwise=MATCH, allwise_asked=True)
    made[4] = replace(made[4], alerts=(made[4].alerts[0], replace(made[4].alerts[1], stamps=None), *made[4].alerts[2:]))
    with DatasetWriter(tmp_path / "set") as writer:
        for found, label in zip(made, ("AGN", "SN", "VS", "AGN", "SN"), strict=True):
            writer.add(replace(found, label=label), origin="simulated")
    dataset = Dataset(tmp_path / "set")
    for window, scaling in (("first", "stamp"), ("last", "sequence")):
        config = PreprocessConfig(crop=21, scaling=scaling)
        fitted = Preprocessor.fit(config, windows(dataset, dataset.oids, 2, window))
        trained = ExampleSet(dataset, dataset.oids, fitted, 2, window)
        assert trained.oids == tuple(found.oid for found in made)
        for place, found in enumerate(made):
            expected = fitted(window_of(select_alerts(found, window), 2), found.allwise)
            example = trained.example(place)
            for name in ("stamps", "has_stamps", "dynamic", "static", "allwise"):
                np.testing.assert_array_equal(getattr(example, name), getattr(expected, name), err_msg=name)
