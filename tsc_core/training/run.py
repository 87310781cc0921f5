"""One run from a dataset to a bundle: sets, training, calibration, and the test set scored once, at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tsc_core.alerts import Batch
from tsc_core.bundle import Bundle, load_bundle, save_bundle
from tsc_core.config import ConfigError, RunConfig
from tsc_core.data.loaders import ExampleSet
from tsc_core.data.store import Dataset
from tsc_core.evaluation.metrics import summarise
from tsc_core.models import build_model
from tsc_core.training.batches import Examples, in_order
from tsc_core.training.calibration import fit_temperature, logits_of
from tsc_core.training.frozen import adopt_encoder, coded_sets
from tsc_core.training.sets import RunSets, make_sets
from tsc_core.training.trainer import TrainedRun, train, write_json

BUNDLE, TEST = "bundle", "test.json"


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A network and the two sets it is trained and validated on."""

    network: nn.Module
    sets: tuple[Examples, Examples]


def prepare(config: RunConfig, sets: RunSets, progress: bool = True) -> Ready:
    """A fresh network for a configuration, with the frozen encoder's codes in place of stamps where it has one.

    Raises
    ------
    ConfigError
        Where the bundle of `training.frozen_encoder` does not fit.
    """
    torch.manual_seed(config.training.seed)
    network = build_model(config.model, config.preprocess)
    examples = (sets.training, sets.validation)
    if config.training.frozen_encoder is None:
        if config.model.images and config.model.kind != "metadata":
            return Ready(network, examples)
        return Ready(network, coded_sets(examples, None, progress=progress))
    if config.model.kind == "unified":
        raise ConfigError("training.frozen_encoder: a unified model draws lengths anew and cannot use stored codes")
    network = adopt_encoder(network, config, load_bundle(config.training.frozen_encoder))
    encoder = network.coder.encoder
    return Ready(network, coded_sets(examples, encoder, config.training.seed, progress=progress))


def run(config: RunConfig, dataset: Dataset, out: str | Path, devices: int = 1, progress: bool = True) -> dict:
    """Train on a dataset and leave a bundle.

    Parameters
    ----------
    config : RunConfig
    dataset : Dataset
    out : Path or str
        Folder of the run; a run that was interrupted goes on. Beside the trainer's files it gets `test.json` and
        the folder `bundle`.
    devices : int
        Processes or GPUs that share each batch.
    progress : bool
        Show bars on standard error.

    Returns
    -------
    dict
        The trainer's result with `test`, the scores of the bundle on the test set (`evaluated`).

    Raises
    ------
    ConfigError
        Where the dataset cannot serve the configuration; before any training.
    """
    sets = make_sets(config, dataset)
    ready = prepare(config, sets, progress)
    training, validation = ready.sets
    trained = train(config, training, validation, out, ready.network, devices, progress)
    temperature = fit_temperature(logits_of(trained.network, validation), validation.labels)
    lengths = range(1 if config.model.kind == "unified" else config.model.n, config.model.n + 1)
    temperatures = dict.fromkeys(lengths, temperature)
    card = describe(config, dataset, sets, trained)
    bundle = Bundle(config.name, config, sets.preprocessor, (trained.network,), temperatures, card=card)
    scored = evaluated(bundle, sets, dataset)
    write_json(Path(out) / TEST, scored)
    save_bundle(bundle, Path(out) / BUNDLE)
    write_json(Path(out) / BUNDLE / "metrics.json", {"training": trained.result, "test": scored})
    return {**trained.result, "test": scored}


def evaluated(bundle: Bundle, sets: RunSets, dataset: Dataset) -> dict:
    """Metrics (`tsc_core.evaluation.metrics.summarise`) on the test set of what a bundle answers, with its temperature.

    Those of a `unified` bundle are after each object's last detection, without a matrix, which would mix numbers of
    detections. In `n` they are after 1, 2, ... detections, of the objects with as many whose class it then names.
    """
    scored = summarise(sets.test.labels, answers(bundle, in_order(sets.test, 256)), bundle.classes)
    if bundle.config.model.kind != "unified":
        return scored
    del scored["confusion"]
    found, data = {}, bundle.config.data
    for n in bundle.temperatures:
        classes = bundle.classes_after(n)
        examples = ExampleSet(dataset, sets.test.oids, bundle.preprocessor, n, data.window, classes)
        if len(examples):
            named = [bundle.classes.index(name) for name in classes]
            found[str(n)] = summarise(examples.labels, answers(bundle, in_order(examples, 256))[:, named], classes)
    return {**scored, "n": found}


@torch.no_grad()
def answers(bundle: Bundle, batches: Iterable[Batch]) -> np.ndarray:
    """Probabilities (N, K) of a bundle after each object's last detection; 0 for a class that it no longer names."""
    found = []
    for batch in batches:
        logits, present = bundle.logits(batch), batch.present.sum(1)  # (M, B, K), (B,)
        scored = torch.zeros(logits.shape[1:])
        for n in present.unique().tolist():
            rows = torch.nonzero(present == n)  # (R, 1)
            named = [bundle.classes.index(name) for name in bundle.classes_after(n)]
            scored[rows, named] = bundle.probabilities(logits[:, rows[:, 0]], n).mean(0)
        found.append(scored.numpy())
    return np.concatenate(found)


def describe(config: RunConfig, dataset: Dataset, sets: RunSets, trained: TrainedRun) -> dict:
    """What a bundle's card says of its training, as plain JSON values."""
    counts = {name: int((sets.training.labels == k).sum()) for k, name in enumerate(config.model.classes)}
    return {
        "trained_on": f"{sets.origin} objects of the dataset {dataset.path.name!r}",
        "origin": sets.origin,
        "training_objects": counts,
        "split_sha256": sets.split.hash,
        "seed": config.training.seed,
        "steps": trained.result["steps"],
        "best_step": trained.result["best_step"],
    }
