import math

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from tests.sources.conftest import PATIENT
from tsc_core.alerts import Alert
from tsc_core.sources.allwise import AllWiseService, _source
from tsc_core.sources.base import SourceError
from tsc_core.sources.http import Session
from tsc_core.sources.loopback import Fault, Faults
from tsc_core.sources.positions import mean_position, separation_arcsec


def at(ra, dec):
    return Alert("ZTF18abcdefg", "1", 58000.0, 1, {"ra": ra, "dec": dec})


@pytest.fixture
def service(server):
    with Session(PATIENT) as session:
        yield AllWiseService(session)


def test_mean_position_across_zero_hours():
    ra, dec = mean_position([at(359.999, 1.0), at(0.001, 1.0)])
    assert min(ra, 360.0 - ra) < 1e-9
    assert dec == pytest.approx(1.0, abs=1e-8)
    assert mean_position([at(10.0, 0.0), at(12.0, 0.0), Alert("ZTF18abcdefg", "2", 1.0, 1)])[0] == pytest.approx(11.0)
    assert mean_position([Alert("ZTF18abcdefg", "2", 1.0, 1)]) is None


def test_separation_agrees_with_astropy():
    from astropy import units
    from astropy.coordinates import SkyCoord

    a, b = (150.0, 2.0), (150.0004, 2.0001)
    truth = SkyCoord(*a, unit=units.deg).separation(SkyCoord(*b, unit=units.deg)).arcsec
    assert separation_arcsec(a, b) == pytest.approx(truth, rel=1e-9)


def test_nearest_wins_and_the_others_are_told(service):
    match = service.match_one((150.0, 2.0))
    assert match.designation == "J100000.00+020000.0"
    assert match.others == 1
    assert match.separation_arcsec == pytest.approx(0.3598, abs=1e-3)


def test_missing_bands_are_nan(service):
    match = service.match_one((150.0, 2.0))
    assert (match.w1, match.w2) == (14.2, 13.9)
    assert math.isnan(match.w3)
    assert np.isnan(match.colours).tolist() == [False, True, True]


def test_an_upper_limit_is_no_measurement():
    table = Table(
        {
            "angDist": [0.3],
            **{f"W{band}mag": [mag] for band, mag in zip("1234", (14.2, 13.9, 12.6, 8.9), strict=True)},
            **{f"e_W{band}mag": MaskedColumn([0.05], mask=[band in "34"]) for band in "123"},
        }
    )
    found = _source(table[0], (150.0, 2.0))
    assert (found.w1, found.w2, found.w4) == (14.2, 13.9, 8.9)  # of W4 the answer gives no errors at all
    assert math.isnan(found.w3)


def test_no_match_within_two_arcsec(service):
    assert service.match_one((150.0, 2.001)) is None
    assert service.match_one((10.0, -20.0)) is None


def test_thousands_in_one_request(service, server):
    positions = {f"name{i}": (i * 0.1, 2.0) for i in range(3000)}
    found = service.match(positions)
    assert list(found) == list(positions)
    assert [name for name, match in found.items() if match] == ["name1500"]
    assert [request.target for request in server.requests] == ["POST /xmatch/api/v1/sync"]
    assert service.match({}) == {}


@pytest.mark.parametrize("action", ["html", "empty", "short", "status:500", "huge", "redirect:http://example.org/"])
def test_a_bad_answer_is_one_kind_of_error(service, server, action):
    server.misbehave(Faults(rules=(Fault("xmatch", action),)))
    with pytest.raises(SourceError):
        service.match_one((150.0, 2.0))


def test_a_wrong_address_is_told(monkeypatch):
    monkeypatch.setenv("TSC_XMATCH_URL", "file:///etc/passwd")
    with pytest.raises(SourceError, match="TSC_XMATCH_URL"):
        AllWiseService(Session(PATIENT))
