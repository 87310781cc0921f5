"""What real objects say of the inputs: the shipped recipes with something taken away, cross-validated.

``python -m tsc_core.training.ship.real_ablations --real ARCHIVE --labels CSV`` writes a result like those of
`tsc experiment`, to stand beside the simulated ones. The encoders are those that ship: they saw no label of a real
object. A run is one deal of the folds; each real object is scored by the member that did not see it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from tsc_core.bundle import CHECKPOINTS, Bundle, load_bundle
from tsc_core.config import RunConfig, to_dict
from tsc_core.evaluation.metrics import summarise
from tsc_core.training.boosting import boosted_probabilities
from tsc_core.training.calibration import fit_offsets, logits_of
from tsc_core.training.environment import environment
from tsc_core.training.experiments import OBJECTS, REPORT
from tsc_core.training.frozen import CodedExamples
from tsc_core.training.ship.material import FOLDS, Material, deal_folds
from tsc_core.training.ship.members import Codes, Trainer, encode_all
from tsc_core.training.statistics import compare, summary
from tsc_core.training.trainer import write_json

BUNDLES = ("stamp", "temporal_2", "temporal_5")
LEAST = 1e-6  # probability of boosting, so that its logarithm is finite
COMPLETE, BOOSTING = "complete", "boosting on the same metadata"
TITLE = "Inputs taken away, real objects held out by fold (balanced accuracy in per cent; window last, no AllWISE)"


@dataclass(frozen=True, slots=True)
class Variant:
    """A recipe with something taken away; `origins` are those of the objects that it learns from."""

    label: str
    config: RunConfig
    origins: tuple[bool, ...] = (False, True)  # simulated, real
    boosted: bool = False

    @property
    def key(self) -> str:
        """Name of its runs: equal for equal trainings."""
        parts = [to_dict(self.config), self.origins, self.boosted]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return f"n{self.config.model.n}_{digest[:10]}"


def variants(config: RunConfig) -> tuple[Variant, ...]:
    """The complete recipe first."""

    def changed(**switches: object) -> RunConfig:
        return replace(config, model=replace(config.model, **switches))

    blind = changed(images=False)
    return (
        Variant(COMPLETE, config),
        Variant("network without trees", changed(trees_share=0.0)),
        Variant("trees alone", changed(trees_share=1.0)),
        Variant("metadata alone", blind),
        Variant("images and time alone", changed(metadata=False, trees_share=0.0)),
        Variant("learnt from simulated objects alone", config, (False,)),
        Variant("learnt from real objects alone", config, (True,)),
        Variant(BOOSTING, blind, boosted=True),
    )


def held_out(variant: Variant, trainer: Trainer, folds: dict[str, int], seed: int) -> tuple[list[int], np.ndarray]:
    """Real objects of the trainer (places in `trainer.known`), and probabilities (N, K) of their newest window.

    Class offsets are fitted as for the shipped bundles, on the objects of the other folds.
    """
    places = [i for i, k in enumerate(trainer.known) if k.is_real and trainer.rows[i]]
    own = np.array([folds[trainer.known[i].sequence.oid] for i in places])
    logits = np.zeros((len(places), len(variant.config.model.classes)))
    labels = np.array([variant.config.model.classes.index(trainer.known[i].label) for i in places])
    for fold in np.unique(own):
        unseen = {oid for oid, place in folds.items() if place == fold}
        tested = [trainer.rows[i][0] for i in places if trainer.known[i].sequence.oid in unseen]
        examples = CodedExamples(trainer.tensors, jitter=False).take(tested)
        if variant.boosted:
            scores, _ = boosted_probabilities((*trainer.sets(unseen), examples), seed + int(fold))
            logits[own == fold] = np.log(np.clip(scores, LEAST, None))
        else:
            logits[own == fold] = logits_of(trainer.member(unseen, seed + int(fold)), examples)
    found = logits.copy()
    for fold in np.unique(own):
        others = own != fold
        found[~others] += fit_offsets([(logits[others], labels[others])])
    tested = [row for row, i in enumerate(places) if trainer.known[i].origin == "real"]
    return [places[row] for row in tested], softmax(found[tested], axis=1)


def run_variant(
    variant: Variant, bundle: Bundle, codes: Codes, material: Material, deals: int
) -> Iterator[tuple[dict, list[dict]]]:
    """For each deal of the folds: the line of a run, and a row for each object."""
    learnt = [k for k in (*material.simulated, *material.real) if k.is_real in variant.origins or k.origin == "real"]
    encoder = bundle.model.coder.encoder if variant.config.model.images else None
    trainer = Trainer.prepare(variant.config, bundle.preprocessor, encoder, codes, learnt)
    trainer = replace(trainer, learns_real=True in variant.origins)
    classes = variant.config.model.classes
    for deal in range(deals):
        folds = deal_folds(material.real, FOLDS, str(deal))
        places, scores = held_out(variant, trainer, folds, 1000 * deal)
        labels = np.array([classes.index(trainer.known[i].label) for i in places])
        cell = {
            "key": f"{variant.key}_deal{deal}",
            "mode": "boosting" if variant.boosted else "codes",
            "seed": deal,
            "name": variant.label,
            "test": summarise(labels, scores, classes),
            "config": to_dict(variant.config),
        }
        rows = [
            {"oid": trainer.known[i].sequence.oid, "label": trainer.known[i].label}
            | {name: f"{p:.4f}" for name, p in zip(classes, row, strict=True)}
            for i, row in zip(places, scores, strict=True)
        ]
        yield cell, rows


def run(material: Material, checkpoints: Path, out: Path, deals: int) -> dict:
    """All variants of all bundles; writes the report and the first deal's objects after each."""
    rows, cells, objects = [], [], []
    out.mkdir(parents=True, exist_ok=True)
    for name in BUNDLES:
        bundle = load_bundle(checkpoints / name)
        alerts = (alert for sequence in material.sequences for alert in sequence.alerts)
        codes = encode_all(alerts, bundle.model.coder.encoder, bundle.config.preprocess)
        n, reference = bundle.config.model.n, []
        for variant in variants(bundle.config):
            done = list(run_variant(variant, bundle, codes, material, deals))
            values = [100 * cell["test"]["balanced_accuracy"] for cell, _ in done]
            reference = reference or values
            label = f"n = {n}, {variant.label}"
            rows.append(_row(label, variant, values, reference, [cell["key"] for cell, _ in done]))
            cells += [cell for cell, _ in done]
            objects += [{"row": label, **row} for row in done[0][1]]
            _write(out, rows, cells, objects, material)
            print(f"{label}: {np.mean(values):.1f}", file=sys.stderr, flush=True)
    return _write(out, rows, cells, objects, material)


def _row(label: str, variant: Variant, values: list[float], reference: list[float], keys: list[str]) -> dict:
    first = variant.label == COMPLETE
    n = variant.config.model.n
    return {
        "label": label,
        "columns": {"n": n, "inputs": variant.label},
        "ours": summary(values),
        "validation": None,
        "ms_per_object": None,
        "paper": None,
        "reference": None if first else f"n = {n}, {COMPLETE}",
        "against_reference": None if first else compare(values, reference),
        "cells": keys,
        "best": False,
    }


def _write(out: Path, rows: list[dict], cells: list[dict], objects: list[dict], material: Material) -> dict:
    report = {
        "name": "real_ablations",
        "title": TITLE,
        "quick": False,
        "frozen_encoder": True,
        "origin": "real",
        "dataset": {"name": "real labelled objects", "objects": max(cell["test"]["objects"] for cell in cells)},
        "split": {"window": "last", "folds": FOLDS, "simulated_objects": len(material.simulated)},
        "rows": rows,
        "cells": cells,
        "failed": {},
        "environment": environment(),
    }
    write_json(out / REPORT, report)
    with (out / OBJECTS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in objects for name in row)), restval="")
        writer.writeheader()
        writer.writerows(objects)
    return report


def main(argv: list[str] | None = None) -> int:
    """Simulate what the recipes learn from, read the real objects, run all."""
    from tsc_core.training.ship.__main__ import gather

    parser = argparse.ArgumentParser(prog="python -m tsc_core.training.ship.real_ablations", description=__doc__)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS)
    parser.add_argument("--out", type=Path, default=CHECKPOINTS / "runs" / "real_ablations")
    parser.add_argument("--real", type=Path, required=True, help="archive of real packets")
    parser.add_argument("--labels", type=Path, required=True, help="their labels, CSV")
    parser.add_argument("--objects", type=int, default=1500, help="simulated objects to learn from (default 1500)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--deals", type=int, default=2, help="deals of the folds (default 2)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    run(gather(args), args.checkpoints, args.out, args.deals)
    return 0


if __name__ == "__main__":
    sys.exit(main())
