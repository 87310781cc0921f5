"""Metrics and cards of the shipped bundles, written by the command that evaluates them, never by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from tsc_core.bundle import Bundle
from tsc_core.evaluation.results import DRIFT
from tsc_core.inference.bulk import Evaluation, evaluate
from tsc_core.inference.predictor import Predictor
from tsc_core.sources.base import Source
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES
from tsc_core.training.ship.aims import across_time, against_aims
from tsc_core.training.ship.strangers import strangers_section

ACROSS = (
    "Each object is judged by one member that did not see it; scaling and encoder, which know no class, are from both "
    'periods. "As few of both" learnt from as many real objects of each class as the other period has, drawn from '
    "both: what they lose is lost for want of labels. `Sets hold` is the share of a class in conformal sets (asked: "
    "0.9), whose thresholds are of the objects that were learnt from too: of the other period, there, they say how far "
    "sets hold on a sky that changed."
)
KNOWN = "`unlike` compares with real objects that include these: about 2.5 % of new ones would be called so."
Sets = Mapping[str, tuple[Source, dict[str, str], str]]  # title -> source, labels by oid, window


def measure(bundle: Bundle, sets: Sets) -> dict[str, Evaluation]:
    """Evaluate a bundle on each set by itself: simulated and real objects are never mixed."""
    return {
        title: evaluate(Predictor([bundle]), source, labels, window) for title, (source, labels, window) in sets.items()
    }


def write_metrics(folder: Path, found: Mapping[str, Evaluation]) -> dict:
    """Write `metrics.json` (reports by set) and `objects.csv` (each object's probabilities, for the app's pages)."""
    reports = {title: evaluation.report() for title, evaluation in found.items()}
    text = json.dumps(reports, indent=1, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    names = [name for name in CLASSES if any(name in c for e in found.values() for c in e.classes.values())]
    with (folder / "objects.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["set", "oid", "n", "label", *names], lineterminator="\n")
        writer.writeheader()
        for title, evaluation in found.items():
            for n, objects in sorted(evaluation.rows.items()):
                for oid, label, probabilities in objects:
                    values = {k: f"{p:.6f}" for k, p in zip(evaluation.classes[n], probabilities, strict=True)}
                    writer.writerow({"set": title, "oid": oid, "n": n, "label": label, **values})
    return reports


def write_card(folder: Path, bundle: Bundle, reports: Mapping[str, dict]) -> None:
    """Write `card.md`: what the bundle is, what it was trained on, how good it is on what, and its limits."""
    model, parts = bundle.config.model, [f"# {bundle.name}", "", bundle.card["summary"], ""]
    parts += [
        f"- Kind: `{model.kind}`, n = {'1 to ' if model.kind == 'unified' else ''}{model.n}; "
        f"classes {', '.join(bundle.classes)}; {len(bundle.members)} members whose probabilities are averaged.",
        f"- Stamps: {', '.join(bundle.config.preprocess.channels)}, crop {bundle.config.preprocess.crop} pixels, "
        f"{model.encoder.rotations} rotations; scaling per {bundle.config.preprocess.scaling}.",
        f"- Metadata: {len(bundle.config.preprocess.dynamic)} dynamic and {len(bundle.config.preprocess.static)} "
        f"static features, {'with' if model.colours_enter else 'without'} AllWISE colours; scaling `"
        f"{bundle.config.preprocess.metadata_scaling}`.",
        f"- Decision trees over the metadata beside each network: {_trees(bundle)}.",
        *_colours(bundle),
        "- Temperatures: "
        + (", ".join(f"{t:.2f} (n = {n})" for n, t in sorted(bundle.temperatures.items())) or "none"),
        "",
        "## Trained on",
        "",
        *(f"- {line}" for line in bundle.card["trained_on"]),
        "",
        "## How good it is",
        "",
    ]
    for title, report in reports.items():
        parts += [f"### {title} ({report['origin'] or 'no objects'})", "", *_table(report), *against_aims(report), ""]
    parts += strangers_section(folder, bundle.classes)
    if (folder / DRIFT).exists():
        parts += ["### Across time", "", *_drift(json.loads((folder / DRIFT).read_text(encoding="utf-8"))), ""]
    parts += ["## Known failures and limits", "", *(f"- {line}" for line in bundle.card["limits"]), ""]
    parts += ["## Licence and citation", "", bundle.card["licence"], ""]
    (folder / "card.md").write_text("\n".join(parts), encoding="utf-8")


def _trees(bundle: Bundle) -> str:
    if not bundle.config.model.trees_share:
        return "none"
    count = sum(len(member.forest.roots) for member in bundle.members)
    return f"{count} in all, their logits weighing {bundle.config.model.trees_share:g} of 1"


def _colours(bundle: Bundle) -> list[str]:
    if bundle.colours is None:
        return []
    return [
        f"- AllWISE colours ({', '.join(bundle.colours.used) or 'none known'}) are no input of network and trees: they "
        f"move probability between {', '.join(TEMPORAL_CLASSES)} by how often simulated objects of each have them."
    ]


def _drift(found: Mapping[str, Mapping]) -> list[str]:
    """Real objects before and after May 2020, by members that learnt from both, the other, or as few of both."""
    rows = [
        "| packets | trained on | objects | balanced accuracy [95 %] | recall (objects) | sets hold |",
        "|---" * 6 + "|",
    ]
    for when in found["packets"]:
        measured = [(name, periods[when]) for name, periods in found["report"].items() if when in periods]
        measured += [(f"as few of both, draw {i + 1}", entry) for i, entry in enumerate(found["as_few"].get(when, ()))]
        for name, entry in measured:
            low, high = entry["balanced_accuracy_interval"]
            recall = ", ".join(f"{k} {v['value']:.2f} ({v['n']})" for k, v in entry["recall"].items() if v["n"])
            covered = entry.get("conformal", {}).get("covered", {})
            held = ", ".join(f"{k} {v['value']:.2f}" for k, v in covered.items() if v["n"]) or "-"
            rows.append(
                f"| {when} | {name} | {entry['objects']} | {entry['balanced_accuracy']:.3f} [{low:.3f}-{high:.3f}] "
                f"| {recall} | {held} |"
            )
    return [*rows, "", ACROSS, "", *across_time(found), "", *_content(found["packets"])]


def _content(periods: Mapping[str, Mapping[str, dict]]) -> list[str]:
    return [
        "| packets | class | objects | without `drb` | more than 30 deg from the galactic plane |",
        "|---|---|---|---|---|",
        *(
            f"| {when} | {label} | {of['n']} | {of['without_drb']:.2f} | {of['far_from_plane']:.2f} |"
            for when, classes in periods.items()
            for label, of in classes.items()
        ),
    ]


def _table(report: dict) -> list[str]:
    rows = [
        "| n | objects | balanced accuracy [95 %] | accuracy | ECE [95 %] | Brier [95 %] | recall (objects) |",
        "|---|---|---|---|---|---|---|",
    ]
    assumed = "ECE and Brier score let each class weigh the same, as the probabilities assume."
    for n, found in report["n"].items():
        low, high = found["balanced_accuracy_interval"]
        recall = ", ".join(
            f"{name} {v['value']:.2f} [{v['low']:.2f}-{v['high']:.2f}] ({v['n']})"
            for name, v in found["recall"].items()
            if v["n"]
        )
        rows.append(
            f"| {n} | {found['objects']} | {found['balanced_accuracy']:.3f} [{low:.3f}-{high:.3f}] "
            f"| {found['accuracy']:.3f} | {_with_interval(found, 'ece')} | {_with_interval(found, 'brier')} "
            f"| {recall} |"
        )
    return [*rows, "", assumed, "", *_doubts(report), *_confusions(report)]


def _doubts(report: dict) -> list[str]:
    """Coverage of conformal sets, where the bundle gives them."""
    rows = []
    for n, found in report["n"].items():
        if "conformal" in found:
            sets, unlike = found["conformal"], found["unlike"]
            covered = ", ".join(
                f"{name} {v['value']:.2f} [{v['low']:.2f}-{v['high']:.2f}] ({v['n']})"
                for name, v in sets["covered"].items()
                if v["n"]
            )
            right = "-" if sets["right"]["value"] is None else f"{sets['right']['value']:.3f}"
            rows.append(
                f"| {n} | {covered} | {sets['size']:.2f} | {sets['decided']['value']:.3f} | {right} "
                f"| {sets['empty']['value']:.3f} | {unlike['value']:.3f} | {_right(found)} |"
            )
    if not rows:
        return []
    asked = next(found["conformal"]["coverage"] for found in report["n"].values() if "conformal" in found)
    return [
        f"Conformal sets that are to hold the true class of {asked:.0%} of the objects of each class:",
        "",
        "| n | held it, by class [95 %] (objects) | mean size | one class | right where one class | none | unlike "
        "| right where unlike, where not |",
        "|---" * 8 + "|",
        *rows,
        "",
        *([KNOWN, ""] if report["origin"] == "real" else []),
    ]


def _right(found: dict) -> str:
    """Accuracy of objects called unlike the training data, with their number, and of the others."""
    shares = found["right_if_unlike"], found["right_if_alike"]
    return ", ".join("-" if s["value"] is None else f"{s['value']:.2f} ({s['n']})" for s in shares)


def _with_interval(found: dict, name: str) -> str:
    low, high = found[f"{name}_interval"]
    return f"{found[name]:.3f} [{low:.3f}-{high:.3f}]"


def _confusions(report: dict) -> list[str]:
    lines = []
    for n, found in report["n"].items():
        lines += [
            f"Confusion at n = {n} (rows true, columns predicted):",
            "",
            f"| | {' | '.join(found['classes'])} |",
            "|---" * (len(found["classes"]) + 1) + "|",
            *(
                f"| {name} | {' | '.join(map(str, row))} |"
                for name, row in zip(found["classes"], found["confusion"], strict=True)
            ),
            "",
        ]
    return lines
