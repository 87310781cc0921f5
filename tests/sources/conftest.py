"""A loopback ALeRCE over made packets, and sources that ask it."""

import threading
import time
from dataclasses import replace

import pytest

from tests.packet_maker import make_object, write_archive
from tsc_core.sources.http import Limits
from tsc_core.sources.loopback import Faults, LoopbackServer
from tsc_core.sources.packets import PacketSource

OIDS = tuple(f"ZTF18aaaaaa{letter}" for letter in "abcdef")
PATIENT = Limits(tries=5, backoff_s=0.02)  # a busy machine is no fault
SHORT = replace(PATIENT, connect_s=1.0, read_s=1.2, object_s=8.0, side_s=3.0)  # where a server never ends


def made_packets(oids=OIDS):
    return {oid: make_object(oid, ra=150.0 + place, dec=2.0) for place, oid in enumerate(oids)}


@pytest.fixture(scope="session")
def packets():
    return made_packets()


@pytest.fixture(scope="session")
def archive_path(tmp_path_factory, packets):
    path = tmp_path_factory.mktemp("archive") / "night.tar.gz"
    return write_archive(path, {candid: raw for found in packets.values() for candid, raw in found.items()})


@pytest.fixture(scope="session")
def served(archive_path):
    """A server for all tests of the session: its faults are set per test through `server`."""
    near = {"AllWISE": "J100000.00+020000.0", "RAJ2000": "150.0001", "DEJ2000": "2.0", "W1mag": "14.2", "W2mag": "13.9"}
    far = {"AllWISE": "J100000.00+020001.0", "RAJ2000": "150.0004", "DEJ2000": "2.0", "W1mag": "16.0"}
    with LoopbackServer(PacketSource(archive_path), sources=[far, near], hang_s=30.0) as server:
        yield server


@pytest.fixture
def server(served, monkeypatch, tmp_path):
    served.misbehave(Faults())
    served.lost = frozenset()
    for name, value in served.write_config(tmp_path / "alerce_config.json").items():
        monkeypatch.setenv(name, value)
    return served


@pytest.fixture
def no_thread_left():
    """Fails the test if a thread that it started, other than a server's, is alive a moment after it."""
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + 2.0
    while (left := _client_threads(before)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left


def _client_threads(before):
    servers = ("process_request", "loopback")
    return [t for t in threading.enumerate() if t not in before and not any(word in t.name for word in servers)]
