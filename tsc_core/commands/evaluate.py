"""`tsc evaluate`: how good the shipped bundles are on labelled packets, per number of detections."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tsc_core.cli import DONE, FAILED, USAGE
from tsc_core.survey import CLASSES

if TYPE_CHECKING:
    from tsc_core.data.labels import LabelFault


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("evaluate", help="accuracy of the shipped bundles on labelled packets")
    parser.add_argument("--source", required=True, help="demo, alerce, or a path to packets")
    parser.add_argument("--labels", required=True, type=Path, help="CSV with the columns oid (or objectId) and label")
    parser.add_argument(
        "--window", choices=("first", "last"), default="first", help="which detections (default: first)"
    )
    parser.add_argument("--out", type=Path, help="write the report here as JSON (default: standard output)")
    parser.add_argument("--objects", type=Path, help="write each object's probabilities here as CSV")
    parser.add_argument("--bundle", action="append", metavar="NAME", help="use these bundles only (see `tsc models`)")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from tsc_core.data.labels import LabelError, read_labels
    from tsc_core.inference.bulk import evaluate
    from tsc_core.inference.predictor import Predictor
    from tsc_core.sources import SourceError, open_source

    try:
        check_outputs(args.out, args.objects)
        table = read_labels(args.labels)
        if not table.labels and not table.faults:
            raise ValueError(f"{args.labels} has no row below its head: nothing to evaluate")
        predictor = Predictor.shipped(args.bundle, exact=True)
        source = open_source(args.source, args.window)
        labels = {row.oid: row.label for row in table.labels}
        with tqdm(total=len(labels), unit="object", file=sys.stderr, disable=None) as bar:
            found = evaluate(predictor, source, labels, args.window, bar.update)
    except (LabelError, ValueError, SourceError, OSError) as error:
        print(f"tsc evaluate: {error}", file=sys.stderr)
        return USAGE
    without, faults = without_class(table.faults)
    found.skipped.update(without)
    report = {"source": source.name, "labels": args.labels.name, **found.report()}
    text = json.dumps(report, indent=1, allow_nan=False)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
        print(as_text(report))
    else:
        print(text)
    if args.objects:
        write_objects(args.objects, found)
    problems = (*(f"{args.labels.name}: {fault}" for fault in faults), *source.problems)
    for problem in problems:
        print(f"tsc evaluate: {problem}", file=sys.stderr)
    return FAILED if problems or not found.rows else DONE


def check_outputs(*paths: Path | None) -> None:
    """Raise `ValueError` for files that could not be written, before hours of work: one for both, or a folder."""
    asked = [path for path in paths if path]
    if len({path.resolve() for path in asked}) < len(asked):
        raise ValueError(f"--out and --objects are both {asked[0]}: they need a file each")
    for path in asked:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: name a file in it")
        path.parent.mkdir(parents=True, exist_ok=True)


def without_class(faults: Iterable[LabelFault]) -> tuple[Counter[str], list[LabelFault]]:
    """Rows of a label table that have no class of ours, counted by reason, and the rows that are at fault."""
    known, counted, wrong = {name.casefold() for name in CLASSES}, Counter(), []
    for fault in faults:
        if fault.label.casefold() in known:
            wrong.append(fault)
        else:
            counted[f"label {fault.label} is not among the classes" if fault.label else "no label"] += 1
    return counted, wrong


def write_objects(path: Path, found: object) -> None:
    """One row for each object and n: label, and the probability of each class (empty where the model lacks it).

    `held_out` is 1 where the bundle has learnt from the object: the answer is that of the member that did not see it.
    """
    names = list(dict.fromkeys(name for classes in found.classes.values() for name in classes))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["oid", "n", "model", "label", *names, "held_out"])
        writer.writeheader()
        for n, rows in sorted(found.rows.items()):
            served = zip(rows, found.models[n], found.held_out[n], strict=True)
            for (oid, label, probabilities), model, held_out in served:
                values = dict(zip(found.classes[n], (f"{p:.6f}" for p in probabilities), strict=True))
                row = {"oid": oid, "n": n, "model": model, "label": label, "held_out": int(held_out)}
                writer.writerow(row | values)


def as_text(report: dict) -> str:
    """The report for a person: one line for each n, then what was skipped."""
    lines = [f"{report['source']} ({report['origin'] or 'nothing scored'}), window {report['window']}"]
    for n, found in report["n"].items():
        low, high = (x if x is not None else float("nan") for x in found["balanced_accuracy_interval"])
        recall = "  ".join(
            f"{name} {value['value']:.3f} ({value['n']})" for name, value in found["recall"].items() if value["n"]
        )
        lines.append(
            f"n = {n}: balanced accuracy {found['balanced_accuracy']:.3f} [{low:.3f}-{high:.3f}]  "
            f"accuracy {found['accuracy']:.3f}  ECE {found['ece']:.3f}  {found['objects']} objects  "
            f"recall {recall}  [{', '.join(found['models'])}]"
        )
        if found["held_out"]:
            lines.append(
                f"       {found['held_out']} of them were learnt from: answered by the one member that did not"
            )
    return "\n".join([*lines, *(f"skipped {count}: {reason}" for reason, count in report["skipped"].items())])
