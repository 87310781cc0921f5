import pytest

from tsc_core.sources.search import conditions, parse_day, parse_oids, parse_position, table


@pytest.mark.parametrize(
    "text", ["150.1 2.2", "150.1,2.2", "10:00:24 +02:12:00", "10 00 24 +02 12 00", "10h00m24s +2d12m0s", (150.1, 2.2)]
)
def test_positions(text):
    assert parse_position(text) == pytest.approx((150.1, 2.2), abs=1e-9)


@pytest.mark.parametrize("text", ["", "150.1", "a b", "10 95", "<script>", "1 2 3 4 5 6 7 8"])
def test_no_positions(text):
    with pytest.raises(ValueError, match="position"):
        parse_position(text)


def test_days():
    assert parse_day("2018-07-01") == 58300.0
    assert parse_day("2018-07-01T12:00:00+00:00") == 58300.5
    assert parse_day(58300.25) == parse_day("58300.25") == 58300.25
    for wrong in ("yesterday", 2458300.5, "nan"):
        with pytest.raises(ValueError):
            parse_day(wrong)


def test_lists_of_ids():
    text = 'oid\nZTF18abcdefg, ZTF19abcdefg\n# a remark\n"ZTF18abcdefg";ZTF20abcdefg # another\n'
    assert parse_oids(text) == (["ZTF18abcdefg", "ZTF19abcdefg", "ZTF20abcdefg"], [])


def test_a_word_that_is_no_id_does_not_stop_the_others():
    good, bad = parse_oids("foo ZTF18abcdefg, ZTF18\nZTF19abcdefg foo ''")
    assert good == ["ZTF18abcdefg", "ZTF19abcdefg"]
    assert bad == ["foo", "ZTF18"]


def test_conditions_as_alerce_names_them():
    asked = conditions(position="150.1 2.2", radius_arcsec=3, class_name="SN", first=("2018-07-01", 58400), ndet=(2, 9))
    assert asked == {
        "page": 1, "page_size": 100, "count": "false", "ra": pytest.approx(150.1), "dec": pytest.approx(2.2),
        "radius": 3, "class_name": "SN", "ndet": [2, 9], "firstmjd": [58300.0, 58400.0],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ({"probability": 1.2}, "probability"),
        ({"ndet": (5, 2)}, "ndet"),
        ({"page_size": 10_000}, "page_size"),
        ({"position": "1 2", "radius_arcsec": float("nan")}, "radius_arcsec"),
        ({"class_name": "SN&classifier=x"}, "class_name"),
        ({"oids": ["ZTF"]}, "object id"),
    ],
)
def test_conditions_out_of_range(wanted, name):
    with pytest.raises(ValueError, match=name):
        conditions(**wanted)


def test_an_empty_table_has_its_columns():
    assert list(table([]).columns)[:2] == ["oid", "class_name"]
