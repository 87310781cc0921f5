"""Made objects: draw one, follow it through the survey, render its alerts, and list its history."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np

from tsc_core.alerts import AllWise
from tsc_core.data.simulate import records
from tsc_core.data.simulate.artefacts import ARTEFACTS, Fault
from tsc_core.data.simulate.cadence import SURVEY_END, Visits
from tsc_core.data.simulate.exposures import Cutouts, Subject, expose
from tsc_core.data.simulate.measure import Measured, measure
from tsc_core.data.simulate.origins import Origin, draw_origin
from tsc_core.data.simulate.scene import (
    Field,
    draw_field,
    gaia_columns,
    galaxy_source,
    one_source,
    ps1_columns,
    reference_catalogue,
)
from tsc_core.data.simulate.timeline import HISTORY_DAYS, Timeline, follow
from tsc_core.survey import CLASSES, MAX_DETECTIONS

WATCHED_DAYS = {"AGN": 500.0, "VS": 400.0, "SN": 150.0, "asteroid": 0.0, "bogus": 500.0}
TRIES = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class MadePacket:
    """One alert packet before encoding.

    Attributes
    ----------
    candidate : dict
        The candidate record, values by ZTF's names.
    stamps : tuple of ndarray (H, W), float32, or None
        Science, template and difference.
    history : tuple of dict or None
        Entries of ``prv_candidates``; None for a packet that has none.
    """

    candidate: dict[str, object]
    stamps: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    history: tuple[dict[str, object], ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class MadeObject:
    """One simulated object with its packets in time order."""

    oid: str
    label: str
    subclass: str
    packets: tuple[MadePacket, ...]
    allwise: AllWise | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to simulate.

    Attributes
    ----------
    classes : tuple of str
        Drawn in turn, so that each has its equal share.
    detections : int
        Packets per object at most; an object that fades earlier has fewer.
    fresh_share : float
        Share of AGN and VS met at their first detection; the others have years of history.
    """

    classes: tuple[str, ...] = CLASSES
    detections: int = MAX_DETECTIONS
    fresh_share: float = 0.5


def simulate_objects(
    n: int, seed: int, recipe: Recipe | None = None, processes: int = 1, first: int = 0
) -> Iterator[MadeObject]:
    """Yield `n` made objects in a fixed order: the same seed gives the same objects with any number of processes.

    Parameters
    ----------
    n, seed : int
    recipe : Recipe, optional
    processes : int
        Worker processes.
    first : int
        Number of the first object: objects `first` to `first + n - 1` of the seed's endless list.
    """
    yield from simulate_each(_itself, n, seed, recipe, processes, first)


def _itself(made: MadeObject) -> MadeObject:
    return made


def simulate_each(
    then: Callable[[MadeObject], T], n: int, seed: int, recipe: Recipe | None = None, processes: int = 1, first: int = 0
) -> Iterator[T]:
    """As `simulate_objects`, with `then` applied to each object in the process that made it."""
    recipe = recipe or Recipe()
    tasks = ((then, seed, number, recipe) for number in range(first, first + n))
    if processes <= 1:
        yield from (_make_and(*task) for task in tasks)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        waiting = deque(pool.submit(_make_and, *task) for task in islice(tasks, 8 * processes))
        while waiting:  # a bounded window keeps few objects in memory
            yield waiting.popleft().result()
            waiting += (pool.submit(_make_and, *task) for task in islice(tasks, 1))


def _make_and(then: Callable[[MadeObject], T], seed: int, number: int, recipe: Recipe) -> T:
    return then(make_numbered(seed, number, recipe))


def make_numbered(seed: int, number: int, recipe: Recipe) -> MadeObject:
    """Object `number` of a seed: its random stream depends on these two alone."""
    rng = np.random.default_rng([seed, number])
    label = recipe.classes[number % len(recipe.classes)]
    fresh = bool(rng.uniform() < recipe.fresh_share)
    return make_object(f"SIM{seed}x{number:06d}", label, rng, recipe.detections, fresh)


def make_object(
    oid: str, label: str, rng: np.random.Generator, detections: int, fresh: bool = False, subclass: str | None = None
) -> MadeObject:
    """Draw objects of a class until one is detected, and render it.

    Raises
    ------
    RuntimeError
        If none of `TRIES` drawn objects was ever detected.
    """
    for _ in range(TRIES):
        origin = draw_origin(label, rng, subclass)
        timeline = _timeline(origin, fresh, rng)
        if timeline is not None:
            return _assemble(oid, origin, timeline, detections, rng)
    raise RuntimeError(f"no {label} of {TRIES} drawn was bright enough to be detected")


def _timeline(origin: Origin, fresh: bool, rng: np.random.Generator) -> Timeline | None:
    begin = 58270.0 + (rng.exponential(250.0) if fresh and origin.lasting else rng.uniform(0.0, SURVEY_END - 58270.0))
    begin = min(begin, SURVEY_END - 30.0)
    if origin.artefact is not None:
        return _bogus_timeline(origin, begin, rng)
    timeline = follow(origin, begin, max(WATCHED_DAYS[origin.label], 1.0), fresh, rng)
    return _only_first_night(timeline) if timeline is not None and origin.label == "asteroid" else timeline


def _only_first_night(timeline: Timeline) -> Timeline:
    """An asteroid is gone from the place by the next visit."""
    mjd = timeline.visits.mjd
    detected = timeline.detected & (mjd < mjd[timeline.first] + 0.01)
    one = np.ones(len(mjd), dtype=int)
    return replace(timeline, detected=detected, ndethist=one, jdstarthist=mjd + records.JD)


def _bogus_timeline(origin: Origin, begin: float, rng: np.random.Generator) -> Timeline | None:
    """A fault shows once, and again in the share of visits that its kind recurs in."""
    steady = replace(origin, light=lambda mjd, fid, rng: np.full(len(mjd), 12.0), lasting=False)
    timeline = follow(steady, begin, WATCHED_DAYS["bogus"], True, rng)
    if timeline is None:
        return None
    mjd = timeline.visits.mjd
    first = int(np.searchsorted(mjd, begin))
    if first >= len(mjd):
        return None
    recurs = ARTEFACTS[origin.artefact](1, np.random.default_rng(0)).recurs
    detected = rng.uniform(size=len(mjd)) < recurs * rng.uniform(0.3, 1.7)
    detected[first] = True
    earlier = rng.poisson(recurs * 0.5 * timeline.ncovhist[0])
    count = np.maximum(1, earlier + np.cumsum(detected))
    start = 58200.0 if earlier else mjd[np.argmax(detected)]
    nothing = np.zeros(len(mjd))
    began = np.minimum(start, mjd) + records.JD
    return replace(
        timeline, flux=nothing, change=nothing, detected=detected, ndethist=count, jdstarthist=began, first=first
    )


def _assemble(oid: str, origin: Origin, timeline: Timeline, detections: int, rng: np.random.Generator) -> MadeObject:
    """Render the first detections as packets, with the visits of the 30 days before each as history."""
    visits = timeline.visits
    shown = np.flatnonzero(timeline.detected)
    sent = shown[shown >= timeline.first][:detections]
    earliest = visits.mjd[sent[0]] - HISTORY_DAYS
    measured_at = shown[(visits.mjd[shown] >= earliest) & (shown <= sent[-1])]
    fault = ARTEFACTS[origin.artefact](len(measured_at), rng) if origin.artefact else Fault(np.zeros((1, 1, 1)))
    field = _field(origin, timeline, fault, rng)
    chosen = visits.pick(measured_at)
    now = timeline.flux[measured_at]
    before = now - timeline.change[measured_at]
    cutouts = expose(field, origin.host, Subject(now, before, origin.rate), chosen, fault, rng)
    found = measure(cutouts, chosen, rng)
    catalogued = _with_counterpart(field, origin, timeline)
    place = records.chip_place(rng)
    entries = _entries(origin, visits, measured_at, sent, found, catalogued, place, rng)
    catalogues = ps1_columns(catalogued, rng) | gaia_columns(catalogued, rng)
    packets = []
    for at in sent:
        index = int(np.searchsorted(measured_at, at))
        candidate = records.packet_record(entries[at], timeline, at, catalogues, found, index, rng)
        recent = (visits.mjd[:at] >= visits.mjd[at] - HISTORY_DAYS).nonzero()[0]
        history = tuple(entries[i] for i in recent if i in entries)
        packets.append(MadePacket(candidate, _stamps(cutouts, index, bool(found.positive[index])), history))
    return MadeObject(oid, origin.label, origin.subclass, _masked(packets, rng), _allwise(origin, rng))


def _stamps(cutouts: Cutouts, index: int, positive: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Science, template, difference; of a negative candidate ZTF sends template minus science."""
    difference = cutouts.difference[index] if positive else -cutouts.difference[index]
    return tuple(image.astype(np.float32) for image in (cutouts.science[index], cutouts.template[index], difference))


def _field(origin: Origin, timeline: Timeline, fault: Fault, rng: np.random.Generator) -> Field:
    field = draw_field(origin.ra, origin.dec, rng)
    for x, y, r in fault.stars:
        field = one_source(x, y, (r + 0.6, r, r - 0.2, r - 0.3)).joined(field)
    return field


def _with_counterpart(field: Field, origin: Origin, timeline: Timeline) -> Field:
    """The field as catalogues list it: with the host's nucleus or the object itself in quiet."""
    g, r = timeline.reference[1], timeline.reference[2]
    if origin.host is not None:
        nucleus = galaxy_source(origin.host)
        if np.isfinite(r):  # a point source in a galaxy is one entry: the sum of both
            lights = -2.5 * np.log10(10 ** (-0.4 * np.array([g, r])) + 10 ** (-0.4 * nucleus.mags[0, :2]))
            share = 10 ** (-0.4 * (nucleus.mags[0, 1] - lights[1]))
            return one_source(0.0, 0.0, (*lights, *nucleus.mags[0, 2:]), float(nucleus.size[0] * share)).joined(field)
        return nucleus.joined(field)
    if np.isfinite(r):
        return one_source(0.0, 0.0, (g, r, r - 0.35 * (g - r), r - 0.55 * (g - r))).joined(field)
    return field


def _entries(
    origin: Origin,
    visits: Visits,
    measured_at: np.ndarray,
    sent: np.ndarray,
    found: Measured,
    catalogued: Field,
    place: dict[str, int],
    rng: np.random.Generator,
) -> dict[int, dict[str, object]]:
    """History entries by visit: detections with their measurements, upper limits without."""
    catalogue = {fid: reference_catalogue(catalogued, fid, rng) for fid in (1, 2)}
    ranks = {int(at): index for index, at in enumerate(measured_at)}
    begin = int(np.searchsorted(visits.mjd, visits.mjd[sent[0]] - HISTORY_DAYS))
    entries = {}
    for at in range(begin, int(sent[-1]) + 1):
        if at in ranks:
            near = catalogue[int(visits.fid[at])]
            entries[at] = records.detection_record(origin, visits, at, place, found, ranks[at], near, rng)
        elif rng.uniform() < 0.8:
            entries[at] = records.visit_record(visits, at, place)
    return entries


def _masked(packets: Sequence[MadePacket], rng: np.random.Generator) -> tuple[MadePacket, ...]:
    """Pixels without a value: the edge of the chip, or a block of bad pixels, in the same place in all cutouts."""
    kind = rng.uniform()
    if kind > 0.13:
        return tuple(packets)
    size = packets[0].stamps[0].shape[0]
    mask = np.zeros((size, size), dtype=bool)
    if kind < 0.05:
        edge = int(rng.integers(1, size // 2 - 4))
        mask[:edge] = True
        mask = np.rot90(mask, rng.integers(4))
    else:
        x, y, side = rng.integers(0, size), rng.integers(0, size), rng.integers(6, 12)
        if max(abs(x + side / 2 - size // 2), abs(y + side / 2 - size // 2)) > 9:
            mask[y : y + side, x : x + side] = True
    return tuple(replace(p, stamps=tuple(np.where(mask, np.float32(np.nan), s) for s in p.stamps)) for p in packets)


def _allwise(origin: Origin, rng: np.random.Generator) -> AllWise | None:
    """The cross-match; a chance neighbour now and then stands in for objects without one."""
    mags = origin.wise
    if mags is None and rng.uniform() < 0.02:
        mags = (rng.uniform(13.0, 17.0), rng.uniform(13.0, 16.8), float("nan"), float("nan"))
    if mags is None:
        return None
    rounded = (round(float(mag), 3) for mag in mags)
    separation = round(float(abs(rng.normal(0.0, 0.35))), 2)
    return AllWise(*rounded, separation, f"SIM J{origin.ra:09.5f}{origin.dec:+09.5f}")
