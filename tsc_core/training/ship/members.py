"""The members of a bundle: one for each fold of the real labelled objects, trained without it on a shared encoder."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tsc_core.alerts import Alert
from tsc_core.bundle import Bundle
from tsc_core.config import PreprocessConfig, RunConfig, TrainConfig
from tsc_core.inference.predictor import Predictor
from tsc_core.models import build_model
from tsc_core.models.doubt import Doubt, strangeness
from tsc_core.models.encoder import Encoder
from tsc_core.models.forest import Forest
from tsc_core.preprocessing import Preprocessor, collate, select_alerts
from tsc_core.preprocessing.quality import stamp_fault
from tsc_core.preprocessing.transform import scale_stamps
from tsc_core.training.batches import hide, in_order
from tsc_core.training.calibration import fit_offsets, fit_temperature
from tsc_core.training.frozen import CodedExamples
from tsc_core.training.ship.colours import learn_colours
from tsc_core.training.ship.material import Known, Material, views
from tsc_core.training.ship.trees import grow, share_of_enough, stand_beside, weights_of
from tsc_core.training.trainer import train

WINDOW_WEIGHT = 3  # how often windows of real objects are met for one of a simulated object of their class
JITTERED = 1  # jittered codes kept of each stamp
ENCODE_AT_ONCE = 64
Codes = dict[str, Tensor]
METADATA = ("has_stamps", "present", "dynamic", "static", "allwise", "labels")


@torch.no_grad()
def encode_all(alerts: Iterable[Alert], encoder: Encoder, config: PreprocessConfig, seed: int = 0) -> Codes:
    """Codes (1 + `JITTERED`, E) by candid: the mean over views without jitter, then with it."""
    torch.manual_seed(seed)
    usable = {a.candid: a for a in alerts if a.has_stamps and stamp_fault(a) is None}
    waiting, codes = list(usable.values()), {}
    for start in range(0, len(waiting), ENCODE_AT_ONCE):
        group = waiting[start : start + ENCODE_AT_ONCE]
        stamps = torch.from_numpy(scale_stamps(tuple(group), config)[0])
        draws = [encoder.eval()(stamps)]
        encoder.rotations.train()
        draws += [encoder(stamps) for _ in range(JITTERED)]
        encoder.eval()
        codes |= dict(zip((a.candid for a in group), torch.stack(draws, dim=1).float(), strict=True))
    return codes


@dataclass(frozen=True, slots=True, eq=False)
class Trainer:
    """Trains the members of one bundle on windows that are scaled once for all of them.

    Attributes
    ----------
    config : RunConfig
    encoder : Encoder or None
    known : tuple of Known
        Objects of the model's classes.
    rows : tuple of list of int
        Places of each object's windows in `tensors`, the newest window first; some are named more than once.
    tensors : dict of str to Tensor
        Every distinct window, as in `CodedExamples`.
    learns_real : bool
        Whether members learn from real objects too.
    """

    config: RunConfig
    encoder: Encoder | None
    known: tuple[Known, ...]
    rows: tuple[list[int], ...]
    tensors: dict[str, Tensor]
    learns_real: bool = True

    @classmethod
    def prepare(
        cls,
        config: RunConfig,
        preprocessor: Preprocessor,
        encoder: Encoder | None,
        codes: Codes,
        known: Iterable[Known],
    ) -> Trainer:
        """Scale the windows of all objects and put the codes of their stamps beside them."""
        classes = config.model.classes
        known = tuple(item for item in known if item.label in classes)
        rows, examples, kept = [], [], []
        for item in known:
            places: dict[tuple, int] = {}
            for alerts in (seen := views(item, config.model)):
                if (key := _key(alerts)) not in places:
                    places[key] = len(examples)
                    kept.append(alerts)
                    examples.append(preprocessor.metadata(alerts, item.sequence.allwise, classes.index(item.label)))
            rows.append([places[_key(alerts)] for alerts in seen])
        batch = collate(examples)
        tensors = {name: getattr(batch, name) for name in METADATA}
        if encoder is not None:
            tensors["codes"] = _window_codes(kept, codes, config.model.encoder.codes, batch.present.shape[1])
        return cls(config, encoder, known, tuple(rows), tensors)

    def member(self, unseen: Collection[str], seed: int) -> nn.Module:
        """One network on all objects but the real ones `unseen`, weighted by origin.

        It trains for a fixed number of steps: the one validation, on simulated objects it trains on, chooses nothing.
        """
        config = replace(self.config, training=replace(self.config.training, seed=seed))
        training, validation = self.sets(unseen)
        torch.manual_seed(seed)
        network = build_model(config.model, config.preprocess)
        if self.encoder is not None:
            network.coder.encoder.load_state_dict(self.encoder.state_dict())
            network.coder.encoder.requires_grad_(False)
        with tempfile.TemporaryDirectory() as folder:
            network = train(config, training, validation, Path(folder), network, progress=False).network
        if network.forest:
            stand_beside(network, self.trees(network.forest, unseen, seed))
        return network

    def trees(self, forest: Forest, unseen: Collection[str], seed: int) -> dict[str, Tensor]:
        """Trees grown on the newest window of each length of every object; some lose their AllWISE, as in training."""
        trained, lengths = self._trained(unseen), self.tensors["present"].sum(1).tolist()
        found = [(i, row) for i in trained for row in {lengths[r]: r for r in reversed(self.rows[i])}.values()]
        objects = np.array([i for i, _ in found])
        examples = CodedExamples(self.tensors, jitter=False).take([row for _, row in found])
        torch.manual_seed(seed)
        hiding = TrainConfig(drop_allwise=self.config.training.drop_allwise)
        inputs = torch.cat([forest.newest(hide(batch, hiding)) for batch in in_order(examples, 1024)]).numpy()
        real = np.array([self.known[i].is_real for i in objects])
        weights = weights_of(objects, examples.labels, real, self.config.training.trees_real_weight)
        return grow(inputs, examples.labels, weights, forest.classes, seed)

    def sets(self, unseen: Collection[str]) -> tuple[CodedExamples, CodedExamples]:
        """What a member trains on, and the newest window of each simulated object (or of all, if there are none)."""
        trained = self._trained(unseen)
        made = [i for i in trained if not self.known[i].is_real]
        shown = [self.rows[i][0] for i in made or trained if self.rows[i]]
        training = CodedExamples(self.tensors, jitter=True).take(self._balanced(trained))
        return training, CodedExamples(self.tensors, jitter=False).take(shown)

    def _trained(self, unseen: Collection[str]) -> list[int]:
        """Places in `known` of what a member learns from."""
        learns = [not k.is_real or (self.learns_real and k.sequence.oid not in unseen) for k in self.known]
        return [i for i, chosen in enumerate(learns) if chosen]

    def _balanced(self, trained: Sequence[int]) -> list[int]:
        """Rows of all windows, real ones repeated towards `WINDOW_WEIGHT` times the simulated of their class."""
        groups: dict[tuple[str, bool], list[list[int]]] = defaultdict(list)
        for i in trained:
            groups[self.known[i].label, self.known[i].is_real].append(self.rows[i])
        rows = []
        for (label, real), objects in groups.items():
            group = [row for rows_of_one in objects for row in rows_of_one]
            others = sum(map(len, groups.get((label, not real), ())))
            wanted = WINDOW_WEIGHT * share_of_enough(len(objects)) * others
            rows += group * (max(1, round(wanted / len(group))) if real and group else 1)
        return rows


def _key(alerts: tuple[Alert, ...]) -> tuple:
    """Equal for windows of one object that a model cannot tell apart."""
    return tuple((alert.candid, alert.has_stamps, len(alert.record)) for alert in alerts)


def _window_codes(windows: Sequence[tuple[Alert, ...]], codes: Codes, width: int, longest: int) -> Tensor:
    """Codes (N, A, V, 1, E) of the stamps of N windows, 0 where there is none."""
    found = torch.zeros(len(windows), longest, 1 + JITTERED, 1, width)
    for i, alerts in enumerate(windows):
        for j, alert in enumerate(alerts):
            if alert.has_stamps:
                found[i, j, :, 0] = codes[alert.candid]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Logits (N, M, classes) and metadata `inputs` (N, F) of N real objects, labels (N,), and who did not see each."""

    logits: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray
    folds: np.ndarray

    @property
    def unseen(self) -> np.ndarray:
        """Logits (N, classes) by the member that did not see the object."""
        return self.logits[np.arange(len(self.folds)), self.folds]

    def without(self, fold: int) -> HeldOut:
        """The objects of the other folds."""
        kept = self.folds != fold
        return HeldOut(self.logits[kept], self.inputs[kept], self.labels[kept], self.folds[kept])


def train_bundle(
    config: RunConfig,
    material: Material,
    preprocessor: Preprocessor,
    encoder: Encoder | None,
    codes: Codes,
    card: dict,
) -> Bundle:
    """All members of a bundle, with temperatures and doubt fitted on what each member did not see."""
    trainer = Trainer.prepare(config, preprocessor, encoder, codes, (*material.simulated, *material.real))
    members = []
    for fold in range(material.fold_count):
        unseen = {oid for oid, place in material.folds.items() if place == fold}
        members.append(trainer.member(unseen, config.training.seed + fold))
    used = {k.sequence.oid for k in material.real if k.label in config.model.classes}
    folds = {oid: fold for oid, fold in material.folds.items() if oid in used}
    colours = learn_colours(preprocessor, material.simulated) if config.model.colours_apart else None
    known = (config.name, config, preprocessor, tuple(m.eval() for m in members), {}, folds, card)
    bundle = Bundle(*known, colours=colours)
    even_out(bundle, held_out(bundle, material))
    held = held_out(bundle, material)
    bundle = replace(bundle, temperatures={n: temperature(bundle, n, rows) for n, rows in held.items()})
    return replace(bundle, doubt={n: fit_doubt(bundle, n, rows) for n, rows in held.items()})


def held_out(bundle: Bundle, material: Material) -> dict[int, HeldOut]:
    """For each n, the logits of the real objects of the folds; no n with fewer than 20 objects."""
    scored, predictor = defaultdict(list), Predictor([bundle])
    for item in material.real:
        if item.sequence.oid not in bundle.folds:
            continue
        selection = select_alerts(item.sequence, "last")
        for step in predictor.score([(selection, item.sequence)])[0]:
            if item.label in bundle.classes_after(step.n):
                label = bundle.classes_after(step.n).index(item.label)
                row = (step.logits.numpy(), step.inputs.numpy(), label, bundle.folds[item.sequence.oid])
                scored[step.n].append(row)
    rows = {n: tuple(map(np.array, zip(*found, strict=True))) for n, found in scored.items() if len(found) >= 20}
    return {n: HeldOut(*columns) for n, columns in rows.items()}


@torch.no_grad()
def even_out(bundle: Bundle, held: dict[int, HeldOut]) -> None:
    """Add to each member's output the class offsets that make classes weigh the same on real objects.

    The offsets of a member come from objects of the other folds, each by the member that did not see it: no answer on
    the objects that the member is tested on takes part. They go into the bias of the last layer.
    """
    for fold, member in enumerate(bundle.members):
        others = {n: rows.without(fold) for n, rows in held.items()}
        offsets = fit_offsets([(rows.unseen[:, _kept(bundle, n)], rows.labels) for n, rows in others.items()])
        if offsets is not None:
            member.head[-1].bias[: len(offsets)] += torch.from_numpy(offsets).float()


def _kept(bundle: Bundle, n: int) -> list[int]:
    return [bundle.classes.index(name) for name in bundle.classes_after(n)]


def temperature(bundle: Bundle, n: int, held: HeldOut) -> float:
    """The divisor of the held-out logits on real objects that makes their log loss least, classes weighing alike."""
    return fit_temperature(held.unseen[:, _kept(bundle, n)], held.labels)


def fit_doubt(bundle: Bundle, n: int, held: HeldOut) -> Doubt:
    """What conformal sets and the flag "unlike the training data" need to know of held-out objects."""
    strange = strangeness(bundle.tempered(torch.from_numpy(held.unseen), n).numpy())
    return Doubt.fit(bundle.classes_after(n), strange, held.inputs, held.labels, held.folds, len(bundle.members))
