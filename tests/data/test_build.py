import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.data.made import assert_same_sequence, files_of, made, odd, oid_of, source_of
from tests.packet_maker import make_object, make_packet, write_archive
from tsc_core.alerts import AllWise
from tsc_core.cli import main
from tsc_core.data.build import build, trim
from tsc_core.data.labels import Label, LabelFault, LabelTable
from tsc_core.data.store import Dataset, DatasetError
from tsc_core.preprocessing import select_alerts
from tsc_core.sources import ObjectNotFound, SourceError
from tsc_core.sources.base import LATER
from tsc_core.sources.loopback import Fault, Faults, LoopbackServer
from tsc_core.sources.packets import PacketSource


def labels(*numbers):
    return tuple(Label(oid_of(number), made(number).label, "made") for number in numbers)


class Service:
    """Made objects, each counted when it is asked for; some fail."""

    def __init__(self, **failing):
        self.asked, self.failing = Counter(), {oid_of(int(key[1:])): error for key, error in failing.items()}

    def __call__(self, oid):
        self.asked[oid] += 1
        if oid in self.failing:
            raise self.failing[oid]
        return replace(
            made(int("".join(str("abcdefghij".index(c)) for c in oid[5:]))), allwise=None, allwise_asked=False
        )


class Catalogue:
    def __init__(self, error=None):
        self.error, self.asked = error, []

    def match(self, positions):
        if self.error:
            raise self.error
        self.asked.append(list(positions))
        return {oid: AllWise(12.0, 11.0, 10.0, 9.0) if int(ra) % 2 else None for oid, (ra, _) in positions.items()}


def test_objects_are_written_in_the_order_of_the_table(tmp_path):
    service, table = Service(), LabelTable(labels(3, 1, 2))
    report = build(table, service, tmp_path / "set", at_once=3)
    assert (report.written, report.present, report.skipped, report.problems, report.finished) == (3, 0, (), (), True)
    dataset = Dataset(tmp_path / "set")
    assert dataset.oids == (oid_of(3), oid_of(1), oid_of(2))
    assert list(dataset.labels) == ["AGN", "SN", "VS"]
    assert set(dataset.objects["label_source"]) == {"made"}
    assert_same_sequence(dataset.sequence(1), service(oid_of(1)))


def test_the_first_detections_are_kept_and_stay_what_they_were():
    sequence = made(0, detections=5)
    for n in (1, 3, 5, 9):
        cut = trim(sequence, n)
        before, after = select_alerts(sequence, "first", n), select_alerts(cut, "first", n)
        assert before.used == after.used
        assert len(cut.alerts) == min(n, 5)
        assert all(limit.mjd <= cut.alerts[-1].mjd for limit in cut.limits)


def test_what_cannot_be_had_is_named_and_asked_again_only_where_that_may_help(tmp_path):
    service = Service(_2=SourceError("no answer"), _3=ObjectNotFound("not at ALeRCE"), _4=OSError("broken"))
    table = LabelTable(labels(1, 2, 3, 4, 5))
    report = build(table, service, tmp_path / "set")
    assert (report.written, report.finished) == (2, True)
    reasons = {entry.oid: (entry.again, entry.reason) for entry in report.skipped}
    assert reasons == {
        oid_of(2): (True, "no answer"),
        oid_of(3): (False, "not at ALeRCE"),
        oid_of(4): (True, "broken"),
    }
    service.failing.clear()
    again = build(table, service, tmp_path / "set")
    assert (again.written, again.present) == (2, 2)
    assert [entry.oid for entry in again.skipped] == [oid_of(3)]
    assert service.asked == {oid_of(1): 1, oid_of(2): 2, oid_of(3): 1, oid_of(4): 2, oid_of(5): 1}
    assert (tmp_path / "set" / "skipped.csv").read_text().splitlines() == [
        "oid,label,again,reason",
        f"{oid_of(3)},AGN,no,not at ALeRCE",
    ]


def test_an_object_without_usable_stamps_or_not_whole_is_no_training_object(tmp_path):
    clipped = source_of({"a": make_packet(oid_of(1), 58400.1, shape=(63, 30))}).fetch(oid_of(1))
    lacking = replace(made(2), flags=(f"detection 12: its packet did not come: HTTP 503 ({LATER})",))
    report = build(LabelTable(labels(1, 2)), {oid_of(1): clipped, oid_of(2): lacking}.__getitem__, tmp_path / "set")
    first, second = report.skipped
    assert (first.again, first.reason) == (False, "no usable stamps: science stamp is 63x30, not 63x63")
    assert second.again
    assert "did not come" in second.reason


def test_an_object_that_the_tables_cannot_hold_is_left_out_and_the_rest_written(tmp_path):
    service = {oid_of(number): made(number) for number in (1, 3)} | {oid_of(2): odd(2, fid=70000)}
    report = build(LabelTable(labels(1, 2, 3)), service.__getitem__, tmp_path / "set")
    assert (report.written, report.finished) == (2, True)
    (left,) = report.skipped
    assert (left.oid, left.again) == (oid_of(2), False)
    assert "fid of its alerts needs to be int16: Value 70000" in left.reason
    assert Dataset(tmp_path / "set").oids == (oid_of(1), oid_of(3))
    assert build(LabelTable(labels(1, 2, 3)), {}.__getitem__, tmp_path / "set").present == 2


def test_a_service_that_is_gone_stops_the_build(tmp_path):
    service = Service(**{f"_{number}": SourceError("connection refused") for number in range(5, 40)})
    report = build(LabelTable(labels(*range(40))), service, tmp_path / "set", at_once=2)
    assert not report.finished
    assert report.problems == ("stopped after 20 failures in a row, the last: connection refused",)
    assert sum(service.asked.values()) <= 5 + 20 + 2
    with pytest.raises(DatasetError, match="not finished"):
        Dataset(tmp_path / "set")
    service.failing.clear()
    assert build(LabelTable(labels(*range(40))), service, tmp_path / "set").present == 5
    assert len(Dataset(tmp_path / "set")) == 40


def test_an_object_given_another_class_later_is_said_to_be_there_still(tmp_path):
    build(LabelTable(labels(1)), Service(), tmp_path / "set")
    table = LabelTable(labels(2), (LabelFault(2, oid_of(1), "SN", f"{oid_of(1)} is given another class: left out"),))
    (told,) = build(table, Service(), tmp_path / "set").skipped
    assert told.reason.endswith("left out; the dataset has it from before, as SN")


def test_bad_rows_of_the_table_are_reported_and_the_rest_done(tmp_path):
    table = LabelTable(labels(1, 2), (LabelFault(4, "ZTF1", "SN", "'ZTF1' is not an object id"),))
    build(LabelTable((replace(labels(1)[0], label="AGN"),)), Service(), tmp_path / "set")
    report = build(table, Service(), tmp_path / "set")
    assert [entry.reason for entry in report.skipped] == [
        "line 4: 'ZTF1' is not an object id",
        f"{oid_of(1)} is SN in the table and AGN in the dataset",
    ]
    assert Dataset(tmp_path / "set").oids == (oid_of(1), oid_of(2))


def test_the_cross_match_is_asked_in_bulk_and_once(tmp_path):
    service, table = Service(), LabelTable(labels(0, 1, 2, 3))
    failed = build(table, service, tmp_path / "set", cross_match=Catalogue(SourceError("no answer")))
    assert failed.problems == ("no AllWISE cross-match of 4 objects: no answer; run again to ask for them",)
    catalogue = Catalogue()
    for _ in range(2):
        assert build(table, service, tmp_path / "set", cross_match=catalogue).problems == ()
    assert catalogue.asked == [[oid_of(number) for number in range(4)]]
    objects = Dataset(tmp_path / "set").objects
    assert objects["allwise_asked"].all()
    assert list(objects["allwise_matched"]) == [False, True, False, True]
    assert max(service.asked.values()) == 1


def test_the_rate_is_kept(tmp_path):
    started = time.monotonic()
    build(LabelTable(labels(*range(5))), Service(), tmp_path / "set", at_once=4, rate=10.0)
    assert time.monotonic() - started >= 0.4


def test_any_executor_will_do(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        assert build(LabelTable(labels(1, 2)), Service(), tmp_path / "set", executor=pool, at_once=2).written == 2


# --- the command, on packets and on a loopback ALeRCE -----------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    packets = {}
    for number in range(12):
        mjds = [58300.2 + number + 3.1 * place for place in range(7)]
        packets |= make_object(oid_of(number), mjds, ra=10.0 + number)
    rows = [f"{oid_of(number)},{'AGN' if number % 2 else 'VS'}" for number in range(12)]
    (folder / "labels.csv").write_text("\n".join(["oid,label", *rows, ""]))
    write_archive(folder / "night.tar.gz", packets)
    return folder


def test_build_and_info_from_packets(tmp_path, archive, capsys):
    out = str(tmp_path / "set")
    arguments = ["--labels", f"{archive}/labels.csv", "--source", f"{archive}/night.tar.gz", "--out", out]
    assert main(["dataset", "build", *arguments]) == 0
    assert capsys.readouterr().out == f"{out}: 12 written, 0 there before, 0 left out\n"
    assert main(["dataset", "info", out]) == 0
    shown = capsys.readouterr().out
    assert "12 objects, 60 detections with stamps" in shown
    assert shown.split("usable detections\n")[1].splitlines()[1].split() == ["AGN", *["6"] * 6]
    assert main(["dataset", "split", out, "--validation", "1", "--test", "2", "--out", f"{tmp_path}/split.csv"]) == 0
    assert capsys.readouterr().out.startswith("train 6, validation 2, test 4; hash ")
    assert main(["dataset", "split", out, "--out", f"{tmp_path}/other.csv"]) == 1
    assert "AGN has 6, 200 + 200 were asked for" in capsys.readouterr().err


def test_faults_of_the_table_exit_1_and_wrong_use_2(tmp_path, archive, capsys):
    (tmp_path / "labels.csv").write_text(
        f"objectId,label\n{oid_of(1)},AGN\n{oid_of(2)},TDE\nZTF1,SN\n{oid_of(99)},SN\n"
    )
    source = f"{archive}/night.tar.gz"
    arguments = ["--labels", f"{tmp_path}/labels.csv", "--source", source, "--out", f"{tmp_path}/set"]
    assert main(["dataset", "build", *arguments]) == 1
    told = capsys.readouterr()
    assert "1 written, 0 there before, 3 left out" in told.out
    for words in (f"{oid_of(2)} is of unknown class 'TDE'", "'ZTF1' is not an object id", f"{oid_of(99)} is not in"):
        assert words in told.err
    assert main(["dataset", "build", "--labels", f"{tmp_path}/none.csv", *arguments[2:]]) == 2
    assert main(["dataset", "build", *arguments[:2], "--source", f"{tmp_path}/none", *arguments[4:]]) == 2
    assert main(["dataset", "info", str(archive)]) == 1
    assert "no dataset there" in capsys.readouterr().err


class Builds:
    """Runs of `tsc dataset build --source alerce` against a loopback server, each with a cache of its own."""

    def __init__(self, server, archive, folder):
        self.environment = os.environ | server.write_config(folder / "alerce.json") | {"TSC_HTTP": "backoff_s=0.01"}
        self.labels, self.folder = archive / "labels.csv", folder

    def start(self, name):
        command = [sys.executable, "-m", "tsc_core", "dataset", "build", "--source", "alerce", "--rate", "0"]
        command += ["--labels", self.labels, "--out", self.folder / name]
        environment = self.environment | {"TSC_CACHE_DIR": str(self.folder / f"cache-{name}")}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def kill_after(self, name, count):
        """Kill -9 as soon as `count` objects are written."""
        process, journal = self.start(name), self.folder / name / "part-open" / "journal"
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= count):
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL, process.stderr.read()

    def finish(self, name):
        process = self.start(name)
        out, err = process.communicate()
        assert process.returncode == 0, err
        return out


def test_killed_twice_and_resumed_equals_one_go_and_asks_for_no_packet_twice(tmp_path, archive):
    faults = Faults(0.03, rules=(Fault("/get_avro", "status:503", 1),))
    with LoopbackServer(PacketSource(archive / "night.tar.gz"), faults) as server:
        builds = Builds(server, archive, tmp_path)
        assert "12 written" in builds.finish("whole")
        server.misbehave(faults)
        builds.kill_after("killed", 2)
        builds.kill_after("killed", 6)
        assert f"{tmp_path}/killed: " in builds.finish("killed")
        packets = Counter(r.target for r in server.requests if "/get_avro" in r.target and r.status == 200)
        cross_matches = [r for r in server.requests if "xmatch" in r.target]
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
    dataset = Dataset(tmp_path / "killed")
    assert len(dataset) == 12
    assert dataset.objects["allwise_asked"].all()
    assert (dataset.objects["usable"] == 5).all()
    assert len(packets) == 60  # the first five of seven
    assert sum(packets.values()) <= 60 + 2 * 6  # answers on their way when it was killed
    assert len(cross_matches) == 1
