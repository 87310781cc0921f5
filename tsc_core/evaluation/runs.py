"""Folders of training runs and experiments, read for people: a half-written or broken one is listed with its fault."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

CONFIG, METRICS, RESULT, EXPERIMENT = "config.json", "metrics.csv", "result.json", "experiment.json"
TEST, CELL, CURVES = "test.json", "cell.json", "curves.csv"
PROJECT = Path(__file__).resolve().parents[2]
CHECKPOINTS, RUNS = "checkpoints", "checkpoints/runs"  # relative to the project
SEED = "training.seed"
UNFINISHED = "not finished: no result.json"
LARGEST = 64 << 20  # bytes of one file: more is not what the trainer writes
Value = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Run:
    """One training run as found on disk.

    Attributes
    ----------
    name : str
        Folder relative to where the runs lie.
    path : Path
    config : Mapping of dotted key to value
        The resolved configuration, lists as text; empty where it cannot be read.
    result : Mapping
        `result.json`; empty while the run goes on.
    problem : str or None
        Why the run cannot be shown in full.
    cell : str or None
        Its key in the experiment's `curves.csv`, for a run known from an experiment's report alone.
    """

    name: str
    path: Path
    config: Mapping[str, Value] = field(default_factory=dict)
    result: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None
    cell: str | None = None

    @property
    def broken(self) -> bool:
        """Whether something of it cannot be read; a run that goes on is not broken."""
        return self.problem is not None and self.problem != UNFINISHED

    @property
    def experiment(self) -> str:
        """First part of the name: the experiment that the run belongs to."""
        return self.name.split("/")[0]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A table of the paper as rerun here: `rows` as written by `tsc experiment`, or the `problem` with the file.

    `folder` is the first part of where it lies, as `Run.experiment` is.
    """

    name: str
    title: str
    rows: tuple[Mapping[str, object], ...] = ()
    notes: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None
    folder: str = ""


class Unreadable(ValueError):
    """A file that cannot be used; the message names it and says why."""


def find_runs(folder: str | Path) -> list[Run]:
    """All runs below a folder, those of experiments' reports among them, sorted by name; none without the folder."""
    root = Path(folder)
    found = []
    for at, folders, files in os.walk(root):
        folders.sort()
        if EXPERIMENT in files:
            found += _runs_of_experiment(root, Path(at))
            folders.clear()
        elif {CONFIG, METRICS, RESULT, CELL}.intersection(files):
            found.append(_read_run(root, Path(at)))
            folders.clear()
        elif not files and not folders and Path(at) != root:
            found.append(Run(Path(at).relative_to(root).as_posix(), Path(at), problem="an empty folder"))
    return sorted(found, key=lambda run: run.name)


def _runs_of_experiment(root: Path, path: Path) -> list[Run]:
    """A run for each cell of a report; one broken run where the report cannot be read."""
    name = path.relative_to(root).as_posix()
    try:
        cells = read_object(path / EXPERIMENT)["cells"]
        if not isinstance(cells, list):
            raise TypeError
        return [
            Run(
                f"{name}/{cell['key']}",
                path,
                flatten(cell["config"]),
                {key: value for key, value in cell.items() if key not in ("config", "key")},
                str(cell["error"])[:300] if cell.get("error") else None,
                str(cell["key"]),
            )
            for cell in cells
        ]
    except Unreadable as error:
        return [Run(name, path, problem=str(error))]
    except (KeyError, TypeError, AttributeError) as error:
        return [Run(name, path, problem=f"{EXPERIMENT} is not as written by `tsc experiment` ({type(error).__name__})")]


def _read_run(root: Path, path: Path) -> Run:
    name = path.relative_to(root).as_posix()
    config, result, problems = {}, {}, []
    try:
        config = flatten(read_object(path / CONFIG))
    except Unreadable as error:
        problems.append(str(error))
    for file in (RESULT, CELL, TEST):
        if (path / file).exists():
            try:
                found = read_object(path / file)
                result |= {"test": found} if file == TEST else found
            except Unreadable as error:
                problems.append(str(error))
    if not result and not problems:
        problems.append(UNFINISHED)
    return Run(name, path, config, result, "; ".join(problems) or None)


def read_object(path: Path) -> dict:
    """A JSON object from a file.

    Raises
    ------
    Unreadable
        For a file that is missing, too large, no JSON, or no object.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise Unreadable(f"{path.name}: {path.stat().st_size >> 20} MB, more than {LARGEST >> 20}")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unreadable(f"{path.name} is missing") from None
    except Unreadable:
        raise
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no JSON, or a number of thousands of digits
        raise Unreadable(f"{path.name} cannot be read ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise Unreadable(f"{path.name} holds no JSON object")
    return found


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, Value]:
    """Nested configuration as dotted keys; lists and other values as text."""
    flat: dict[str, Value] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (str, int, float)) or value is None:
            flat[f"{prefix}{key}"] = value
        else:
            flat[f"{prefix}{key}"] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return flat


def read_curve(run: Run) -> dict[str, list[float]]:
    """The run's table of metrics by column, NaN where a cell is no number; a last line cut short is left out.

    Raises
    ------
    Unreadable
        Where there is no table, or it has no column `step`.
    """
    path = run.path / (CURVES if run.cell else METRICS)
    try:
        names, rows = _table(path, path.stat().st_mtime_ns)
    except (OSError, csv.Error) as error:
        raise Unreadable(f"{run.name}: {path.name} cannot be read ({type(error).__name__})") from None
    if "step" not in names:
        raise Unreadable(f"{run.name}: {path.name} has no column step")
    kept = [row for row in rows if math.isfinite(number(row["step"])) and (not run.cell or row.get("cell") == run.cell)]
    return {name: [number(row.get(name)) for row in kept] for name in names if name != "cell"}


@lru_cache(maxsize=64)
def _table(path: Path, changed: int) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV; `changed` (the file's time) is part of what is remembered."""
    text = path.read_text(encoding="utf-8", errors="replace")
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    return [name for name in reader.fieldnames or () if name], list(reader)


def number(value: object) -> float:
    """A number from a cell or a JSON value, NaN where it is none or too large for one."""
    try:
        return float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        return math.nan


def differing(runs: Sequence[Run]) -> list[str]:
    """Configuration keys in which the runs differ (a key that some lack differs), sorted."""
    keys = sorted({key for run in runs for key in run.config})
    return [key for key in keys if len({str(run.config.get(key, "(none)")) for run in runs}) > 1]


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Exponential moving average, the start's bias taken out; `weight` from 0 (as is) up to 1; NaN passes through."""
    out, total, mass = [], 0.0, 0.0
    for value in values:
        if not math.isfinite(value):
            out.append(value)
            continue
        total, mass = weight * total + (1 - weight) * value, weight * mass + (1 - weight)
        out.append(total / mass)
    return out


def metrics_of(run: Run) -> dict[str, float]:
    """The numbers of a run's result by dotted name, without seconds, counts of objects and matrices."""
    flat = flatten({key: value for key, value in run.result.items() if key not in ("objects", "environment")})
    found = {key: number(value) for key, value in flat.items() if "interval" not in key and "confusion" not in key}
    return {key: value for key, value in found.items() if math.isfinite(value)}


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Runs alike but for the seed: how many, and mean and standard deviation (n - 1; NaN of one) of a metric."""

    label: str
    runs: tuple[Run, ...]
    mean: float
    std: float


def over_seeds(runs: Sequence[Run], metric: str) -> list[SeedGroup]:
    """Group runs that differ in nothing but seed and name, best mean first; runs without the metric are left out."""
    groups: dict[tuple, list[Run]] = {}
    measured = [run for run in runs if metric in metrics_of(run)]
    shown = [key for key in differing(measured) if key not in (SEED, "name")]
    for run in measured:
        same = tuple((key, str(value)) for key, value in sorted(run.config.items()) if key not in (SEED, "name"))
        groups.setdefault((run.experiment, same), []).append(run)
    made = []
    for members in groups.values():
        values = [metrics_of(run)[metric] for run in members]
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else math.nan
        words = ", ".join(f"{key.split('.')[-1]} {members[0].config.get(key)}" for key in shown)
        made.append(SeedGroup(words or members[0].name, tuple(members), mean, spread))
    return sorted(made, key=lambda group: -group.mean)


def find_experiments(folder: str | Path) -> list[Experiment]:
    """Experiments below a folder, each from its `experiment.json`."""
    root = Path(folder)
    paths = sorted(root.rglob(EXPERIMENT))
    return [replace(_read_experiment(p), folder=p.parent.relative_to(root).as_posix().split("/")[0]) for p in paths]


def _read_experiment(path: Path) -> Experiment:
    name = path.parent.name
    try:
        found = read_object(path)
    except Unreadable as error:
        return Experiment(name, name, problem=str(error))
    rows = found.get("rows", found.get("table", []))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return Experiment(name, name, problem=f"{EXPERIMENT} has no list of rows")
    notes = {key: value for key, value in found.items() if not isinstance(value, (list, dict))}
    title = str(found.get("title", found.get("name", name)))
    return Experiment(str(found.get("name", name)), title, tuple(map(_table_row, rows)), notes)


def _table_row(row: Mapping[str, object]) -> dict[str, Value]:
    """One line of an experiment's table as a person reads it: ours with spread and runs, the paper's beside it."""
    ours, paper, other = (row.get(key) or {} for key in ("ours", "paper", "against_reference"))
    if not all(isinstance(part, dict) for part in (ours, paper, other)):
        return flatten(row)
    shown = {"row": str(row.get("label", ""))}
    shown |= {"ours (%)": ours.get("mean"), "± (%)": ours.get("std"), "runs": ours.get("runs")}
    shown |= {"paper (%)": paper.get("accuracy"), "paper ± (%)": paper.get("std"), "paper": paper.get("setting")}
    shown |= {"difference": other.get("difference"), "95 %": _interval(other.get("interval"))}
    shown |= {"against": row.get("reference"), "p": other.get("p"), "least p": other.get("p_floor")}
    shown |= {"Cohen's d": other.get("cohen_d"), "ms per object": row.get("ms_per_object")}
    return shown | {"best on validation": row.get("best") or None, **flatten(row.get("columns") or {})}


def _interval(found: object) -> str | None:
    """An interval's ends, in words."""
    if not isinstance(found, list) or len(found) != 2 or not all(isinstance(end, (int, float)) for end in found):
        return None
    return f"{found[0]:+.2f} to {found[1]:+.2f}"


def columns_of(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Keys of all rows in the order in which they first occur."""
    return list(dict.fromkeys(key for row in rows for key in row))
