"""Why the models say what they say: parts of the stamps hidden in turn, and metadata set to their training means.

All changes are in the log-odds of the most probable class, what is left less what was: a negative change is evidence
for the class. Arrays and names alone, for a page or a terminal to draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from tsc_core.alerts import Alert, AlertSequence, AllWise, Example
from tsc_core.bundle import Bundle
from tsc_core.features import lookup, read_dynamic, read_static, time_differences
from tsc_core.inference.predictor import Predictor, Scored, Seen, with_codes
from tsc_core.preprocessing import collate, select_alerts, window_of
from tsc_core.preprocessing.quality import Window
from tsc_core.preprocessing.transform import TIME_DIFFERENCE

Progress = Callable[[int, int], object]
PATCHES = 5  # along a side of the part of a stamp that the model sees
ALLWISE = "AllWISE colours"
NEVER = 1e-12  # frequency of a class that cannot occur: keeps log-odds finite


@dataclass(frozen=True, slots=True, eq=False)
class PatchMap:
    """Change of the log-odds, `change` (P, P), as each patch of one channel of one detection is hidden."""

    candid: str
    channel: str
    change: np.ndarray


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """Change of the log-odds as a feature takes its training mean in every detection.

    `value` is the raw value, of the newest detection for a dynamic feature; NaN where missing (`change` is then 0)
    and for the AllWISE colours, which are taken away together.
    """

    name: str
    value: float
    change: float


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why one step names its most probable class.

    Attributes
    ----------
    n : int
    model, top : str
        Bundle and class.
    log_odds : float
        Of the class, natural logarithm.
    edges : tuple of int
        P + 1 pixels between which the patches lie, the same along rows and columns of a stamp.
    maps : tuple of PatchMap
        For each detection with stamps and each channel; none for a bundle that reads no images.
    features : tuple of FeatureChange
        The greatest change first.
    """

    n: int
    model: str
    top: str
    log_odds: float
    edges: tuple[int, ...]
    maps: tuple[PatchMap, ...]
    features: tuple[FeatureChange, ...]

    def to_dict(self) -> dict:
        """Plain JSON values; NaN becomes null."""
        maps = [{"candid": m.candid, "channel": m.channel, "change": m.change.tolist()} for m in self.maps]
        features = [
            {"name": f.name, "value": f.value if math.isfinite(f.value) else None, "change": f.change}
            for f in self.features
        ]
        named = {name: getattr(self, name) for name in ("n", "model", "top", "log_odds")}
        return {**named, "edges": list(self.edges), "maps": maps, "features": features}


@torch.inference_mode()
def explain(
    predictor: Predictor,
    sequence: AlertSequence,
    window: Window = "first",
    n: int | None = None,
    *,
    priors: Mapping[str, float] | None = None,
    stamps: bool = True,
    all_views: bool = False,
    progress: Progress = lambda done, total: None,
) -> Explanation | None:
    """Explain the step after n detections, by default the last one; None where there is no such step.

    Parameters
    ----------
    priors : Mapping of class to float, optional
        Class frequencies, as for `with_priors`: of the class that is then the most probable; equal ones by default.
    stamps : bool
        Whether to make patch maps, which takes nearly all of the time.
    all_views : bool
        Hide patches in every rotated view, instead of hiding them in the upright one and taking the change of its
        code for that of all: as many times slower as there are views.
    progress : callable
        Told how many detections' patch maps are made, and how many there will be.
    """
    found = _asked(predictor, sequence, window, n, priors)
    if found is None:
        return None
    (asked, alerts), bundle = found, found[0].bundle
    edges = patch_edges(asked.stamps.shape[-1], bundle.config.preprocess.crop)
    return Explanation(
        asked.n,
        bundle.name,
        bundle.classes_after(asked.n)[asked.top],
        asked.log_odds,
        edges,
        tuple(occlusion(asked, alerts, edges, all_views, progress)) if stamps and bundle.encoder_key else (),
        tuple(sorted(ablation(asked, alerts, sequence.allwise), key=lambda found: -abs(found.change))),
    )


def _asked(
    predictor: Predictor,
    sequence: AlertSequence,
    window: Window,
    n: int | None,
    priors: Mapping[str, float] | None = None,
) -> tuple[_Question, tuple[Alert, ...]] | None:
    """The question of the step after n detections, or the last, and its detections; None without such a step."""
    selection, seen = select_alerts(sequence, window), Seen()
    steps = predictor.score([(selection, sequence)], seen)[0]
    scored = next((step for step in reversed(steps) if n in (None, step.n)), None)
    if scored is None:
        return None
    alerts, bundle = window_of(selection, scored.n), scored.bundle
    example = bundle.preprocessor(alerts, sequence.allwise)
    return _Question(scored, example, _codes(bundle, example, alerts, seen), priors), alerts


def _codes(bundle: Bundle, example: Example, alerts: tuple[Alert, ...], seen: Seen) -> Tensor | None:
    """Codes (A, E) of one example's stamps; None where the bundle has no images."""
    found = with_codes(bundle, [example], [alerts], seen).codes
    return None if found is None else found[0]


class _Question:
    """The log-odds of one object's most probable class, for changed versions of its example."""

    def __init__(
        self, scored: Scored, example: Example, codes: Tensor | None, priors: Mapping[str, float] | None
    ) -> None:
        self.bundle, self.n, self.codes = scored.bundle, scored.n, codes
        self.voting = slice(None) if scored.held_out is None else [scored.held_out]
        rates = [1.0 if priors is None else priors.get(name, 0.0) for name in self.bundle.classes_after(self.n)]
        rates = torch.tensor(rates, dtype=torch.float64)
        self.rates = (rates / rates.sum()).clamp(min=NEVER).log()
        self.stamps = torch.from_numpy(example.stamps)
        self.example = replace(example, stamps=example.stamps[:, :, :0, :0])  # codes stand for them
        shares = self._shares([self.example], None if codes is None else codes[None])
        self.top = int(shares[0].where(rates > 0, -math.inf).argmax())
        self.log_odds = float(self._odds(shares)[0])

    def _shares(self, examples: Sequence[Example], codes: Tensor | None) -> Tensor:
        """Log of the mean probabilities at the class frequencies, (R, K) float64, but for a constant of each row."""
        batch = collate(list(examples), None if codes is None else list(codes))
        logits = self.bundle.logits(batch)[self.voting].double()
        tempered = self.bundle.tempered(logits, self.n, batch.allwise)
        return tempered.log_softmax(-1).logsumexp(0) + self.rates

    def _odds(self, shares: Tensor) -> Tensor:
        others = torch.arange(shares.shape[1]) != self.top
        return shares[:, self.top] - shares[:, others].logsumexp(1)

    def odds(self, examples: Sequence[Example], codes: Tensor | None) -> Tensor:
        """Log-odds (R,) for changed examples, or codes (R, A, E), or both."""
        return self._odds(self._shares(examples, codes))

    def changes(self, examples: Sequence[Example], codes: Tensor | None) -> np.ndarray:
        """Change of the log-odds, (R,)."""
        return (self.odds(examples, codes) - self.log_odds).numpy()


def patch_edges(side: int, crop: int, patches: int = PATCHES) -> tuple[int, ...]:
    """Pixels between which patches lie, over the central `crop` of a stamp of `side` pixels."""
    left = (side - crop) // 2
    return tuple(int(edge) for edge in np.linspace(left, left + crop, patches + 1).round())


def occlusion(
    asked: _Question, alerts: Sequence[Alert], edges: Sequence[int], all_views: bool, progress: Progress
) -> list[PatchMap]:
    """Patch maps of every detection with stamps; a hidden patch takes the median of the seen part of its stamp."""
    encode = asked.bundle.model.encode if all_views else upright(asked.bundle)
    maps, names = [], asked.bundle.config.preprocess.channels
    side = len(edges) - 1
    places = np.flatnonzero(asked.example.has_stamps)
    for done, place in enumerate(places):
        progress(done, len(places))
        hidden = hide(asked.stamps[place], edges)  # (C * P * P, C, H, W)
        apart = encode(hidden) - encode(asked.stamps[place][None])
        codes = asked.codes.expand(len(hidden), -1, -1).clone()
        codes[:, place] += apart
        found = asked.changes([asked.example] * len(hidden), codes).reshape(len(names), side, side)
        maps += [PatchMap(alerts[place].candid, name, rows) for name, rows in zip(names, found, strict=True)]
    return maps


def hide(stamps: Tensor, edges: Sequence[int]) -> Tensor:
    """Copies (C * P * P, C, H, W) of stamps (C, H, W), one patch of one channel hidden in each, row by row."""
    side, seen = len(edges) - 1, slice(edges[0], edges[-1])
    copies = stamps.repeat(len(stamps), side, side, 1, 1, 1)  # (C, P, P, C, H, W)
    for c, stamp in enumerate(stamps):
        level = stamp[seen, seen].median()
        for i in range(side):
            for j in range(side):
                copies[c, i, j, c, edges[i] : edges[i + 1], edges[j] : edges[j + 1]] = level
    return copies.flatten(0, 2)


def upright(bundle: Bundle) -> Callable[[Tensor], Tensor]:
    """A function that gives the codes (N, E) of the unrotated view of stamps (N, C, H, W)."""
    encoder, crop = bundle.model.coder.encoder, bundle.config.preprocess.crop
    if not hasattr(encoder, "trunk"):  # another engine runs it, all views at once
        return bundle.model.encode

    def encode(stamps: Tensor) -> Tensor:
        left = (stamps.shape[-1] - crop) // 2
        seen = stamps[..., left : left + crop, left : left + crop].contiguous(memory_format=torch.channels_last)
        return encoder.project(encoder.trunk(seen)).float()

    return encode


def pixel_gradients(
    predictor: Predictor, sequence: AlertSequence, window: Window = "first", n: int | None = None, points: int = 16
) -> tuple[PatchMap, ...]:
    """Integrated gradients (Sundararajan et al. 2017) of the log-odds, pixel by pixel, through every rotated view.

    Each map is (H, W), over the whole stamp, and is what a pixel adds to the log-odds as it goes from the median of
    the seen part to what it is: evidence for the class is positive here. Slower than `explain`. Needs the extra
    `explain` and an encoder that torch runs.
    """
    from captum.attr import IntegratedGradients

    with torch.no_grad():
        found = _asked(predictor, sequence, window, n)
    if found is None or found[0].bundle.encoder_key is None:
        return ()
    asked, alerts = found
    has, names = np.flatnonzero(asked.example.has_stamps), asked.bundle.config.preprocess.channels
    if not len(has):
        return ()
    stamps, edges = asked.stamps[has], patch_edges(asked.stamps.shape[-1], asked.bundle.config.preprocess.crop)
    seen = stamps[..., edges[0] : edges[-1], edges[0] : edges[-1]].flatten(2)
    level = seen.median(-1).values[..., None, None].expand_as(stamps)

    def odds(versions: Tensor) -> Tensor:
        codes = asked.codes.clone().repeat(len(versions), 1, 1)
        codes[:, has] = asked.bundle.model.encode(versions.flatten(0, 1)).unflatten(0, versions.shape[:2])
        return asked.odds([asked.example] * len(versions), codes)

    gradients = IntegratedGradients(odds, multiply_by_inputs=True)
    found = gradients.attribute(stamps[None], level[None], n_steps=points, internal_batch_size=points)[0]
    return tuple(
        PatchMap(alerts[place].candid, name, rows)
        for place, channels in zip(has, found.detach().numpy(), strict=True)
        for name, rows in zip(names, channels, strict=True)
    )


def ablation(asked: _Question, alerts: tuple[Alert, ...], allwise: AllWise | None) -> list[FeatureChange]:
    """Change for each feature of the model's metadata, and for the AllWISE colours where there are any."""
    config, example = asked.bundle.config, asked.example
    versions: list[tuple[str, float, Example]] = []
    for kind, names in _values(asked.bundle, alerts).items():
        for column, (name, value) in enumerate(names.items()):
            array = getattr(example, kind).copy()
            array[..., column] = 0.0  # the training mean
            versions.append((name, value, replace(example, **{kind: array})))
    if config.model.allwise and config.preprocess.allwise and allwise is not None:
        without = np.append(np.zeros(len(example.allwise) - 1), 1.0).astype(np.float32)
        versions.append((ALLWISE, math.nan, replace(example, allwise=without)))
    if not versions:
        return []
    codes = None if asked.codes is None else asked.codes.expand(len(versions), -1, -1)
    changes = asked.changes([changed for _, _, changed in versions], codes)
    return [FeatureChange(name, value, float(x)) for (name, value, _), x in zip(versions, changes, strict=True)]


def _values(bundle: Bundle, alerts: tuple[Alert, ...]) -> Mapping[str, dict[str, float]]:
    """Raw values of the features that a bundle reads, by name, in the order of the example's columns."""
    config = bundle.config
    if not config.model.metadata:
        return {}
    dynamic = read_dynamic(alerts, lookup(config.preprocess.dynamic, "dynamic"))[-1]
    found = dict(zip(config.preprocess.dynamic, dynamic.tolist(), strict=True))
    if config.model.kind != "stamp":
        found[TIME_DIFFERENCE] = float(time_differences(alerts)[-1])
    static = read_static(alerts, lookup(config.preprocess.static, "static"))
    return {"dynamic": found, "static": dict(zip(config.preprocess.static, static.tolist(), strict=True))}
