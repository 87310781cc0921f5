"""ZTF alert packets where they lie: a file, a folder, a tar or tar.gz of a night.

Nothing is unpacked to disk by name: members are read from the archive's own bytes, and only those of the
object asked for are decoded.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tsc_core.alerts import AlertSequence
from tsc_core.sources.avro import MAX_PACKET, decode_packets, peek_oids
from tsc_core.sources.base import BadPacket, ObjectNotFound, Packet, SourceError, merge
from tsc_core.survey import check_oid

MAX_ARCHIVE = 256 << 30  # bytes of one archive once decompressed
CHUNK, CHUNK_OUT = 1 << 16, 4 << 20  # bytes of an archive decompressed at a time, and what they may come to


@dataclass(frozen=True, slots=True)
class _Entry:
    """One packet file: its name for messages, and how to read its bytes."""

    label: str
    read: Callable[[], bytes]


def _file_entries(path: Path) -> Iterator[_Entry]:
    with path.open("rb") as file:
        head = file.read(512)
    if head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar" or path.suffix in (".tar", ".tgz"):
        yield from _tar_entries(path.name, path.open("rb"))
    else:
        yield _Entry(path.name, lambda: _bounded(path))


def _bounded(path: Path) -> bytes:
    if (size := path.stat().st_size) > MAX_PACKET:
        raise BadPacket(f"{size >> 20} MB, an alert packet has less than {MAX_PACKET >> 20}")
    return path.read_bytes()


def _inflated(label: str, file: BinaryIO) -> tuple[BinaryIO, str | None]:
    """A seekable uncompressed copy of a gzip stream (an anonymous file), and what is wrong with the stream."""
    spool, inflate, problem = tempfile.TemporaryFile(), zlib.decompressobj(wbits=31), None
    try:
        while problem is None and (chunk := file.read(CHUNK)):
            while chunk and problem is None:
                spool.write(inflate.decompress(chunk, CHUNK_OUT))
                chunk = inflate.unconsumed_tail or inflate.unused_data.lstrip(b"\0")  # gzip may end in padding
                if inflate.eof and chunk:
                    inflate = zlib.decompressobj(wbits=31)
                if spool.tell() > MAX_ARCHIVE:
                    problem = f"{label}: above {MAX_ARCHIVE >> 30} GB once decompressed, read up to there"
        if not (inflate.eof or problem):
            problem = f"{label}: truncated gzip, read up to where it ends"
    except zlib.error as error:
        problem = f"{label}: broken gzip ({error}), read up to there"
    except OSError as error:
        problem = f"{label}: no room to decompress it in ({error.strerror}), read up to there"
    spool.seek(0)
    return spool, problem


def _tar_entries(label: str, file: BinaryIO) -> Iterator[_Entry]:
    problem = None
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if compressed:
        with file:
            file, problem = _inflated(label, file)
    lock = threading.Lock()
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.size < 0:  # would lead back to where the archive began
                    raise tarfile.ReadError(f"member {member.name[:80]!r} of negative size")
                if not member.isdir():
                    yield _member_entry(label, member, file, lock)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        problem = problem or f"{label}: not a tar archive of packets ({error})"
    if problem:
        yield _Entry(label, _failing(problem))


def _member_entry(label: str, member: tarfile.TarInfo, file: BinaryIO, lock: threading.Lock) -> _Entry:
    name = f"{label}: member {member.name[:80]!r}"
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        return _Entry(name, _failing(f"{name}: unsafe path, left out"))
    if not member.isreg():
        return _Entry(name, _failing(f"{name}: not a regular file, left out"))
    if member.size > MAX_PACKET:
        return _Entry(name, _failing(f"{name}: {member.size >> 20} MB, more than a packet has, left out"))

    def read() -> bytes:
        with lock:
            file.seek(member.offset_data)
            data = file.read(member.size)
        if len(data) < member.size:
            raise BadPacket(f"{name}: the archive ends inside it")
        return data

    return _Entry(name, read)


def _failing(message: str) -> Callable[[], bytes]:
    def read() -> bytes:
        raise BadPacket(message)

    return read


class PacketSource:
    """Objects from alert packets on disk or in memory.

    The first question reads every packet's object id (for a tar.gz: while decompressing it once); after that
    each object costs the decoding of its own packets. Safe to share between threads.

    Parameters
    ----------
    path : Path or str
        An Avro file, a folder of them (searched in depth), or a tar(.gz).
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).exists():
            raise SourceError(f"{path}: no such file or folder")
        self._begin(Path(path).absolute().name, lambda: _path_entries(Path(path)))

    def _begin(self, name: str, open_entries: Callable[[], Iterable[_Entry]]) -> None:
        self.name, self._open = name, open_entries
        self._lock = threading.Lock()
        self._entries: dict[str, list[_Entry]] | None = None
        self._problems: list[str] = []

    @classmethod
    def from_uploads(cls, files: Iterable[tuple[str, bytes]], name: str = "upload") -> PacketSource:
        """A source over files held in memory: packets or archives, each as (name, bytes)."""
        source, kept = cls.__new__(cls), list(files)
        source._begin(name, lambda: (entry for label, data in kept for entry in _upload_entries(label, data)))
        return source

    @property
    def problems(self) -> tuple[str, ...]:
        """Items that could not be read, each named."""
        self._index()
        return tuple(self._problems)

    def oids(self) -> tuple[str, ...]:
        """Ids of all objects, sorted."""
        return tuple(sorted(self._index()))

    def packets(self, oid: str) -> list[Packet]:
        """Decode the packets of one object; a broken one becomes an entry of `problems`."""
        return [packet for _, packet in self._decoded(oid)[0]]

    def raw(self, oid: str) -> dict[str, bytes]:
        """The packets of one object as they lie in the archive: candid -> bytes of an Avro file."""
        return {packet.alert.candid: data for data, packet in self._decoded(oid)[0]}

    def fetch(self, oid: str) -> AlertSequence:
        """All detections of one object, with stamps where a packet has them; a lost packet is among the flags.

        Raises
        ------
        ValueError
            For a malformed id.
        ObjectNotFound
            Where the source has no packet of this object.
        BadPacket
            Where it has some, but none that can be read.
        """
        found, lost = self._decoded(oid)
        if not found and lost:
            raise BadPacket(f"{oid}: {'; '.join(lost)}")
        if not found:
            why = "; ".join(self.problems) if len(self._index()) < 2 else ""
            raise ObjectNotFound(f"{oid} is not in {self.name}" + (f" ({why})" if why else ""))
        sequence = merge(oid, self.name, [packet for _, packet in found])
        return replace(sequence, flags=(*sequence.flags, *(f"packet lost: {reason}" for reason in lost)))

    def _decoded(self, oid: str) -> tuple[list[tuple[bytes, Packet]], list[str]]:
        """The packets of one object, each with its bytes, and what is wrong with those that cannot be read."""
        found, lost = [], []
        for entry in self._index().get(check_oid(oid), ()):
            try:
                data = entry.read()
                found += [(data, packet) for packet in decode_packets(data) if packet.alert.oid == oid]
            except (BadPacket, OSError) as error:
                lost.append(self._report(entry, error))
        return found, lost

    def _index(self) -> dict[str, list[_Entry]]:
        with self._lock:
            if self._entries is None:
                self._entries = self._read_ids()
        return self._entries

    def _read_ids(self) -> dict[str, list[_Entry]]:
        """Every packet's place by object id; what cannot be read becomes an entry of `problems`."""
        entries, schemas = {}, {}
        try:
            for entry in self._open():
                try:
                    for oid in dict.fromkeys(peek_oids(entry.read(), schemas)):
                        entries.setdefault(oid, []).append(entry)
                except (BadPacket, OSError) as error:
                    self._report(entry, error)
        except OSError as error:
            self._problems.append(f"{self.name}: {error.strerror or error}")
        if not entries and not self._problems:
            self._problems.append(f"{self.name}: no alert packets in it")
        return entries

    def _report(self, entry: _Entry, error: Exception) -> str:
        text = str(error)
        message = text if text.startswith(entry.label) else f"{entry.label}: {text}"
        if message not in self._problems:
            self._problems.append(message)
        return message


def _path_entries(path: Path) -> Iterator[_Entry]:
    if path.is_dir():
        for file in sorted(child for child in path.rglob("*.avro") if child.is_file()):
            yield _Entry(str(file.relative_to(path)), lambda file=file: _bounded(file))
    else:
        yield from _file_entries(path)


def _upload_entries(label: str, data: bytes) -> Iterator[_Entry]:
    if data[:2] == b"\x1f\x8b" or data[257:262] == b"ustar":
        yield from _tar_entries(label, io.BytesIO(data))
    else:
        yield _Entry(label, lambda: data)
