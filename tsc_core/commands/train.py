"""`tsc train`: one training run, from a configuration and a dataset to a bundle."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tsc_core.cli import DONE, FAILED, USAGE


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("train", help="one training run")
    parser.add_argument("config", type=Path, metavar="CONFIG", help="TOML file; see the folder configs")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="dataset folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run; resumed if begun")
    parser.add_argument("--seed", type=int, help="instead of the configuration's")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="processes or GPUs that share a batch")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from tsc_core.bundle import BundleError
    from tsc_core.config import ConfigError, load
    from tsc_core.data.layout import DatasetError
    from tsc_core.data.store import Dataset
    from tsc_core.training.run import run as train_run

    try:
        config = load(args.config)
        if args.seed is not None:
            config = replace(config, training=replace(config.training, seed=args.seed))
        result = train_run(config, Dataset(args.data), args.out, args.devices, not args.quiet)
    except (ConfigError, DatasetError, BundleError) as error:
        print(f"tsc train: {error}", file=sys.stderr)
        return USAGE
    except FloatingPointError as error:
        print(f"tsc train: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(result, indent=1))
    return DONE
