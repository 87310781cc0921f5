"""Whether earlier stamps reconstructed from a later packet help: members trained with and without them, by fold.

Run as ``python benchmarks/reconstruct.py --real ARCHIVE --labels LABELS.csv --out docs/datasets/reconstruct.json``.
The pieces are those of the shipped temporal bundles: their encoder and scaling (which know no label of a real object),
their windows and their training. Each labelled real object is tested by the members of the folds that did not see it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from tsc_core.bundle import Bundle, load_bundle, shipped
from tsc_core.data.reconstruct import MARK, reconstruct
from tsc_core.survey import TEMPORAL_CLASSES
from tsc_core.training.frozen import CodedExamples
from tsc_core.training.ship.material import FOLDS, Known, deal_folds, real, simulated, views
from tsc_core.training.ship.members import Trainer, encode_all

DRAWS = 2000
ARMS = {
    "without": ("plain", "plain"),
    "trained with, tested without": ("filled", "plain"),
    "trained and tested with": ("filled", "filled"),
}


@dataclass(frozen=True, slots=True)
class Tested:
    """Probability of the true class (S, N) and whether it came first (S, N), over S seeds and N objects."""

    probability: np.ndarray
    correct: np.ndarray


def filled(known: Sequence[Known], seed: int) -> list[Known]:
    """The objects with reconstructed stamps where their packets allow."""
    rng = np.random.default_rng(seed)
    return [replace(item, sequence=reconstruct(item.sequence, rng)) for item in known]


def prepare(bundle: Bundle, made: Sequence[Known], known: Sequence[Known]) -> Trainer:
    """Windows and codes of simulated and real objects, as the shipped members are trained on."""
    encoder = bundle.members[0].coder.encoder
    items = [*made, *known]
    alerts = (alert for item in items for window in views(item, bundle.config.model) for alert in window)
    codes = encode_all(alerts, encoder, bundle.config.preprocess)
    return Trainer.prepare(bundle.config, bundle.preprocessor, encoder, codes, items)


@torch.no_grad()
def score(network: nn.Module, trainer: Trainer, oids: Sequence[str]) -> np.ndarray:
    """Probabilities (N, classes) after the newest window of each object."""
    rows = {item.sequence.oid: rows[0] for item, rows in zip(trainer.known, trainer.rows, strict=True) if rows}
    examples = CodedExamples(trainer.tensors, jitter=False).take([rows[oid] for oid in oids])
    logits = network.eval()(examples.batch(np.arange(len(oids)), np.random.default_rng(0)))
    return torch.softmax(logits.float(), dim=1).numpy()


def run(
    trainers: dict[str, Trainer], known: Sequence[Known], folds: dict[str, int], seeds: int, bar: tqdm
) -> dict[str, Tested]:
    """Every arm over folds and seeds, on the objects in `known`."""
    oids, classes = [item.sequence.oid for item in known], list(trainers["plain"].config.model.classes)
    truth = np.array([classes.index(item.label) for item in known])
    place = np.array([folds[oid] for oid in oids])
    scores = {arm: np.zeros((seeds, len(oids), len(classes))) for arm in ARMS}
    for seed in range(seeds):
        for fold in range(FOLDS):
            unseen = [oid for oid, at in folds.items() if at == fold]
            chosen = np.flatnonzero(place == fold)
            for kind in ("plain", "filled"):
                network = trainers[kind].member(unseen, 100 * seed + fold)
                for arm, (trained, tested) in ARMS.items():
                    if trained == kind:
                        scores[arm][seed, chosen] = score(network, trainers[tested], [oids[i] for i in chosen])
                bar.update()
    which = np.arange(len(oids))
    return {arm: Tested(p[:, which, truth], p.argmax(axis=2) == truth) for arm, p in scores.items()}


def balanced(values: np.ndarray, labels: np.ndarray) -> float:
    """Mean over classes of the mean over objects, of values (N,)."""
    return float(np.mean([values[labels == label].mean() for label in np.unique(labels)]))


def interval(values: np.ndarray, labels: np.ndarray) -> list[float]:
    """95 % of `balanced` over objects drawn anew within their class."""
    rng = np.random.default_rng(0)
    groups = [values[labels == label] for label in np.unique(labels)]
    drawn = np.mean([rng.choice(group, (DRAWS, len(group))).mean(axis=1) for group in groups], axis=0)
    return [round(100 * float(q), 1) for q in np.quantile(drawn, (0.025, 0.975))]


def summary(tested: dict[str, Tested], labels: np.ndarray, again: np.ndarray) -> dict[str, object]:
    """Balanced accuracy and log loss of each arm, and the paired difference from "without", in per cent."""
    base, found = tested["without"], {}
    for arm, result in tested.items():
        rate, gain = result.correct.mean(axis=0), (result.correct * 1.0 - base.correct).mean(axis=0)
        found[arm] = {
            "balanced_accuracy": round(100 * balanced(rate, labels), 1),
            "interval": interval(rate, labels),
            "by_seed": [round(100 * balanced(row, labels), 1) for row in result.correct],
            "log_loss": round(balanced(-np.log(np.clip(result.probability, 1e-6, 1)).mean(axis=0), labels), 3),
            "difference": round(100 * balanced(gain, labels), 1),
            "difference_interval": interval(gain, labels),
        }
    counts = {str(name): int((labels == name).sum()) for name in np.unique(labels)}
    return {"objects": counts, "with_reconstructed_stamps": int(again.sum()), "arms": found}


def measure(n: int, made: Sequence[Known], known: Sequence[Known], seeds: int) -> dict[str, object]:
    """The comparison for the bundle of n detections."""
    bundle = load_bundle(shipped()[f"temporal_{n}"])
    richer = filled(known, seed=n)
    trainers = {"plain": prepare(bundle, made, known), "filled": prepare(bundle, made, richer)}
    folds = deal_folds(known)
    complete = {i.sequence.oid for i, rows in zip(trainers["plain"].known, trainers["plain"].rows, strict=True) if rows}
    shown = [item for item in known if item.sequence.oid in complete]
    with tqdm(total=2 * seeds * FOLDS, desc=f"n = {n}", unit="member", file=sys.stderr, disable=None) as bar:
        tested = run(trainers, shown, folds, seeds, bar)
    gained = {i.sequence.oid for i in richer if any(MARK in alert.record for alert in i.sequence.alerts[-12:])}
    again = np.array([item.sequence.oid in gained for item in shown])
    return summary(tested, np.array([item.label for item in shown]), again)


def main() -> int:
    """Measure for n = 2 and 3 and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="archive of real packets")
    parser.add_argument("--labels", type=Path, required=True, help="CSV of their classes")
    parser.add_argument("--objects", type=int, default=600, help="simulated objects (default: 600)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    known, _ = real(args.real, args.labels)
    known = [item for item in known if item.origin == "real" and item.label in TEMPORAL_CLASSES]
    made = simulated(args.objects, 21)
    report = {"simulated": args.objects, "seeds": args.seeds, "folds": FOLDS}
    report |= {f"n{n}": measure(n, made, known, args.seeds) for n in (2, 3)}
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
