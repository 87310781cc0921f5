import io
import json
import math
import threading
import time
import warnings
from dataclasses import replace

import fastavro
import numpy as np
import pytest

from tests.packet_maker import make_object, make_packet, prv_detection, write_archive
from tests.sources.conftest import OIDS, PATIENT, SHORT
from tsc_core.features import DYNAMIC, STATIC, lookup, read_dynamic, read_static
from tsc_core.preprocessing.quality import select_alerts
from tsc_core.sources import ObjectNotFound, SourceError, alerce_service, open_source
from tsc_core.sources.alerce import AlerceSource
from tsc_core.sources.alerce_answers import check_candid, read_detections, read_limits, read_probabilities
from tsc_core.sources.loopback import Fault, Faults, LoopbackServer
from tsc_core.sources.packets import PacketSource

OID = OIDS[0]


@pytest.fixture
def source(server):
    with AlerceSource(limits=PATIENT) as source:
        yield source


@pytest.fixture
def hasty(server):
    with AlerceSource(limits=SHORT) as source:
        yield source


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Serve other packets: a function {name: bytes} -> (source over a loopback server, that server)."""
    opened = []

    def start(packets, window="first", n=5, limits=PATIENT, **options):
        path = write_archive(tmp_path / f"{len(opened)}.tar", packets)
        server = LoopbackServer(PacketSource(path), **options)
        opened.append(server.__enter__())
        for name, value in server.write_config(tmp_path / "own_config.json").items():
            monkeypatch.setenv(name, value)
        return AlerceSource(window, n, limits=limits), server

    yield start
    for server in opened:
        server.__exit__()


def fault(server, route, action, times=None):
    server.misbehave(Faults(rules=(Fault(route, action, times),)))


def targets(server):
    return sorted(request.target for request in server.requests)


def no_warning(recorded):
    return [str(w.message) for w in recorded if "survey" in str(w.message)] == []


# --- the ordinary way -----------------------------------------------------------------------------------------


def test_an_object_with_everything(source):
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        sequence = source.fetch(OID)
    assert no_warning(recorded)
    assert [alert.has_stamps for alert in sequence.alerts] == [True] * 5
    assert (sequence.source, sequence.flags, len(sequence.limits)) == ("alerce", (), 1)
    assert sequence.allwise_asked
    assert sequence.allwise.w1 == 14.2


def test_each_thing_is_asked_once(source, server, packets):
    source.fetch(OID)
    wanted = [f"GET /get_avro?oid={OID}&candid={candid}" for candid in packets[OID]]
    lists = [f"GET /ztf/v1/objects/{OID}/{name}" for name in ("detections", "non_detections")]
    assert targets(server) == sorted([*wanted, *lists, "POST /xmatch/api/v1/sync"])


def quickest(work, oids):
    """Seconds of the quickest of several runs: other work on the machine only ever adds."""
    spans = []
    for oid in oids:
        began = time.monotonic()
        work(oid)
        spans.append(time.monotonic() - began)
    return min(spans)


def test_cold_object_in_two_round_trips_warm_packets_in_one(source, server, monkeypatch):
    source.fetch(OIDS[0])  # connections open, modules imported
    server.misbehave(Faults(latency_s=0.2))
    assert quickest(source.fetch, OIDS[1:4]) < 0.9
    monkeypatch.setattr(alerce_service, "FRESH_S", 0.0)
    server.misbehave(Faults(latency_s=0.2))
    assert quickest(source.fetch, OIDS[1:4]) < 0.4
    assert len(server.requests) == 3 * 2


def test_within_minutes_nothing_is_asked_again(source, server):
    first = source.fetch(OID)
    server.misbehave(Faults())
    again = source.fetch(OID)
    assert server.requests == []
    assert [alert.candid for alert in again.alerts] == [alert.candid for alert in first.alerts]
    assert repr(again.allwise) == repr(first.allwise)  # NaN is not equal to itself


def test_progress_says_what_it_waits_for(source):
    told = []
    source.fetch(OID, lambda *step: told.append((*step, threading.current_thread() is threading.main_thread())))
    assert ("stamps", 3, 5, True) in told
    assert told[0] == ("detections", 0, 1, True)
    assert {what for what, *_ in told} == {"detections", "stamps", "AllWISE", "upper limits"}


def assert_equal_examples(one, other, window="first"):
    """Whether the models would see the same numbers, bit for bit."""
    a, b = (select_alerts(sequence, window).used for sequence in (one, other))
    assert [alert.candid for alert in a] == [alert.candid for alert in b]
    dynamic, static = lookup(DYNAMIC, "dynamic"), lookup(STATIC, "static")
    np.testing.assert_array_equal(read_dynamic(a, dynamic), read_dynamic(b, dynamic))
    np.testing.assert_array_equal(read_static(a, static), read_static(b, static))
    assert [alert.mjd for alert in a] == [alert.mjd for alert in b]
    for left, right in zip(a, b, strict=True):
        assert left.has_stamps == right.has_stamps
        if left.has_stamps:
            np.testing.assert_array_equal(left.stamps.science, right.stamps.science)
            np.testing.assert_array_equal(left.stamps.template, right.stamps.template)
            np.testing.assert_array_equal(left.stamps.difference, right.stamps.difference)


def test_both_roads_give_the_same_numbers(source, archive_path):
    archive = PacketSource(archive_path)
    for oid in OIDS:
        assert_equal_examples(source.fetch(oid), archive.fetch(oid))


def test_both_roads_give_the_same_probabilities(source, archive_path):
    from tests.made_objects import bundle
    from tsc_core.inference.predictor import Predictor

    predictor = Predictor([bundle("stamp", 1), bundle("temporal", 2), bundle("temporal", 5)])
    live, kept = source.fetch(OIDS[1]), PacketSource(archive_path).fetch(OIDS[1])
    assert live.allwise is None
    steps = predictor.predict(live).steps
    assert [step.n for step in steps] == [1, 2, 5]
    assert steps == predictor.predict(kept).steps


def test_history_without_stamps_agrees_too(serve, tmp_path):
    mjds = [58300.0 + 3 * i for i in range(4)]
    history = [prv_detection(mjd, fid=1, magpsf=17.0 + i) for i, mjd in enumerate(mjds)]
    packet = {"1": make_packet(OID, 58313.0, history=history)}
    source, _ = serve(packet, window="last")
    live, kept = source.fetch(OID), PacketSource(write_archive(tmp_path / "own.tar", packet)).fetch(OID)
    assert len(live.alerts) == 5
    assert len(select_alerts(live, "last").used) == 5
    assert_equal_examples(live, kept, "last")


def test_only_the_window_is_asked_for(serve):
    mjds = [58300.0 + 0.1 * i for i in range(6)] + [58310.0 + i for i in range(8)]
    packets = make_object(OID, mjds)
    source, server = serve(packets, n=3)
    sequence = source.fetch(OID)
    stamped = [alert.mjd for alert in sequence.alerts if alert.has_stamps]
    assert np.round(stamped, 1).tolist() == [58300.0, 58300.3, 58310.0]
    assert sum("get_avro" in target for target in targets(server)) == 3
    assert "not asked for" in sequence.alerts[1].missing
    source, _ = serve(packets, window="last", n=2)
    assert [alert.has_stamps for alert in source.fetch(OID).alerts[-3:]] == [False, True, True]


def test_other_stamps_come_on_demand(serve):
    packets = make_object(OID, [58310.0 + i for i in range(8)])
    source, _ = serve(packets, n=2)
    last = list(packets)[-1]
    assert not source.fetch(OID).alerts[-1].has_stamps
    assert source.fetch_packet(OID, last).has_stamps
    told = []
    found = source.fetch_packets(OID, [*packets, "123"], lambda *step: told.append(step))
    assert [alert.has_stamps for candid, alert in found.items() if candid != "123"] == [True] * 8
    assert "404" in found["123"]
    assert told[-1] == ("stamps", 9, 9)


def test_an_unusable_stamp_gives_its_place_to_the_next_detection(serve):
    clipped = make_packet(OID, 58300.0, shape=(62, 63))
    packets = {"clipped": clipped, **make_object(OID, [58310.0 + i for i in range(4)])}
    source, _ = serve(packets, n=3)
    sequence = source.fetch(OID)
    assert [alert.has_stamps for alert in sequence.alerts] == [True, True, True, True, False]
    assert len(select_alerts(sequence, "first", 3).used) == 3


def test_opened_by_name(server):
    source = open_source("alerce", "last")
    assert isinstance(source, AlerceSource)
    assert (source.window, source.oids(), source.problems) == ("last", (), ())


# --- what services do wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("oid", ["ZTF18abc", "../../etc", "ZTF18abcdefg?x=1", "", "ZTF18abcdefg\n"])
def test_ids_are_checked_before_any_request(source, server, oid):
    asked = (
        source.fetch,
        source.probabilities,
        lambda oid: source.fetch_packet(oid, "1"),
        lambda oid: source.fetch_packets(oid, ["1"]),
        lambda oid: source.search(oids=[oid]),
    )
    for ask in asked:
        with pytest.raises(ValueError, match="not an object id"):
            ask(oid)
    for candid in ("../1", "1e5", 1.0, None, True):
        with pytest.raises(ValueError, match="not a detection id"):
            source.fetch_packet(OID, candid)
    assert server.requests == []


def test_an_unknown_id(source, server):
    with pytest.raises(ObjectNotFound, match="ALeRCE has no such object"):
        source.fetch("ZTF99zzzzzzz")
    assert len(source.problems) == 1
    assert all("get_avro" not in target for target in targets(server))


@pytest.mark.parametrize("action", ["status:404", "empty-list"])
def test_an_object_without_detections(source, server, monkeypatch, action):
    if action == "empty-list":
        monkeypatch.setattr(server.answers, "detections", lambda oid: [])
    else:
        fault(server, "/detections", action)
    with pytest.raises(ObjectNotFound, match="has the object, but lists no detections"):
        source.fetch(OID)


def test_all_stamps_missing(source, server, packets):
    server.lost = frozenset(packets[OID])
    sequence = source.fetch(OID)
    assert len(sequence.alerts) == 5
    assert all("gone from ALeRCE's store" in alert.missing for alert in sequence.alerts)
    assert sum("gone from" in flag for flag in sequence.flags) == 5
    assert select_alerts(sequence).used == ()


def test_asking_for_lost_packets_ends(serve):
    packets = make_object(OID, [58300.0 + i for i in range(60)])
    source, server = serve(packets, lost=list(packets))
    sequence = source.fetch(OID)
    assert any("no further ones" in flag for flag in sequence.flags)
    assert sum("get_avro" in target for target in targets(server)) <= 20


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("other", "the packet of ZTF18"),
        ("html", "web page"),
        ("short", "broken Avro"),
        ("empty", "not an Avro"),
        ("huge", "above 16 MB"),
        ("redirect:http://example.org/x", "another host"),
        ("status:500", "HTTP 500"),
        ("status:502", "HTTP 502"),
        ("cut", "cut"),
    ],
)
def test_a_packet_that_is_none_is_named_and_nothing_else_is_lost(source, server, packets, action, words):
    first = next(iter(packets[OID]))
    fault(server, f"get_avro.*{first}", action)
    sequence = source.fetch(OID)
    assert [alert.has_stamps for alert in sequence.alerts] == [False, True, True, True, True]
    assert words in sequence.alerts[0].missing
    assert [words in flag for flag in sequence.flags] == [True]
    assert sequence.allwise is not None
    server.misbehave(Faults())
    assert source.fetch(OID).alerts[0].has_stamps  # a failure is not kept


@pytest.mark.parametrize("action", ["html", "short", "empty", "status:500", "status:502", "huge"])
def test_detections_that_cannot_be_read(source, server, action):
    fault(server, "/(detections|lightcurve)", action)
    with pytest.raises(SourceError):
        source.fetch(OID)


@pytest.mark.parametrize("answer", ["{}", "null", "3", '[{"mjd": 1}]', '{"detections": 3}', "[" * 100_000])
def test_json_of_another_shape(source, server, monkeypatch, answer):
    monkeypatch.setattr(
        "tsc_core.sources.loopback.server.compressed_json", lambda _: __import__("gzip").compress(answer.encode())
    )
    with pytest.raises(SourceError):
        source.fetch(OID)


def test_the_light_curve_stands_in_for_the_list(source, server):
    fault(server, "/detections", "status:500")
    assert sum(alert.has_stamps for alert in source.fetch(OID).alerts) == 5


@pytest.mark.parametrize("action", ["status:500", "html", "hang", "redirect:http://example.org/"])
def test_side_services_fail_alone(hasty, server, action):
    server.misbehave(Faults(rules=(Fault("non_detections", action), Fault("xmatch", action))))
    sequence = hasty.fetch(OID)
    assert sum(alert.has_stamps for alert in sequence.alerts) == 5
    assert sorted(flag.split(":")[0] for flag in sequence.flags) == [
        "AllWISE colours are missing",
        "upper limits are those in the packets alone",
    ]
    assert (sequence.allwise, sequence.allwise_asked) == (None, False)
    assert len(sequence.limits) == 1


def test_the_deadline_shows_what_has_come(server, packets):
    first = next(iter(packets[OID]))
    fault(server, f"get_avro.*{first}", "hang")
    with AlerceSource(deadline_s=4.0, limits=PATIENT) as source:
        began = time.monotonic()
        sequence = source.fetch(OID)
        assert time.monotonic() - began < 5.0
    assert [alert.has_stamps for alert in sequence.alerts] == [False, True, True, True, True]
    assert first in sequence.flags[0]


def test_twenty_per_cent_errors_and_five_per_cent_hangs(serve, no_thread_left):
    oids = [f"ZTF18bbbbb{a}{b}" for a in "abcdefghij" for b in "abcdefghij"]
    packets = {oid: make_object(oid, [58300.0, 58305.0], ra=150.0 + i / 10) for i, oid in enumerate(oids)}
    limits = replace(SHORT, read_s=0.6, side_s=2.0)
    source, server = serve({c: raw for found in packets.values() for c, raw in found.items()}, limits=limits)
    server.misbehave(Faults(errors=0.2, hangs=0.05, seed=1))
    for oid in oids:
        began = time.monotonic()
        sequence = source.fetch(oid)
        assert time.monotonic() - began < SHORT.object_s
        for alert in sequence.alerts:
            assert alert.oid == oid
            assert alert.candid in packets[oid]
            assert alert.has_stamps or any(alert.candid in flag for flag in sequence.flags)
        assert len(sequence.alerts) == 2
        assert sequence.allwise_asked or any("AllWISE" in flag for flag in sequence.flags)
    refused = sum(request.fault is not None for request in server.requests)
    assert refused > 0.15 * len(server.requests)
    source.close()


def test_seen_once_seen_again_offline(source, server, monkeypatch):
    seen = source.fetch(OID)
    monkeypatch.setattr(alerce_service, "FRESH_S", 0.0)
    fault(server, ".", "status:503")
    again = source.fetch(OID)
    assert_equal_examples(seen, again)
    assert repr(again.allwise) == repr(seen.allwise)
    assert any("as kept from" in flag for flag in again.flags)


def test_kept_packets_show_when_the_list_was_never_kept(source, server, packets):
    for candid in packets[OID]:
        source.fetch_packet(OID, candid)
    fault(server, "/ztf/", "status:503")
    sequence = source.fetch(OID)
    assert sum(alert.has_stamps for alert in sequence.alerts) == 5
    assert any("only packets kept from before" in flag for flag in sequence.flags)


def test_a_damaged_packet_on_disk_is_fetched_again(source, server, tmp_path_factory):
    source.fetch(OID)
    folder = source._service._packets.folder / OID
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    server.misbehave(Faults())
    assert sum(alert.has_stamps for alert in source.fetch(OID).alerts) == 5
    assert sum("get_avro" in target for target in targets(server)) == 5


def test_an_unusable_configuration_is_told(monkeypatch, tmp_path):
    path = tmp_path / "config.json"
    for text in (None, "not json", "{}"):
        if text is not None:
            path.write_text(text)
        monkeypatch.setenv("ALERCE_CONFIG_PATH", str(path))
        with pytest.raises(SourceError, match="ALERCE_CONFIG_PATH"):
            AlerceSource()


@pytest.mark.parametrize("name", ["TSC_HTTP", "TSC_CACHE_MB", "TSC_XMATCH_URL"])
def test_an_unusable_setting_is_told(server, monkeypatch, name):
    monkeypatch.setenv(name, "much")
    with pytest.raises(SourceError, match=name):
        open_source("alerce")


# --- reading answers ------------------------------------------------------------------------------------------


def test_candids_never_pass_through_a_float():
    assert check_candid(2482195464315015010) == "2482195464315015010"
    item = {"candid": 2482195464315015010.0, "mjd": 60236.2, "fid": 1}
    good = {"candid": "2482195464315015010", "mjd": 60236.2, "fid": 1}
    assert [alert.candid for alert in read_detections(OID, [item, good, good])] == ["2482195464315015010"]


@pytest.mark.parametrize("wrong", [{"fid": math.inf}, {"fid": 1 << 70}, {"mjd": 10**400}, {"mjd": 1e308}, {"mjd": -5}])
def test_a_number_that_no_exposure_has_costs_that_item_alone(wrong):
    good = {"candid": "2482195464315015010", "mjd": 58000.0, "fid": 1, "diffmaglim": 20.0}
    assert [alert.mjd for alert in read_detections(OID, [good | {"candid": "7"} | wrong, good])] == [58000.0]
    assert [limit.mjd for limit in read_limits([good | wrong, good])] == [58000.0]
    assert math.isnan(read_detections(OID, [good | {"magpsf": 10**400}])[0].value("magpsf"))
    huge = {"classifier_name": "a", "classifier_version": "1", "class_name": "SN", "probability": 10**400}
    assert read_probabilities([huge, huge | {"probability": 0.5}])[0].probability == 0.5


def test_nothing_dangerous_is_kept_of_an_answer():
    item = {"candid": "1", "mjd": 58000.0, "fid": 1, "rbversion": "<script>", "tid": "ztf", "magpsf": float("nan")}
    assert read_detections(OID, [item])[0].record == {"candid": "1", "mjd": 58000.0, "fid": 1, "tid": "ztf"}
    row = {"classifier_name": "<b>", "classifier_version": "1", "class_name": "SN", "probability": 0.5}
    assert read_probabilities([row]) == []


def test_a_hostile_packet_leaves_no_markup_in_a_message(source, server, monkeypatch, packets):
    from tests.packet_maker import PARSED, make_candidate
    from tsc_core.sources.loopback.server import Answer

    file, text = io.BytesIO(), "<img src=x onerror=alert(1)>"
    packet = {"schemavsn": "4", "publisher": "", "objectId": text, "candid": 1, "candidate": make_candidate(58300.0)}
    fastavro.writer(file, PARSED, [packet])
    monkeypatch.setattr(server, "_packet", lambda *_: Answer(200, "application/octet-stream", file.getvalue()))
    sequence = source.fetch(OID)
    told = [*sequence.flags, *(alert.missing for alert in sequence.alerts)]
    assert any("onerror" in words for words in told)
    assert not any("<" in words or ">" in words for words in told)


def test_newest_version_of_each_classifier_first():
    rows = [
        {"classifier_name": name, "classifier_version": version, "class_name": label, "probability": p}
        for name, version in (("lc", "1.0.9"), ("stamp", "2"), ("lc", "1.0.10"))
        for label, p in (("AGN", 0.3), ("SN", 0.7))
    ]
    found = read_probabilities(json.loads(json.dumps(rows)))
    assert [(row.classifier, row.version) for row in found[::2]] == [("lc", "1.0.10"), ("lc", "1.0.9"), ("stamp", "2")]
    assert [row.class_name for row in found[:2]] == ["SN", "AGN"]


def test_probabilities_of_an_object(source, server):
    found = source.probabilities(OID)
    assert {row.classifier for row in found} == {"stamp_classifier", "lc_classifier", "lc_classifier_top"}
    versions = [row.version for row in found if row.classifier == "lc_classifier_top"]
    assert (versions[0], versions[-1]) == ("loopback_1.1.13", "loopback_1.1.9")
    fault(server, "probabilities", "status:502")
    assert source.probabilities(OID) == found  # kept for minutes


def test_search(source):
    found = source.search(position="10:04:00 +02:00:00", radius_arcsec=5)
    assert found["oid"].tolist() == [OIDS[1]]
    assert found["link"][0] == f"https://alerce.online/object/{OIDS[1]}"
    classed = source.search(classifier="lc_classifier_top", class_name="Transient", probability=0.4)
    assert (classed["probability"] >= 0.4).all()
    assert source.search(oids=[OIDS[2], OIDS[4]])["oid"].tolist() == [OIDS[2], OIDS[4]]
    assert len(source.search(first=("2018-07-01", "2018-07-31"), ndet=(5, 9))) == len(OIDS)
    assert source.search(ndet=(6, 9)).empty


def test_a_name_look_up_that_hangs_does_not_hold_the_object(hasty, monkeypatch):
    import socket

    real, release = socket.getaddrinfo, threading.Event()

    def slow(host, *args, **kwargs):
        if host == "xmatch.example":
            release.wait(30.0)
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(hasty._service._xmatch._client.__class__, "URL", "http://xmatch.example/sync")
    began = time.monotonic()
    sequence = hasty.fetch(OID)
    assert time.monotonic() - began < SHORT.side_s + 1.0
    release.set()
    assert sum(alert.has_stamps for alert in sequence.alerts) == 5
    assert any("AllWISE" in flag and "no end of the request" in flag for flag in sequence.flags)
