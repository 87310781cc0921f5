"""One training run: best weights on the validation set, everything random fixed by one seed, resumable.

The loop stands on Lightning Fabric: the smallest of the libraries that bring devices, mixed precision and several
processes, and it leaves the loop itself here.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn
from tqdm import tqdm

from tsc_core.alerts import Batch
from tsc_core.config import ConfigError, RunConfig, to_dict
from tsc_core.data.loaders import prefetch
from tsc_core.models import build_model
from tsc_core.training.batches import Examples, Sampler, as_dict, in_order
from tsc_core.training.checkpoint import (
    load_state,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    save_state,
    snapshot,
    under,
)
from tsc_core.training.environment import environment
from tsc_core.training.objective import Objective, scores

COLUMNS = ("step", "train_loss", "val_loss", "val_accuracy", "best", "seconds")
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}
STATE, BEST, METRICS, RESULT, CONFIG = (
    "state.safetensors",
    "best.safetensors",
    "metrics.csv",
    "result.json",
    "config.json",
)


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished run: the network with its best weights, and `result.json`."""

    network: nn.Module
    result: dict


@dataclass(slots=True)
class Progress:
    """How far a run has come; its values are saved with the weights."""

    step: int = 0
    limit: int = 0
    best_step: int = 0
    best_loss: float = math.inf
    best_accuracy: float = 0.0
    seconds: float = 0.0


def train(
    config: RunConfig,
    training: Examples,
    validation: Examples,
    out: str | Path,
    network: nn.Module | None = None,
    devices: int = 1,
    progress: bool = True,
    save_every_seconds: float = 60.0,
) -> TrainedRun:
    """Train one network, or go on with a run that was interrupted in `out`; a finished one is only read.

    Parameters
    ----------
    config : RunConfig
    training, validation : Examples
        Labels index `config.model.classes`.
    out : Path or str
        Folder of the run: `config.json`, `environment.json`, `metrics.csv` (a row per validation), the weights that
        were best on validation and `result.json`.
    network : nn.Module, optional
        To start from, e.g. with a trained encoder; by default one freshly initialised from the seed.
    devices : int
        Processes (or GPUs) that share each batch.
    progress : bool
        Show a bar on standard error.
    save_every_seconds : float
        How often the state is saved, at validations.

    Raises
    ------
    ConfigError
        Where data and configuration do not fit, or `out` holds a run of another configuration.
    FloatingPointError
        Where the loss is no longer a number.
    """
    check_examples(config, training, "training")
    check_examples(config, validation, "validation")
    folder = Path(out)
    torch.manual_seed(config.training.seed)
    network = build_model(config.model, config.preprocess) if network is None else network
    finished = _open_folder(folder, config)
    if finished is not None:
        network.load_state_dict(load_state(folder / BEST)[0])
        return TrainedRun(network.eval(), finished)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    fabric = Fabric(devices=devices, precision=PRECISIONS[config.training.precision])
    fabric.launch()
    run = _Run(config, network, training, validation, folder, fabric)
    result = run.go(progress, save_every_seconds)
    return TrainedRun(network.cpu().eval(), result)


def check_examples(config: RunConfig, examples: Examples, name: str) -> None:
    """Refuse, before any training, a set that lacks a class or has labels that the model does not know."""
    classes = config.model.classes
    counts = [int((examples.labels == k).sum()) for k in range(len(classes))]
    if sum(counts) != len(examples):
        raise ConfigError(f"{name} set: {len(examples) - sum(counts)} labels are outside model.classes {classes}")
    missing = [label for label, count in zip(classes, counts, strict=True) if count == 0]
    if missing:
        raise ConfigError(f"{name} set: no object of class {', '.join(missing)} with enough detections")


def _open_folder(folder: Path, config: RunConfig) -> dict | None:
    """Make or check the run's folder; the result where the run is finished."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != to_dict(config):
        raise ConfigError(f"{folder} holds a run of another configuration: choose another folder, or remove it")
    write_json(path, to_dict(config))
    result = folder / RESULT
    return json.loads(result.read_text(encoding="utf-8")) if result.exists() else None


def write_json(path: Path, values: object) -> None:
    """Write JSON such that a reader never sees half of it."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values, indent=1), encoding="utf-8")
    part.replace(path)


class _Run:
    """The loop and its state."""

    def __init__(
        self,
        config: RunConfig,
        network: nn.Module,
        training: Examples,
        validation: Examples,
        folder: Path,
        fabric: Fabric,
    ) -> None:
        self.config, self.network, self.folder, self.fabric = config, network, folder, fabric
        self.training, self.sampler = training, _sampler(config, training)
        self.validation = list(in_order(validation, 256))  # some hundred objects (paper: 600), kept in memory
        learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
        options = {"lr": config.training.learning_rate, "weight_decay": config.training.weight_decay}
        self.objective = Objective(network, config)
        optimizer = torch.optim.Adam(learned, fused=True, **options)
        self.wrapped, self.optimizer = fabric.setup(self.objective, optimizer)
        self.progress = Progress(limit=config.training.iterations)
        self.best = snapshot(network)
        if (folder / STATE).exists():
            self._restore()

    def go(self, progress: bool, save_every_seconds: float) -> dict:
        """Train to the end and write the result."""
        started = saved = time.monotonic()
        before = self.progress.seconds
        if self.fabric.is_global_zero:
            write_json(self.folder / "environment.json", environment())
        self._rewrite_metrics()
        hidden = None if progress and self.fabric.is_global_zero else True  # None: shown on a terminal
        bar = tqdm(total=self.progress.limit, initial=self.progress.step, disable=hidden, leave=False, unit="it")
        losses: list[float] = []
        with bar:
            for batch in () if self._done() else prefetch(self._batches()):  # none if killed after its last
                losses.append(self._step(batch))
                if self.progress.step % self.config.training.evaluate_every == 0 or self._at_limit():
                    self.progress.seconds = before + time.monotonic() - started
                    row = self._evaluate(sum(losses) / len(losses))
                    losses.clear()
                    bar.total = self.progress.limit
                    bar.set_postfix(val=f"{row['val_loss']:.3f}", acc=f"{row['val_accuracy']:.3f}", refresh=False)
                    if time.monotonic() - saved >= save_every_seconds:
                        self._save()
                        saved = time.monotonic()
                bar.update()
                if self._done():
                    break
        return self._finish()

    def _batches(self) -> Iterator[Batch]:
        """Batches from the next step on, this process's share of each; more than are needed at most."""
        furthest = self.config.training.iterations + self.config.training.extension
        rank, processes = self.fabric.global_rank, self.fabric.world_size
        for step in range(self.progress.step, furthest):
            indices = self.sampler.indices(step)[rank::processes]
            yield self.training.batch(indices, self.sampler.rng(step))

    def _step(self, batch: Batch) -> float:
        torch.manual_seed(self.sampler.torch_seed(self.progress.step, self.fabric.global_rank))
        self.objective.train()
        tensors = self.fabric.to_device(as_dict(batch))
        loss = self.wrapped(tensors)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the training loss is {value} at step {self.progress.step}")
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.training.rate(self.progress.step)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        self.progress.step += 1
        return value

    def _evaluate(self, train_loss: float) -> dict:
        with self.fabric.autocast():
            found = scores(self.objective, self.validation, self.fabric.device)
        found = self.fabric.broadcast(found)  # all processes keep and stop by the first one's
        progress, config = self.progress, self.config.training
        better = found["loss"] < progress.best_loss
        if better:
            progress.best_loss, progress.best_accuracy = found["loss"], found["accuracy"]
            progress.best_step, self.best = progress.step, snapshot(self.network)
            if progress.step > config.extension_after:
                progress.limit = config.iterations + config.extension
        row = {
            "step": progress.step,
            "train_loss": round(train_loss, 6),
            "val_loss": round(found["loss"], 6),
            "val_accuracy": round(found["accuracy"], 6),
            "best": int(better),
            "seconds": round(progress.seconds, 2),
        }
        if self.fabric.is_global_zero:
            with (self.folder / METRICS).open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, COLUMNS).writerow(row)
        return row

    def _at_limit(self) -> bool:
        return self.progress.step >= self.progress.limit

    def _done(self) -> bool:
        patience = self.config.training.patience * self.config.training.evaluate_every
        return self._at_limit() or (patience > 0 and self.progress.step - self.progress.best_step >= patience)

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            tensors = {
                **prefixed("network", self.network.state_dict()),
                **prefixed("best", self.best),
                **prefixed("optimizer", optimizer_tensors(self.optimizer)),
            }
            save_state(
                self.folder / STATE, tensors, {name: getattr(self.progress, name) for name in Progress.__slots__}
            )

    def _restore(self) -> None:
        tensors, values = load_state(self.folder / STATE)
        self.network.load_state_dict(under("network", tensors))
        self.best = under("best", tensors)
        restore_optimizer(self.optimizer, under("optimizer", tensors))
        self.progress = Progress(**values)

    def _rewrite_metrics(self) -> None:
        """Start the table of metrics, or cut it back to the step that the saved state is of."""
        if not self.fabric.is_global_zero:
            return
        path, kept = self.folder / METRICS, []
        if path.exists() and self.progress.step:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if all(row.get(name) for name in COLUMNS)]
            kept = [row for row in rows if int(row["step"]) <= self.progress.step]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def _finish(self) -> dict:
        self.network.load_state_dict(self.best)
        progress = self.progress
        result = {
            "name": self.config.name,
            "steps": progress.step,
            "best_step": progress.best_step,
            "val_loss": progress.best_loss,
            "val_accuracy": progress.best_accuracy,
            "objects": {"training": len(self.training), "validation": sum(len(batch) for batch in self.validation)},
            "seconds": round(progress.seconds, 2),
        }
        if self.fabric.is_global_zero:
            save_state(self.folder / BEST, self.best, {})
            write_json(self.folder / RESULT, result)
            (self.folder / STATE).unlink(missing_ok=True)
        self.fabric.barrier()
        if not self.fabric.is_global_zero:
            raise SystemExit(0)  # the helping processes end here, the first one goes on
        return result


def _sampler(config: RunConfig, training: Examples) -> Sampler:
    settings = config.training
    return Sampler(training.labels, settings.batch_size, settings.balanced, settings.seed)
