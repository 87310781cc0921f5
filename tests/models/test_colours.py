"""AllWISE colours beside a network: Bayes' rule within AGN, SN and VS, silent where nothing is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.models import examples as made
from tsc_core.config import ConfigError
from tsc_core.models import build_model
from tsc_core.models.colours import FLOOR, ColourEvidence
from tsc_core.training.ship.colours import ENOUGH, LEAST_SPREAD, learn_colours

MEAN = torch.tensor([[1.0, 0.5, 0.3], [-0.5, 0.4, 0.1], [-0.8, -1.4, -1.9]])
SPREAD = torch.tensor([[0.3, 0.3, 0.6], [0.9, 0.2, 0.5], [0.3, 0.4, 0.6]])
NOTHING = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
THREE, OTHERS = [0, 1, 2], [3, 4]


def evidence(kind: str = "unified") -> ColourEvidence:
    found = ColourEvidence(made.config(kind, n=3, colours_apart=True))
    found.learn(MEAN, SPREAD)
    return found


def network(kind: str, n: int):
    torch.manual_seed(0)
    model = build_model(made.config(kind, n=n, colours_apart=True, trees_share=0.5), made.PREPROCESS).eval()
    model.colours.learn(MEAN, SPREAD)
    return model


def test_colours_join_by_bayes_rule_within_the_three_classes():
    logits, allwise = torch.randn(4, 5), torch.cat((torch.randn(4, 3), torch.zeros(4, 1)), dim=1)
    before, after = logits.softmax(-1), evidence()(logits, allwise).softmax(-1)
    torch.testing.assert_close(after[:, OTHERS], before[:, OTHERS])
    normal = torch.distributions.Normal(MEAN, SPREAD).log_prob(allwise[:, None, :3]).sum(-1)
    wanted = before[:, THREE] * (normal.softmax(-1) + FLOOR)
    wanted *= before[:, THREE].sum(1, keepdim=True) / wanted.sum(1, keepdim=True)
    torch.testing.assert_close(after[:, THREE], wanted)


def test_without_colours_nothing_is_said():
    logits = torch.randn(3, 5)
    assert evidence()(logits, NOTHING.expand(3, 4)).equal(logits)
    unlearnt = ColourEvidence(made.config("unified", n=3, colours_apart=True))
    assert unlearnt(logits, torch.randn(3, 4)).equal(logits)


def test_a_missing_colour_and_one_that_is_not_known_are_left_out():
    found, allwise = evidence(), torch.tensor([[0.9, 0.0, 5.0, 1.0]])
    spread = SPREAD.clone()
    spread[1, 2] = 0.0  # of one class only: the colour can tell nothing
    found.learn(MEAN, spread)
    normal = torch.distributions.Normal(MEAN[:, 0], SPREAD[:, 0]).log_prob(allwise[:, :1])
    torch.testing.assert_close(found.evidence(allwise), (normal.softmax(-1) + FLOOR).log())


def test_the_strangest_colours_outweigh_no_other_evidence_by_more_than_the_floor():
    allwise = torch.tensor([[50.0, 50.0, 50.0, 0.0], [-50.0, -50.0, -50.0, 0.0]])
    said = evidence().evidence(allwise)
    assert torch.isfinite(said).all()
    assert (said.max(1).values - said.min(1).values).max() <= np.log((1 + FLOOR) / FLOOR) + 1e-5


@pytest.mark.parametrize("kind", ["stamp", "temporal", "metadata", "unified"])
def test_a_model_reads_colours_there_alone(kind):
    n = 1 if kind == "stamp" else 3
    model, batch = network(kind, n), made.batch(n)
    blind = replace(batch, allwise=NOTHING.expand(len(batch), 4))
    assert model.network(batch).equal(model.network(blind))
    torch.testing.assert_close(model(batch), model.colours(model(blind), batch.allwise))
    assert not model(batch).allclose(model(blind))


def test_every_step_of_a_progression_has_the_colours():
    model, batch = network("unified", 3), made.batch(3)
    torch.testing.assert_close(model.forward_steps(batch)[:, -1], model(batch))
    assert model.forward_steps(batch).shape == (3, 3, 5)


def test_distributions_that_are_none_are_refused():
    found = evidence()
    with pytest.raises(ValueError, match=r"need \(3, 3\) means and spreads, found \(2, 3\)"):
        found.learn(MEAN[:2], SPREAD[:2])
    for mean, spread in ((MEAN, -SPREAD), (MEAN * torch.nan, SPREAD), (MEAN, SPREAD * torch.inf)):
        with pytest.raises(ValueError, match="finite means, and spreads of 0 or more"):
            found.learn(mean, spread)
        with pytest.raises(ValueError, match="finite means"):
            evidence().load_state_dict({"mean": mean, "spread": spread})


def test_distributions_are_learnt_of_colours_that_are_there():
    rng, classes = np.random.default_rng(0), 5
    labels = torch.arange(classes).repeat(40)
    allwise = torch.from_numpy(rng.normal(size=(len(labels), 4)).astype(np.float32))
    allwise[:, 0] += labels
    allwise[::3, 0] = 0.0  # a third unmatched
    allwise[labels == 1, 2] = 0.0
    allwise[torch.where(labels == 1)[0][: ENOUGH - 1], 2] = 1.0  # too few SN
    allwise[:, 1] = 2.0
    found = ColourEvidence(made.config("unified", n=3, colours_apart=True))
    learn_colours(found, allwise, labels)
    for place in THREE:
        values = allwise[(labels == place) & (allwise[:, 0] != 0), 0]
        assert found.mean[place, 0] == pytest.approx(float(values.mean()))
        assert found.spread[place, 0] == pytest.approx(float(values.std()))
    assert (found.spread[:, 1] == LEAST_SPREAD).all()
    assert (found.spread[:, 2] == 0).all()


def test_colours_apart_need_colours_and_the_three_classes():
    with pytest.raises(ConfigError, match="AllWISE colours are off"):
        made.config(allwise=False, colours_apart=True)
    with pytest.raises(ConfigError, match="colours_apart: needs"):
        replace(made.config(), classes=("AGN", "SN"), colours_apart=True)
