"""Tables 1-2: stratified random rotations of the one-alert classifier; the 20-run comparison; Figs. 2 and 4."""

from __future__ import annotations

from dataclasses import replace

from tsc_core.config import ModelConfig, PreprocessConfig, RunConfig
from tsc_core.survey import CLASSES
from tsc_core.training.cells import Experiment, Row, seeded
from tsc_core.training.grids.scale import Scale
from tsc_core.training.paper_tables import ROTATIONS, TWENTY_RUNS, Rotation


def _config(name: str, setting: Rotation, scale: Scale) -> RunConfig:
    encoder = replace(scale.encoder, rotations=setting.views, jitter_turns=setting.jitter_turns)
    model = ModelConfig("stamp", 1, CLASSES, allwise=False, encoder=encoder)
    preprocess = PreprocessConfig(("science", "template", "difference"), setting.crop, allwise=False)
    return RunConfig(name, model, preprocess, scale.stamp_training, scale.data)


def experiment(scale: Scale) -> Experiment:
    """Every setting of Tables 1-2 against the baseline, then the two of the 20-run comparison."""
    rows = []
    for label, setting in ROTATIONS.items():
        cells = seeded(_config(label, setting, scale), scale.runs(own=5, quick=3))
        columns = {"a": setting.crop, "k": setting.views, "theta": setting.jitter_turns}
        rows.append(Row(label, cells, columns, setting.published, None if label == "baseline" else "baseline"))
    for label, published in TWENTY_RUNS.items():
        setting = ROTATIONS[label]
        cells = seeded(_config(label, setting, scale), scale.runs(own=20, quick=5))
        columns = {"a": setting.crop, "k": setting.views, "theta": setting.jitter_turns}
        reference = None if label == "baseline" else "baseline, all runs"
        rows.append(Row(f"{label}, all runs", cells, columns, published, reference))
    return Experiment("rotations", "Stratified random rotations (Tables 1-2)", tuple(rows))
