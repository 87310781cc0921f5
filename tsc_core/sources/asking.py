"""Questions about one object, put at the same time, each with the time by which its answer is no longer awaited."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from tsc_core.sources.base import SourceError
from tsc_core.sources.http import HttpError, Session

GRACE_S = 0.5  # a request ends by its deadline by itself, but for the look-up of a host name, which nothing can stop
T = TypeVar("T")


class Asking:
    """Threads for one object; to be used as a context manager.

    Parameters
    ----------
    session : Session
        Its limits hold.
    seconds : float
        For all questions together.
    """

    def __init__(self, session: Session, seconds: float) -> None:
        self._session, self._until = session, time.monotonic() + seconds
        self._pool = ThreadPoolExecutor(session.limits.at_once + 1, "alerce")  # a list may outlast the packets
        self._ends: dict[Future, float] = {}

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=all(future.done() for future in self._ends), cancel_futures=True)

    @property
    def time_left(self) -> bool:
        """Whether another request could still be answered."""
        return time.monotonic() < self._until

    def ask(self, question: Callable[..., T], *args: object) -> Future[T]:
        """Put a question in a thread; its requests end by the deadline of the object."""
        return self._put(self._until, math.inf, question, *args)

    def ask_aside(self, question: Callable[..., T], *args: object) -> Future[T]:
        """As `ask`, for what the object can do without: with less patience."""
        side_s = self._session.limits.side_s
        return self._put(min(self._until, time.monotonic() + side_s), side_s / 3, question, *args)

    def outcome(self, future: Future[T]) -> tuple[T | None, SourceError | None]:
        """The answer, or why there is none."""
        try:
            return future.result(max(0.0, self._ends[future] + GRACE_S - time.monotonic())), None
        except SourceError as error:
            return None, error
        except TimeoutError:
            return None, HttpError("no answer in time, and no end of the request", passing=True)

    def completed(self, futures: Iterable[Future[T]]) -> Iterator[Future[T]]:
        """Futures as they end; at the deadline those that have not."""
        pending = set(futures)
        while pending:
            left = max(self._ends[future] for future in pending) + GRACE_S - time.monotonic()
            done, pending = wait(pending, max(0.0, left), FIRST_COMPLETED)
            if not done:
                done, pending = pending, set()
            yield from done

    def _put(self, until: float, try_s: float, question: Callable[..., T], *args: object) -> Future[T]:
        def within() -> T:
            with self._session.within(until, try_s=try_s):
                return question(*args)

        future = self._pool.submit(within)
        self._ends[future] = until
        return future
