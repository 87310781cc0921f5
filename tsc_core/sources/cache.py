"""What services answered, kept on disk: packets for good, answers that change for a few minutes.

One file per item, ``<service>/<object>/<item>-<digest>.<suffix>``: the digest of its bytes is in its name, so that
a damaged file is known when it is read. The packet files are plain Avro: a folder of the cache is also an archive.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tsc_core.sources.base import SettingError
from tsc_core.survey import check_oid

LOCATION = "TSC_CACHE_DIR"
SIZE = "TSC_CACHE_MB"
DEFAULT_MB = 2048
RESCAN = 32  # the folder is measured again after 1/32 of the limit has been written
LEFTOVER_S = 3600.0  # a temporary file older than this was left by a process that died
ITEM = re.compile(r"[a-z_]{1,20}|[0-9]{1,20}", re.ASCII)
NAMED = re.compile(r"(?P<item>[a-z_]{1,20}|[0-9]{1,20})-(?P<digest>[0-9a-f]{32})\.(avro|json)", re.ASCII)


def cache_folder() -> Path:
    """``TSC_CACHE_DIR``, else the user's cache folder."""
    named = os.environ.get(LOCATION)
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "temporal-stamp-classifier"


def cache_limit() -> int:
    """Bytes that the cache may hold: ``TSC_CACHE_MB`` (MB), 2 GB without it.

    Raises
    ------
    SettingError
        For a value that is no whole number.
    """
    text = os.environ.get(SIZE) or str(DEFAULT_MB)
    if not text.isdecimal():
        raise SettingError(f"{SIZE} is {text!r}: needs a whole number of megabytes")
    return int(text) << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """What the cache holds: objects, packets, answers, and their bytes together."""

    objects: int
    packets: int
    answers: int
    size: int


@dataclass(frozen=True, slots=True)
class Kept:
    """An item that was read: its bytes, and when it was written (seconds since 1970)."""

    data: bytes
    written: float


class Cache:
    """Items by object and name. Shared safely between threads and processes; its own failure never is an error.

    Parameters
    ----------
    service : str
        Network location of the service that answers (each has its own folder: two servers may tell different
        things of one id).
    folder : Path, optional
        `cache_folder()` by default.
    max_bytes : int, optional
        Above it, what was used longest ago goes; `cache_limit()` by default.

    Attributes
    ----------
    problems : list of str
        Why items could not be written, if so.
    """

    def __init__(self, service: str, folder: Path | None = None, max_bytes: int | None = None) -> None:
        self.root = folder or cache_folder()
        self.folder = self.root / (re.sub(r"[^a-z0-9.-]", "_", service.lower()).lstrip(".")[:80] or "service")
        self.max_bytes = max_bytes if max_bytes is not None else cache_limit()
        self.problems: list[str] = []
        # Bytes written since the folder was measured: begun at random, so that many short runs measure it too.
        self._unmeasured = random.uniform(0.0, self.max_bytes / RESCAN)
        self._lock = threading.Lock()

    def get(self, oid: str, item: str) -> Kept | None:
        """An item whose bytes are what was written, None if there is none. A damaged one is removed."""
        for path in self._paths(oid, item):
            with contextlib.suppress(OSError):  # another process may remove it meanwhile
                data, written = path.read_bytes(), path.stat().st_mtime
                if _digest(data) == NAMED.fullmatch(path.name)["digest"]:
                    os.utime(path, (time.time(), written))  # read time for eviction, write time kept
                    return Kept(data, written)
                path.unlink()
        return None

    def put(self, oid: str, item: str, data: bytes, suffix: str = "avro") -> None:
        """Write an item: at once for every reader, replacing an older one of that name."""
        old = list(self._paths(oid, item))
        path = self._folder(oid) / f"{item}-{_digest(data)}.{suffix}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", delete=False) as file:
                part = Path(file.name)
                file.write(data)
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError, UnboundLocalError):
                part.unlink()
            self._report(f"the cache in {self.root} cannot be written ({error.strerror})")
            return
        for stale in old:
            if stale != path:
                _remove(stale)
        self._bound(len(data))

    def items(self, oid: str) -> list[str]:
        """Names of what is kept of one object, sorted."""
        try:
            names = [NAMED.fullmatch(entry.name) for entry in os.scandir(self._folder(oid))]
        except OSError:
            return []
        return sorted({name["item"] for name in names if name})

    def _folder(self, oid: str) -> Path:
        return self.folder / check_oid(oid)

    def _paths(self, oid: str, item: str) -> list[Path]:
        if not ITEM.fullmatch(item):
            raise ValueError(f"{item[:40]!r} is not the name of a cached item")
        try:
            entries = os.listdir(self._folder(oid))
        except OSError:
            return []
        found = [self._folder(oid) / name for name in entries if name.startswith(f"{item}-") and NAMED.fullmatch(name)]
        return sorted(found)

    def _report(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _bound(self, size: int) -> None:
        """Remove what was used longest ago once too much has been written."""
        with self._lock:
            self._unmeasured += size
            if self._unmeasured <= self.max_bytes / RESCAN:
                return
            self._unmeasured = 0
        evict(self.root, self.max_bytes)


def evict(root: Path, max_bytes: int) -> int:
    """Bring the cache below `max_bytes` (and a little further), oldest use first; the bytes removed."""
    found = sorted((stat.st_atime, stat.st_size, path) for path, stat in _files(root))
    excess, removed = sum(size for _, size, _ in found) - max_bytes, 0
    if excess > 0:
        excess += max_bytes // RESCAN
    for _, size, path in found:
        if removed >= excess:
            break
        _remove(path)
        removed += size
    return removed


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Items of the cache; what a dead process left half written is removed on the way."""
    for path in root.glob("*/*/*"):
        try:
            stat = path.stat()
            if NAMED.fullmatch(path.name):
                yield path, stat
            elif path.name.startswith(".part-") and time.time() - stat.st_mtime > LEFTOVER_S:
                path.unlink()
        except OSError:  # removed by another process meanwhile
            continue


def usage(root: Path) -> Usage:
    """Count what a cache folder holds."""
    files = list(_files(root))
    packets = sum(path.suffix == ".avro" for path, _ in files)
    objects = len({path.parent.name for path, _ in files})
    return Usage(objects, packets, len(files) - packets, sum(stat.st_size for _, stat in files))


def clear(root: Path) -> Usage:
    """Remove every item (and nothing else that may lie in the folder); what was removed."""
    removed = usage(root)
    for path, _ in list(_files(root)):
        _remove(path)
    for folder in sorted(root.glob("*/*"), reverse=True) + sorted(root.glob("*")):
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(OSError):  # not empty: something not ours is in it
                folder.rmdir()
    return removed


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # removed by another process meanwhile, or not ours to remove
        path.unlink()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
