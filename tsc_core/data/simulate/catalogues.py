"""What the catalogues of PS1, Gaia and ZTF's own reference images make of a field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from tsc_core.data.simulate.calibration import CROWDED, DENSE, FAR, joint, table
from tsc_core.data.simulate.scene import BANDS, CROWDED_DEPTH, DEPTH, HALF, Field, crowding
from tsc_core.survey import ZTF

PS1_DEPTH = {"g": 22.0, "r": 22.2, "i": 22.3, "z": 21.8}
MISSING = -999.0
NOISE_PEAKS = 22.0  # of a reference image's noise in its list, over the field that is made
GLARE, GLARE_EDGE = 3.3, 0.45  # pixels: how far the glare of a star of r = `GLARE_MAG` reaches, how softly it ends
GLARE_MAG, GLARE_SLOPE, GLARE_LIMITS = 16.5, 0.35, (2.4, 5.5)  # brighter stars reach farther (pixels per mag)
HIDDEN, SECOND_LISTED = 0.85, 0.45  # share of the sources in a glare that PS1 lacks; of second entries that it has
KEPT_APART = 0.9  # share of sources whose score tells galaxies from stars
GALAXY_SHARE = np.array([0.06, 0.18, 0.4, 0.6, 0.7])  # of sources brighter than r = 18, 20, 21, 22, and fainter


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """DAOPhot's list of one reference image; arrays (N,): offsets (pixel), magnitude, error, chi, sharpness."""

    x: np.ndarray
    y: np.ndarray
    mag: np.ndarray
    error: np.ndarray
    chi: np.ndarray
    sharp: np.ndarray

    def nearest(self, x: float, y: float) -> dict[str, float]:
        """``distnr`` (pixel) and the columns of the source nearest to an offset (x, y) in pixels."""
        distance = np.hypot(self.x - x, self.y - y)
        at = int(np.argmin(distance))
        return {
            "distnr": float(distance[at]),
            "magnr": round(float(self.mag[at]), 3),
            "sigmagnr": round(float(self.error[at]), 3),
            "chinr": round(float(self.chi[at]), 3),
            "sharpnr": round(float(self.sharp[at]), 3),
            "x": float(self.x[at]),
            "y": float(self.y[at]),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Stars:
    """A catalogue's sources; arrays (N,): offsets in arcsec, and the columns by name."""

    x: np.ndarray
    y: np.ndarray
    columns: dict[str, np.ndarray]

    def order(self, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        """Distances (arcsec) from an offset in pixels, and the order by them."""
        distance = np.hypot(self.x - x * ZTF.pixel_arcsec, self.y - y * ZTF.pixel_arcsec)
        return distance, np.argsort(distance)


@dataclass(frozen=True, slots=True, eq=False)
class Catalogues:
    """The catalogues around one object: the same sources for each of its alerts."""

    ps1_list: Stars
    gaia_list: Stars
    references: dict[int, Reference]

    @classmethod
    def of(cls, field: Field, rng: np.random.Generator) -> Catalogues:
        """Draw what each catalogue has of a field."""
        ps1, score = _ps1(field, rng)
        crowd = float(np.log(1.0 + (np.hypot(ps1.x, ps1.y) < 30.0).sum()))
        references = {fid: _reference(field, fid, score, crowd, rng) for fid in (1, 2)}
        return cls(ps1, _gaia(field, rng), references)

    def reference(self, fid: int) -> Reference:
        """The list of the reference image in a band."""
        return self.references[fid]

    def ps1(self, x: float, y: float) -> dict[str, float | int]:
        """The three sources nearest to an offset (pixel), within 30 arcsec; -999 where there are fewer."""
        distance, order = self.ps1_list.order(x, y)
        near = order[: int((distance < 30.0).sum())]
        record: dict[str, float | int] = {"nmtchps": len(near)}
        for rank in range(3):
            record |= self._ps1_row(rank, near, distance)
        return record

    def _ps1_row(self, rank: int, near: np.ndarray, distance: np.ndarray) -> dict[str, float | int]:
        end, columns = str(rank + 1), self.ps1_list.columns
        if rank >= len(near):
            empty = {f"s{band}mag{end}": MISSING for band in BANDS}
            return {**empty, f"sgscore{end}": MISSING, f"distpsnr{end}": MISSING, f"objectidps{end}": 0}
        at = near[rank]
        row: dict[str, float | int] = {f"s{band}mag{end}": float(columns[band][at]) for band in BANDS}
        row |= {f"sgscore{end}": float(columns["score"][at]), f"distpsnr{end}": float(distance[at])}
        return {**row, f"objectidps{end}": int(columns["number"][at])}

    def gaia(self, x: float, y: float) -> dict[str, float]:
        """Nearest Gaia source within 90 arcsec, and the nearest brighter than 14 mag; -999 where none."""
        distance, order = self.gaia_list.order(x, y)
        mag, found = self.gaia_list.columns["mag"], {}
        for end, faintest in (("", 99.0), ("bright", 14.0)):
            near = order[(mag[order] < faintest) & (distance[order] < 90.0)]
            found[f"neargaia{end}"] = float(distance[near[0]]) if len(near) else MISSING
            found[f"maggaia{end}"] = float(mag[near[0]]) if len(near) else MISSING
        return found


def _extent_rank(field: Field, shift: float, rng: np.random.Generator) -> np.ndarray:
    """A rank in [0, 1], uniform over the usual sources of each brightness, galaxies above stars.

    `shift` (in standard deviations) moves all ranks of a crowded field.
    """
    r, galaxy = field.mags[:, 1], field.size > 0.3
    bins = np.searchsorted((18.0, 20.0, 21.0, 22.0), r)
    share = GALAXY_SHARE[bins]
    drawn = rng.uniform(size=len(field))
    split = np.where(galaxy, 1.0 - drawn * share, drawn * (1.0 - share))
    rank = np.where(rng.uniform(size=len(field)) < KEPT_APART, split, drawn)
    crowd = shift * np.log10((len(field) + 5.0) / 110.0)
    return ndtr(ndtri(np.clip(rank, 1e-4, 1.0 - 1e-4)) + crowd)


def _centre_score(r: np.ndarray, rank: np.ndarray, crowd: float, rng: np.random.Generator) -> np.ndarray:
    """PS1's star score of what lies at the candidate, by brightness and rank; 0.5 where crowding hides it."""
    place = "sparse" if crowd < CROWDED else "crowded" if crowd < DENSE else "dense"
    unknown = table(f"unknown_on_{place}").mean(r) > rng.uniform(size=len(r))
    return np.where(unknown, 0.5, table("sgscore_on").draw(r, rank))


def _field_score(
    field: Field, centre: np.ndarray, listed: np.ndarray, lost: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The score of the others: by brightness and crowding, unknown near a source that the candidate lies on."""
    r, rank = field.mags[:, 1], 1.0 - _extent_rank(field, 0.0, rng)
    away = np.hypot(field.x, field.y) * ZTF.pixel_arcsec
    crowd = float((listed & (away < 30.0)).sum())
    near = away if centre.any() else np.full(len(r), FAR)
    place = ("beside" if centre.any() else "alone") + ("_crowded" if crowd >= CROWDED else "_sparse")
    score = np.where(
        lost, table("sgscore_lost").draw(np.full(len(r), crowd), rank), table(f"sgscore_{place}").draw(r, rank)
    )
    by_light = table("unknown_beside").mean(near) if centre.any() else table("unknown_alone").mean(r)
    unknown = np.where(lost, table("unknown_lost").mean(near), by_light)
    return np.where(unknown > rng.uniform(size=len(r)), 0.5, score)


def _ps1(field: Field, rng: np.random.Generator) -> tuple[Stars, np.ndarray]:
    """PS1's list, and the star score that each source of the field has or would have there."""
    sources, crowded = len(field), crowding(field)
    field = field.joined(_doubles(field, crowded, rng))
    r, shade = field.mags[:, 1], _shade(field)
    depth = DEPTH + (CROWDED_DEPTH - DEPTH) * crowded
    soft = 0.3 + 0.15 * crowded
    kept = np.where(np.arange(len(r)) < sources, 1.0 - HIDDEN * shade, SECOND_LISTED)
    listed = rng.uniform(size=len(r)) < kept / (1.0 + np.exp((r - depth) / soft))
    away = np.hypot(field.x, field.y)
    centre, crowd = away < 1.5, float((listed & (away * ZTF.pixel_arcsec < 30.0)).sum())
    lost = rng.uniform(size=len(r)) < np.clip(0.03 + 0.2 * (r > 18.5) + 0.45 * shade, 0.0, 0.7)
    blended = 1.0 - _extent_rank(field, 0.9, rng)  # a crowd makes the one that varies look odd
    score = np.where(
        centre & (shade < 0.5), _centre_score(r, blended, crowd, rng), _field_score(field, centre, listed, lost, rng)
    )
    columns: dict[str, np.ndarray] = {"score": score[listed]}
    changed = np.clip(0.07 * rng.standard_t(2.2, len(r)), -1.5, 1.5)  # PS1 looked years before
    for place, band in enumerate(BANDS):
        mag = field.mags[:, place] + changed + 0.02 * rng.standard_normal(len(r))
        deep = PS1_DEPTH[band] + 0.25 * rng.standard_normal(len(r))
        gone = (mag > deep) | (lost & (rng.uniform(size=len(r)) < (0.95 if band in "gr" else 0.35)))
        columns[band] = np.where(gone, MISSING, np.round(mag, 4))[listed]
    count = int(listed.sum())
    columns["number"] = rng.integers(7 * 10**16, 2 * 10**17, count)
    x, y = (axis[listed] * ZTF.pixel_arcsec + 0.08 * rng.standard_normal(count) for axis in (field.x, field.y))
    return Stars(x, y, columns), score[:sources]


def _shade(field: Field) -> np.ndarray:
    """How much each source lies in the glare of a brighter star, 0 to 1: PS1 knows little of it there."""
    bright = np.flatnonzero(field.mags[:, 1] < 18.0)
    reach = np.clip(GLARE + GLARE_SLOPE * (GLARE_MAG - field.mags[bright, 1]), *GLARE_LIMITS)
    distance = np.hypot(field.x[:, None] - field.x[bright], field.y[:, None] - field.y[bright]) - reach
    brighter = field.mags[:, 1][:, None] > field.mags[bright, 1] + 1e-6
    nearest = np.where(brighter, distance, np.inf).min(axis=1, initial=np.inf)
    return 1.0 / (1.0 + np.exp(np.clip(nearest / GLARE_EDGE, -30, 30)))


def _doubles(field: Field, crowded: float, rng: np.random.Generator) -> Field:
    """Second entries that PS1 has of bright stars, and in crowded fields of fainter ones, some arcseconds away."""
    r = field.mags[:, 1]
    share = np.clip((17.5 + 4.5 * crowded - r) * 0.09 * (1.0 + crowded), 0.0, 0.35 + 0.45 * crowded)
    twice = np.flatnonzero((field.size < 0.3) & (rng.uniform(size=len(r)) < share))
    twice = np.repeat(twice, 1 + (rng.uniform(size=len(twice)) < 0.25))
    angle, wide = rng.uniform(0, 2 * np.pi, len(twice)), rng.uniform(size=len(twice)) < 0.3 * crowded
    away = np.where(wide, rng.uniform(1.0, 5.0, len(twice)), rng.uniform(0.3, 1.7, len(twice)))
    fainter = np.abs(rng.normal(0.3, 0.9, len(twice)))[:, None]
    x, y = field.x[twice] + away * np.cos(angle), field.y[twice] + away * np.sin(angle)
    return Field(x, y, field.mags[twice] + fainter, np.zeros(len(twice)))


def _gaia(field: Field, rng: np.random.Generator) -> Stars:
    mag = (
        field.mags[:, 1] - 0.22 * (field.mags[:, 0] - field.mags[:, 1]) - 0.04 + 0.06 * rng.standard_normal(len(field))
    )
    listed = (mag < 20.7) & (field.size < 0.6)
    density = max(int((listed).sum()), 1) / (2 * HALF) ** 2
    beyond = rng.poisson(density * (np.pi * 90.0**2 - (2 * HALF) ** 2))  # stars outside the field that was made
    angle, radius = rng.uniform(0, 2 * np.pi, beyond), np.sqrt(rng.uniform(HALF**2, 90.0**2, beyond))
    far = rng.choice(mag[listed], beyond) if listed.any() else rng.uniform(15.0, 20.7, beyond)
    x = np.concatenate([field.x[listed] * ZTF.pixel_arcsec, radius * np.cos(angle)])
    y = np.concatenate([field.y[listed] * ZTF.pixel_arcsec, radius * np.sin(angle)])
    return Stars(x, y, {"mag": np.concatenate([mag[listed], far])})


def _reference(field: Field, fid: int, score: np.ndarray, crowd: float, rng: np.random.Generator) -> Reference:
    mag = field.mags[:, fid - 1]
    deepest = 23.05 - 1.7 * np.log10(1.0 + len(mag) / 150.0)  # crowding hides the faint ones
    listed = rng.uniform(size=len(mag)) < 1.0 / (1.0 + np.exp((mag - deepest) / 0.25))
    if not listed.any():
        listed[np.argmin(mag)] = True
    mag, count = mag[listed], int(listed.sum())
    given = {
        "mag": mag,
        "fid": np.full(count, fid),
        "here": (np.hypot(field.x, field.y)[listed] < 1.5).astype(float),
        "score": score[listed],
        "crowd": np.full(count, crowd),
    }
    columns = joint("reference").draw(given, rng)[0] | {"x": field.x[listed], "y": field.y[listed]}
    columns["mag"] = mag + np.exp(columns["error"]) * rng.standard_normal(count)
    peaks = _peaks(fid, crowd, rng)
    columns = {name: np.concatenate([columns[name], peaks[name]]) for name in peaks}
    jitter = 0.04 + 0.3 * np.clip(10 ** (0.4 * (columns["mag"] - 22.9)), 0.0, 1.0)
    x, y = (columns[axis] + jitter * rng.standard_normal(len(jitter)) for axis in ("x", "y"))
    return Reference(x, y, columns["mag"], np.exp(columns["error"]), np.exp(columns["chi"]), columns["sharp"])


def _peaks(fid: int, crowd: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What the reference's list has of its noise; in a crowd its threshold is above it."""
    count = rng.poisson(NOISE_PEAKS / (1.0 + np.exp((crowd - 3.0) / 0.4)))
    given = {"fid": np.full(count, fid), "crowd": np.full(count, crowd)}
    drawn = joint("peak").draw(given, rng)[0]
    return drawn | {axis: rng.uniform(-HALF, HALF, count) for axis in ("x", "y")}
