import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.data.made import assert_same_sequence, difficult, files_of, made, made_many, oid_of
from tsc_core.alerts import AllWise
from tsc_core.data.store import Dataset, DatasetError, DatasetWriter, merge_datasets
from tsc_core.preprocessing import select_alerts


@pytest.fixture(scope="module")
def sequences():
    return [*made_many(7), difficult(), made(8, detections=1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sequences):
    path = tmp_path_factory.mktemp("store") / "set"
    with DatasetWriter(path, {"made": "for tests"}, part_objects=4) as writer:
        for sequence in sequences:
            writer.add(sequence, origin="real", subclass="QSO" if sequence.label == "AGN" else None)
    return path


def test_a_sequence_comes_back_as_it_was(folder, sequences):
    dataset = Dataset(folder)
    assert dataset.oids == tuple(sequence.oid for sequence in sequences)
    assert [part.name for part in sorted(folder.glob("part-*"))] == ["part-00000", "part-00001", "part-00002"]
    for row, sequence in enumerate(sequences):
        assert_same_sequence(dataset.sequence(sequence.oid), sequence)
        assert_same_sequence(dataset.sequence(row), sequence)


def test_candids_stay_exact_and_text(folder, sequences):
    read = Dataset(folder).sequence(sequences[0].oid)
    candids = [alert.candid for alert in read.alerts]
    assert all(isinstance(candid, str) and int(candid) > 2**53 for candid in candids)
    assert candids == [alert.candid for alert in sequences[0].alerts]


@pytest.mark.parametrize("window", ["first", "last"])
def test_without_pixels_the_same_detections_are_chosen_for_the_same_reasons(folder, sequences, window):
    dataset = Dataset(folder)
    for sequence in sequences:
        found, true = (select_alerts(s, window) for s in (dataset.sequence(sequence.oid, pixels=False), sequence))
        assert [alert.candid for alert in found.used] == [alert.candid for alert in true.used]
        assert found.reasons == true.reasons


def test_objects_table(folder, sequences):
    objects = Dataset(folder).objects.set_index("oid")
    first, odd = objects.loc[sequences[0].oid], objects.loc[difficult().oid]
    assert (first.label, first.subclass, first.origin, first.detections) == ("AGN", "QSO", "real", 5)
    assert (first.stamped, first.usable) == (5, 5)
    assert first.ra == pytest.approx(10.0)
    assert not first.allwise_matched
    assert objects.loc[sequences[1].oid].w1 == 13.1
    assert odd.usable == len(select_alerts(difficult()).used) == 4
    assert odd.stamped == 7
    labels = Dataset(folder).labels
    assert list(labels[:3]) == ["AGN", "SN", "VS"]
    assert labels[7] is None


def test_header_counts(folder):
    header = json.loads((folder / "dataset.json").read_text())
    assert header["complete"] is True
    assert header["provenance"] == [{"made": "for tests"}]
    assert (header["objects"], header["labels"]) == (9, {"": 1, "AGN": 3, "SN": 2, "VS": 3})


def test_threads_and_processes_share_a_dataset(folder, sequences):
    dataset = pickle.loads(pickle.dumps(Dataset(folder)))
    with ThreadPoolExecutor(4) as pool:
        for found, given in zip(pool.map(dataset.sequence, dataset.oids * 3), sequences * 3, strict=True):
            assert_same_sequence(found, given)


def test_what_is_not_there(folder, tmp_path):
    dataset = Dataset(folder)
    with pytest.raises(KeyError, match="ZTF18zzzzzzz"):
        dataset.sequence("ZTF18zzzzzzz")
    with pytest.raises(IndexError):
        dataset.sequence(9)
    with pytest.raises(DatasetError, match="no dataset there"):
        Dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("part-00001/stamps.f32", lambda data: data[:-1], "the file is damaged"),
        ("part-00001/objects.parquet", lambda data: data[:50], "damaged or incomplete part"),
        ("part-00001/stamps.f32", None, "damaged or incomplete part"),
        ("dataset.json", lambda data: data[:20], "cannot be read"),
        ("dataset.json", lambda data: b"[" * 100_000, "cannot be read"),
        ("dataset.json", lambda data: b'{"format": 1, "complete": true}', "provenance is None: needs a list"),
        ("dataset.json", lambda data: data.replace(b'"format": 1', b'"format": 2'), "format 2, this version reads 1"),
    ],
)
def test_damage_is_named(folder, tmp_path, name, spoil, message):
    for path, data in files_of(folder).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        if path != name or spoil is not None:
            (tmp_path / path).write_bytes(data if path != name else spoil(data))
    with pytest.raises(DatasetError, match=message) as raised:
        Dataset(tmp_path)
    assert name.split("/")[0] in str(raised.value) or "format" in message


def test_an_empty_dataset_opens(tmp_path):
    DatasetWriter(tmp_path / "empty").close()
    dataset = Dataset(tmp_path / "empty")
    assert (len(dataset), dataset.oids) == (0, ())


# --- merging --------------------------------------------------------------------------------------------------


def write(path, sequences, **about):
    with DatasetWriter(path) as writer:
        for sequence in sequences:
            writer.add(sequence, **{"origin": "real"} | about)
    return path


def test_merge_keeps_each_object_once_with_what_is_said_of_it(tmp_path):
    a = write(tmp_path / "a", [made(0), made(1)], subclass="QSO")
    b = write(tmp_path / "b", [made(1), made(2)], origin="simulated")
    merged = merge_datasets([a, b], tmp_path / "c")
    assert merged.oids == (oid_of(0), oid_of(1), oid_of(2))
    assert list(merged.objects["origin"]) == ["real", "real", "simulated"]
    assert list(merged.objects["subclass"].fillna("")) == ["QSO", "QSO", ""]
    for number in range(3):
        assert_same_sequence(merged.sequence(number), made(number))
    again = merge_datasets([a, b], tmp_path / "c")  # finds all of it there
    assert again.oids == merged.oids


def test_merge_refuses_two_classes_of_one_object(tmp_path):
    a = write(tmp_path / "a", [made(0), made(1)])
    b = write(tmp_path / "b", [replace(made(1), label="VS")])
    with pytest.raises(DatasetError, match=rf"{oid_of(1)} \(SN and VS\)"):
        merge_datasets([a, b], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_cross_match_is_entered_once(tmp_path):
    sequences = [replace(made(n), allwise=None, allwise_asked=False) for n in range(5)]
    with DatasetWriter(tmp_path / "set", part_objects=2) as writer:
        for sequence in sequences:
            writer.add(sequence, origin="real")
        places = writer.unmatched()
        assert list(places) == [s.oid for s in sequences]
        assert places[oid_of(3)] == pytest.approx((13.0, 2.2))
        writer.cross_match({oid_of(0): AllWise(12.0, 11.0, 9.0, 8.0), oid_of(3): None})
        assert list(writer.unmatched()) == [oid_of(1), oid_of(2), oid_of(4)]
    dataset = Dataset(tmp_path / "set")
    assert dataset.sequence(0).allwise.colours == (1.0, 2.0, 1.0)
    assert dataset.sequence(3).allwise is None
    assert [dataset.sequence(n).allwise_asked for n in range(5)] == [True, False, False, True, False]
    np.testing.assert_array_equal(dataset.sequence(2).alerts[0].stamps.science, sequences[2].alerts[0].stamps.science)
