"""Does a bundle age? `python -m tsc_core.training.ship.drift`: trained without one period, tested on it.

The survey's metadata drift; ALeRCE's public stamp classifier falls from 0.83 to 0.51 on alerts after May 2020.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from tsc_core.bundle import CHECKPOINTS, Bundle, load_bundle
from tsc_core.evaluation.metrics import summarise
from tsc_core.inference.bulk import evaluate
from tsc_core.inference.predictor import Predictor
from tsc_core.sources.memory import MemorySource
from tsc_core.training.ship.cards import DRIFT, write_card
from tsc_core.training.ship.material import Known, Material, deal_folds
from tsc_core.training.ship.members import encode_all, train_bundle

MAY_2020 = 58970.0  # MJD of 2020-05-01
WHEN = ("before May 2020", "from May 2020")


def period(known: Known) -> int:
    """0 for an object whose newest detection is before May 2020, else 1."""
    return int(max(alert.mjd for alert in known.sequence.alerts) >= MAY_2020)


def by_period(bundle: Bundle, material: Material) -> dict[str, dict]:
    """Metrics of the first n that the bundle serves, on the real labelled objects of each period, held out."""
    chosen = {k.sequence.oid: k for k in material.real if k.origin == "real"}
    source = MemorySource("real", (k.sequence for k in chosen.values()))
    found = evaluate(Predictor([bundle]), source, {oid: k.label for oid, k in chosen.items()}, "last")
    if not found.rows:
        return {}
    n, groups = min(found.rows), defaultdict(list)
    for oid, label, probabilities in found.rows[n]:
        groups[WHEN[period(chosen[oid])]].append((found.classes[n].index(label), probabilities))
    return {when: _summary(groups[when], found.classes[n]) for when in WHEN if groups[when]}


def _summary(rows: list, classes: tuple[str, ...]) -> dict:
    return summarise(np.array([label for label, _ in rows]), np.stack([p for _, p in rows]), classes)


def across_time(bundle: Bundle, material: Material) -> dict[str, dict[str, dict]]:
    """Both periods, by members trained on both (random folds) and by bundles trained on the other period alone.

    The scaling and the encoder, which know no class of a real object, are those of `bundle`.
    """
    encoder = bundle.model.coder.encoder
    alerts = (alert for sequence in material.sequences for alert in sequence.alerts)
    codes = encode_all(alerts, encoder, bundle.config.preprocess)
    apart = {}
    for left_out in range(len(WHEN)):
        learnt, tested = split(material, left_out)
        one = train_bundle(bundle.config, learnt, bundle.preprocessor, encoder, codes, {})
        judges = deal_folds(tested.real, len(one.members))  # one member judges an object, as where both are known
        apart |= by_period(replace(one, folds=judges), tested)
    return {"both periods": by_period(bundle, material), "the other period alone": apart}


def split(material: Material, left_out: int) -> tuple[Material, Material]:
    """Without the real objects of a period, dealt into folds anew, and with these alone."""
    learnt = tuple(known for known in material.real if period(known) != left_out)
    tested = tuple(known for known in material.real if period(known) == left_out)
    return replace(material, real=learnt, folds=deal_folds(learnt)), replace(material, real=tested, folds={})


def main(argv: list[str] | None = None) -> int:
    """Measure one shipped bundle across time, and write it into its folder and card."""
    from tsc_core.training.ship.__main__ import gather

    parser = argparse.ArgumentParser(prog="python -m tsc_core.training.ship.drift", description=__doc__)
    parser.add_argument("--bundle", default="stamp")
    parser.add_argument("--out", type=Path, default=CHECKPOINTS)
    parser.add_argument("--real", type=Path, required=True, help="archive of real packets")
    parser.add_argument("--labels", type=Path, required=True, help="their labels, CSV")
    parser.add_argument("--objects", type=int, default=2000, help="simulated objects to train on (default 2000)")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args(argv)
    folder = args.out / args.bundle
    bundle = load_bundle(folder)
    found = across_time(bundle, gather(args))
    (folder / DRIFT).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_card(folder, bundle, json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
