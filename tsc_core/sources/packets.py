"""ZTF alert packets (Avro, schema 3.x to 4.x): one file, a folder, a tar or tar.gz of a night.

Nothing is unpacked to disk by name: members are read from the archive's own bytes, and only those of the
object asked for are decoded.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import fastavro
import numpy as np
from astropy.io import fits

from tsc_core.alerts import Alert, AlertSequence, Stamps, UpperLimit
from tsc_core.sources.base import (
    JD_TO_MJD,
    ODD_DAYS,
    BadPacket,
    ObjectNotFound,
    Packet,
    SourceError,
    candid_mjd,
    merge,
)
from tsc_core.survey import check_oid

MAGIC = b"Obj\x01"
MAX_PACKET = 16 << 20  # bytes; a ZTF packet has about 70 kB
MAX_STAMP = 4 << 20  # bytes of one cutout once decompressed; ZTF's has 20 kB
MAX_ARCHIVE = 256 << 30  # bytes of one archive once decompressed
CUTOUTS = {"science": "cutoutScience", "template": "cutoutTemplate", "difference": "cutoutDifference"}
HISTORY = "history: earlier detections come without stamps"


# --- one packet ---------------------------------------------------------------------------------------------


def decode_stamp(data: bytes) -> np.ndarray:
    """Pixels (H, W) float32 of a gzipped FITS cutout, row 0 north, NaN where the chip ends.

    Raises
    ------
    BadPacket
        For bytes that are no gzip, a truncated or oversized stream, or no two-dimensional FITS image.
    """
    inflate = zlib.decompressobj(wbits=31)
    try:
        image = inflate.decompress(data, MAX_STAMP)
    except zlib.error as error:
        raise BadPacket(f"broken gzip ({error})") from None
    if not inflate.eof:
        raise BadPacket("truncated gzip" if not inflate.unconsumed_tail else f"stamp above {MAX_STAMP >> 20} MB")
    try:
        with fits.open(io.BytesIO(image), memmap=False, lazy_load_hdus=True) as hdus:
            pixels = hdus[0].data
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError) as error:
        raise BadPacket(f"no FITS image ({error})") from None
    if pixels is None or pixels.ndim != 2:
        raise BadPacket("no two-dimensional FITS image")
    return np.ascontiguousarray(pixels, dtype=np.float32)


def decode_packets(raw: bytes) -> Iterator[Packet]:
    """Decode the packets of one Avro file (ZTF writes one per file).

    Raises
    ------
    BadPacket
        For bytes that are not Avro, or lack what an alert needs (objectId, candid, jd, fid).
    """
    if not raw.startswith(MAGIC):
        raise BadPacket(f"not an Avro file (begins with {raw[:4]!r}, expected {MAGIC!r})")
    try:
        records = list(fastavro.reader(io.BytesIO(raw)))
    except Exception as error:  # fastavro raises many kinds on hostile bytes, all of them mean the same here
        raise BadPacket(f"broken Avro file ({type(error).__name__}: {str(error)[:80]})") from None
    for record in records:
        yield _packet(record)


def _packet(record: object) -> Packet:
    try:
        oid, candidate = check_oid(record["objectId"]), record["candidate"]
        candid = _text_id(record.get("candid") or candidate.get("candid"))
        if candid is None:
            raise ValueError("candid is missing")
        stamps, missing = _stamps(record)
        alert = _alert(oid, candid, candidate, stamps, missing)
        earlier = [entry for entry in record.get("prv_candidates") or () if isinstance(entry, dict)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadPacket(f"not a ZTF alert packet ({type(error).__name__}: {error})") from None
    history, limits = _history(oid, earlier)
    return Packet(alert, history, limits)


def _text_id(candid: object) -> str | None:
    return str(int(candid)) if isinstance(candid, (int, str)) and str(candid).isdecimal() else None


def _alert(oid: str, candid: str, candidate: dict, stamps: Stamps | None, missing: str | None) -> Alert:
    mjd, fid = float(candidate["jd"]) - JD_TO_MJD, int(candidate["fid"])
    if not math.isfinite(mjd):
        raise ValueError("jd is not a number")
    known = {name: value for name, value in candidate.items() if value is not None}
    return Alert(oid, candid, mjd, fid, known, stamps, missing)


def _stamps(record: dict) -> tuple[Stamps | None, str | None]:
    """The cutouts, or the reason why there are none."""
    pixels = {}
    for channel, key in CUTOUTS.items():
        cutout = record.get(key)
        if not isinstance(cutout, dict) or not cutout.get("stampData"):
            return None, f"packet without {channel} cutout"
        try:
            pixels[channel] = decode_stamp(cutout["stampData"])
        except BadPacket as error:
            return None, f"{channel} stamp: {error}"
    return Stamps(**pixels), None


def _history(oid: str, entries: Iterable[dict]) -> tuple[tuple[Alert, ...], tuple[UpperLimit, ...]]:
    """Detections and upper limits of `prv_candidates`; entries without a time are left out."""
    alerts, limits = [], []
    for entry in entries:
        candid = _text_id(entry.get("candid"))
        try:
            if candid is not None and entry.get("magpsf") is not None:
                alerts.append(_in_time(_alert(oid, candid, entry, None, HISTORY)))
            elif entry.get("diffmaglim") is not None:
                limits.append(UpperLimit(float(entry["jd"]) - JD_TO_MJD, int(entry["fid"]), float(entry["diffmaglim"])))
        except (KeyError, TypeError, ValueError):
            continue
    return tuple(alerts), tuple(limits)


def _in_time(alert: Alert) -> Alert:
    """An earlier detection at the time its candid states, where `jd` was overwritten on the packet's way."""
    stated = candid_mjd(alert.oid, alert.candid)
    if stated is None or abs(alert.mjd - stated) <= ODD_DAYS:
        return alert
    return replace(alert, mjd=stated)


# --- whose packet is it: the object id without decoding the rest ----------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag Avro long at offset `at`, and the offset after it."""
    shift = value = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at


def _header(raw: bytes) -> tuple[dict[bytes, bytes], int]:
    """Avro file metadata and the offset of the first block's record count."""
    at, found = len(MAGIC), {}
    count, at = _varint(raw, at)
    while count:
        if count < 0:  # a block that also states its size in bytes
            count, (_, at) = -count, _varint(raw, at)
        for _ in range(count):
            size, at = _varint(raw, at)
            key, at = raw[at : at + size], at + size
            size, at = _varint(raw, at)
            found[key], at = raw[at : at + size], at + size
        count, at = _varint(raw, at)
    return found, at + 16


def _strings_before_id(schema: bytes) -> int | None:
    """How many string fields precede objectId in a schema; None where another type does."""
    fields = json.loads(schema)["fields"]
    for place, entry in enumerate(fields):
        if entry["name"] == "objectId":
            return place if entry["type"] == "string" else None
        if entry["type"] != "string":
            return None
    return None


def peek_oids(raw: bytes, schemas: dict[bytes, int | None]) -> list[str]:
    """Object ids of an Avro file, decoding as little as its layout allows.

    `schemas` remembers, between calls, where each schema keeps the id.
    """
    if not raw.startswith(MAGIC):
        raise BadPacket(f"not an Avro file (begins with {raw[:4]!r}, expected {MAGIC!r})")
    try:
        header, at = _header(raw)
        schema = header[b"avro.schema"]
        if schema not in schemas:
            schemas[schema] = _strings_before_id(schema)
        count, at = _varint(raw, at)
        if count == 1 and schemas[schema] is not None and header.get(b"avro.codec", b"null") == b"null":
            _, at = _varint(raw, at)
            for _ in range(schemas[schema]):
                size, at = _varint(raw, at)
                at += size
            size, at = _varint(raw, at)
            return [check_oid(raw[at : at + size].decode("ascii"))]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise BadPacket(f"broken Avro file ({type(error).__name__}: {str(error)[:120]})") from None
    return [packet.alert.oid for packet in decode_packets(raw)]


# --- where packets lie ----------------------------------------------------------------------------------------


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
        yield _Entry(path.name, lambda: _bounded(path.name, path))


def _bounded(label: str, path: Path) -> bytes:
    if path.stat().st_size > MAX_PACKET:
        raise BadPacket(f"{label}: {path.stat().st_size >> 20} MB, an alert packet has less than {MAX_PACKET >> 20}")
    return path.read_bytes()


def _inflated(label: str, file: BinaryIO) -> tuple[BinaryIO, str | None]:
    """A seekable uncompressed copy of a gzip stream (an anonymous file), and what is wrong with the stream."""
    spool, inflate, problem = tempfile.TemporaryFile(), zlib.decompressobj(wbits=31), None
    try:
        while chunk := file.read(1 << 20):
            while chunk:
                spool.write(inflate.decompress(chunk))
                chunk = inflate.unused_data
                if inflate.eof and chunk:
                    inflate = zlib.decompressobj(wbits=31)
            if spool.tell() > MAX_ARCHIVE:
                return spool, f"{label}: above {MAX_ARCHIVE >> 30} GB once decompressed, read up to there"
        if not inflate.eof:
            problem = f"{label}: truncated gzip, read up to where it ends"
    except zlib.error as error:
        problem = f"{label}: broken gzip ({error}), read up to there"
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
                if not member.isdir():
                    yield _member_entry(label, member, file, lock)
    except tarfile.TarError as error:
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
        self.name = Path(path).name
        self._lock = threading.Lock()
        self._entries: dict[str, list[_Entry]] | None = None
        self._problems: list[str] = []
        self._open = lambda: _path_entries(Path(path))
        if not Path(path).exists():
            raise SourceError(f"{path}: no such file or folder")

    @classmethod
    def from_uploads(cls, files: Iterable[tuple[str, bytes]], name: str = "upload") -> PacketSource:
        """A source over files held in memory: packets or archives, each as (name, bytes)."""
        source = cls.__new__(cls)
        source.name, source._lock, source._entries, source._problems = name, threading.Lock(), None, []
        kept = list(files)
        source._open = lambda: (entry for label, data in kept for entry in _upload_entries(label, data))
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
        found = []
        for entry in self._index().get(check_oid(oid), ()):
            try:
                found += [packet for packet in decode_packets(entry.read()) if packet.alert.oid == oid]
            except BadPacket as error:
                self._report(entry, error)
        return found

    def raw(self, oid: str) -> dict[str, bytes]:
        """The packets of one object as they lie in the archive: candid -> bytes of an Avro file."""
        found = {}
        for entry in self._index().get(check_oid(oid), ()):
            try:
                data = entry.read()
                found |= {packet.alert.candid: data for packet in decode_packets(data) if packet.alert.oid == oid}
            except BadPacket as error:
                self._report(entry, error)
        return found

    def fetch(self, oid: str) -> AlertSequence:
        """All detections of one object, with stamps where a packet has them.

        Raises
        ------
        ValueError
            For a malformed id.
        ObjectNotFound
            Where no readable packet is of this object.
        """
        packets = self.packets(oid)
        if not packets:
            why = "; ".join(self.problems) if len(self._index()) < 2 else ""
            raise ObjectNotFound(f"{oid} is not in {self.name}" + (f" ({why})" if why else ""))
        return merge(oid, self.name, packets)

    def _index(self) -> dict[str, list[_Entry]]:
        with self._lock:
            if self._entries is None:
                entries, schemas = {}, {}
                for entry in self._open():
                    try:
                        for oid in dict.fromkeys(peek_oids(entry.read(), schemas)):
                            entries.setdefault(oid, []).append(entry)
                    except (BadPacket, OSError) as error:
                        self._report(entry, error)
                if not entries and not self._problems:
                    self._problems.append(f"{self.name}: no alert packets in it")
                self._entries = entries
        return self._entries

    def _report(self, entry: _Entry, error: Exception) -> None:
        text = str(error)
        message = text if text.startswith(entry.label) else f"{entry.label}: {text}"
        if message not in self._problems:
            self._problems.append(message)


def _path_entries(path: Path) -> Iterator[_Entry]:
    if path.is_dir():
        for file in sorted(child for child in path.rglob("*.avro") if child.is_file()):
            yield _Entry(str(file.relative_to(path)), lambda file=file: _bounded(file.name, file))
    else:
        yield from _file_entries(path)


def _upload_entries(label: str, data: bytes) -> Iterator[_Entry]:
    if data[:2] == b"\x1f\x8b" or data[257:262] == b"ustar":
        yield from _tar_entries(label, io.BytesIO(data))
    else:
        yield _Entry(label, lambda: data)
