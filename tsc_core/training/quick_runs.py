"""The results that ship: simulated datasets, the quick form of every experiment, compact tables in `checkpoints/runs`.

``python -m tsc_core.training.quick_runs --work DIR`` takes hours, `complete` the most of them, and goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from tsc_core.bundle import CHECKPOINTS
from tsc_core.config import DataConfig
from tsc_core.data.simulate.archive import made_sequence
from tsc_core.data.simulate.population import MadeObject, Recipe, simulate_each
from tsc_core.data.store import Dataset, DatasetError, DatasetWriter
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES
from tsc_core.training.experiments import EXPERIMENTS, compact, run_experiment
from tsc_core.training.grids.scale import Scale

PACKETS = 12  # of an object: nearly all then have five usable detections
SEEDS = {"sequences": 31, "alerts": 32}


@dataclass(frozen=True, slots=True)
class Size:
    """Simulated objects of an experiment, validation and test objects per class, and steps (None: the quick form's)."""

    objects: int = 2000
    held: int = 120
    steps: int | None = None


SIZES = {"rotations": Size(held=60), "complete": Size(20000, 500, 4000)}  # complete: held against the paper's accuracy


def _with_subclass(made: MadeObject) -> tuple:
    return made_sequence(made), made.subclass


def make_dataset(path: Path, objects: int, seed: int, recipe: Recipe, processes: int) -> Path:
    """A simulated dataset, unless it is there whole already."""
    try:
        if len(Dataset(path)) == objects:
            return path
    except DatasetError:
        pass  # not there, or not finished: written below
    with DatasetWriter(path, {"simulated": {"seed": seed, "classes": list(recipe.classes)}}) as writer:
        for sequence, subclass in simulate_each(_with_subclass, objects, seed, recipe, processes):
            if sequence.oid not in writer.done:
                writer.add(sequence, origin="simulated", subclass=subclass)
    return path


def main(argv: list[str] | None = None) -> int:
    """Make the datasets and run every experiment, or those of `--only`."""
    parser = argparse.ArgumentParser(prog="python -m tsc_core.training.quick_runs", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for datasets and whole runs")
    parser.add_argument("--out", type=Path, default=CHECKPOINTS / "runs", help="folder for the compact results")
    parser.add_argument("--objects", type=int, help="simulated objects, instead of each experiment's own number")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--only", action="append", choices=tuple(EXPERIMENTS), help="just these")
    args = parser.parse_args(argv)
    recipes = {"sequences": Recipe(TEMPORAL_CLASSES, PACKETS), "alerts": Recipe(CLASSES, 1)}
    failed = 0
    for name in args.only or EXPERIMENTS:
        kind, size = "alerts" if name == "rotations" else "sequences", SIZES.get(name, Size())
        objects = args.objects or size.objects
        data = make_dataset(args.work / f"{kind}_{objects}", objects, SEEDS[kind], recipes[kind], args.workers)
        held = max(1, size.held * objects // size.objects)
        out, shared = args.work / name, args.work / f"shared_{objects}_{size.steps or 'quick'}"
        scale = Scale(quick=True, data=DataConfig(validation_per_class=held, test_per_class=held), steps=size.steps)
        report = run_experiment(name, data, out, scale, args.workers, shared_folder=shared)
        compact(out, args.out / name)
        failed += len(report["failed"])
        print(f"{name}: {len(report['cells'])} cells, {len(report['failed'])} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
