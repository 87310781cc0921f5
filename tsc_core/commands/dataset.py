"""`tsc dataset`: build a training set from a label table, describe, merge and split sets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tsc_core.cli import DONE, FAILED, USAGE, positive

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from tsc_core.alerts import AlertSequence
    from tsc_core.data.build import BuildReport

LIVE_AT_ONCE, LIVE_RATE = 4, 2.0  # ALeRCE publishes no limits: four objects at a time, two a second


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("dataset", help="build and describe training sets")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    build = verbs.add_parser("build", help="write a dataset from labels and a source; run again to go on or add to it")
    build.add_argument("--labels", required=True, metavar="CSV", help="columns oid (or objectId), label, [source]")
    build.add_argument("--source", required=True, help="demo, alerce, or a path to packets")
    build.add_argument("--out", required=True, metavar="DIR", help="the dataset folder")
    build.add_argument("--detections", type=positive, default=5, help="first usable detections to keep (default: 5)")
    build.add_argument("--at-once", type=positive, help=f"objects at a time (default: alerce {LIVE_AT_ONCE}, else 1)")
    build.add_argument("--rate", type=float, help=f"objects a second at most (default: alerce {LIVE_RATE:g}, else any)")
    build.add_argument("--scheduler", metavar="ADDRESS", help="fetch on the workers of this dask.distributed cluster")
    info = verbs.add_parser("info", help="counts of objects by class, detections and origin")
    info.add_argument("path", metavar="DIR")
    info.add_argument("--partial", action="store_true", help="also of a dataset that is not finished")
    merge = verbs.add_parser("merge", help="one dataset from several")
    merge.add_argument("paths", nargs="+", metavar="DIR")
    merge.add_argument("--out", required=True, metavar="DIR", help="the new dataset folder")
    split = verbs.add_parser("split", help="draw validation and test objects and write them to a file")
    split.add_argument("path", metavar="DIR")
    split.add_argument("--out", required=True, metavar="CSV")
    split.add_argument("--validation", type=float, default=200, help="objects per class, or a fraction (default: 200)")
    split.add_argument("--test", type=float, default=200, help="objects per class, or a fraction (default: 200)")
    split.add_argument("--usable", type=positive, default=1, help="only objects with as many usable detections")
    split.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    from tsc_core.data.layout import DatasetError

    try:
        return {"build": _build, "info": _info, "merge": _merge, "split": _split}[args.verb](args)
    except BrokenPipeError:
        raise
    except (DatasetError, OSError) as error:
        print(f"tsc dataset: {error}", file=sys.stderr)
        return FAILED


def _build(args: argparse.Namespace) -> int:
    from tsc_core.data.build import build
    from tsc_core.data.labels import LabelError, read_labels
    from tsc_core.sources import SourceError

    live = args.source == "alerce"
    try:
        table = read_labels(args.labels)
        with _fetching(args) as (fetch, executor):
            report = build(
                table,
                fetch,
                args.out,
                detections=args.detections,
                executor=executor,
                at_once=args.at_once or (LIVE_AT_ONCE if live else 1),
                rate=LIVE_RATE if args.rate is None and live else args.rate or 0.0,
                cross_match=_cross_match() if live else None,
                provenance={"command": "dataset build", "source": args.source, "detections": args.detections},
            )
    except (LabelError, SourceError) as error:
        print(f"tsc dataset build: {error}", file=sys.stderr)
        return USAGE
    return _tell(report, args.out)


@contextmanager
def _fetching(args: argparse.Namespace) -> Iterator[tuple[Callable[[str], AlertSequence], Executor | None]]:
    """How to fetch an object, and where: in this process or on a cluster."""
    from functools import partial

    from tsc_core.data.build import fetch_from, training_source
    from tsc_core.sources import SourceError

    if not args.scheduler:
        yield training_source(args.source, args.detections).fetch, None
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise SourceError("--scheduler needs dask: pip install 'temporal-stamp-classifier[cluster]'") from None
    with Client(args.scheduler) as client:
        yield partial(fetch_from, args.source, args.detections), client.get_executor()


def _cross_match() -> object:
    from tsc_core.sources.allwise import AllWiseService
    from tsc_core.sources.http import Session

    return AllWiseService(Session())


def _tell(report: BuildReport, out: str) -> int:
    from tsc_core.data.build import SKIPPED

    for text in report.problems:
        print(f"tsc dataset build: {text}", file=sys.stderr)
    for entry in report.skipped[:20]:
        print(
            f"left out: {entry.reason if entry.oid in entry.reason else f'{entry.oid}: {entry.reason}'}",
            file=sys.stderr,
        )
    if len(report.skipped) > 20:
        print(f"left out: {len(report.skipped) - 20} more, see {out}/{SKIPPED}", file=sys.stderr)
    state = "" if report.finished else "; not finished, run again to go on"
    print(f"{out}: {report.written} written, {report.present} there before, {len(report.skipped)} left out{state}")
    return DONE if report.finished and not (report.skipped or report.problems) else FAILED


def _info(args: argparse.Namespace) -> int:
    from tsc_core.data.describe import describe
    from tsc_core.data.store import Dataset

    print(describe(Dataset(args.path, args.partial)))
    return DONE


def _merge(args: argparse.Namespace) -> int:
    from tsc_core.data.store import merge_datasets

    merged = merge_datasets(args.paths, args.out)
    print(f"{args.out}: {len(merged)} objects of {len(args.paths)} datasets")
    return DONE


def _split(args: argparse.Namespace) -> int:
    from tsc_core.data.splits import SplitError, make_split, write_split
    from tsc_core.data.store import Dataset

    objects = Dataset(args.path).objects
    chosen = objects[objects["label"].notna() & (objects["usable"] >= args.usable)]
    try:
        split = make_split(tuple(chosen["oid"]), tuple(chosen["label"]), args.validation, args.test, args.seed)
        write_split(split, args.out)
    except ValueError as error:
        print(f"tsc dataset split: {error}", file=sys.stderr)
        return FAILED if isinstance(error, SplitError) else USAGE
    counts = {place: len(split.oids(place)) for place in ("train", "validation", "test")}
    print(", ".join(f"{place} {count}" for place, count in counts.items()) + f"; hash {split.hash}")
    return DONE
