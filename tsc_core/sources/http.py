"""One polite HTTP session for all services: deadlines, retries, bounded answers, no redirect to strangers.

`Session` is a `requests.Session`, so the `alerce` client and `astroquery`, which have no manners of their own, take
it as theirs. It refuses instead of returning: an answer that comes back has a status below 400 and a whole body.
"""

from __future__ import annotations

import math
import random
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

import tsc_core
from tsc_core.sources.base import SourceError
from tsc_core.sources.deadline import ACTIVE, Bounds, Limits, Watch, WatchedAdapter

__all__ = ["HttpError", "Limits", "Session"]

RETRIED = (429, 502, 503, 504)
UNREACHABLE = ("host name not found", "connection refused", "no connection in time", "no secure connection")
UNREACHABLE_TRIES = 2  # without a network, what is kept on disk should show soon
PATIENT_TRY = 3  # the try that waits as long as is allowed: most answers come soon or never
MAX_HOPS = 3
CHUNK = 1 << 16
USER_AGENT = f"temporal-stamp-classifier/{tsc_core.__version__}"


class HttpError(SourceError):
    """A request without a usable answer.

    Attributes
    ----------
    status : int or None
        The HTTP status where one came.
    passing : bool
        Whether the same request may succeed another time.
    """

    def __init__(self, message: str, status: int | None = None, passing: bool = False) -> None:
        super().__init__(message)
        self.status, self.passing = status, passing


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
        adapter = WatchedAdapter(pool_connections=4, pool_maxsize=self.limits.at_once)
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
    def within(self, until: float = math.inf, max_bytes: int | None = None, try_s: float = math.inf) -> Iterator[None]:
        """Bounds of this thread's requests: their end (`time.monotonic`), the bytes of each answer, a try's seconds."""
        before = ACTIVE.bounds
        ACTIVE.bounds = Bounds(min(until, before.until), max_bytes or before.max_bytes, min(try_s, before.try_s))
        try:
            yield
        finally:
            ACTIVE.bounds = before

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
        until = min(ACTIVE.bounds.until, time.monotonic() + self.limits.object_s)
        host, reason, status = urlsplit(url).hostname, "no time left", None
        for attempt in range(1, self.limits.tries + 1):
            try:
                return self._follow(method, url, given, until, min(1.0, attempt / PATIENT_TRY))
            except _Again as again:
                reason, status = f"{again.reason} ({attempt} {'try' if attempt == 1 else 'tries'})", again.status
                wait = max(again.after, self.limits.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
                last = attempt >= min(again.most, self.limits.tries)
            if last:
                break
            if time.monotonic() + wait >= until:
                raise HttpError(f"{host}: {reason}, no time for another", status, passing=True)
            if self._closing.wait(wait):
                raise HttpError(f"{host}: given up, the session was closed", status, passing=True)
        raise HttpError(f"{host}: {reason}", status, passing=True)

    def _follow(self, method: str, url: str, given: dict, until: float, patience: float) -> requests.Response:
        """One try, with the redirects that stay among the named hosts."""
        for _ in range(MAX_HOPS + 1):
            response = self._once(method, url, given, until, patience)
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

    def _once(self, method: str, url: str, given: dict, until: float, patience: float) -> requests.Response:
        """One request; its whole body is in the response returned."""
        if not self._slots.acquire(timeout=max(0.0, until - time.monotonic())):
            raise HttpError(f"{urlsplit(url).hostname}: no time left while waiting for other requests", passing=True)
        try:
            most = self.limits.connect_s + self.limits.read_s * patience
            left = min(until - time.monotonic(), most, ACTIVE.bounds.try_s)
            if left <= 0:
                raise HttpError(f"{urlsplit(url).hostname}: no time left", passing=True)
            self.sent += 1
            with Watch(left) as watch:
                timeout = min(self.limits.connect_s, left), min(self.limits.read_s * patience, left)
                return self._watched(method, url, given, timeout, watch)
        finally:
            self._slots.release()

    def _watched(
        self, method: str, url: str, given: dict, timeout: tuple[float, float], watch: Watch
    ) -> requests.Response:
        response, seconds = None, timeout[1]
        try:
            response = super().request(method, url, timeout=timeout, stream=True, allow_redirects=False, **given)
            self._refuse(response)
            response._content = self._body(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, zlib.error) as error:
            if response is not None:
                response.close()
            if watch.expired:
                raise _Again(f"no answer within {seconds:.3g} s") from None
            words = _reason(error)
            raise _Again(words, most=UNREACHABLE_TRIES if words in UNREACHABLE else math.inf) from None
        except (HttpError, _Again):
            if response is not None:
                response.close()
            raise
        if watch.expired:  # a body without a stated length ends quietly when the socket is shut
            raise _Again(f"no whole answer within {seconds:.3g} s")
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
        most, host = ACTIVE.bounds.max_bytes or self.limits.max_bytes, urlsplit(response.url).hostname
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
