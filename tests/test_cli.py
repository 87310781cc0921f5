"""The command line as its users run it: results, reasons and exit codes, also for whatever malformed they bring."""

import gzip
import io
import json
import subprocess
import sys
import tarfile

import pytest

from tests import packet_maker as maker
from tsc_core.cli import COMMANDS, main
from tsc_core.evaluation.cards import read_cards
from tsc_core.sources.avro import MAX_PACKET

GOOD, OTHER = "SIM1good", "SIM2good"


@pytest.fixture(scope="module")
def packets():
    return maker.make_object(GOOD) | maker.make_object(OTHER, mjds=(58400.1, 58403.2))


@pytest.fixture
def archive(packets, tmp_path):
    return maker.write_archive(tmp_path / "night.tar.gz", packets)


def run(capsys, *words):
    """Exit code, the JSON lines of standard output, and standard error."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def classify(capsys, source, *oids):
    return run(capsys, "classify", *oids, "--source", source, "--json")


def usage(*words):
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return caught.value.code


def program(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=200)


# --- the commands


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert usage(command, "--help") == 0
    assert f"usage: tsc {command}" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["", "clasify", "classify --windows first", "classify --window middle"])
def test_wrong_usage(words, capsys):
    assert usage(*words.split()) == 2
    assert "usage: tsc" in capsys.readouterr().err


def test_the_list_of_commands(capsys):
    assert usage("--help") == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)
    assert usage("--version") == 0


def test_help_waits_for_nothing_heavy():
    code = "import sys, tsc_core.cli as cli\ntry: cli.main(['classify', '--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(', '.join({'torch', 'astropy', 'scipy', 'pandas', 'streamlit'} & set(sys.modules)) or 0)"
    done = program("-c", code)
    assert done.returncode == 0, done.stderr


def test_a_file_that_cannot_be_written_is_named(random_bundles, archive, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text(f"oid,label\n{GOOD},SN\n")
    code = main(["evaluate", "--source", str(archive), "--labels", str(labels), "--out", str(tmp_path)])
    assert code in (1, 2)
    assert str(tmp_path) in capsys.readouterr().err


# --- tsc classify


def test_classify_prints_one_line_for_each_id_in_order(random_bundles, archive, capsys):
    code, lines, err = classify(capsys, archive, OTHER, GOOD)
    assert code == 0
    assert err == ""
    assert [line["oid"] for line in lines] == [OTHER, GOOD]
    assert [[step["n"] for step in line["steps"]] for line in lines] == [[1, 2], [1, 2, 3, 4, 5]]
    for line in lines:
        assert line["error"] is None
        assert line["source"] == "night.tar.gz"
        assert all(sum(step["probabilities"].values()) == pytest.approx(1) for step in line["steps"])
        assert all(isinstance(detection["candid"], str) for detection in line["detections"])


def test_classify_without_ids_takes_all(random_bundles, archive, capsys):
    code, lines, _ = classify(capsys, archive)
    assert code == 0
    assert [line["oid"] for line in lines] == [GOOD, OTHER]


def test_classify_twice_gives_the_same_bytes(random_bundles, archive, capsys):
    texts = []
    for _ in range(2):
        main(["classify", "--source", str(archive), "--json"])
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_classify_for_people(random_bundles, archive, capsys):
    assert main(["classify", OTHER, "--source", str(archive)]) == 0
    out = capsys.readouterr().out
    assert OTHER in out
    assert "[temporal_2]" in out


def test_classify_at_other_rates(random_bundles, archive, capsys):
    _, (plain,), _ = run(capsys, "classify", OTHER, "--source", archive, "--json")
    _, (rare,), _ = run(capsys, "classify", OTHER, "--source", archive, "--json", "--priors", "natural")
    for step, other in zip(plain["steps"], rare["steps"], strict=True):
        assert len(set(step["priors"].values())) == 1
        assert step["natural"] == pytest.approx(other["probabilities"])
        assert other["priors"]["SN"] < 0.02
    code, lines, err = run(capsys, "classify", OTHER, "--source", archive, "--json", "--priors", "QSO=1")
    assert (code, lines) == (2, [])
    assert "'QSO' is not among AGN" in err
    assert run(capsys, "classify", OTHER, "--source", archive, "--json", "--coverage", "90")[0] == 2


def test_classify_explains(random_bundles, archive, capsys):
    _, (line,), _ = run(capsys, "classify", OTHER, "--source", archive, "--json", "--explain")
    found = line["explanation"]
    assert found["n"] == line["steps"][-1]["n"]
    assert found["top"] == max(line["steps"][-1]["probabilities"].items(), key=lambda item: item[1])[0]
    assert main(["classify", OTHER, "--source", str(archive), "--explain"]) == 0
    out = capsys.readouterr().out
    assert f"why {found['top']} at n={found['n']}" in out
    assert found["features"][0]["name"] in out


def test_the_window_last_uses_the_most_recent(random_bundles, packets, tmp_path, capsys):
    names = list(packets)
    found = maker.write_archive(tmp_path / "last.tar", {name: packets[name] for name in (names[0], names[4])})
    _, (first,), _ = run(capsys, "classify", GOOD, "--source", found, "--json", "--window", "first")
    _, (last,), _ = run(capsys, "classify", GOOD, "--source", found, "--json", "--window", "last")
    assert [d["used"] for d in first["detections"]] == [True, False, False, False, True]
    assert "no stamp" in first["detections"][1]["reason"]
    assert [d["used"] for d in last["detections"]] == [True] * 5
    assert len(last["steps"]) == 5


def test_named_bundles_alone(random_bundles, archive, capsys):
    _, (line,), _ = run(capsys, "classify", GOOD, "--source", archive, "--json", "--bundle", "temporal_3")
    assert [step["model"] for step in line["steps"]] == ["temporal_3"]
    code, (line,), _ = run(capsys, "classify", OTHER, "--source", archive, "--json", "--bundle", "temporal_3")
    assert code == 1
    assert line["error"].startswith("no bundle at hand takes 2 usable detections: ")
    code, lines, err = run(capsys, "classify", GOOD, "--source", archive, "--bundle", "nonsense")
    assert (code, lines) == (2, [])
    assert "nonsense" in err


# --- malformed: the item is named, the others are done


@pytest.mark.parametrize("oid", ["ZTF1", "../../etc/passwd", "", "ZTF18ABCDEFG", "\udcff", "\x1b[31m", "x" * 5000])
def test_a_malformed_id(oid, random_bundles, archive, capsys):
    code, (bad, good), _ = classify(capsys, archive, oid, GOOD)
    assert code == 1
    assert "is not an object id" in bad["error"]
    assert bad["oid"] == oid
    assert len(good["steps"]) == 5
    assert main(["classify", oid, "--source", str(archive)]) == 1  # as text too
    assert "is not an object id" in capsys.readouterr().out


def test_an_id_that_is_not_in_the_source(random_bundles, archive, capsys):
    code, (bad, good), _ = classify(capsys, archive, "ZTF18abcdefg", GOOD)
    assert code == 1
    assert bad["error"] == "ZTF18abcdefg is not in night.tar.gz"
    assert good["error"] is None


def test_a_source_that_is_not_there(random_bundles, capsys, tmp_path):
    code, (line,), err = classify(capsys, tmp_path / "nothing.tar.gz", GOOD)
    assert code == 1
    assert "nothing.tar.gz: no such file or folder" in line["error"]
    assert "nothing.tar.gz" in err
    assert main(["classify", GOOD, "--source", str(tmp_path / "nothing.tar.gz")]) == 1
    told = capsys.readouterr()
    assert (told.out + told.err).count("no such file or folder") == 1  # a person is told once


def changed(raw, **values):
    (record,) = maker.fastavro.reader(io.BytesIO(raw))
    file = io.BytesIO()
    maker.fastavro.writer(file, maker.PARSED, [record | values])
    return file.getvalue()


def deflated(raw):
    file = io.BytesIO()
    maker.fastavro.writer(file, maker.PARSED, list(maker.fastavro.reader(io.BytesIO(raw))), codec="deflate")
    return file.getvalue()


WHOLE = maker.make_packet("SIM9bad", 58500.2)


def with_cutout(name, data):
    return changed(WHOLE, **{f"cutout{name}": {"fileName": "x", "stampData": data}})


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (with_cutout("Science", maker.fits_gz(maker.stamp(0))[:-99]), "science stamp: truncated gzip"),
        (with_cutout("Template", b"oops"), "template stamp: broken gzip"),
        (with_cutout("Template", b""), "packet without template cutout"),
        (with_cutout("Difference", gzip.compress(bytes(9 << 20))), "difference stamp: stamp above 4 MB"),
        (with_cutout("Difference", gzip.compress(b"hello")), "difference stamp: no FITS image"),
        (maker.make_packet("SIM9bad", 58500.2, cutouts=()), "packet without science cutout"),
        (maker.make_packet("SIM9bad", 58500.2, shape=(62, 63)), "science stamp is 62x63, not 63x63"),
        (maker.make_packet("SIM9bad", 58500.2, nan=-1), "science stamp has no pixels: all NaN"),
    ],
)
def test_a_stamp_that_cannot_be_used(raw, reason, random_bundles, packets, tmp_path, capsys):
    found = maker.write_archive(tmp_path / "night.tar", packets | {"bad": raw})
    code, (bad, good), _ = classify(capsys, found, "SIM9bad", GOOD)
    assert code == 1
    assert reason in bad["error"]
    (detection,) = bad["detections"]
    assert not detection["used"]
    assert reason in detection["reason"]
    assert len(good["steps"]) == 5


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(WHOLE[:-9000], "broken Avro file"), (WHOLE[:6000], "broken Avro file")],
)
def test_a_packet_that_ends_too_early(raw, reason, random_bundles, packets, tmp_path, capsys):
    found = maker.write_archive(tmp_path / "night.tar", packets | {"bad": raw})
    code, lines, err = classify(capsys, found)
    assert code == 1
    assert "member 'bad.avro'" in err
    assert reason in err
    assert {line["oid"] for line in lines if line["error"] is None} == {GOOD, OTHER}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not an Avro file"),
        (b"this is not Avro", "not an Avro file"),
        (b"Obj\x01", "broken Avro file"),
        (changed(WHOLE, objectId="../../etc"), "is not an object id"),
        (b"Obj\x01" + bytes(MAX_PACKET), "MB"),
    ],
)
def test_a_folder_with_one_bad_file(raw, reason, random_bundles, packets, tmp_path, capsys):
    for name, good in packets.items():
        (tmp_path / f"{name}.avro").write_bytes(good)
    (tmp_path / "bad.avro").write_bytes(raw)
    code, lines, err = classify(capsys, tmp_path)
    assert code == 1
    assert "bad.avro" in err
    assert reason in err
    assert [line["oid"] for line in lines] == [GOOD, OTHER]
    assert all(line["error"] is None for line in lines)


def test_a_packet_compressed_inside_is_read(random_bundles, tmp_path, capsys):
    (tmp_path / "packed.avro").write_bytes(deflated(WHOLE))
    code, (line,), _ = classify(capsys, tmp_path / "packed.avro")
    assert code == 0
    assert line["steps"]


def awkward(path, packets):
    """An archive of members that lead elsewhere, among good ones."""
    raw = next(iter(packets.values()))
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, data, link in [
            ("../up.avro", tarfile.REGTYPE, raw, ""),
            ("/tmp/absolute.avro", tarfile.REGTYPE, raw, ""),
            ("link.avro", tarfile.SYMTYPE, b"", "/etc/hostname"),
            ("huge.avro", tarfile.REGTYPE, bytes(MAX_PACKET + 1), ""),
            *((f"{name}.avro", tarfile.REGTYPE, data, "") for name, data in packets.items()),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(data), link
            archive.addfile(member, io.BytesIO(data))
    return path


def test_an_archive_whose_members_lead_elsewhere(random_bundles, packets, tmp_path, capsys):
    before = sorted(tmp_path.parent.iterdir())
    code, lines, err = classify(capsys, awkward(tmp_path / "bad.tar.gz", packets))
    assert code == 1
    assert [line["oid"] for line in lines] == [GOOD, OTHER]
    assert all(line["error"] is None for line in lines)
    for name in ("../up.avro", "/tmp/absolute.avro", "link.avro", "huge.avro"):
        assert f"bad.tar.gz: member '{name}'" in err
    assert sorted(tmp_path.parent.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar.gz"]


def test_a_truncated_archive(random_bundles, archive, capsys):
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * 0.9)])
    code, lines, err = classify(capsys, archive)
    assert code == 1
    assert "night.tar.gz: truncated gzip, read up to where it ends" in err
    assert GOOD in [line["oid"] for line in lines if line["error"] is None]


@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz", "nothing"])
def test_an_empty_source(form, random_bundles, tmp_path, capsys):
    path = tmp_path / f"empty.{form}"
    if form == "folder":
        path.mkdir()
    elif form == "nothing":
        path.write_bytes(b"")
    else:
        maker.write_archive(path, {})
    code, lines, err = classify(capsys, path)
    assert (code, lines) == (1, [])
    assert f"empty.{form}" in err
    code, (line,), _ = classify(capsys, path, GOOD)
    assert code == 1
    assert f"{GOOD} is not in empty.{form}" in line["error"]


def test_as_a_program_of_its_own(archive, tmp_path):
    """The bundles that ship are not asked for here: without any, the reason is said."""
    script = "import sys, pathlib, tsc_core.bundle as b; b.CHECKPOINTS = pathlib.Path(sys.argv.pop(1))\n"
    script += "from tsc_core.cli import main; sys.exit(main())"
    words = [str(tmp_path), "classify", "ZTF1", GOOD, "--source", str(archive), "--json"]
    done = program("-c", script, *words)
    assert done.returncode == 1
    bad, good = map(json.loads, done.stdout.splitlines())
    assert "is not an object id" in bad["error"]
    assert good["error"].startswith("no bundle at hand takes 5 usable detections: ")
    module = program("-m", "tsc_core", "classify", "--window")
    assert module.returncode == 2
    assert "usage: tsc classify" in module.stderr


# --- tsc evaluate, tsc models


def evaluate(capsys, source, labels, *words):
    code = main(["evaluate", "--source", str(source), "--labels", str(labels), *words])
    return code, *capsys.readouterr()


def test_evaluate_writes_the_public_report(random_bundles, archive, tmp_path, capsys):
    labels, out, objects = (tmp_path / name for name in ("labels.csv", "new/report.json", "new/objects.csv"))
    labels.write_text(f"objectId,label,quality\n{GOOD},SN,1\n{OTHER},TDE,1\nSIM3none,VS,1\nSIM4none,,\n")
    code, text, _ = evaluate(capsys, archive, labels, "--out", str(out), "--objects", str(objects), "--window", "last")
    assert code == 0
    report = json.loads(out.read_text())
    assert list(report["n"]) == ["1", "2", "3", "4", "5"]
    first = report["n"]["1"]
    assert first["objects"] == 1
    assert first["classes"] == ["AGN", "SN", "VS", "asteroid", "bogus"]
    assert sum(map(sum, first["confusion"])) == 1
    assert set(first) >= {"accuracy", "balanced_accuracy", "ece", "recall"}
    assert set(first["recall"]["SN"]) >= {"value", "low", "high"}
    assert report["skipped"] == {"label TDE is not among the classes": 1, "not in the source": 1, "no label": 1}
    assert "n = 5" in text
    header, *rows = objects.read_text().splitlines()
    assert header == "oid,n,model,label,AGN,SN,VS,asteroid,bogus,held_out"
    assert len(rows) == 5
    assert {row[-1] for row in rows} == {"0"}
    assert first["held_out"] == 0


def test_evaluate_refuses_what_it_could_not_write_before_it_works(archive, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text(f"oid,label\n{GOOD},SN\n")
    one = str(tmp_path / "both.json")
    for options, said in (
        (["--out", one, "--objects", one], "need a file each"),
        (["--out", str(tmp_path)], "is a folder"),
        (["--objects", str(tmp_path)], "is a folder"),
    ):
        code, text, err = evaluate(capsys, archive, labels, *options)
        assert (code, text) == (2, "")
        assert said in err


def test_options_that_contradict_are_told(capsys, tmp_path):
    for words, said in (
        (["simulate", "--out", str(tmp_path / "made.zip")], "packets go into a .tar.gz"),
        (["simulate", "--out", str(tmp_path / "made"), "--labels", "x.csv"], "go with --compare"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    for option in ("--threads", "--rounds"):
        with pytest.raises(SystemExit):
            main(["bench", option, "0"])
        assert "needs 1 or more" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_model_as_json(random_bundles, capsys):
    assert main(["models", "stamp", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "stamp"


def test_evaluate_needs_rows_and_objects_of_one_kind(random_bundles, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text("oid,label\n")
    code, _, err = evaluate(capsys, "demo", labels)
    assert code == 2
    assert "no row below its head" in err
    made = {oid: maker.make_object(oid) for oid in (GOOD, "ZTF18aaaaaaa")}
    both = maker.write_archive(tmp_path / "both.tar", {c: raw for found in made.values() for c, raw in found.items()})
    labels.write_text(f"oid,label\n{GOOD},SN\nZTF18aaaaaaa,SN\n")
    code, _, err = evaluate(capsys, both, labels)
    assert code == 2
    assert "1 real and 1 simulated" in err
    labels.write_text(f"oid,label\n{GOOD},SN\nZTF18bbbbbbb,SN\n")  # the second is not in the archive
    assert evaluate(capsys, both, labels)[0] == 0


def test_evaluate_names_faulty_labels_and_does_the_rest(random_bundles, archive, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text(f"oid,label\n{GOOD},SN\nZTF1,SN\n{OTHER},SN\n{OTHER},VS\n")
    code, text, err = evaluate(capsys, archive, labels)
    assert code == 1
    assert json.loads(text)["n"]["1"]["objects"] == 1
    assert "labels.csv: line 3" in err
    assert OTHER in err


@pytest.mark.parametrize("text", [None, "", "name,class\nx,y\n", "\x00\xff"])
def test_evaluate_without_a_label_table(text, random_bundles, archive, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    if text is not None:
        labels.write_bytes(text.encode("latin-1"))
    code, out, err = evaluate(capsys, archive, labels)
    assert code in (1, 2)
    assert out == ""
    assert "labels.csv" in err


def test_models_lists_what_ships(random_bundles, capsys):
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert "temporal_4" in text
    assert "random weights" in text
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["stamp", "temporal_2", "temporal_3", "temporal_4", "temporal_5"]
    assert rows[0]["classes"] == ["AGN", "SN", "VS", "asteroid", "bogus"]
    sizes = [round(card.size / 1e6, 1) for card in read_cards(random_bundles)]
    assert [row["megabytes"] for row in rows] == sizes  # as on the page of the models


def test_models_says_what_is_wrong(random_bundles, monkeypatch, tmp_path, capsys):
    assert main(["models", "nonsense"]) == 1
    assert "no bundle 'nonsense': there are stamp" in capsys.readouterr().err
    assert main(["models", "stamp"]) == 1  # no card was written for it
    assert "card.md" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "bundle.json").write_text("{")
    monkeypatch.setattr("tsc_core.bundle.CHECKPOINTS", tmp_path)
    assert main(["models"]) == 1
    assert "broken" in capsys.readouterr().err
