"""Class frequencies: Bayes' rule by hand, and what a person may write."""

from dataclasses import replace

import pytest

from tsc_core.alerts import Prediction, Step
from tsc_core.inference.priors import NATURAL_COUNTS, natural, read_priors, reweighted, with_priors
from tsc_core.inference.results import as_json, as_text

STEP = Step(2, "made", {"AGN": 0.5, "SN": 0.25, "VS": 0.25}, low={"AGN": 0.2, "SN": 0.1, "VS": 0.0},
            high={"AGN": 0.8, "SN": 0.25, "VS": 1.0})  # fmt: skip


def test_bayes_by_hand():
    found = reweighted({"AGN": 0.5, "SN": 0.5}, {"AGN": 0.9, "SN": 0.1})
    assert found == pytest.approx({"AGN": 0.9, "SN": 0.1})  # nothing was learned: the priors themselves
    found = reweighted({"AGN": 0.2, "SN": 0.8}, {"AGN": 3, "SN": 1})
    assert found == pytest.approx({"AGN": 0.6 / 1.4, "SN": 0.8 / 1.4})


def test_there_and_back():
    priors = {"AGN": 0.3, "SN": 0.1, "VS": 0.6}
    back = reweighted(reweighted(STEP.probabilities, priors), {name: 1 / rate for name, rate in priors.items()})
    assert back == pytest.approx(STEP.probabilities)


def test_a_class_that_cannot_occur_has_probability_0():
    assert reweighted(STEP.probabilities, {"AGN": 1, "VS": 1}) == pytest.approx({"AGN": 2 / 3, "SN": 0, "VS": 1 / 3})
    with pytest.raises(ValueError, match="none of AGN, SN, VS can occur"):
        reweighted(STEP.probabilities, {"asteroid": 1})


def test_natural_rates_are_those_of_the_paper():
    three = reweighted(dict.fromkeys(("AGN", "SN", "VS"), 1 / 3), NATURAL_COUNTS)
    assert three["SN"] == pytest.approx(0.017, abs=0.001)
    assert natural(STEP.probabilities)["SN"] < 0.02


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("balanced", None),
        ("natural", dict(NATURAL_COUNTS)),
        ("AGN=0.3,SN=0.1, VS=0.6", {"AGN": 0.3, "SN": 0.1, "VS": 0.6}),
        ("SN=1", {"SN": 1.0}),
    ],
)
def test_priors_that_are_read(text, found):
    assert read_priors(text) == found


@pytest.mark.parametrize("text", ["", "usual", "AGN", "AGN=", "AGN=x", "AGN=-1", "AGN=nan", "AGN=inf", "QSO=1", "SN=0"])
def test_priors_that_are_refused(text):
    with pytest.raises(ValueError, match=f"priors {text!r}"):
        read_priors(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("AGN=1,AGN=2", "AGN is there twice"),
        ("AGN", "'AGN' has no frequency"),
        ("Natural", "'Natural' has no frequency"),
        ("SN=x", "'x' is no frequency"),
    ],
)
def test_what_is_wrong_with_priors_is_said(text, said):
    with pytest.raises(ValueError, match=said):
        read_priors(text)


def test_a_step_under_priors():
    (found,) = with_priors(Prediction("SIM1", "made", (), (STEP,)), {"AGN": 6, "SN": 3, "VS": 1}).steps
    assert found.probabilities == pytest.approx(reweighted(STEP.probabilities, {"AGN": 6, "SN": 3, "VS": 1}))
    assert found.priors == pytest.approx({"AGN": 0.6, "SN": 0.3, "VS": 0.1})
    for name, p in found.probabilities.items():
        assert found.low[name] <= p + 1e-12
        assert p <= found.high[name] + 1e-12
    assert found.high["SN"] == pytest.approx(found.probabilities["SN"])  # its bound was its probability
    assert (found.low["VS"], found.high["VS"]) == (0, 1)


def test_a_step_without_a_class_that_can_occur_is_left_out_and_the_others_stay():
    first = Step(1, "made", {"AGN": 0.5, "SN": 0.25, "asteroid": 0.25})
    found = with_priors(Prediction("SIM1", "made", (), (first, STEP)), {"asteroid": 1})
    assert [step.probabilities for step in found.steps] == [{"AGN": 0, "SN": 0, "asteroid": 1}]
    assert found.flags == ("no class of the model at n = 2 can occur under the priors",)
    never = replace(first, probabilities={"AGN": 1.0, "asteroid": 0.0})
    assert with_priors(Prediction("SIM1", "made", (), (never,)), {"asteroid": 1}).steps == ()
    alone = with_priors(Prediction("SIM1", "made", (), (STEP,)), {"asteroid": 1})
    assert (alone.steps, len(alone.flags)) == ((), 1)


def test_balanced_ones_are_named_and_the_natural_shown_beside():
    prediction = with_priors(Prediction("SIM1", "made", (), (STEP,)), None)
    line = as_json(prediction)
    assert line["steps"][0]["probabilities"] == STEP.probabilities
    assert line["steps"][0]["priors"] == pytest.approx(dict.fromkeys(STEP.probabilities, 1 / 3))
    assert line["steps"][0]["natural"] == pytest.approx(natural(STEP.probabilities))
    assert "at natural rates: VS 0.5" in as_text(line) or "at natural rates: AGN 0.4" in as_text(line)
    other = as_json(with_priors(prediction, {"SN": 1, "VS": 3}))
    assert "natural" not in other["steps"][0]
    assert "priors: AGN 0.000  SN 0.250  VS 0.750" in as_text(other)
