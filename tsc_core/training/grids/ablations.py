"""What the accuracy rests on: inputs taken away one at a time, and gradient boosting on the same metadata."""

from __future__ import annotations

from dataclasses import replace

from tsc_core.config import RunConfig
from tsc_core.training.cells import Experiment, Mode, Row, seeded
from tsc_core.training.grids.complete import complete_layer
from tsc_core.training.grids.scale import Scale

POSITION = ("ra", "dec", "gal_lat", "gal_lon", "ecl_lat", "ecl_lon")
COUNTS = ("ndethist", "ncovhist", "non_detections")


def _without(config: RunConfig, names: tuple[str, ...]) -> RunConfig:
    """The same model without some features."""
    kept = {
        kind: tuple(name for name in getattr(config.preprocess, kind) if name not in names)
        for kind in ("dynamic", "static")
    }
    return replace(config, preprocess=replace(config.preprocess, **kept))


def _variants(n: int, scale: Scale) -> dict[str, tuple[RunConfig, Mode]]:
    found = complete_layer(n, scale)

    def config(**switches: bool) -> RunConfig:
        return scale.sequence("ablation", n, found, **switches)

    blind = config(images=False)
    return {
        "complete": (config(), scale.mode),
        "without AllWISE": (config(allwise=False), scale.mode),
        "without position": (_without(config(), POSITION), scale.mode),
        "without ndethist, ncovhist": (_without(config(), COUNTS), scale.mode),
        "without position and counts": (_without(config(), POSITION + COUNTS), scale.mode),
        "images and time only": (config(metadata=False, allwise=False), scale.mode),
        "metadata + AllWISE": (blind, "codes"),
        "metadata only": (config(images=False, allwise=False), "codes"),
        "boosting, metadata + AllWISE": (blind, "boosting"),
        "boosting without position and counts": (_without(blind, POSITION + COUNTS), "boosting"),
    }


def experiment(scale: Scale) -> Experiment:
    """Each variant against the complete model, at n = 2 and at the greatest n (the quick form: n = 2 alone)."""
    rows = []
    for n in scale.counts(2) if scale.quick else dict.fromkeys((*scale.counts(2), scale.longest)):
        for name, (config, mode) in _variants(n, scale).items():
            cells = seeded(config, scale.runs(own=5, quick=3), mode)
            reference = None if name == "complete" else f"n = {n}, complete"
            rows.append(Row(f"n = {n}, {name}", cells, {"n": n, "inputs": name}, None, reference))
    return Experiment("ablations", "Inputs taken away, and gradient boosting", tuple(rows))
