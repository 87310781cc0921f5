"""What a bundle says of real objects that have none of its classes, or no label: natural tests of its doubt."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tsc_core.alerts import Step
from tsc_core.bundle import Bundle
from tsc_core.data.labels import read_labels
from tsc_core.evaluation.metrics import share
from tsc_core.inference.doubt import UNLIKE_ABOVE, abstention
from tsc_core.inference.predictor import Predictor, as_step
from tsc_core.preprocessing import select_alerts
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import CLASSES
from tsc_core.training.ship.material import Known

STRANGERS = "strangers.json"
TDE = "TDE"
READING = (
    "A TDE has none of the classes; objects with drb < 0.1 are mostly bogus, which is no class from two detections on. "
    "How often one class is named of labelled objects is said above (`one class`)."
)
LEARNT = (
    "Objects with drb < 0.1 are taken for bogus in training: each is judged by the member that did not see it, but "
    "`unlike` knows them."
)


def strangers(archive: Path, labels: Path, known: Iterable[Known]) -> tuple[Known, ...]:
    """The tidal disruption events of an archive, and what stands for bogus among its `known` objects."""
    source = PacketSource(archive)
    there = set(source.oids())
    named = {row.oid for row in read_labels(labels, (*CLASSES, TDE)).labels if row.label == TDE}
    tdes = [Known(source.fetch(oid), TDE, TDE) for oid in sorted(named & there)]
    stand_ins = (k for k in known if k.origin not in ("real", "simulated") and k.sequence.oid not in named)
    return (*tdes, *stand_ins)


def answers(bundle: Bundle, objects: Sequence[Known]) -> dict[str, dict[str, dict]]:
    """How a bundle answers, by kind (the origin) and n, window last.

    Returns
    -------
    dict
        kind -> n -> `objects`, `said` (how many are most probably of each class), `decided` (one class is named: the
        conformal set has one and the object is not unlike), `unlike`; shares with their 95 % interval.
    """
    asked = [(selection, k) for k in objects if (selection := select_alerts(k.sequence, "last")).used]
    scores = Predictor([bundle]).score([(selection, k.sequence) for selection, k in asked])
    steps = defaultdict(list)
    for (_, known), row in zip(asked, scores, strict=True):
        for scored in row:
            steps[known.origin, scored.n].append(as_step(scored))
    found: dict[str, dict[str, dict]] = {}
    for (kind, n), rows in sorted(steps.items()):
        found.setdefault(kind, {})[str(n)] = _summary(rows)
    return found


def _summary(steps: Sequence[Step]) -> dict:
    said = Counter(max(step.probabilities, key=step.probabilities.get) for step in steps)
    return {
        "objects": len(steps),
        "said": {name: said[name] for name in steps[0].probabilities},
        "decided": share(sum(abstention(step) is None for step in steps), len(steps)),
        "unlike": share(sum((step.unlike or 0.0) >= UNLIKE_ABOVE for step in steps), len(steps)),
    }


def write_strangers(folder: Path, bundle: Bundle, objects: Sequence[Known]) -> None:
    """Measure and write `strangers.json`; without objects there is none."""
    found = answers(bundle, objects) if objects else {}
    (folder / STRANGERS).unlink(missing_ok=True)
    if found:
        (folder / STRANGERS).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def strangers_section(folder: Path, classes: Sequence[str]) -> list[str]:
    """Lines of the card of a bundle with these classes; none where it was not measured."""
    if not (folder / STRANGERS).exists():
        return []
    found: Mapping = json.loads((folder / STRANGERS).read_text(encoding="utf-8"))
    rows = ["| objects | n | how many | most probable class | one class is named [95 %] | unlike |", "|---" * 6 + "|"]
    for kind, lengths in found.items():
        for n, row in lengths.items():
            said = ", ".join(f"{name} {count}" for name, count in row["said"].items() if count)
            decided, unlike = row["decided"], row["unlike"]["value"]
            rows.append(
                f"| {kind} | {n} | {row['objects']} | {said} "
                f"| {decided['value']:.2f} [{decided['low']:.2f}-{decided['high']:.2f}] | {unlike:.2f} |"
            )
    reading = f"{READING} {LEARNT}" if "bogus" in classes else READING
    return ["### TDEs and what stands for bogus, window last (real)", "", *rows, "", reading, ""]
