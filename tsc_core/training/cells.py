"""The cells of an experiment: one training each, in a folder of its own, done once."""

from __future__ import annotations

import csv
import hashlib
import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from tsc_core.config import RunConfig, to_dict
from tsc_core.data.store import Dataset
from tsc_core.evaluation.metrics import summarise
from tsc_core.models import build_model
from tsc_core.training.batches import Examples, in_order
from tsc_core.training.boosting import boosted_probabilities
from tsc_core.training.objective import probabilities
from tsc_core.training.paper_tables import Published
from tsc_core.training.sets import make_sets
from tsc_core.training.shared import SharedCodes, cached_sets
from tsc_core.training.trainer import train, write_json

CELLS, CELL = "cells", "cell.json"
Mode = Literal["whole", "codes", "boosting"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training.

    Attributes
    ----------
    config : RunConfig
        With its seed. The name is not part of what makes two cells equal.
    mode : {"whole", "codes", "boosting"}
        The whole network from stamps; the layers behind a frozen encoder (or without images); or gradient boosting
        on the same metadata.
    """

    config: RunConfig
    mode: Mode = "whole"

    @property
    def key(self) -> str:
        """Folder name: equal for equal trainings."""
        return _key(self)


@lru_cache(4096)
def _key(cell: Cell) -> str:
    model, seed = cell.config.model, cell.config.training.seed
    values = to_dict(replace(cell.config, name=""))
    digest = hashlib.sha256(json.dumps([cell.mode, values], sort_keys=True).encode()).hexdigest()
    layer = "boosting" if cell.mode == "boosting" else model.kind if model.n == 1 else model.recurrent.kind
    return f"n{model.n}_{layer}_seed{seed}_{digest[:10]}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: cells that differ by seed alone, and the paper's number.

    Attributes
    ----------
    label : str
    cells : tuple of Cell
    columns : dict of str to str or number
        What the line is about, e.g. n and layer.
    published : Published or None
    reference : str or None
        Label of the row it is compared with.
    """

    label: str
    cells: tuple[Cell, ...]
    columns: dict[str, str | int | float]
    published: Published | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """A table of the paper.

    Attributes
    ----------
    name, title : str
    rows : tuple of Row
    choose_by : tuple of str
        Of rows that agree in these columns the best on validation is marked as the table's.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    choose_by: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell once."""
        return tuple({cell.key: cell for row in self.rows for cell in row.cells}.values())


def seeded(config: RunConfig, seeds: Sequence[int], mode: Mode = "whole") -> tuple[Cell, ...]:
    """The same training with several seeds."""
    return tuple(Cell(replace(config, training=replace(config.training, seed=seed)), mode) for seed in seeds)


def run_cell(cell: Cell, data: str, out: str, shared: SharedCodes) -> dict:
    """Do one cell, or read it where it was done before; what goes wrong is recorded and returned, not raised.

    One thread, so that the result does not depend on how many cells run beside it.

    Parameters
    ----------
    cell : Cell
    data : str
        Dataset folder.
    out : str
        Folder of the experiment; the cell's own is `cells/<key>` in it.
    shared : SharedCodes
        The experiment's encoder and codes.
    """
    folder = Path(out) / CELLS / cell.key
    done = read_cell(folder)
    if done is not None and "error" not in done:
        return done
    folder.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = _work(cell, data, folder, shared)
    except Exception as error:  # whatever it is, it belongs to this cell; the others go on
        (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        found = {"error": f"{type(error).__name__}: {error}"}
    finally:
        torch.set_num_threads(threads)
    result = {"key": cell.key, "mode": cell.mode, "seed": cell.config.training.seed, **found}
    write_json(folder / CELL, result)
    return result


def read_cell(folder: Path) -> dict | None:
    """The result of a cell, None where there is none (or a broken one)."""
    try:
        return json.loads((folder / CELL).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None


def _work(cell: Cell, data: str, folder: Path, shared: SharedCodes) -> dict:
    config = cell.config
    if cell.mode == "whole":
        sets = make_sets(config, Dataset(data))
        examples, oids = (sets.training, sets.validation, sets.test), sets.test.oids
    else:
        examples, oids = cached_sets(config, data, shared)
    if cell.mode == "boosting":
        scores, result = boosted_probabilities(examples, config.training.seed)
        timing = {}
    else:
        torch.manual_seed(config.training.seed)
        network = build_model(config.model, config.preprocess)
        if cell.mode == "codes" and shared.has_codes(config):
            network = shared.adopt(network)
        run = train(config, examples[0], examples[1], folder, network, progress=False)
        timing = {"parameters": sum(p.numel() for p in run.network.parameters())}
        scores, timing["ms_per_object"] = timed(run.network, examples[2])
        result = run.result
        (folder / "best.safetensors").unlink(missing_ok=True)  # tables need no weights
        (folder / "result.json").unlink(missing_ok=True)
    test = summarise(examples[2].labels, scores, config.model.classes)
    write_probabilities(folder / "test.csv", oids, examples[2].labels, scores, config.model.classes)
    return {**result, **timing, "test": test}


def timed(network: torch.nn.Module, examples: Examples) -> tuple[np.ndarray, float]:
    """Probabilities (N, K) and milliseconds per object of the forward passes alone, batches of 128, one thread."""
    batches = list(in_order(examples, 128))
    started = time.perf_counter()
    found = probabilities(network, batches)
    return found, round(1000 * (time.perf_counter() - started) / len(examples), 4)


def write_probabilities(
    path: Path, oids: Sequence[str], labels: np.ndarray, scores: np.ndarray, classes: Sequence[str]
) -> None:
    """One line per test object: oid, true class, probability of each class."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["oid", "label", *classes])
        for oid, label, row in zip(oids, labels, scores, strict=True):
            writer.writerow([oid, classes[label], *(f"{p:.4f}" for p in row)])
