"""`tsc cache info|clear`: the packets and answers kept on disk."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from tsc_core.cli import DONE, USAGE


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("cache", help="packets kept on disk", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser("info", help="where it is and what it holds")
    info.add_argument("--json", action="store_true", help="as one JSON object")
    actions.add_parser("clear", help="remove everything in it")


def run(args: argparse.Namespace) -> int:
    from tsc_core.sources.cache import cache_folder, cache_limit, clear, usage

    folder = cache_folder()
    if args.action == "clear":
        removed = clear(folder)
        print(
            f"removed {removed.packets} packets and {removed.answers} answers ({_megabytes(removed.size)}) in {folder}"
        )
        return DONE
    held = usage(folder)
    try:
        most = cache_limit()
    except ValueError as error:
        print(f"tsc: {error}", file=sys.stderr)
        return USAGE
    if args.json:
        print(json.dumps({"folder": str(folder), **asdict(held), "max_size": most}))
    else:
        print(f"{folder}: {held.packets} packets and {held.answers} answers of {held.objects} objects, ", end="")
        print(f"{_megabytes(held.size)} of at most {_megabytes(most)}")
    return DONE


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"
