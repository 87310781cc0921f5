import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tsc_core.alerts import Alert, AlertSequence, Step, UpperLimit
from tsc_core.display.links import broker_links, position, sky_links
from tsc_core.display.photometry import corrected, light_curve, points
from tsc_core.display.progression import Reference, progression
from tsc_core.display.text import days_text, percent, plain_markdown, plain_plotly, span, utc_text


def detection(place, magnitude=18.0, fid=1, **record):
    values = {"magpsf": magnitude, "sigmapsf": 0.1, "ra": 10.0, "dec": 5.0, **record}
    return Alert("ZTF18abcdefg", str(place), 58300.0 + place, fid, values)


SEQUENCE = AlertSequence(
    "ZTF18abcdefg",
    "test",
    (detection(0), detection(1, fid=2), detection(2, 17.5), detection(3, math.nan)),
    (UpperLimit(58299.0, 1, 20.1), UpperLimit(58299.5, 3, 20.0)),
)


def named(figure, start):
    return [trace for trace in figure.data if (trace.name or "").startswith(start)]


def test_each_band_is_one_legend_group_with_its_limits_and_rings():
    figure = light_curve(SEQUENCE, used={"0", "2"})
    (green,) = named(figure, "g (2)")
    assert {trace.legendgroup for trace in figure.data} == {"band 1", "band 2", "band 3"}
    assert list(green.y) == [18.0, 17.5]
    assert [place for (place,) in green.customdata] == [0, 2]
    rings = [trace for trace in named(figure, "used by the model") if trace.legendgroup == "band 1"]
    assert list(rings[0].y) == [18.0, 17.5]
    limits = named(figure, "g limits")[0]
    assert list(limits.y) == [20.1]
    assert not limits.showlegend
    assert named(figure, "i limits")[0].showlegend  # a band of limits alone can be switched off too
    assert figure.layout.yaxis.autorange == "reversed"


def test_negative_differences_are_hollow_and_say_so():
    signs = ("t", "f", "f", None)
    alerts = tuple(detection(place, 18.0 + place, isdiffpos=sign) for place, sign in enumerate(signs))
    figure = light_curve(AlertSequence("ZTF18abcdefg", "x", alerts))
    (up,), (down,) = named(figure, "g (2)"), named(figure, "g negative (2)")
    assert (list(up.y), list(down.y)) == ([18.0, 21.0], [19.0, 20.0])  # of unknown sign: drawn as any other
    assert (up.marker.symbol, down.marker.symbol) == ("circle", "circle-open")
    assert down.legendgroup == up.legendgroup
    assert "negative" in down.hovertemplate
    assert "negative" not in up.hovertemplate


def test_the_objects_magnitude_has_no_limits_of_the_difference_and_counts_what_has_none():
    near = {"magnr": 18.0, "distnr": 0.2, "isdiffpos": "t"}
    alerts = (detection(0, **near), detection(1, magnr=18.0, distnr=3.0, isdiffpos="t"), detection(2))
    figure = light_curve(replace(SEQUENCE, alerts=alerts), of_object=True)
    assert not any(len(trace.x) for trace in figure.data if "limits" in trace.name)
    assert [note.text for note in figure.layout.annotations] == ["2 detections have no reference source"]
    assert not light_curve(replace(SEQUENCE, alerts=alerts)).layout.annotations
    (note,) = light_curve(replace(SEQUENCE, alerts=alerts[:2]), of_object=True).layout.annotations
    assert note.text == "1 detection has no reference source"


def test_limits_can_be_left_out_and_time_can_be_told_three_ways():
    assert not any(len(trace.x) for trace in named(light_curve(SEQUENCE, with_limits=False), "g limits"))
    assert list(named(light_curve(SEQUENCE, time_axis="days"), "g (2)")[0].x) == [0.0, 2.0]
    assert str(named(light_curve(SEQUENCE, time_axis="UTC"), "g (2)")[0].x[0]).startswith("2018-07-01")


def test_the_bands_differ_in_hue_and_in_marker():
    markers = [trace.marker for trace in light_curve(SEQUENCE).data if (trace.name or "")[1:3] == " ("]
    assert len({marker.symbol for marker in markers}) == len({marker.color for marker in markers}) == len(markers)


def test_a_difference_equal_to_the_reference_doubles_the_flux():
    alert = detection(0, 18.0, magnr=18.0, distnr=0.2, isdiffpos="t")
    magnitude, error = corrected(alert)
    assert magnitude == pytest.approx(18.0 - 2.5 * math.log10(2.0))
    assert error == pytest.approx(0.05)


@pytest.mark.parametrize(
    "record", [{"magnr": 18.0, "distnr": 3.0, "isdiffpos": "t"}, {"magnr": 19.0, "distnr": 0.1, "isdiffpos": "f"}, {}]
)
def test_no_object_magnitude_without_a_reference_at_the_place_or_with_negative_flux(record):
    assert math.isnan(corrected(detection(0, 18.0, **record))[0])


def test_the_services_own_corrected_magnitude_wins():
    alert = detection(0, 18.0, magpsf_corr=17.1, sigmapsf_corr_ext=0.02, magnr=18.0, distnr=0.2, isdiffpos="t")
    assert points(AlertSequence("ZTF18abcdefg", "x", (alert,)), of_object=True)[0].magnitude == 17.1


def test_progression_draws_a_line_per_class_with_bands_and_labelled_references():
    first = Step(1, "stamp", {"AGN": 0.5, "SN": 0.3, "bogus": 0.2}, low={"SN": 0.2}, high={"SN": 0.5})
    steps = [first, Step(2, "temporal_2", {"AGN": 0.6, "SN": 0.4})]
    others = [Reference("lc <b>1.0</b>", {"SN": 0.9, "RRL": 0.1})]
    figure = progression(steps, references=others)
    (supernova,) = [trace for trace in figure.data if trace.name == "SN" and trace.mode == "lines+markers"]
    assert list(supernova.y) == [0.3, 0.4]
    assert list(supernova.error_y.array) == pytest.approx([0.2, 0.0])
    assert list(supernova.error_y.arrayminus) == pytest.approx([0.1, 0.0])
    assert list(next(t for t in figure.data if t.name == "bogus").x) == [1]  # never a probability of 0 for "not asked"
    dashed = [trace for trace in figure.data if trace.line.dash == "dash"]
    assert [list(trace.y) for trace in dashed] == [[0.9, 0.9]]
    assert dashed[0].name == "lc &lt;b&gt;1.0&lt;/b&gt;"
    assert list(figure.layout.xaxis.ticktext) == ["1<br>stamp", "2<br>temporal_2"]


def test_position_is_the_mean_also_across_0_hours():
    sequence = AlertSequence("ZTF18abcdefg", "x", tuple(detection(i, ra=ra) for i, ra in enumerate((359.9, 0.1))))
    assert np.allclose(np.array(position(sequence)), (0.0, 5.0)) or position(sequence)[0] == pytest.approx(360.0)
    assert position(AlertSequence("ZTF18abcdefg", "x", ())) is None


def test_links_are_for_real_objects_only():
    assert "oid" not in broker_links(AlertSequence("DEMO01", "demo", SEQUENCE.alerts))
    assert broker_links(AlertSequence("DEMO01", "demo", SEQUENCE.alerts)) == {}
    links = broker_links(SEQUENCE)
    assert {"ALeRCE", "Fink", "Lasair", "SIMBAD", "NED", "TNS", "Legacy Survey"} <= set(links)
    assert all(url.startswith("https://") for url in links.values())
    assert "10.000000" in sky_links(10.0, -5.0)["TNS"]
    with pytest.raises(ValueError, match="not an object id"):
        broker_links(AlertSequence("javascript:alert(1)", "x", ()))


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "![x](http://a.b/c.png)", "[a](javascript:x)", ":red[a]", "$x$"]
)
def test_foreign_text_keeps_no_mark(text):
    escaped = plain_markdown(text)
    for mark in "<>[]()!:$":
        assert escaped.count(mark) == escaped.count(f"\\{mark}")
    assert "<" not in plain_plotly(text)


def test_words_for_times_and_probabilities():
    assert utc_text(58300.5) == "2018-07-01 12:00"
    assert utc_text(1e12) == "date unknown"
    assert (days_text(0), days_text(0.01), days_text(0.5), days_text(3.21)) == ("first", "+14 min", "+12.0 h", "+3.2 d")
    assert (percent(0.999), percent(1.0), percent(0.001), percent(0.0)) == (">99 %", "100 %", "<1 %", "0 %")
    assert percent(math.nan) == "no value"
    assert [span(0.5, 0.61), span(0.97, 0.999), span(0.5, 0.5)] == ["50–61 %", "97 to >99 %", "50 %"]


SLOW_PANDAS = """
import importlib.abc, sys, threading, time
class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "pandas.core.api":
            time.sleep(2)
sys.meta_path.insert(0, Slow())
from tsc_core.alerts import Alert, AlertSequence
from tsc_core.display.photometry import light_curve
threading.Thread(target=lambda: __import__("pandas")).start()
while "pandas" not in sys.modules:
    time.sleep(0.01)
light_curve(AlertSequence("ZTF18abcdefg", "x", (Alert("ZTF18abcdefg", "1", 58300.0, 1, {"magpsf": 18.0}),)))
"""


def test_a_figure_is_drawn_while_another_thread_imports_pandas():
    done = subprocess.run([sys.executable, "-c", SLOW_PANDAS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
