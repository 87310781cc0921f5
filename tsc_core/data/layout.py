"""How a dataset lies on disk: the tables, and the way from an `AlertSequence` to their rows and back.

A dataset is a folder with `dataset.json` and parts `part-00000`, `part-00001`, ... Each part holds
`objects.parquet`, `alerts.parquet`, `limits.parquet` and `stamps.f32`: the pixels as plain little-endian
float32, science, template and difference of one alert one after another. `part-open` is the part being written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from tsc_core.alerts import CHANNELS, Alert, AlertSequence, AllWise, Stamps, UpperLimit
from tsc_core.preprocessing.quality import select_alerts
from tsc_core.sources.positions import mean_position

FORMAT = 1
HEADER = "dataset.json"
OPEN_PART = "part-open"
PIXELS = "<f4"
PIXEL_BYTES = 4
PART_OBJECTS = 1024  # objects of one part: 244 MB of stamps at 5 detections each
ROW_GROUP = 1024  # rows of a Parquet table that are read together
ORIGINS = ("simulated", "real", "reconstructed")

_TEXT, _COUNT, _NUMBER = pa.string(), pa.int32(), pa.float64()
_ALLWISE = ("w1", "w2", "w3", "w4", "separation_arcsec")
OBJECTS = pa.schema(
    [
        ("oid", _TEXT), ("label", _TEXT), ("subclass", _TEXT), ("label_source", _TEXT), ("origin", _TEXT),
        ("source", _TEXT), ("ra", _NUMBER), ("dec", _NUMBER),
        ("detections", _COUNT), ("stamped", _COUNT), ("usable", _COUNT),
        ("allwise_asked", pa.bool_()), ("allwise_matched", pa.bool_()), *((name, _NUMBER) for name in _ALLWISE),
        ("designation", _TEXT), ("others", _COUNT), ("flags", pa.list_(_TEXT)),
        ("alert_start", _COUNT), ("limit_start", _COUNT), ("limit_count", _COUNT),
    ]
)  # fmt: skip
ALERTS = pa.schema(
    [
        ("oid", _TEXT), ("candid", _TEXT), ("mjd", _NUMBER), ("fid", pa.int16()), ("has_stamps", pa.bool_()),
        ("offset", pa.int64()), ("shape", pa.list_(pa.int16())), ("nan_pixels", pa.list_(_COUNT)),
        ("missing", _TEXT), ("record", _TEXT),
    ]
)  # fmt: skip
LIMITS = pa.schema([("oid", _TEXT), ("mjd", _NUMBER), ("fid", pa.int16()), ("diffmaglim", _NUMBER)])
TABLES = {"objects": OBJECTS, "alerts": ALERTS, "limits": LIMITS}


class DatasetError(Exception):
    """A dataset that cannot be read or written; the message is for a person."""


def part_name(number: int) -> str:
    """Folder name of a finished part."""
    return f"part-{number:05d}"


def finished_parts(path: Path) -> list[Path]:
    """Folders of the finished parts, in order."""
    return sorted(path.glob("part-[0-9]*"))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One object as table rows, and its pixels as they go to the end of `stamps.f32`."""

    object: dict[str, object]
    alerts: list[dict[str, object]]
    limits: list[dict[str, object]]
    pixels: bytes


def encode(sequence: AlertSequence, origin: str, subclass: str | None, label_source: str | None, offset: int) -> Rows:
    """Rows of a sequence whose first pixel takes place `offset`, counted in float32 values.

    `alert_start` and `limit_start`, places within the part's tables, are filled in when the part is finished. Raises
    `ValueError`, naming the column, where a value does not fit the tables.
    """
    alerts, blobs = [], []
    for alert in sequence.alerts:
        row, pixels = _alert_row(alert, offset)
        offset += len(pixels) // PIXEL_BYTES
        alerts.append(row)
        blobs.append(pixels)
    limits = [{"oid": sequence.oid, "mjd": x.mjd, "fid": x.fid, "diffmaglim": x.diffmaglim} for x in sequence.limits]
    ra, dec = mean_position(sequence.alerts) or (math.nan, math.nan)
    values = {
        "oid": sequence.oid,
        "label": sequence.label,
        "subclass": subclass,
        "label_source": label_source,
        "origin": origin,
        "source": sequence.source,
        "ra": ra,
        "dec": dec,
        "detections": len(alerts),
        "stamped": sum(alert.has_stamps for alert in sequence.alerts),
        "usable": len(select_alerts(sequence).used),
        **allwise_row(sequence.allwise, sequence.allwise_asked),
        "flags": list(sequence.flags),
        "limit_count": len(limits),
    }
    for name, rows in (("objects", [values]), ("alerts", alerts), ("limits", limits)):
        _check_rows(sequence.oid, name, rows)
    return Rows(values, alerts, limits, b"".join(blobs))


def _check_rows(oid: str, name: str, rows: list[dict[str, object]]) -> None:
    for column in TABLES[name]:
        try:
            pa.array([row.get(column.name) for row in rows], column.type)
        except (TypeError, ValueError, OverflowError, pa.ArrowException) as error:
            raise ValueError(f"{oid}: {column.name} of its {name} needs to be {column.type}: {error}") from None


def allwise_row(allwise: AllWise | None, asked: bool) -> dict[str, object]:
    """The cross-match columns of `objects.parquet`."""
    found = allwise or AllWise(math.nan, math.nan, math.nan, math.nan)
    names = (*_ALLWISE, "designation", "others")
    values = {name: getattr(found, name) for name in names}
    return {"allwise_asked": asked, "allwise_matched": allwise is not None, **values}


def _alert_row(alert: Alert, offset: int) -> tuple[dict[str, object], bytes]:
    row = {
        "oid": alert.oid,
        "candid": alert.candid,
        "mjd": alert.mjd,
        "fid": alert.fid,
        "has_stamps": alert.has_stamps,
        "missing": alert.missing,
        "record": json.dumps(dict(alert.record), default=_plain, separators=(",", ":")),
    }
    if alert.stamps is None:
        return row, b""
    channels = [np.ascontiguousarray(alert.stamps.channel(name), dtype=PIXELS) for name in CHANNELS]
    row |= {
        "offset": offset,
        "shape": [side for pixels in channels for side in pixels.shape],
        "nan_pixels": [int(np.isnan(pixels).sum()) for pixels in channels],
    }
    return row, b"".join(pixels.tobytes() for pixels in channels)


def _plain(value: object) -> object:
    """NumPy numbers in a record as Python ones, of the same value."""
    if isinstance(value, np.generic):
        return value.item()
    raise ValueError(f"a record holds a {type(value).__name__}: only numbers, text and null can be kept")


def decode(
    row: dict[str, object],
    alerts: list[dict[str, object]],
    limits: list[dict[str, object]],
    stamps: Callable[[dict[str, object]], Stamps],
) -> AlertSequence:
    """The sequence that `encode` was given; `stamps` reads the pixels of an alert's row."""
    return AlertSequence(
        oid=row["oid"],
        source=row["source"],
        alerts=tuple(_alert(entry, stamps) for entry in alerts),
        limits=tuple(UpperLimit(entry["mjd"], entry["fid"], entry["diffmaglim"]) for entry in limits),
        allwise=_allwise(row),
        allwise_asked=row["allwise_asked"],
        flags=tuple(row["flags"]),
        label=row["label"],
    )


def _alert(row: dict[str, object], stamps: Callable[[dict[str, object]], Stamps]) -> Alert:
    pixels = stamps(row) if row["has_stamps"] else None
    return Alert(
        row["oid"], row["candid"], row["mjd"], row["fid"], json.loads(row["record"]), pixels, row["missing"]
    )  # fmt: skip


def _allwise(row: dict[str, object]) -> AllWise | None:
    if not row["allwise_matched"]:
        return None
    return AllWise(*(row[name] for name in _ALLWISE), row["designation"], row["others"])


def sides(row: dict[str, object]) -> list[tuple[int, int]]:
    """(H, W) of the three cutouts of an alert's row."""
    return list(zip(row["shape"][::2], row["shape"][1::2], strict=True))


def blank_stamps(row: dict[str, object]) -> Stamps:
    """Cutouts of the right shape that hold no pixels: zeros, or NaN where every stored pixel is NaN.

    They answer what `select_alerts` asks of a stamp, without a read from disk.
    """
    blank = (lost == h * w for lost, (h, w) in zip(row["nan_pixels"], sides(row), strict=True))
    return Stamps(*map(_blank, blank, sides(row)))


@cache
def _blank(is_nan: bool, side: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(np.float32(math.nan if is_nan else 0.0), side)
