"""The members of a bundle: one for each fold of the real labelled objects, trained without it on a shared encoder."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tsc_core.alerts import Alert, AllWise
from tsc_core.bundle import Bundle
from tsc_core.config import PreprocessConfig, RunConfig
from tsc_core.inference.doubt import Doubt, strangeness
from tsc_core.inference.predictor import Predictor
from tsc_core.models import build_model
from tsc_core.models.encoder import Encoder
from tsc_core.preprocessing import Preprocessor, collate, select_alerts
from tsc_core.preprocessing.quality import stamp_fault
from tsc_core.preprocessing.transform import scale_stamps
from tsc_core.training.calibration import fit_offsets, fit_temperature
from tsc_core.training.frozen import CodedExamples
from tsc_core.training.ship.material import Known, Material, views
from tsc_core.training.trainer import train

REAL_WEIGHT = 3  # how often windows of real objects are met for one of a simulated object of their class
JITTERED = 1  # jittered codes kept of each stamp
ENCODE_AT_ONCE = 64
Codes = dict[str, Tensor]
Window = tuple[tuple[Alert, ...], AllWise | None, int]  # alerts, cross-match, class index


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
    """Trains the members of one bundle.

    Attributes
    ----------
    config : RunConfig
    preprocessor : Preprocessor
    encoder : Encoder or None
    codes : dict of candid to Tensor (V, E)
    """

    config: RunConfig
    preprocessor: Preprocessor
    encoder: Encoder | None
    codes: Codes

    def windows(self, known: Sequence[Known]) -> list[list[Window]]:
        """All training windows of each object of the model's classes."""
        classes, found = self.config.model.classes, []
        for item in known:
            if item.label in classes:
                seen = views(item, self.config.model)
                found.append([(alerts, item.sequence.allwise, classes.index(item.label)) for alerts in seen])
        return found

    def examples(self, windows: Sequence[Window], jitter: bool) -> CodedExamples:
        """Windows as examples with the codes of their stamps."""
        bare = [self.preprocessor.metadata(*window) for window in windows]
        batch = collate(bare)
        names = ("has_stamps", "present", "dynamic", "static", "allwise", "labels")
        tensors = {name: getattr(batch, name) for name in names}
        if self.encoder is not None:
            draws, width = 1 + JITTERED, self.config.model.encoder.codes
            codes = torch.zeros(len(windows), batch.present.shape[1], draws, 1, width)
            has = torch.zeros_like(batch.has_stamps)
            for i, (alerts, _, _) in enumerate(windows):
                for j, alert in enumerate(alerts):
                    if alert.has_stamps:
                        codes[i, j, :, 0], has[i, j] = self.codes[alert.candid], True
            tensors |= {"codes": codes, "has_stamps": has}
        return CodedExamples(tensors, jitter)

    def member(self, training: Sequence[Known], seed: int) -> nn.Module:
        """One network on simulated and real objects weighted by origin.

        It trains for a fixed number of steps: the one validation, on simulated objects it trains on, chooses nothing.
        """
        config = replace(self.config, training=replace(self.config.training, seed=seed))
        windows = self.windows(training)
        rows = _balanced(windows, [item.is_real for item in training if item.label in config.model.classes])
        made = [item for item in training if not item.is_real]
        shown = [found[0] for found in self.windows(made or training) if found]
        torch.manual_seed(seed)
        network = build_model(config.model, config.preprocess)
        if self.encoder is not None:
            network.coder.encoder.load_state_dict(self.encoder.state_dict())
            network.coder.encoder.requires_grad_(False)
        with tempfile.TemporaryDirectory() as folder:
            run = train(
                config,
                self.examples(rows, jitter=True),
                self.examples(shown, jitter=False),
                Path(folder),
                network,
                progress=False,
            )
        return run.network


def _balanced(windows: list[list[Window]], is_real: list[bool]) -> list[Window]:
    """All windows, those of real objects repeated until they outweigh the simulated of their class (`REAL_WEIGHT`)."""
    groups: dict[tuple[int, bool], list[Window]] = defaultdict(list)
    for found, real in zip(windows, is_real, strict=True):
        for window in found:
            groups[window[2], real].append(window)
    rows = []
    for (label, real), group in groups.items():
        others = len(groups.get((label, not real), ()))
        rows += group * (max(1, round(REAL_WEIGHT * others / len(group))) if real else 1)
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Logits (N, M, classes) of N real objects, labels (N,), and the member `folds` (N,) that did not see each."""

    logits: np.ndarray
    labels: np.ndarray
    folds: np.ndarray

    @property
    def unseen(self) -> np.ndarray:
        """Logits (N, classes) by the member that did not see the object."""
        return self.logits[np.arange(len(self.folds)), self.folds]

    def without(self, fold: int) -> HeldOut:
        """The objects of the other folds."""
        kept = self.folds != fold
        return HeldOut(self.logits[kept], self.labels[kept], self.folds[kept])


def train_bundle(
    config: RunConfig,
    material: Material,
    preprocessor: Preprocessor,
    encoder: Encoder | None,
    codes: Codes,
    card: dict,
) -> Bundle:
    """All members of a bundle, with temperatures and doubt fitted on what each member did not see."""
    trainer = Trainer(config, preprocessor, encoder, codes)
    members = []
    for fold in range(material.fold_count):
        training = [k for k in material.real if material.folds[k.sequence.oid] != fold]
        members.append(trainer.member([*material.simulated, *training], config.training.seed + fold))
    used = {k.sequence.oid for k in material.real if k.label in config.model.classes}
    folds = {oid: fold for oid, fold in material.folds.items() if oid in used}
    bundle = Bundle(config.name, config, preprocessor, tuple(m.eval() for m in members), {}, folds, card)
    even_out(bundle, held_out(bundle, material))
    held = held_out(bundle, material)
    bundle = replace(bundle, temperatures={n: temperature(bundle, n, rows) for n, rows in held.items()})
    return replace(bundle, doubt={n: fit_doubt(bundle, n, rows).to_dict() for n, rows in held.items()})


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
                scored[step.n].append((step.logits.numpy(), label, bundle.folds[item.sequence.oid]))
    rows = {n: tuple(map(np.array, zip(*found, strict=True))) for n, found in scored.items() if len(found) >= 20}
    return {n: HeldOut(*columns) for n, columns in rows.items()}


@torch.no_grad()
def even_out(bundle: Bundle, held: dict[int, HeldOut]) -> None:
    """Add to each member's output the class offsets that make classes weigh the same on real objects.

    The offsets of a member come from what the other members did not see of the other folds: neither it nor they
    know of the objects that it is tested on. They go into the bias of the last layer.
    """
    for fold, member in enumerate(bundle.members):
        others = {n: rows.without(fold) for n, rows in held.items()}
        offsets = fit_offsets([(rows.unseen[:, _kept(bundle, n)], rows.labels) for n, rows in others.items()])
        if offsets is not None:
            member.head[-1].bias[: len(offsets)] += torch.from_numpy(offsets).float()


def _kept(bundle: Bundle, n: int) -> list[int]:
    return [bundle.classes.index(name) for name in bundle.classes_after(n)]


def temperature(bundle: Bundle, n: int, held: HeldOut) -> float:
    """The divisor of the held-out logits on real objects that makes their log loss least."""
    return fit_temperature(held.unseen[:, _kept(bundle, n)], held.labels)


def fit_doubt(bundle: Bundle, n: int, held: HeldOut) -> Doubt:
    """What conformal sets and the flag "unlike the training data" need to know of held-out objects."""
    strange = strangeness(bundle.tempered(torch.from_numpy(held.unseen), n).numpy())
    return Doubt.fit(bundle.classes_after(n), strange, held.logits, held.labels, held.folds)
