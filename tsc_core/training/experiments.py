"""The paper's experiments: cells run and kept, tables with statistics beside the published numbers."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from tsc_core.config import ConfigError, to_dict
from tsc_core.data.store import Dataset
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES
from tsc_core.training.cells import CELLS, Cell, Experiment, Row
from tsc_core.training.engine import run_cells
from tsc_core.training.environment import environment
from tsc_core.training.grids import ablations, allwise, baselines, complete, recurrent, rotations
from tsc_core.training.grids.scale import Scale
from tsc_core.training.published import published_rows
from tsc_core.training.sets import origin_of
from tsc_core.training.shared import SharedCodes, encoder_run, prepare_sets, train_encoder
from tsc_core.training.statistics import compare, summary
from tsc_core.training.trainer import METRICS, write_json

EXPERIMENTS: dict[str, Callable[[Scale], Experiment]] = {
    "rotations": rotations.experiment,
    "recurrent": recurrent.experiment,
    "allwise": allwise.experiment,
    "complete": complete.experiment,
    "baselines": baselines.experiment,
    "ablations": ablations.experiment,
}
REPORT, CURVES, OBJECTS = "experiment.json", "curves.csv", "objects.csv"
FEWEST = 10  # objects per class in the quick form's validation and test sets, at least


def scale_for(name: str, dataset: Dataset, scale: Scale) -> Scale:
    """A scale with the split that the dataset allows.

    As published: 200 objects per class each. The quick form takes up to a fifth of the rarest class; the greatest n is
    the one with enough objects of every class, and all n are tested on the same objects.

    Raises
    ------
    ConfigError
        Where a class has too few objects even so.
    """
    classes = CLASSES if name == "rotations" else TEMPORAL_CLASSES
    table = dataset.objects
    for detections in (1,) if name == "rotations" else (5, 4, 3, 2):
        able = table[table["usable"] >= detections] if len(table) else table
        rarest = min(int((able["label"] == label).sum()) if len(able) else 0 for label in classes)
        held = min(scale.data.validation_per_class, rarest // 5) if scale.quick else scale.data.validation_per_class
        if rarest > 2 * held and held >= min(FEWEST, scale.data.validation_per_class):
            data = replace(scale.data, validation_per_class=held, test_per_class=held, split_detections=detections)
            return replace(scale, data=data, longest=detections)
    counts = {label: int((table["label"] == label).sum()) if len(table) else 0 for label in classes}
    need = 5 * FEWEST if scale.quick else 2 * scale.data.validation_per_class + 1
    raise ConfigError(f"{dataset.path}: {counts} objects; each class needs {need} with at least 2 usable detections")


def run_experiment(
    name: str,
    data: str | Path,
    out: str | Path,
    scale: Scale,
    workers: int = 1,
    scheduler: str | None = None,
    probabilities: str | Path | None = None,
    shared_folder: str | Path | None = None,
) -> dict:
    """Run an experiment, or what is left of it, and write its report.

    Parameters
    ----------
    name : str
        A key of `EXPERIMENTS`.
    data, out : Path or str
        Dataset folder; folder of the experiment.
    scale : Scale
    workers, scheduler
        As for `run_cells`.
    probabilities : Path or str, optional
        CSV of published classifiers' probabilities, for `baselines` (see `tsc_core.training.published`).
    shared_folder : Path or str, optional
        Where the frozen encoder and its codes are kept, for several experiments on one dataset to share.

    Returns
    -------
    dict
        The report, also in `experiment.json`: rows with statistics and the paper's numbers, and a line per cell.

    Raises
    ------
    ConfigError
        Where the dataset cannot serve the experiment; before any training.
    """
    dataset, folder = Dataset(data), Path(out)
    scale = scale_for(name, dataset, scale)
    found = EXPERIMENTS[name](scale)
    shared = _shared(found, Path(shared_folder or folder / "shared"), scale)
    _prepare(found.cells, str(data), shared)
    results = {}
    bar = tqdm(total=len(found.cells), desc=name, unit="cell", disable=None)
    with bar:
        for result in run_cells(found.cells, str(data), str(folder), shared, workers, scheduler):
            results[result["key"]] = result
            bar.update()
    report = make_report(found, results, scale, dataset)
    if probabilities is not None:
        report["rows"] += published_rows(probabilities, _labels(found, folder, results))
    write_json(folder / REPORT, report)
    write_curves(folder, results)
    write_objects(folder, found, results)
    return report


def _shared(experiment: Experiment, folder: Path, scale: Scale) -> SharedCodes:
    coded = [cell.config for cell in experiment.cells if cell.mode == "codes" and cell.config.model.images]
    encoder = encoder_run(replace(coded[0], training=scale.encoder_training)) if coded else None
    return SharedCodes(str(folder), encoder)


def _prepare(cells: tuple[Cell, ...], data: str, shared: SharedCodes) -> None:
    train_encoder(shared, data)
    prepare_sets([cell.config for cell in cells if cell.mode != "whole"], data, shared)


def make_report(experiment: Experiment, results: dict[str, dict], scale: Scale, dataset: Dataset) -> dict:
    """The table with its statistics, as plain JSON values; accuracies in per cent."""
    rows = [_row(row, experiment, results) for row in experiment.rows]
    _mark_best(rows, experiment.choose_by)
    done = [cell for cell in experiment.cells if cell.key in results]
    cells = [{**_plain(results[cell.key]), "config": to_dict(cell.config)} for cell in done]
    return {
        "name": experiment.name,
        "title": experiment.title,
        "quick": scale.quick,
        "frozen_encoder": any(cell.mode == "codes" and cell.config.model.images for cell in experiment.cells),
        "origin": origin_of(dataset),
        "dataset": {"name": dataset.path.name, "objects": len(dataset)},
        "split": asdict(scale.data),
        "rows": rows,
        "cells": cells,
        "failed": {key: found["error"] for key, found in results.items() if "error" in found},
        "environment": environment(),
    }


def _plain(result: dict) -> dict:
    """A cell's line without what can be computed from the rest."""
    test = (
        {k: result["test"][k] for k in ("objects", "classes", "confusion", "accuracy", "ece")}
        if "test" in result
        else {}
    )
    return {**{k: v for k, v in result.items() if k != "test"}, "test": test}


def accuracies(row: Row, results: dict[str, dict], place: str = "test") -> list[float]:
    """Per cent correct of each run that did not fail: on the test set, or on validation."""
    done = [found for cell in row.cells if "test" in (found := results.get(cell.key, {}))]
    return [100 * (found["test"]["accuracy"] if place == "test" else found["val_accuracy"]) for found in done]


def _row(row: Row, experiment: Experiment, results: dict[str, dict]) -> dict:
    ours = accuracies(row, results)
    others = {other.label: other for other in experiment.rows}
    reference = others.get(row.reference) if row.reference else None
    times = [found["ms_per_object"] for cell in row.cells if "ms_per_object" in (found := results.get(cell.key, {}))]
    return {
        "label": row.label,
        "columns": row.columns,
        "ours": summary(ours),
        "validation": summary(accuracies(row, results, "validation"))["mean"],
        "ms_per_object": min(times) if times else None,
        "paper": asdict(row.published) if row.published else None,
        "reference": row.reference,
        "against_reference": compare(ours, accuracies(reference, results)) if reference else None,
        "cells": [cell.key for cell in row.cells],
    }


def _mark_best(rows: list[dict], by: tuple[str, ...]) -> None:
    """Mark, among rows that agree in the columns `by`, the best on validation: never chosen on the test set."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row["columns"].get(name) for name in by), []).append(row)
    for group in groups.values():
        best = max(group, key=lambda row: row["validation"] or 0)
        for row in group:
            row["best"] = bool(by) and row is best


def _labels(experiment: Experiment, folder: Path, results: dict[str, dict]) -> dict[str, str]:
    """True class of each test object."""
    for cell in experiment.cells:
        path = folder / CELLS / cell.key / "test.csv"
        if "test" in results.get(cell.key, {}) and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                return {row["oid"]: row["label"] for row in csv.DictReader(file)}
    return {}


def compact(folder: Path, target: Path) -> None:
    """Copy what pages and notebooks read of an experiment: the report, curves and objects, no weights."""
    target.mkdir(parents=True, exist_ok=True)
    for name in (REPORT, CURVES, OBJECTS):
        shutil.copyfile(folder / name, target / name)


def write_curves(folder: Path, results: dict[str, dict]) -> None:
    """All cells' metrics in one table, `curves.csv`, with the cell's key first."""
    with (folder / CURVES).open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["cell", "step", "train_loss", "val_loss", "val_accuracy"])
        for key in results:
            path = folder / CELLS / key / METRICS
            if path.exists():
                with path.open(newline="", encoding="utf-8") as file:
                    for row in csv.DictReader(file):
                        writer.writerow(
                            [key, *(row[name] for name in ("step", "train_loss", "val_loss", "val_accuracy"))]
                        )


def write_objects(folder: Path, experiment: Experiment, results: dict[str, dict]) -> None:
    """Probabilities of every test object from the first run of each row, `objects.csv`."""
    with (folder / OBJECTS).open("w", newline="", encoding="utf-8") as out:
        writer = None
        for row in experiment.rows:
            key = row.cells[0].key
            path = folder / CELLS / key / "test.csv"
            if "test" not in results.get(key, {}) or not path.exists():
                continue
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    if writer is None:
                        writer = csv.DictWriter(out, ["row", *line], restval="")
                        writer.writeheader()
                    writer.writerow({"row": row.label, **line})
