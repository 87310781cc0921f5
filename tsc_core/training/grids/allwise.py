"""Table 7: metadata without images, with and without the AllWISE colours."""

from __future__ import annotations

from tsc_core.config import RecurrentConfig
from tsc_core.training.cells import Experiment, Row, seeded
from tsc_core.training.grids.scale import Scale
from tsc_core.training.paper_tables import METADATA, METADATA_ALLWISE


def experiment(scale: Scale) -> Experiment:
    """Two rows for each n: without the colours (the reference) and with them."""
    rows = []
    for n in scale.counts():
        found = RecurrentConfig("lstm", units=scale.units(128))
        without = scale.sequence(f"metadata, n = {n}", n, found, images=False, allwise=False)
        with_colours = scale.sequence(f"metadata + AllWISE, n = {n}", n, found, images=False)
        seeds = scale.runs(own=5, quick=5)
        label = f"n = {n}, metadata"
        rows.append(Row(label, seeded(without, seeds, "codes"), {"n": n, "AllWISE": "no"}, METADATA[n]))
        cells = seeded(with_colours, seeds, "codes")
        rows.append(Row(f"{label} + AllWISE", cells, {"n": n, "AllWISE": "yes"}, METADATA_ALLWISE[n], label))
    return Experiment("allwise", "Metadata alone, with and without AllWISE (Table 7)", tuple(rows))
