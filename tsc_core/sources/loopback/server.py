"""The loopback server: ALeRCE's paths and the cross-match over HTTP/1.1, every request written down."""

from __future__ import annotations

import email.parser
import email.policy
import io
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import fastavro

from tsc_core.sources.loopback.answers import ArchiveAnswers, compressed_json, cross_match, stamp_file
from tsc_core.sources.loopback.faults import Fault, FaultBook, Faults
from tsc_core.sources.packets import PacketSource

HOST = "127.0.0.1"
XMATCH_PATH = "/xmatch/api/v1/sync"
ROUTES = {
    "objects": "/ztf/v1/objects",
    "single_object": "/ztf/v1/objects/%s",
    "detections": "/ztf/v1/objects/%s/detections",
    "non_detections": "/ztf/v1/objects/%s/non_detections",
    "lightcurve": "/ztf/v1/objects/%s/lightcurve",
    "probabilities": "/ztf/v1/objects/%s/probabilities",
}
PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><p>nginx</p></body></html>"
JSON, HTML, AVRO = "application/json", "text/html; charset=utf-8", "application/octet-stream"
GIGABYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it: "METHOD /path?query", times (`time.monotonic`), status, fault."""

    target: str
    started: float
    ended: float
    status: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, kind and body of an answer."""

    status: int
    kind: str
    body: bytes
    encoding: str | None = None


def _page(status: int, words: str) -> Answer:
    return Answer(status, HTML, PAGE.format(f"{status} {words}").encode())


NOT_FOUND = _page(404, "Not Found")


def _status(fault: Fault) -> int:
    """The status that goes out with a fault; 0 for none."""
    kind, _, argument = fault.action.partition(":")
    return {"hang": 0, "redirect": 302, "status": int(argument) if kind == "status" else 0}.get(kind, 200)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece
    server: LoopbackServer

    def log_message(self, *_: object) -> None:
        """Nothing: `LoopbackServer.requests` has it."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _serve(self, body: bytes) -> None:
        started, target = time.monotonic(), f"{self.command} {self.path}"
        fault = self.server.book.next(target)
        self.server.stopping.wait(self.server.book.faults.latency_s)
        answer = self.server.answer(self.command, self.path, self.headers, body) if fault is None else None
        status = answer.status if answer else _status(fault)
        # Written down before it is sent: who has an answer in hand finds its request in the list.
        self.server.note(Request(target, started, time.monotonic(), status, fault.action if fault else None))
        try:
            if answer:
                self._send(answer)
            else:
                self._misbehave(fault, body)
            self.wfile.flush()
        except OSError:  # the client went away
            self.close_connection = True

    def _send(self, answer: Answer, length: int | None = None, **headers: str) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body) if length is None else length))
        if answer.encoding:
            self.send_header("Content-Encoding", answer.encoding)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(answer.body)

    def _misbehave(self, fault: Fault, body: bytes) -> None:
        """Answer as `fault` says."""
        kind, _, argument = fault.action.partition(":")
        if kind == "hang":
            self.server.stopping.wait(self.server.hang_s)
            self.close_connection = True
            return None
        if kind == "status":
            after = {"Retry_After": fault.retry_after} if fault.retry_after else {}
            return self._send(_page(int(argument), "Bad Gateway" if argument == "502" else "Error"), **after)
        if kind == "redirect":
            return self._send(_page(302, "Found"), Location=argument)
        if kind in ("huge", "bomb"):
            return self._endless(kind == "bomb")
        good = self.server.answer(self.command, self.path, self.headers, body)
        half = good.body[: len(good.body) // 2]
        if kind == "cut":
            self.close_connection = True
            return self._send(Answer(good.status, good.kind, half, good.encoding), len(good.body))
        if kind == "drip":
            return self._drip(good)
        plain = zlib.decompress(good.body, 31) if good.encoding else good.body
        wrong = {
            "short": Answer(200, good.kind, plain[: len(plain) // 2]),
            "html": _page(200, "Maintenance"),
            "empty": Answer(200, good.kind, b""),
            "other": self.server.other(self.path),
        }
        return self._send(wrong[kind])

    def _endless(self, gzipped: bool) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", AVRO)
        if gzipped:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        squeeze, zeros = zlib.compressobj(1, wbits=31), bytes(1 << 20)
        for _ in range(GIGABYTE >> 20):
            self.wfile.write(squeeze.compress(zeros) if gzipped else zeros)
        self.wfile.write(squeeze.flush() if gzipped else b"")

    def _drip(self, answer: Answer) -> None:
        self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        for byte in answer.body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.stopping.wait(0.05):
                break


class LoopbackServer(ThreadingHTTPServer):
    """ALeRCE and the cross-match over one archive, on this machine only.

    Use as a context manager: it serves from entry to exit, in threads of its own.

    Parameters
    ----------
    archive : PacketSource
    faults : Faults
        What goes wrong.
    sources : sequence of dict
        AllWISE sources (`answers.read_sources`).
    lost : collection of str
        Candids whose packets are "gone from the store".
    port : int
        0 for any free one.
    hang_s : float
        How long a hanging request is held.

    Attributes
    ----------
    requests : list of Request
        All requests answered so far.
    connections : int
        Connections accepted so far.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        archive: PacketSource,
        faults: Faults | None = None,
        sources: Sequence[dict[str, str]] = (),
        lost: Sequence[str] = (),
        port: int = 0,
        hang_s: float = 120.0,
    ) -> None:
        super().__init__((HOST, port), _Handler)
        self.answers = ArchiveAnswers(archive)
        self.book, self.sources, self.lost, self.hang_s = (
            FaultBook(faults or Faults()),
            sources,
            frozenset(lost),
            hang_s,
        )
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._noting = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="loopback", daemon=True)

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection, and count it."""
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off in mid-request is no event here."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_port}"

    def misbehave(self, faults: Faults) -> None:
        """From now on go wrong as `faults` says; the list of requests begins anew."""
        self.book, self.requests = FaultBook(faults), []

    def write_config(self, path: Path) -> dict[str, str]:
        """Write the client's configuration; the environment variables that lead everything here."""
        ztf = {"ZTF_API_URL": self.url, "ZTF_ROUTES": ROUTES}
        avro = {"AVRO_URL": self.url, "AVRO_ROUTES": {"get_stamp": "/get_stamp", "get_avro": "/get_avro"}}
        unused = {
            "multisurvey": {"URL_MS": self.url, "ROUTES_MS": {}},
            "stamps": {"STAMP_URL": self.url, "AVRO_ROUTES": {}},
        }
        path.write_text(json.dumps({"ztf": ztf, "stamps_ztf": avro, **unused}, indent=2), encoding="utf-8")
        return {"ALERCE_CONFIG_PATH": str(path), "TSC_XMATCH_URL": self.url + XMATCH_PATH}

    def note(self, request: Request) -> None:
        """Write a request down."""
        with self._noting:
            self.requests.append(request)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The proper answer to a request."""
        parts = urlsplit(target)
        params = parse_qs(parts.query)
        try:
            if parts.path.startswith("/xmatch/"):
                return self._cross_match(method, headers, body)
            if parts.path.startswith("/get_"):
                return self._packet(parts.path, params)
            answer = self._api(parts.path, params)
        except (KeyError, ValueError):
            return Answer(400, JSON, b'{"errors": {"params": "not understood"}, "detail": "Bad Request"}')
        return NOT_FOUND if answer is None else Answer(200, JSON, compressed_json(answer), "gzip")

    def other(self, target: str) -> Answer:
        """The packet of an object other than the one asked for."""
        asked = parse_qs(urlsplit(target).query).get("oid", [""])[0]
        stranger = next((oid for oid in sorted(self.answers.oids) if oid != asked), None)
        packets = self.answers.packets(stranger) if stranger else {"": b""}
        return Answer(200, AVRO, next(iter(packets.values())))

    def _api(self, path: str, params: Mapping[str, list[str]]) -> object:
        answers = self.answers
        if path.rstrip("/") == ROUTES["objects"]:
            return answers.objects(params)
        found = re.fullmatch(r"/ztf/v1/objects/(\w+)(?:/(\w+))?", path)
        if not found or found[1] not in answers.oids:
            return None
        made: dict[str | None, Callable[[str], object]] = {
            None: answers.object,
            "detections": answers.detections,
            "non_detections": answers.non_detections,
            "probabilities": answers.probabilities,
            "lightcurve": lambda oid: {
                "detections": answers.detections(oid),
                "non_detections": answers.non_detections(oid),
            },
        }
        return made[found[2]](found[1]) if found[2] in made else None

    def _packet(self, path: str, params: Mapping[str, list[str]]) -> Answer:
        oid, candid = params["oid"][0], params["candid"][0]
        raw = self.answers.packets(oid).get(candid) if oid in self.answers.oids and candid not in self.lost else None
        if raw is None:
            return NOT_FOUND
        if path == "/get_avro":
            return Answer(200, AVRO, raw)
        packet = next(fastavro.reader(io.BytesIO(raw)))
        if path == "/get_avro_info":
            return Answer(200, JSON, compressed_json(packet["candidate"]), "gzip")
        if path == "/get_stamp" and params.get("format", [""])[0] == "fits":
            stamp = stamp_file(packet, params["type"][0])
            return Answer(200, "application/fits", stamp) if stamp else NOT_FOUND
        return NOT_FOUND

    def _cross_match(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if method == "GET":  # the list of tables, which astroquery by itself asks for first
            return Answer(200, "text/plain", b"II/328/allwise\n")
        form = _form(headers["Content-Type"], body)
        columns = form["colRA1"], form["colDec1"]
        found = cross_match(form["cat1"], columns, float(form["distMaxArcsec"]), self.sources)
        return Answer(200, "application/x-votable+xml", found)


def _form(kind: str, body: bytes) -> dict[str, str]:
    """Fields of a multipart form."""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + body
    )
    fields = {}
    for part in message.iter_parts():
        with suppress(KeyError):
            fields[part.get_param("name", header="content-disposition")] = part.get_payload(decode=True).decode()
    return fields
