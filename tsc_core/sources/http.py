"""One polite HTTP session for all services: deadlines, retries, bounded answers, no redirect to strangers.

`Session` is a `requests.Session`, so the `alerce` client and `astroquery`, which have no manners of their own, take
it as theirs. It refuses instead of returning: an answer that comes back has a status below 400 and a whole body.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

import tsc_core
from tsc_core.sources.base import SourceError

RETRIED = (429, 502, 503, 504)
UNREACHABLE = ("host name not found", "connection refused", "no secure connection")
UNREACHABLE_TRIES = 2  # without a network, what is kept on disk should show soon
MAX_HOPS = 3
CHUNK = 1 << 16
USER_AGENT = f"temporal-stamp-classifier/{tsc_core.__version__}"
SETTINGS = "TSC_HTTP"  # e.g. TSC_HTTP="read_s=5 object_s=20 tries=3"


class HttpError(SourceError):
    """A request without a usable answer; `status` is the HTTP status where one came."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, how often to ask, how much to take.

    Attributes
    ----------
    connect_s, read_s : float
        Seconds to connect, and from there to the last byte of the answer, per try.
    object_s : float
        Seconds for all of one object; what has not come by then is named as missing.
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
        ValueError
            For an unknown name or a value that is no number.
        """
        known = {field.name: field.default for field in fields(cls)}
        changes = {}
        for word in os.environ.get(SETTINGS, "").split():
            name, _, text = word.partition("=")
            if name not in known:
                raise ValueError(f"{SETTINGS}: unknown setting {name!r}; there are {', '.join(known)}")
            try:
                changes[name] = type(known[name])(text)
            except ValueError:
                raise ValueError(f"{SETTINGS}: {name} is {text!r}: needs a number") from None
        return replace(cls(), **changes)


# --- the deadline of one try ----------------------------------------------------------------------------------

_active = threading.local()  # .watch: of the try under way; .until, .max_bytes: set by Session.within


class _Watch:
    """Shuts the socket of the request under way in this thread when its time is up.

    A read timeout alone restarts with every byte: a server that drips would hold the thread for ever.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._sock = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        _active.watch = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        _active.watch = None
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
        watch = getattr(_active, "watch", None)
        if watch is not None:
            watch.attach(self.sock)
        return super().getresponse()


class _HTTPConnection(_Watched, urllib3.connection.HTTPConnection):
    pass


class _HTTPSConnection(_Watched, urllib3.connection.HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


# --- the session ----------------------------------------------------------------------------------------------


class _Again(Exception):
    """A try that failed in a way worth repeating, `most` times; the server asked to wait `after` seconds."""

    def __init__(self, reason: str, status: int | None = None, after: float = 0.0, most: float = math.inf) -> None:
        super().__init__(reason)
        self.reason, self.status, self.after, self.most = reason, status, after, most


class Session(requests.Session):
    """A pooled session, to be shared between threads.

    Parameters
    ----------
    limits : Limits, optional
        `Limits.from_environment()` by default.

    Attributes
    ----------
    hosts : set of (scheme, network location)
        Where redirects may lead, besides the host asked.
    sent : int
        Requests sent so far, tries included.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__()
        self.limits = limits or Limits.from_environment()
        self.hosts: set[tuple[str, str]] = set()
        self.sent = 0
        self.headers["User-Agent"] = USER_AGENT
        self.headers["Accept-Encoding"] = "gzip"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.max_redirects = 0
        adapter = _Adapter(pool_connections=4, pool_maxsize=self.limits.at_once)
        self.mount("http://", adapter)
        self.mount("https://", adapter)
        self._slots = threading.BoundedSemaphore(self.limits.at_once)
        self._closing = threading.Event()

    def __reduce__(self) -> None:
        raise TypeError("a Session holds sockets and locks: it cannot be copied")

    def close(self) -> None:
        """Close the connections; requests waiting for another try give up."""
        self._closing.set()
        super().close()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: `requests` follows nothing by itself, `request` below does, after a look at the host."""
        return None

    @contextmanager
    def within(self, until: float, max_bytes: int | None = None) -> Iterator[None]:
        """Requests of this thread end by `until` (`time.monotonic` seconds) and take at most `max_bytes`."""
        before = getattr(_active, "until", None), getattr(_active, "max_bytes", None)
        _active.until, _active.max_bytes = min(until, before[0] or until), max_bytes or before[1]
        try:
            yield
        finally:
            _active.until, _active.max_bytes = before

    def request(self, method: str, url: str, **kwargs: object) -> requests.Response:
        """Ask until an answer comes, the tries are used up, or the time is.

        Takes `params`, `data`, `files`, `headers`, `json`; whatever else a client passes (time limits, streaming,
        redirects) is this session's own business.

        Raises
        ------
        HttpError
            Without a usable answer.
        """
        given = {name: kwargs[name] for name in ("params", "data", "files", "headers", "json") if kwargs.get(name)}
        until = getattr(_active, "until", None) or time.monotonic() + self.limits.object_s
        host, reason, status = urlsplit(url).hostname, "no time left", None
        for attempt in range(1, self.limits.tries + 1):
            try:
                return self._follow(method, url, given, until)
            except _Again as again:
                reason, status = f"{again.reason} ({attempt} {'try' if attempt == 1 else 'tries'})", again.status
                wait = max(again.after, self.limits.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
                last = attempt >= min(again.most, self.limits.tries)
            if last:
                break
            if time.monotonic() + wait >= until:
                raise HttpError(f"{host}: {reason}, no time for another", status)
            if self._closing.wait(wait):
                raise HttpError(f"{host}: given up, the session was closed", status)
        raise HttpError(f"{host}: {reason}", status)

    def _follow(self, method: str, url: str, given: dict, until: float) -> requests.Response:
        """One try, with the redirects that stay among the named hosts."""
        for _ in range(MAX_HOPS + 1):
            response = self._once(method, url, given, until)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            url, given = self._target(url, response), {**given, "params": None}
        raise HttpError(f"{urlsplit(url).hostname}: more than {MAX_HOPS} redirects")

    def _target(self, url: str, response: requests.Response) -> str:
        """Where a redirect leads, if that is allowed: the same or another named host, never from https to http."""
        target = urljoin(url, response.headers.get("Location", ""))
        old, new = urlsplit(url), urlsplit(target)
        downgrade = old.scheme == "https" and new.scheme != "https"
        upgrade = (old.scheme, new.scheme) == ("http", "https") and old.hostname == new.hostname
        known = {(old.scheme, old.netloc), *self.hosts}
        if downgrade or not (upgrade or (new.scheme, new.netloc) in known):
            raise HttpError(f"{old.hostname}: redirected to another host ({new.netloc[:80]!r}), refused")
        return target

    def _once(self, method: str, url: str, given: dict, until: float) -> requests.Response:
        """One request; its whole body is in the response returned."""
        if not self._slots.acquire(timeout=max(0.0, until - time.monotonic())):
            raise HttpError(f"{urlsplit(url).hostname}: no time left while waiting for other requests")
        try:
            left = min(until - time.monotonic(), self.limits.connect_s + self.limits.read_s)
            if left <= 0:
                raise HttpError(f"{urlsplit(url).hostname}: no time left")
            self.sent += 1
            with _Watch(left) as watch:
                return self._watched(method, url, given, left, watch)
        finally:
            self._slots.release()

    def _watched(self, method: str, url: str, given: dict, left: float, watch: _Watch) -> requests.Response:
        response, timeout = None, (min(self.limits.connect_s, left), min(self.limits.read_s, left))
        try:
            response = super().request(method, url, timeout=timeout, stream=True, allow_redirects=False, **given)
            self._refuse(response)
            response._content = self._body(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, zlib.error) as error:
            if response is not None:
                response.close()
            if watch.expired:
                raise _Again(f"no answer within {left:.3g} s") from None
            words = _reason(error)
            raise _Again(words, most=UNREACHABLE_TRIES if words in UNREACHABLE else math.inf) from None
        except (HttpError, _Again):
            if response is not None:
                response.close()
            raise
        if watch.expired:  # a body without a stated length ends quietly when the socket is shut
            raise _Again(f"no whole answer within {left:.3g} s")
        response._content_consumed = True  # the connection goes back to the pool
        response.close()
        return response

    def _refuse(self, response: requests.Response) -> None:
        """Raise for an error status; what the error page says is not repeated, it may be anything."""
        status, host = response.status_code, urlsplit(response.url).hostname
        if status in RETRIED:
            raise _Again(f"HTTP {status}", status, _retry_after(response))
        if status >= 400:
            raise HttpError(f"{host}: HTTP {status}", status)

    def _body(self, response: requests.Response) -> bytes:
        """The body, decompressed, of at most the allowed size."""
        most, host = getattr(_active, "max_bytes", None) or self.limits.max_bytes, urlsplit(response.url).hostname
        too_big = HttpError(f"{host}: an answer above {most >> 20} MB, refused")
        stated = response.headers.get("Content-Length", "")
        if stated.isdecimal() and int(stated) > most:
            raise too_big
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise HttpError(f"{host}: an answer in an encoding that was not asked for")
        inflate, body = zlib.decompressobj(wbits=31), bytearray()
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            body += inflate.decompress(chunk, most + 1 - len(body)) if encoding == "gzip" else chunk
            if len(body) > most or inflate.unconsumed_tail:
                raise too_big
        if encoding == "gzip" and body and not inflate.eof:
            raise ValueError("a gzip stream that is cut")
        return bytes(body)


def _reason(error: Exception) -> str:
    """What went wrong, without addresses of objects or nested exceptions."""
    text = str(error)
    for sign, words in {
        "NameResolution": "host name not found",
        "refused": "connection refused",
        "ConnectTimeout": "no connection in time",
        "timed out": "no answer in time",
        "SSL": "no secure connection",
        "IncompleteRead": "the answer is cut",
        "InvalidChunkLength": "the answer is cut",
        "gzip": "the answer is cut",
    }.items():
        if sign in text or sign in type(error).__name__:
            return words
    return "connection broken"


def _retry_after(response: requests.Response) -> float:
    """Seconds that ``Retry-After`` asks for, given as a number or a date; 0 without one."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
