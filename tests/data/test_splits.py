from collections import Counter

import numpy as np
import pytest

from tests.data.made import oid_of
from tsc_core.data.splits import Split, SplitError, make_split, read_split, split_once, write_split


def population(**sizes):
    labels = [label for label, size in sizes.items() for _ in range(size)]
    return [oid_of(number) for number in range(len(labels))], labels


def test_numbers_per_class_and_everyone_somewhere():
    oids, labels = population(AGN=50, SN=30, VS=900)
    split = make_split(oids, labels, validation=10, test=15, seed=3)
    assert set(split.places) == set(oids)
    found = Counter((label, split.places[oid]) for oid, label in zip(oids, labels, strict=True))
    for label, size in {"AGN": 50, "SN": 30, "VS": 900}.items():
        assert (found[label, "validation"], found[label, "test"]) == (10, 15)
        assert found[label, "train"] == size - 25
    assert set(split.oids("train")) | set(split.oids("validation")) | set(split.oids("test")) == set(oids)


def test_fractions():
    oids, labels = population(AGN=40, SN=100)
    split = make_split(oids, labels, validation=0.1, test=0.25)
    found = Counter((label, split.places[oid]) for oid, label in zip(oids, labels, strict=True))
    assert [found[key] for key in (("AGN", "validation"), ("AGN", "test"), ("SN", "validation"), ("SN", "test"))] == [
        4, 10, 10, 25,
    ]  # fmt: skip


def test_the_draw_is_that_of_the_seed_and_not_of_the_order():
    oids, labels = population(AGN=60, SN=60)
    order = np.random.default_rng(0).permutation(120)
    one, shuffled, other = (
        make_split(oids, labels, 10, 10, seed=1),
        make_split([oids[i] for i in order], [labels[i] for i in order], 10, 10, seed=1),
        make_split(oids, labels, 10, 10, seed=2),
    )
    assert one.places == shuffled.places
    assert one.hash == shuffled.hash
    assert one.hash != other.hash


def test_a_class_more_does_not_move_the_others():
    oids, labels = population(AGN=60, SN=60)
    two = make_split(oids, labels, 10, 10)
    three = make_split([*oids, *(oid_of(n) for n in range(500, 560))], [*labels, *["VS"] * 60], 10, 10)
    assert two.places.items() <= three.places.items()


def test_asking_for_more_than_there_are_names_every_short_class():
    oids, labels = population(AGN=400, SN=22, VS=401)
    with pytest.raises(SplitError) as raised:
        make_split(oids, labels)
    assert "AGN has 400, 200 + 200 were asked for; SN has 22, 200 + 200 were asked for" in str(raised.value)
    assert "VS" not in str(raised.value)


@pytest.mark.parametrize(("size", "said"), [(float("nan"), "validation is nan"), (float("inf"), "is inf"), (-1, "-1")])
def test_numbers_that_are_none_are_refused(size, said):
    with pytest.raises(ValueError, match=said):
        make_split(["SIM1"], ["SN"], size, 1)


def test_a_split_of_nothing_is_refused():
    with pytest.raises(SplitError, match="no object"):
        make_split([], [])


def test_an_object_twice_is_refused():
    with pytest.raises(ValueError, match="ZTF18aaaaaaa is given 2 times"):
        make_split(["ZTF18aaaaaaa"] * 2, ["AGN"] * 2, 0, 0)


def test_a_file_is_read_back_and_never_overwritten(tmp_path):
    oids, labels = population(AGN=20, SN=20)
    split, path = make_split(oids, labels, 2, 3), tmp_path / "split.csv"
    write_split(split, path)
    assert read_split(path).hash == split.hash
    assert read_split(path, oids).places == split.places
    before = path.read_bytes()
    with pytest.raises(SplitError, match="drawn once"):
        write_split(Split({}), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["split.csv"]


def test_drawn_once_whatever_is_asked_later(tmp_path):
    oids, labels = population(AGN=20, SN=20)
    first = split_once(tmp_path / "split.csv", oids, labels, 2, 3, seed=0)
    more_oids, more_labels = population(AGN=20, SN=40)
    later = split_once(tmp_path / "split.csv", more_oids, more_labels, 5, 5, seed=9)
    assert later.places == first.places


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("objectId,set\n", "first line must be oid,split"),
        ("oid,split\nZTF18aaaaaaa,training\n", "line 2: needs an id and one of train, validation, test"),
        ("oid,split\nZTF18aaaaaaa,train\nZTF18aaaaaaa,test\n", "line 3: ZTF18aaaaaaa is there twice"),
        ("oid,split\nZTF18zzzzzzz,train\n", "1 objects are not in the dataset, the first is ZTF18zzzzzzz"),
    ],
)
def test_broken_files(tmp_path, text, message):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(SplitError, match=message):
        read_split(tmp_path / "split.csv", ["ZTF18aaaaaaa"])
