"""Which objects train, validate and test: drawn once, by object, and kept in a file."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PLACES = ("train", "validation", "test")


class SplitError(ValueError):
    """A split that cannot be drawn or read; the message is for a person."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The place of each object, one of `PLACES`."""

    places: Mapping[str, str]

    def oids(self, place: str) -> tuple[str, ...]:
        """Ids at one place, sorted; raises `ValueError` for another word than those of `PLACES`."""
        if place not in PLACES:
            raise ValueError(f"{place!r} is no place of a split: needs one of {', '.join(PLACES)}")
        return tuple(sorted(oid for oid, found in self.places.items() if found == place))

    @property
    def hash(self) -> str:
        """SHA-256 of the sorted lines `oid,split`: equal for equal splits, whatever the order of the file."""
        lines = "".join(f"{oid},{place}\n" for oid, place in sorted(self.places.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def make_split(
    oids: Sequence[str],
    labels: Sequence[str],
    validation: float = 200,
    test: float = 200,
    seed: int = 0,
) -> Split:
    """Draw validation and test objects of every class; the others train.

    The draw depends on ids, classes and seed, not on the order in which the objects come.

    Parameters
    ----------
    oids, labels : sequence of str, equally long
    validation, test : int or float
        Objects per class (200 in the paper), or below 1 the fraction of each class.
    seed : int

    Raises
    ------
    SplitError
        Without objects, or where a class has too few, at least one being left to train; all such classes are named.
    ValueError
        For negative numbers, or an id that occurs twice.
    """
    repeated = [oid for oid, times in Counter(oids).items() if times > 1]
    if repeated:
        raise ValueError(f"{repeated[0]} is given {Counter(oids)[repeated[0]]} times: a split is by object")
    if not (0 <= validation < math.inf and 0 <= test < math.inf):
        raise ValueError(f"validation is {validation} and test {test}: needs 0 or more")
    if not oids:
        raise SplitError("there is no object to draw from")
    classes: dict[str, list[str]] = {}
    for oid, label in zip(oids, labels, strict=True):
        classes.setdefault(str(label), []).append(oid)
    sizes = {label: (_number(validation, members), _number(test, members)) for label, members in classes.items()}
    _refuse_small(classes, sizes)
    places: dict[str, str] = {}
    for label in sorted(classes):
        stream = np.random.default_rng([seed, *label.encode()])
        drawn = stream.permutation(np.array(sorted(classes[label]), dtype=object))
        held, tested = sizes[label]
        places |= dict.fromkeys(drawn[:held], "validation")
        places |= dict.fromkeys(drawn[held : held + tested], "test")
        places |= dict.fromkeys(drawn[held + tested :], "train")
    return Split(dict(sorted(places.items())))


def _number(size: float, members: list[str]) -> int:
    return round(size * len(members)) if 0 < size < 1 else int(size)


def _refuse_small(classes: Mapping[str, list[str]], sizes: Mapping[str, tuple[int, int]]) -> None:
    small = [
        f"{label} has {len(classes[label])}, {held} + {tested} were asked for"
        for label, (held, tested) in sorted(sizes.items())
        if held + tested >= len(classes[label])
    ]
    if small:
        raise SplitError(f"too few objects for validation + test and one to train: {'; '.join(small)}")


def write_split(split: Split, path: str | Path) -> None:
    """Write `oid,split` lines; a file that is there is never overwritten.

    Raises
    ------
    SplitError
        Where the file exists.
    """
    path = Path(path)
    if path.exists():
        raise SplitError(f"{path}: is there already; a split is drawn once, delete it to draw another")
    lines = "".join(f"{oid},{place}\n" for oid, place in sorted(split.places.items()))
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text("oid,split\n" + lines, encoding="utf-8")
    os.replace(draft, path)


def read_split(path: str | Path, known: Iterable[str] | None = None) -> Split:
    """Read a split file.

    Parameters
    ----------
    path : Path or str
    known : iterable of str, optional
        Ids of the dataset; one of the split that is not among them is an error.

    Raises
    ------
    SplitError
        For a file that is no split: wrong columns, an unknown place, an id twice, an id that is not `known`.
    """
    path, places = Path(path), {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SplitError(f"{path}: cannot be read ({error})") from None
    if not rows or rows[0] != ["oid", "split"]:
        raise SplitError(f"{path}: no split file, its first line must be oid,split")
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != 2 or row[1] not in PLACES:
            raise SplitError(f"{path}, line {line}: needs an id and one of {', '.join(PLACES)}")
        if row[0] in places:
            raise SplitError(f"{path}, line {line}: {row[0]} is there twice")
        places[row[0]] = row[1]
    strangers = sorted(places.keys() - set(known)) if known is not None else ()
    if strangers:
        raise SplitError(f"{path}: {len(strangers)} objects are not in the dataset, the first is {strangers[0]}")
    return Split(places)


def split_once(
    path: str | Path,
    oids: Sequence[str],
    labels: Sequence[str],
    validation: float = 200,
    test: float = 200,
    seed: int = 0,
) -> Split:
    """The split in a file, drawn and written there if there is none yet.

    Objects that came to the dataset after the draw are in no place of it.
    """
    if not Path(path).exists():
        write_split(make_split(oids, labels, validation, test, seed), path)
    return read_split(path, oids)
