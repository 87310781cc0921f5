"""When ZTF looks, and through what sky: visits of a position with seeing, background, depth and zero point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsc_core.data.simulate.calibration import joint
from tsc_core.data.simulate.sky import elongation, moonlight

SURVEY_START, SURVEY_END = 58194.0, 61130.0  # 2018 March 17 to 2026 March
FASTER_SINCE = 59122.0  # 2020 October: the public survey went from three nights to two
CLEAR_NIGHTS = 0.66
ZERO_POINT = {1: 26.28, 2: 26.24}  # mag of 1 DN in 30 s
GAIN, READ_NOISE = 4.0, 1.9  # electrons per DN; DN
SATURATION = 52000.0  # DN
DARK_SKY = {1: 76.0, 2: 150.0}  # DN per pixel in 30 s without a moon
MOON_SKY = {1: 150.0, 2: 190.0}  # DN per pixel that a full moon adds
SEEING = {1: 2.6, 2: 2.39}  # FWHM that ZTF states, in pixels of 1.01 arcsec, on the best nights
USUAL_SEEING = {1: 2.55, 2: 2.47}  # stated FWHM (pixel) for which stars have the width `USUAL_WIDTH`
USUAL_WIDTH = {1: 1.79, 2: 1.33}  # FWHM (pixel) of the core that real stars have
STATED_POWER = {1: 1.25, 2: 1.74}  # how that width grows with the stated FWHM
BELOW_GLOBAL = 0.34  # mag: ZTF's 5-sigma limit allows for more noise than the pixels around the candidate show


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Exposures that cover a position, ascending in time; every field is an array (V,).

    Attributes
    ----------
    mjd, fid
        Start of the exposure and filter.
    seeing : pixel
        FWHM of a star.
    sky : DN
        Background level per pixel.
    zeropoint, limit : mag
        Magnitude of 1 DN; 5-sigma limit of the difference.
    untidy
        How much worse than usual the images subtract (1 typical).
    """

    mjd: np.ndarray
    fid: np.ndarray
    seeing: np.ndarray
    sky: np.ndarray
    zeropoint: np.ndarray
    limit: np.ndarray
    untidy: np.ndarray

    def __len__(self) -> int:
        return len(self.mjd)

    def pick(self, index: np.ndarray | slice) -> Visits:
        """The visits at `index`."""
        return Visits(*(getattr(self, name)[index] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Site:
    """One exposure of a place: what a simulation may be asked to reproduce.

    Attributes
    ----------
    ra, dec : deg
    mjd, fid, limit, seeing
        Time, filter, 5-sigma limit (mag) and FWHM (pixel, as ZTF states it) of the exposure.
    covered : int
        How often the survey had been there (ZTF's ``ncovhist``).
    label, subclass : str
        Class and subclass of what is seen; an empty subclass is drawn.
    density : float
        Stars brighter than r = 21.8 per square arcmin around there; 0 for the model's.
    """

    ra: float
    dec: float
    mjd: float
    fid: int
    limit: float
    seeing: float
    covered: int
    label: str
    subclass: str = ""
    density: float = 0.0


def observed_nights(ra: float, dec: float, start: float, end: float, rng: np.random.Generator) -> np.ndarray:
    """MJD at the start of the nights in which the position is visited: cadence, season, weather."""
    nights = np.arange(np.floor(start), np.ceil(end))
    step = np.where(nights < FASTER_SINCE, 3, 2)
    turn = (nights.astype(int) + int(rng.integers(6))) % step == 0
    extra = rng.uniform(size=len(nights)) < 0.12  # other programmes pass by
    closed = np.sin(nights / 5.7 + rng.uniform(0, 6.28)) + 0.8 * rng.standard_normal(len(nights))  # weather lasts days
    clear = closed < np.sqrt(1.14) * 0.55  # about CLEAR_NIGHTS of all
    return nights[(turn | extra) & clear & (elongation(ra, dec, nights) > 55.0)]


def draw_visits(ra: float, dec: float, start: float, end: float, rng: np.random.Generator) -> Visits:
    """Visits of a position between two times, in g and r."""
    nights = observed_nights(ra, dec, start, end, rng)
    count = 1 + (rng.uniform(size=len(nights)) < 0.75) + (rng.uniform(size=len(nights)) < 0.08)
    mjd = np.repeat(nights + rng.uniform(0.14, 0.42, len(nights)), count)
    order = np.arange(len(mjd)) - np.repeat(np.cumsum(count) - count, count)
    mjd = mjd + order * rng.uniform(0.016, 0.11, len(mjd))  # half an hour to some hours within the night
    first = np.repeat(rng.integers(1, 3, len(nights)), count)
    fid = np.where(order % 2 == 0, first, 3 - first).astype(int)
    chosen = np.argsort(mjd, kind="stable")
    chosen = chosen[(mjd[chosen] >= start) & (mjd[chosen] < end)]
    return observe(mjd[chosen], fid[chosen], rng)


def visits_up_to(site: Site, days: float, rng: np.random.Generator) -> Visits:
    """Visits of the `days` before a given exposure, and that exposure last, in conditions that give its depth."""
    before = draw_visits(site.ra, site.dec, site.mjd - days, site.mjd - 0.01, rng)
    last = observe(np.array([site.mjd]), np.array([site.fid]), rng, np.array([site.seeing]), np.array([site.limit]))
    return Visits(*(np.concatenate([getattr(before, n), getattr(last, n)]) for n in Visits.__slots__))


def drawn_seeing(stated: np.ndarray, fid: np.ndarray) -> np.ndarray:
    """FWHM (pixel) of the profile that makes an image for which ZTF states a FWHM of `stated`."""
    usual, width, power = (_by_band(table, fid) for table in (USUAL_SEEING, USUAL_WIDTH, STATED_POWER))
    return width * (stated / usual) ** power


def stated_seeing(drawn: np.ndarray, fid: np.ndarray) -> np.ndarray:
    """Inverse of `drawn_seeing`."""
    usual, width, power = (_by_band(table, fid) for table in (USUAL_SEEING, USUAL_WIDTH, STATED_POWER))
    return usual * (drawn / width) ** (1.0 / power)


def observe(
    mjd: np.ndarray,
    fid: np.ndarray,
    rng: np.random.Generator,
    seeing: np.ndarray | None = None,
    limit: np.ndarray | None = None,
) -> Visits:
    """The sky at given times: seeing and depth (drawn where not given: moon, clouds), and the images that go with them.

    `seeing` is the FWHM (pixel) that ZTF states, (V,).

    Background and zero point are drawn together as real images of that filter, depth and seeing have them.
    """
    count = len(mjd)
    if seeing is None:
        worse = rng.exponential(0.10, count) + (rng.uniform(size=count) < 0.15) * rng.exponential(0.3, count)
        seeing = np.clip(_by_band(SEEING, fid) * np.exp(0.8 * worse + 0.016 * rng.standard_normal(count)), 2.2, 5.6)
    if limit is None:
        limit = _depth(mjd, fid, seeing, rng)
    given = {"fid": fid, "limit": limit, "seeing": seeing}
    sky = joint("exposure").draw(given, rng)[0]
    zeropoint = joint("zeropoint").draw(given | sky, rng)[0]["zeropoint"]
    return Visits(
        mjd, fid, drawn_seeing(seeing, fid), np.exp(sky["sky"]), zeropoint, limit, rng.lognormal(0.0, 0.4, count)
    )


def _depth(mjd: np.ndarray, fid: np.ndarray, seeing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """5-sigma limits (mag) under a drawn sky; `seeing` is the FWHM (pixels) that ZTF states."""
    count = len(mjd)
    cloud = rng.exponential(0.05, count) + (rng.uniform(size=count) < 0.06) * rng.exponential(0.6, count)
    zeropoint = _by_band(ZERO_POINT, fid) + 0.05 * rng.standard_normal(count) - cloud
    up = rng.uniform(0.0, 1.0, count)
    sky = _by_band(DARK_SKY, fid) * np.exp(0.18 * rng.standard_normal(count))
    sky = sky + _by_band(MOON_SKY, fid) * moonlight(mjd) * up
    noise = np.sqrt(sky / GAIN + READ_NOISE**2) * rng.lognormal(0.0, 0.07, count)
    return limiting_magnitude(noise, seeing, zeropoint) + 0.08 * rng.standard_normal(count)


def limiting_magnitude(noise: np.ndarray, seeing: np.ndarray, zeropoint: np.ndarray) -> np.ndarray:
    """5-sigma limit (mag) for a point source: white noise (DN per pixel) under a Gaussian of that FWHM (pixels)."""
    area = 4.0 * np.pi * (seeing / 2.355) ** 2
    return zeropoint - 2.5 * np.log10(5.0 * noise * np.sqrt(area)) - BELOW_GLOBAL


def coverage(ra: float, dec: float, mjd: float, rng: np.random.Generator) -> float:
    """Expected number of visits of a position from the survey's start up to `mjd` (ZTF's ``ncovhist``)."""
    years = max(mjd - SURVEY_START + 60.0, 1.0) / 365.25
    season = 0.45 + 0.4 * min(1.0, (dec + 30.0) / 90.0)
    return years * season * rng.lognormal(np.log(300.0), 0.5)


def _by_band(table: dict[int, float], fid: np.ndarray) -> np.ndarray:
    return np.where(np.asarray(fid) == 1, table[1], table[2])
