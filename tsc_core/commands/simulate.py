"""`tsc simulate`: made objects, as alert packets or as a dataset."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tsc_core.cli import DONE, FAILED, USAGE
from tsc_core.survey import CLASSES, MAX_DETECTIONS

ARCHIVES = (".zip", ".gz", ".tar", ".tgz", ".avro", ".json", ".csv", ".bz2", ".xz")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("simulate", help="made objects, as packets or as a dataset")
    parser.add_argument("--out", required=True, type=Path, help="a .tar.gz of packets, or a dataset folder")
    parser.add_argument("--objects", type=int, default=100, metavar="N", help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal bytes (default: 0)")
    parser.add_argument("--classes", default=",".join(CLASSES), help="drawn in turn (default: all five)")
    parser.add_argument(
        "--detections", type=int, default=MAX_DETECTIONS, help="packets per object at most (default: 5)"
    )
    parser.add_argument("--fresh", type=float, default=0.5, help="share of AGN and VS met at their first detection")
    parser.add_argument("--procs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument(
        "--compare", type=Path, metavar="ARCHIVE", help="simulate the exposures of real packets instead"
    )
    parser.add_argument("--labels", type=Path, help="with --compare: CSV of known classes (oid or objectId, label)")
    parser.add_argument("--demo", action="store_true", help="make the demo archive that ships instead")


def run(args: argparse.Namespace) -> int:
    problem = _wrong(args)
    if problem:
        print(f"tsc simulate: {problem}", file=sys.stderr)
        return USAGE
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process per core: threads inside would only compete
    from tsc_core.data.store import DatasetError

    try:
        if args.compare:
            return _compare(args)
        count = _demo(args) if args.demo else _objects(args)
    except (OSError, DatasetError) as error:
        nameless = isinstance(error, OSError) and error.filename is None  # such as a full disk
        print(f"tsc simulate: {f'{args.out}: {error.strerror or error}' if nameless else error}", file=sys.stderr)
        return FAILED
    print(f"{count} objects in {args.out}")
    return DONE


def _wrong(args: argparse.Namespace) -> str | None:
    """What is wrong with the arguments, or None."""
    unknown = [name for name in args.classes.split(",") if name not in CLASSES]
    if unknown:
        return f"unknown class {unknown[0]!r}: --classes takes {', '.join(CLASSES)}"
    if min(args.objects, args.detections, args.procs) < 1:
        return "--objects, --detections and --procs need 1 or more"
    if args.seed < 0 or not 0.0 <= args.fresh <= 1.0:
        return "--seed needs 0 or more, --fresh a share between 0 and 1"
    if args.demo and not _is_archive(args.out):
        return "--demo writes packets: --out needs a name that ends in .tar.gz"
    if args.labels and not args.compare:
        return "--labels are of real packets: they go with --compare"
    if not (args.demo or args.compare or _is_archive(args.out)) and args.out.suffix in ARCHIVES:
        return f"--out {args.out.name}: packets go into a .tar.gz, a dataset into a folder without such an ending"
    if args.compare and args.out.suffix != ".json":
        return "--compare writes a report: --out needs a name that ends in .json"
    return None


def _is_archive(path: Path) -> bool:
    return path.name.endswith(".tar.gz")


def _compare(args: argparse.Namespace) -> int:
    """Report how far simulated alerts are from real ones; figures go beside the report."""
    from tqdm import tqdm

    from tsc_core.data.labels import LabelError, read_labels
    from tsc_core.data.simulate.compare import compare
    from tsc_core.data.simulate.compare_figures import metadata_figure, stamp_sheet, stamps_figure
    from tsc_core.data.simulate.population import Recipe, simulate_objects
    from tsc_core.sources.base import SourceError
    from tsc_core.sources.packets import PacketSource

    try:
        rows = read_labels(args.labels).labels if args.labels else ()
        labels = {row.oid: row.label for row in rows}
        source = PacketSource(args.compare)
        total = len(source.oids())
    except (LabelError, SourceError) as error:
        print(f"tsc simulate: {error}", file=sys.stderr)
        return USAGE
    if total < 50:
        print(f"tsc simulate: {args.compare} has {total} objects: a comparison needs 50 or more", file=sys.stderr)
        return FAILED
    args.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes of work
    with tqdm(total=total, unit="object", file=sys.stderr, disable=None) as bar:
        report, real, made = compare(source, labels, args.seed, args.procs, bar.update)
    report = {"source": source.name} | report
    args.out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for kind, draw in (("metadata", metadata_figure), ("stamps", stamps_figure)):
        draw(real, made, args.out.with_name(f"{args.out.stem}_{kind}.png"))
    examples = list(simulate_objects(15, args.seed, Recipe(detections=1)))
    stamp_sheet(examples, args.out.with_name(f"{args.out.stem}_examples.png"))
    print(f"auc_metadata {report['auc_metadata']}  auc_stamps {report['auc_stamps']}  in {args.out}")
    return DONE


def _demo(args: argparse.Namespace) -> int:
    from tsc_core.data.simulate.archive import write_archive
    from tsc_core.data.simulate.demo import CASES, demo_objects

    return write_archive(args.out, _watched(demo_objects(), len(CASES)), level=9)


def _objects(args: argparse.Namespace) -> int:
    """Simulate into packets or a dataset, over `--procs` processes."""
    from tsc_core.data.simulate.archive import encode_object, labelled_sequence, write_archive
    from tsc_core.data.simulate.population import Recipe, simulate_each

    recipe = Recipe(tuple(args.classes.split(",")), args.detections, args.fresh)
    then = encode_object if _is_archive(args.out) else labelled_sequence
    made = _watched(simulate_each(then, args.objects, args.seed, recipe, args.procs), args.objects)
    if _is_archive(args.out):
        return write_archive(args.out, made)
    return _dataset(args, made)


def _dataset(args: argparse.Namespace, made: Iterable) -> int:
    from tsc_core.data.store import DatasetWriter

    asked = ("objects", "seed", "classes", "detections", "fresh")
    provenance = {"simulated": {name: getattr(args, name) for name in asked}}
    count = 0
    with DatasetWriter(args.out, provenance) as writer:
        for sequence, subclass in made:
            if sequence.oid not in writer.done:
                writer.add(sequence, origin="simulated", subclass=subclass, label_source="simulated")
            count += 1
    return count


def _watched(items: Iterable, total: int) -> Iterable:
    from tqdm import tqdm

    return tqdm(items, total=total, unit="object", file=sys.stderr, disable=None)
