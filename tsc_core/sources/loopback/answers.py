"""What ALeRCE answers about an archive: its shapes, with string candids, null keys left out, mixed versions."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from tsc_core.alerts import Alert, AlertSequence
from tsc_core.sources.allwise import DEC, RA
from tsc_core.sources.base import Source
from tsc_core.sources.packets import PacketSource
from tsc_core.sources.positions import mean_position, separation_arcsec

LISTED = (
    "pid", "diffmaglim", "magpsf", "sigmapsf", "magap", "sigmagap", "distnr", "rb", "rbversion", "drb", "drbversion",
    "rfid", "magapbig", "sigmagapbig", "ra", "dec", "nid", "rcid", "field",
)  # fmt: skip
MADE_VERSION = "loopback"  # in the version of every classifier: nobody should take these numbers for ALeRCE's
CLASSIFIERS = {
    ("stamp_classifier", f"{MADE_VERSION}_1.0.0"): ("AGN", "SN", "VS", "asteroid", "bogus"),
    ("stamp_classifier", f"{MADE_VERSION}_1.0.4"): ("AGN", "SN", "VS", "asteroid", "bogus"),
    ("lc_classifier", f"{MADE_VERSION}_1.1.13"): ("SNIa", "SNII", "QSO", "AGN", "RRL", "LPV", "E"),
    ("lc_classifier_top", f"{MADE_VERSION}_1.1.13"): ("Transient", "Stochastic", "Periodic"),
    ("lc_classifier_top", f"{MADE_VERSION}_1.1.9"): ("Transient", "Stochastic", "Periodic"),
}
PAGE_SIZE = 10
COLUMNS = ("AllWISE", "RAJ2000", "DEJ2000", "W1mag", "W2mag", "W3mag", "W4mag")

Params = Mapping[str, list[str]]


class ArchiveAnswers:
    """Answers per object, made when first asked for.

    Parameters
    ----------
    archive : PacketSource
    """

    def __init__(self, archive: PacketSource) -> None:
        self._archive = archive
        self.oids = frozenset(archive.oids())
        self.packets = lru_cache(maxsize=256)(self._packets)
        self.sequence = lru_cache(maxsize=256)(archive.fetch)
        self._rows = lru_cache(maxsize=1)(lambda: [self.object(oid) for oid in sorted(self.oids)])

    def _packets(self, oid: str) -> dict[str, bytes]:
        return self._archive.raw(oid)

    def detections(self, oid: str) -> list[dict[str, object]]:
        """The list of detections; null keys are left out, candid is a string."""
        own = self.packets(oid)
        return [_detection(alert, alert.candid in own) for alert in self.sequence(oid).alerts]

    def non_detections(self, oid: str) -> list[dict[str, object]]:
        """Visits without a detection."""
        return [
            {"tid": "ztf", "mjd": limit.mjd, "fid": limit.fid, "diffmaglim": limit.diffmaglim}
            for limit in self.sequence(oid).limits
        ]

    def object(self, oid: str) -> dict[str, object]:
        """The row of one object; `ndethist` is a string, as there."""
        sequence = self.sequence(oid)
        ra, dec = mean_position(sequence.alerts) or (math.nan, math.nan)
        row = {"oid": oid, "ndethist": _most(sequence, "ndethist"), "ncovhist": _most(sequence, "ncovhist")}
        row |= {"ndet": len(sequence.alerts), "firstmjd": sequence.alerts[0].mjd, "lastmjd": sequence.alerts[-1].mjd}
        row |= {"meanra": ra, "meandec": dec, "corrected": False, "stellar": False, "step_id_corr": MADE_VERSION}
        return row | {"deltajd": row["lastmjd"] - row["firstmjd"]}

    def probabilities(self, oid: str) -> list[dict[str, object]]:
        """Made-up probabilities of several classifiers and versions, in no order, always the same for one id."""
        rows = []
        for (name, version), classes in CLASSIFIERS.items():
            weights = [_made(oid, name, version, label) for label in classes]
            ranked = sorted(weights, reverse=True)
            rows += [
                {"classifier_name": name, "classifier_version": version, "class_name": label,
                 "probability": weight / sum(weights), "ranking": ranked.index(weight) + 1}
                for label, weight in zip(classes, weights, strict=True)
            ]  # fmt: skip
        return sorted(rows, key=lambda row: _made(oid, *map(str, row.values())))

    def objects(self, params: Params) -> dict[str, object]:
        """One page of objects that fit the conditions."""
        found = [row for row in map(self._with_class(params), self._rows()) if row is not None and _fits(row, params)]
        page, size = int(_one(params, "page", "1")), int(_one(params, "page_size", str(PAGE_SIZE)))
        order, mode = _one(params, "order_by", ""), _one(params, "order_mode", "DESC")
        if order:
            found = sorted(found, key=lambda row: (row.get(order) is None, row.get(order)), reverse=mode == "DESC")
        items, more = found[(page - 1) * size : page * size], page * size < len(found)
        return {
            "total": len(found) if _one(params, "count", "false").lower() in ("true", "1", "yes") else None,
            "next": page + 1 if more else None, "has_next": more, "prev": page - 1 if page > 1 else None,
            "has_prev": page > 1, "page": page, "items": items,
        }  # fmt: skip

    def _with_class(self, params: Params) -> object:
        """A function that adds to a row the class asked for, or gives None where it is another."""
        name, label = _one(params, "classifier", ""), _one(params, "class", _one(params, "class_name", ""))
        least, version = float(_one(params, "probability", "0")), _one(params, "classifier_version", "")
        if not (name or label):
            return dict

        def classed(row: dict[str, object]) -> dict[str, object] | None:
            fitting = [
                {key: made[key] for key in ("classifier_name", "classifier_version", "class_name", "probability")}
                for made in self.probabilities(str(row["oid"]))
                if made["ranking"] == 1 and made["probability"] >= least and name in ("", made["classifier_name"])
                and label in ("", made["class_name"]) and version in ("", made["classifier_version"])
            ]  # fmt: skip
            return {**row, **max(fitting, key=lambda made: made["classifier_version"])} if fitting else None

        return classed


def stamp_file(packet: dict[str, object], kind: str) -> bytes | None:
    """The gzipped FITS of a decoded packet's cutout; None without one."""
    cutout = packet.get(f"cutout{kind.capitalize()}")
    return cutout["stampData"] if cutout else None


def _detection(alert: Alert, has_stamp: bool) -> dict[str, object]:
    record = {name: alert.record[name] for name in LISTED if _sound(alert.record.get(name))}
    positive = str(alert.record.get("isdiffpos", "t")).lower() in ("t", "1", "true")
    made = {
        "tid": "ztf",
        "mjd": alert.mjd,
        "candid": alert.candid,
        "fid": alert.fid,
        "isdiffpos": 1 if positive else -1,
    }
    made |= {"has_stamp": has_stamp, "corrected": False, "dubious": False, "step_id_corr": MADE_VERSION}
    return record | made


def _sound(value: object) -> bool:
    """Whether a value stays in a detection: null keys are left out, and JSON has no NaN."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _most(sequence: AlertSequence, name: str) -> str:
    known = [value for alert in sequence.alerts if math.isfinite(value := alert.value(name))]
    return str(int(max(known, default=0)))


def _made(*words: str) -> float:
    """A number in (0, 1] that depends on the words alone."""
    return (int.from_bytes(hashlib.blake2b("|".join(words).encode(), digest_size=4).digest()) + 1) / 2**32


def _one(params: Params, name: str, default: str) -> str:
    return params.get(name, [default])[0]


def _fits(row: dict[str, object], params: Params) -> bool:
    """Whether an object is within the asked ranges and cone (degrees; radius in arcsec)."""
    for name in ("ndet", "firstmjd", "lastmjd"):
        bounds = [float(text) for text in params.get(name, [])]
        if bounds and not bounds[0] <= row[name] <= (bounds[1] if len(bounds) > 1 else math.inf):
            return False
    if "oid" in params and row["oid"] not in params["oid"]:
        return False
    if {"ra", "dec"} <= params.keys():
        centre = float(_one(params, "ra", "")), float(_one(params, "dec", ""))
        return separation_arcsec(centre, (row["meanra"], row["meandec"])) <= float(_one(params, "radius", "30"))
    return True


# --- the cross-match ------------------------------------------------------------------------------------------


def read_sources(path: Path) -> list[dict[str, str]]:
    """AllWISE sources of a CSV with the columns AllWISE, RAJ2000, DEJ2000, W1mag .. W4mag (empty: not measured)."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {"RAJ2000", "DEJ2000"} - set(rows[0] if rows else COLUMNS)
    if missing:
        raise ValueError(f"{path.name}: no column {', '.join(sorted(missing))}; needed are {', '.join(COLUMNS)}")
    return rows


def known_sources(archive: Source) -> list[dict[str, str]]:
    """AllWISE sources that an archive brings with its objects (the demo does), each at its object's mean position."""
    rows = []
    for sequence in map(archive.fetch, archive.oids()):
        if not sequence.allwise_asked:
            return []  # this archive has none for any object
        if sequence.allwise is not None and (position := mean_position(sequence.alerts)):
            bands = (getattr(sequence.allwise, f"w{band}") for band in "1234")
            cells = ("" if math.isnan(band) else repr(band) for band in bands)
            name = sequence.allwise.designation or sequence.oid
            rows.append(dict(zip(COLUMNS, (name, *map(repr, position), *cells), strict=True)))
    return rows


def cross_match(table: str, columns: tuple[str, str], radius: float, sources: Iterable[dict[str, str]]) -> bytes:
    """The VOTable that CDS answers: one row per match, the columns of the uploaded table among them."""
    asked = list(csv.DictReader(table.splitlines()))
    kept = list(asked[0]) if asked else [RA, DEC]
    cells = []
    for row in asked:
        centre = float(row[columns[0]]), float(row[columns[1]])
        for source in sources:
            distance = separation_arcsec(centre, (float(source["RAJ2000"]), float(source["DEJ2000"])))
            if distance <= radius:
                cells.append(
                    [f"{distance:.6f}", *(row[name] for name in kept), *(source.get(c) or "" for c in COLUMNS)]
                )
    return _votable(["angDist", *kept, *COLUMNS], cells)


def _votable(names: list[str], rows: list[list[str]]) -> bytes:
    kinds = ['char" arraysize="*' if name == "AllWISE" else "double" for name in names]
    fields = "".join(f'<FIELD name="{_word(n)}" datatype="{k}"/>' for n, k in zip(names, kinds, strict=True))
    lines = "".join("<TR>" + "".join(f"<TD>{_word(cell)}</TD>" for cell in row) + "</TR>" for row in rows)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/><TABLE>{fields}'
        f"<DATA><TABLEDATA>{lines}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()


def _word(text: str) -> str:
    return re.sub(r"[^\w.+: -]", "", text)


def compressed_json(answer: object) -> bytes:
    """JSON, gzipped as a web server sends it."""
    return gzip.compress(json.dumps(answer).encode(), compresslevel=1)
