"""Sequences already at hand as a source: made objects, test sets, parts of another source."""

from __future__ import annotations

from collections.abc import Iterable

from tsc_core.alerts import AlertSequence
from tsc_core.sources.base import ObjectNotFound
from tsc_core.survey import check_oid


class MemorySource:
    """A source over sequences in memory.

    Parameters
    ----------
    name : str
    sequences : iterable of AlertSequence
        One for each object.
    """

    def __init__(self, name: str, sequences: Iterable[AlertSequence]) -> None:
        self.name, self.problems = name, ()
        self._sequences = {sequence.oid: sequence for sequence in sequences}

    def oids(self) -> tuple[str, ...]:
        """Ids of all objects, in the order given."""
        return tuple(self._sequences)

    def fetch(self, oid: str) -> AlertSequence:
        """The sequence of an object; raises `ObjectNotFound` where there is none."""
        if check_oid(oid) not in self._sequences:
            raise ObjectNotFound(f"{oid} is not in {self.name}")
        return self._sequences[oid]
