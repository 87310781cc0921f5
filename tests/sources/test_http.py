import threading
import time
import tracemalloc
from email.utils import formatdate

import pytest

from tests.sources.conftest import OIDS, PATIENT, SHORT
from tsc_core.sources.http import HttpError, Limits, Session
from tsc_core.sources.loopback import Fault, Faults

DETECTIONS = f"/ztf/v1/objects/{OIDS[0]}/detections"


@pytest.fixture
def session(no_thread_left):
    with Session(PATIENT) as session:
        yield session


@pytest.fixture
def hasty(no_thread_left):
    with Session(SHORT) as session:
        yield session


def misbehave(server, action, times=None, **fields):
    server.misbehave(Faults(rules=(Fault("detections", action, times, **fields),)))


def test_one_connection_serves_several_requests(server, session):
    before = server.connections
    for _ in range(3):
        assert len(session.request("GET", server.url + DETECTIONS).json()) == 5
    assert server.connections == before + 1


@pytest.mark.parametrize("action", ["status:429", "status:502", "status:503", "status:504", "cut"])
def test_passing_faults_are_retried(server, session, action):
    misbehave(server, action, times=2)
    assert session.request("GET", server.url + DETECTIONS).status_code == 200
    assert session.sent == 3


def test_a_hanging_request_is_sent_again(server, hasty):
    misbehave(server, "hang", times=2)
    assert hasty.request("GET", server.url + DETECTIONS).status_code == 200
    assert hasty.sent == 3


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_other_statuses_are_told_at_once(server, session, status):
    misbehave(server, f"status:{status}")
    with pytest.raises(HttpError, match=f"HTTP {status}") as told:
        session.request("GET", server.url + DETECTIONS)
    assert told.value.status == status
    assert session.sent == 1


def test_tries_end(server, session):
    misbehave(server, "status:502")
    with pytest.raises(HttpError, match=r"HTTP 502 \(5 tries\)"):
        session.request("GET", server.url + DETECTIONS)
    assert session.sent == PATIENT.tries


def test_retry_after_is_honoured(server, session):
    misbehave(server, "status:429", times=1, retry_after="1")
    began = time.monotonic()
    session.request("GET", server.url + DETECTIONS)
    assert time.monotonic() - began >= 1.0


def test_retry_after_beyond_the_deadline_is_not_waited_for(server, session):
    misbehave(server, "status:503", retry_after=formatdate(time.time() + 3600, usegmt=True))
    began = time.monotonic()
    with pytest.raises(HttpError, match="no time for another"):
        session.request("GET", server.url + DETECTIONS)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("action", ["hang", "drip"])
def test_no_request_outlives_its_deadline(server, session, action):
    misbehave(server, action)
    began = time.monotonic()
    with session.within(began + 0.7), pytest.raises(HttpError):
        session.request("GET", server.url + DETECTIONS)
    assert time.monotonic() - began < 1.5


def test_what_holds_within_ends_with_it(server, session):
    with session.within(time.monotonic() - 1.0), pytest.raises(HttpError, match="no time left"):
        session.request("GET", server.url + DETECTIONS)
    assert session.request("GET", server.url + DETECTIONS).status_code == 200


@pytest.mark.parametrize("action", ["huge", "bomb"])
def test_a_gigabyte_is_refused_in_bounded_memory(server, session, action):
    session.request("GET", server.url + DETECTIONS)
    misbehave(server, action)
    tracemalloc.start()
    with pytest.raises(HttpError, match="above 8 MB"):
        session.request("GET", server.url + DETECTIONS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    assert session.sent == 2


@pytest.mark.parametrize("target", ["http://example.org/x", "//example.org/x", "http://127.0.0.1:1/x", "file:///etc/x"])
def test_a_redirect_to_a_stranger_is_refused(server, session, target):
    misbehave(server, f"redirect:{target}")
    with pytest.raises(HttpError, match="another host"):
        session.request("GET", server.url + DETECTIONS)


def test_redirects_stay_among_the_named_hosts(server, session):
    misbehave(server, f"redirect:/ztf/v1/objects/{OIDS[0]}")
    assert session.request("GET", server.url + DETECTIONS).json()["oid"] == OIDS[0]
    session.hosts.add(("http", "localhost:1"))
    misbehave(server, "redirect:http://localhost:1/x")
    with pytest.raises(HttpError, match="connection refused"):
        session.request("GET", server.url + DETECTIONS)


def test_redirects_in_a_circle_end(server, session):
    misbehave(server, f"redirect:{DETECTIONS}")
    with pytest.raises(HttpError, match="more than 3 redirects"):
        session.request("GET", server.url + DETECTIONS)


def test_at_most_six_requests_at_once(server, session):
    server.misbehave(Faults(latency_s=0.1))
    threads = [threading.Thread(target=session.request, args=("GET", server.url + DETECTIONS)) for _ in range(18)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 0.3
    spans = [(request.started, request.ended) for request in server.requests]
    assert max(sum(a <= start < b for a, b in spans) for start, _ in spans) <= 6


def test_user_agent_names_the_project(session):
    assert session.headers["User-Agent"].startswith("temporal-stamp-classifier/")


def test_limits_from_the_environment(monkeypatch):
    monkeypatch.setenv("TSC_HTTP", "read_s=2.5 tries=3")
    assert Limits.from_environment() == Limits(read_s=2.5, tries=3)
    monkeypatch.setenv("TSC_HTTP", "patience=3")
    with pytest.raises(ValueError, match="'patience'"):
        Limits.from_environment()
    monkeypatch.setenv("TSC_HTTP", "tries=many")
    with pytest.raises(ValueError, match="'many'"):
        Limits.from_environment()
    with pytest.raises(ValueError, match="read_s"):
        Limits(read_s=0)
