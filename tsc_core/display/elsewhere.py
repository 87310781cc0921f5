"""What ALeRCE says of an object: its own classifiers' probabilities as references, and stamps asked for later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from tsc_core.alerts import Alert, AlertSequence
from tsc_core.display.progression import Reference

if TYPE_CHECKING:
    from tsc_core.sources.alerce import AlerceSource
    from tsc_core.sources.alerce_answers import ClassProbability

Progress = Callable[[str, int, int], object]


def references(answers: Iterable[ClassProbability]) -> list[Reference]:
    """One reference for each classifier and version, in the order given (newest version of each first)."""
    found: dict[str, dict[str, float]] = {}
    for answer in answers:
        label = f"{answer.classifier} {answer.version}".strip()
        found.setdefault(label, {})[answer.class_name] = answer.probability
    return [Reference(label, probabilities) for label, probabilities in found.items()]


def not_asked(sequence: AlertSequence) -> list[str]:
    """Candids of a live object whose packets exist but were not needed, so were not asked for."""
    from tsc_core.sources.alerce import NOT_ASKED

    return [alert.candid for alert in sequence.alerts if (alert.missing or "").startswith(NOT_ASKED)]


def with_stamps(source: AlerceSource, sequence: AlertSequence, progress: Progress | None = None) -> AlertSequence:
    """The same object with the stamps that were not asked for before; what does not come says why."""
    found = source.fetch_packets(sequence.oid, not_asked(sequence), progress)

    def complete(alert: Alert) -> Alert:
        came = found.get(alert.candid)
        if isinstance(came, Alert):
            return replace(came, record={**alert.record, **came.record})
        return alert if came is None else replace(alert, missing=came)

    return replace(sequence, alerts=tuple(complete(alert) for alert in sequence.alerts))
