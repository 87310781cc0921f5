"""One object as the survey meets it: which visits detect it, and what the counters of the alerts say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.cadence import (
    SURVEY_END,
    SURVEY_START,
    Site,
    Visits,
    coverage,
    draw_visits,
    visits_up_to,
)
from tsc_core.data.simulate.measure import STAR_FLOOR, scorr_noise
from tsc_core.data.simulate.origins import Origin

HISTORY_DAYS = 30.0  # a packet carries the visits of that many days before it
REFERENCE_SPAN = (58194.0, 58330.0)  # when the reference images were taken
REFERENCE_FRAMES = 15
PAST_SAMPLES = 60
KEPT_PAST = (0.05, 0.7)  # share of what would have been seen before that was: ranges over objects


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Visits of one object in time order, with its light in each; arrays are (V,).

    Attributes
    ----------
    visits : Visits
    flux, change : DN
        Light of the point source, and that minus the reference's.
    detected : bool
        An alert was sent.
    ndethist, ncovhist, jdstarthist
        Counters as the alert packet states them.
    reference : dict of int to float
        Magnitude of the point source in the reference image per band (`inf` where it had none).
    first : int
        Index of the first visit from which packets are sent.
    """

    visits: Visits
    flux: np.ndarray
    change: np.ndarray
    detected: np.ndarray
    ndethist: np.ndarray
    ncovhist: np.ndarray
    jdstarthist: np.ndarray
    reference: dict[int, float]
    first: int


def follow(
    origin: Origin, start: float, days: float, fresh: bool, rng: np.random.Generator, site: Site | None = None
) -> Timeline | None:
    """Follow an object from 30 days before `start`; None where no visit detects it.

    Parameters
    ----------
    origin : Origin
    start, days : float
        First date (MJD) at which packets may begin (the explosion of a transient), and how long to watch.
    fresh : bool
        Whether a lasting object is met for the first time, or after years in the survey.
    site : Site, optional
        Watch up to this exposure instead, and ask that it detects the object.
    """
    if site is not None:
        lasted = 0.0 if origin.lasting else max(site.mjd - start, 0.0)  # what a transient has shown since it began
        visits = visits_up_to(site, HISTORY_DAYS + lasted, rng)
    else:
        visits = draw_visits(origin.ra, origin.dec, start - HISTORY_DAYS, min(start + days, SURVEY_END + 60.0), rng)
    if not len(visits):
        return None
    clock = visits.mjd if origin.lasting else visits.mjd - start  # transients carry their own clock
    past = rng.uniform(SURVEY_START, max(start, SURVEY_START + 60.0), PAST_SAMPLES)
    mags, reference, past_mags = _magnitudes(origin, clock, visits.fid, past, rng)
    flux = 10 ** (-0.4 * (mags - visits.zeropoint))
    steady = 10 ** (-0.4 * (_of_band(reference, visits.fid) - visits.zeropoint))
    change = flux - steady
    snr = _signal(change, steady, visits, rng)
    faint = visits.zeropoint - 2.5 * np.log10(np.abs(change) + 1e-3) - visits.limit
    detected = (snr > 5.0) & (faint < rng.normal(-0.33, 0.2, len(visits)))
    if any(origin.rate):
        detected &= visits.mjd >= (start if site is None else site.mjd)  # what moves was elsewhere before
    first = _first_packet(origin, visits, detected, start, fresh, site)
    if not detected[first:].any():
        return None
    first += int(np.argmax(detected[first:]))
    if origin.lasting and fresh:
        detected[:first] = False
    counters = _counters(origin, visits, snr, past_mags, reference, fresh, rng, site)
    return Timeline(visits, flux, change, detected, *counters, reference, first)


def _first_packet(
    origin: Origin, visits: Visits, detected: np.ndarray, start: float, fresh: bool, site: Site | None
) -> int:
    """Index of the visit from which packets may be sent."""
    if site is not None:
        return len(visits) - 1
    if fresh or not origin.lasting:
        return int(np.argmax(detected)) if detected.any() else 0
    return int(np.searchsorted(visits.mjd, start))


def _magnitudes(
    origin: Origin, clock: np.ndarray, fid: np.ndarray, past: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, dict[int, float], np.ndarray]:
    """Magnitudes at the visits, in the reference image per band, and at past times (r), from one light curve."""
    if not origin.lasting:
        return origin.light(clock, fid, rng), {1: np.inf, 2: np.inf}, np.full(len(past), np.inf)
    taken = np.sort(rng.uniform(*REFERENCE_SPAN, REFERENCE_FRAMES))
    times = np.concatenate([clock, taken, taken, past])
    bands = np.concatenate([fid, np.full(len(taken), 1), np.full(len(taken), 2), np.full(len(past), 2)])
    mags = origin.light(times, bands, rng)
    here, g, r, before = np.split(mags, np.cumsum([len(clock), len(taken), len(taken)]))
    return here, {1: _mean_magnitude(g), 2: _mean_magnitude(r)}, before


def _mean_magnitude(mags: np.ndarray) -> float:
    return float(-2.5 * np.log10(np.mean(10 ** (-0.4 * mags))))


def _of_band(reference: dict[int, float], fid: np.ndarray) -> np.ndarray:
    return np.array([reference[int(band)] for band in fid])


def _signal(change: np.ndarray, steady: np.ndarray, visits: Visits, rng: np.random.Generator) -> np.ndarray:
    """Signal-to-noise of the change as the pipeline measures it (ZTF's ``scorr``)."""
    return np.abs(change) / scorr_noise(np.abs(change), steady, visits) + 0.8 * rng.standard_normal(len(change))


def _counters(
    origin: Origin,
    visits: Visits,
    snr: np.ndarray,
    past: np.ndarray,
    reference: dict[int, float],
    fresh: bool,
    rng: np.random.Generator,
    site: Site | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ndethist, ncovhist and jdstarthist at each visit (detections down to a signal-to-noise of 3 count)."""
    rate_before = coverage(origin.ra, origin.dec, float(visits.mjd[0]), rng)
    covered = rng.poisson(rate_before) + np.cumsum(rng.integers(1, 3, len(visits)))
    if site is not None:
        covered = np.maximum(1, covered + site.covered - covered[-1])
    counted = snr > 3.0
    earlier, since = 0, np.inf
    if origin.lasting and not fresh:
        typical = float(np.median(10 ** (-0.4 * (visits.limit - visits.zeropoint)))) / 5.0
        zero = float(np.median(visits.zeropoint))
        light, steady = 10 ** (-0.4 * (past - zero)), 10 ** (-0.4 * (reference[2] - zero))
        share = float((np.abs(light - steady) > 3.0 * np.hypot(typical, STAR_FLOOR * steady)).mean())
        earlier = int(rng.poisson(covered[0] * share * rng.uniform(*KEPT_PAST)))
        since = SURVEY_START + rng.exponential(60.0) if earlier else np.inf
    count = earlier + np.cumsum(counted)
    seen = visits.mjd[np.argmax(counted)] if counted.any() else np.inf
    begun = np.minimum(np.full(len(visits), min(since, seen)), visits.mjd)
    count = np.minimum(np.maximum(count, 1), covered)
    return count, covered, begun + 2400000.5
