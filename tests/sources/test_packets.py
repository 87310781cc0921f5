"""Packets on disk and in memory: what is read, what is refused, and that nothing hostile gets further."""

import contextlib
import gzip
import io
import json
import tarfile
import threading

import fastavro
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import packet_maker as maker
from tsc_core.sources import BadPacket, ObjectNotFound, Source, SourceError, open_source
from tsc_core.sources import avro as packet_format
from tsc_core.sources.avro import MAX_PACKET, decode_packets, decode_stamp, peek_oids
from tsc_core.sources.packets import PacketSource

OID, OTHER = "ZTF18abcdefg", "ZTF19hijklmn"
MJD = 58300.2


def only(raw):
    (packet,) = decode_packets(raw)
    return packet


def written(records, schema=maker.PARSED, **options):
    file = io.BytesIO()
    fastavro.writer(file, schema, records, **options)
    return file.getvalue()


def records(raw):
    return list(fastavro.reader(io.BytesIO(raw)))


def changed(raw, **values):
    """The packet with top-level fields changed, in the same schema."""
    (record,) = records(raw)
    return written([record | values])


# --- stamps


def test_pixels_come_back_exactly_and_big_endian_files_are_native():
    pixels = maker.stamp(3, nan=2)
    found = decode_stamp(maker.fits_gz(pixels))
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == np.dtype("float32")
    assert found.dtype.isnative
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated gzip"),
        (b"not gzip at all", "broken gzip"),
        (maker.fits_gz(maker.stamp(0))[:-30], "truncated gzip"),
        (maker.fits_gz(maker.stamp(0))[:40], "truncated gzip"),
        (gzip.compress(b"no FITS"), "no FITS image"),
        (gzip.compress(b"\0" * (5 << 20)), "above 4 MB"),
        (gzip.compress(b"SIMPLE  =                    T" + b" " * 2850), "no FITS image|two-dimensional"),
    ],
    ids=["empty", "not gzip", "tail missing", "head only", "no FITS", "too large", "no image"],
)
def test_broken_stamps_say_why(data, said):
    with pytest.raises(BadPacket, match=said):
        decode_stamp(data)


def test_a_bomb_is_not_inflated():
    bomb = gzip.compress(b"\0" * (1 << 28), 9)  # 256 MB of zeros in 260 kB
    with pytest.raises(BadPacket, match="above 4 MB"):
        decode_stamp(bomb)


@pytest.mark.parametrize("shape", [(63,), (3, 63, 63)])
def test_an_image_has_two_axes(shape):
    file = io.BytesIO()
    fits.PrimaryHDU(np.zeros(shape, np.float32)).writeto(file)
    with pytest.raises(BadPacket, match="two-dimensional"):
        decode_stamp(gzip.compress(file.getvalue()))


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=12))
def test_any_header_gives_pixels_or_a_reason(edits):
    image = bytearray(gzip.decompress(maker.fits_gz(maker.stamp(0))))
    for place, value in edits:
        image[place] = value
    with contextlib.suppress(BadPacket):
        assert decode_stamp(gzip.compress(bytes(image), 1)).ndim == 2


# --- one packet


def test_a_packet_as_it_was_written():
    candid = maker.candid_of(MJD)
    found = only(
        maker.make_packet(OID, MJD, candid, fid=2, history=[maker.prv_limit(MJD - 3), maker.prv_detection(MJD - 1)])
    )
    assert found.alert.oid == OID
    assert found.alert.candid == str(candid)
    assert candid > 2**53
    assert found.alert.mjd == pytest.approx(MJD, abs=1e-8)
    assert found.alert.fid == 2
    assert found.alert.value("magpsf") == 18.5
    assert "sgmag1" not in found.alert.record  # null is absent
    np.testing.assert_array_equal(found.alert.stamps.science, maker.stamp([candid, 0], flux=500.0))
    np.testing.assert_array_equal(found.alert.stamps.difference, maker.stamp([candid, 2], flux=300.0))
    (earlier,) = found.history
    assert earlier.candid == str(maker.candid_of(MJD - 1))
    assert not earlier.has_stamps
    assert "without stamps" in earlier.missing
    (limit,) = found.limits
    assert limit.mjd == pytest.approx(MJD - 3)
    assert limit.diffmaglim == pytest.approx(20.3)


def test_a_packet_without_history_or_cutouts():
    found = only(maker.make_packet(OID, MJD, history=None, cutouts=()))
    assert found.history == ()
    assert found.limits == ()
    assert not found.alert.has_stamps
    assert "packet without science cutout" in found.alert.missing
    assert "template" in only(maker.make_packet(OID, MJD, cutouts=("science", "difference"))).alert.missing


def test_a_packet_with_a_broken_stamp_is_a_detection_without_stamps():
    (record,) = records(maker.make_packet(OID, MJD))
    record["cutoutTemplate"]["stampData"] = record["cutoutTemplate"]["stampData"][:-20]
    found = only(written([record])).alert
    assert not found.has_stamps
    assert found.missing == "template stamp: truncated gzip"


def test_an_older_schema_with_fewer_fields_is_read():
    candidate = [field for field in maker.SCHEMA["fields"][4]["type"]["fields"] if not field["name"].startswith("drb")]
    names = [field for field in maker.SCHEMA["fields"] if field["name"] != "publisher"]
    names[3] = {"name": "candidate", "type": {"type": "record", "name": "ztf.alert.candidate", "fields": candidate}}
    (record,) = records(maker.make_packet(OID, MJD))
    raw = written([record], {"type": "record", "name": "ztf.alert", "fields": names})
    assert peek_oids(raw, {}) == [OID]
    assert only(raw).alert.has_stamps
    assert np.isnan(only(raw).alert.value("drb"))


@pytest.mark.parametrize("field", ["jd", "fid", "candidate", "objectId", "candid"])
def test_what_an_alert_needs_is_named(field):
    (record,) = records(maker.make_packet(OID, MJD))
    for part in (record, record["candidate"]):
        part.pop(field, None)
    schema = json.loads(json.dumps(maker.SCHEMA))
    schema["fields"] = [entry for entry in schema["fields"] if entry["name"] != field]
    for entry in schema["fields"]:
        if entry["name"] == "candidate":
            entry["type"]["fields"] = [inner for inner in entry["type"]["fields"] if inner["name"] != field]
    with pytest.raises(BadPacket, match=field):
        only(written([record], schema))


@pytest.mark.parametrize("oid", ["", "../../etc/passwd", "ZTF18ABCDEFG", "x" * 500])
def test_a_packet_of_a_malformed_id_is_refused(oid):
    for read in (lambda raw: list(decode_packets(raw)), lambda raw: peek_oids(raw, {})):
        with pytest.raises(BadPacket, match="is not an object id") as caught:
            read(changed(maker.make_packet(OID, MJD), objectId=oid))
        assert len(str(caught.value)) < 300


def test_a_time_that_is_no_number_is_refused():
    with pytest.raises(BadPacket, match="MJD nan"):
        only(maker.make_packet(OID, MJD, jd=float("nan")))
    assert only(maker.make_packet(OID, MJD, history=[maker.prv_limit(float("nan"))])).limits == ()
    bad = maker.prv_detection(MJD - 1) | {"jd": float("inf")}
    assert only(maker.make_packet(OID, MJD, history=[bad])).history == ()


def test_an_earlier_detection_takes_the_time_of_its_candid_where_jd_was_overwritten():
    entry = maker.prv_detection(MJD - 5) | {"jd": MJD + maker.JD_TO_MJD}
    (found,) = only(maker.make_packet(OID, MJD, history=[entry])).history
    assert found.mjd == pytest.approx(MJD - 5, abs=1e-5)


def test_so_does_the_alert_itself_and_an_upper_limit_that_of_its_processing_id():
    candid = maker.candid_of(MJD - 0.4)
    limit = maker.prv_limit(MJD + 9, pid=maker.candid_of(MJD - 3) // 10**6)
    packet = only(maker.make_packet(OID, MJD, candid, history=[limit]))
    assert packet.alert.mjd == pytest.approx(MJD - 0.4, abs=1e-5)
    assert packet.alert.value("jd") - maker.JD_TO_MJD == pytest.approx(MJD)  # as it came
    assert packet.limits[0].mjd == pytest.approx(MJD - 3, abs=1e-5)


@pytest.mark.parametrize(("jd", "fid"), [(1e308, 1), (float("inf"), 1), (float("nan"), 1), (-1.0, 1), (None, 70000)])
def test_a_time_or_a_band_that_cannot_be_is_no_packet(jd, fid):
    with pytest.raises(BadPacket, match=r"MJD|fid"):
        only(maker.make_packet(OID, MJD, fid=fid, **({} if jd is None else {"jd": jd})))


@pytest.mark.parametrize(
    "items", ["null", {"type": "record", "name": "e", "fields": []}, {"type": "fixed", "name": "f", "size": 0}]
)
def test_an_array_of_nothing_is_refused_before_it_is_counted(items):
    """Ten thousand million of them fit in a few hundred bytes."""
    fields = [{"name": "objectId", "type": "string"}, {"name": "a", "type": {"type": "array", "items": items}}]
    schema = {"type": "record", "name": "alert", "fields": fields}
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema), [{"objectId": OID, "a": []}])
    with pytest.raises(BadPacket, match="take no bytes"):
        list(decode_packets(file.getvalue()))


@pytest.mark.parametrize("raw", [b"", b"Obj", b"PK\x03\x04", b"<html>", b"Obj\x02" + bytes(100)])
def test_what_is_not_avro_is_said_to_be_so(raw):
    for read in (lambda: list(decode_packets(raw)), lambda: peek_oids(raw, {})):
        with pytest.raises(BadPacket, match="not an Avro file"):
            read()


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.5, 0.9, 0.999])
def test_avro_that_ends_too_early(keep):
    raw = maker.make_packet(OID, MJD)
    with pytest.raises(BadPacket, match="broken Avro file"):
        list(decode_packets(raw[: int(len(raw) * keep)]))


def test_deflate_is_read_and_its_bombs_are_not():
    plain = maker.make_packet(OID, MJD)
    packed = written(records(plain), codec="deflate")
    assert packed != plain
    assert peek_oids(packed, {}) == [OID]
    np.testing.assert_array_equal(only(packed).alert.stamps.science, only(plain).alert.stamps.science)
    bomb = changed(plain, publisher="x" * (2 * MAX_PACKET))
    bomb = written(records(bomb), codec="deflate")
    assert len(bomb) < 1 << 20
    with pytest.raises(BadPacket, match="more than 16 MB"):
        list(decode_packets(bomb))


def test_other_codecs_are_refused_by_name():
    with pytest.raises(BadPacket, match="xz"):
        list(decode_packets(written(records(maker.make_packet(OID, MJD)), codec="xz")))


def test_a_block_of_nothing_without_end_is_refused():
    schema = {"type": "record", "name": "ztf.alert", "fields": []}
    raw = written([{}], schema, sync_marker=bytes(16))
    endless = raw[:-18] + varint(1 << 40) + b"\0" + bytes(16)
    with pytest.raises(BadPacket):
        list(decode_packets(endless))


def varint(value):
    """A zigzag Avro long."""
    value, out = (value << 1) ^ (value >> 63), bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


# --- the id without the rest


@given(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=3))
def test_varint_agrees_with_fastavro(value, before):
    file = io.BytesIO()
    fastavro.schemaless_writer(file, "long", value)
    data = before + file.getvalue()
    assert packet_format._varint(data, len(before)) == (value, len(data))


def test_a_number_without_end_is_refused():
    with pytest.raises(ValueError, match="64 bits"):
        packet_format._varint(b"\xff" * 100, 0)


@given(
    st.from_regex(r"ZTF\d{2}[a-z]{7}", fullmatch=True).filter(str.isascii),
    st.lists(st.text(max_size=200), max_size=4),
    st.sampled_from(["null", "deflate"]),
    st.integers(1, 3),
    st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=40), max_size=3),
)
def test_peek_agrees_with_fastavro(oid, before, codec, count, metadata):
    fields = [{"name": f"before{i}", "type": "string"} for i in range(len(before))]
    candidate = {
        "type": "record",
        "name": "c",
        "fields": [{"name": "jd", "type": "double"}, {"name": "fid", "type": "int"}],
    }
    fields += [{"name": "objectId", "type": "string"}, {"name": "candid", "type": "long"}]
    fields += [{"name": "candidate", "type": candidate}]
    record = {f"before{i}": text for i, text in enumerate(before)} | {"objectId": oid, "candid": 12345678901}
    record |= {"candidate": {"jd": 2458300.5, "fid": 1}}
    raw = written([record] * count, {"type": "record", "name": "r", "fields": fields}, codec=codec, metadata=metadata)
    assert set(peek_oids(raw, {})) == {oid}
    assert len(peek_oids(raw, {})) == count


def test_peek_falls_back_where_the_id_does_not_come_first():
    schema = json.loads(json.dumps(maker.SCHEMA))
    schema["fields"] = schema["fields"][::-1]
    names = schema["fields"]
    cutout = next(entry for entry in names if entry["name"] == "cutoutDifference")
    cutout["type"][1] = maker.SCHEMA["fields"][6]["type"][1]
    for entry in names:
        if entry["name"] in ("cutoutScience", "cutoutTemplate"):
            entry["type"][1] = "ztf.alert.cutout"
    raw = written(records(maker.make_packet(OID, MJD)), schema)
    assert peek_oids(raw, {}) == [OID]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(4, 4000), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 9000))
def test_hostile_bytes_give_a_reason_and_no_endless_loop(edits, cut):
    raw = bytearray(HOSTILE)
    for place, value in edits:
        raw[place] = value
    raw = bytes(raw[: len(raw) - cut])
    for read in (lambda: peek_oids(raw, {}), lambda: list(decode_packets(raw))):
        with contextlib.suppress(BadPacket):
            assert isinstance(read(), list)


HOSTILE = maker.make_packet(OID, MJD, cutouts=("science",))


def test_a_header_that_points_backwards_ends():
    backwards = b"Obj\x01" + varint(1 << 40) + varint(1)[:0] + b"\x07" * 64  # sizes of -4
    with pytest.raises(BadPacket, match="broken Avro file"):
        peek_oids(backwards, {})


def test_a_schema_nested_without_end_is_refused():
    schema = b"[" * 100_000
    raw = (
        b"Obj\x01"
        + varint(1)
        + varint(11)
        + b"avro.schema"
        + varint(len(schema))
        + schema
        + b"\0"
        + bytes(16)
        + b"\x02\x02\0"
    )
    with pytest.raises(BadPacket, match="broken Avro file"):
        peek_oids(raw, {})


# --- files, folders, archives, uploads


@pytest.fixture(scope="module")
def packets():
    """Two objects: one of five packets, one of two."""
    return maker.make_object(OID) | maker.make_object(OTHER, mjds=(58400.1, 58403.2))


def sources(packets, folder):
    """The same packets in every form a source can have."""
    night = folder / "night" / "deeper"
    night.mkdir(parents=True)
    for place, (name, raw) in enumerate(packets.items()):
        ((night if place % 2 else night.parent) / f"{name}.avro").write_bytes(raw)
    maker.write_archive(folder / "night.tar", packets)
    maker.write_archive(folder / "night.tar.gz", packets)
    (folder / "oddly_named").write_bytes((folder / "night.tar.gz").read_bytes())
    (folder / "padded.tar.gz").write_bytes((folder / "night.tar.gz").read_bytes() + bytes(2048))
    tar = (folder / "night.tar").read_bytes()
    (folder / "two_members.tar.gz").write_bytes(gzip.compress(tar[:70_000]) + gzip.compress(tar[70_000:]))
    paths = ("night", "night.tar", "night.tar.gz", "oddly_named", "padded.tar.gz", "two_members.tar.gz")
    yield from (PacketSource(folder / path) for path in paths)
    yield PacketSource.from_uploads((f"{name}.avro", raw) for name, raw in packets.items())
    yield PacketSource.from_uploads([("night.tar.gz", (folder / "night.tar.gz").read_bytes())])


def test_every_form_gives_the_same_sequences(packets, tmp_path):
    for source in sources(packets, tmp_path):
        assert isinstance(source, Source)
        assert source.oids() == (OID, OTHER), source.name
        assert source.problems == (), source.name
        found = source.fetch(OID)
        assert [alert.candid for alert in found.alerts] == list(packets)[:5]
        assert all(alert.has_stamps for alert in found.alerts)
        assert len(found.limits) == 1
        assert found.source == source.name
        assert source.raw(OID) == dict(list(packets.items())[:5])


def test_one_file_is_a_source(packets, tmp_path):
    name, raw = next(iter(packets.items()))
    (tmp_path / "packet.avro").write_bytes(raw)
    source = open_source(str(tmp_path / "packet.avro"))
    assert source.oids() == (OID,)
    assert [alert.candid for alert in source.fetch(OID).alerts] == [name]


def test_a_file_of_several_packets_is_read_whole(packets):
    joined = written([record for raw in packets.values() for record in records(raw)])
    source = PacketSource.from_uploads([("many.avro", joined)])
    assert source.oids() == (OID, OTHER)
    assert len(source.fetch(OID).alerts) == 5
    assert len(source.fetch(OTHER).alerts) == 2


def test_ids_that_are_wrong_or_not_there(packets, tmp_path):
    source = PacketSource(maker.write_archive(tmp_path / "night.tar.gz", packets))
    with pytest.raises(ValueError, match="'ZTF1' is not an object id"):
        source.fetch("ZTF1")
    with pytest.raises(ObjectNotFound, match=r"ZTF20aaaaaaa is not in night\.tar\.gz"):
        source.fetch("ZTF20aaaaaaa")
    with pytest.raises(SourceError, match="no such file"):
        open_source(str(tmp_path / "nothing"))


@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz", "upload"])
def test_an_empty_source_says_so(form, tmp_path):
    if form == "folder":
        source = PacketSource(tmp_path)
    elif form == "upload":
        source = PacketSource.from_uploads([])
    else:
        source = PacketSource(maker.write_archive(tmp_path / f"empty.{form}", {}))
    assert source.oids() == ()
    assert source.problems == (f"{source.name}: no alert packets in it",)
    with pytest.raises(ObjectNotFound, match="no alert packets in it"):
        source.fetch(OID)


def add(archive, name, data=b"", kind=tarfile.REGTYPE, size=None, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, len(data) if size is None else size, link
    archive.addfile(member, io.BytesIO(data))


def test_awkward_members_are_named_and_the_rest_is_read(packets, tmp_path):
    name, raw = next(iter(packets.items()))
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        add(archive, "night", kind=tarfile.DIRTYPE)
        add(archive, f"../{name}.avro", raw)
        add(archive, f"/tmp/{name}.avro", raw)
        add(archive, "a/../../up.avro", raw)
        add(archive, "symlink.avro", kind=tarfile.SYMTYPE, link="/etc/passwd")
        add(archive, "hardlink.avro", kind=tarfile.LNKTYPE, link="good.avro")
        add(archive, "pipe.avro", kind=tarfile.FIFOTYPE)
        add(archive, "readme.txt", b"hello")
        add(archive, "huge.avro", b"Obj\x01" + bytes(MAX_PACKET))
        add(archive, "cut.avro", raw[: len(raw) // 2])
        add(archive, "good.avro", raw)
    source = PacketSource(tmp_path / "bad.tar.gz")
    assert source.oids() == (OID,)
    found = source.fetch(OID)
    assert [alert.candid for alert in found.alerts] == [name]
    for member, reason in {
        "../": "unsafe path", "/tmp/": "unsafe path", "a/../../up": "unsafe path", "symlink": "not a regular file",
        "hardlink": "not a regular file", "pipe": "not a regular file", "readme.txt": "not an Avro file",
        "huge": "16 MB, more than a packet has", "cut.avro": "broken Avro file",
    }.items():  # fmt: skip
        assert any(member in line and reason in line and "bad.tar.gz" in line for line in source.problems), member
    assert len(source.problems) == 9
    (flag,) = found.flags
    assert "packet lost" in flag
    assert "cut.avro" in flag


def test_an_object_whose_only_packet_is_broken(packets, tmp_path):
    (tmp_path / "good.avro").write_bytes(maker.make_packet(OTHER, MJD))
    (tmp_path / "cut.avro").write_bytes(maker.make_packet(OID, MJD)[:-5000])
    source = PacketSource(tmp_path)
    assert source.oids() == (OID, OTHER)
    with pytest.raises(BadPacket, match=rf"{OID}: cut\.avro: broken Avro file"):
        source.fetch(OID)
    assert len(source.fetch(OTHER).alerts) == 1


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_truncated_archive_is_read_up_to_where_it_ends(packets, tmp_path, keep):
    whole = maker.write_archive(tmp_path / "whole.tar.gz", packets).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: int(len(whole) * keep)])
    source = PacketSource(tmp_path / "cut.tar.gz")
    assert OID in source.oids()
    assert 1 <= len(source.raw(OID)) <= 5
    assert any("cut.tar.gz: truncated gzip" in problem for problem in source.problems)
    plain = maker.write_archive(tmp_path / "whole.tar", packets).read_bytes()
    (tmp_path / "cut.tar").write_bytes(plain[: int(len(plain) * keep)])
    source = PacketSource(tmp_path / "cut.tar")
    assert OID in source.oids()
    assert source.problems


def test_a_damaged_archive_is_read_up_to_there(packets, tmp_path):
    data = bytearray(maker.write_archive(tmp_path / "whole.tar.gz", packets).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "hurt.tar.gz").write_bytes(data)
    source = PacketSource(tmp_path / "hurt.tar.gz")
    assert OID in source.oids()
    assert any("hurt.tar.gz: broken gzip" in problem for problem in source.problems)


def test_an_archive_above_the_limit_is_read_up_to_there(packets, tmp_path, monkeypatch):
    monkeypatch.setattr("tsc_core.sources.packets.MAX_ARCHIVE", 100_000)
    monkeypatch.setattr("tsc_core.sources.packets.CHUNK", 20_000)
    source = PacketSource(maker.write_archive(tmp_path / "big.tar.gz", packets))
    assert source.oids() == (OID,)
    assert any("once decompressed, read up to there" in problem for problem in source.problems)


def test_a_gzip_that_holds_no_archive(tmp_path):
    (tmp_path / "notes.tar.gz").write_bytes(gzip.compress(b"just words" * 100))
    source = PacketSource(tmp_path / "notes.tar.gz")
    assert source.oids() == ()
    (problem,) = source.problems
    assert "notes.tar.gz: not a tar archive of packets" in problem


def test_a_member_of_negative_size_does_not_lead_in_circles(packets, tmp_path):
    raw = next(iter(packets.values()))
    with tarfile.open(tmp_path / "loop.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        add(archive, "good.avro", raw)
        member = tarfile.TarInfo("bad.avro")
        member.pax_headers = {"size": "-2048"}
        archive.addfile(member)
    source = PacketSource(tmp_path / "loop.tar")
    assert source.oids() == (OID,)
    assert any("loop.tar" in problem for problem in source.problems)


def test_a_folder_with_one_bad_file(packets, tmp_path):
    for name, raw in packets.items():
        (tmp_path / f"{name}.avro").write_bytes(raw)
    (tmp_path / "bad.avro").write_bytes(b"oops")
    (tmp_path / "empty.avro").write_bytes(b"")
    with (tmp_path / "huge.avro").open("wb") as file:
        file.truncate(MAX_PACKET + 1)
    source = PacketSource(tmp_path)
    assert source.oids() == (OID, OTHER)
    assert len(source.fetch(OID).alerts) == 5
    assert [problem.split(":")[0] for problem in source.problems] == ["bad.avro", "empty.avro", "huge.avro"]


def test_a_file_that_vanishes_is_a_lost_packet(packets, tmp_path):
    for name, raw in packets.items():
        (tmp_path / f"{name}.avro").write_bytes(raw)
    source = PacketSource(tmp_path)
    source.oids()
    gone = next(iter(packets))
    (tmp_path / f"{gone}.avro").unlink()
    found = source.fetch(OID)
    assert any(gone in flag for flag in found.flags)
    assert [alert.has_stamps for alert in found.alerts] == [False, True, True, True, True]  # known from history


def test_threads_share_a_source(packets, tmp_path):
    source = PacketSource(maker.write_archive(tmp_path / "night.tar.gz", packets))
    found = []
    threads = [threading.Thread(target=lambda: found.append(len(source.fetch(OID).alerts))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5] * 8


def test_looking_one_object_up_decodes_no_other(packets, tmp_path, monkeypatch):
    source = PacketSource(maker.write_archive(tmp_path / "night.tar.gz", packets))
    decoded = []
    decode = packet_format.decode_stamp
    monkeypatch.setattr(packet_format, "decode_stamp", lambda data: decoded.append(1) or decode(data))
    source.fetch(OTHER)
    assert len(decoded) == 2 * 3


def test_fill_values_are_missing_pixels():
    pixels = np.ones((63, 63), dtype=">f4")
    pixels[0, 0], pixels[5, 7] = np.finfo(np.float32).min, np.nan
    buffer = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(buffer)
    found = decode_stamp(gzip.compress(buffer.getvalue()))
    assert np.argwhere(np.isnan(found)).tolist() == [[0, 0], [5, 7]]
    assert np.nansum(found) == 63 * 63 - 2
