"""The browser's part of the app, answered from memory: sixty small files stand before the first thing on a page."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Server = Callable[[Scope, Receive, Send], Awaitable[None]]

FOR_GOOD = b"public, immutable, max-age=31536000"  # their names carry a digest of what is in them


class Assets:
    """ASGI middleware: plain GET requests for files of a folder are answered from memory, all others passed on.

    The bytes and the rule for caches are those of Streamlit's own handler, which opens, checks and streams each file
    anew. Only files that lay there when the server started are known: no path is ever made from a request. What was
    asked for once stays in memory, at most the size of the folder (25 MB).

    Parameters
    ----------
    app : ASGI application
    folder : Path
        Files whose names change with their contents.
    prefix : str
        Of their addresses, with slashes at both ends.
    early : iterable of str
        Names of modules (without digest and suffix) that pages need soon. They are announced with the HTML, so that the
        browser has them before it knows that it needs them.
    """

    def __init__(self, app: Server, folder: Path, prefix: str, early: Iterable[str] = ()) -> None:
        self.app = app
        files = (path for path in folder.rglob("*") if path.is_file())
        self.files = {prefix + path.relative_to(folder).as_posix(): path for path in files}
        self.kept: dict[str, bytes] = {}
        self.links = ", ".join(f"<{prefix}{name}>; rel=modulepreload" for name in modules(folder, early)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        address = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "GET" or address not in self.files or _special(scope):
            await self.app(scope, receive, self._announcing(send) if self.links else send)
            return
        if address not in self.kept:
            try:
                self.kept[address] = self.files[address].read_bytes()
            except OSError:  # Streamlit was renewed below a running server
                await self.app(scope, receive, send)
                return
        body, kind = self.kept[address], _kind(address)
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", FOR_GOOD),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _announcing(self, send: Send) -> Send:
        """Sends messages on, HTML with the names of the modules to come."""

        async def announced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if any(name == b"content-type" and kind.startswith(b"text/html") for name, kind in headers):
                    message = {**message, "headers": [*headers, (b"link", self.links)]}
            await send(message)

        return announced


def modules(folder: Path, names: Iterable[str]) -> list[str]:
    """Paths below a folder of the modules of these names and of all that they import."""
    waiting = [path for name in names for path in sorted(folder.rglob(f"{name}.*.js"))]
    found: dict[Path, None] = {}
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_file():
            found[path] = None
            imported = re.findall(r'(?:from|import)"\./([\w.-]+\.js)"', path.read_text(encoding="utf-8"))
            waiting += [path.parent / name for name in imported]
    return [path.relative_to(folder).as_posix() for path in found]


def _special(scope: Scope) -> bool:
    """Whether a part of the file is asked for, or only a newer one."""
    return any(name in (b"range", b"if-none-match", b"if-modified-since") for name, _ in scope["headers"])


def _kind(address: str) -> str:
    """The content type; those of scripts and styles do not depend on the machine's own table."""
    known = {".js": "text/javascript", ".css": "text/css"}
    return known.get(Path(address).suffix) or mimetypes.guess_type(address)[0] or "application/octet-stream"
