"""Training batches from a dataset: metadata scaled once and kept, stamps read at random from disk for each batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tsc_core.alerts import Alert, AllWise, Example
from tsc_core.data.store import Dataset
from tsc_core.preprocessing import Preprocessor, collate, select_alerts, window_of
from tsc_core.preprocessing.quality import Window
from tsc_core.preprocessing.transform import scale_stamps
from tsc_core.survey import TEMPORAL_CLASSES, ZTF

if TYPE_CHECKING:
    from tsc_core.alerts import Batch

SQUARE = [(ZTF.stamp_size, ZTF.stamp_size)] * 3  # a selected alert has no other shapes


def windows(
    dataset: Dataset, oids: Iterable[str], n: int, window: Window = "first", fewer: bool = False
) -> Iterator[tuple[tuple[Alert, ...], AllWise | None]]:
    """Detections a model for n takes, and the cross-match, of each object: what `Preprocessor.fit` asks for.

    Stamps are not read. Objects with less than n detections are left out, or with `fewer` given with what they have.
    """
    for sequence in dataset.sequences(oids, pixels=False):
        selection = select_alerts(sequence, window, n)
        alerts = selection.used if fewer else window_of(selection, n)
        if alerts:
            yield alerts, sequence.allwise


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One object, ready but for its pixels.

    `offsets` are the places of the pixels of each detection (-1 without stamps), `fids` their bands, `examples`
    the scaled metadata for each number of detections on offer (their stamps are left empty).
    """

    part: int
    offsets: tuple[int, ...]
    fids: tuple[int, ...]
    examples: dict[int, Example]


class ExampleSet:
    """Examples of some objects of a dataset, for training and for evaluation.

    An example is that of `preprocessor(window_of(select_alerts(...), n), allwise, label)`, bit for bit. Metadata
    are scaled when the set is made; each batch reads its stamps from disk, in memory they are not kept.

    Parameters
    ----------
    dataset : Dataset
    oids : sequence of str
        Which objects, in this order.
    preprocessor : Preprocessor
    model_n : int
        Detections per example.
    window : {"first", "last"}
    classes : tuple of str
        Classes in the order of the model's outputs.
    shorter : bool
        Keep objects with less than n detections too, and let each batch draw the number of detections of each
        object, from 1 to what it has: for models of any length.

    Attributes
    ----------
    oids : tuple of str
        Objects that are in the set.
    labels : ndarray (N,), int64
        Indices into `classes`.
    left_out : dict of str to str
        Objects that are not, with the reason.
    """

    def __init__(
        self,
        dataset: Dataset,
        oids: Sequence[str],
        preprocessor: Preprocessor,
        model_n: int,
        window: Window = "first",
        classes: tuple[str, ...] = TEMPORAL_CLASSES,
        shorter: bool = False,
    ) -> None:
        self.dataset, self.preprocessor, self.classes, self._window = dataset, preprocessor, classes, window
        self.left_out: dict[str, str] = {}
        kept: list[tuple[str, int, _Entry]] = []
        for oid in oids:
            label = dataset.labels[dataset.index(oid)]
            entry = self._entry(oid, model_n, window, shorter) if label in classes else None
            if entry is None:
                why = f"fewer than {1 if shorter else model_n} usable detections" if label in classes else f"is {label}"
                self.left_out[oid] = why
            else:
                kept.append((oid, classes.index(label), entry))
        self.oids = tuple(oid for oid, _, _ in kept)
        self.labels = np.array([label for _, label, _ in kept], dtype=np.int64)
        self._entries = [entry for _, _, entry in kept]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self._entries)

    def __repr__(self) -> str:
        return f"ExampleSet({len(self)} objects of {self.dataset.path.name!r}, {len(self.left_out)} left out)"

    def _entry(self, oid: str, n: int, window: Window, shorter: bool) -> _Entry | None:
        sequence = self.dataset.sequence(oid, pixels=False)
        selection = select_alerts(sequence, window, n)
        lengths = range(1, len(selection.used) + 1) if shorter else range(n, n + 1)
        views = {length: view for length in lengths if (view := window_of(selection, length))}
        if not views:
            return None
        part, places = self.dataset.stamp_places(oid)
        return _Entry(
            part,
            tuple(places.get(alert.candid, -1) for alert in selection.used),
            tuple(alert.fid for alert in selection.used),
            {length: self.preprocessor.metadata(view, sequence.allwise) for length, view in views.items()},
        )

    def example(self, index: int, n: int | None = None) -> Example:
        """One example with its stamps, of n detections (by default as many as there are)."""
        entry = self._entries[index]
        n = max(entry.examples) if n is None else n
        start = 0 if self._window == "first" else len(entry.offsets) - n
        alerts = tuple(
            Alert("", "", 0.0, fid, stamps=None if offset < 0 else self.dataset.read_stamps(entry.part, offset, SQUARE))
            for fid, offset in zip(entry.fids[start : start + n], entry.offsets[start : start + n], strict=True)
        )
        stamps, has_stamps = scale_stamps(alerts, self.preprocessor.config)
        return replace(entry.examples[n], stamps=stamps, has_stamps=has_stamps, label=int(self.labels[index]))

    def batch(self, indices: np.ndarray, rng: np.random.Generator) -> Batch:
        """Examples at `indices` as one batch; `rng` draws numbers of detections and nothing else (`shorter`)."""
        lengths = [self._entries[index].examples for index in indices]
        drawn = [int(rng.integers(1, len(known) + 1)) if len(known) > 1 else None for known in lengths]
        return collate([self.example(int(index), n) for index, n in zip(indices, drawn, strict=True)])


def prefetch(batches: Iterable[Batch], depth: int = 2) -> Iterator[Batch]:
    """The same batches, up to `depth` of them made ahead by a thread; an error in it is raised here."""
    ahead = iter(batches)
    with ThreadPoolExecutor(1, "prefetch") as pool:
        pending = deque(pool.submit(next, ahead, None) for _ in range(depth))
        while (batch := pending.popleft().result()) is not None:
            pending.append(pool.submit(next, ahead, None))
            yield batch
