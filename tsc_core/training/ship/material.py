"""What the shipped bundles learn from: made objects and real ones, kept apart by origin, real ones in folds."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tsc_core.alerts import Alert, AlertSequence
from tsc_core.config import ModelConfig
from tsc_core.data.labels import read_labels
from tsc_core.data.simulate.archive import made_sequence
from tsc_core.data.simulate.population import MadeObject, Recipe, simulate_each
from tsc_core.preprocessing import select_alerts, window_of
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import CLASSES, MAX_DETECTIONS

FOLDS = 8
BOGUS_BELOW = 0.1  # drb of a real alert that stands for bogus where nobody labelled any
SLIDES = 6  # windows that one object gives at most
PACKET_ALONE = ("sgscore", "distpsnr", "sgmag", "srmag", "simag", "szmag", "objectidps")  # and a rank
PACKET_FIELDS = {
    "ndethist", "ncovhist", "jdstarthist", "jdendhist", "neargaia", "maggaia", "neargaiabright", "drb", "nmtchps",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """One object with its class, and who says so.

    `origin` is "simulated", "real", or "real, drb < 0.1" for the bogus proxy.
    """

    sequence: AlertSequence
    label: str
    origin: str
    label_source: str = ""

    @property
    def is_real(self) -> bool:
        """Whether the alerts came from the sky."""
        return self.origin != "simulated"


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Everything a training of the shipped bundles uses.

    Attributes
    ----------
    simulated, real : tuple of Known
        With classes. Real ones include bogus proxies.
    unlabelled : tuple of AlertSequence
        Real, without class: for scaling and for the encoder, never for classes.
    folds : dict of oid to int
        Fold of each real labelled object, dealt within each class.
    """

    simulated: tuple[Known, ...]
    real: tuple[Known, ...]
    unlabelled: tuple[AlertSequence, ...]
    folds: dict[str, int]

    @property
    def fold_count(self) -> int:
        """Number of folds; without real objects, of members that differ in their seeds alone."""
        return max(self.folds.values(), default=FOLDS - 1) + 1

    @property
    def sequences(self) -> Iterable[AlertSequence]:
        """All sequences, labelled or not."""
        yield from (known.sequence for known in (*self.simulated, *self.real))
        yield from self.unlabelled


def simulated(count: int, seed: int, processes: int = 1, packets: int = MAX_DETECTIONS) -> tuple[Known, ...]:
    """Made objects of the five classes in equal numbers, of `packets` at most, with their AllWISE matches."""
    made = simulate_each(_made, count, seed, Recipe(CLASSES, packets), processes)
    return tuple(Known(sequence, sequence.label, "simulated") for sequence in made)


def _made(made: MadeObject) -> AlertSequence:
    return made_sequence(made)


def real(archive: Path, labels: Path) -> tuple[tuple[Known, ...], tuple[AlertSequence, ...]]:
    """Labelled objects and bogus proxies of an archive of packets, and the objects without a class."""
    source, named = PacketSource(archive), {row.oid: row for row in read_labels(labels).labels}
    known, unlabelled = [], []
    for oid in source.oids():
        sequence = source.fetch(oid)
        if oid in named:
            known.append(Known(sequence, named[oid].label, "real", named[oid].source))
        elif sequence.alerts[-1].value("drb") < BOGUS_BELOW:
            known.append(Known(sequence, "bogus", f"real, drb < {BOGUS_BELOW}"))
        else:
            unlabelled.append(sequence)
    return tuple(known), tuple(unlabelled)


def deal_folds(known: Sequence[Known], folds: int = FOLDS, deal: str = "") -> dict[str, int]:
    """A fold for each object, even within each class, in an order that only the ids (and the `deal`) decide."""
    by_label = defaultdict(list)
    for item in known:
        by_label[item.label].append(item.sequence.oid)
    dealt = {}
    for label in CLASSES:
        ordered = sorted(by_label[label], key=lambda oid: hashlib.sha256(f"{deal}{oid}".encode()).hexdigest())
        dealt |= {oid: place % folds for place, oid in enumerate(ordered)}
    return dealt


def views(known: Known, model: ModelConfig) -> list[tuple[Alert, ...]]:
    """The windows of one object that a model is trained on, the one that ends with its newest packet first.

    Real objects mostly have one packet and a history without stamps, so windows slide back through it. Made
    objects give their first n detections with stamps and, as real archives have it, their last n with the
    earlier ones as history.
    """
    lengths = range(1, model.n + 1) if model.kind == "unified" else (model.n,)
    found = []
    for n in lengths:
        last = select_alerts(known.sequence, "last", n + SLIDES - 1 if n > 1 else 1)
        if known.is_real:
            found += _slides(last.used, n)
        else:
            found += [w for w in (window_of(select_alerts(known.sequence, "first", n), n),) if w]
            found += [as_history(w) for w in (window_of(last, n),) if w and n > 1]
    return [window for window in found if n > 1 or any(alert.has_stamps for alert in window)]


def _slides(used: tuple[Alert, ...], n: int) -> list[tuple[Alert, ...]]:
    """Windows of n from the newest back; the newest, which has the packet's own record, as often as all others."""
    found = [used[end - n : end] for end in range(len(used), n - 1, -1)]
    return found[:1] * (len(found) - 1) + found


def as_history(window: tuple[Alert, ...]) -> tuple[Alert, ...]:
    """The window with all but its newest alert as they would stand in that packet's `prv_candidates`."""
    return (*(_bare(alert) for alert in window[:-1]), window[-1])


def _bare(alert: Alert) -> Alert:
    kept = {
        name: value
        for name, value in alert.record.items()
        if name not in PACKET_FIELDS and not name.startswith(PACKET_ALONE)
    }
    return replace(alert, stamps=None, missing="history", record=kept)


__all__ = ["FOLDS", "Known", "Material", "as_history", "deal_folds", "real", "simulated", "views"]
