"""The checkpoint: what is saved predicts the same when read again; what is broken is refused with a reason."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.made_objects import bundle, colours, fetched
from tsc_core.alerts import CHANNELS
from tsc_core.bundle import Bundle, BundleError, encoder_state, load_bundle, save_bundle, shipped
from tsc_core.preprocessing import collate, select_alerts, window_of
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES


def logits(found: Bundle, n=2):
    alerts = window_of(select_alerts(fetched()), n)
    batch = collate([found.preprocessor(alerts)])
    return torch.stack([member(batch) for member in found.members])


@pytest.mark.parametrize(("kind", "n"), [("stamp", 1), ("temporal", 2), ("unified", 5), ("metadata", 3)])
def test_a_bundle_read_again_is_the_same(kind, n, tmp_path):
    made = bundle(kind, n, members=2, temperatures={n: 1.5}, folds={"ZTF18abcdefg": 1}, card={"summary": "made"})
    again = load_bundle(save_bundle(made, tmp_path / "made"))
    assert torch.equal(logits(again, n), logits(made, n))
    assert torch.equal(again.probabilities(logits(again, n), n), made.probabilities(logits(made, n), n))
    assert (again.name, again.config, again.card) == (made.name, made.config, made.card)
    assert again.temperatures == {n: 1.5}
    assert again.folds == {"ZTF18abcdefg": 1}
    assert again.encoder_key == made.encoder_key
    assert not any(member.training for member in again.members)
    assert not any(p.requires_grad for member in again.members for p in member.parameters())


def test_a_bundle_is_json_and_safetensors_alone(tmp_path):
    folder = save_bundle(bundle(), tmp_path / "made")
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "weights.safetensors"]
    json.loads((folder / "bundle.json").read_text())
    load_file(folder / "weights.safetensors")


def test_what_members_share_is_stored_once(tmp_path):
    made = bundle(members=3)
    names = load_file(save_bundle(made, tmp_path / "made") / "weights.safetensors").keys()
    encoder = len(encoder_state(made.model))
    assert encoder > 4
    assert sum(".coder.encoder." in name for name in names) == encoder
    assert any(name.startswith("2.head") for name in names)


def test_members_with_encoders_of_their_own_are_refused(tmp_path):
    made, other = bundle(seed=0), bundle(seed=1)
    mixed = Bundle("mixed", made.config, made.preprocessor, (made.model, other.model))
    with pytest.raises(BundleError, match="share one encoder"):
        save_bundle(mixed, tmp_path / "mixed")


def test_writing_again_replaces(tmp_path):
    save_bundle(bundle(seed=0, members=2), tmp_path / "made")
    second = bundle(seed=1)
    again = load_bundle(save_bundle(second, tmp_path / "made"))
    assert torch.equal(logits(again), logits(second))


def edit(folder, change):
    path = folder / "bundle.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v.update(format=2), "format 2, this version reads 1"),
        (lambda v: v.pop("preprocessor"), "preprocessor"),
        (lambda v: v["config"]["model"].update(colour="red"), "colour"),
        (lambda v: v["config"]["model"].update(hidden=9), "size mismatch"),
        (lambda v: v["config"]["preprocess"].update(dynamic=["magpsf"]), "another configuration"),
        (lambda v: v["preprocessor"]["static"]["mean"].pop(), "finite numbers"),
        (lambda v: v.update(temperatures={"2": 0.0}), "positive"),
        (lambda v: v.update(temperatures={"2": float("nan")}), "positive"),
        (lambda v: v.update(temperatures={"two": 1.0}), "two"),
        (lambda v: v.update(members=0), "0 members"),
        (lambda v: v.update(members=10**9), "1000000000 members"),
        (lambda v: v.update(folds={"ZTF18abcdefg": 4}), "beyond the 1"),
        (lambda v: v.update(folds=[], temperatures=3), "temperatures, folds: need to be JSON objects"),
        (lambda v: v.update(config=None, card=[]), "config, card: need to be JSON objects"),
        (lambda v: v["preprocessor"].update(config=[[1]]), "is a list: needs a table of keys"),
        (lambda v: v["config"]["training"].update(learning_rate=10**400), "learning_rate is inf: needs a finite"),
        (lambda v: v["preprocessor"]["static"]["mean"].insert(0, 10**400), "too large"),
        (lambda v: v.update(temperatures={"2": 10**400}), "too large"),
        (lambda v: v["config"]["model"]["recurrent"].update(layers=10**9), "layers is 1000000000: needs 1 to 16"),
    ],
)
def test_a_broken_description_is_refused(change, said, tmp_path):
    folder = save_bundle(bundle(), tmp_path / "made")
    edit(folder, change)
    with pytest.raises(BundleError, match=rf"(?s)made is not a usable bundle.*{said}"):
        load_bundle(folder)


def test_broken_files_are_refused(tmp_path):
    with pytest.raises(BundleError, match="nothing is not a usable bundle"):
        load_bundle(tmp_path / "nothing")
    folder = save_bundle(bundle(), tmp_path / "made")
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(BundleError, match="made"):
        load_bundle(folder)
    weights.write_bytes(b"\x80\x04\x95pickle")
    with pytest.raises(BundleError, match="made"):
        load_bundle(folder)
    weights.unlink()
    with pytest.raises(BundleError, match="made"):
        load_bundle(folder)
    weights.write_bytes(whole)
    state = load_file(weights)
    save_file({name: tensor for name, tensor in state.items() if "head" not in name}, weights)
    with pytest.raises(BundleError, match="head"):
        load_bundle(folder)
    (folder / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="made"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bias: bias.fill_(float("nan")),
        lambda bias: bias.index_fill_(0, torch.tensor([1]), float("-inf")),
        lambda bias: bias.double() + 1e300,  # beyond float32
    ],
)
def test_weights_that_are_no_numbers_are_refused(spoil, tmp_path):
    weights = save_bundle(bundle(members=2), tmp_path / "made") / "weights.safetensors"
    state = load_file(weights)
    save_file(state | {"1.head.0.bias": spoil(state["1.head.0.bias"])}, weights)
    with pytest.raises(BundleError, match=r"NaN or infinity in 1\.head\.0\.bias: weights need to be finite"):
        load_bundle(tmp_path / "made")


def test_temperature_divides_the_logits():
    values = torch.tensor([[2.0, 0.0, -1.0]])
    plain, warm = bundle(), bundle(temperatures={2: 2.0})
    torch.testing.assert_close(plain.probabilities(values, 2), values.exp() / values.exp().sum())
    assert torch.equal(warm.probabilities(values, 2), (values / 2).softmax(-1))
    assert torch.equal(warm.probabilities(values, 3), values.softmax(-1))
    assert warm.probabilities(values, 2).max() < plain.probabilities(values, 2).max()


def test_colours_apart_are_joined_after_the_temperature():
    values, red = torch.tensor([[[0.5, 0.1, -0.3, 1.0, 0.7]]] * 2), torch.tensor([[1.5, 0.0, 0.0, 1.0]])
    made = bundle("unified", 5, members=2, temperatures={1: 0.5, 3: 0.5}, colours=colours())
    before, after = made.probabilities(values, 1), made.probabilities(values, 1, red)
    torch.testing.assert_close(after[..., 3:], before[..., 3:])  # asteroid and bogus keep theirs
    wanted = before[..., :3] * made.colours.evidence(red).exp()
    wanted *= before[..., :3].sum(-1, keepdim=True) / wanted.sum(-1, keepdim=True)
    torch.testing.assert_close(after[..., :3], wanted)
    assert (after[..., 0] > 1.2 * before[..., 0]).all()
    three = made.probabilities(values, 3) * made.colours.evidence(red).exp()
    torch.testing.assert_close(made.probabilities(values, 3, red), three / three.sum(-1, keepdim=True))
    assert made.probabilities(values, 1, red * 0).equal(before)


def test_colours_apart_are_kept_with_the_weights(tmp_path):
    made = bundle("temporal", 2, members=2, colours=colours())
    again = load_bundle(save_bundle(made, tmp_path / "made"))
    assert again.colours.points.equal(made.colours.points)
    assert again.colours.owner.equal(made.colours.owner)
    assert load_bundle(save_bundle(bundle("temporal", 2), tmp_path / "other")).colours is None
    weights = tmp_path / "made" / "weights.safetensors"
    state = load_file(weights)
    save_file(state | {"colours.owner": state["colours.owner"] + 3}, weights)
    with pytest.raises(BundleError, match="finite numbers of 3 classes"):
        load_bundle(tmp_path / "made")
    save_file({name: tensor for name, tensor in state.items() if name != "colours.points"}, weights)
    with pytest.raises(BundleError, match=r"colours\.points"):
        load_bundle(tmp_path / "made")


def test_the_unified_model_is_read_for_five_classes_and_then_for_three():
    made = bundle("unified", 5)
    values = torch.tensor([[1.0, 2.0, 3.0, 9.0, 8.0]])
    assert made.classes_after(1) == CLASSES
    assert made.probabilities(values, 1).argmax() == 3
    for n in (2, 5):
        assert made.classes_after(n) == TEMPORAL_CLASSES
        assert torch.equal(made.probabilities(values, n), values[:, :3].softmax(-1))
    five = made.probabilities(values, 1)[:, :3]
    torch.testing.assert_close(made.probabilities(values, 2), five / five.sum())  # the same odds, renormalised
    assert bundle("stamp", 1).classes_after(1) == CLASSES


def test_the_encoder_key_tells_encoders_apart():
    first = bundle("temporal", 2, seed=0)
    assert first.encoder_key == bundle("temporal", 3, seed=9, encoder_of=first).encoder_key
    assert first.encoder_key != bundle("temporal", 2, seed=1).encoder_key
    assert first.encoder_key != bundle("temporal", 2, seed=0, channels=CHANNELS[1:]).encoder_key
    assert bundle("metadata", 2).encoder_key is None


def test_shipped_lists_the_folders_that_hold_a_bundle(random_bundles, tmp_path):
    assert list(shipped()) == ["stamp", "temporal_2", "temporal_3", "temporal_4", "temporal_5"]
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "weights.safetensors").write_bytes(b"")
    save_bundle(bundle(), tmp_path / "done")
    assert list(shipped(tmp_path)) == ["done"]
