"""What 8-bit integers cost in accuracy: ``python benchmarks/fast.py --source SRC --labels CSV [--out fast.json]``.

Every shipped bundle answers for the labelled objects of a source twice, in float32 and on the fast path (the extra
`fast`), each object by the members that did not see it. Prints JSON: answers, the share with the same most probable
class, the greatest change of a probability, and accuracies.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from tsc_core.bundle import shipped
from tsc_core.data.labels import read_labels
from tsc_core.inference.bulk import evaluate
from tsc_core.inference.fast import available, read_limits
from tsc_core.inference.predictor import Predictor
from tsc_core.sources import Source, open_source


def compared(name: str, source: Source, labels: dict[str, str]) -> dict[str, float | int]:
    """One bundle, both ways."""
    slow = evaluate(Predictor.shipped([name], exact=True), source, labels, "last")
    fast = evaluate(Predictor.shipped([name]), source, labels, "last")
    first, second, right = [], [], []
    for n, rows in slow.rows.items():
        for (_, label, a), (_, _, b) in zip(rows, fast.rows[n], strict=True):
            first.append(a.argmax())
            second.append(b.argmax())
            right.append((slow.classes[n].index(label), np.abs(a - b).max()))
    truth, change = (np.array(column) for column in zip(*right, strict=True))
    one, two = np.array(first), np.array(second)
    return {
        "answers": len(truth),
        "same_class": float((one == two).mean()),
        "greatest_change": round(float(change.max()), 4),
        "accuracy_float32": round(float((one == truth).mean()), 4),
        "accuracy_int8": round(float((two == truth).mean()), 4),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="packets")
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    source = open_source(args.source)
    known = set(source.oids())
    labels = {row.oid: row.label for row in read_labels(args.labels).labels if row.oid in known}
    if not available():
        parser.error("the extra `fast` is not installed")
    names = [name for name, path in shipped().items() if read_limits(path)]
    text = json.dumps({name: compared(name, source, labels) for name in names}, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
