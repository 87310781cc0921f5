"""The file of what a build left out, and why: kept as it happens, so that a kill loses none of it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

COLUMNS = ("oid", "label", "again", "reason")


@dataclass(frozen=True, slots=True)
class Skipped:
    """An object that is not in the dataset, and why; `again`: a later run is to ask for it again."""

    oid: str
    label: str
    again: bool
    reason: str


class SkipLog:
    """Objects left out, by id, in memory and in a CSV with the columns `COLUMNS`.

    Parameters
    ----------
    path : Path
        Read first where it exists; a last line cut by a kill is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = {entry.oid: entry for entry in _read(path)}
        self.rewrite(self.entries.values())

    def add(self, entry: Skipped) -> None:
        """Note one object, in the file too when this returns."""
        self.entries[entry.oid] = entry
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(_row(entry))

    def rewrite(self, entries: Iterable[Skipped]) -> None:
        """Put these entries in the place of all that the file has, in one step."""
        entries = list(entries)
        draft = self.path.with_suffix(".draft")
        with draft.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *map(_row, entries)])
        os.replace(draft, self.path)
        self.entries = {entry.oid: entry for entry in entries}


def _row(entry: Skipped) -> tuple[str, ...]:
    return tuple("yes" if value is True else "no" if value is False else value for value in astuple(entry))


def _read(path: Path) -> list[Skipped]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS) and row[2] in ("yes", "no")]
    return [Skipped(oid, label, again == "yes", reason) for oid, label, again, reason in rows]
