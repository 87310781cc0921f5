"""Class probabilities as detections accumulate. Each stamp is encoded once, whatever number of steps uses it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from tsc_core.alerts import Alert, AlertSequence, Batch, Detection, Example, Prediction, Step
from tsc_core.bundle import Bundle, load_bundle, shipped
from tsc_core.inference import doubt
from tsc_core.inference.fast import load_fast
from tsc_core.models.doubt import COVERAGE, strangeness
from tsc_core.preprocessing import Selection, collate, select_alerts, window_of
from tsc_core.preprocessing.quality import Window
from tsc_core.preprocessing.transform import Readings, scale_stamps
from tsc_core.sources.alerce import NOT_ASKED
from tsc_core.survey import MAX_DETECTIONS

BOGUS_TWICE = "bogus on the first and on the second alert: discarded as bogus (paper, Sec. 2)"
LEARNT_FROM = "the models have learnt from this object: the answer is that of the one member that did not see it"
ENCODE_AT_ONCE = 64  # stamps in one pass of the CNN

Windows = dict[tuple[int, int], tuple[Alert, ...]]  # (place of the object, n) -> the n detections


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was worked out of detections already: codes of stamps by encoder, raw metadata by set of features."""

    codes: dict[Hashable, Tensor] = field(default_factory=dict)
    readings: Readings = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Probabilities of one step of one object: the answer (K,), each member's (M, K), and what they come from.

    `logits` (M, classes) are the members' own, `tempered` (M, K) those behind the probabilities, with temperature and
    what colours say where they stand apart, `inputs` (F,) the scaled metadata. The answer is the members' mean; where
    the bundle has learnt from the object, it is that of the one member `held_out` that did not see it.
    """

    n: int
    bundle: Bundle
    probabilities: Tensor
    members: Tensor
    logits: Tensor
    tempered: Tensor
    inputs: Tensor
    held_out: int | None = None


class Predictor:
    """Gives probabilities after 1, 2, ... 5 detections, each from the bundle made for that number.

    Parameters
    ----------
    bundles : iterable of Bundle
        For each n the first that serves it and can take the object's detections (a stamp model needs a stamp).
    coverage : float
        Of the conformal sets: the share of each class's objects whose set is to hold their class.
    """

    def __init__(self, bundles: Iterable[Bundle], coverage: float = COVERAGE) -> None:
        self.bundles = tuple(bundles)
        self.coverage = coverage

    @classmethod
    def shipped(
        cls, names: Sequence[str] | None = None, coverage: float = COVERAGE, *, exact: bool = False
    ) -> Predictor:
        """The bundles that ship, or those named, in that order; on the fast path where the extra `fast` is installed.

        `exact` keeps them in float32, as their cards were measured.

        Raises
        ------
        ValueError
            For a name that does not ship.
        """
        paths = shipped()
        unknown = set(names or ()) - set(paths)
        if unknown:
            raise ValueError(f"no bundle {', '.join(sorted(unknown))}: there are {', '.join(paths) or 'none'}")
        load = load_bundle if exact else load_fast
        return cls((load(paths[name]) for name in (names or paths)), coverage)

    def predict(self, sequence: AlertSequence, window: Window = "first") -> Prediction:
        """What the models say of one object, and which detections they used.

        An object that a bundle has learnt from is answered by the one member that did not see it, and flagged.
        Deterministic: rotations carry no jitter, the same sequence gives the same bits.
        """
        selection = select_alerts(sequence, window)
        seen = Seen()
        steps = self.score([(selection, sequence)], seen)[0]
        flags = list(sequence.flags)
        if not steps:
            flags.append(self._why_none(selection))
        if self._bogus_twice(sequence, seen):
            steps = [scored for scored in steps if scored.n == 1]
            flags.append(BOGUS_TWICE)
        if any(scored.held_out is not None for scored in steps):
            flags.append(LEARNT_FROM)
        found = tuple(as_step(scored, self.coverage) for scored in steps)
        return Prediction(
            sequence.oid,
            sequence.source,
            describe(sequence, selection),
            found,
            sequence.allwise,
            (*flags, *doubt.flags(found)),
        )

    @torch.inference_mode()
    def score(
        self,
        objects: Sequence[tuple[Selection, AlertSequence]],
        seen: Seen | None = None,
    ) -> list[list[Scored]]:
        """Every step of every object; each stamp passes each distinct encoder once, none that was `seen`."""
        seen = Seen() if seen is None else seen
        scores: list[dict[int, Scored]] = [{} for _ in objects]
        asked = zip(self.bundles, self._asked(objects), strict=True)
        longest_first = sorted(asked, key=lambda pair: max(serves(pair[0])), reverse=True)  # it encodes for the others
        for bundle, windows in longest_first:
            for (i, n), scored in _score_with(bundle, objects, windows, seen) if windows else ():
                scores[i][n] = scored
        return [[steps[n] for n in sorted(steps)] for steps in scores]

    def _asked(self, objects: Sequence[tuple[Selection, AlertSequence]]) -> list[Windows]:
        """The windows that each bundle takes: of each object and n, the first that serves n and can take it."""
        asked: list[Windows] = [{} for _ in self.bundles]
        for i, (selection, _) in enumerate(objects):
            for n in range(1, min(len(selection.used), MAX_DETECTIONS) + 1):
                for windows, bundle in zip(asked, self.bundles, strict=True):
                    alerts = _alerts(bundle, selection, n) if n in serves(bundle) else None
                    if alerts:
                        windows[i, n] = alerts
                        break
        return asked

    def _why_none(self, selection: Selection) -> str:
        """Why there are no probabilities."""
        if not selection.used:
            reasons = "; ".join(dict.fromkeys(selection.reasons.values()))
            return f"no detection can be used: {reasons or 'there is none'}"
        needed = ", ".join(f"{bundle.name} needs {min(serves(bundle))}" for bundle in self.bundles)
        return f"no bundle at hand takes {len(selection.used)} usable detections: {needed or 'there is none'}"

    @torch.inference_mode()
    def _bogus_twice(self, sequence: AlertSequence, seen: Seen) -> bool:
        """The paper's rule: a five-class model calls the object's first and second alert bogus, whatever the window.

        It says nothing where packets before the first stamps at hand were not asked for.
        """
        first = next((bundle for bundle in self.bundles if 1 in serves(bundle)), None)
        alerts = select_alerts(sequence, "first", 2).used
        if first is None or "bogus" not in first.classes or len(alerts) < 2:
            return False
        before = sequence.alerts[: sequence.alerts.index(alerts[0])]
        if any((alert.missing or "").startswith(NOT_ASKED) for alert in before):
            return False
        examples = first.preprocessor.metadata_of([((alert,), sequence.allwise) for alert in alerts], seen.readings)
        batch = with_codes(first, examples, [(alert,) for alert in alerts], seen)
        unseen = first.folds.get(sequence.oid)
        mean = first.logits(batch)[slice(None) if unseen is None else [unseen]].softmax(-1).mean(0)
        return bool((mean.argmax(-1) == first.classes.index("bogus")).all())


def serves(bundle: Bundle) -> tuple[int, ...]:
    """The numbers of detections a bundle is made for."""
    n = bundle.config.model.n
    return tuple(range(1, n + 1)) if bundle.config.model.kind == "unified" else (n,)


def _alerts(bundle: Bundle, selection: Selection, n: int) -> tuple[Alert, ...] | None:
    """The n detections that a bundle takes; None where there are fewer, or a stamp model would see no stamp."""
    alerts = window_of(selection, n)
    if alerts and bundle.config.model.kind == "stamp" and not alerts[0].has_stamps:
        return None
    return alerts


def _score_with(
    bundle: Bundle,
    objects: Sequence[tuple[Selection, AlertSequence]],
    windows: Windows,
    seen: Seen,
) -> Iterator[tuple[tuple[int, int], Scored]]:
    """All windows of all numbers of detections, in one pass of the bundle."""
    examples = bundle.preprocessor.metadata_of(
        [(alerts, objects[i][1].allwise) for (i, _), alerts in windows.items()], seen.readings
    )
    batch = with_codes(bundle, examples, list(windows.values()), seen)
    logits, inputs = bundle.logits(batch), bundle.inputs(batch)  # (M, B, classes), (B, F)
    for n in sorted({n for _, n in windows}):
        chosen = [(row, i) for row, (i, of) in enumerate(windows) if of == n]
        rows = [row for row, _ in chosen]
        tempered = bundle.tempered(logits[:, rows], n, batch.allwise[rows])
        members = tempered.softmax(-1)
        parts = (part.unbind(1) for part in (members, logits[:, rows], tempered))
        for (row, i), mean, *found in zip(chosen, members.mean(0).unbind(), *parts, strict=True):
            unseen = bundle.folds.get(objects[i][1].oid)
            voted = mean if unseen is None else found[0][unseen]
            yield (i, n), Scored(n, bundle, voted, *found, inputs[row], unseen)


def with_codes(bundle: Bundle, examples: Sequence[Example], alerts: Sequence[tuple[Alert, ...]], seen: Seen) -> Batch:
    """Collate, scaling and encoding only stamps whose code is not in `seen`, which gains the new ones."""
    if bundle.encoder_key is None:
        return collate(list(examples))
    config, codes = bundle.config.preprocess, seen.codes
    shared = config.scaling == "stamp"  # else a stamp's scaling depends on its sequence

    def key(alert: Alert, row: tuple[Alert, ...]) -> Hashable:
        around = None if shared else tuple(other.candid for other in row)
        return (bundle.encoder_key, alert.oid, alert.candid, around)

    together = [tuple(alert for row in alerts for alert in row)] if shared else alerts
    for group in together:
        new = {key(a, group): a for a in group if a.has_stamps and key(a, group) not in codes}
        if new:
            scaled, has_stamps = scale_stamps(tuple(new.values()) if shared else group, config)
            codes.update(zip(new, _encode(bundle, scaled[has_stamps]), strict=True))
    none = torch.zeros(bundle.config.model.encoder.codes)
    return collate(list(examples), [torch.stack([codes.get(key(a, row), none) for a in row]) for row in alerts])


def _encode(bundle: Bundle, stamps: np.ndarray) -> list[Tensor]:
    """Codes of scaled stamps (N, C, H, W)."""
    chunks = torch.from_numpy(stamps).split(ENCODE_AT_ONCE)
    return [code for chunk in chunks for code in bundle.model.encode(chunk)]


def describe(sequence: AlertSequence, selection: Selection) -> tuple[Detection, ...]:
    """Every detection of an object, with the reason where it is not used."""
    return tuple(
        Detection(
            alert.candid,
            alert.mjd,
            alert.fid,
            alert.value("magpsf"),
            alert.has_stamps,
            alert.candid not in selection.reasons,
            selection.reasons.get(alert.candid),
        )
        for alert in sequence.alerts
    )


def as_step(scored: Scored, coverage: float = COVERAGE) -> Step:
    """A step for a person: probabilities that sum to 1, and how far they are to be trusted."""
    bundle, classes = scored.bundle, scored.bundle.classes_after(scored.n)
    answer = scored.probabilities.double().numpy()
    answer = answer / answer.sum()
    step = Step(scored.n, bundle.name, dict(zip(classes, answer.tolist(), strict=True)))
    found = doubt.spread(scored.members.double().numpy())
    if found is not None:
        sides = np.minimum(found[0], answer), np.maximum(found[1], answer)  # which differ by rounding at most
        low, high = (dict(zip(classes, side.tolist(), strict=True)) for side in sides)
        step = replace(step, low=low, high=high)
    known = bundle.doubt.get(scored.n)
    if known is None:
        return step
    strange = strangeness(scored.tempered.numpy())
    return replace(
        step,
        conformal=known.conformal(strange, coverage, own=scored.held_out),
        coverage=coverage,
        unlike=known.unlike(scored.inputs.double().numpy()),
    )
