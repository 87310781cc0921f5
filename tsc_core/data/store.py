"""A dataset on disk: opened without reading it, each object read when asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tsc_core.alerts import AlertSequence, Stamps
from tsc_core.data.durable import pixel_bytes, read_header
from tsc_core.data.layout import (
    PIXEL_BYTES,
    PIXELS,
    ROW_GROUP,
    DatasetError,
    blank_stamps,
    decode,
    finished_parts,
    sides,
)
from tsc_core.data.writer import DatasetWriter


class Dataset:
    """Objects of a dataset folder. Nothing is kept open: it can be shared by threads and sent to processes.

    Parameters
    ----------
    path : Path or str
    partial : bool
        Open a dataset that is still being written, up to its last finished part.

    Attributes
    ----------
    objects : DataFrame
        One row per object, in the order written; columns as `tsc_core.data.layout.OBJECTS`.
    header : dict
        Contents of `dataset.json`.

    Raises
    ------
    DatasetError
        Where there is no dataset, where it is unfinished (unless `partial`), or where files are damaged.
    """

    def __init__(self, path: str | Path, partial: bool = False) -> None:
        self.path = Path(path)
        self.header = read_header(self.path)
        if not (self.header.get("complete") or partial):
            raise DatasetError(
                f"{self.path}: not finished; run the command that writes it again, it goes on from there"
            )
        self._partial = partial
        self._parts = finished_parts(self.path)
        tables = [_objects_table(part) for part in self._parts]
        self._first = np.cumsum([0, *(len(table) for table in tables)])  # row of each part's first object
        self.objects: pd.DataFrame = pa.concat_tables(tables).to_pandas() if tables else pd.DataFrame({"oid": []})
        self._about = functools.lru_cache(16)(self._read_about)
        self._rows = functools.lru_cache(4)(self._read_objects)
        self._group = functools.lru_cache(16)(self._read_group)

    def __reduce__(self) -> tuple:
        return Dataset, (self.path, self._partial)

    def __len__(self) -> int:
        """Number of objects."""
        return int(self._first[-1])

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r}, {len(self)} objects)"

    @functools.cached_property
    def oids(self) -> tuple[str, ...]:
        """Object ids, in the order of `objects`."""
        return tuple(self.objects["oid"])

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """True classes (N,), dtype object; None where unknown."""
        return np.array([label if isinstance(label, str) else None for label in self.objects["label"]], dtype=object)

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {oid: row for row, oid in enumerate(self.oids)}

    def index(self, oid: str) -> int:
        """Row of an object; raises `KeyError` for an id that the dataset lacks."""
        return self._index[oid]

    def sequence(self, oid: str | int, pixels: bool = True) -> AlertSequence:
        """One object as its source gave it.

        Parameters
        ----------
        oid : str or int
            Id, or row in `objects`.
        pixels : bool
            Whether to read the stamps. Without, stamps keep their shape and hold zeros (NaN where a whole
            cutout is NaN): enough to choose detections, at no cost.

        Raises
        ------
        KeyError, IndexError
            For an id or row that the dataset lacks.
        DatasetError
            For a damaged part.
        """
        row = self.index(oid) if isinstance(oid, str) else range(len(self))[oid]
        part, found, alerts, limits = self._about(row)
        if not pixels:
            return decode(found, alerts, limits, blank_stamps)
        return decode(found, alerts, limits, functools.partial(self._stamps, part))

    def sequences(self, oids: Iterable[str | int] | None = None, pixels: bool = True) -> Iterator[AlertSequence]:
        """Several objects, all of them by default, one after another."""
        for oid in range(len(self)) if oids is None else oids:
            yield self.sequence(oid, pixels)

    def stamp_places(self, oid: str) -> tuple[int, dict[str, int]]:
        """Part of an object, and for each candid with stamps the place of its pixels, for `read_stamps`."""
        part, _, alerts, _ = self._about(self.index(oid))
        return part, {alert["candid"]: alert["offset"] for alert in alerts if alert["has_stamps"]}

    def read_stamps(self, part: int, offset: int, shapes: list[tuple[int, int]]) -> Stamps:
        """Cutouts at a place of a part; raises `DatasetError` where the file ends inside them."""
        sizes = [height * width for height, width in shapes]
        path = self._parts[part] / "stamps.f32"
        try:
            pixels = np.fromfile(path, PIXELS, count=sum(sizes), offset=offset * PIXEL_BYTES)
        except OSError as error:
            raise DatasetError(f"{path}: {error.strerror or error}") from None
        if len(pixels) < sum(sizes):
            raise DatasetError(f"{path}: ends before the stamps at {offset}")
        edges = np.cumsum(sizes)[:-1]
        return Stamps(*(flat.reshape(shape) for flat, shape in zip(np.split(pixels, edges), shapes, strict=True)))

    def _stamps(self, part: int, row: dict[str, object]) -> Stamps:
        return self.read_stamps(part, row["offset"], sides(row))

    def _read_about(self, row: int) -> tuple[int, dict, list[dict], list[dict]]:
        """Part of an object, and its rows of the three tables."""
        part = int(np.searchsorted(self._first, row, side="right")) - 1
        found = self._rows(part)[row - int(self._first[part])]
        alerts = self._table_rows(part, "alerts", found["alert_start"], found["detections"])
        return part, found, alerts, self._table_rows(part, "limits", found["limit_start"], found["limit_count"])

    def _read_objects(self, part: int) -> list[dict]:
        return _objects_table(self._parts[part]).to_pylist()

    def _read_group(self, part: int, name: str, group: int) -> pa.Table:
        path = self._parts[part] / f"{name}.parquet"
        try:
            with pq.ParquetFile(path) as file:
                return file.read_row_group(group, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"{path}: cannot be read ({error})") from None

    def _table_rows(self, part: int, name: str, start: int, count: int) -> list[dict]:
        rows = []
        while count:
            group, at = divmod(start, ROW_GROUP)
            rows += self._group(part, name, group).slice(at, count).to_pylist()
            taken = min(count, ROW_GROUP - at)
            start, count = start + taken, count - taken
        return rows


def _objects_table(part: Path) -> pa.Table:
    """The objects of a part, whose stamps file must have the size that was written."""
    try:
        table = pq.read_table(part / "objects.parquet", use_threads=False)
        expected = pixel_bytes(table)
        size = (part / "stamps.f32").stat().st_size
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{part}: damaged or incomplete part ({error})") from None
    if size != expected:
        raise DatasetError(f"{part / 'stamps.f32'}: {size} bytes, {expected} were written: the file is damaged")
    return table.replace_schema_metadata(None)


def merge_datasets(paths: Iterable[str | Path], out: str | Path) -> Dataset:
    """Write one dataset from several; of an object that is in more than one, the first is kept.

    A merge that was interrupted goes on where it stopped.

    Raises
    ------
    DatasetError
        Where two datasets give an object different classes (before anything is written), or one is unfinished.
    """
    datasets = [Dataset(path) for path in paths]
    _refuse_conflicts(datasets)
    provenance = {"merged": [{"path": d.path.name, "provenance": d.header["provenance"]} for d in datasets]}
    with DatasetWriter(out, provenance) as writer:
        for dataset in datasets:
            for row, values in enumerate(dataset.objects.itertuples(index=False)):
                if values.oid not in writer.done:
                    writer.add(dataset.sequence(row), **_about(values._asdict()))
    return Dataset(out)


def _about(values: Mapping[str, object]) -> dict[str, str | None]:
    known = {name: values[name] for name in ("origin", "subclass", "label_source")}
    return {name: value if isinstance(value, str) else None for name, value in known.items()}


def _refuse_conflicts(datasets: list[Dataset]) -> None:
    labels: dict[str, str | None] = {}
    wrong = []
    for dataset in datasets:
        for oid, label in zip(dataset.oids, dataset.labels, strict=True):
            if labels.setdefault(oid, label) != label:
                wrong.append(f"{oid} ({labels[oid]} and {label})")
    if wrong:
        more = f" and {len(wrong) - 10} more" if len(wrong) > 10 else ""
        raise DatasetError(f"objects with different classes: {', '.join(wrong[:10])}{more}")


__all__ = ["Dataset", "DatasetError", "DatasetWriter", "merge_datasets"]
