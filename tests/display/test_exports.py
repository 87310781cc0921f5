import csv
import gzip
import io
import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from tsc_core.alerts import CHANNELS, Alert, AlertSequence, Detection, Prediction, Stamps, Step
from tsc_core.display.exports import csv_text, detections_csv, probabilities_csv, snippet, stamp_fits, stamps_zip
from tsc_core.display.report import report_page
from tsc_core.display.strip import first_place, legend, shown_places, tiles
from tsc_core.sources.avro import HISTORY

HOSTILE = "<script>alert('x')</script>"
PIXELS = np.arange(63 * 63, dtype=np.float32).reshape(63, 63)
ALERTS = (
    Alert("ZTF18abcdefg", "1", 58300.0, 1, {"magpsf": 18.0}, None, HISTORY),
    Alert("ZTF18abcdefg", "2", 58301.0, 1, {"magpsf": 18.0, "sigmapsf": 0.1}, Stamps(PIXELS, PIXELS + 1, PIXELS + 2)),
    Alert("ZTF18abcdefg", "3", 58302.0, 2, {}, None, HOSTILE),
)
SEQUENCE = AlertSequence("ZTF18abcdefg", HOSTILE, ALERTS, flags=(HOSTILE,))
SEEN = (
    Detection("1", 58300.0, 1, 18.0, False, False, HISTORY),
    Detection("2", 58301.0, 1, 18.0, True, True, None),
    Detection("3", 58302.0, 2, float("nan"), False, False, HOSTILE),
)
PREDICTION = Prediction("ZTF18abcdefg", HOSTILE, SEEN, (Step(1, "stamp", {"AGN": 0.25, "SN": 0.75}),), None, (HOSTILE,))


def test_detections_as_csv_say_what_was_used_and_why_not():
    rows = list(csv.DictReader(io.StringIO(detections_csv(SEQUENCE, PREDICTION))))
    assert [row["used"] for row in rows] == ["False", "True", "False"]
    assert rows[0]["reason"] == HISTORY
    assert rows[0]["sigmapsf"] == ""  # unknown is empty, never 0 or nan


def test_probabilities_as_csv_leave_unknown_classes_empty():
    (row,) = csv.DictReader(io.StringIO(probabilities_csv(PREDICTION)))
    assert (row["SN"], row["VS"], row["model"]) == ("0.75", "", "stamp")


def test_a_formula_is_not_handed_to_a_spreadsheet():
    assert csv_text([{"a": "=1+1"}], ["a"]).splitlines()[1] == "'=1+1"


def test_stamps_as_fits_keep_pixels_and_orientation():
    with fits.open(io.BytesIO(gzip.decompress(stamp_fits(ALERTS[1], "template")))) as hdus:
        assert np.array_equal(hdus[0].data, PIXELS + 1)
        assert hdus[0].header["CANDID"] == "2"
    with zipfile.ZipFile(io.BytesIO(stamps_zip(SEQUENCE))) as archive:
        assert archive.namelist() == [f"2_{name}.fits.gz" for name in ("science", "template", "difference")]
    with pytest.raises(ValueError, match="no stamps"):
        stamp_fits(ALERTS[0], "science")


def test_the_report_is_one_page_and_escapes_what_came_from_elsewhere():
    page = report_page(SEQUENCE, PREDICTION, "first")
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page
    assert "0.750" in page
    assert "After 1: SN 75 %" in page
    drawn = [found.start() for found in re.finditer(r"Plotly\.newPlot\(\s*\"", page)]
    assert len(drawn) == 2
    assert page.index("plotly.js v") < drawn[0]  # the library stands before the first figure that needs it
    assert 'src="http' not in page.split("<h2>Elsewhere")[0].split("<h2>Stamps")[1]


def test_the_strip_folds_history_away_but_keeps_lost_packets_and_the_selected():
    assert shown_places(SEQUENCE, 1, {"2"}, history=False) == [1, 2]
    assert shown_places(SEQUENCE, 0, {"2"}, history=False) == [0, 1, 2]
    assert shown_places(SEQUENCE, 1, {"2"}) == [0, 1, 2]
    assert shown_places(SEQUENCE, 1, most=1) == [1]
    assert first_place(SEQUENCE, {"1", "2"}) == 1
    assert first_place(AlertSequence("ZTF18abcdefg", "x", ALERTS[:1]), ()) == 0


def test_a_tile_says_when_how_bright_and_why_not():
    drawn = tiles(SEQUENCE, {"1": HISTORY, "3": HOSTILE}, [0, 1, 2])
    assert [tile.reason for tile in drawn] == [HISTORY, None, HOSTILE]
    assert drawn[1].caption == "g 18.00±0.10, +1.0 d"
    assert drawn[0].title == "1 · 2018-07-01"
    assert drawn[1].alt == "Detection 2: science and template stamps"


def test_a_negative_difference_is_marked_and_explained():
    down = replace(ALERTS[1], record={**ALERTS[1].record, "isdiffpos": "f"})
    drawn = tiles(SEQUENCE, {}, [1])
    assert "(−)" not in drawn[0].caption + legend(SEQUENCE, [1], CHANNELS)
    sequence = replace(SEQUENCE, alerts=(ALERTS[0], down))
    assert tiles(sequence, {}, [1])[0].caption == "g 18.00±0.10 (−), +1.0 d"
    assert "(−): negative difference" in legend(sequence, [1], CHANNELS)


def test_the_strip_says_what_it_leaves_out_and_what_same_limits_do():
    assert "shown" not in legend(SEQUENCE, [0, 1, 2], CHANNELS)
    assert "one zero point" not in legend(SEQUENCE, [1], CHANNELS)
    assert "one zero point" in legend(SEQUENCE, [1], CHANNELS, common=True)
    assert legend(SEQUENCE, [1], CHANNELS).endswith("the others are not used and have no stamps.")
    one = legend(SEQUENCE, [0], CHANNELS)
    assert one.endswith("1 of 3 detections in the strip: those nearest to the selected one.")


@pytest.mark.slow
def test_the_snippet_runs_as_pasted():
    done = subprocess.run([sys.executable, "-c", snippet("demo", "DEMO02", "first")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 5


def test_the_snippet_quotes_what_it_is_given():
    hostile = '"); import os; os.system("x'
    compile(snippet(hostile, "DEMO02", "first"), "snippet", "exec")
    assert repr(hostile) in snippet(hostile, "DEMO02", "first")
