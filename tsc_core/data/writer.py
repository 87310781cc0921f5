"""Writing a dataset: append-only, resumable after a kill or a full disk, nothing written is lost.

Objects go to the open part: pixels to `stamps.f32`, then the rest as one checked line of a journal. After
1024 objects the journal becomes Parquet tables and the part is renamed, in one step, to its number.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator, KeysView, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pyarrow.parquet as pq

from tsc_core.alerts import AlertSequence, AllWise
from tsc_core.data.durable import pixel_bytes, read_header, sync_folder, write_json, write_table
from tsc_core.data.layout import (
    FORMAT,
    HEADER,
    OPEN_PART,
    ORIGINS,
    PART_OBJECTS,
    PIXEL_BYTES,
    TABLES,
    DatasetError,
    allwise_row,
    encode,
    finished_parts,
    part_name,
)
from tsc_core.survey import check_oid

try:
    import fcntl
except ImportError:  # no such locks on this system: two writers at once are then the user's to avoid
    fcntl = None


class DatasetWriter:
    """Append objects to a dataset folder, new or begun before.

    Parameters
    ----------
    path : Path or str
        The dataset folder; created where it is missing.
    provenance : Mapping, optional
        Where the objects come from, kept in `dataset.json`.
    part_objects : int
        Objects of one part.

    Attributes
    ----------
    labels : dict of str to str or None
        Class of each object that is written.

    Raises
    ------
    DatasetError
        For a folder with other things in it, a newer format, another writer at work, or a full disk.
    """

    def __init__(self, path: str | Path, provenance: Mapping | None = None, part_objects: int = PART_OBJECTS) -> None:
        self.path = Path(path)
        self.labels: dict[str, str | None] = {}
        self._part_objects = part_objects
        self._files: tuple[int, int] | None = None
        self._open_count = 0
        with self._explained():
            self._prepare(provenance)
        for part in finished_parts(self.path):
            known = pq.read_table(part / "objects.parquet", columns=["oid", "label"])
            self.labels |= zip(known["oid"].to_pylist(), known["label"].to_pylist(), strict=True)
        with self._explained():
            self._recover()

    @property
    def done(self) -> KeysView[str]:
        """Ids of the objects that are written."""
        return self.labels.keys()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=kind is None)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an `OSError` into a `DatasetError` that says what is safe."""
        try:
            yield
        except OSError as error:
            raise DatasetError(
                f"{self.path}: {error.strerror or error}; the {len(self.done)} objects written before "
                "are safe, run again to go on from there"
            ) from error

    def _prepare(self, provenance: Mapping | None) -> None:
        header = {"format": FORMAT, "complete": False, "provenance": []}
        if (self.path / HEADER).exists():
            header = read_header(self.path)
        elif self.path.exists() and any(self.path.iterdir()):
            raise DatasetError(f"{self.path}: holds other files and no {HEADER}; choose an empty folder")
        if provenance and dict(provenance) not in header["provenance"]:
            header["provenance"] = [*header["provenance"], dict(provenance)]
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock, self._header = _lock(self.path), header
        if not (self.path / HEADER).exists():
            write_json(self.path / HEADER, header)

    def _reopen(self) -> None:
        """Mark a dataset that was complete as being written; until then a run that adds nothing leaves it as it was."""
        if self._header["complete"]:
            self._header = self._header | {"complete": False}
            write_json(self.path / HEADER, self._header)

    # --- the open part ----------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Open the part being written, up to the last object that is whole in it."""
        folder = self.path / OPEN_PART
        folder.mkdir(exist_ok=True)
        journal, stamps = (os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o666) for name in ("journal", "stamps.f32"))
        self._files = journal, stamps
        self._ends = 0, 0  # bytes of journal and stamps that are known to be whole
        for line, entry in _whole_lines(folder):
            self._ends = self._ends[0] + len(line), entry["end"]
            self._open_count += 1
            self.labels[entry["object"]["oid"]] = entry["object"]["label"]
        self._roll_back()

    def _roll_back(self) -> None:
        for file, end in zip(self._files, self._ends, strict=True):
            os.ftruncate(file, end)
            os.lseek(file, end, os.SEEK_SET)

    def add(
        self,
        sequence: AlertSequence,
        *,
        origin: str,
        subclass: str | None = None,
        label_source: str | None = None,
    ) -> None:
        """Write one object. When this returns, a kill of the process does not lose it.

        Raises
        ------
        ValueError
            For an id that is malformed or written already, an unknown origin, or a value that the tables cannot hold.
        DatasetError
            Where the disk is full or fails; objects written before are safe.
        """
        if check_oid(sequence.oid) in self.done:
            raise ValueError(f"{sequence.oid} is in {self.path} already")
        if origin not in ORIGINS:
            raise ValueError(f"origin is {origin!r}: needs one of {', '.join(ORIGINS)}")
        rows = encode(sequence, origin, subclass, label_source, self._ends[1] // PIXEL_BYTES)
        ends = self._ends[1] + len(rows.pixels)
        entry = {"object": rows.object, "alerts": rows.alerts, "limits": rows.limits}
        line = _line(entry | {"start": self._ends[1], "end": ends, "crc": zlib.crc32(rows.pixels)})
        with self._explained():
            self._reopen()
            try:
                _append(self._files[1], rows.pixels)
                _append(self._files[0], line)
                self._ends = self._ends[0] + len(line), ends
            except BaseException:
                self._roll_back()
                raise
            self._open_count += 1
            self.labels[sequence.oid] = sequence.label
            if self._open_count >= self._part_objects:
                self._finish_part()

    def _finish_part(self) -> None:
        """Turn the journal into tables, then give the part its number by one rename."""
        folder = self.path / OPEN_PART
        os.fsync(self._files[1])
        tables = _tables(entry for _, entry in _whole_lines(folder, check_pixels=False))
        for name, rows in tables.items():
            write_table(folder / f"{name}.parquet", name, rows, self._ends[1])
        target = self.path / part_name(len(finished_parts(self.path)))
        os.rename(folder, target)
        self._release()
        sync_folder(self.path)
        (target / "journal").unlink()
        self._recover()

    def _release(self) -> None:
        for file in self._files or ():
            os.close(file)
        self._files, self._open_count = None, 0

    # --- afterwards -------------------------------------------------------------------------------------

    def unmatched(self) -> dict[str, tuple[float, float]]:
        """Objects that were never cross-matched: id to (ra, dec) in degrees. Finishes the open part."""
        self._flush()
        names = ["oid", "ra", "dec", "allwise_asked"]
        parts = (pq.read_table(part / "objects.parquet", columns=names) for part in finished_parts(self.path))
        rows = (row for part in parts for row in part.to_pylist())
        return {row["oid"]: (row["ra"], row["dec"]) for row in rows if not row["allwise_asked"]}

    def cross_match(self, found: Mapping[str, AllWise | None]) -> None:
        """Enter the answers of a cross-match, None for objects without a match; one atomic write per part."""
        self._flush()
        with self._explained():
            self._reopen()
            for part in finished_parts(self.path):
                table = pq.read_table(part / "objects.parquet")
                if found.keys().isdisjoint(table["oid"].to_pylist()):
                    continue
                rows = [
                    row | (allwise_row(found[row["oid"]], True) if row["oid"] in found else {})
                    for row in table.to_pylist()
                ]
                write_table(part / "objects.parquet", "objects", rows, pixel_bytes(table))

    def _flush(self) -> None:
        if self._open_count:
            with self._explained():
                self._finish_part()

    def close(self, complete: bool = True) -> None:
        """Finish the open part and mark the dataset complete; with `complete` false leave it to be resumed."""
        if self._files is None:
            return
        try:
            if complete:
                self._flush()
                with self._explained():
                    self._header = self._header | {"complete": True} | _counts(self.path)
                    write_json(self.path / HEADER, self._header)
            if not self._open_count:
                shutil.rmtree(self.path / OPEN_PART)
        finally:
            self._release()
            os.close(self._lock)


def _lock(path: Path) -> int:
    file = os.open(path, os.O_RDONLY)  # the folder itself: no file to leave behind, freed by any end of the process
    if fcntl:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise DatasetError(f"{path}: another process is writing this dataset") from None
    return file


def _append(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _line(entry: dict) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _whole_lines(folder: Path, check_pixels: bool = True) -> Iterator[tuple[bytes, dict]]:
    """Journal lines up to the first that is torn, or whose pixels are."""
    with (folder / "journal").open("rb") as journal, (folder / "stamps.f32").open("rb") as stamps:
        for line in journal:
            if not line.endswith(b"\n") or line[:8] != b"%08x" % zlib.crc32(line[9:-1]):
                return
            entry = json.loads(line[9:])
            if check_pixels:
                stamps.seek(entry["start"])
                if zlib.crc32(stamps.read(entry["end"] - entry["start"])) != entry["crc"]:
                    return
            yield line, entry


def _tables(entries: Iterator[dict]) -> dict[str, list[dict]]:
    """Rows of the three tables, each object knowing where its own begin."""
    tables = {name: [] for name in TABLES}
    for entry in entries:
        starts = {"alert_start": len(tables["alerts"]), "limit_start": len(tables["limits"])}
        tables["objects"].append(entry["object"] | starts)
        tables["alerts"] += entry["alerts"]
        tables["limits"] += entry["limits"]
    return tables


def _counts(path: Path) -> dict[str, object]:
    names = ["label", "detections", "stamped"]
    parts = [pq.read_table(part / "objects.parquet", columns=names) for part in finished_parts(path)]
    totals = {name: sum(sum(part[name].to_pylist()) for part in parts) for name in names[1:]}
    labels = Counter(label or "" for part in parts for label in part["label"].to_pylist())
    return {"objects": sum(labels.values()), **totals, "labels": dict(sorted(labels.items()))}
