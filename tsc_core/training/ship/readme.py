"""The table of results in the README, taken from the bundles' metrics: `python -m tsc_core.training.ship.readme`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tsc_core.bundle import CHECKPOINTS, shipped

README = CHECKPOINTS.parent / "README.md"
BEGIN, END = "<!-- results: written by python -m tsc_core.training.ship.readme -->", "<!-- end of results -->"


def results(checkpoints: Path = CHECKPOINTS) -> str:
    """One row for each bundle, set and n: objects, balanced accuracy with its interval, calibration error."""
    rows = [
        "| bundle | on | n | objects | balanced accuracy [95 %] | ECE |",
        "|---|---|---|---|---|---|",
    ]
    for name, folder in shipped(checkpoints).items():
        reports = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        for report in reports.values():
            for n, found in report["n"].items():
                low, high = found["balanced_accuracy_interval"]
                rows.append(
                    f"| [{name}](checkpoints/{name}/card.md) | {report['origin']}, window {report['window']} | {n} "
                    f"| {found['objects']} | {found['balanced_accuracy']:.3f} [{low:.3f}-{high:.3f}] "
                    f"| {found['ece']:.3f} |"
                )
    return "\n".join(rows)


def filled(text: str, table: str) -> str:
    """The README with the table between its two marks; raises `ValueError` where a mark is missing."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the README needs the marks {BEGIN!r} and {END!r} once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8"), results()), encoding="utf-8")
    sys.exit(0)
