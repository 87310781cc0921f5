"""Train, calibrate and evaluate every bundle that ships, and write their cards."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tsc_core.bundle import CHECKPOINTS, Bundle, load_bundle, save_bundle, shipped
from tsc_core.config import RunConfig, load
from tsc_core.evaluation.results import DRIFT
from tsc_core.inference.fast import limits_of, write_limits
from tsc_core.models.encoder import Encoder
from tsc_core.preprocessing import Preprocessor, select_alerts
from tsc_core.sources.demo import demo_source
from tsc_core.sources.memory import MemorySource
from tsc_core.training.ship.cards import Sets, measure, write_card, write_metrics
from tsc_core.training.ship.encoder import Pretraining, pretrain, stamped
from tsc_core.training.ship.material import BOGUS_BELOW, Known, Material, deal_folds, real, simulated, views
from tsc_core.training.ship.members import Codes, encode_all, train_bundle
from tsc_core.training.ship.strangers import strangers, write_strangers

CONFIGS = CHECKPOINTS.parent / "configs" / "ship"
TRAIN_SEED, TEST_SEED = 11, 12  # simulated objects of two seeds share nothing
TEST_PACKETS = 12  # of an object: most then have five usable detections
LIMITS = (
    "Labels of real objects are few, above all SN and AGN: read the intervals.",
    "Most real objects have one packet; earlier detections enter without stamps.",
    "Real objects have no AllWISE match here, so accuracy with AllWISE is known on simulated objects only.",
    "No bogus labels exist among the real packets: drb < 0.1 stands for bogus.",
    "Trained on says who names the objects, and how often they had been seen: most AGN are blazars, and real ones seen "
    "for the first time are nearly all asteroids, which were named by a catalogue and for few detections. Recall on "
    "other AGN, on AGN and VS at their first alert, and on asteroids seen more often is not known.",
    "How the stamp bundle does on a period of the survey that it was not trained on is in its card (Across time).",
    "TDEs and anything else outside the classes are forced into them.",
)
TAKEN_OVER = "The encoder was taken over from bundles trained before (`--encoders`), on simulated stamps of that time."
LICENCE = (
    "MIT, as the code. Cite Neira, Estévez & Förster 2024 (arXiv:2405.15073) and Carrasco-Davis et al. 2021 "
    "(AJ 162 231). ZTF alerts are public data of the Zwicky Transient Facility."
)


def gather(args: argparse.Namespace) -> Material:
    """Made objects, and the real ones where an archive is named."""
    made = simulated(args.objects, TRAIN_SEED, args.processes)
    known, unlabelled = real(args.real, args.labels) if args.real else ((), ())
    return Material(made, known, unlabelled, deal_folds(known))


def describe(material: Material, config: RunConfig) -> list[str]:
    """What a bundle was trained on, for its card: objects of its classes that give a window."""
    learnt = [k for k in (*material.simulated, *material.real) if k.label in config.model.classes]
    learnt = [known for known in learnt if views(known, config.model)]

    def counted(origin: str) -> str:
        counts = Counter(known.label for known in learnt if known.origin == origin)
        return ", ".join(f"{name} {counts[name]}" for name in config.model.classes if counts[name]) or "none"

    labelled = [known for known in learnt if known.origin == "real"]
    proxies = sum(known.origin not in ("real", "simulated") for known in learnt)
    bogus = f" and {proxies} with drb < {BOGUS_BELOW} as bogus (a proxy, not a label)" if proxies else ""
    return [
        f"Simulated objects (seed {TRAIN_SEED}): {counted('simulated')}.",
        f"Real ZTF objects with labels: {counted('real')}{bogus}.",
        *(line for name in config.model.classes for line in met([k for k in labelled if k.label == name])),
        f"Scaling fitted on {len(material.simulated)} simulated objects of the five classes and "
        f"{len(material.unlabelled)} real ones without a class; the encoder trained on the classes of simulated stamps "
        "and, for real stamps, on numbers their packets state.",
        f"{material.fold_count} members; each real object with a label is unseen by one of them, and is evaluated by "
        "that one. Temperatures are fitted on these held-out answers, each class weighing the same.",
    ]


def met(labelled: Sequence[Known]) -> list[str]:
    """Who names the labelled objects of one class, and how often each had been detected by its newest alert."""
    if not labelled:
        return []
    sources = Counter(known.label_source or "not said" for known in labelled).most_common()
    seen = np.array([known.sequence.alerts[-1].value("ndethist") for known in labelled])
    often = f"{np.nanmedian(seen):.0f} at the median" if np.isfinite(seen).any() else "not known"
    named = "; ".join(f"{source} {count}" for source, count in sources)
    return [f"{labelled[0].label} by {named}. Detections (`ndethist`) up to the newest alert: {often}."]


def fit_preprocessor(config: RunConfig, material: Material) -> Preprocessor:
    """Scaling from simulated objects and real ones without a class: no labelled real object takes part."""
    made = ((select_alerts(k.sequence, "first").used, k.sequence.allwise) for k in material.simulated)
    sky = ((select_alerts(sequence, "last").used, None) for sequence in material.unlabelled)
    return Preprocessor.fit(config.preprocess, (*made, *sky))


def test_sets(args: argparse.Namespace, material: Material) -> Sets:
    """Simulated objects of another seed, and the real labelled ones, each by its own title."""
    made = simulated(args.test_objects, TEST_SEED, args.processes, TEST_PACKETS)
    sets = {
        "Simulated test objects, window first": (
            MemorySource("simulated", (k.sequence for k in made)),
            {k.sequence.oid: k.label for k in made},
            "first",
        )
    }
    labelled = [k for k in material.real if k.origin == "real"]
    if labelled:
        source = MemorySource("real", (k.sequence for k in labelled))
        labels = {k.sequence.oid: k.label for k in labelled}
        sets["Real objects held out by fold, window last"] = (source, labels, "last")
    return sets


def arguments() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(prog="python -m tsc_core.training.ship", description=__doc__)
    parser.add_argument("--out", type=Path, default=CHECKPOINTS)
    parser.add_argument("--real", type=Path, help="archive of real packets")
    parser.add_argument("--labels", type=Path, help="their labels, CSV")
    parser.add_argument("--objects", type=int, default=3000, help="simulated objects to train on (default 3000)")
    parser.add_argument("--test-objects", type=int, default=600, help="simulated objects to test on (default 600)")
    parser.add_argument("--processes", type=int, default=2, help="processes that simulate (default 2)")
    parser.add_argument("--epochs", type=int, default=Pretraining().epochs, help="passes of the encoder's training")
    parser.add_argument("--encoders", type=Path, help="bundles whose encoders are taken over instead of trained anew")
    parser.add_argument("--only", action="append", help="just these bundles")
    parser.add_argument("--evaluate", action="store_true", help="train nothing: measure what is in --out, write cards")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run it all; configurations of the bundles are the TOML files of `configs/ship`."""
    parser = arguments()
    args = parser.parse_args(argv)
    if bool(args.real) != bool(args.labels):
        parser.error("--real and --labels belong together")
    started = time.monotonic()
    if args.evaluate:
        return evaluate_again(args, started)
    material = gather(args)
    _say(f"{len(material.simulated)} simulated, {len(material.real)} real objects", started)
    sets = test_sets(args, material)
    outside = strangers(args.real, args.labels, material.real) if args.real else ()
    encoders: dict[tuple, tuple[Encoder, Codes]] = {}
    for path in sorted(CONFIGS.glob("*.toml")):
        config = load(path)
        if args.only and config.name not in args.only:
            continue
        key = (config.preprocess.channels, config.preprocess.crop, config.model.encoder)
        if config.model.images and key not in encoders:
            encoders[key] = train_encoder(config, material, args, started)
        folder, bundle = ship(config, material, *encoders.get(key, (None, {})), args)
        (folder / DRIFT).unlink(missing_ok=True)  # that of the bundle before
        evaluate_bundle(folder, bundle, sets, outside)
        _say(f"{config.name} done", started)
    return 0


def evaluate_again(args: argparse.Namespace, started: float) -> int:
    """Measure the bundles of a folder and write their metrics and cards."""
    known = real(args.real, args.labels)[0] if args.real else ()
    sets = test_sets(args, Material((), known, (), deal_folds(known)))
    outside = strangers(args.real, args.labels, known) if args.real else ()
    for name, folder in shipped(args.out).items():
        if not args.only or name in args.only:
            bundle = load_bundle(folder)
            evaluate_bundle(folder, bundle, sets, outside)
            _say(f"{name} measured", started)
    return 0


def train_encoder(
    config: RunConfig, material: Material, args: argparse.Namespace, started: float
) -> tuple[Encoder, Codes]:
    """The encoder of a configuration, trained or taken over, and the codes of all stamps."""
    if args.encoders:
        encoder = taken_over(args.encoders / config.name, config)
    else:
        options = Pretraining(args.epochs)
        encoder, losses = pretrain(stamped(material), config.model.encoder, config.preprocess, options)
        _say(f"encoder for {config.name}: loss " + " ".join(f"{loss:.3f}" for loss in losses), started)
    alerts = (alert for sequence in material.sequences for alert in sequence.alerts)
    return encoder, encode_all(alerts, encoder, config.preprocess)


def taken_over(folder: Path, config: RunConfig) -> Encoder:
    """The encoder of a bundle; raises `ValueError` where it sees other stamps or is built otherwise."""
    bundle = load_bundle(folder)
    seen, wanted = (
        (c.preprocess.channels, c.preprocess.crop, c.preprocess.scaling, c.model.encoder)
        for c in (bundle.config, config)
    )
    if seen != wanted:
        raise ValueError(f"the encoder of {folder.name} is for {seen}, {config.name} needs {wanted}")
    return bundle.model.coder.encoder


def ship(
    config: RunConfig,
    material: Material,
    encoder: Encoder | None,
    codes: Codes,
    args: argparse.Namespace,
) -> tuple[Path, Bundle]:
    """Train one bundle and save it."""
    summary = "Classifier of one alert." if config.model.kind == "stamp" else "Classifier of a sequence of alerts."
    trained_on = [*describe(material, config), *([TAKEN_OVER] if args.encoders else [])]
    card = {"summary": summary, "trained_on": trained_on, "limits": list(LIMITS), "licence": LICENCE}
    bundle = train_bundle(config, material, fit_preprocessor(config, material), encoder, codes, card)
    return save_bundle(bundle, args.out / config.name), bundle


def evaluate_bundle(folder: Path, bundle: Bundle, sets: Sets, outside: Sequence[Known]) -> None:
    """Limits of the fast path, metrics, answers to objects `outside` its classes, and the card."""
    keep_limits(folder, bundle)
    write_strangers(folder, bundle, outside)
    write_card(folder, bundle, write_metrics(folder, measure(bundle, sets)))


def keep_limits(folder: Path, bundle: Bundle) -> None:
    """What the fast path needs, measured on the demo archive."""
    source = demo_source()
    limits = limits_of(bundle, (alert for oid in source.oids() for alert in select_alerts(source.fetch(oid)).used))
    if limits:
        write_limits(folder, limits)


def _say(text: str, started: float) -> None:
    print(f"[{time.monotonic() - started:6.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
