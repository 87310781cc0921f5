"""Trees beside a network: walked as scikit-learn walks them, read at every step, refused where they are broken."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier

from tests.models import examples as made
from tsc_core.config import ConfigError
from tsc_core.models import build_model
from tsc_core.models.forest import FLOOR, MISSING, STATE, Forest
from tsc_core.training.ship.trees import ENOUGH, grow, pack, stand_beside, weights_of

SHARE = 0.75


def model(kind: str = "unified", n: int = 3):
    torch.manual_seed(0)
    return build_model(made.config(kind, n=n, trees_share=SHARE), made.PREPROCESS).eval()


def trees_for(forest: Forest, classes: int | None = None, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(120, forest.width)).astype(np.float32)
    classes = classes or forest.classes
    labels = np.digitize(inputs[:, -1] + inputs[:, 0], np.linspace(-1, 1, classes - 1))
    return grow(inputs, labels, np.ones(len(labels)), forest.classes, seed)


@pytest.mark.parametrize("present", [(0, 1, 2, 3, 4), (0, 2)])  # all classes, or some that no training object has
def test_a_walk_gives_what_scikit_learn_gives(present):
    forest = model("unified").forest
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(200, forest.width)).astype(np.float32)
    labels = np.array(present)[rng.integers(len(present), size=200)]
    fitted = ExtraTreesClassifier(20, min_samples_leaf=2, bootstrap=True, random_state=0).fit(inputs, labels)
    forest.plant(pack(fitted, 5))
    expected = np.zeros((200, 5))
    expected[:, list(present)] = fitted.predict_proba(inputs)
    found = torch.exp(forest(torch.from_numpy(inputs)) / SHARE) - FLOOR
    np.testing.assert_allclose(found.numpy(), expected, atol=1 / 255)
    assert forest.depth == max(tree.tree_.max_depth for tree in fitted.estimators_)


def test_nothing_in_nothing_out():
    forest = model("unified").forest
    forest.plant(trees_for(forest))
    assert forest(torch.zeros(0, forest.width)).shape == (0, forest.classes)


@pytest.mark.parametrize("kind", ["stamp", "temporal", "metadata", "unified"])
def test_trees_add_to_the_logits_of_a_network_that_weighs_the_rest(kind):
    network = model(kind, 1 if kind == "stamp" else 3)
    batch = made.batch(1 if kind == "stamp" else 3)
    alone = network(batch)
    stand_beside(network, trees_for(network.forest))
    added = network.forest(network.forest.newest(batch))
    assert added.abs().max() > 0
    torch.testing.assert_close(network(batch), (1 - SHARE) * alone + added)


def test_every_step_of_a_progression_reads_what_came_until_then():
    network, batch = model(), made.batch(3)
    network.forest.plant(trees_for(network.forest))
    steps = network.forward_steps(batch)
    for n in (1, 2, 3):
        cut = {name: getattr(batch, name)[:, :n] for name in ("stamps", "has_stamps", "present", "dynamic")}
        torch.testing.assert_close(network(replace(batch, **cut)), steps[:, n - 1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(made.padded(batch, 2)), network(batch), rtol=1e-4, atol=1e-5)


def test_scatter_is_that_of_the_detections_so_far():
    forest = model().forest
    batch = made.batch(3)
    place = len(made.PREPROCESS.dynamic) + 1
    found = forest.inputs(batch)[:, 2, place : place + 2 * len(forest.changing)]
    values = batch.dynamic[..., forest.changing]
    expected = torch.cat((values.mean(1), values.std(1, correction=0)), dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_missing_number_is_far_from_all_others():
    forest, batch = model().forest, made.batch(3)
    batch.dynamic[0, 2, 1] = 0.0
    batch.static[1, 4] = 0.0
    newest = forest.newest(batch)
    assert newest[0, 1] == MISSING
    statics = newest[:, -4 - len(made.PREPROCESS.static) : -4]
    assert (statics == MISSING).nonzero().tolist() == [[1, 4]]


def test_trees_are_kept_with_the_weights():
    network, again, batch = model(), model(), made.batch(3)
    stand_beside(network, trees_for(network.forest))
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(batch), network(batch))


def _changed(name, place, value):
    def change(state):
        state[name][place] = value

    return change


def _cut(name):
    return lambda state: state.update({name: state[name][:-1]})


def _as_float(state):
    state["second"] = state["second"].float()


BROKEN = {
    "a walk that returns": _changed("second", 0, 0),
    "a child beyond the nodes": _changed("second", 0, 10**6),
    "a feature beyond the inputs": _changed("feature", 0, 255),
    "a root beyond the nodes": _changed("roots", 0, 10**6),
    "a root before them": _changed("roots", 0, -1),
    "a leaf without votes": _cut("votes"),
    "fewer thresholds": _cut("threshold"),
    "a threshold that is no number": _changed("threshold", 0, float("nan")),
    "nodes that are no integers": _as_float,
    "no roots": lambda state: state.pop("roots"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_trees_are_refused(name):
    forest = model().forest
    state = {key: tensor.clone() for key, tensor in trees_for(forest).items()}
    assert int(state["second"][0]) > 0  # the first root is no leaf
    BROKEN[name](state)
    with pytest.raises(ValueError, match=r"^trees: "):
        forest.plant(state)
    assert not len(forest.roots)


def test_without_trees_nothing_is_added_or_kept():
    plain = build_model(made.config(n=2), made.PREPROCESS)
    assert plain.forest is None
    assert not [name for name in plain.state_dict() if name.startswith("forest")]
    empty = model()
    assert empty.forest(empty.forest.newest(made.batch(3))) == 0.0
    assert {f"forest.{name}" for name in STATE} <= set(empty.state_dict())


def test_an_object_counts_once_and_classes_alike():
    objects, labels = np.array([0, 0, 0, 1, 2, 3, 3]), np.array([0, 0, 0, 0, 1, 1, 1])
    weights = weights_of(objects, labels, np.array([True] * 3 + [True, True, False, False]), 5.0)
    assert weights.sum() == pytest.approx(len(weights))
    assert weights[:3].sum() == pytest.approx(weights[3])
    assert weights[:4].sum() == pytest.approx(weights[4:].sum())
    assert weights[4] == pytest.approx(5.0 / ENOUGH * weights[5:].sum())


def test_enough_real_objects_have_their_full_weight():
    real = np.repeat([True, False], [2 * ENOUGH, 7])
    weights = weights_of(np.arange(len(real)), np.zeros(len(real), dtype=int), real, 12.0)
    assert weights[real].sum() == pytest.approx(12.0 * weights[~real].sum())


def test_trees_need_metadata_and_a_share():
    with pytest.raises(ConfigError, match="read the metadata, which are off"):
        made.config(metadata=False, trees_share=0.5)
    with pytest.raises(ConfigError, match=r"trees_share is 1\.5: a share, 0 to 1"):
        made.config(trees_share=1.5)


def test_trees_of_several_members_walk_together():
    networks = [model(), model(), model()]
    for seed, network in enumerate(networks):
        stand_beside(network, trees_for(network.forest, seed=seed))
    batch, forests = made.batch(3), [network.forest for network in networks]
    together = forests[0].beside(forests[1:])
    expected = torch.stack([forest(forest.newest(batch)) for forest in forests])
    torch.testing.assert_close(together(together.newest(batch)), expected)
    assert not torch.equal(expected[0], expected[1])
    assert forests[0].groups == 1
    assert len(forests[0].roots) * 3 == len(together.roots)
