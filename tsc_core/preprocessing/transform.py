"""Scaling of stamps and metadata, fitted on training data only (paper, Sec. 2; choices 4-8 of our notes)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from tsc_core.alerts import Alert, AllWise, Example
from tsc_core.config import PreprocessConfig, from_dict, to_dict
from tsc_core.features import (
    COLOURS,
    FEATURES,
    LIMITLESS,
    Feature,
    Limit,
    Rows,
    lookup,
    read_colours,
    read_dynamic,
    read_static,
    time_differences,
)
from tsc_core.survey import ZTF

TIME_DIFFERENCE = "time_difference"  # days since the previous detection, last column of the dynamic features


QUANTILES = np.linspace(0.0, 1.0, 65)
TAIL = 0.005  # the extreme quantiles map to the normal scores of this probability and its complement
Readings = dict[tuple[str, ...], Rows]  # by the names of the features
Knots = tuple[np.ndarray, np.ndarray]  # raw values ascending, and their normal scores


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Clip limits and scaling of a group of features.

    Attributes
    ----------
    names : tuple of str
    low, high, mean, std : ndarray (F,), float64
        In the features' units; `std` is 1 where the training set did not vary.
    knots : tuple of (values, scores) or None
        For each feature the points between which values map linearly to normal scores; None: standardise.
    """

    names: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    knots: tuple[Knots, ...] | None = None

    @classmethod
    def fit(
        cls, names: tuple[str, ...], limits: list[tuple[Limit, Limit]], values: np.ndarray, method: str = "standard"
    ) -> Scale:
        """Fit on raw values (N, F); NaN is ignored, a column without any value is centred on 0."""
        columns = [column[np.isfinite(column)] for column in values.T]
        bounds = [_bounds(column, limit) for column, limit in zip(columns, limits, strict=True)]
        clipped = [np.clip(column, *bound) for column, bound in zip(columns, bounds, strict=True)]
        mean = np.array([column.mean() if len(column) else 0.0 for column in clipped])
        std = np.array([column.std() if len(column) else 1.0 for column in clipped])
        low, high = (np.array([bound[side] for bound in bounds]) for side in (0, 1))
        knots = tuple(map(_normal_knots, clipped)) if method == "quantile" else None
        return cls(names, low, high, mean, np.where(std > 1e-9 * (1 + np.abs(mean)), std, 1.0), knots)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Clip and scale (..., F); NaN becomes 0, which is the training mean (or median). float32."""
        clipped = np.clip(values, self.low, self.high)
        if self.knots is None:
            scaled = (clipped - self.mean) / self.std
        else:
            scaled = np.stack([np.interp(clipped[..., i], *knot) for i, knot in enumerate(self.knots)], axis=-1)
        return np.where(np.isfinite(scaled), scaled, 0.0).astype(np.float32)

    def to_dict(self) -> dict:
        """Plain JSON values; float64 survives the round trip exactly."""
        arrays = {key: getattr(self, key).tolist() for key in ("low", "high", "mean", "std")}
        knots = None if self.knots is None else [[x.tolist(), y.tolist()] for x, y in self.knots]
        return {"names": list(self.names), **arrays, "knots": knots}

    @classmethod
    def from_dict(cls, values: dict) -> Scale:
        """The inverse of `to_dict`; raises `ValueError` where lengths disagree or numbers are not finite."""
        names = tuple(values["names"])
        arrays = [np.array(values[key], dtype=np.float64) for key in ("low", "high", "mean", "std")]
        if any(array.shape != (len(names),) or not np.isfinite(array).all() for array in arrays):
            raise ValueError(f"scale of {', '.join(names)}: needs {len(names)} finite numbers in each list")
        knots = values.get("knots")
        if knots is not None:
            knots = tuple((np.array(x, dtype=np.float64), np.array(y, dtype=np.float64)) for x, y in knots)
            if len(knots) != len(names) or any(len(x) != len(y) or not len(x) for x, y in knots):
                raise ValueError(f"scale of {', '.join(names)}: needs as many knots as scores for each")
        return cls(names, *arrays, knots)


def _normal_knots(column: np.ndarray) -> Knots:
    """Points that map a training column to a normal distribution; equal values share their mean score."""
    if not len(column):
        return np.zeros(1), np.zeros(1)
    scores = np.array([NormalDist().inv_cdf(level) for level in np.clip(QUANTILES, TAIL, 1 - TAIL)])
    values, place = np.unique(np.quantile(column, QUANTILES), return_inverse=True)
    return values, np.bincount(place, scores) / np.bincount(place)


def _bounds(column: np.ndarray, limits: tuple[Limit, Limit]) -> tuple[float, float]:
    """Numbers for the table's limits; "min" and "max" are those of the training values."""
    extremes = (column.min(), column.max()) if len(column) else (0.0, 0.0)
    low, high = (extremes[side] if isinstance(limits[side], str) else limits[side] for side in (0, 1))
    return float(low), float(max(low, high))


def scale_stamps(alerts: tuple[Alert, ...], config: PreprocessConfig) -> tuple[np.ndarray, np.ndarray]:
    """Stamps min-max scaled to [0, 1] by the limits of their central crop, NaN as 0.

    Returns
    -------
    stamps : ndarray (A, C, H, W), float32
        All zeros for an alert without stamps.
    has_stamps : ndarray (A,), bool
    """
    side, has = ZTF.stamp_size, np.array([alert.has_stamps for alert in alerts], dtype=bool)
    stamps = np.zeros((len(alerts), len(config.channels), side, side), dtype=np.float32)
    if not has.any():
        return stamps, has
    raw = np.stack([[a.stamps.channel(name) for name in config.channels] for a in alerts if a.has_stamps])
    low, high = _crop_limits(raw, config.crop)  # (A', C, 1, 1)
    if config.scaling == "sequence":
        low, high = _shared_limits(low, high, np.array([a.fid for a in alerts if a.has_stamps]))
    spread = high - low
    scaled = (raw - low) / np.where(spread > 0, spread, 1.0)
    stamps[has] = np.clip(np.where(np.isfinite(scaled), scaled, 0.0), 0.0, 1.0)
    return stamps, has


def _crop_limits(raw: np.ndarray, crop: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest finite pixel of the central crop of each stamp, (A, C, 1, 1); 0, 0 where none is finite."""
    edge = (raw.shape[-1] - crop) // 2
    centre = raw[..., edge : edge + crop, edge : edge + crop]
    finite = np.isfinite(centre)
    low = np.where(finite, centre, np.inf).min((-2, -1), keepdims=True)
    high = np.where(finite, centre, -np.inf).max((-2, -1), keepdims=True)
    known = np.isfinite(low)
    return np.where(known, low, 0.0).astype(np.float32), np.where(known, high, 0.0).astype(np.float32)


def _shared_limits(low: np.ndarray, high: np.ndarray, fids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Limits common to the stamps of one band, so that brightening along the sequence survives."""
    low, high = low.copy(), high.copy()
    for fid in np.unique(fids):
        same = fids == fid
        low[same], high[same] = low[same].min(0, keepdims=True), high[same].max(0, keepdims=True)
    return low, high


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessor:
    """Alerts of one object to one `Example`: the only way from alerts to arrays.

    Attributes
    ----------
    config : PreprocessConfig
    dynamic, static, allwise : Scale
        Fitted on training data; `dynamic` ends with the time difference.
    """

    config: PreprocessConfig
    dynamic: Scale
    static: Scale
    allwise: Scale

    @classmethod
    def fit(cls, config: PreprocessConfig, objects: Iterable[tuple[tuple[Alert, ...], AllWise | None]]) -> Preprocessor:
        """Fit clip limits, means and deviations on the alerts and cross-matches of training objects.

        Raises
        ------
        ValueError
            Without a single object.
        """
        dynamic, static = lookup(config.dynamic, "dynamic"), lookup(config.static, "static")
        values = [  # numbers only: the records of a large training set would not fit into memory
            (_dynamic(alerts, dynamic), read_static(alerts, static)[None], read_colours(allwise)[None])
            for alerts, allwise in objects
            if alerts
        ]
        if not values:
            raise ValueError("no training objects to fit the preprocessor on")
        rows, statics, colours = (np.concatenate(part) for part in zip(*values, strict=True))
        limits = [*((f.low, f.high) for f in dynamic), LIMITLESS]
        return cls(
            config,
            Scale.fit((*config.dynamic, TIME_DIFFERENCE), limits, rows, config.metadata_scaling),
            Scale.fit(config.static, [(f.low, f.high) for f in static], statics, config.metadata_scaling),
            Scale.fit(COLOURS, [LIMITLESS] * 3, colours),
        )

    def __call__(self, alerts: tuple[Alert, ...], allwise: AllWise | None = None, label: int = -1) -> Example:
        """One example from the alerts a model is to see (A of them, ascending in time).

        Missing metadata take the training mean; missing colours too, and the flag, last of `Example.allwise`,
        is then 1. Raises `ValueError` without alerts.
        """
        stamps, has_stamps = scale_stamps(alerts, self.config)
        return replace(self.metadata(alerts, allwise, label), stamps=stamps, has_stamps=has_stamps)

    def metadata(self, alerts: tuple[Alert, ...], allwise: AllWise | None = None, label: int = -1) -> Example:
        """The example without its pixels: stamps are (A, C, 0, 0), for use where their codes are known."""
        return replace(self.metadata_of([(alerts, allwise)])[0], label=label)

    def metadata_of(
        self, windows: Sequence[tuple[tuple[Alert, ...], AllWise | None]], known: Readings | None = None
    ) -> list[Example]:
        """`metadata` of many windows, scaled together; `known` keeps what was read of alerts for further calls."""
        if not all(alerts for alerts, _ in windows):
            raise ValueError("an example needs at least one alert")
        if not windows:
            return []
        config, ends = self.config, np.cumsum([len(alerts) for alerts, _ in windows])
        dynamic, static = lookup(config.dynamic, "dynamic"), lookup(config.static, "static")
        known = {} if known is None else known
        read = [known.setdefault(names, {}) for names in (config.dynamic, config.static)]
        colours = np.stack([read_colours(allwise if config.allwise else None) for _, allwise in windows])
        unmatched = ~np.isfinite(colours).all(1, keepdims=True)
        rows = np.concatenate([_dynamic(alerts, dynamic, read[0]) for alerts, _ in windows])
        dynamics = np.split(self.dynamic(rows), ends[:-1])
        statics = self.static(np.stack([read_static(alerts, static, read[1]) for alerts, _ in windows]))
        matches = np.concatenate((self.allwise(colours), unmatched), axis=1, dtype=np.float32)
        return [
            Example(
                np.zeros((len(alerts), len(config.channels), 0, 0), dtype=np.float32),
                np.array([alert.has_stamps for alert in alerts], dtype=bool),
                *numbers,
                -1,
            )
            for (alerts, _), *numbers in zip(windows, dynamics, statics, matches, strict=True)
        ]

    def to_dict(self) -> dict:
        """Plain JSON values."""
        scales = {name: getattr(self, name).to_dict() for name in ("dynamic", "static", "allwise")}
        return {"config": to_dict(self.config), **scales}

    @classmethod
    def from_dict(cls, values: dict) -> Preprocessor:
        """The inverse of `to_dict`; raises `ValueError` where names and configuration disagree."""
        config = from_dict(values["config"], PreprocessConfig)
        scales = {name: Scale.from_dict(values[name]) for name in ("dynamic", "static", "allwise")}
        expected = {"dynamic": (*config.dynamic, TIME_DIFFERENCE), "static": config.static, "allwise": COLOURS}
        for name, scale in scales.items():
            if scale.names != expected[name] or set(config.dynamic + config.static) - set(FEATURES):
                raise ValueError(f"statistics of {name} are of {scale.names}, the configuration has {expected[name]}")
        return cls(config, **scales)


def _dynamic(alerts: tuple[Alert, ...], features: tuple[Feature, ...], known: Rows | None = None) -> np.ndarray:
    """Raw dynamic features with the time difference last, (A, D + 1)."""
    return np.column_stack([read_dynamic(alerts, features, known), time_differences(alerts)])
