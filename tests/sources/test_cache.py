import multiprocessing
import os
import time

import pytest

from tsc_core.cli import main
from tsc_core.sources.cache import Cache, cache_folder, clear, evict, usage

OID, CANDID = "ZTF18abcdefg", "546200000315015010"


@pytest.fixture
def cache(tmp_path):
    return Cache("avro.example.org", tmp_path)


def files(cache):
    return [path for path in cache.folder.rglob("*") if path.is_file()]


def test_what_is_put_is_got(cache):
    assert cache.get(OID, CANDID) is None
    cache.put(OID, CANDID, b"packet")
    assert cache.get(OID, CANDID).data == b"packet"
    assert cache.items(OID) == [CANDID]


def test_a_newer_answer_replaces_the_older(cache):
    cache.put(OID, "detections", b"old", "json")
    cache.put(OID, "detections", b"new", "json")
    assert cache.get(OID, "detections").data == b"new"
    assert len(files(cache)) == 1


@pytest.mark.parametrize("damage", [b"", b"packeT", b"packet and more"])
def test_a_damaged_file_is_not_served_and_goes(cache, damage):
    cache.put(OID, CANDID, b"packet")
    files(cache)[0].write_bytes(damage)
    assert cache.get(OID, CANDID) is None
    assert files(cache) == []


def test_services_do_not_mix(cache, tmp_path):
    cache.put(OID, CANDID, b"packet")
    assert Cache("127.0.0.1:8000", tmp_path).get(OID, CANDID) is None


@pytest.mark.parametrize("oid", ["../../etc", "ZTF18abcdefg/..", "", "ZTF18ABCDEFG"])
def test_no_path_from_an_id_unchecked(cache, oid):
    for use in (lambda: cache.put(oid, CANDID, b"x"), lambda: cache.get(oid, CANDID)):
        with pytest.raises(ValueError, match="not an object id"):
            use()


@pytest.mark.parametrize("item", ["../x", "a/b", "12-34", ""])
def test_no_path_from_an_item_unchecked(cache, item):
    with pytest.raises(ValueError, match="not the name"):
        cache.put(OID, item, b"x")


@pytest.mark.parametrize("service", ["../../x", "a/b", ".."])
def test_no_path_from_a_service_unchecked(tmp_path, service):
    assert Cache(service, tmp_path).folder.resolve().parent == tmp_path.resolve()


def test_least_recently_used_goes_first(cache, tmp_path):
    for number in range(4):
        cache.put(OID, str(number), bytes(1000))
        path = next(path for path in files(cache) if path.name.startswith(f"{number}-"))
        os.utime(path, (time.time() - 100 + number,) * 2)
    assert cache.get(OID, "0")  # used: now the youngest
    evict(tmp_path, 2200)
    assert cache.items(OID) == ["0", "3"]


def test_size_is_bounded_while_writing(tmp_path):
    cache = Cache("avro.example.org", tmp_path, max_bytes=10_000)
    for number in range(60):
        cache.put(OID, str(number), bytes(1000))
    assert usage(tmp_path).size <= 10_000 + 1000
    assert cache.get(OID, "59")


def test_leftovers_of_a_dead_process_go(cache, tmp_path):
    cache.put(OID, CANDID, b"packet")
    part = files(cache)[0].with_name(".part-dead")
    part.write_bytes(b"pack")
    assert usage(tmp_path).packets == 1
    assert part.exists()
    os.utime(part, (0, 0))
    evict(tmp_path, 1 << 30)
    assert not part.exists()


def _write_many(folder, seed):
    cache = Cache("avro.example.org", folder, max_bytes=20_000)
    for number in range(100):
        name = str((number * 7 + seed) % 30)
        cache.put(OID, name, name.encode() * 500)
        kept = cache.get(OID, name)
        assert kept is None or kept.data == name.encode() * 500


def test_several_processes_share_it(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_many, args=(tmp_path, seed)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    cache = Cache("avro.example.org", tmp_path)
    assert all(cache.get(OID, item).data == item.encode() * 500 for item in cache.items(OID))


def test_a_folder_that_cannot_be_written_is_told_not_raised(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    cache = Cache("avro.example.org", tmp_path / "file")
    cache.put(OID, CANDID, b"packet")
    assert cache.get(OID, CANDID) is None
    assert "cannot be written" in cache.problems[0]


def test_info_and_clear(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TSC_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    cache = Cache("avro.example.org")
    cache.put(OID, CANDID, bytes(1 << 20))
    cache.put(OID, "detections", b"[]", "json")
    (tmp_path / "notes.txt").write_text("not the cache's")
    assert main(["cache", "info"]) == 0
    assert "1 packets and 1 answers of 1 objects, 1.0 MB" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert usage(tmp_path).size == 0
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert clear(tmp_path).packets == 0


def test_a_wrong_size_is_told(monkeypatch):
    monkeypatch.setenv("TSC_CACHE_MB", "much")
    with pytest.raises(ValueError, match="'much'"):
        Cache("avro.example.org")
