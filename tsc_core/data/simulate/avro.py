"""ZTF alert packets as bytes: the schema's shape (version 4.01), gzipped FITS cutouts, and tar archives of them."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import fastavro
import numpy as np

SCHEMA_VERSION = "4.01"
PUBLISHER = "Temporal Stamp Classifier (simulated)"
_VISIT = "jd:double fid:int pid:long diffmaglim:float? pdiffimfilename:string? programpi:string? programid:int "
_SHAPE = (
    "tblid:long? nid:int? rcid:int? field:int? xpos:float? ypos:float? ra:double{0} dec:double{0} magpsf:float{0} "
    "sigmapsf:float{0} chipsf:float? magap:float? sigmagap:float? distnr:float? magnr:float? sigmagnr:float? "
    "chinr:float? sharpnr:float? sky:float? magdiff:float? fwhm:float? classtar:float? mindtoedge:float? "
    "magfromlim:float? seeratio:float? aimage:float? bimage:float? aimagerat:float? bimagerat:float? elong:float? "
    "nneg:int? nbad:int? rb:float? ssdistnr:float? ssmagnr:float? ssnamenr:string? sumrat:float? magapbig:float? "
    "sigmagapbig:float? ranr:double{0} decnr:double{0} "
)


def _ps1(rank: int) -> str:
    return " ".join(f"s{band}mag{rank}:float?" for band in "griz") + f" sgscore{rank}:float? distpsnr{rank}:float? "


CANDIDATE = (
    _VISIT + "candid:long isdiffpos:string " + _SHAPE.format("") + _ps1(1) + "ndethist:int ncovhist:int "
    "jdstarthist:double? jdendhist:double? scorr:double? tooflag:int? objectidps1:long? objectidps2:long? " + _ps1(2)
    + "objectidps3:long? " + _ps1(3) + "nmtchps:int rfid:long jdstartref:double jdendref:double nframesref:int "
    "rbversion:string dsnrms:float? ssnrms:float? dsdiff:float? magzpsci:float? magzpsciunc:float? magzpscirms:float? "
    "nmatches:int clrcoeff:float? clrcounc:float? zpclrcov:float? zpmed:float? clrmed:float? clrrms:float? "
    "neargaia:float? neargaiabright:float? maggaia:float? maggaiabright:float? exptime:float? drb:float? "
    "drbversion:string"
)  # fmt: skip
PREVIOUS = (
    _VISIT + "candid:long? isdiffpos:string? " + _SHAPE.format("?") + "scorr:double? magzpsci:float? "
    "magzpsciunc:float? magzpscirms:float? clrcoeff:float? clrcounc:float? rbversion:string"
)


def _fields(text: str) -> list[dict[str, object]]:
    rows = []
    for word in text.split():
        name, kind = word.split(":")
        row: dict[str, object] = {"name": name, "type": kind}
        if kind.endswith("?"):
            row = {"name": name, "type": ["null", kind[:-1]], "default": None}
        rows.append(row)
    return rows


def _record(name: str, fields: list[dict[str, object]]) -> dict[str, object]:
    return {"type": "record", "name": name, "fields": fields}


def _schema() -> dict[str, object]:
    previous = {"type": "array", "items": _record("ztf.alert.prv_candidate", _fields(PREVIOUS))}
    cutout = _record("ztf.alert.cutout", _fields("fileName:string stampData:bytes"))
    top = _fields("schemavsn:string publisher:string objectId:string candid:long")
    top += [{"name": "candidate", "type": _record("ztf.alert.candidate", _fields(CANDIDATE))}]
    top += [{"name": "prv_candidates", "type": ["null", previous], "default": None}]
    kinds: list[object] = [cutout, "ztf.alert.cutout", "ztf.alert.cutout"]
    for channel, kind in zip(("Science", "Template", "Difference"), kinds, strict=True):
        top.append({"name": f"cutout{channel}", "type": ["null", kind], "default": None})
    return _record("ztf.alert", top) | {"version": SCHEMA_VERSION}


SCHEMA = fastavro.parse_schema(_schema())
CANDIDATE_SCHEMA = fastavro.parse_schema(_record("ztf.alert.candidate", _fields(CANDIDATE)))
PREVIOUS_SCHEMA = fastavro.parse_schema(_record("ztf.alert.prv_candidate", _fields(PREVIOUS)))


def encode_stamp(pixels: np.ndarray, level: int = 1) -> bytes:
    """A cutout (H, W) as ZTF sends it: big-endian float32 FITS, gzipped; nothing in it depends on the time."""
    height, width = pixels.shape
    cards = [
        f"{'SIMPLE':<8}= {'T':>20}",
        f"{'BITPIX':<8}= {-32:>20}",
        f"{'NAXIS':<8}= {2:>20}",
        f"{'NAXIS1':<8}= {width:>20}",
        f"{'NAXIS2':<8}= {height:>20}",
        f"{'BUNIT':<8}= 'DN      '",
        "END",
    ]
    header = "".join(f"{card:<80}" for card in cards).encode("ascii").ljust(2880, b" ")
    data = np.ascontiguousarray(pixels, dtype=">f4").tobytes()
    return deterministic_gzip(header + data.ljust(-(-len(data) // 2880) * 2880, b"\0"), level)


def deterministic_gzip(data: bytes, level: int) -> bytes:
    """A gzip stream without a time or a name in its header: equal data, equal bytes.

    Level 1 looks for runs of one byte alone: noise repeats nothing else, and looking for it takes most of the time.
    """
    if level != 1:
        return gzip.compress(data, level, mtime=0)
    packer = zlib.compressobj(level, zlib.DEFLATED, 31, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return packer.compress(data) + packer.flush()


def encode_packet(record: dict[str, object]) -> bytes:
    """One alert as an Avro file; `record` has the schema's names, cutouts as bytes."""
    marker = zlib.crc32(str(record["candid"]).encode()).to_bytes(4, "big") * 4
    body = _written(SCHEMA, record)
    return b"".join((_file_header(), marker, _written("long", 1), _written("long", len(body)), body, marker))


@cache
def _file_header() -> bytes:
    """What every packet's file begins with, up to its marker: the schema as text, which takes long to write."""
    out = io.BytesIO()
    fastavro.writer(out, SCHEMA, [], codec="null", sync_marker=bytes(16))
    return out.getvalue()[:-16]


def _written(schema: object, value: object) -> bytes:
    """A value as Avro has it, without the head of a file."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def as_read(values: dict[str, object], schema: object) -> dict[str, object]:
    """What a reader finds of a candidate or an entry of ``prv_candidates``: every field, numbers rounded."""
    return fastavro.schemaless_reader(io.BytesIO(_written(schema, values)), schema)


def write_tar(path: str | Path, files: Iterable[tuple[str, bytes]], level: int = 1) -> int:
    """Write named files as a tar.gz whose bytes depend on nothing but them; returns how many."""
    count = 0
    with (
        Path(path).open("wb") as file,
        gzip.GzipFile("", "wb", level, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            count += 1
    return count
