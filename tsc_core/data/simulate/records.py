"""The candidate record of each alert: every field of ZTF's schema, from what was drawn and measured."""

from __future__ import annotations

import math

import numpy as np

from tsc_core.data.simulate.cadence import Visits
from tsc_core.data.simulate.catalogues import Catalogues
from tsc_core.data.simulate.measure import Measured
from tsc_core.data.simulate.origins import Origin
from tsc_core.data.simulate.timeline import Timeline
from tsc_core.survey import ZTF

JD = 2400000.5
NIGHT_ZERO = 57754.0  # MJD of night 0 in ZTF's ids
RB_VERSIONS = ((58400.0, "t8_f5_c3"), (58460.0, "t15_f5_c3"), (1e9, "t17_f5_c3"))
DRB_SINCE, DRB_VERSION = 58659.0, "d6_m7"
ZERO_POINTS_SINCE, EXPTIME_SINCE = 58330.0, 58420.0  # packets before these dates lack the fields
CALIBRATED = ("magzpsci", "magzpsciunc", "magzpscirms", "clrcoeff", "clrcounc")
STATED = (
    "magpsf", "sigmapsf", "chipsf", "magap", "sigmagap", "magapbig", "sigmagapbig", "sky", "scorr",
    "fwhm", "seeratio", "aimage", "bimage", "classtar", "nneg", "sumrat", "rb",
)  # fmt: skip


def exposure_ids(mjd: float, rcid: int, entry: int) -> tuple[int, int, int]:
    """nid, pid and candid as ZTF makes them of the time, the readout channel and the entry in its list."""
    elapsed = round((mjd - NIGHT_ZERO) * 1e6)
    pid = elapsed * 1000 + rcid * 10 + 5
    return int(mjd - NIGHT_ZERO), pid, pid * 1_000_000 + 15_000 + entry


def visit_record(visits: Visits, at: int, place: dict[str, int]) -> dict[str, object]:
    """The fields that even a visit without a detection has."""
    mjd, fid = float(visits.mjd[at]), int(visits.fid[at])
    nid, pid, _ = exposure_ids(mjd, place["rcid"], 0)
    band = {1: "g", 2: "r"}[fid]
    return {
        "jd": mjd + JD,
        "fid": fid,
        "pid": pid,
        "diffmaglim": float(visits.limit[at]),
        "pdiffimfilename": f"sim_{pid}_{place['field']:06d}_z{band}_scimrefdiffimg.fits",
        "programpi": "Simulated",
        "programid": 1,
        "candid": None,
        "nid": nid,
        "rcid": place["rcid"],
        "field": place["field"],
        "magzpsci": float(visits.zeropoint[at]),
        "magzpsciunc": 1e-5,
        "magzpscirms": 0.035,
        "clrcoeff": -0.04 if fid == 1 else 0.1,
        "clrcounc": 2e-5,
        "rbversion": next(version for until, version in RB_VERSIONS if mjd < until),
    }


def detection_record(
    origin: Origin,
    visits: Visits,
    at: int,
    place: dict[str, int],
    measured: Measured,
    index: int,
    catalogues: Catalogues,
    rng: np.random.Generator,
) -> dict[str, object]:
    """The fields of a detection as `prv_candidates` carries it: visit, photometry, shape, reference source."""
    record = visit_record(visits, at, place)
    m = {name: getattr(measured, name)[index].item() for name in measured.__slots__}
    entry = int(rng.exponential(25.0))
    fine = 1.0 / math.cos(math.radians(origin.dec))
    near = catalogues.reference(record["fid"]).nearest(m["x"], m["y"])
    step = ZTF.pixel_arcsec / 3600.0
    record |= {key: near[key] for key in ("distnr", "magnr", "sigmagnr", "chinr", "sharpnr")}
    record |= {
        "candid": exposure_ids(float(visits.mjd[at]), place["rcid"], entry)[2],
        "isdiffpos": "t" if m["positive"] else "f",
        "tblid": entry,
        "xpos": place["x"] + float(rng.normal(0, 20)),
        "ypos": place["y"] + float(rng.normal(0, 20)),
        "ra": round((origin.ra - m["x"] * step * fine) % 360.0, 7),
        "dec": round(origin.dec - m["y"] * step, 7),
        "ranr": round((origin.ra - near["x"] * step * fine) % 360.0, 7),
        "decnr": round(origin.dec - near["y"] * step, 7),
        "magdiff": m["magap"] - m["magpsf"],
        "magfromlim": record["diffmaglim"] - m["magap"],
        "mindtoedge": float(min(place["x"], 3072 - place["x"], place["y"], 3080 - place["y"])),
        "aimagerat": m["aimage"] / max(m["fwhm"], 0.1),
        "bimagerat": m["bimage"] / max(m["fwhm"], 0.1),
        "elong": m["aimage"] / max(m["bimage"], 0.01),
        "nbad": 0,
        **_solar_system(origin, m["magpsf"], rng),
    }
    return record | {name: m[name] for name in STATED}


def _solar_system(origin: Origin, mag: float, rng: np.random.Generator) -> dict[str, object]:
    if origin.label != "asteroid" or rng.uniform() < 0.1:
        return {"ssdistnr": -999.0, "ssmagnr": -999.0, "ssnamenr": "null"}
    return {
        "ssdistnr": 0.0,
        "ssmagnr": round(mag + rng.normal(0.1, 0.3), 1),
        "ssnamenr": str(rng.integers(1000, 400000)),
    }


def packet_record(
    record: dict[str, object],
    timeline: Timeline,
    at: int,
    catalogues: Catalogues,
    measured: Measured,
    index: int,
    rng: np.random.Generator,
) -> dict[str, object]:
    """The candidate record of a packet: a detection plus the fields that ZTF gives packets alone."""
    jd, fid = record["jd"], record["fid"]
    reference = rng.uniform(58194.0, 58260.0) + JD
    mjd = jd - JD
    drb = float(measured.drb[index]) if mjd > DRB_SINCE else None
    where = float(measured.x[index]), float(measured.y[index])
    seen = {name: None if mjd < ZERO_POINTS_SINCE else record[name] for name in CALIBRATED}
    return {
        **record,
        **seen,
        **catalogues.ps1(*where),
        **(catalogues.gaia(*where) if mjd > ZERO_POINTS_SINCE else {}),
        "ndethist": int(timeline.ndethist[at]),
        "ncovhist": int(timeline.ncovhist[at]),
        "jdstarthist": float(min(timeline.jdstarthist[at], jd)),
        "jdendhist": jd,
        "tooflag": 0,
        "rfid": record["field"] * 1_000_000 + record["rcid"] * 100 + fid * 10_000,
        "jdstartref": reference,
        "jdendref": reference + rng.uniform(20.0, 120.0),
        "nframesref": 15 + int(rng.exponential(4.0)),
        "dsnrms": float(measured.dsnrms[index]),
        "ssnrms": float(measured.ssnrms[index]),
        "dsdiff": float(measured.dsnrms[index] - measured.ssnrms[index]),
        "nmatches": int(rng.integers(300, 2000)),
        "zpclrcov": -1.5e-5,
        "zpmed": record["magzpsci"] - 0.02,
        "clrmed": 0.65,
        "clrrms": 0.28,
        "exptime": 30.0 if mjd > EXPTIME_SINCE else None,
        "drb": drb,
        "drbversion": DRB_VERSION if drb is not None else "",
    }


def chip_place(rng: np.random.Generator) -> dict[str, int]:
    """Field, readout channel and pixel of an object, the same in all visits."""
    return {
        "field": int(rng.integers(250, 880)),
        "rcid": int(rng.integers(64)),
        "x": int(rng.integers(40, 3032)),
        "y": int(rng.integers(40, 3040)),
    }
