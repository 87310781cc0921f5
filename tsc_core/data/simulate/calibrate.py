"""Fit `calibration.json` to an archive of real alerts: ``python -m tsc_core.data.simulate.calibrate ARCHIVE``.

Tables and joint distributions come from the real alerts alone. Made alerts, simulated in the same exposures with what
was just fitted, then give the ranks by which their pixels enter the distribution "measurement". The file that ships is
not read: the same archive and labels give the same file again.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tsc_core.alerts import CHANNELS, Alert
from tsc_core.data.labels import LabelError, read_labels
from tsc_core.data.simulate.calibrate_tables import fit_tables
from tsc_core.data.simulate.calibration import PATH, using
from tsc_core.data.simulate.compare import made_alert, real_alerts, sites_of
from tsc_core.data.simulate.joint import Joint, fit_joint, quantiles
from tsc_core.data.simulate.pixels import CALM, calm_numbers, central, centre_numbers
from tsc_core.data.simulate.population import Recipe, simulate_each
from tsc_core.sources.base import SourceError
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import ZTF

FEWEST_ALERTS = 50
BALANCING_STEPS = 12
USED = ("width", "ratio", "below")  # of the pixels' numbers
TIE_ERROR, APART_ERROR = 0.03, 0.035  # of a correlation between pixels of one stamp, and of the difference of two
LEAST_KEPT = 0.2  # share of a variance that is real at least
FLOOR = (2.28, 2.36)  # pixel: where SExtractor takes the least width it allows


def fit(alerts: Sequence[Alert]) -> dict[str, object]:
    """The contents of `calibration.json` from real alerts with stamps."""
    tables = fit_tables([alert.record for alert in alerts])
    return {"alerts": len(alerts), "tables": tables, "joints": fit_joints(alerts)}


def fit_joints(alerts: Sequence[Alert]) -> dict[str, object]:
    """Every joint distribution by name."""
    whole = [a for a in alerts if a.stamps is not None and a.stamps.shape == (ZTF.stamp_size,) * 2]
    record = {name: np.array([_number(a, name) for a in whole]) for name in FIELDS}
    calm = np.array([_calm(alert) for alert in whole])
    pixel = dict(zip(CALM, calm.T, strict=True))
    pixel["difference_median"] = np.array([np.nanmedian(_clean(alert.stamps.difference)) for alert in whole])
    visit = {
        "fid": record["fid"],
        "limit": record["diffmaglim"],
        "seeing": record["fwhm"] * record["seeratio"],
    }
    crowd = {"crowd": np.log(record["nmtchps"] + 1.0)}
    sky = {"sky": np.log(np.clip(pixel["science_level"], 1.0, None))}
    return {
        "exposure": fit_joint(visit, sky),
        "zeropoint": fit_joint(visit | sky, {"zeropoint": record["magzpsci"]}),
        "texture": fit_joint(visit | sky | crowd, _texture(pixel)),
        "measurement": _measurement(whole, record, visit, pixel),
        "reference": _reference(record, crowd),
        "peak": _peak(record, crowd),
    }


FIELDS = (
    "fid", "diffmaglim", "fwhm", "seeratio", "nmtchps", "magzpsci", "magpsf", "sigmapsf", "chipsf", "scorr",
    "classtar", "elong", "magnr", "chinr", "sharpnr", "sigmagnr", "distnr", "sgscore1", "distpsnr1", "isdiffpos",
)  # fmt: skip


def _number(alert: Alert, name: str) -> float:
    if name == "isdiffpos":
        return float(str(alert.record.get(name)) in ("t", "1", "1.0"))
    return alert.value(name)


def _calm(alert: Alert) -> list[float]:
    stamps = alert.stamps
    if min(np.isfinite(image).mean() for image in (stamps.science, stamps.template, stamps.difference)) < 0.5:
        return [math.nan] * len(CALM)
    return calm_numbers(*(_clean(image) for image in (stamps.science, stamps.template, stamps.difference)))


def _clean(image: np.ndarray) -> np.ndarray:
    return np.where(np.abs(image) < 1e30, image, np.nan).astype(float)


def _texture(pixel: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What an exposure's and its reference's noise is like; made images add their own scatter of the ties.

    Ties along both axes, and those of pixels one and two apart in a reference, are close to each other in every image.
    They enter as differences, since a mixture of Gaussians would not hold two numbers so close together.
    """
    ties = {}
    for image in CHANNELS:
        across, down, two = (pixel[f"{image}_tie_{name}"] for name in ("x", "y", "two"))
        ties[f"{image}_tie_x"] = _without(across, TIE_ERROR)
        ties[f"{image}_lean"] = _without(down - across, APART_ERROR)
        ties[f"{image}_two"] = _without(two - across, APART_ERROR) if image == "template" else _without(two, TIE_ERROR)
    return {
        "science_noise": np.log(pixel["science_noise"]),
        "template_noise": np.log(pixel["template_noise"]),
        "difference_noise": np.log(pixel["difference_noise"] / pixel["science_noise"]),
        "template_level": pixel["template_level"] - pixel["science_level"],
        "difference_level": pixel["difference_median"],
        **ties,
    }


def _without(value: np.ndarray, error: float) -> np.ndarray:
    """Values (N,) drawn towards their median until the scatter that `error` brought is gone."""
    low, middle, high = np.nanquantile(value, (0.16, 0.5, 0.84))
    kept = max(1.0 - (2.0 * error / (high - low)) ** 2, LEAST_KEPT)
    return middle + math.sqrt(kept) * (value - middle)


def _measurement(
    alerts: Sequence[Alert],
    record: dict[str, np.ndarray],
    visit: dict[str, np.ndarray],
    pixel: dict[str, np.ndarray],
) -> dict[str, object]:
    """What ZTF's pipeline states of the difference, given its pixels."""
    seen = seen_numbers(alerts, pixel)
    excess = {"excess": record["diffmaglim"] - record["magpsf"], "positive": record["isdiffpos"]}
    stated = {
        "sigmapsf": np.log(record["sigmapsf"]),
        "chipsf": np.log(np.clip(record["chipsf"], 0.01, None)),
        "scorr": np.log(record["scorr"]),
        "fwhm": np.log(1.0 / record["seeratio"]),
        "classtar": record["classtar"],
        "elong": np.log(record["elong"]),
    }
    kind = np.full(len(alerts), "width", dtype=object)
    kind[(record["fwhm"] > FLOOR[0]) & (record["fwhm"] < FLOOR[1])] = "floor"
    kind[record["seeratio"] == 2.0] = "none"
    return fit_joint(visit | excess | {name: seen[name] for name in USED}, stated, list(kind))


def seen_numbers(alerts: Sequence[Alert], pixel: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`pixels.centre_numbers` of alerts with whole stamps, given their calm numbers."""
    boxes = {name: np.stack([central(_clean(alert.stamps.channel(name))) for alert in alerts]) for name in CHANNELS}
    above = {name: boxes[name] - pixel[f"{name}_level"][:, None, None] for name in ("science", "template")}
    return centre_numbers(boxes["difference"], above["science"], above["template"], pixel["difference_noise"])


def adapted(fitted: dict[str, object], made: Sequence[Alert]) -> dict[str, object]:
    """What was fitted, with how made alerts enter it.

    `own` holds the quantiles of the pixels' numbers over made alerts, the ranks by which they are read. The groups of
    "measurement" get the weights with which made alerts fall into each as often as real ones do.
    """
    whole = [a for a in made if a.stamps is not None and a.stamps.shape == (ZTF.stamp_size,) * 2]
    pixel = dict(zip(CALM, np.array([_calm(alert) for alert in whole]).T, strict=True))
    seen = seen_numbers(whole, pixel)
    own = {name: quantiles(v[np.isfinite(v)]) for name, v in seen.items()}
    record = {name: np.array([_number(a, name) for a in whole]) for name in FIELDS}
    stated = {
        "fid": record["fid"],
        "limit": record["diffmaglim"],
        "seeing": record["fwhm"] * record["seeratio"],
        "excess": record["diffmaglim"] - record["magpsf"],
        "positive": record["isdiffpos"],
    }
    fitted = copy.deepcopy(fitted)
    _balance(fitted["joints"]["measurement"], stated | seen, own)
    return fitted | {"own": {name: q.tolist() for name, q in own.items()}}


def _balance(stored: dict[str, object], given: Mapping[str, np.ndarray], own: Mapping[str, np.ndarray]) -> None:
    """Scale the weights of a joint's components, in place, until its groups have their shares under `given`."""
    group = np.array([part["group"] for part in stored["components"]])
    weight = np.array([part["weight"] for part in stored["components"]])
    wanted = np.bincount(group, weight)
    finite = np.isfinite(np.stack([given[name] for name in stored["conditions"]])).all(axis=0)
    kept = {name: given[name][finite] for name in stored["conditions"]}
    for _ in range(BALANCING_STEPS):
        share = Joint.from_dict(stored).shares(kept, np.random.default_rng(0), own).mean(axis=0)
        weight = weight * (wanted / np.bincount(group, share))[group]
        for part, value in zip(stored["components"], weight / weight.sum(), strict=True):
            part["weight"] = round(float(value), 6)


def _reference(record: dict[str, np.ndarray], crowd: dict[str, np.ndarray]) -> dict[str, object]:
    """DAOPhot's columns of a reference source that PS1 lists too, given its magnitude and star score."""
    same = np.abs(record["distnr"] * ZTF.pixel_arcsec - record["distpsnr1"]) < 0.8
    known = {
        "mag": np.where(same & (record["magnr"] > 0), record["magnr"], math.nan),
        "fid": record["fid"],
        "here": (record["distnr"] < 1.5).astype(float),
        "score": record["sgscore1"],
        **crowd,
    }
    return fit_joint(known, _columns(record))


def _peak(record: dict[str, np.ndarray], crowd: dict[str, np.ndarray]) -> dict[str, object]:
    """Entries of the reference that PS1 does not have: mostly peaks of its noise."""
    alone = record["distpsnr1"] - record["distnr"] * ZTF.pixel_arcsec > 2.0
    mag = np.where(alone & (record["magnr"] > 20.0), record["magnr"], math.nan)
    return fit_joint({"fid": record["fid"], **crowd}, {"mag": mag} | _columns(record))


def _columns(record: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "chi": np.log(np.clip(record["chinr"], 0.01, None)),
        "sharp": record["sharpnr"],
        "error": np.log(np.clip(record["sigmagnr"], 1e-3, None)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the tables to an archive and write them."""
    parser = argparse.ArgumentParser(prog="python -m tsc_core.data.simulate.calibrate", description=__doc__)
    parser.add_argument("archive", type=Path, help="packets: a .tar.gz, a folder, or one .avro file")
    parser.add_argument("--out", type=Path, default=PATH, help="default: the file that ships")
    parser.add_argument("--labels", type=Path, help="CSV of known classes (oid or objectId, label)")
    args = parser.parse_args(arguments)
    try:
        labels = {row.oid: row.label for row in read_labels(args.labels).labels} if args.labels else {}
        alerts, _ = real_alerts(PacketSource(args.archive))
    except (LabelError, SourceError, OSError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 2
    if len(alerts) < FEWEST_ALERTS:
        print(f"calibrate: {len(alerts)} objects with stamps found, {FEWEST_ALERTS} needed", file=sys.stderr)
        return 1
    try:
        fitted = fit(alerts)
    except ValueError as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 1
    with using(fitted | {"own": {}}):
        made = _made(alerts, labels)
    text = json.dumps(adapted(fitted, made), separators=(",", ":"), allow_nan=False)
    args.out.write_text(text + "\n", encoding="utf-8")
    print(f"{len(alerts)} alerts in {args.out}")
    return 0


def _made(alerts: Sequence[Alert], labels: Mapping[str, str]) -> list[Alert]:
    """The same exposures, simulated in this process."""
    sites = sites_of(alerts, labels, np.random.default_rng(0))
    found = simulate_each(made_alert, len(sites), 0, Recipe(sites=sites))
    return [alert for alert, _ in tqdm(found, total=len(sites), unit="object", file=sys.stderr, disable=None)]


if __name__ == "__main__":
    sys.exit(main())
