"""Figs. 8-9: our models beside the classifiers whose probabilities a broker publishes for the same objects."""

from __future__ import annotations

from dataclasses import replace

from tsc_core.config import ModelConfig, PreprocessConfig, RunConfig
from tsc_core.survey import TEMPORAL_CLASSES
from tsc_core.training.cells import Experiment, Row, seeded
from tsc_core.training.grids.complete import complete_layer
from tsc_core.training.grids.scale import Scale
from tsc_core.training.paper_tables import COMPLETE


def _one_alert(scale: Scale) -> RunConfig:
    """The one-alert classifier on the three classes, the same test objects, no AllWISE."""
    model = ModelConfig("stamp", 1, TEMPORAL_CLASSES, allwise=False, encoder=scale.encoder)
    return RunConfig("one alert", model, PreprocessConfig(crop=scale.crop), scale.training, scale.data)


def experiment(scale: Scale) -> Experiment:
    """One alert, then two and all detections; published classifiers are added from `--probabilities`."""
    seeds = scale.runs(own=5, quick=3)
    rows = [Row("one alert, this work", seeded(_one_alert(scale), seeds, scale.mode), {"n": 1})]
    for n in dict.fromkeys((*scale.counts(2), scale.longest)):
        if n >= 2:
            config = scale.sequence(f"complete, n = {n}", n, complete_layer(n, scale))
            cells = seeded(replace(config, name=f"complete {n}"), seeds, scale.mode)
            rows.append(Row(f"{n} alerts, this work", cells, {"n": n}, COMPLETE[n], "one alert, this work"))
    return Experiment("baselines", "Beside published classifiers on the same objects (Figs. 8-9)", tuple(rows))
