"""The command `tsc`: finds the command's module and runs it."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

import tsc_core

COMMANDS = {
    "classify": "class probabilities after each detection of an object",
    "evaluate": "accuracy of the shipped bundles on labelled packets",
    "simulate": "made objects, as packets or as a dataset",
    "dataset": "build and describe training sets",
    "train": "one training run",
    "experiment": "a table of the paper",
    "models": "the bundles that ship, with their cards",
    "bench": "speeds on this machine beside its own limits, as JSON",
    "cache": "packets kept on disk",
    "serve-archive": "an ALeRCE on this machine, over an archive of packets",
}
DONE, FAILED, USAGE = 0, 1, 2


def positive(text: str) -> int:
    """An option's whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: needs 1 or more")
    return number


def _module(command: str) -> object:
    return importlib.import_module("tsc_core.commands." + command.replace("-", "_"))


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The full list of commands; only the chosen one's module is imported, so that each starts fast."""
    parser = argparse.ArgumentParser(prog="tsc", description=tsc_core.__doc__)
    parser.add_argument("--version", action="version", version=f"tsc {tsc_core.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        if name == chosen:
            _module(name).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=text)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code is 0 (all done), 1 (some item failed) or 2 (wrong usage)."""
    argv = sys.argv[1:] if argv is None else argv
    chosen = next((word for word in argv if word in COMMANDS), None)
    args = _parser(chosen).parse_args(argv)
    try:
        return _module(args.command).run(args)
    except BrokenPipeError:  # the reader of a pipe went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:  # its text names the file
        print(f"tsc {args.command}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("tsc: interrupted", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
