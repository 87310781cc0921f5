"""How long a request may take and what it may bring, and how it is stopped: for `http.Session` alone."""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, fields, replace

import urllib3
from requests.adapters import HTTPAdapter

from tsc_core.sources.base import SettingError

SETTINGS = "TSC_HTTP"  # e.g. TSC_HTTP="read_s=5 object_s=20 tries=3"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, how often to ask, how much to take.

    Attributes
    ----------
    connect_s, read_s : float
        Seconds to connect, and from there to the last byte of the answer, per try; a first try gets a third of
        `read_s`, a second two thirds.
    object_s : float
        Seconds for all of one object; what has not come by then is named as missing.
    side_s : float
        The same for what an object can do without (AllWISE, upper limits); a third of it for each try.
    tries : int
        Requests at most for one answer.
    backoff_s : float
        Mean wait before the second try; doubles with each.
    at_once : int
        Requests in flight at most.
    max_bytes : int
        Size of an answer at most, also once decompressed.
    """

    connect_s: float = 5.0
    read_s: float = 30.0
    object_s: float = 90.0
    side_s: float = 24.0
    tries: int = 6
    backoff_s: float = 0.25
    at_once: int = 6
    max_bytes: int = 8 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}: needs more than 0")

    @classmethod
    def from_environment(cls) -> Limits:
        """The defaults, changed by ``TSC_HTTP`` ("read_s=5 tries=3").

        Raises
        ------
        SettingError
            For an unknown name or a value that is no number.
        """
        known = {field.name: field.default for field in fields(cls)}
        changes = {}
        for word in os.environ.get(SETTINGS, "").split():
            name, _, text = word.partition("=")
            if name not in known:
                raise SettingError(f"{SETTINGS}: unknown setting {name!r}; there are {', '.join(known)}")
            try:
                changes[name] = type(known[name])(text)
            except ValueError:
                raise SettingError(f"{SETTINGS}: {name} is {text!r}: needs a number") from None
        try:
            return replace(cls(), **changes)
        except ValueError as error:
            raise SettingError(f"{SETTINGS}: {error}") from None


# --- the deadline of one try ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds for the requests of a thread, set by `Session.within`."""

    until: float = math.inf
    max_bytes: int | None = None
    try_s: float = math.inf


class _Active(threading.local):
    """The bounds of a thread, and the watch on its try under way."""

    bounds = Bounds()
    watch: Watch | None = None


ACTIVE = _Active()


class Watch:
    """Shuts the socket of the request under way in this thread when its time is up.

    A read timeout alone restarts with every byte: a server that drips would hold the thread for ever.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._sock = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Watch:
        ACTIVE.watch = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        ACTIVE.watch = None
        self._timer.cancel()
        self._timer.join()

    def attach(self, sock: object) -> None:
        """From now on `sock` is what is shut."""
        with self._lock:
            self._sock = sock
        if self.expired:
            self._expire()

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            if self._sock is not None:
                with suppress(OSError):  # already closed by the other side
                    self._sock.shutdown(2)


class _Watched:
    """Mixin: a connection that tells the watch which socket it waits on."""

    def getresponse(self) -> urllib3.HTTPResponse:
        if ACTIVE.watch is not None:
            ACTIVE.watch.attach(self.sock)
        return super().getresponse()


class _HTTPConnection(_Watched, urllib3.connection.HTTPConnection):
    pass


class _HTTPSConnection(_Watched, urllib3.connection.HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class WatchedAdapter(HTTPAdapter):
    """Connections whose wait a `Watch` can end."""

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        """As `requests` does it, with our kinds of connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
