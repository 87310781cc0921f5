"""Files of a dataset that are there whole or not at all, whatever stops the process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tsc_core.data.layout import FORMAT, HEADER, ROW_GROUP, TABLES, DatasetError


def read_header(path: Path) -> dict:
    """Contents of `dataset.json`; raises `DatasetError` where it is missing, broken or of a newer format."""
    try:
        header = json.loads((path / HEADER).read_text(encoding="utf-8"))
        version = header["format"]
    except FileNotFoundError:
        raise DatasetError(f"{path}: no dataset there ({HEADER} is missing)") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path / HEADER}: cannot be read ({error})") from None
    if version != FORMAT:
        raise DatasetError(f"{path}: dataset format {version}, this version reads {FORMAT}")
    if not isinstance(header.get("provenance"), list):
        raise DatasetError(f"{path / HEADER}: provenance is {header.get('provenance')!r:.40}: needs a list")
    return header


def write_table(path: Path, name: str, rows: list[dict], pixel_bytes: int) -> None:
    """Write a Parquet table so that it is there whole or not at all."""
    schema = TABLES[name].with_metadata({"stamp_bytes": str(pixel_bytes)})
    draft = path.with_suffix(".draft")
    try:
        pq.write_table(pa.Table.from_pylist(rows, schema), draft, compression="zstd", row_group_size=ROW_GROUP)
        _sync(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def pixel_bytes(table: pa.Table) -> int:
    """Size of `stamps.f32` that was written beside an objects table; raises `KeyError` where it is not stated."""
    return int((table.schema.metadata or {})[b"stamp_bytes"])


def write_json(path: Path, values: dict) -> None:
    """Write JSON so that it is there whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    _sync(draft)
    os.replace(draft, path)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk, not only in memory."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
