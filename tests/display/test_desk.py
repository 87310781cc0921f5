import threading
import time

import pytest

from tests.packet_maker import make_object
from tsc_core.display.batch import COLUMNS, as_csv, as_json_lines, lines, row_of
from tsc_core.display.desk import Desk, Recent
from tsc_core.sources import ObjectNotFound, SourceError
from tsc_core.sources.packets import PacketSource


def source_of(*oids):
    files = [(name, data) for oid in oids for name, data in make_object(oid).items()]
    return PacketSource.from_uploads(files)


def test_recent_keeps_the_most_recent_and_no_failure():
    recent, made = Recent(2), []
    for key in ("a", "b", "a", "c", "a", "b"):
        recent.get(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "b"]
    with pytest.raises(ZeroDivisionError):
        recent.get("x", lambda: 1 / 0)
    assert recent.get("x", lambda: "now") == "now"


def test_recent_forgets_after_its_time():
    recent = Recent(2, seconds=0.01)
    recent.get("a", lambda: 1)
    time.sleep(0.02)
    assert recent.get("a", lambda: 2) == 2


def test_what_ten_ask_for_at_once_is_made_once():
    recent, made = Recent(4), []

    def make():
        time.sleep(0.05)
        made.append(1)
        return object()

    found = []
    threads = [threading.Thread(target=lambda: found.append(recent.get("a", make))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len({id(value) for value in found}) == 1


def test_failures_come_one_at_a_time_and_leave_no_lock():
    recent, making, most = Recent(4), [], []

    def fail():
        making.append(1)
        most.append(len(making))
        time.sleep(0.01)
        making.pop()
        raise SourceError("no answer")

    def ask(key):
        with pytest.raises(SourceError):
            recent.get(key, fail)

    threads = [threading.Thread(target=ask, args=["a"]) for _ in range(10)]
    for thread in threads:
        thread.start()
        time.sleep(0.003)  # some come while one fails and others wait
    for thread in threads:
        thread.join()
    assert most == [1] * 10
    ask("b")
    recent.get("c", lambda: 1)
    recent.drop("c")
    assert not recent._making


def test_objects_of_two_sources_with_the_same_id_are_not_mixed():
    desk, first, second = Desk(), source_of("ZTF18aaaaaaa"), source_of("ZTF18aaaaaaa")
    one, other = desk.sequence(first, "ZTF18aaaaaaa"), desk.sequence(second, "ZTF18aaaaaaa")
    assert one is not other
    assert desk.sequence(first, "ZTF18aaaaaaa") is one
    desk.forget(first, "ZTF18aaaaaaa")
    assert desk.sequence(first, "ZTF18aaaaaaa") is not one


def test_a_source_that_cannot_be_opened_is_tried_again(tmp_path):
    desk, path = Desk(), tmp_path / "packet.avro"
    with pytest.raises(SourceError, match="no such file"):
        desk.source(str(path))
    (candid,) = list(make_object("ZTF18aaaaaaa", mjds=(58300.2,)).values())
    path.write_bytes(candid)
    assert desk.source(str(path)).oids() == ("ZTF18aaaaaaa",)
    assert desk.source(str(path)) is desk.source(str(path))


def test_a_failure_in_the_background_is_kept_until_asked_again():
    desk, calls = Desk(), []

    def ask():
        calls.append(1)
        raise ObjectNotFound("no such object")

    with pytest.raises(ObjectNotFound):
        desk.later("key", ask).result()
    with pytest.raises(ObjectNotFound):
        desk.later("key", ask).result()
    desk.ask_again("key")
    assert desk.later("key", lambda: "there").result() == "there"
    assert len(calls) == 1


def test_a_list_gives_a_line_for_each_id_in_order_also_for_those_that_fail():
    found = list(lines(Desk(), source_of("ZTF18aaaaaaa"), ["ZTF18zzzzzzz", "ZTF18aaaaaaa", "nonsense"], "first"))
    assert [line["oid"] for line in found] == ["ZTF18zzzzzzz", "ZTF18aaaaaaa", "nonsense"]
    assert [bool(line["error"]) for line in found] == [True, False, True]
    assert row_of(found[0])["error"].startswith("ZTF18zzzzzzz is not in")
    assert row_of(found[1])["used"] == 5
    assert as_csv(found).splitlines()[0] == ",".join(COLUMNS)
    assert as_json_lines(found).count("\n") == 3
