"""What every session of a server shares: the predictor, open sources, objects already read and classified."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from tsc_core.alerts import AlertSequence, Prediction
from tsc_core.sources import Source, open_source

if TYPE_CHECKING:
    from tsc_core.inference.explain import Explanation
    from tsc_core.inference.predictor import Predictor
    from tsc_core.preprocessing.quality import Window

T = TypeVar("T")
KEPT_OBJECTS, KEPT_SOURCES = 128, 6
LIVE_SECONDS = 300.0  # a live object is asked for again after this
LIVE = "alerce"


class Recent:
    """The most recently used values of some keys, at most `size`, each for at most `seconds`. Thread-safe.

    A value is made by one thread while others that want the same key wait for it; a failure is not kept.
    """

    def __init__(self, size: int, seconds: float = float("inf")) -> None:
        self.size, self.seconds = size, seconds
        self._values: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._making: WeakValueDictionary[Hashable, threading.Lock] = WeakValueDictionary()  # as long as one waits
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value kept under `key`, else `make()`, which is kept."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            found = self._fresh(key)
            if found is None:
                found = (time.monotonic(), make())
            with self._lock:
                self._values[key] = found
                self._values.move_to_end(key)
                while len(self._values) > self.size:
                    self._values.popitem(last=False)
        return found[1]

    def __contains__(self, key: Hashable) -> bool:
        return self._fresh(key) is not None

    def drop(self, key: Hashable) -> None:
        """Forget one key."""
        with self._lock:
            self._values.pop(key, None)

    def _fresh(self, key: Hashable) -> tuple[float, Any] | None:
        with self._lock:
            found = self._values.get(key)
        return found if found and time.monotonic() - found[0] < self.seconds else None


class Desk:
    """Shared by all sessions; what it hands out is immutable, so one session cannot change another's object."""

    def __init__(self) -> None:
        self._sources = Recent(KEPT_SOURCES)
        self._objects: WeakKeyDictionary[Source, Recent] = WeakKeyDictionary()
        self._predictions: WeakKeyDictionary[Source, Recent] = WeakKeyDictionary()
        self._explanations: WeakKeyDictionary[Source, Recent] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._answers = Recent(4 * KEPT_OBJECTS, LIVE_SECONDS)
        self._pool = ThreadPoolExecutor(4, "desk")
        self._predictor: Predictor | None = None

    def source(self, spec: str, window: Window = "first") -> Source:
        """An opened source, kept. Raises what `open_source` raises; the failure is not kept.

        The live source is one for each window, since it asks only for the packets that the window needs.
        """
        if spec != LIVE:
            return self._sources.get(spec, lambda: open_source(spec))
        from tsc_core.sources.alerce import AlerceSource

        return self._sources.get((spec, window), lambda: AlerceSource(window))

    def later(self, key: Hashable, ask: Callable[[], T]) -> Future[T]:
        """Ask a service in the background; the answer is kept for some minutes, a failure until it was seen once."""
        return self._answers.get(key, lambda: self._pool.submit(ask))

    def ask_again(self, key: Hashable) -> None:
        """Forget what `later` found under `key`."""
        self._answers.drop(key)

    def predictor(self) -> Predictor:
        """The predictor over the bundles that ship, loaded once."""
        with self._loading:
            if self._predictor is None:
                import torch

                from tsc_core.inference.predictor import Predictor

                torch.set_num_threads(1)  # sessions share the cores: threads that wait for each other cost tenfold

                self._predictor = Predictor.shipped()
        return self._predictor

    @property
    def ready(self) -> bool:
        """Whether the predictor is loaded."""
        return self._predictor is not None

    def warm(self) -> None:
        """Begin to load the predictor in the background; a failure shows where it is asked for."""
        if self._predictor is None and not self._loading.locked():
            threading.Thread(target=self._load_quietly, name="predictor", daemon=True).start()

    def _load_quietly(self) -> None:
        try:
            self.predictor()
        except (ImportError, OSError, ValueError):
            return  # raised again, and shown, when a page asks for the predictor

    def sequence(self, source: Source, oid: str, fetch: Callable[[], AlertSequence] | None = None) -> AlertSequence:
        """One object, read once. `fetch` replaces ``source.fetch(oid)``, for instance to report progress."""
        return self._kept(self._objects, source).get(oid, fetch or (lambda: source.fetch(oid)))

    def has(self, source: Source, oid: str) -> bool:
        """Whether the object is at hand without asking the source."""
        return oid in self._kept(self._objects, source)

    def replace(self, source: Source, sequence: AlertSequence) -> None:
        """Keep a more complete sequence of an object in place of the one at hand."""
        self.forget(source, sequence.oid)
        self.sequence(source, sequence.oid, lambda: sequence)

    def forget(self, source: Source, oid: str) -> None:
        """Ask for an object anew next time."""
        self._kept(self._objects, source).drop(oid)

    def prediction(self, source: Source, sequence: AlertSequence, window: Window = "first") -> Prediction:
        """What the models say of a sequence, computed once."""
        key = (sequence.oid, id(sequence), window)
        kept = self._kept(self._predictions, source)
        return kept.get(key, lambda: (sequence, self.predictor().predict(sequence, window)))[1]
        # the sequence is kept too, so that its id() stays its own

    def explained(self, source: Source, sequence: AlertSequence, window: Window, n: int) -> bool:
        """Whether `explanation` is at hand."""
        return (sequence.oid, id(sequence), window, n) in self._kept(self._explanations, source)

    def explanation(
        self, source: Source, sequence: AlertSequence, window: Window, n: int, progress: Callable[[int, int], object]
    ) -> Explanation:
        """Why the step after n detections says what it says, computed once.

        `progress` is told how many detections' stamps are done, and how many there are.
        """

        def make() -> tuple[AlertSequence, Explanation]:
            from tsc_core.inference.explain import explain

            return sequence, explain(self.predictor(), sequence, window, n, progress=progress)

        return self._kept(self._explanations, source).get((sequence.oid, id(sequence), window, n), make)[1]

    def _kept(self, group: WeakKeyDictionary[Source, Recent], source: Source) -> Recent:
        with self._lock:
            if source not in group:
                group[source] = Recent(KEPT_OBJECTS, LIVE_SECONDS if source.name == LIVE else float("inf"))
            return group[source]


@cache
def desk() -> Desk:
    """The one desk of this process."""
    return Desk()
