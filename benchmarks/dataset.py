"""How a dataset of the paper's size behaves: time to open, memory, rate of shuffled batches beside the encoder's.

Run as ``python benchmarks/dataset.py --out FOLDER [--objects 168156]``. One part of 1024 objects is written from the
demo archive; the other parts repeat its tables under other ids and share its stamps by hard links, so that the whole
set needs a few GB of disk instead of 40. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tsc_core.alerts import AlertSequence
from tsc_core.config import ModelConfig, PreprocessConfig
from tsc_core.data.build import trim
from tsc_core.data.layout import PART_OBJECTS, ROW_GROUP, part_name
from tsc_core.data.loaders import ExampleSet, prefetch, windows
from tsc_core.data.store import Dataset, DatasetWriter
from tsc_core.models import build_model
from tsc_core.preprocessing import Preprocessor, select_alerts
from tsc_core.sources import open_source
from tsc_core.survey import TEMPORAL_CLASSES

DETECTIONS, BATCH = 5, 128
PAPER_OBJECTS = 168_156


def renamed(sequence: AlertSequence, oid: str, label: str) -> AlertSequence:
    """The same object under another id and class."""
    return replace(sequence, oid=oid, label=label, alerts=tuple(replace(alert, oid=oid) for alert in sequence.alerts))


def made_id(number: int) -> str:
    """Id of a simulated object, of fixed length."""
    return f"SIM0{number:08d}"


def write_part(path: Path) -> None:
    """One part of 1024 objects with five usable detections each, from the demo archive."""
    source = open_source("demo")
    known = [trim(source.fetch(oid), DETECTIONS) for oid in source.oids()]
    full = [sequence for sequence in known if len(select_alerts(sequence).used) == DETECTIONS]
    with DatasetWriter(path) as writer:
        for number in range(PART_OBJECTS):
            label = TEMPORAL_CLASSES[number % len(TEMPORAL_CLASSES)]
            writer.add(renamed(full[number % len(full)], made_id(number), label), origin="simulated")


def repeat_part(path: Path, number: int, objects: int) -> None:
    """Part `number`: the first `objects` of part 0 under ids of its own."""
    first, folder = path / part_name(0), path / part_name(number)
    folder.mkdir(exist_ok=True)
    if not (folder / "stamps.f32").exists():
        os.link(first / "stamps.f32", folder / "stamps.f32")
    for name in ("alerts", "limits", "objects"):
        table = pq.read_table(first / f"{name}.parquet")
        if name == "objects":
            table = table.slice(0, objects)
        ids = [made_id(number * PART_OBJECTS + int(oid[4:])) for oid in table["oid"].to_pylist()]
        table = table.set_column(table.schema.get_field_index("oid"), "oid", pa.array(ids, pa.string()))
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd", row_group_size=ROW_GROUP)


def make_set(path: Path, objects: int) -> None:
    """A dataset of so many objects, where it is not there yet."""
    if path.exists():
        return
    write_part(path)
    parts = -(-objects // PART_OBJECTS)
    for number in range(1, parts):
        repeat_part(path, number, min(PART_OBJECTS, objects - number * PART_OBJECTS))
        print(f"part {number + 1} of {parts}", end="\r", file=sys.stderr)


def memory_mb() -> float:
    """Resident memory of this process now, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def timed(what: Callable[[], object]) -> tuple[object, float]:
    """A result and the seconds it took."""
    start = time.perf_counter()
    return what(), time.perf_counter() - start


def forget(path: Path) -> None:
    """Have the system drop the stamps from its memory, so that they are read from the disk."""
    with (path / part_name(0) / "stamps.f32").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def shuffled(examples: ExampleSet, batches: int) -> Iterator:
    """Batches of objects drawn at random."""
    rng = np.random.default_rng(0)
    return (examples.batch(rng.integers(0, len(examples), BATCH), rng) for _ in range(batches))


def stamps_per_s(batches: Iterator) -> float:
    """Detections delivered each second."""
    count, seconds = timed(lambda: sum(int(batch.has_stamps.sum()) for batch in batches))
    return count / seconds


def encoder_stamps_per_s(examples: ExampleSet, config: PreprocessConfig) -> float:
    """Detections that the paper's encoder (a = 33, k = 6) takes each second, forward, in inference mode."""
    model = build_model(ModelConfig(n=DETECTIONS), config).eval()
    batch = examples.batch(np.arange(32), np.random.default_rng(0))
    with torch.inference_mode():
        model(batch)
        _, seconds = timed(lambda: [model(batch) for _ in range(3)])
    return 3 * 32 * DETECTIONS / seconds


def measure(path: Path, batches: int) -> dict[str, float]:
    """All figures; MB are resident memory of the process."""
    before = memory_mb()
    dataset, open_s = timed(lambda: Dataset(path))
    result = {"objects": len(dataset), "open_s": open_s, "mb_before": before, "mb_open": memory_mb()}
    config = PreprocessConfig()
    preprocessor = Preprocessor.fit(config, windows(dataset, dataset.oids[:2000], DETECTIONS))
    examples, set_s = timed(lambda: ExampleSet(dataset, dataset.oids, preprocessor, DETECTIONS))
    result |= {"example_set_s": set_s, "mb_example_set": memory_mb()}
    forget(path)
    result["stamps_per_s_from_disk"] = stamps_per_s(shuffled(examples, batches))
    result["stamps_per_s"] = stamps_per_s(shuffled(examples, batches))
    result["stamps_per_s_prefetched"] = stamps_per_s(prefetch(shuffled(examples, batches)))
    result["mb_after_batches"] = memory_mb()
    result["mb_peak_without_model"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    result["encoder_stamps_per_s"] = encoder_stamps_per_s(examples, config)
    result["times_the_encoder"] = result["stamps_per_s"] / result["encoder_stamps_per_s"]
    return result


def main() -> None:
    """Make the set, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where the set is, or is to be made")
    parser.add_argument("--objects", type=int, default=PAPER_OBJECTS)
    parser.add_argument("--batches", type=int, default=30, help="batches of 128 sequences of 5 for each rate")
    args = parser.parse_args()
    make_set(args.out, args.objects)
    print(json.dumps({key: round(value, 3) for key, value in measure(args.out, args.batches).items()}, indent=2))


if __name__ == "__main__":
    main()
