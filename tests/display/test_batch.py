"""Lists of objects: the lines of the app are those of the command."""

from tests.packet_maker import make_object, make_packet
from tsc_core.commands.classify import classify_one
from tsc_core.display.batch import COLUMNS, lines, row_of
from tsc_core.display.desk import Desk
from tsc_core.sources.packets import PacketSource


def test_a_list_gives_the_lines_of_the_command(random_bundles):
    bare = {"bare.avro": make_packet("ZTF18bbbbbbb", 58300.2, cutouts=())}
    source = PacketSource.from_uploads((bare | make_object("ZTF18aaaaaaa")).items())
    oids, desk = ["ZTF18aaaaaaa", "ZTF18bbbbbbb", "ZTF18zzzzzzz"], Desk()
    found = list(lines(desk, source, oids, "first"))
    assert found == [classify_one(desk.predictor(), source, oid, "first") for oid in oids]
    assert {"priors", "natural"} < found[0]["steps"][0].keys()
    errors = [row_of(line)["error"] for line in found]
    assert errors[0] == ""
    assert errors[1].startswith("no detection can be used: ")
    assert errors[2].startswith("ZTF18zzzzzzz is not in ")


def test_a_row_says_what_the_models_doubt():
    doubts = ["the models abstain at n = 1: unlike the training data", "discarded as bogus"]
    line = {"oid": "DEMO13", "error": None, "detections": [], "steps": [], "flags": doubts}
    assert row_of(line)["notes"] == "; ".join(doubts)
    told = row_of(line | {"error": "no detection can be used", "flags": ["no detection can be used"]})
    assert (told["notes"], told["error"]) == ("", "no detection can be used")
    assert COLUMNS.index("error") == COLUMNS.index("notes") + 1 == COLUMNS.index("not ruled out") + 2
