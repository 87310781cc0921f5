"""`tsc serve-archive`: an ALeRCE on this machine over an archive of packets, for work and tests without internet."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tsc_core.cli import DONE, FAILED, USAGE

if TYPE_CHECKING:
    from tsc_core.sources.loopback import Faults, LoopbackServer

EXAMPLE = """example:
  tsc serve-archive night.tar.gz --port 8100 --latency-ms 200 &
  export ALERCE_CONFIG_PATH=... TSC_XMATCH_URL=...     (as it prints)
  tsc classify ZTF18abcdefg --source alerce

faults: --fault '/get_avro=status:503*2' answers the first two requests of each packet by 503;
the left side is a regular expression on "METHOD /path?query", *N is optional."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    from tsc_core.sources.loopback.faults import ACTIONS

    kinds = "\n".join(f"  {name:10}{text}" for name, text in ACTIONS.items())
    parser = subparsers.add_parser(
        "serve-archive", help="an ALeRCE on this machine, over an archive of packets", description=__doc__,
        epilog=f"{EXAMPLE}\n{kinds}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("path", metavar="PATH", help='packets: a file, a folder, a tar or tar.gz, or "demo"')
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes any free one")
    parser.add_argument("--config", type=Path, metavar="FILE", help="where to write the client's configuration")
    parser.add_argument(
        "--allwise",
        type=Path,
        metavar="CSV",
        help="sources: AllWISE,RAJ2000,DEJ2000,W1mag..W4mag (default: those that came with the archive, if any)",
    )
    parser.add_argument("--latency-ms", type=float, default=0.0, help="wait before every answer")
    parser.add_argument("--errors", type=float, default=0.0, metavar="FRACTION", help="requests answered by 502")
    parser.add_argument("--hangs", type=float, default=0.0, metavar="FRACTION", help="requests never answered")
    parser.add_argument("--hang-s", type=float, default=120.0, help="how long such a request is held")
    parser.add_argument("--seed", type=int, default=0, help="of the errors and hangs")
    parser.add_argument("--lost", nargs="*", default=[], metavar="CANDID", help='packets "gone from the store"')
    parser.add_argument("--fault", action="append", default=[], metavar="ROUTE=ACTION", help="see below; repeatable")


def run(args: argparse.Namespace) -> int:
    from tsc_core.sources import SourceError, open_source
    from tsc_core.sources.loopback import LoopbackServer
    from tsc_core.sources.loopback.answers import known_sources, read_sources

    try:
        faults, archive = _faults(args), open_source(args.path)
        print(f"tsc: reading {args.path}", file=sys.stderr)
        sources = read_sources(args.allwise) if args.allwise else known_sources(archive)
        server = LoopbackServer(archive, faults, sources, args.lost, args.port, args.hang_s)
    except (ValueError, OSError, OverflowError) as error:
        print(f"tsc: {error}", file=sys.stderr)
        return USAGE
    except SourceError as error:
        print(f"tsc: {error}", file=sys.stderr)
        return FAILED
    for problem in archive.problems:
        print(f"tsc: {problem}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="tsc-archive-") as folder:
        _serve(server, args.config or Path(folder) / "alerce_config.json")
    return DONE


def _faults(args: argparse.Namespace) -> Faults:
    from tsc_core.sources.loopback import Fault, Faults

    rules = tuple(Fault.parse(text) for text in args.fault)
    return Faults(args.latency_ms / 1000.0, args.errors, args.hangs, rules, args.seed)


def _serve(server: LoopbackServer, config: Path) -> None:
    """Serve until interrupted or told to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server:
        for name, value in server.write_config(config).items():
            print(f"export {name}={value}", flush=True)
        print(f"tsc: {len(server.answers.oids)} objects at {server.url}, stop with Ctrl-C", file=sys.stderr)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("tsc: stopped", file=sys.stderr)
