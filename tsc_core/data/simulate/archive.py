"""Made objects on disk: packets in a tar.gz with the labels beside it; and made objects as alert sequences."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tsc_core.alerts import AlertSequence, Stamps
from tsc_core.data.simulate import avro
from tsc_core.data.simulate.population import MadeObject, MadePacket
from tsc_core.sources.avro import packet_of
from tsc_core.sources.base import Packet, merge

LABEL_COLUMNS = ("objectId", "label", "subclass", "w1", "w2", "w3", "w4")
CHANNELS = ("Science", "Template", "Difference")
SOURCE = "simulated"


def packet_fields(oid: str, packet: MadePacket, level: int | None = 1) -> dict[str, object]:
    """A packet by the schema's names; cutouts are gzipped at `level`, or left out where it is None."""
    candidate = packet.candidate
    record = {
        "schemavsn": avro.SCHEMA_VERSION,
        "publisher": avro.PUBLISHER,
        "objectId": oid,
        "candid": candidate["candid"],
        "candidate": candidate,
        "prv_candidates": None if packet.history is None else list(packet.history),
    }
    if level is not None and packet.stamps is not None:
        for channel, pixels in zip(CHANNELS, packet.stamps, strict=True):
            name = f"candid{candidate['candid']}_{channel.lower()}.fits.gz"
            record[f"cutout{channel}"] = {"fileName": name, "stampData": avro.encode_stamp(pixels, level)}
    return record


def packet_files(made: MadeObject, level: int = 1) -> list[tuple[str, bytes]]:
    """The object's packets as files: name (``<candid>.avro``) and bytes."""
    return [
        (f"{packet.candidate['candid']}.avro", avro.encode_packet(packet_fields(made.oid, packet, level)))
        for packet in made.packets
    ]


def made_sequence(made: MadeObject, source: str = SOURCE) -> AlertSequence:
    """The sequence that the packets source would read from the object's packets, with label and AllWISE match.

    Records take the same way through Avro as on disk, entries that packets share only once; pixels are taken as they
    are.
    """
    shared: dict[int, dict] = {}
    packets = []
    for packet in made.packets:
        for entry in packet.history or ():
            if id(entry) not in shared:
                shared[id(entry)] = avro.as_read(entry, avro.PREVIOUS_SCHEMA)
        history = None if packet.history is None else [shared[id(entry)] for entry in packet.history]
        fields = packet_fields(made.oid, packet, level=None) | {"prv_candidates": history}
        fields["candidate"] = avro.as_read(packet.candidate, avro.CANDIDATE_SCHEMA)
        decoded = packet_of(fields)
        alert = decoded.alert
        if packet.stamps is not None:
            alert = replace(alert, stamps=Stamps(*packet.stamps), missing=None)
        packets.append(Packet(alert, decoded.history, decoded.limits))
    merged = merge(made.oid, source, packets)
    return replace(merged, label=made.label, allwise=made.allwise, allwise_asked=True)


def labelled_sequence(made: MadeObject) -> tuple[AlertSequence, str]:
    """The sequence of an object, and its subclass."""
    return made_sequence(made), made.subclass


def label_row(made: MadeObject) -> dict[str, str]:
    """One row of the label table; a magnitude that is missing is an empty cell."""
    mags = [getattr(made.allwise, name) if made.allwise else math.nan for name in LABEL_COLUMNS[3:]]
    text = ["" if math.isnan(mag) else f"{mag:.3f}" for mag in mags]
    return dict(zip(LABEL_COLUMNS, [made.oid, made.label, made.subclass, *text], strict=True))


def labels_path(path: Path) -> Path:
    """Where the labels of an archive lie: ``night.tar.gz`` has ``night.labels.csv`` beside it."""
    return path.with_name(path.name.removesuffix(".tar.gz").removesuffix(".tar") + ".labels.csv")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One object ready to be written: its row of the label table, and its packets as (name, bytes)."""

    row: dict[str, str]
    files: list[tuple[str, bytes]]


def encode_object(made: MadeObject, level: int = 1) -> Encoded:
    """Label row and packets of an object, cutouts gzipped at `level`."""
    return Encoded(label_row(made), packet_files(made, level))


def write_archive(path: str | Path, objects: Iterable[MadeObject | Encoded], level: int = 1) -> int:
    """Write objects as packets in a tar.gz, labels beside it; returns how many objects.

    The tar is compressed at `level`, cutouts in it at 4 at most; items that are `Encoded` stay as they are. The same
    objects give the same bytes.
    """
    path = Path(path)
    rows: list[dict[str, str]] = []

    def files() -> Iterator[tuple[str, bytes]]:
        for item in objects:
            encoded = item if isinstance(item, Encoded) else encode_object(item, min(level, 4))
            rows.append(encoded.row)
            yield from encoded.files

    part = path.with_name(path.name + ".part")
    try:
        avro.write_tar(part, files(), level)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    with labels_path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, LABEL_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)
