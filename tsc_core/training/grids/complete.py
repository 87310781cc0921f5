"""Table 8, Fig. 7: images, metadata and AllWISE together, beside them without images, by network and by boosting."""

from __future__ import annotations

from tsc_core.config import RecurrentConfig
from tsc_core.training.cells import Experiment, Row, seeded
from tsc_core.training.grids.scale import Scale, layer
from tsc_core.training.paper_tables import COMPLETE, METADATA_ALLWISE


def complete_layer(n: int, scale: Scale) -> RecurrentConfig:
    """The layer that Table 8 names for n."""
    kind, setting = COMPLETE[n].setting.split(maxsplit=1)
    return layer(kind, setting, scale)


def experiment(scale: Scale) -> Experiment:
    """Three rows for each n: without images (the reference), complete, and boosting on the same metadata."""
    rows = []
    for n in scale.counts():
        found, seeds = complete_layer(n, scale), scale.runs(own=5, quick=5)
        label = f"n = {n}, metadata + AllWISE"
        blind = seeded(scale.sequence(label, n, found, images=False), seeds, "codes")
        whole = seeded(scale.sequence(f"complete, n = {n}", n, found), seeds, scale.mode)
        columns = {"n": n, "layer": COMPLETE[n].setting}
        rows.append(Row(label, blind, {**columns, "images": "no"}, METADATA_ALLWISE[n]))
        rows.append(Row(f"n = {n}, complete", whole, {**columns, "images": "yes"}, COMPLETE[n], label))
        boosted = seeded(blind[0].config, seeds, "boosting")
        rows.append(Row(f"n = {n}, boosting", boosted, {"n": n, "layer": "boosting", "images": "no"}, None, label))
    return Experiment("complete", "Images, metadata and AllWISE (Table 8)", tuple(rows))
