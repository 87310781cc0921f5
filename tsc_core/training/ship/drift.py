"""Does a bundle age? `python -m tsc_core.training.ship.drift`: trained without one period, tested on it.

The survey's metadata drift; ALeRCE's public stamp classifier falls from 0.83 to 0.51 on alerts after May 2020. Without
a period there are also fewer labels to learn from, so bundles trained on as few objects of both periods stand beside.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tsc_core.bundle import CHECKPOINTS, Bundle, load_bundle
from tsc_core.evaluation.results import DRIFT
from tsc_core.features import galactic
from tsc_core.inference.bulk import evaluate
from tsc_core.inference.predictor import Predictor
from tsc_core.sources.memory import MemorySource
from tsc_core.sources.positions import mean_position
from tsc_core.survey import CLASSES
from tsc_core.training.ship.cards import write_card
from tsc_core.training.ship.material import Known, Material, deal_folds
from tsc_core.training.ship.members import encode_all, train_bundle

MAY_2020 = 58970.0  # MJD of 2020-05-01
WHEN = ("before May 2020", "from May 2020")
DRAWS = 3  # of as few objects of both periods
FAR_FROM_PLANE = 30.0  # deg of galactic latitude
NOWHERE = (float("nan"), float("nan"))


def period(known: Known) -> int:
    """0 for an object whose newest detection is before May 2020, else 1."""
    return int(max(alert.mjd for alert in known.sequence.alerts) >= MAY_2020)


def by_period(bundle: Bundle, material: Material) -> dict[str, dict]:
    """Report of the first n that the bundle serves, on the real labelled objects of each period, held out."""
    source, predictor, found = MemorySource("real", (k.sequence for k in material.real)), Predictor([bundle]), {}
    for place, when in enumerate(WHEN):
        labels = {k.sequence.oid: k.label for k in material.real if k.origin == "real" and period(k) == place}
        report = evaluate(predictor, source, labels, "last").report()["n"]
        if report:
            found[when] = report[min(report, key=int)]
    return found


def across_time(bundle: Bundle, material: Material) -> dict[str, dict]:
    """Metrics of both periods, by members trained on both, by bundles trained on the other, and on as few of both.

    The scaling and the encoder, which know no class of a real object, are those of `bundle`.

    Returns
    -------
    dict
        report: by what was trained on, by period. as_few: by period, one for each of `DRAWS` draws. packets: what the
        packets of each period are like (`content`).
    """
    encoder = bundle.model.coder.encoder
    alerts = (alert for sequence in material.sequences for alert in sequence.alerts)
    codes = encode_all(alerts, encoder, bundle.config.preprocess)

    def learn(used: Material, tested: Material) -> dict[str, dict]:
        one = train_bundle(bundle.config, used, bundle.preprocessor, encoder, codes, {})
        return by_period(replace(one, folds=judges(one, tested)), tested)

    alone, few = {}, defaultdict(list)
    for left_out, when in enumerate(WHEN):
        learnt, tested = split(material, left_out)
        alone |= learn(learnt, tested)
        counts = Counter(known.label for known in learnt.real)
        for draw in range(DRAWS):
            few[when] += learn(as_few(material, counts, draw), tested).values()
    report = {"both periods": by_period(bundle, material), "the other period alone": alone}
    return {"report": report, "as_few": dict(few), "packets": content(material.real)}


def judges(bundle: Bundle, tested: Material) -> dict[str, int]:
    """The member that judges each object: the one that did not see it, any one where none did."""
    return deal_folds(tested.real, len(bundle.members)) | bundle.folds


def split(material: Material, left_out: int) -> tuple[Material, Material]:
    """Without the real objects of a period, dealt into folds anew, and with these alone."""
    learnt = tuple(known for known in material.real if period(known) != left_out)
    tested = tuple(known for known in material.real if period(known) == left_out)
    return with_real(material, learnt), replace(material, real=tested, folds={})


def as_few(material: Material, counts: Mapping[str, int], seed: int) -> Material:
    """So many real objects of each class, drawn from both periods and dealt into folds anew."""
    order, taken, drawn = np.random.default_rng(seed).permutation(len(material.real)), Counter(), []
    for known in (material.real[i] for i in order):
        if taken[known.label] < counts.get(known.label, 0):
            taken[known.label] += 1
            drawn.append(known)
    return with_real(material, drawn)


def with_real(material: Material, real: Sequence[Known]) -> Material:
    """The material with these real objects alone, in folds of their own."""
    return replace(material, real=tuple(real), folds=deal_folds(real, material.fold_count))


def content(real: Sequence[Known]) -> dict[str, dict[str, dict]]:
    """How many labelled objects each period has of a class, and which shares lack `drb` or are far from the plane."""
    groups = defaultdict(list)
    for known in real:
        if known.origin == "real":
            newest = known.sequence.alerts[-1]
            far = abs(galactic(*(mean_position(known.sequence.alerts) or NOWHERE))[1]) > FAR_FROM_PLANE
            groups[WHEN[period(known)], known.label].append((not np.isfinite(newest.value("drb")), far))
    found = {when: {} for when in WHEN}
    for (when, label), rows in sorted(groups.items(), key=lambda item: CLASSES.index(item[0][1])):
        without, far = (float(share) for share in np.mean(rows, axis=0))
        found[when][label] = {"n": len(rows), "without_drb": without, "far_from_plane": far}
    return found


def write_drift(folder: Path, found: Mapping) -> None:
    """Write what was measured across time beside a bundle, for its card and the app."""
    (folder / DRIFT).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Measure one shipped bundle across time, and write it into its folder and card."""
    from tsc_core.training.ship.__main__ import gather

    parser = argparse.ArgumentParser(prog="python -m tsc_core.training.ship.drift", description=__doc__)
    parser.add_argument("--bundle", default="stamp")
    parser.add_argument("--out", type=Path, default=CHECKPOINTS)
    parser.add_argument("--real", type=Path, required=True, help="archive of real packets")
    parser.add_argument("--labels", type=Path, required=True, help="their labels, CSV")
    parser.add_argument("--objects", type=int, default=3000, help="simulated objects to train on (default 3000)")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args(argv)
    folder = args.out / args.bundle
    bundle = load_bundle(folder)
    write_drift(folder, across_time(bundle, gather(args)))
    write_card(folder, bundle, json.loads((folder / "metrics.json").read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
