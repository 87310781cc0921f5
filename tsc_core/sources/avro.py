"""One ZTF alert packet (Avro, schema 3.x to 4.x): bytes to a `Packet`, and whose it is without decoding the rest."""

from __future__ import annotations

import io
import json
import warnings
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

import fastavro
import numpy as np

from tsc_core.alerts import Alert, Stamps, UpperLimit
from tsc_core.sources.base import BadPacket, Packet, check_exposure, true_mjd
from tsc_core.survey import JD_TO_MJD, check_oid

MAGIC = b"Obj\x01"
SYNC = 16  # bytes of the marker after the header and after each block
MAX_PACKET = 16 << 20  # bytes; a ZTF packet has about 70 kB
FILLED = 1e30  # counts beyond this are a fill value, not light
MAX_STAMP = 4 << 20  # bytes of one cutout once decompressed; ZTF's has 20 kB
CUTOUTS = {"science": "cutoutScience", "template": "cutoutTemplate", "difference": "cutoutDifference"}
HISTORY = "history: earlier detections come without stamps"


def decode_stamp(data: bytes) -> np.ndarray:
    """Pixels (H, W) float32 of a gzipped FITS cutout, row 0 north, NaN where the chip ends.

    A few packets fill such pixels with the lowest float32; what is beyond `FILLED` becomes NaN too.

    Raises
    ------
    BadPacket
        For bytes that are no gzip, a truncated or oversized stream, or no two-dimensional FITS image.
    """
    from astropy.io import fits  # takes long to load, and not all who import this decode cutouts
    from astropy.utils.exceptions import AstropyWarning

    inflate = zlib.decompressobj(wbits=31)
    try:
        image = inflate.decompress(data, MAX_STAMP)
    except zlib.error as error:
        raise BadPacket(f"broken gzip ({error})") from None
    if not inflate.eof:
        raise BadPacket("truncated gzip" if not inflate.unconsumed_tail else f"stamp above {MAX_STAMP >> 20} MB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # brokers write headers a card short of the standard
            with fits.open(io.BytesIO(image), memmap=False, lazy_load_hdus=True) as hdus:
                pixels = hdus[0].data
    except Exception as error:  # astropy raises many kinds on hostile headers, all of them mean the same here
        raise BadPacket(f"no FITS image ({type(error).__name__}: {str(error)[:80]})") from None
    if pixels is None or pixels.ndim != 2:
        raise BadPacket("no two-dimensional FITS image")
    counts = np.array(pixels, dtype=np.float32, order="C")
    counts[np.abs(counts) > FILLED] = np.nan
    return counts


def decode_packets(raw: bytes) -> Iterator[Packet]:
    """Decode the packets of one Avro file (ZTF writes one per file).

    Raises
    ------
    BadPacket
        For bytes that are not Avro, or lack what an alert needs (objectId, candid, jd, fid).
    """
    try:
        _check_blocks(raw)
        records = list(fastavro.reader(io.BytesIO(raw)))
    except BadPacket:
        raise
    except Exception as error:  # fastavro raises many kinds on hostile bytes, all of them mean the same here
        raise BadPacket(f"broken Avro file ({type(error).__name__}: {str(error)[:80]})") from None
    for record in records:
        yield packet_of(record)


def packet_of(record: object) -> Packet:
    """A packet from its decoded record.

    Raises
    ------
    BadPacket
        Where it lacks what an alert needs.
    """
    try:
        oid, candidate = check_oid(record["objectId"]), record["candidate"]
        candid = _text_id(record.get("candid") or candidate.get("candid"))
        if candid is None:
            raise ValueError("candid is missing")
        stamps, missing = _stamps(record)
        alert = _alert(oid, candid, candidate, stamps, missing)
        earlier = [entry for entry in record.get("prv_candidates") or () if isinstance(entry, dict)]
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise BadPacket(f"not a ZTF alert packet ({type(error).__name__}: {error})") from None
    history, limits = _history(oid, earlier)
    return Packet(alert, history, limits)


def _text_id(candid: object) -> str | None:
    return str(int(candid)) if isinstance(candid, (int, str)) and str(candid).isdecimal() else None


def _alert(oid: str, candid: str, candidate: dict, stamps: Stamps | None, missing: str | None) -> Alert:
    known = {name: value for name, value in candidate.items() if value is not None}
    mjd, fid = _exposure(candidate)
    return Alert(oid, candid, true_mjd(oid, candid, mjd), fid, known, stamps, missing)


def _limit(oid: str, entry: dict) -> UpperLimit:
    """A visit without a detection; its processing id has the leading digits that a candid would have."""
    mjd, fid = _exposure(entry)
    return UpperLimit(true_mjd(oid, f"{entry.get('pid')}000000", mjd), fid, float(entry["diffmaglim"]))


def _exposure(record: dict) -> tuple[float, int]:
    return check_exposure(float(record["jd"]) - JD_TO_MJD, record["fid"])


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
        try:
            candid = _text_id(entry.get("candid"))
            if candid is not None and entry.get("magpsf") is not None:
                alerts.append(_alert(oid, candid, entry, None, HISTORY))
            elif entry.get("diffmaglim") is not None:
                limits.append(_limit(oid, entry))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return tuple(alerts), tuple(limits)


def _check_magic(raw: bytes) -> None:
    if not raw.startswith(MAGIC):
        raise BadPacket(f"not an Avro file (begins with {raw[:4]!r}, expected {MAGIC!r})")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag Avro long at offset `at`, and the offset after it."""
    value = 0
    for shift in range(0, 70, 7):  # 64 bits
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
    raise ValueError("a number of more than 64 bits")


def _chunk(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes that state their size at offset `at`, and the offset after them."""
    size, at = _varint(data, at)
    if not 0 <= size <= len(data) - at:
        raise ValueError(f"{size} bytes announced, {len(data) - at} left")
    return data[at : at + size], at + size


def _header(raw: bytes) -> tuple[dict[bytes, bytes], int]:
    """Avro file metadata and the offset of the first block's record count."""
    at, found = len(MAGIC), {}
    count, at = _varint(raw, at)
    while count:
        if count < 0:  # a block that also states its size in bytes
            count, (_, at) = -count, _varint(raw, at)
        for _ in range(count):
            key, at = _chunk(raw, at)
            found[key], at = _chunk(raw, at)
        count, at = _varint(raw, at)
    return found, at + SYNC


def _check_blocks(raw: bytes) -> None:
    """Refuse what would not fit in memory: a few kB of deflate, or of nothing, can stand for gigabytes."""
    _check_magic(raw)
    header, at = _header(raw)
    codec, room = header.get(b"avro.codec", b"null"), MAX_PACKET
    if codec not in (b"null", b"deflate"):
        raise BadPacket(f"Avro codec {codec[:20]!r}: only null and deflate are read")
    if _weightless(header[b"avro.schema"]):
        raise BadPacket("a schema with values that take no bytes, of which any number would fit in it")
    while at < len(raw):
        count, at = _varint(raw, at)
        block, at = _chunk(raw, at)
        if codec == b"deflate":
            block = zlib.decompressobj(wbits=-15).decompress(block, room)
        room -= len(block)
        if room <= 0 or count > len(block):
            raise BadPacket(f"more than {MAX_PACKET >> 20} MB once decoded")
        at += SYNC


@lru_cache(16)
def _weightless(schema: bytes) -> bool:
    """Whether values of a schema take no bytes, so that a short file can hold any number of them."""

    def empty(kind: object) -> bool:
        if isinstance(kind, list):  # a union takes a byte for its branch
            return any(empty(branch) for branch in kind if branch != "null")
        if not isinstance(kind, dict):
            return kind == "null"
        if "fields" in kind:
            return not kind["fields"] or any(empty(field["type"]) for field in kind["fields"])
        return kind.get("size") == 0 or any(empty(kind[part]) for part in ("items", "values", "type") if part in kind)

    return empty(json.loads(schema))


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
    _check_magic(raw)
    try:
        header, at = _header(raw)
        schema = header[b"avro.schema"]
        if schema not in schemas:
            schemas[schema] = _strings_before_id(schema)
        count, at = _varint(raw, at)
        size, at = _varint(raw, at)
        alone = count == 1 and at + size + SYNC >= len(raw)  # one record, one block
        if alone and schemas[schema] is not None and header.get(b"avro.codec", b"null") == b"null":
            for _ in range(schemas[schema]):
                _, at = _chunk(raw, at)
            return [check_oid(_chunk(raw, at)[0].decode("ascii"))]
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadPacket(f"broken Avro file ({type(error).__name__}: {str(error)[:120]})") from None
    return [packet.alert.oid for packet in decode_packets(raw)]
