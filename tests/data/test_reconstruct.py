"""Earlier stamps from a later packet: flux follows the ratio, the template is kept, and the result is marked."""

from dataclasses import replace

import numpy as np
import pytest

from tsc_core.alerts import Alert, AlertSequence, Stamps
from tsc_core.data.reconstruct import LARGEST_RATIO, reconstruct

AXIS = np.arange(63) - 31
STAR = np.exp(-0.5 * (AXIS[:, None] ** 2 + AXIS**2) / 1.2**2).astype(np.float32)


def _alert(candid, mjd, mag, stamps=None, fid=1, sign="t"):
    record = {"magpsf": mag, "isdiffpos": sign, "diffmaglim": 20.5}
    return Alert("SIM1", candid, mjd, fid, record, stamps, None if stamps else "history")


def _packet(sign=1.0):
    noise = np.random.default_rng(0).normal(0, 1, (63, 63)).astype(np.float32)
    template = np.full((63, 63), 100.0, dtype=np.float32)
    change = sign * 1000 * STAR + noise
    return Stamps(template + change, template, sign * change)


def _sequence(*alerts):
    return AlertSequence("SIM1", "made", alerts)


def test_flux_follows_the_ratio():
    later = _alert("2", 10.0, 18.0, _packet())
    earlier = _alert("1", 5.0, 18.0 + 2.5 * np.log10(4))
    made = reconstruct(_sequence(earlier, later), np.random.default_rng(1)).alerts[0]
    core = np.s_[26:37, 26:37]
    light = (made.stamps.science - made.stamps.template)[core].sum()
    assert light == pytest.approx(0.25 * 1000 * STAR.sum(), rel=0.05)
    assert made.record["reconstructed"] is True
    assert made.missing is None
    assert np.array_equal(made.stamps.template, later.stamps.template)


def test_sign_of_a_fading_star():
    later = _alert("2", 10.0, 18.0, _packet())
    earlier = _alert("1", 5.0, 18.0, sign="f")
    made = reconstruct(_sequence(earlier, later), np.random.default_rng(1)).alerts[0]
    assert made.stamps.science[31, 31] < made.stamps.template[31, 31] - 900
    assert made.stamps.difference[31, 31] > 900  # ZTF sends template minus science for a negative candidate


def test_background_noise_is_the_packets():
    later = _alert("2", 10.0, 18.0, _packet())
    made = reconstruct(_sequence(_alert("1", 5.0, 18.5), later), np.random.default_rng(1)).alerts[0]
    assert np.std(made.stamps.difference[:20]) == pytest.approx(1.0, abs=0.1)


def test_left_alone():
    later = _alert("2", 10.0, 18.0, _packet())
    other_band = _alert("1", 5.0, 18.0, fid=2)
    too_bright = _alert("3", 6.0, 18.0 - 2.5 * np.log10(LARGEST_RATIO * 1.01))
    clipped = replace(
        later, stamps=Stamps(*(later.stamps.channel(c)[:62] for c in ("science", "template", "difference")))
    )
    first, second, kept = reconstruct(_sequence(other_band, too_bright, later), np.random.default_rng(1)).alerts
    assert (first.stamps, second.stamps) == (None, None)
    assert kept is later
    assert reconstruct(_sequence(_alert("1", 5.0, 18.0), clipped), np.random.default_rng(1)).alerts[0].stamps is None


def test_missing_pixels_stay_missing():
    stamps = _packet()
    for name in ("science", "template", "difference"):
        stamps.channel(name)[:5] = np.nan
    made = reconstruct(_sequence(_alert("1", 5.0, 18.2), _alert("2", 10.0, 18.0, stamps)), np.random.default_rng(1))
    assert np.isnan(made.alerts[0].stamps.science[:5]).all()
    assert np.isfinite(made.alerts[0].stamps.science[5:]).all()
