"""A training set from a label table and a source: resumable, nothing asked twice, all that is left out is named."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from tsc_core.alerts import AlertSequence, AllWise
from tsc_core.data.labels import Label, LabelTable
from tsc_core.data.skipped import SkipLog, Skipped
from tsc_core.data.writer import DatasetWriter
from tsc_core.preprocessing.quality import select_alerts
from tsc_core.sources import ObjectNotFound, Source, SourceError, open_source
from tsc_core.sources.base import LATER
from tsc_core.survey import MAX_DETECTIONS, is_made

SKIPPED = "skipped.csv"
ALLWISE_BULK = 2000  # positions of one cross-match request
FAILURES_IN_A_ROW = 20  # as many say that the service is gone, not the object

Fetch = Callable[[str], AlertSequence]


class CrossMatch(Protocol):
    """What `tsc_core.sources.allwise.AllWiseService` offers."""

    def match(self, positions: Mapping[str, tuple[float, float]]) -> dict[str, AllWise | None]:
        """The match of each position, None without one; raises `SourceError` where there is no answer."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    written : int
        Objects added by this run.
    present : int
        Objects of the table that were in the dataset before.
    skipped : tuple of Skipped
        Objects and rows of the table that are not in the dataset, of this run and of those before.
    problems : tuple of str
        What else went wrong.
    finished : bool
        Whether every object of the table was asked for.
    """

    written: int
    present: int
    skipped: tuple[Skipped, ...]
    problems: tuple[str, ...]
    finished: bool


def trim(sequence: AlertSequence, detections: int) -> AlertSequence:
    """The sequence up to the last of its first `detections` usable ones, which stay the same; the later are cut off."""
    used = select_alerts(sequence, "first", detections).used
    if len(used) < detections:
        return sequence
    end = used[-1].mjd
    alerts = tuple(alert for alert in sequence.alerts if alert.mjd <= end)
    return replace(sequence, alerts=alerts, limits=tuple(limit for limit in sequence.limits if limit.mjd <= end))


def training_source(spec: str, detections: int = MAX_DETECTIONS) -> Source:
    """As `open_source`; of "alerce" no more packets than the first `detections` need, and no cross-match one by one."""
    if spec != "alerce":
        return open_source(spec)
    from tsc_core.sources.alerce import AlerceSource

    return AlerceSource("first", detections, allwise=False)


_opened = cache(training_source)


def fetch_from(spec: str, detections: int, oid: str) -> AlertSequence:
    """Fetch one object from the source named `spec`, which each process opens once."""
    return _opened(spec, detections).fetch(oid)


def _fetched(fetch: Fetch, detections: int, label: Label) -> AlertSequence | Skipped:
    """One object, or why it is not to be had; for a worker, so that no failure stops the others."""
    try:
        sequence = trim(fetch(label.oid), detections)
    except (SourceError, ValueError, OSError) as error:
        lasting = isinstance(error, (ObjectNotFound, ValueError))
        return Skipped(label.oid, label.label, not lasting, str(error))
    if lacking := [flag for flag in sequence.flags if LATER in flag]:
        return Skipped(label.oid, label.label, True, lacking[0])
    selection = select_alerts(sequence, "first", 1)
    if selection.used:
        return replace(sequence, label=label.label)
    reasons = ", ".join(dict.fromkeys(selection.reasons.values())) or "no detections"
    return Skipped(label.oid, label.label, False, f"no usable stamps: {reasons[:200]}")


def build(
    table: LabelTable,
    fetch: Fetch,
    out: str | Path,
    *,
    detections: int = MAX_DETECTIONS,
    executor: Executor | None = None,
    at_once: int = 1,
    rate: float = 0.0,
    cross_match: CrossMatch | None = None,
    provenance: Mapping | None = None,
) -> BuildReport:
    """Write the objects of a label table, in its order, to a dataset folder; go on where an earlier run stopped.

    Parameters
    ----------
    table : LabelTable
    fetch : callable
        Object id -> `AlertSequence`. With an executor of processes it must be picklable, as `fetch_from` is.
    out : Path or str
    detections : int
        Usable detections to keep of each object, the first ones.
    executor : Executor, optional
        Where `fetch` runs, e.g. that of a `dask.distributed` client; threads of this process by default.
    at_once : int
        Objects under way at a time. What a kill can lose, and a later run asks for again, are these.
    rate : float
        Objects started per second at most, 0 without a limit.
    cross_match : CrossMatch, optional
        Asked, in bulk, for the AllWISE sources of the objects that came without an answer about one.
    provenance : Mapping, optional
        Kept in `dataset.json`.

    Raises
    ------
    DatasetError
        For a folder that cannot be written, or a full disk; what was written is safe.
    """
    writer, problems, finished = DatasetWriter(out, provenance), [], False
    try:
        log = SkipLog(Path(out) / SKIPPED)
        faults = _table_faults(table, writer.labels)
        settled = {oid for oid, entry in log.entries.items() if not entry.again}
        todo = [label for label in table.labels if label.oid not in writer.done and label.oid not in settled]
        before = len(writer.done)
        with executor or ThreadPoolExecutor(at_once, "fetch") as pool:
            arrivals = _in_order(pool, partial(_fetched, fetch, detections), todo, at_once, rate)
            finished = _write_all(writer, log, _shown(arrivals, len(todo)), problems)
        written = len(writer.done) - before
        if cross_match is not None:
            problems += _match_all(writer, cross_match)
        skipped = (*faults, *_still_missing(log, table, writer.labels))
        log.rewrite(skipped)
    finally:
        writer.close(complete=finished)
    present = sum(label.oid in writer.done for label in table.labels) - written
    return BuildReport(written, present, skipped, tuple(problems), finished)


def _table_faults(table: LabelTable, known: Mapping[str, str | None]) -> list[Skipped]:
    """Rows of the table that cannot be used, those at odds with the dataset among them."""
    faults = []
    for fault in table.faults:
        kept = f"; the dataset has it from before, as {known[fault.oid]}" if fault.oid in known else ""
        faults.append(Skipped(fault.oid, fault.label, True, f"{fault}{kept}"))
    for label in table.labels:
        if label.oid in known and known[label.oid] != label.label:
            reason = f"{label.oid} is {label.label} in the table and {known[label.oid]} in the dataset"
            faults.append(Skipped(label.oid, label.label, True, reason))
    return faults


def _still_missing(log: SkipLog, table: LabelTable, known: Mapping[str, str | None]) -> list[Skipped]:
    """What the file keeps: answers that last, and failures of objects of this table."""
    asked = {label.oid for label in table.labels}
    return [e for e in log.entries.values() if e.oid not in known and (not e.again or e.oid in asked)]


def _in_order(
    pool: Executor, work: Callable[[Label], AlertSequence | Skipped], labels: list[Label], at_once: int, rate: float
) -> Iterator[tuple[Label, AlertSequence | Skipped]]:
    """Results in the order of the labels, `at_once` of them under way, started at most `rate` a second."""
    pending: deque[tuple[Label, Future]] = deque()
    due = time.monotonic()
    try:
        for label in labels:
            if len(pending) >= at_once:
                yield _result(*pending.popleft())
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic()) + (1.0 / rate if rate else 0.0)
            pending.append((label, pool.submit(work, label)))
        while pending:
            yield _result(*pending.popleft())
    finally:
        for _, future in pending:
            future.cancel()


def _result(label: Label, future: Future) -> tuple[Label, AlertSequence | Skipped]:
    return label, future.result()


def _shown(arrivals: Iterator, total: int) -> Iterator:
    """The same, with progress and the time left on standard error."""
    interval = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(arrivals, "fetching", total, file=sys.stderr, unit="object", mininterval=interval)


def _write_all(
    writer: DatasetWriter, log: SkipLog, arrivals: Iterable[tuple[Label, AlertSequence | Skipped]], problems: list[str]
) -> bool:
    """Write what arrives; false where so many fail in a row that the service must be gone."""
    failures = 0
    for label, found in arrivals:
        if isinstance(found, Skipped):
            log.add(found)
            failures = failures + 1 if found.again else 0
            if failures >= FAILURES_IN_A_ROW:
                problems.append(f"stopped after {failures} failures in a row, the last: {found.reason}")
                return False
            continue
        failures, origin = 0, "simulated" if is_made(label.oid) else "real"
        try:
            writer.add(found, origin=origin, subclass=label.subclass or None, label_source=label.source or None)
        except ValueError as error:
            log.add(Skipped(label.oid, label.label, False, str(error)))
    return True


def _match_all(writer: DatasetWriter, cross_match: CrossMatch) -> list[str]:
    """Ask for the AllWISE sources that are not known yet; what went wrong, in words."""
    asked = [(oid, place) for oid, place in writer.unmatched().items() if place[0] == place[0]]
    for start in range(0, len(asked), ALLWISE_BULK):
        try:
            writer.cross_match(cross_match.match(dict(asked[start : start + ALLWISE_BULK])))
        except SourceError as error:
            return [f"no AllWISE cross-match of {len(asked) - start} objects: {error}; run again to ask for them"]
    return []
