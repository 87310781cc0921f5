"""`tsc classify`: class probabilities after each detection."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping

from tsc_core.cli import DONE, FAILED, USAGE


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("classify", help="class probabilities after each detection of an object")
    parser.add_argument("oids", nargs="*", metavar="OID", help="object ids; none: every object that the source lists")
    parser.add_argument("--source", default="demo", help="demo, alerce, or a path to packets (default: demo)")
    parser.add_argument(
        "--window", choices=("first", "last"), default="first", help="which detections (default: first)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per id, one a line")
    parser.add_argument("--bundle", action="append", metavar="NAME", help="use these bundles only (see `tsc models`)")
    parser.add_argument(
        "--priors",
        default="balanced",
        metavar="P",
        help="class frequencies to assume: balanced (default; natural ones are shown beside), natural (as the paper "
        "counts them in ZTF), "
        "or AGN=0.3,SN=0.1,... relative to one another, a class not named cannot occur",
    )
    parser.add_argument(
        "--coverage", type=float, default=0.9, help="of the conformal sets, between 0 and 1 (default 0.9)"
    )
    parser.add_argument(
        "--explain", action="store_true", help="which metadata and which parts of the stamps the last step rests on"
    )


def run(args: argparse.Namespace) -> int:
    from tsc_core.inference.predictor import Predictor
    from tsc_core.inference.priors import read_priors
    from tsc_core.inference.results import failed
    from tsc_core.sources import SourceError, open_source

    try:
        priors = read_priors(args.priors)
        if not 0 < args.coverage < 1:
            raise ValueError(f"--coverage {args.coverage}: needs to lie between 0 and 1")
        predictor = Predictor.shipped(args.bundle, args.coverage)
    except ValueError as error:
        print(f"tsc classify: {error}", file=sys.stderr)
        return USAGE
    try:
        source = open_source(args.source, args.window)
        oids = args.oids or source.oids()
    except SourceError as error:
        print(f"tsc classify: {error}", file=sys.stderr)
        for oid in args.oids:
            show(failed(oid, args.source, str(error)), args.json)
        return FAILED
    failures = 0
    for oid in oids:
        line = classify_one(predictor, source, oid, args.window, priors, args.explain)
        failures += line["error"] is not None
        show(line, args.json)
    problems = source.problems
    for problem in problems:
        print(f"tsc classify: {problem}", file=sys.stderr)
    if not (oids or problems):
        print(f"tsc classify: {source.name} cannot list its objects: name some", file=sys.stderr)
        return USAGE
    return FAILED if failures or problems else DONE


def show(line: dict, as_json: bool) -> None:
    """Print one object's line; an id of bytes that are no text is shown escaped."""
    from tsc_core.inference.results import as_text

    text = json.dumps(line, allow_nan=False) if as_json else as_text(line) + "\n"
    print(text.encode(errors="backslashreplace").decode(), flush=True)


def classify_one(
    predictor: object,
    source: object,
    oid: str,
    window: str,
    priors: Mapping[str, float] | None = None,
    explained: bool = False,
) -> dict:
    """One object's JSON line; a failure becomes its `error`, so that it never stops the others."""
    from tsc_core.inference.explain import explain
    from tsc_core.inference.results import failed, line_of
    from tsc_core.sources import SourceError

    try:
        sequence = source.fetch(oid)
        line = line_of(predictor.predict(sequence, window), priors)
        last = line["steps"][-1]["n"] if line["steps"] else None
        why = explain(predictor, sequence, window, last, priors=priors) if explained and last else None
    except (SourceError, ValueError) as error:
        return failed(oid, source.name, str(error))
    return line | {"explanation": why.to_dict() if why else None} if explained else line
