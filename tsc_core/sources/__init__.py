"""Where alerts come from. `open_source` turns what a person writes after `--source` into a `Source`."""

from __future__ import annotations

import sys

from tsc_core.sources.base import BadPacket, ObjectNotFound, Packet, Source, SourceError, merge

__all__ = ["BadPacket", "ObjectNotFound", "Packet", "Source", "SourceError", "merge", "open_source"]


def open_source(spec: str, window: str = "first") -> Source:
    """Open "demo", "alerce", or a path to packets (a file, a folder, a tar or tar.gz).

    A live source asks only for the stamps that `window` ("first" or "last") needs.

    Raises
    ------
    SourceError
        For a path that does not exist.
    """
    if spec == "demo":
        from tsc_core.sources.demo import demo_source

        return demo_source()
    if spec == "alerce":
        from tsc_core.sources.alerce import AlerceSource

        return AlerceSource(window, progress=_on_terminal if sys.stderr.isatty() else None)
    from tsc_core.sources.packets import PacketSource

    return PacketSource(spec)


def _on_terminal(what: str, done: int, total: int) -> None:
    """One line of a terminal that says what is being waited for; the next output overwrites it."""
    waiting = f"{what} {done} of {total}" if done < total else ""
    print(f"\r\033[K{waiting}\r", end="", file=sys.stderr, flush=True)
