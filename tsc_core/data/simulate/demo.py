"""The demo archive: 30 made objects with 1 to 8 detections, the awkward cases among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tsc_core.data.simulate.population import MadeObject, MadePacket, make_object, one_thread
from tsc_core.survey import MIN_GAP_HOURS

STEP = 0.125  # DN: pixels are rounded to this, a fraction of the noise, so that the archive stays small


@dataclass(frozen=True, slots=True)
class Case:
    """One demo object: class, subclass, number of packets, and what is done to it (`Damage`)."""

    label: str
    subclass: str
    detections: int
    fresh: bool = True
    damage: str | None = None


CASES = (
    Case("SN", "SN Ia", 5),
    Case("SN", "SN Ia", 8),
    Case("SN", "SN II", 7),
    Case("SN", "SN Ibc", 4),
    Case("SN", "SLSN", 6),
    Case("SN", "SN Ia", 2),
    Case("SN", "SN II", 5, damage="clipped"),
    Case("AGN", "QSO", 5),
    Case("AGN", "QSO", 8, fresh=False),
    Case("AGN", "Seyfert", 5),
    Case("AGN", "Seyfert", 3, fresh=False),
    Case("AGN", "blazar", 6, fresh=False),
    Case("AGN", "QSO", 4, damage="missing"),
    Case("VS", "RR Lyrae", 8),
    Case("VS", "RR Lyrae", 5, fresh=False, damage="pair"),
    Case("VS", "eclipsing binary", 5, fresh=False),
    Case("VS", "Cepheid", 6),
    Case("VS", "long-period variable", 5),
    Case("VS", "CV", 4),
    Case("VS", "young star", 5, fresh=False),
    Case("VS", "eclipsing binary", 3, fresh=False, damage="no history"),
    Case("asteroid", "main belt", 1),
    Case("asteroid", "main belt", 1),
    Case("asteroid", "near-earth", 1),
    Case("asteroid", "main belt", 1, damage="no history"),
    Case("bogus", "cosmic ray", 1),
    Case("bogus", "diffraction spike", 3),
    Case("bogus", "bad subtraction", 4),
    Case("bogus", "saturated star", 2),
    Case("bogus", "hot column", 2),
)


def demo_objects(seed: int = 2024) -> Iterator[MadeObject]:
    """The demo's objects DEMO01 to DEMO30, the same for a seed."""
    for number, case in enumerate(CASES, start=1):
        yield _demo_object(f"DEMO{number:02d}", case, seed, number)


def _demo_object(oid: str, case: Case, seed: int, number: int) -> MadeObject:
    """Draw until the object has as many detections as the case asks for."""
    for attempt in range(2000):
        rng = np.random.default_rng([seed, number, attempt])
        with one_thread():
            made = make_object(oid, case.label, rng, case.detections, case.fresh, case.subclass)
        if len(made.packets) == case.detections and (case.damage != "pair" or _has_pair(made)):
            packets = tuple(_rounded(packet) for packet in made.packets)
            return replace(made, packets=DAMAGE[case.damage](packets))
    raise RuntimeError(f"no {case.subclass} with {case.detections} detections in 2000 attempts")


def _has_pair(made: MadeObject) -> bool:
    times = [packet.candidate["jd"] for packet in made.packets]
    return bool((np.diff(times) < MIN_GAP_HOURS / 24).any())


def _rounded(packet: MadePacket) -> MadePacket:
    return replace(
        packet, stamps=tuple((np.round(pixels / STEP) * STEP).astype(np.float32) for pixels in packet.stamps)
    )


Packets = tuple[MadePacket, ...]


def _clipped(packets: Packets) -> Packets:
    """The second alert lies at the chip's edge: 62 rows are left of its stamps."""
    second = replace(packets[1], stamps=tuple(pixels[:-1] for pixels in packets[1].stamps))
    return (packets[0], second, *packets[2:])


def _missing(packets: Packets) -> Packets:
    """The third alert has lost its cutouts."""
    return (*packets[:2], replace(packets[2], stamps=None), *packets[3:])


def _without_history(packets: Packets) -> Packets:
    return tuple(replace(packet, history=None) for packet in packets)


DAMAGE: dict[str | None, Callable[[Packets], Packets]] = {
    None: lambda packets: packets,
    "pair": lambda packets: packets,
    "clipped": _clipped,
    "missing": _missing,
    "no history": _without_history,
}
