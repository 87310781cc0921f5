"""The encoder, trained before the classifiers: on made stamps with their class, and on real ones without any.

Real stamps take part through numbers that their own packet states (how extended the nearest source is, how far,
how bright, how elongated the detection): the encoder learns to see them. No label of a real object is used, so
that every fold may share the encoder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from tsc_core.alerts import Alert
from tsc_core.config import EncoderConfig, PreprocessConfig
from tsc_core.features import lookup, read_dynamic, read_static
from tsc_core.models.encoder import Encoder
from tsc_core.preprocessing.quality import stamp_fault
from tsc_core.preprocessing.transform import Scale, scale_stamps
from tsc_core.survey import CLASSES
from tsc_core.training.ship.material import Material

SEEN_DYNAMIC = ("isdiffpos", "magpsf", "fwhm", "classtar", "elong", "log_distnr", "log_chipsf", "mag_minus_ref", "nneg")
SEEN_STATIC = ("sgscore1", "log_distpsnr1", "magnr", "ps1_r1", "chinr", "sharpnr")


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How the encoder is trained: passes over all stamps, batch size, and the greatest learning rate."""

    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 1e-3
    views: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Stamped:
    """Alerts with stamps, the numbers to be seen in them (NaN where unknown), and the class (-1 where unused)."""

    alerts: tuple[Alert, ...]
    targets: Tensor
    labels: Tensor


def stamped(material: Material) -> Stamped:
    """Every alert with usable stamps."""
    alerts, labels = [], []
    for sequence, label in _all(material):
        usable = [alert for alert in sequence.alerts if alert.has_stamps and stamp_fault(alert) is None]
        alerts += usable
        labels += [CLASSES.index(label) if label else -1] * len(usable)
    dynamic, static = lookup(SEEN_DYNAMIC, "dynamic"), lookup(SEEN_STATIC, "static")
    raw = np.stack([np.append(read_dynamic((a,), dynamic)[0], read_static((a,), static)) for a in alerts])
    limits = [(feature.low, feature.high) for feature in (*dynamic, *static)]
    scaled = Scale.fit((*SEEN_DYNAMIC, *SEEN_STATIC), limits, raw, "quantile")(raw)
    scaled[~np.isfinite(raw)] = np.nan
    return Stamped(tuple(alerts), torch.from_numpy(scaled), torch.tensor(labels))


def _all(material: Material) -> Iterator[tuple[object, str | None]]:
    yield from ((known.sequence, known.label) for known in material.simulated)
    yield from ((known.sequence, None) for known in material.real)
    yield from ((sequence, None) for sequence in material.unlabelled)


class _Tasks(nn.Module):
    """An encoder with a linear read-out for the class and for the numbers."""

    def __init__(self, encoder: Encoder, codes: int, targets: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.read_class, self.read_numbers = nn.Linear(codes, len(CLASSES)), nn.Linear(codes, targets)

    def loss(self, stamps: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the classes that are given plus the mean squared error of the numbers that are."""
        codes = self.encoder(stamps)
        known = torch.isfinite(targets)
        error = (self.read_numbers(codes)[known] - targets[known]).square().mean()
        if not (labels >= 0).any():
            return error
        return error + functional.cross_entropy(self.read_class(codes), labels, ignore_index=-1)


def pretrain(
    material: Stamped, config: EncoderConfig, preprocess: PreprocessConfig, options: Pretraining
) -> tuple[Encoder, list[float]]:
    """Train an encoder, and give the mean loss of each epoch with it.

    Fewer views than the final encoder has, each turned at random: an encoder that serves any angle serves the
    average over k of them.
    """
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    encoder = Encoder(config, len(preprocess.channels), preprocess.crop)
    tasks = _Tasks(encoder, config.codes, material.targets.shape[1]).to(memory_format=torch.channels_last).train()
    views, jitter = encoder.rotations.views, encoder.rotations.jitter_turns
    encoder.rotations.views, encoder.rotations.jitter_turns = options.views, 1.0 / options.views
    steps = options.epochs * (len(material.alerts) // options.batch_size)
    optimizer = torch.optim.AdamW(tasks.parameters(), options.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=steps)
    losses = []
    with tqdm(total=steps, desc="encoder", unit="batch", file=sys.stderr, disable=None) as bar:
        for _ in range(options.epochs):
            epoch = []
            for rows in _batches(rng.permutation(len(material.alerts)), options.batch_size):
                stamps = torch.from_numpy(scale_stamps(tuple(material.alerts[i] for i in rows), preprocess)[0])
                loss = tasks.loss(stamps, material.targets[rows], material.labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                epoch.append(loss.item())
                bar.update()
                bar.set_postfix(loss=f"{np.mean(epoch[-50:]):.3f}", refresh=False)
            losses.append(float(np.mean(epoch)))
    encoder.rotations.views, encoder.rotations.jitter_turns = views, jitter
    return encoder.eval(), losses


def _batches(order: np.ndarray, size: int) -> Sequence[np.ndarray]:
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]
