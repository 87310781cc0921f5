"""The loopback server, asked by the real client: its answers have ALeRCE's paths, shapes and oddities."""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.sources.conftest import OIDS
from tsc_core.cli import main
from tsc_core.sources.loopback import Fault, Faults, LoopbackServer
from tsc_core.sources.packets import PacketSource


@pytest.fixture
def client(server):
    from alerce.core import Alerce

    return Alerce()


def test_detections_have_string_candids_and_no_null_keys(client, packets):
    found = client.query_detections(OIDS[0], survey="ztf")
    assert [item["candid"] for item in found] == list(packets[OIDS[0]])
    assert all(None not in item.values() for item in found)
    assert {item["isdiffpos"] for item in found} == {1}
    assert not {"sgscore1", "fwhm", "ndethist", "chinr"} & set(found[0])


def test_get_avro_is_the_packet_itself(client, packets):
    for candid, raw in packets[OIDS[1]].items():
        assert client.get_avro(OIDS[1], candid=candid, survey="ztf") == raw


def test_stamps_as_the_client_reads_them(client, packets):
    stamps = client.get_stamps(OIDS[0], candid=next(iter(packets[OIDS[0]])), format="numpy", survey="ztf")
    assert [stamp.shape for stamp in stamps] == [(63, 63)] * 3


def test_object_and_light_curve(client):
    row = client.query_object(OIDS[2], survey="ztf")
    assert (row["ndethist"], row["ndet"], row["meanra"]) == ("3", 5, pytest.approx(152.0))
    curve = client.query_lightcurve(OIDS[2], survey="ztf")
    assert (len(curve["detections"]), len(curve["non_detections"])) == (5, 1)
    assert set(curve["non_detections"][0]) == {"tid", "mjd", "fid", "diffmaglim"}


def test_probabilities_mix_classifiers_and_versions(client):
    rows = client.query_probabilities(OIDS[0], survey="ztf")
    versions = {(row["classifier_name"], row["classifier_version"]) for row in rows}
    assert len(versions) > len({name for name, _ in versions}) > 1
    for key in versions:
        of_one = [row for row in rows if (row["classifier_name"], row["classifier_version"]) == key]
        assert sum(row["probability"] for row in of_one) == pytest.approx(1.0)
    assert [row["classifier_name"] for row in rows] != sorted(row["classifier_name"] for row in rows)


def test_list_of_objects(client):
    page = client.query_objects(survey="ztf", format="json", page_size=4)
    assert [item["oid"] for item in page["items"]] == list(OIDS[:4])
    assert (page["has_next"], page["next"], page["total"]) == (True, 2, None)
    cone = client.query_objects(survey="ztf", format="json", ra=151.0, dec=2.0, radius=5)
    assert [item["oid"] for item in cone["items"]] == [OIDS[1]]
    assert client.query_objects(survey="ztf", format="json", ndet=[6, 10])["items"] == []
    named = client.query_objects(survey="ztf", format="json", oid=[OIDS[3], OIDS[5]])["items"]
    assert [item["oid"] for item in named] == [OIDS[3], OIDS[5]]
    classed = client.query_objects(survey="ztf", format="json", classifier="lc_classifier_top", class_name="Transient")
    assert 0 < len(classed["items"]) < len(OIDS)


def test_not_found_is_a_page(client, server):
    from alerce.exceptions import ObjectNotFoundError

    with pytest.raises(ObjectNotFoundError):
        client.query_detections("ZTF99zzzzzzz", survey="ztf")
    answer = requests.get(server.url + "/get_avro?oid=ZTF99zzzzzzz&candid=1", timeout=5)
    assert (answer.status_code, answer.text[:9]) == (404, "<!DOCTYPE")


def test_lost_packets(client, server, packets):
    candid = next(iter(packets[OIDS[0]]))
    server.lost = frozenset([candid])
    assert client.get_avro(OIDS[0], candid=candid, survey="ztf").startswith(b"<!DOCTYPE")
    assert client.query_detections(OIDS[0], survey="ztf")[0]["has_stamp"]


def test_cross_match_by_the_real_client(server):
    from astropy import units
    from astropy.table import Table
    from astroquery.xmatch import XMatchClass

    class Client(XMatchClass):
        URL = server.url + "/xmatch/api/v1/sync"

    asked = Table({"name": [7, 8], "ra": [150.0, 10.0], "dec": [2.0, 2.0]})
    found = Client().query(asked, "vizier:II/328/allwise", 2 * units.arcsec, colRA1="ra", colDec1="dec", cache=False)
    assert list(found["name"]) == [7, 7]
    assert set(found["W1mag"]) == {14.2, 16.0}


def test_random_faults_depend_on_the_request_alone(archive_path):
    def statuses():
        with LoopbackServer(PacketSource(archive_path), Faults(errors=0.5, seed=3)) as server:
            urls = [f"{server.url}/ztf/v1/objects/{oid}" for oid in OIDS for _ in range(4)]
            return [requests.get(url, timeout=5).status_code for url in urls]

    first = statuses()
    assert first == statuses()
    assert {200, 502} == set(first)


def test_faults_are_checked():
    for text in ("x=explode", "x", "x=status:200", "x=redirect", "(=hang"):
        with pytest.raises(ValueError):
            Fault.parse(text)
    assert Fault.parse("get_avro?=status:503*2") == Fault("get_avro?", "status:503", 2)
    with pytest.raises(ValueError, match="fractions"):
        Faults(errors=0.8, hangs=0.4)


def test_answers_leave_compressed(server):
    answer = requests.get(f"{server.url}/ztf/v1/objects/{OIDS[0]}", stream=True, timeout=5)
    assert gzip.decompress(answer.raw.read()).startswith(b"{")


def test_command_serves_until_it_is_told_to_end(archive_path):
    command = [sys.executable, "-m", "tsc_core", "serve-archive", str(archive_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline().strip() for _ in range(2)]
        named = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        url = named["TSC_XMATCH_URL"].removesuffix("/xmatch/api/v1/sync")
        assert requests.get(f"{url}/ztf/v1/objects/{OIDS[0]}", timeout=5).json()["oid"] == OIDS[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert not Path(named["ALERCE_CONFIG_PATH"]).exists()


def test_command_with_wrong_words(archive_path, tmp_path, capsys):
    assert main(["serve-archive", str(archive_path), "--fault", "x=explode"]) == 2
    assert main(["serve-archive", str(archive_path), "--errors", "2"]) == 2
    assert main(["serve-archive", os.fspath(tmp_path / "nothing")]) == 1
    assert "explode" in capsys.readouterr().err
