"""Simulated alerts beside real ones: distributions, and whether a classifier can tell them apart.

One alert of each real object is taken, its newest packet, and for each a made object of the same class in the same
exposure: place (moved by a fraction of a degree), density of stars, time, filter, depth, seeing and number of earlier
visits are those of the archive, since they tell where the survey looked and not what it saw. All else is simulated.
Objects without a label take a class from `UNLABELLED_MIX`, an estimate from what can be counted in the archive: no
reference source and one detection (asteroids), on a star with few detections in many visits (faulty subtractions), on
a star with many (variables); the shares follow these counts from night to night. So does the mix of faults
(`ALERTED_FAULTS`): cosmic rays are as many as single detections narrower than any star, counted in the archive.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tsc_core.alerts import Alert
from tsc_core.data.simulate.archive import made_sequence
from tsc_core.data.simulate.cadence import Site
from tsc_core.data.simulate.population import MadeObject, Recipe, simulate_each
from tsc_core.data.simulate.sky import star_density
from tsc_core.data.simulate.stamp_statistics import STATISTICS, statistics
from tsc_core.data.simulate.two_sample import METADATA_GROUPS, STAMP_GROUPS, by_group, distances, told_apart
from tsc_core.features import EXTRAS, PAPER, ecliptic, read
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import CLASSES

UNLABELLED_MIX = {"AGN": 0.05, "SN": 0.04, "VS": 0.20, "asteroid": 0.17, "bogus": 0.54}
NIGHT_WEIGHT = 25.0  # alerts of the whole archive that count with those of a night
FEW_DETECTIONS = 20  # on a star: more of them mean that it varies
ALERTED_FAULTS = {
    "bad subtraction": 0.755, "saturated star": 0.03, "diffraction spike": 0.02, "cosmic ray": 0.15,
    "hot column": 0.015, "ghost": 0.005, "noise": 0.025,
}  # fmt: skip
NEIGHBOURS = 8  # alerts whose counts of PS1 sources give the density of stars of a place
FAINT_GALAXIES = 4.8  # of them per square arcmin
FEATURES = PAPER + EXTRAS
NAMES = tuple(feature.name for feature in FEATURES)
JITTER = 0.3  # deg: places are moved, so that the test is not about single positions


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Alerts as numbers: metadata (N, F) by `NAMES`, stamp statistics (N, S) by `STATISTICS`, and classes."""

    metadata: np.ndarray
    stamps: np.ndarray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def real_alerts(source: PacketSource) -> tuple[list[Alert], Counter]:
    """The newest alert with stamps of each object of an archive, and what was left out, by reason."""
    kept, skipped = [], Counter()
    for oid in source.oids():
        alerts = [packet.alert for packet in source.packets(oid) if packet.alert.has_stamps]
        if not alerts:
            skipped["no stamps"] += 1
            continue
        newest = max(alerts, key=lambda alert: alert.mjd)
        if _overwritten(newest):
            skipped["catalogue fields overwritten on the way (sgscore1 0.2, distpsnr1 120, neargaia 300)"] += 1
        else:
            kept.append(newest)
    return kept, skipped


def _overwritten(alert: Alert) -> bool:
    return alert.value("distpsnr1") == 120.0 and alert.value("neargaia") == 300.0


def sites_of(alerts: Sequence[Alert], labels: Mapping[str, str], rng: np.random.Generator) -> tuple[Site, ...]:
    """The exposures of real alerts, each with a class: the object's own, or one drawn from `UNLABELLED_MIX`."""
    places = [_place(alert, rng) for alert in alerts]
    odds = np.array([_odds(ra, dec) for ra, dec in places])
    odds = odds / odds.mean(axis=0) * _night_mix(alerts)
    crowds = _densities(alerts)
    return tuple(
        _site(alert, place, labels.get(alert.oid, ""), share / share.sum(), crowd, rng)
        for alert, place, share, crowd in zip(alerts, places, odds, crowds, strict=True)
    )


def _night_mix(alerts: Sequence[Alert]) -> np.ndarray:
    """`UNLABELLED_MIX` shifted by what each night holds more or less of than the archive, (N, classes).

    Brokers kept other kinds of alerts in other nights. What can be counted stands for the classes: nothing below and
    one detection (asteroid), nothing below and several (SN), on a source and few detections (bogus), or many (VS, AGN).
    """
    below = np.array([alert.value("distnr") < 1.5 for alert in alerts])
    count = np.array([alert.value("ndethist") for alert in alerts])
    often = count > FEW_DETECTIONS
    kinds = {"AGN": below & often, "SN": ~below & (count > 1), "VS": below & often}
    kinds |= {"asteroid": ~below & (count <= 1), "bogus": below & ~often}
    signs = np.stack([kinds[name] for name in CLASSES], axis=1).astype(float)
    nights = np.array([math.floor(alert.mjd) for alert in alerts])
    shares = np.empty_like(signs)
    for night in np.unique(nights):
        here = nights == night
        shares[here] = signs[here].sum(axis=0) + NIGHT_WEIGHT * signs.mean(axis=0)
        shares[here] /= here.sum() + NIGHT_WEIGHT
    return shares / signs.mean(axis=0) * np.array([UNLABELLED_MIX[name] for name in CLASSES])


def _densities(alerts: Sequence[Alert]) -> list[float]:
    """Stars per square arcmin around each alert, from what its neighbours on the sky (not it) count in PS1."""
    ra, dec = (np.radians([alert.value(name) for alert in alerts]) for name in ("ra", "dec"))
    sky = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    counts = np.array([alert.value("nmtchps") for alert in alerts])
    near = np.argsort(-(sky @ sky.T), axis=1)[:, 1 : NEIGHBOURS + 1]
    return [float(max(counts[row].mean() / (math.pi * 0.25) - FAINT_GALAXIES, 0.3)) for row in near]


def _place(alert: Alert, rng: np.random.Generator) -> tuple[float, float]:
    dec = float(np.clip(alert.value("dec") + rng.normal(0.0, JITTER), -89.0, 89.0))
    return float((alert.value("ra") + rng.normal(0.0, JITTER) / math.cos(math.radians(dec))) % 360.0), dec


def _odds(ra: float, dec: float) -> list[float]:
    """How much likelier than elsewhere each class is at a place, in the order of `CLASSES`."""
    crowd = star_density(ra, dec)
    far, near = 3.0 / (1.0 + crowd / 30.0), 0.02 + math.exp(-((ecliptic(ra, dec)[1] / 14.0) ** 2))
    by_class = {"AGN": far, "SN": far, "VS": crowd**0.5, "asteroid": near, "bogus": crowd**0.5}
    return [by_class[name] for name in CLASSES]


def _site(
    alert: Alert, place: tuple[float, float], label: str, shares: np.ndarray, crowd: float, rng: np.random.Generator
) -> Site:
    fault = str(rng.choice(list(ALERTED_FAULTS), p=list(ALERTED_FAULTS.values())))
    drawn = CLASSES[int(rng.choice(len(CLASSES), p=shares))]
    return Site(
        ra=place[0],
        dec=place[1],
        mjd=alert.mjd + rng.uniform(-0.003, 0.003),
        fid=alert.fid if alert.fid in (1, 2) else 2,
        limit=alert.value("diffmaglim") + rng.normal(0.0, 0.02),
        seeing=alert.value("fwhm") * alert.value("seeratio") * math.exp(rng.normal(0.0, 0.01)),
        covered=max(1, round(alert.value("ncovhist") * math.exp(rng.normal(0.0, 0.05)))),
        label=(kind := label if label in CLASSES else drawn),
        subclass=fault if kind == "bogus" else "",
        density=crowd,
    )


def made_alert(made: MadeObject) -> tuple[Alert, str]:
    """The last alert of a made object, as a source would read it, and its class."""
    return made_sequence(made).alerts[-1], made.label


def sample(alerts: Iterable[tuple[Alert, str]]) -> Sample:
    """Numbers of alerts with their classes; stamps that are not 63 x 63 give NaN."""
    metadata, stamps, labels = [], [], []
    for alert, label in alerts:
        metadata.append([read(alert, feature) for feature in FEATURES])
        stamps.append(statistics(alert.stamps))
        labels.append(label)
    # Single precision, as packets carry it: the digits of a double would give the simulation away.
    return Sample(np.array(metadata, dtype=np.float32), np.array(stamps, dtype=np.float32), tuple(labels))


def compare(
    source: PacketSource,
    labels: Mapping[str, str],
    seed: int = 0,
    processes: int = 1,
    progress: Callable[[int], object] = lambda n: None,
) -> tuple[dict[str, object], Sample, Sample]:
    """Simulate an archive's exposures and report how far the two differ; also both samples, real first.

    Returns
    -------
    report : dict
        `auc_metadata` (the paper's 23), `auc_metadata_extra` (all features), `auc_stamps`: cross-validated areas
        under the curve of gradient boosting, 0.5 where real and made cannot be told apart; `groups` and
        `groups_stamps`: the same on some of the features alone; `ks` by feature; `classes`: these distances by class
        where labels exist, to all made alerts of the class and to those of the same exposures; `stamps`: quantiles of
        each stamp statistic.
    """
    rng = np.random.default_rng([seed, 4])
    alerts, skipped = real_alerts(source)
    sites = sites_of(alerts, labels, rng)
    real = sample((alert, labels.get(alert.oid, "")) for alert in alerts)
    made_alerts = []
    for found in simulate_each(made_alert, len(sites), seed, Recipe(sites=sites), processes):
        made_alerts.append(found)
        progress(1)
    made = sample(made_alerts)
    report = _told(real, made, seed) | {
        "classes": _by_class(real, made, labels, alerts),
        "stamps": _quantiles(real.stamps, made.stamps),
        "objects": {"real": len(real), "made": len(made), "made_by_class": dict(sorted(Counter(made.labels).items()))},
        "unlabelled_mix": UNLABELLED_MIX,
        "skipped": dict(skipped),
        "seed": seed,
    }
    return report, real, made


def _told(real: Sample, made: Sample, seed: int) -> dict[str, object]:
    """Areas under the curve, on all features and by group, and distances of single features."""
    return {
        "auc_metadata": told_apart(real.metadata[:, : len(PAPER)], made.metadata[:, : len(PAPER)], seed),
        "auc_metadata_extra": told_apart(real.metadata, made.metadata, seed),
        "auc_stamps": told_apart(real.stamps, made.stamps, seed),
        "groups": by_group(real.metadata, made.metadata, NAMES, METADATA_GROUPS, seed),
        "groups_stamps": by_group(real.stamps, made.stamps, STATISTICS, STAMP_GROUPS, seed),
        "ks": distances(real.metadata, made.metadata, NAMES),
    }


def _by_class(
    real: Sample, made: Sample, labels: Mapping[str, str], alerts: Sequence[Alert]
) -> dict[str, dict[str, object]]:
    """Distances by class, for the classes that labelled real objects have."""
    true = np.array([labels.get(alert.oid, "") for alert in alerts])
    drawn = np.array(made.labels)
    return {
        name: {
            "real": int((true == name).sum()),
            "made": int((drawn == name).sum()),
            "ks": distances(real.metadata[true == name], made.metadata[drawn == name], NAMES),
            "ks_same_exposures": distances(real.metadata[true == name], made.metadata[true == name], NAMES),
            "ks_stamps": distances(real.stamps[true == name], made.stamps[drawn == name], STATISTICS),
        }
        for name in CLASSES
        if (true == name).sum() >= 5
    }


def _quantiles(real: np.ndarray, made: np.ndarray) -> dict[str, dict[str, object]]:
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    apart = distances(real, made, STATISTICS)
    return {
        name: {
            "ks": apart[name],
            "real": [round(float(q), 4) for q in np.nanquantile(real[:, place], levels)],
            "made": [round(float(q), 4) for q in np.nanquantile(made[:, place], levels)],
        }
        for place, name in enumerate(STATISTICS)
    }
