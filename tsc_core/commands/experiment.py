"""`tsc experiment`: a table of the paper, run on a dataset, beside the published numbers."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tsc_core.cli import DONE, FAILED, USAGE

NAMES = ("rotations", "recurrent", "allwise", "complete", "baselines", "ablations")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("experiment", help="a table of the paper")
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="dataset folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the experiment; resumed if begun"
    )
    parser.add_argument("--quick", action="store_true", help="a small form: smaller network, fewer runs and steps")
    parser.add_argument(
        "--frozen", action="store_true", help="sequence layers behind one frozen encoder (as in --quick)"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="runs for each row, instead of the paper's number")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of a training, instead of the paper's number")
    parser.add_argument("--held", type=int, metavar="N", help="validation and test objects per class, each")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes of this machine"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a running dask scheduler, e.g. tcp://host:8786")
    parser.add_argument(
        "--probabilities", type=Path, metavar="CSV", help="published classifiers' probabilities (baselines)"
    )
    parser.add_argument("--shared", type=Path, metavar="DIR", help="frozen encoder and codes, for several experiments")
    parser.add_argument("--compact", type=Path, metavar="DIR", help="copy the table, curves and objects here, too")


def run(args: argparse.Namespace) -> int:
    from tsc_core.config import ConfigError, DataConfig
    from tsc_core.data.layout import DatasetError
    from tsc_core.training.engine import EngineError
    from tsc_core.training.experiments import compact, run_experiment
    from tsc_core.training.grids.scale import Scale

    try:
        held = args.held or (100 if args.name == "rotations" else 200)  # per class, as published
        data = DataConfig(validation_per_class=held, test_per_class=held)
        scale = Scale(args.quick, args.frozen, args.seeds, data, steps=args.steps)
        report = run_experiment(
            args.name, args.data, args.out, scale, args.workers, args.scheduler, args.probabilities, args.shared
        )
    except (ConfigError, DatasetError, EngineError) as error:
        print(f"tsc experiment: {error}", file=sys.stderr)
        return USAGE
    if args.compact:
        compact(args.out, args.compact)
    print(as_text(report))
    for key, error in report["failed"].items():
        print(f"tsc experiment: {key}: {error}", file=sys.stderr)
    return FAILED if report["failed"] else DONE


def as_text(report: dict) -> str:
    """The table for a person, the paper's column beside ours."""
    data, form = report["dataset"], "quick form" if report["quick"] else "as published"
    head = f"{report['title']}: {form}, {report['origin']} objects of {data['name']} ({data['objects']})"
    lines = [head, f"{'':44} {'this run, %':>16} {'runs':>4} {'paper, %':>14}   against reference"]
    lines += [_line(row) for row in report["rows"]]
    return "\n".join(lines)


def _line(row: dict) -> str:
    ours, paper = row["ours"], row["paper"]
    mark = "*" if row.get("best") and len(row["cells"]) else " "
    published = _number(paper["accuracy"], paper.get("std")) if paper else ""
    text = f"{mark} {row['label'][:42]:42} {_number(ours['mean'], ours['std']):>16} {ours['runs']:4} {published:>14}"
    return text + ("   " + _against(row["against_reference"]) if row["against_reference"] else "")


def _number(mean: float | None, std: float | None) -> str:
    if mean is None:
        return "failed"
    return f"{mean:.2f}" + (f" +- {std:.2f}" if std is not None else "")


def _against(found: dict) -> str:
    low, high = found["interval"]
    effect = "" if found["cohen_d"] is None else f", d = {found['cohen_d']:.1f}"
    floor = f"p = {found['p']:.4f} (floor {found['p_floor']:.4f})"
    return f"{found['difference']:+.2f} [{low:+.2f}, {high:+.2f}], {floor}{effect}"
