"""`tsc models`: the bundles that ship, with their cards."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tsc_core.cli import DONE, FAILED


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("models", help="the bundles that ship, with their cards")
    parser.add_argument("name", nargs="?", help="print the whole card of this bundle, or with --json its entry")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    from tsc_core.bundle import shipped

    paths = shipped()
    if args.name:
        if args.name not in paths:
            print(f"tsc models: no bundle {args.name!r}: there are {', '.join(paths) or 'none'}", file=sys.stderr)
            return FAILED
        return _whole(paths[args.name], args.json)
    rows, broken = [], []
    for name, path in paths.items():
        try:
            rows.append(summary(path))
        except (ValueError, KeyError, TypeError) as error:
            broken.append(f"{name}: not a usable bundle ({type(error).__name__}: {error})")
    print(json.dumps(rows, indent=1) if args.json else "\n".join(map(as_text, rows)))
    for problem in broken:
        print(f"tsc models: {problem}", file=sys.stderr)
    return FAILED if broken else DONE


def _whole(path: Path, as_json: bool) -> int:
    """Print one bundle's card, or its entry of the list as JSON."""
    try:
        print(json.dumps(summary(path), indent=1) if as_json else (path / "card.md").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"tsc models: {path.name}: not a usable bundle ({type(error).__name__}: {error})", file=sys.stderr)
        return FAILED
    return DONE


def summary(path: Path) -> dict:
    """Name, kind, n, classes, size of the weights and card of a bundle folder, read without loading them."""
    from tsc_core.evaluation.cards import weights_size

    found = json.loads((path / "bundle.json").read_text(encoding="utf-8"))
    model = found["config"]["model"]
    return {
        "name": found["name"],
        "kind": model["kind"],
        "n": model["n"],
        "classes": model["classes"],
        "members": found["members"],
        "megabytes": round(weights_size(path) / 1e6, 1),
        "card": found["card"],
    }


def as_text(row: dict) -> str:
    """One line of the list."""
    upto = "1 to " if row["kind"] == "unified" else ""
    return (
        f"{row['name']:<12} {row['kind']:<9} n = {upto}{row['n']}  {', '.join(row['classes'])}"
        f"  ({row['members']} x, {row['megabytes']} MB)  {row['card'].get('summary', '')}"
    )
