"""Made objects: draw one, follow it through the survey, render its alerts, and list its history."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from tsc_core.alerts import AllWise
from tsc_core.data.simulate import records
from tsc_core.data.simulate.artefacts import ARTEFACTS, RECURS, Fault
from tsc_core.data.simulate.cadence import SURVEY_END, Site, Visits
from tsc_core.data.simulate.catalogues import Catalogues
from tsc_core.data.simulate.exposures import Cutouts, Scene, Subject, expose
from tsc_core.data.simulate.masks import draw_mask
from tsc_core.data.simulate.measure import PATCH, Measured, measure
from tsc_core.data.simulate.origins import Origin, draw_origin
from tsc_core.data.simulate.render import STAMP
from tsc_core.data.simulate.scene import Field, draw_field, galaxy_source, one_source, star_colours
from tsc_core.data.simulate.timeline import HISTORY_DAYS, Timeline, follow
from tsc_core.data.workers import process_pool
from tsc_core.survey import CLASSES, MAX_DETECTIONS

WATCHED_DAYS = {"AGN": 500.0, "VS": 400.0, "SN": 150.0, "asteroid": 0.0, "bogus": 500.0}
TRIES = 200
USUAL_VISITS = 500.0  # beyond which a fault recurs in an unchanging share of visits
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
    sites : tuple of Site
        Given exposures, taken in turn: an object of the site's class is seen in it, and there is no later one.
    """

    classes: tuple[str, ...] = CLASSES
    detections: int = MAX_DETECTIONS
    fresh_share: float = 0.5
    sites: tuple[Site, ...] = ()


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
    tasks = ((then, seed, number, _for_one(recipe, number)) for number in range(first, first + n))
    if processes <= 1:
        yield from (_make_and(*task) for task in tasks)
        return
    with process_pool(processes) as pool:
        waiting = deque(pool.submit(_make_and, *task) for task in islice(tasks, 8 * processes))
        while waiting:  # a bounded window keeps few objects in memory
            yield waiting.popleft().result()
            waiting += (pool.submit(_make_and, *task) for task in islice(tasks, 1))


def _for_one(recipe: Recipe, number: int) -> Recipe:
    """The recipe with the one site that object `number` has: little to send to another process."""
    return replace(recipe, sites=(recipe.sites[number % len(recipe.sites)],)) if recipe.sites else recipe


def _make_and(then: Callable[[MadeObject], T], seed: int, number: int, recipe: Recipe) -> T:
    with one_thread():
        return then(make_numbered(seed, number, recipe))


def one_thread() -> AbstractContextManager:
    """Libraries on one thread: sums in another order, by as many threads as there are cores, differ in bits."""
    return _libraries().limit(limits=1)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def make_numbered(seed: int, number: int, recipe: Recipe) -> MadeObject:
    """Object `number` of a seed: its random stream depends on these two alone."""
    rng = np.random.default_rng([seed, number])
    oid = f"SIM{seed}x{number:06d}"
    if recipe.sites:
        return _at_site(oid, recipe.sites[number % len(recipe.sites)], rng)
    label = recipe.classes[number % len(recipe.classes)]
    fresh = bool(rng.uniform() < recipe.fresh_share)
    return make_object(oid, label, rng, recipe.detections, fresh)


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


def _at_site(oid: str, site: Site, rng: np.random.Generator) -> MadeObject:
    """An object of the site's class that its exposure detects; where hardly any would be, a faulty subtraction."""
    for label, subclass in ((site.label, site.subclass or None), ("bogus", "bad subtraction")):
        for _ in range(TRIES):
            origin = replace(draw_origin(label, rng, subclass), ra=site.ra, dec=site.dec, density=site.density)
            timeline = _timeline(origin, False, rng, site)
            if timeline is not None:
                return _assemble(oid, origin, timeline, 1, rng)
    raise RuntimeError(f"no object at ra {site.ra:.2f} dec {site.dec:.2f} was bright enough to be detected")


def _timeline(origin: Origin, fresh: bool, rng: np.random.Generator, site: Site | None = None) -> Timeline | None:
    if site is not None:
        begin = site.mjd if origin.lasting or origin.label != "SN" else site.mjd - rng.uniform(0.0, 130.0)
    else:
        later = rng.exponential(250.0) if fresh and origin.lasting else rng.uniform(0.0, SURVEY_END - 58270.0)
        begin = min(58270.0 + later, SURVEY_END - 30.0)
    if origin.artefact is not None:
        return _bogus_timeline(origin, begin, rng, site)
    timeline = follow(origin, begin, max(WATCHED_DAYS[origin.label], 1.0), fresh, rng, site)
    return _only_first_night(timeline) if timeline is not None and origin.label == "asteroid" else timeline


def _only_first_night(timeline: Timeline) -> Timeline:
    """An asteroid is gone from the place by the next visit."""
    mjd = timeline.visits.mjd
    detected = timeline.detected & (mjd < mjd[timeline.first] + 0.01)
    one = np.ones(len(mjd), dtype=int)
    return replace(timeline, detected=detected, ndethist=one, jdstarthist=mjd + records.JD)


def _bogus_timeline(origin: Origin, begin: float, rng: np.random.Generator, site: Site | None) -> Timeline | None:
    """A fault shows once, and again in the share of visits that its kind recurs in."""
    steady = replace(origin, light=lambda mjd, fid, rng: np.full(len(mjd), 15.0), lasting=False)
    timeline = follow(steady, begin, WATCHED_DAYS["bogus"], True, rng, site)
    if timeline is None:
        return None
    mjd = timeline.visits.mjd
    first = int(np.searchsorted(mjd, begin)) if site is None else len(mjd) - 1
    if first >= len(mjd):
        return None
    # Where the survey has seldom been its references are poor: faults recur in more of the visits.
    seldom = math.sqrt(USUAL_VISITS / max(float(timeline.ncovhist[-1]), 10.0))
    recurs = min(0.9, RECURS[origin.artefact] * rng.lognormal(0.0, 1.3) * max(1.0, seldom))
    detected = rng.uniform(size=len(mjd)) < recurs
    detected[first] = True
    earlier = rng.poisson(recurs * timeline.ncovhist[0])
    count = np.maximum(1, earlier + np.cumsum(detected))
    start = mjd[0] - rng.uniform(0.0, 1.0) * (mjd[0] - 58200.0) if earlier else mjd[np.argmax(detected)]
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
    earlier = shown[(visits.mjd[shown] >= visits.mjd[sent[0]] - HISTORY_DAYS) & (shown < sent[0])]
    between = np.setdiff1d(shown[(shown > sent[0]) & (shown < sent[-1])], sent)
    past = np.union1d(earlier, between)
    fault = ARTEFACTS[origin.artefact](visits.pick(np.concatenate([sent, past])), rng) if origin.artefact else None
    field = _field(origin, fault, rng)
    scene = Scene(
        field,
        origin.host,
        _subject(timeline, origin.rate),
        visits,
        fault or Fault(np.zeros((1, 1, 1)), misalignment=0.045 * rng.lognormal(0.0, 0.4), mismatch=0.017),
    )
    stamps = _expose(scene, sent, slice(0, len(sent)), STAMP, rng)
    patches = _expose(scene, past, slice(len(sent), None), PATCH, rng)
    steady, genuine = _steady(timeline, fault, visits), origin.artefact is None
    found = [(sent, measure(stamps, visits.pick(sent), steady[sent], rng, genuine))]
    if len(past):
        found.append((past, measure(patches, visits.pick(past), steady[past], rng, genuine)))
    catalogues = Catalogues.of(_with_counterpart(field, origin, timeline, rng), rng)
    entries = _entries(origin, timeline, sent, found, catalogues, rng)
    packets = []
    for index, at in enumerate(sent):
        candidate = records.packet_record(entries[at], timeline, at, catalogues, found[0][1], index, rng)
        recent = (visits.mjd[:at] >= visits.mjd[at] - HISTORY_DAYS).nonzero()[0]
        history = tuple(entries[i] for i in recent if i in entries)
        packets.append(MadePacket(candidate, _stamps(stamps, index, bool(found[0][1].positive[index])), history))
    return MadeObject(
        oid, origin.label, origin.subclass, _masked(packets, draw_mask(STAMP, field, rng)), _allwise(origin, rng)
    )


def _subject(timeline: Timeline, rate: tuple[float, float]) -> Subject:
    return Subject(timeline.flux, timeline.flux - timeline.change, rate)


def _expose(scene: Scene, chosen: np.ndarray, place: slice, size: int, rng: np.random.Generator) -> Cutouts | None:
    """Cutouts of the chosen visits, the fault's images being those at `place` of its list."""
    if not len(chosen):
        return None
    extra = scene.fault.extra[place] if len(scene.fault.extra) > 1 or scene.fault.stars else scene.fault.extra
    at = None if scene.fault.at is None else scene.fault.at[place]
    fault = replace(scene.fault, extra=extra, at=at)
    part = replace(scene, subject=scene.subject.pick(chosen), visits=scene.visits.pick(chosen), fault=fault)
    return expose(part, rng, size)


def _steady(timeline: Timeline, fault: Fault | None, visits: Visits) -> np.ndarray:
    """Light (DN) of the star under the candidate in the reference, (V,)."""
    before = timeline.flux - timeline.change
    for x, y, r in fault.stars if fault else ():
        near = math.exp(-0.5 * (math.hypot(x, y) / 1.5) ** 2)
        before = before + near * 10 ** (-0.4 * (r - visits.zeropoint))
    return before


def _stamps(cutouts: Cutouts, index: int, positive: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Science, template, difference; of a negative candidate ZTF sends template minus science."""
    difference = cutouts.difference[index] if positive else -cutouts.difference[index]
    return tuple(image.astype(np.float32) for image in (cutouts.science[index], cutouts.template[index], difference))


def _field(origin: Origin, fault: Fault | None, rng: np.random.Generator) -> Field:
    field = draw_field(origin.ra, origin.dec, rng, origin.density)
    for x, y, r in fault.stars if fault else ():
        field = one_source(x, y, star_colours(r, rng)).joined(field)
    return field


def _with_counterpart(field: Field, origin: Origin, timeline: Timeline, rng: np.random.Generator) -> Field:
    """The field as catalogues list it: with the host's nucleus or the object itself in quiet."""
    g, r = timeline.reference[1], timeline.reference[2]
    colour = g - r if np.isfinite(r) else 0.0
    red, redder = 0.52 * colour + rng.normal(0.0, 0.2), 0.9 * colour + rng.normal(0.0, 0.35)
    if origin.host is not None:
        nucleus = galaxy_source(origin.host)
        if np.isfinite(r):  # a point source in a galaxy is one entry: the sum of both
            lights = -2.5 * np.log10(10 ** (-0.4 * np.array([g, r])) + 10 ** (-0.4 * nucleus.mags[0, :2]))
            share = 10 ** (-0.4 * (nucleus.mags[0, 1] - lights[1]))
            return one_source(0.0, 0.0, (*lights, *nucleus.mags[0, 2:]), float(nucleus.size[0] * share)).joined(field)
        return nucleus.joined(field)
    if np.isfinite(r):
        return one_source(0.0, 0.0, (g, r, r - red, r - redder)).joined(field)
    return field


def _entries(
    origin: Origin,
    timeline: Timeline,
    sent: np.ndarray,
    found: Sequence[tuple[np.ndarray, Measured]],
    catalogues: Catalogues,
    rng: np.random.Generator,
) -> dict[int, dict[str, object]]:
    """History entries by visit: detections with their measurements, upper limits without."""
    visits, place = timeline.visits, records.chip_place(rng)
    ranks = {int(at): (measured, index) for places, measured in found for index, at in enumerate(places)}
    begin = int(np.searchsorted(visits.mjd, visits.mjd[sent[0]] - HISTORY_DAYS))
    entries = {}
    for at in range(begin, int(sent[-1]) + 1):
        if at in ranks:
            entries[at] = records.detection_record(origin, visits, at, place, *ranks[at], catalogues, rng)
        elif rng.uniform() < 0.8:
            entries[at] = records.visit_record(visits, at, place)
    return entries


def _masked(packets: Sequence[MadePacket], mask: np.ndarray) -> tuple[MadePacket, ...]:
    """The packets with no value where `mask` (H, W) is set, in the same place in all cutouts."""
    if not mask.any():
        return tuple(packets)
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
