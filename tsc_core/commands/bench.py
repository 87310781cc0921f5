"""`tsc bench`: speeds on this machine beside its own limits, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tsc_core.cli import DONE, FAILED, positive


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("bench", help="speeds on this machine beside its own limits, as JSON")
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads of the networks (default: as torch chooses)"
    )
    parser.add_argument(
        "--rounds", type=positive, default=9, metavar="N", help="repetitions of what ratios are the median of"
    )
    parser.add_argument("--out", type=Path, help="write the JSON here too")


def run(args: argparse.Namespace) -> int:
    import torch

    from tsc_core.bundle import BundleError, load_bundle, shipped
    from tsc_core.inference import speed
    from tsc_core.sources.demo import demo_source

    if args.threads:
        torch.set_num_threads(args.threads)
    source, bundles, failed = demo_source(), [], False
    for path in shipped().values():
        try:
            bundles.append(load_bundle(path))
        except BundleError as error:
            print(f"tsc bench: {error}", file=sys.stderr)
            failed = True
    sequences = [source.fetch(oid) for oid in source.oids()]
    say("encoder: whole path, training step")
    report = speed.encoder_speeds(args.rounds)
    say(f"{len(bundles)} bundles")
    report["bundles"] = speed.bundle_speeds(bundles, sequences)
    report["progression_ratios"] = speed.progression_ratios(bundles, sequences, args.rounds)
    say("decoding")
    report["decode_alerts_per_s"] = speed.decode_rate(source)
    text = json.dumps(report, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    return FAILED if failed else DONE


def say(what: str) -> None:
    """One line of progress on standard error."""
    print(f"tsc bench: {what}", file=sys.stderr)
