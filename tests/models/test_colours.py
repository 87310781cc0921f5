"""AllWISE colours beside a network: Bayes' rule within AGN, SN and VS, silent where nothing is known."""

import math
from dataclasses import replace

import pytest
import torch

from tests.models import examples as made
from tsc_core.config import ConfigError
from tsc_core.models import build_model
from tsc_core.models.colours import BOX, ENOUGH, EVEN, FLOOR, WIDTH, ColourEvidence
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES

MEANS = torch.tensor([[1.0, 0.5, 0.3], [-0.5, 0.4, 0.1], [-0.8, -1.4, -1.9]])
NOTHING = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
THREE, OTHERS = [0, 1, 2], [3, 4]


def evidence(each: int = 40, missing: int = 0) -> ColourEvidence:
    """Colours around the means of three classes; of the SN, `missing` have W1-W2 alone."""
    generator = torch.Generator().manual_seed(0)
    owner = torch.arange(3, dtype=torch.uint8).repeat_interleave(each)
    points = MEANS[owner.long()] + 0.3 * torch.randn(len(owner), 3, generator=generator)
    points[each : each + missing, 1:] = 0.0
    return ColourEvidence(points, owner)


def density(points: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """Of one class at one place, written out."""
    kernels = [torch.distributions.Normal(x, WIDTH).log_prob(at).sum().exp() for x in points]
    return (1 - EVEN) * torch.stack(kernels).mean() + EVEN / BOX ** len(at)


def test_colours_join_by_bayes_rule_within_the_three_classes():
    found, logits = evidence(), torch.randn(2, 5)
    allwise = torch.tensor([[0.9, 0.6, 0.1, 0.0], [-0.7, -1.0, -1.5, 0.0]])
    before, after = logits.softmax(-1), found(logits, CLASSES, allwise).softmax(-1)
    torch.testing.assert_close(after[:, OTHERS], before[:, OTHERS])
    for i in range(2):
        each = torch.stack([density(found.points[found.owner == c], allwise[i, :3]) for c in THREE])
        wanted = before[i, THREE] * (each / each.sum() + FLOOR)
        torch.testing.assert_close(after[i, THREE], wanted / wanted.sum() * before[i, THREE].sum())
    assert after[0, THREE].argmax() == 0 or before[0, 0] < 0.05
    assert found.used == ("W1-W2", "W2-W3", "W3-W4")


def test_colours_are_read_as_far_as_they_go():
    found = evidence(40, missing=40 - ENOUGH + 1)  # one SN too few with W2-W3
    assert found.used == ("W1-W2",)
    whole, first = torch.tensor([[0.9, 0.6, 0.1, 0.0]]), torch.tensor([[0.9, 0.0, 0.0, 1.0]])
    torch.testing.assert_close(found.evidence(whole), found.evidence(first))
    each = torch.stack([density(found.points[found.owner == c][:, :1], whole[0, :1]) for c in THREE])
    torch.testing.assert_close(found.evidence(whole)[0], (each / each.sum() + FLOOR).log())
    later = torch.tensor([[0.0, 0.6, 0.1, 1.0]])
    assert not evidence().evidence(later).any()


def test_without_colours_nothing_is_said():
    logits = torch.randn(3, 5)
    assert evidence()(logits, CLASSES, NOTHING.expand(3, 4)).equal(logits)
    empty = ColourEvidence(torch.zeros(0, 3), torch.zeros(0, dtype=torch.uint8))
    assert empty.used == ()
    torch.testing.assert_close(empty(logits, CLASSES, torch.randn(3, 4)), logits)
    some = torch.cat((NOTHING, torch.tensor([[0.9, 0.6, 0.1, 0.0]])))
    torch.testing.assert_close(evidence()(logits[:2], CLASSES, some)[0], logits[0])


def test_strange_colours_say_nothing_and_none_says_more_than_the_floor():
    strange = torch.tensor([[50.0, 50.0, 50.0, 0.0], [-50.0, 0.0, 0.0, 1.0]])
    torch.testing.assert_close(evidence().evidence(strange), torch.full((2, 3), math.log(1 / 3 + FLOOR)))
    said = evidence().evidence(torch.randn(200, 4))
    assert (said.max(1).values - said.min(1).values).max() <= math.log((1 + FLOOR) / FLOOR) + 1e-5
    assert torch.isfinite(said).all()


def test_members_and_classes_may_be_of_any_number():
    found, allwise, logits = evidence(), torch.randn(4, 4), torch.randn(6, 4, 5)
    together = found(logits, CLASSES, allwise)
    assert together.shape == (6, 4, 5)
    torch.testing.assert_close(together[2], found(logits[2], CLASSES, allwise))
    three = found(logits[..., :3], TEMPORAL_CLASSES, allwise)
    torch.testing.assert_close(three.softmax(-1), together[..., :3].softmax(-1))


def test_colours_that_are_none_are_refused():
    points, owner = torch.zeros(4, 3), torch.zeros(4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"need \(P, 3\) and \(P,\), found \(4, 2\), \(4,\)"):
        ColourEvidence(points[:, :2], owner)
    with pytest.raises(ValueError, match=r"found \(4, 3\), \(3,\)"):
        ColourEvidence(points, owner[:3])
    for wrong in ((points * torch.nan, owner), (points, owner + 3)):
        with pytest.raises(ValueError, match="need finite numbers of 3 classes"):
            ColourEvidence(*wrong)


@pytest.mark.parametrize("kind", ["stamp", "temporal", "metadata", "unified"])
def test_apart_no_network_and_no_tree_reads_them(kind):
    n = 1 if kind == "stamp" else 3
    batch = made.batch(n)
    blind = replace(batch, allwise=NOTHING.expand(len(batch), 4))
    for apart in (True, False):
        torch.manual_seed(0)
        config = made.config(kind, n=n, colours_apart=apart, trees_share=0.5)
        model = build_model(config, made.PREPROCESS).eval()
        assert model(batch).equal(model(blind)) == apart
        assert model.forest.newest(batch).equal(model.forest.newest(blind)) == apart


def test_colours_apart_need_colours_and_the_three_classes():
    with pytest.raises(ConfigError, match="AllWISE colours are off"):
        made.config(allwise=False, colours_apart=True)
    with pytest.raises(ConfigError, match="colours_apart: needs"):
        replace(made.config(), classes=("AGN", "SN"), colours_apart=True)
