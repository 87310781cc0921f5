"""What a live object costs: requests and round trips, cold and warm, beside a plain use of the client and under faults.

Run as ``python benchmarks/network.py [--archive PATH] [--latency-ms 200] [--objects 100]``. A loopback server answers
for ALeRCE and the cross-match over an archive of packets (by default the demo's); every request of it waits the
latency. Prints JSON; times in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tsc_core.alerts import AlertSequence
from tsc_core.preprocessing import select_alerts
from tsc_core.sources import SourceError, alerce_service, open_source
from tsc_core.sources.alerce import AlerceSource
from tsc_core.sources.http import Limits
from tsc_core.sources.loopback import Faults, LoopbackServer
from tsc_core.sources.loopback.answers import known_sources
from tsc_core.sources.packets import PacketSource

DETECTIONS = 5
STORM = Limits(read_s=1.0, object_s=20.0, side_s=8.0, backoff_s=0.05)


@contextmanager
def fresh_cache() -> Iterator[None]:
    """An empty cache folder, removed afterwards."""
    before = os.environ.get("TSC_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TSC_CACHE_DIR"] = folder
        yield
    os.environ.pop("TSC_CACHE_DIR")
    if before is not None:
        os.environ["TSC_CACHE_DIR"] = before


def timed(server: LoopbackServer, work: Callable[[], object]) -> dict[str, float]:
    """Seconds and requests of some work."""
    server.misbehave(server.book.faults)
    began = time.monotonic()
    work()
    return {"seconds": round(time.monotonic() - began, 3), "requests": len(server.requests)}


def plain_use(oid: str, candids: list[str]) -> None:
    """One object with the client as it is: one request after another, stamps and packet of each detection."""
    from alerce.core import Alerce

    client = Alerce()
    client.query_object(oid, survey="ztf")
    client.query_detections(oid, survey="ztf")
    client.query_non_detections(oid, survey="ztf")
    for candid in candids:
        client.get_stamps(oid, candid=candid, survey="ztf")
        client.get_avro(oid, candid=candid, survey="ztf")


def one_object(server: LoopbackServer, oids: list[str]) -> dict[str, object]:
    """Cold and warm, each on another object; the first of them opens the connections."""
    with fresh_cache(), AlerceSource() as source:
        source.fetch(oids[0])
        cold = [timed(server, lambda oid=oid: source.fetch(oid)) for oid in oids[1:]]
        repeats = len({request.target for request in server.requests}) < len(server.requests)
        alerce_service.FRESH_S = 0.0
        warm = [timed(server, lambda oid=oid: source.fetch(oid)) for oid in oids[1:]]
        alerce_service.FRESH_S = 300.0
        again = [timed(server, lambda oid=oid: source.fetch(oid)) for oid in oids[1:]]
    candids = [alert.candid for alert in select_alerts(source.fetch(oids[1])).used]
    result = {name: _middle(runs) for name, runs in (("cold", cold), ("warm_packets", warm), ("warm_all", again))}
    return {**result, "packet_twice": repeats, "plain_client": timed(server, lambda: plain_use(oids[1], candids))}


def _middle(runs: list[dict[str, float]]) -> dict[str, float]:
    return {
        "seconds": statistics.median(run["seconds"] for run in runs),
        "worst_seconds": max(run["seconds"] for run in runs),
        "requests": max(run["requests"] for run in runs),
    }


def command(server: LoopbackServer, oid: str) -> dict[str, float]:
    """`tsc classify` as a process of its own, cold cache: its network part as the server saw it, and all of it."""
    with fresh_cache():
        line = [sys.executable, "-m", "tsc_core", "classify", oid, "--source", "alerce", "--json"]
        whole = timed(server, lambda: subprocess.run(line, check=False, stdout=subprocess.DEVNULL))
    network = max(r.ended for r in server.requests) - min(r.started for r in server.requests)
    return {"network_seconds": round(network, 3), "whole_seconds": whole["seconds"], "requests": whole["requests"]}


def truthful(live: AlertSequence, kept: AlertSequence) -> bool:
    """Whether every stamp that came is the archive's, and whatever did not come is named."""
    known = {alert.candid: alert for alert in kept.alerts}
    flags = " ".join(live.flags)
    used = {alert.candid for alert in select_alerts(kept).used}
    for alert in live.alerts:
        if alert.has_stamps and alert.stamps.science.tobytes() != known[alert.candid].stamps.science.tobytes():
            return False
        if not alert.has_stamps and alert.candid in used and alert.candid not in flags:
            return False
    return live.allwise_asked or "AllWISE" in flags


def storm(server: LoopbackServer, archive: PacketSource, oids: list[str], objects: int) -> dict[str, object]:
    """Objects one after another while a fifth of the requests are refused and a twentieth hang; cold caches."""
    threads, answered, true, whole, refused, seconds = set(threading.enumerate()), 0, 0, 0, 0, []
    for start in range(0, objects, len(oids)):
        server.misbehave(Faults(server.book.faults.latency_s, errors=0.2, hangs=0.05, seed=start))
        with fresh_cache(), AlerceSource(limits=STORM) as source:
            for oid in oids[: objects - start]:
                began = time.monotonic()
                try:
                    live = source.fetch(oid)
                except SourceError as error:
                    print(f"not answered: {error}", file=sys.stderr)
                    continue
                finally:
                    seconds.append(time.monotonic() - began)
                answered, true = answered + 1, true + truthful(live, archive.fetch(oid))
                whole += not live.flags
        refused += sum(request.fault is not None for request in server.requests)
    left = [t for t in threading.enumerate() if t not in threads and "process_request" not in t.name]
    return {
        "objects": objects, "answered": answered, "none_wrong_all_named": true, "with_nothing_missing": whole,
        "requests_struck": refused, "median_seconds": round(statistics.median(seconds), 2),
        "worst_seconds": round(max(seconds), 2), "object_deadline_s": STORM.object_s, "threads_left": len(left),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", default="demo", help="packets, or demo")
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--objects", type=int, default=100, help="under faults; 0 leaves that out")
    args = parser.parse_args()
    archive = open_source(args.archive)
    full = [oid for oid in archive.oids() if len(select_alerts(archive.fetch(oid)).used) == DETECTIONS]
    faults = Faults(args.latency_ms / 1000.0)
    with (
        tempfile.TemporaryDirectory() as folder,
        LoopbackServer(archive, faults, known_sources(archive)) as server,
    ):
        os.environ.update(server.write_config(Path(folder) / "alerce_config.json"))
        result = {"latency_s": faults.latency_s, "floor_s": 2 * faults.latency_s, **one_object(server, full[:6])}
        result["tsc_classify"] = command(server, full[0])
        if args.objects:
            server.misbehave(replace(faults, latency_s=0.02))
            result["storm"] = storm(server, archive, list(archive.oids()), args.objects)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
