"""Made folders of runs as the trainer writes them, some of them broken, for the pages that show them."""

import csv
import json
import math
from functools import lru_cache

import numpy as np

from tsc_core.config import ModelConfig, RecurrentConfig, RunConfig, TrainConfig, to_dict
from tsc_core.evaluation.metrics import summarise

CLASSES = ("AGN", "SN", "VS")
BREAKAGES = ("no config", "half json", "no object", "empty folder", "binary table")


def scored(seed, objects=60):
    """Labels and probabilities that are right about four times of five."""
    rng = np.random.default_rng(seed)
    labels = np.arange(objects) % 3
    logits = rng.normal(0, 1, (objects, 3)) + 2.0 * np.eye(3)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@lru_cache
def summarised(seed):
    """The scores of `scored(seed)` as JSON; the bootstrap in them takes a while."""
    return json.dumps(summarise(*scored(seed), CLASSES))


def make_run(folder, seed=0, kind="gru", units=64, steps=200):
    """One finished run: config.json, metrics.csv, result.json, test.json with its objects."""
    folder.mkdir(parents=True)
    recurrent = RecurrentConfig(kind=kind, units=units)
    config = RunConfig(kind, ModelConfig(recurrent=recurrent), training=TrainConfig(seed=seed))
    (folder / "config.json").write_text(json.dumps(to_dict(config)))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "train_loss", "val_loss", "val_accuracy", "best", "seconds"])
        for step in range(10, steps + 1, 10):
            loss = math.exp(-step / 80) + 0.01 * seed
            writer.writerow([step, loss, loss + 0.1, 1 - loss / 2, 1, step / 10])
    labels, probabilities = scored(seed)
    result = {"name": kind, "steps": steps, "best_step": steps - 20, "val_loss": 0.2, "val_accuracy": 0.9 + seed / 1000}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "test.json").write_text(summarised(seed))
    with (folder / "test.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["oid", "label", *CLASSES])
        for i, (label, row) in enumerate(zip(labels, probabilities, strict=True)):
            writer.writerow([f"SIM{i:04d}", CLASSES[label], *map(float, row)])
    return folder


def break_run(folder, how):
    """One folder that is no usable run."""
    folder.mkdir(parents=True)
    if how == "no config":
        (folder / "result.json").write_text("{}")
    elif how == "half json":
        (folder / "config.json").write_text('{"model": {"kind": "temp')
    elif how == "no object":
        (folder / "config.json").write_text("[1, 2]")
    elif how == "binary table":
        (folder / "metrics.csv").write_bytes(bytes(range(256)))


def make_folder(root, good=290, broken=10):
    """A folder of runs: `good` finished ones (kinds x units x seeds) and `broken` ones."""
    for i in range(good):
        kind = ("gru", "lstm", "rnn")[i // 10 % 3]
        make_run(root / f"search/{kind}_{i:03d}", seed=i % 10, kind=kind, units=(32, 64, 128)[i // 30 % 3])
    for i in range(broken):
        break_run(root / f"broken/{i:02d}", BREAKAGES[i % len(BREAKAGES)])
    return root


def make_experiment(folder):
    """An `experiment.json` with two rows of two seeds and the paper's numbers, `curves.csv` and `objects.csv`."""
    folder.mkdir(parents=True)
    cells, rows, curves, objects = [], [], [["cell", "step", "train_loss", "val_loss", "val_accuracy"]], []
    for label in ("gru", "lstm"):
        for seed in (0, 1):
            key = f"n2_{label}_seed{seed}"
            recurrent = RecurrentConfig(kind=label)
            config = RunConfig(label, ModelConfig(recurrent=recurrent), training=TrainConfig(seed=seed))
            labels, probabilities = scored(seed + 10 * (label == "lstm"))
            test = summarise(labels, probabilities, CLASSES)
            cells.append(
                {"key": key, "seed": seed, "mode": "codes", "val_accuracy": 0.9, "best_step": 40, "test": test}
                | {"config": to_dict(config)}
            )
            curves += [[key, step, 1 / step, 2 / step, 1 - 1 / step] for step in range(10, 60, 10)]
            if seed == 0:
                objects += [
                    [label, f"SIM{i:04d}", CLASSES[k], *p]
                    for i, (k, p) in enumerate(zip(labels, probabilities, strict=True))
                ]
        rows.append(
            {"label": label, "columns": {"n": 2, "layer": label}, "ours": {"mean": 80.0, "std": 1.5, "runs": 2}}
            | {"paper": {"accuracy": 91.3, "where": "Table 6", "std": None, "p": None, "setting": "1L 256U"}}
            | {"reference": None, "against_reference": None, "cells": [f"n2_{label}_seed{seed}" for seed in (0, 1)]}
        )
    report = {"name": "recurrent", "title": "Tables 5-6: recurrent layers", "origin": "simulated", "quick": True}
    (folder / "experiment.json").write_text(json.dumps(report | {"rows": rows, "cells": cells, "failed": {}}))
    for name, table in (("curves.csv", curves), ("objects.csv", [["row", "oid", "label", *CLASSES], *objects])):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(table)
    return folder
