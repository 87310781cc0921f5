import base64
import io
import time

import numpy as np
import pytest
from PIL import Image

from tests.packet_maker import stamp
from tsc_core.alerts import Alert, Stamps
from tsc_core.display.stamps import (
    BAR_COLOUR,
    NAN_COLOUR,
    SCALE,
    STRETCHES,
    common_limits,
    comparable,
    draw_stamp,
    draw_tile,
    inline,
    pixel_limits,
    stretched,
)


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def alert(flux=500.0, fid=1, stamps=True):
    pixels = stamp(1, flux=flux)
    return Alert("DEMO01", "1", 58000.0, fid, {}, Stamps(pixels, pixels, pixels) if stamps else None)


@pytest.mark.parametrize("stretch", STRETCHES)
def test_levels_rise_with_counts_and_stay_between_black_and_white(stretch):
    ramp = np.linspace(-50, 150, 63 * 63).reshape(63, 63)
    level = stretched(ramp, stretch, (0.0, 100.0))
    assert level.min() == pytest.approx(0.0)
    assert level.max() == pytest.approx(1.0)
    assert (np.diff(level.ravel()) >= 0).all()


def test_linear_is_linear_and_asinh_lifts_the_faint():
    middle = np.array([[50.0]])
    assert stretched(middle, "linear", (0.0, 100.0))[0, 0] == pytest.approx(0.5)
    assert stretched(middle, "asinh", (0.0, 100.0))[0, 0] > 0.5


@pytest.mark.parametrize(("stretch", "astropys"), [("asinh", "AsinhStretch"), ("log", "LogStretch")])
def test_the_stretches_are_those_of_astropy(stretch, astropys):
    visualization = pytest.importorskip("astropy.visualization")
    level = np.linspace(0, 1, 101)
    assert stretched(level, stretch, (0.0, 1.0)) == pytest.approx(getattr(visualization, astropys)()(level))


def test_an_unknown_stretch_is_refused_by_name():
    with pytest.raises(ValueError, match="sqrt"):
        stretched(np.zeros((2, 2)), "sqrt", (0.0, 1.0))


def test_limits_are_percentiles_of_the_finite_pixels():
    pixels = np.append(np.arange(1000.0), np.nan).reshape(7, 143)
    low, high, _ = pixel_limits([pixels], "asinh")
    assert (low, high) == pytest.approx(tuple(np.percentile(np.arange(1000.0), (0.5, 99.95))))


@pytest.mark.parametrize("pixels", [np.full((63, 63), np.nan), np.full((63, 63), 7.0)])
@pytest.mark.parametrize("stretch", STRETCHES)
def test_an_empty_or_constant_stamp_can_be_drawn(pixels, stretch):
    low, high, softening = pixel_limits([pixels], stretch)
    assert low < high
    assert softening > 0
    assert picture(draw_stamp(pixels, stretch)).shape == (63 * SCALE, 63 * SCALE, 4)


def test_nan_has_a_colour_of_its_own_and_pixels_are_squares():
    pixels = stamp(3)
    pixels[10, 20] = np.nan
    drawn = picture(draw_stamp(pixels))[:, :, :3]
    block = drawn[10 * SCALE : 11 * SCALE, 20 * SCALE : 21 * SCALE].reshape(-1, 3)
    assert (block == NAN_COLOUR).all()
    grey = drawn[:40, :40].reshape(10, SCALE, 10, SCALE, 3)
    assert (grey == grey[:, :1, :, :1]).all()  # each stamp pixel is one square: nothing is smoothed


def test_row_0_is_at_the_top_and_column_0_at_the_left():
    pixels = np.zeros((63, 63))
    pixels[0, 5] = 100.0
    drawn = picture(draw_stamp(pixels, "linear", (0.0, 100.0)))[:, :, 0]
    assert np.argwhere(drawn[:200] == 255).min(0).tolist() == [0, 5 * SCALE]


def test_the_bar_is_10_arcsec_long():
    drawn = picture(draw_stamp(np.zeros((63, 63)), "linear", (0.0, 1.0)))[:, :, :3]
    columns = np.flatnonzero((drawn == BAR_COLOUR).all(2).any(0))
    assert len(columns) == round(10.0 / 1.01 * SCALE)


def test_common_limits_are_those_of_all_stamps_of_a_band():
    faint, bright, red = alert(100.0), alert(5000.0), alert(50.0, fid=2)
    limits = common_limits([faint, bright, red], "science", "linear")
    assert set(limits) == {1, 2}
    assert limits[1][1] > pixel_limits([faint.stamps.science], "linear")[1]
    own = picture(draw_tile(faint, ["science"], "linear"))
    shared = picture(draw_tile(faint, ["science"], "linear", {"science": limits}))
    assert shared[:200, :, 0].max() < own[:200, :, 0].max()  # beside the bright one the faint one is faint


def exposure(sky, zero, magnitude=19.0):
    """A star of a magnitude on a sky that is level but for noise, through a night of a zero point."""
    y, x = np.mgrid[-31:32, -31:32]
    star = np.exp(-(x**2 + y**2) / 8) * 10 ** (-0.4 * (magnitude - zero)) / (8 * np.pi)
    pixels = (sky + np.random.default_rng(0).normal(0, 1, star.shape) + star).astype(np.float32)
    return Alert("DEMO01", "1", 58000.0, 1, {"magzpsci": zero}, Stamps(pixels, pixels, pixels))


def test_with_same_limits_an_unchanged_star_looks_the_same_whatever_sky_and_zero_point():
    dark, bright = exposure(100.0, 26.0), exposure(400.0, 26.6)
    assert comparable(bright, "science")[31, 31] == pytest.approx(comparable(dark, "science")[31, 31], rel=0.02)
    limits = {"science": common_limits([dark, bright], "science", "linear")}
    grey = [picture(draw_tile(one, ["science"], "linear", limits))[..., 0].astype(int) for one in (dark, bright)]
    middle = 31 * SCALE
    assert abs(grey[0][middle, middle] - grey[1][middle, middle]) < 8
    assert abs(np.median(grey[0]) - np.median(grey[1])) < 8  # the brighter sky makes no brighter grey
    for record in ({}, {"magzpsci": 1e9}, {"magzpsci": -999.0}):
        unknown = Alert("DEMO01", "1", 58000.0, 1, record, dark.stamps)
        assert comparable(unknown, "science") == pytest.approx(dark.stamps.science - np.median(dark.stamps.science))


def test_a_bright_star_does_not_hide_a_faint_target():
    rng, (y, x) = np.random.default_rng(0), np.mgrid[-31:32, -31:32]
    pixels = 100 + rng.normal(0, 5, (63, 63)) + 50 * np.exp(-(x**2 + y**2) / 8)  # 10 sigma at its peak
    pixels += 50_000 * np.exp(-((x - 15) ** 2 + (y + 20) ** 2) / 8)
    level = stretched(pixels, "asinh", pixel_limits([pixels], "asinh"))
    assert level[31, 31] > np.median(level) + 0.1
    assert level[11, 46] == pytest.approx(1.0)


def test_drawing_leaves_the_pixels_alone():
    one = alert()
    before = one.stamps.science.copy()
    draw_tile(one, dim=True)
    assert np.array_equal(one.stamps.science, before)


def test_a_detection_without_stamps_and_one_of_another_size_are_drawn():
    assert picture(draw_tile(alert(stamps=False))).shape[1] == 63 * SCALE
    odd = Stamps(stamp(1, (62, 63)), stamp(2), stamp(3, (63, 40)))
    assert (
        picture(draw_tile(Alert("DEMO01", "1", 58000.0, 1, {}, odd), ("science", "difference"))).shape[1] == 63 * SCALE
    )


def test_a_stamp_takes_less_than_5_ms():
    one = alert()
    draw_tile(one)
    times = []
    for _ in range(20):
        started = time.process_time()
        draw_tile(one, ("science",))
        times.append(time.process_time() - started)
    assert min(times) < 0.005


def test_a_picture_may_be_its_own_address():
    png = draw_stamp(np.zeros((63, 63), np.float32))
    address = inline(png)
    assert address.startswith("data:image/png;base64,")
    assert base64.b64decode(address.partition(",")[2]) == png
