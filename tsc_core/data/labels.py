"""Label tables: a CSV of object ids and classes, read with every fault named and the rest kept."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tsc_core.survey import CLASSES, check_oid

ID_NAMES = ("oid", "objectId")
SOURCE_NAMES = ("source", "label_source")


class LabelError(ValueError):
    """A file that is no label table; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Label:
    """The true class of one object, and where it is from ("" where not said)."""

    oid: str
    label: str
    source: str = ""
    subclass: str = ""


@dataclass(frozen=True, slots=True)
class LabelFault:
    """A row that cannot be used: its line in the file, what it says, and why not."""

    line: int
    oid: str
    label: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Usable labels, in the order of the file and one for each object, and the rows that are not."""

    labels: tuple[Label, ...]
    faults: tuple[LabelFault, ...] = ()


def read_labels(path: str | Path, classes: tuple[str, ...] = CLASSES) -> LabelTable:
    """Read a CSV with the columns `oid` (or `objectId`) and `label`.

    The columns `source` (or `label_source`) and `subclass` are kept where there are any, others passed over.
    Classes are matched whatever their capitals. A row with an unknown class or a malformed id is a fault, as is
    a repeated id; an object that is given two classes is left out altogether.

    Raises
    ------
    LabelError
        Where the file cannot be read, or lacks one of the two columns.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = _columns(path, reader.fieldnames or ())
            rows = [(reader.line_num, _row(row, columns)) for row in reader]
    except OSError as error:
        raise LabelError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path}: not a CSV of labels ({error})") from None
    return _checked(rows, classes)


def _columns(path: Path, header: Iterable[str]) -> dict[str, str]:
    """Column of the file for each field of `Label`."""
    header = list(header)
    wanted = {"oid": ID_NAMES, "label": ("label",), "source": SOURCE_NAMES, "subclass": ("subclass",)}
    found = {field: next((name for name in names if name in header), None) for field, names in wanted.items()}
    for field in ("oid", "label"):
        if found[field] is None:
            has = ", ".join(header)[:100] or "nothing"
            raise LabelError(f"{path}: needs the columns oid (or objectId) and label; its first line has {has}")
    return {field: name for field, name in found.items() if name is not None}


def _row(row: dict[str, str | None], columns: dict[str, str]) -> Label:
    return Label(**{field: (row[name] or "").strip() for field, name in columns.items()})


def _checked(rows: list[tuple[int, Label]], classes: tuple[str, ...]) -> LabelTable:
    spelling = {name.casefold(): name for name in classes}
    seen: dict[str, tuple[int, Label]] = {}
    faults, conflicting = [], {}
    for line, row in rows:
        label = spelling.get(row.label.casefold())
        reason = _fault(row, label, classes) or _repeated(seen, row, label)
        if reason:
            faults.append(LabelFault(line, row.oid, row.label, reason))
            if row.oid in seen and label and label != seen[row.oid][1].label:
                conflicting[row.oid] = seen[row.oid]
        else:
            seen[row.oid] = line, Label(row.oid, label, row.source, row.subclass)
    for oid, (line, first) in conflicting.items():
        faults.append(LabelFault(line, oid, first.label, f"{oid} is given another class further down: left out"))
    kept = tuple(label for oid, (_, label) in seen.items() if oid not in conflicting)
    return LabelTable(kept, tuple(sorted(faults, key=lambda fault: fault.line)))


def _fault(row: Label, label: str | None, classes: tuple[str, ...]) -> str | None:
    try:
        check_oid(row.oid)
    except ValueError as error:
        return str(error)
    if not row.label:
        return f"{row.oid} has no class"
    return None if label else f"{row.oid} is of unknown class {row.label[:40]!r}: known are {', '.join(classes)}"


def _repeated(seen: dict[str, tuple[int, Label]], row: Label, label: str | None) -> str | None:
    if row.oid not in seen:
        return None
    line, first = seen[row.oid]
    if first.label == label:
        return f"{row.oid} is in line {line} already"
    return f"{row.oid} is {label} here and {first.label} in line {line}: left out"
