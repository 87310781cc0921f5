"""The tables of results in README and docs, taken from what ships: `python -m tsc_core.training.ship.tables`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tsc_core.bundle import CHECKPOINTS, shipped
from tsc_core.survey import TEMPORAL_CLASSES

BEGIN, END = "<!-- results: written by python -m tsc_core.training.ship.tables -->", "<!-- end of results -->"
BESIDE_THE_PAPER = ("allwise", "complete")


def of_bundles(checkpoints: Path = CHECKPOINTS) -> str:
    """One row for each bundle, set and n: objects, balanced accuracy with its interval, calibration error."""
    rows = []
    for name, folder in shipped(checkpoints).items():
        for report in _read(folder / "metrics.json").values():
            where = f"[{name}](checkpoints/{name}/card.md)", f"{report['origin']}, window {report['window']}"
            for n, found in report["n"].items():
                low, high = found["balanced_accuracy_interval"]
                accuracy = f"{found['balanced_accuracy']:.3f} [{low:.3f}-{high:.3f}]"
                rows.append((*where, n, found["objects"], accuracy, f"{found['ece']:.3f}"))
    return _table(("bundle", "on", "n", "objects", "balanced accuracy [95 %]", "ECE"), rows)


def of_experiments(runs: Path = CHECKPOINTS / "runs") -> str:
    """One row for each of the rows of the experiments with AllWISE: accuracy on test objects beside the paper's."""
    rows = []
    for name in BESIDE_THE_PAPER:
        found = _read(runs / name / "experiment.json")
        counts = found["dataset"]["objects"], found["split"]["test_per_class"] * len(TEMPORAL_CLASSES)
        for row in found["rows"]:
            ours = f"{row['ours']['mean']:.1f} ± {row['ours']['std']:.1f} ({row['ours']['runs']})"
            paper = f"{row['paper']['accuracy']:.1f}" if row["paper"] else ""
            rows.append((f"`{name}`", row["label"], *counts, ours, paper))
    return _table(("", "inputs", "simulated objects", "of them tested", "accuracy, % (runs)", "paper, %"), rows)


def of_inputs(runs: Path = CHECKPOINTS / "runs") -> str:
    """Balanced accuracy in per cent on real objects with inputs taken away, a column for each n."""
    rows = _read(runs / "real_ablations" / "experiment.json")["rows"]
    means = {(row["columns"]["inputs"], row["columns"]["n"]): f"{row['ours']['mean']:.1f}" for row in rows}
    counts = sorted({n for _, n in means})
    variants = dict.fromkeys(inputs for inputs, _ in means)
    return _table(
        ("", *(f"n = {n}" for n in counts)), [(name, *(means.get((name, n), "") for n in counts)) for name in variants]
    )


DOCUMENTS = {"README.md": of_bundles, "docs/experiments.md": of_experiments, "docs/checkpoints.md": of_inputs}


def filled(text: str, table: str) -> str:
    """A document with the table between its two marks; raises `ValueError` where a mark is missing."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"a document needs the marks {BEGIN!r} and {END!r} once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}"


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> int:
    """Fill every document."""
    for name, table in DOCUMENTS.items():
        path = CHECKPOINTS.parent / name
        path.write_text(filled(path.read_text(encoding="utf-8"), table()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
