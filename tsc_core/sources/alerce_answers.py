"""Reading what ALeRCE answers: JSON -> the project's words, with every id, number and word looked at."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from tsc_core.alerts import Alert, UpperLimit
from tsc_core.sources.base import BadPacket, Packet, SourceError, check_exposure
from tsc_core.sources.packets import decode_packets
from tsc_core.survey import check_oid

MAX_ITEMS = 50_000  # of one answer; the richest ZTF objects have some thousand detections
CANDID = re.compile(r"[0-9]{1,20}", re.ASCII)
WORD = re.compile(r"[\w .:,+()/-]{0,80}", re.ASCII)  # nothing that means something to HTML, a shell or a path above
MAX_MESSAGE = 300  # characters
NO_PACKET = "known from another packet's history: ALeRCE has no packet of its own"


class ClassProbability(NamedTuple):
    """One of ALeRCE's own probabilities."""

    classifier: str
    version: str
    class_name: str
    probability: float


def check_candid(candid: object) -> str:
    """Return a detection id as a string of digits.

    Raises
    ------
    ValueError
        For anything else; a float among them, for it has lost digits.
    """
    text = str(candid) if isinstance(candid, (int, str)) and not isinstance(candid, bool) else ""
    if CANDID.fullmatch(text):
        return text
    raise ValueError(f"{str(candid)[:40]!r} is not a detection id: expected digits, as a string or an int")


def clean(item: dict[object, object]) -> dict[str, object]:
    """The fields of a record that are finite numbers, truth values or plain words; the others are left out."""
    return {name: value for name, value in item.items() if WORD.fullmatch(str(name)) and _plain(value)}


def _plain(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) < 1 << 64
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) and WORD.fullmatch(value) is not None


def plain(text: object) -> str:
    """A message in one line, without what means something to HTML: an error may quote what a server sent."""
    words = "".join(sign for sign in str(text) if sign.isprintable() and sign not in "<>&`")
    return words if len(words) <= MAX_MESSAGE else words[:MAX_MESSAGE] + " ..."


def read_detections(oid: str, answer: object) -> list[Alert]:
    """Detections in time order, no candid twice, without stamps. Items without id, time or band are left out.

    Raises
    ------
    SourceError
        Where the answer is no list, or no item of it is a detection. An empty list is an empty list.
    """
    items, found = list(_items("detections", answer)), {}
    for item in items:
        try:
            candid, (mjd, fid) = check_candid(item["candid"]), check_exposure(item["mjd"], item["fid"])
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        missing = NO_PACKET if item.get("has_stamp", True) is False else None
        found.setdefault(candid, Alert(oid, candid, mjd, fid, clean(item), None, missing))
    if items and not found:
        raise SourceError(f"ALeRCE's detections: none of {len(items)} items has an id, a time and a band")
    return sorted(found.values(), key=lambda alert: (alert.mjd, alert.candid))


def read_limits(answer: object) -> list[UpperLimit]:
    """Visits without a detection, in time order; incomplete items are left out."""
    limits = []
    for item in _items("non-detections", answer):
        try:
            limit = UpperLimit(*check_exposure(item["mjd"], item["fid"]), float(item["diffmaglim"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if math.isfinite(limit.diffmaglim):
            limits.append(limit)
    return sorted(limits, key=lambda limit: (limit.mjd, limit.fid))


def read_probabilities(answer: object) -> list[ClassProbability]:
    """Classifiers by name, the newest version of each first, classes by descending probability."""
    rows = []
    for item in _items("probabilities", answer):
        names = tuple(item.get(key) for key in ("classifier_name", "classifier_version", "class_name"))
        value = item.get("probability")
        named = all(isinstance(name, str) and WORD.fullmatch(name) for name in names)
        if named and isinstance(value, (int, float)) and 0 <= value <= 1:
            rows.append(ClassProbability(*names, float(value)))
    rows.sort(key=lambda row: -row.probability)
    rows.sort(key=lambda row: _version(row.version), reverse=True)
    return sorted(rows, key=lambda row: row.classifier)


def _version(text: str) -> tuple[tuple[int, ...], str]:
    """Order of versions: by their numbers (1.0.10 after 1.0.9), then by their text."""
    return tuple(int(digits[:12]) for digits in re.findall(r"\d+", text)), text


def read_packet(oid: str, candid: str, raw: bytes) -> Packet:
    """The packet of this very detection.

    Raises
    ------
    BadPacket
        For bytes that are no packet, or the packet of something else.
    """
    if raw[:64].lstrip()[:1] == b"<":
        raise BadPacket("a web page came instead of the packet")
    packets = list(decode_packets(raw))
    found = next((packet for packet in packets if (packet.alert.oid, packet.alert.candid) == (oid, candid)), None)
    if found is None:
        whose = (
            f"the packet of {packets[0].alert.oid}, detection {packets[0].alert.candid}," if packets else "no packet"
        )
        raise BadPacket(f"{whose} came instead")
    return found


def read_objects(answer: object) -> list[dict[str, object]]:
    """Rows of one page of objects, those with a proper id."""
    if not isinstance(answer, dict):
        raise SourceError("ALeRCE's list of objects: unreadable answer")
    rows = []
    for item in _items("list of objects", answer.get("items")):
        try:
            rows.append(clean(item) | {"oid": check_oid(item.get("oid"))})
        except ValueError:
            continue
    return rows


def _items(what: str, answer: object) -> Iterator[dict[object, object]]:
    if not isinstance(answer, list):
        raise SourceError(f"ALeRCE's {what}: unreadable answer (no list)")
    if len(answer) > MAX_ITEMS:
        raise SourceError(f"ALeRCE's {what}: {len(answer)} items, more than any object has")
    return (item for item in answer if isinstance(item, dict))
