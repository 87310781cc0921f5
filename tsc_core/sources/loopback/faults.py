"""What a service can do wrong, on demand: late, refused, silent, cut, wrong, endless."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

ACTIONS = {
    "status": "an error page (HTML) with the status after the colon, e.g. status:503",
    "hang": "no answer at all",
    "drip": "one byte at a time",
    "cut": "half the body, then the connection is closed",
    "short": "half the body, as if it were whole",
    "html": "a page instead of the answer, status 200",
    "empty": "an empty body, status 200",
    "other": "the packet of another object",
    "huge": "1 GB of zeros, unannounced",
    "bomb": "1 GB of zeros, gzipped",
    "redirect": "a redirect to the address after the colon",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with some requests.

    Attributes
    ----------
    route : str
        Regular expression, searched in "METHOD /path?query".
    action : str
        One of `ACTIONS`, with its argument after a colon.
    times : int or None
        How many requests it strikes (each different one counted apart); None: all.
    retry_after : str or None
        Value of that header, for status faults.
    """

    route: str
    action: str
    times: int | None = None
    retry_after: str | None = None

    def __post_init__(self) -> None:
        kind, _, argument = self.action.partition(":")
        if kind not in ACTIONS:
            raise ValueError(f"unknown fault {kind!r}; there are {', '.join(ACTIONS)}")
        if kind == "status" and not re.fullmatch(r"[45]\d\d", argument):
            raise ValueError(f"fault {self.action!r}: needs a status from 400 to 599, e.g. status:503")
        if kind == "redirect" and not argument:
            raise ValueError("fault 'redirect': needs an address, e.g. redirect:http://example.org/")
        try:
            re.compile(self.route)
        except re.error as error:
            raise ValueError(f"fault route {self.route!r} is no regular expression ({error})") from None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """A fault from "ROUTE=ACTION" or "ROUTE=ACTION*TIMES", as on the command line."""
        route, sign, action = text.rpartition("=")
        if not sign:
            raise ValueError(f"{text!r} is not ROUTE=ACTION")
        action, _, times = action.partition("*")
        return cls(route, action, int(times) if times else None)


@dataclass(frozen=True, slots=True)
class Faults:
    """How a server misbehaves.

    Attributes
    ----------
    latency_s : float
        Wait before every answer.
    errors, hangs : float
        Fractions of requests answered by 502, and not at all. Which ones depends on `seed`, the request and how
        often it was repeated, not on the order of arrival.
    rules : sequence of Fault
        Looked at first.
    seed : int
    """

    latency_s: float = 0.0
    errors: float = 0.0
    hangs: float = 0.0
    rules: Sequence[Fault] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.errors >= 0 and self.hangs >= 0 and self.errors + self.hangs <= 1 and self.latency_s >= 0):
            raise ValueError(f"fractions of errors {self.errors} and hangs {self.hangs} need a sum within 0 and 1")


class FaultBook:
    """Says, request by request, what goes wrong with it."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._seen: Counter[object] = Counter()
        self._lock = threading.Lock()

    def next(self, target: str) -> Fault | None:
        """The fault of this request ("METHOD /path?query"), None if it is answered properly."""
        with self._lock:
            self._seen[target] += 1
            repeat = self._seen[target]
            for place, rule in enumerate(self.faults.rules):
                if re.search(rule.route, target) and (rule.times is None or self._seen[place, target] < rule.times):
                    self._seen[place, target] += 1
                    return rule
        drawn = _uniform(self.faults.seed, target, repeat)
        if drawn < self.faults.errors:
            return Fault("", "status:502")
        return Fault("", "hang") if drawn < self.faults.errors + self.faults.hangs else None


def _uniform(*words: object) -> float:
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=7).digest()) / 2**56
