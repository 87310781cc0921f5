from dataclasses import replace

import numpy as np
import pytest

from tests.made_objects import bundle, fetched
from tsc_core.alerts import Step
from tsc_core.display.answer import answer_table, beside, chosen_step, trust
from tsc_core.display.desk import Desk
from tsc_core.display.text import markdown_table
from tsc_core.display.why import explained_stamps, feature_bars, maps_of, strongest
from tsc_core.inference.explain import Explanation, FeatureChange, PatchMap
from tsc_core.inference.predictor import Predictor
from tsc_core.inference.priors import natural

P = {"AGN": 0.2, "SN": 0.7, "VS": 0.1}
STEP = Step(3, "temporal_3", P, {"AGN": 0.1, "SN": 0.6, "VS": 0.05}, {"AGN": 0.3, "SN": 0.8, "VS": 0.2},
            ("AGN", "SN"), 0.9, 42.0)  # fmt: skip
EDGES = (18, 23, 29, 34, 40, 45)


def cells(table, row):
    return [cell.strip() for cell in table.splitlines()[row].strip("|").split("|")]


def test_the_table_has_each_class_at_equal_and_at_natural_rates_and_what_cannot_be_ruled_out():
    table = answer_table(STEP)
    assert cells(table, 0) == ["class", "probability", "members", "natural rates", "90\u00a0% set"]
    assert cells(table, 2) == ["AGN", "20\u00a0%", "10–\u206030\u00a0%", f"{100 * natural(P)['AGN']:.0f}\u00a0%", "●"]
    assert cells(table, 3)[0] == "**SN**"
    assert cells(table, 4)[-1] == "–"
    bare = answer_table(Step(1, "stamp", P))  # one member, nothing fitted for doubt
    assert cells(bare, 0) == ["class", "probability", "natural rates"]


def test_words_beside_the_answer():
    assert beside(STEP) == f"60–80 % among members · {100 * natural(P)['SN']:.0f} % at natural rates"
    assert "AGN, SN" in trust(STEP)
    assert "Unlike the training data" in trust(Step(3, "x", P, conformal=(), coverage=0.9, unlike=99.0))
    assert "No class fits" in trust(Step(3, "x", P, conformal=(), coverage=0.9, unlike=99.0))
    assert trust(Step(3, "x", P)) == ""
    near = trust(Step(3, "x", P, unlike=97.46))
    assert near == "Distance from the training data: further than 97.4 % of real objects (unlike from 97.5 % on)."
    assert "than 97.5 % of real objects (unlike from 97.5 % on)" in trust(Step(3, "x", P, unlike=97.5))
    assert "Not ruled out at 99.9 %: SN" in trust(Step(3, "x", P, conformal=("SN",), coverage=0.999))
    assert cells(answer_table(replace(STEP, coverage=0.925)), 0)[-1] == "92\\.5\u00a0% set"
    assert chosen_step((Step(1, "a", P), STEP), 1).n == 1
    assert chosen_step((Step(1, "a", P), STEP), 4) is STEP


def test_a_table_shows_foreign_text_letter_by_letter():
    table = markdown_table(("a", "<b>x</b>"), [("[c](javascript:x)", "1 | 2")])
    assert all(mark not in table.replace("\\" + mark, "") for mark in "<>[]()")
    assert table.splitlines()[2].replace("\\|", "").count("|") == 3


def explanation(change):
    maps = tuple(PatchMap("7", channel, change) for channel in ("science", "template"))
    features = (FeatureChange("magpsf", 18.25, -1.5), FeatureChange("<b>", np.nan, 0.5), FeatureChange("dull", 1, 0.0))
    return Explanation(2, "temporal_2", "SN", 2.0, EDGES, maps, features)


def test_patches_are_tinted_by_what_they_say_and_the_rest_is_left_grey():
    import io

    from PIL import Image

    sequence = fetched()
    change = np.zeros((5, 5))
    change[0, 0], change[4, 4] = -2.0, 1.0
    found = explanation(change)
    assert strongest(found) == 2.0
    png = explained_stamps(sequence.alerts[0], maps_of(found, "7"), EDGES, 2.0)
    drawn = np.asarray(Image.open(io.BytesIO(png))).astype(int)
    assert drawn.shape == (9 * 27 + 8 + 9 * 27, 9 * 27, 4)  # two channels of the central 27 pixels, a gap between them
    warm = (drawn[..., 0] - drawn[..., 2])[: 9 * 27 : 9, ::9]
    assert (warm[:5, :5] < 0).all()  # blue: for
    assert (warm[-5:, -5:] > 0).all()  # orange: against
    assert (warm[6:21, 6:21] == 0).all()


def test_bars_point_to_what_they_speak_for_strongest_on_top():
    figure = feature_bars(explanation(np.zeros((5, 5))))
    assert list(figure.data[0].x) == [-0.5, 1.5]  # Plotly draws from the bottom; what says nothing is left out
    assert list(figure.data[0].y) == ["&lt;b&gt;", "magpsf = 18.25"]


def test_the_desk_explains_once_and_tells_how_far_it_is(monkeypatch):
    desk, source, told = Desk(), type("Made", (), {"name": "made"})(), []
    monkeypatch.setattr(desk, "predictor", lambda: Predictor([bundle("temporal", 2)]))
    sequence = fetched()
    assert not desk.explained(source, sequence, "first", 2)
    found = desk.explanation(source, sequence, "first", 2, lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2)]
    assert desk.explained(source, sequence, "first", 2)
    assert desk.explanation(source, sequence, "first", 2, pytest.fail) is found
