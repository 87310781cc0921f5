"""The public JSON of a prediction, and the same as text."""

import json
import math
from dataclasses import replace

from tsc_core.alerts import AllWise, Detection, Prediction, Step
from tsc_core.inference.results import as_json, as_text, failed

PREDICTION = Prediction(
    "ZTF18abcdefg",
    "night.tar.gz",
    (
        Detection("1034526141515010021", 58788.52614, 1, 18.25, True, True, None),
        Detection("1034526141515010022", 58788.6, 9, math.nan, False, False, "2.0 h after the previous one"),
    ),
    (Step(1, "stamp", {"AGN": 0.25, "SN": 0.75}),),
    AllWise(15.0, 14.0, 12.0, math.nan, 0.7, "J1234", 1),
    ("a flag",),
)


def test_the_line_has_the_keys_of_the_public_format():
    line = as_json(PREDICTION)
    assert list(line) == ["oid", "source", "allwise", "error", "detections", "steps", "flags"]
    assert list(line["detections"][0]) == ["candid", "mjd", "fid", "magpsf", "has_stamps", "used", "reason"]
    assert line["steps"] == [{"n": 1, "model": "stamp", "probabilities": {"AGN": 0.25, "SN": 0.75}}]
    assert line["error"] is None
    assert line["flags"] == ["a flag"]
    assert json.loads(json.dumps(line, allow_nan=False)) == line


def test_a_step_has_keys_for_what_is_known_of_its_doubt():
    step = replace(PREDICTION.steps[0], low={"AGN": 0.2, "SN": 0.7}, high={"AGN": 0.3, "SN": 0.8})
    step = replace(step, conformal=("AGN", "SN"), coverage=0.9, unlike=98.5)
    line = as_json(replace(PREDICTION, steps=(step,)))
    assert line["steps"] == [
        {
            "n": 1, "model": "stamp", "probabilities": {"AGN": 0.25, "SN": 0.75},
            "low": {"AGN": 0.2, "SN": 0.7}, "high": {"AGN": 0.3, "SN": 0.8},
            "conformal": ["AGN", "SN"], "coverage": 0.9, "unlike": 98.5,
        }
    ]  # fmt: skip
    assert as_text(line).splitlines()[-1].strip() == "SN 0.700 to 0.800 among the members; 90% set: AGN, SN"
    nothing = as_text(as_json(replace(PREDICTION, steps=(replace(step, conformal=()),))))
    assert nothing.endswith("90% set: none")


def test_an_object_that_was_learnt_from_has_no_span_of_members():
    step = replace(PREDICTION.steps[0], held_out=True, conformal=("SN",), coverage=0.9)
    line = as_json(replace(PREDICTION, steps=(step,)))
    assert (line["steps"][0]["low"], line["steps"][0]["high"]) == (None, None)
    assert as_text(line).splitlines()[-1].strip() == "90% set: SN"


def test_a_share_keeps_its_digits():
    for coverage, said in ((0.999, "99.9% set"), (0.925, "92.5% set"), (0.29, "29% set")):
        step = replace(PREDICTION.steps[0], conformal=("SN",), coverage=coverage)
        assert f"{said}: SN" in as_text(as_json(replace(PREDICTION, steps=(step,))))


def test_positive_speaks_for_the_class():
    maps = [{"channel": "science", "candid": "7", "change": [[0.5, 0.0], [-0.25, 0.0]]}]
    features = [{"name": "magpsf", "value": 18.25, "change": -1.5}, {"name": "drb", "value": None, "change": 0.75}]
    why = {"n": 1, "top": "SN", "log_odds": 2.0, "features": features, "maps": maps}
    rows = [row.strip() for row in as_text(as_json(PREDICTION) | {"explanation": why}).splitlines()[-3:]]
    assert rows == [
        "+1.50  magpsf = 18.25, speaks for SN",
        "-0.75  drb, speaks against SN",
        "-0.50  science of 7, patch 1 down and 1 across, speaks against SN",
    ]


def test_a_candid_stays_a_text_of_all_its_digits():
    text = json.dumps(as_json(PREDICTION))
    assert '"1034526141515010021"' in text
    assert '"1034526141515010022"' in text


def test_nan_is_null():
    line = as_json(PREDICTION)
    assert line["detections"][1]["magpsf"] is None
    assert line["allwise"] == {
        "w1": 15.0, "w2": 14.0, "w3": 12.0, "w4": None, "separation_arcsec": 0.7, "designation": "J1234", "others": 1,
    }  # fmt: skip


def test_an_object_that_could_not_be_read():
    line = failed("ZTF1", "demo", "is not an object id")
    assert line | {"error": None} == {
        "oid": "ZTF1", "source": "demo", "allwise": None, "error": None, "detections": [], "steps": [], "flags": [],
    }  # fmt: skip
    assert as_text(line).splitlines() == ["ZTF1  (demo)", "  error: is not an object id"]


def test_the_text_says_the_same():
    rows = as_text(as_json(PREDICTION)).splitlines()
    assert rows[0] == "ZTF18abcdefg  (night.tar.gz)"
    assert "note: a flag" in rows[1]
    assert rows[2].startswith("  * 58788.52614  g 18.25  1034526141515010021")
    assert rows[3].endswith("?   -    1034526141515010022  2.0 h after the previous one")
    assert rows[4] == "  n=1  SN 0.750  AGN 0.250  [stamp]"
