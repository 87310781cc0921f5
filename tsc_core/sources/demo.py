"""The demo archive that ships: simulated objects in the real packet format, with labels and AllWISE matches."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

from tsc_core.alerts import AlertSequence, AllWise
from tsc_core.sources.packets import PacketSource

ARCHIVE = Path(__file__).with_name("demo.tar.gz")
LABELS = Path(__file__).with_name("demo.labels.csv")


class DemoSource(PacketSource):
    """The objects DEMO01 to DEMO30; their sequences carry the true class and the AllWISE match."""

    def __init__(self) -> None:
        super().__init__(ARCHIVE)
        self.name = "demo"
        with LABELS.open(newline="", encoding="utf-8") as file:
            self._rows = {row["objectId"]: row for row in csv.DictReader(file)}

    def fetch(self, oid: str) -> AlertSequence:
        """One demo object; errors as of `PacketSource.fetch`."""
        sequence = super().fetch(oid)
        row = self._rows[oid]
        return replace(sequence, label=row["label"], allwise=_allwise(row), allwise_asked=True)


def _allwise(row: dict[str, str]) -> AllWise | None:
    """The match of a row of the label table; None where all magnitudes are empty."""
    mags = [float(row[name]) if row[name] else math.nan for name in ("w1", "w2", "w3", "w4")]
    return None if all(map(math.isnan, mags)) else AllWise(*mags)


def demo_source() -> DemoSource:
    """The demo archive as a source named "demo"."""
    return DemoSource()
