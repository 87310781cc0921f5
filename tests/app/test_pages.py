"""Every page run by Streamlit's own test harness."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from panels.address import explorer_query
from panels.object import IN_ROW, row_of
from tests.app.made_runs import make_experiment, make_folder
from tsc_core.preprocessing.quality import WINDOWS, select_alerts
from tsc_core.sources.demo import demo_source

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "pages").glob("*.py"))
PATIENCE = 120


def opened(page="app.py", **query):
    test = AppTest.from_file(str(ROOT / page), default_timeout=PATIENCE)
    test.session_state["framed"] = True
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def words(test):
    shown = [*test.title, *test.subheader, *test.markdown, *test.caption, *test.info, *test.warning, *test.error]
    return "\n".join(str(element.value) for element in shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_page_runs_on_the_demo_archive(page):
    test = opened(page.relative_to(ROOT))
    assert not test.exception
    assert words(test)


def test_the_app_opens_with_a_demo_object():
    test = opened()
    assert not test.exception
    assert test.subheader[0].value == "DEMO01"
    assert test.session_state["source"] == "demo"


def test_a_page_opened_before_the_app_puts_itself_into_its_frame():
    test = AppTest.from_file(str(ROOT / "pages/about.py"), default_timeout=PATIENCE).run()
    assert not test.exception
    assert test.title[0].value == "About"


def test_the_deep_link_chooses_object_and_detection():
    test = opened("pages/explorer.py", source="demo", oid="DEMO09", det="3")
    assert not test.exception
    assert test.subheader[0].value == "DEMO09"
    assert test.session_state["det"] == 3


@pytest.mark.parametrize("det", ["0", "-5", "999999999999999999", "abc", "3.5", "٣"])
def test_an_impossible_detection_in_the_link_is_put_in_range(det):
    test = opened("pages/explorer.py", oid="DEMO09", det=det)
    assert not test.exception
    assert 1 <= test.session_state["det"] <= len(demo_source().fetch("DEMO09").alerts)
    assert test.number_input(key="det").value == test.session_state["det"]


@pytest.mark.parametrize(
    "oid", ["ZTF18zzzzzzz", "nonsense", "../../etc/passwd", "<script>alert(1)</script>", "' OR 1=1 --"]
)
def test_a_wrong_id_is_told_in_words(oid):
    test = opened("pages/explorer.py", oid=oid)
    assert not test.exception
    assert len(test.error) == 1
    assert not test.subheader
    assert "<script>" not in test.error[0].value


def test_a_path_that_does_not_exist_is_told_in_words():
    test = opened("pages/explorer.py", source="/no/such/night.tar.gz", oid="ZTF18abcdefg")
    assert not test.exception
    assert "no such file" in test.error[0].value


def test_what_cannot_be_read_is_said_and_no_id_is_asked_for(tmp_path):
    (tmp_path / "junk.avro").write_bytes(b"no Avro")
    test = opened("pages/explorer.py", source=str(tmp_path))
    assert not test.exception
    assert not test.info
    assert [error.value.split(":")[0] for error in test.error] == ["No object could be read"]
    assert test.expander[0].label == "1 item could not be read"


@pytest.mark.parametrize("page", ["pages/runs.py", "pages/confusion.py"])
def test_a_folder_that_does_not_exist_is_told_in_words(page):
    test = opened(page, folder="/no/such/folder")
    assert not test.exception
    assert [error.value for error in test.error] == ["There is no folder /no/such/folder."]


def test_another_object_replaces_the_first():
    test = opened("pages/explorer.py", oid="DEMO02")
    test.text_input(key="oid").set_value("DEMO03").run()
    assert [element.value for element in test.subheader] == ["DEMO03"]
    assert "DEMO02" not in words(test)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("oid", ["DEMO02", "DEMO09", "DEMO12"])
def test_the_strip_opens_on_the_detections_used(oid, window):
    test = opened("pages/explorer.py", oid=oid, window=window)
    sequence = demo_source().fetch(oid)
    used = {alert.candid for alert in select_alerts(sequence, window).used}
    drawn = {int(button.key.split()[1]) for button in test.button if button.key and button.key.startswith("tile")}
    assert test.session_state["det"] - 1 in drawn
    assert len(drawn) <= IN_ROW
    assert sum(sequence.alerts[place].candid in used for place in drawn) >= 3


def test_a_row_of_tiles_holds_the_chosen_one_and_is_full():
    places = [3, 5, 6, 7, 20, 21, 22, 23, 24, 30]
    for chosen in places:
        for first in places:
            begin, end = row_of(places, chosen, first)
            assert chosen in places[begin:end]
            assert len(places[begin:end]) == IN_ROW
    assert row_of(places, 6, 6) == (2, 8)
    assert row_of([0, 1, 2], 2, 0)[0] == 0


def test_the_last_window_uses_other_detections():
    test = opened("pages/explorer.py", oid="DEMO09")
    first = test.session_state["det"]
    test.button_group(key="window").set_value("last").run()
    assert not test.exception
    assert test.session_state["det"] != first


def test_three_hundred_runs_with_ten_broken_open_and_name_the_broken(tmp_path):
    make_folder(tmp_path, good=290, broken=10)
    make_experiment(tmp_path / "recurrent")
    test = opened("pages/runs.py", folder=str(tmp_path))
    assert not test.exception
    assert [metric.value for metric in test.metric] == ["304", "294", "10"]
    test.session_state["part"] = "Broken"
    test.run()
    assert any("broken/03" in frame.value.to_string() for frame in test.dataframe)


def test_matrices_of_runs_are_shown_with_recall_and_natural_precision(tmp_path):
    make_experiment(tmp_path / "recurrent")
    test = opened("pages/confusion.py", folder=str(tmp_path))
    assert not test.exception
    assert "Mean of 2 seeds" in words(test)
    assert "| recall | precision at natural rates |" in words(test)


def test_the_demo_archive_becomes_matrices_at_the_press_of_a_button(tmp_path):
    test = opened("pages/confusion.py", folder=str(tmp_path))
    test.button[0].click().run()
    assert not test.exception
    assert test.selectbox(key="result").value.endswith("n = 1 · demo archive, classified here")
    assert test.metric[0].label == "Objects"
    assert 20 <= int(test.metric[0].value) <= 30


def test_words_of_a_list_that_are_no_ids_are_told_and_the_others_classified():
    test = opened("pages/batch.py")
    test.text_area(key="ids").set_value("DEMO01, DEMO22").run()
    next(button for button in test.button if button.label.startswith("Classify 2")).click().run()
    assert list(test.dataframe[0].value["oid"]) == ["DEMO01", "DEMO22"]
    test.text_area(key="ids").set_value("DEMO01 <b>x</b> demo02 foo").run()
    assert not test.exception
    assert [warning.value.split(":")[0] for warning in test.warning] == ["3 words are no ids"]
    assert "<b>" not in test.warning[0].value
    assert list(test.dataframe[0].value["oid"]) == ["DEMO01", "DEMO22"]  # what was found before stays
    next(button for button in test.button if button.label == "Classify 1 object").click().run()
    assert list(test.dataframe[0].value["oid"]) == ["DEMO01"]


def test_no_page_lets_html_through():
    for page in [*PAGES, *(ROOT / "panels").glob("*.py"), ROOT / "app.py"]:
        text = page.read_text(encoding="utf-8")
        for word in ("unsafe_allow_html", "st.html", "components.html", "unsafe_allow_javascript"):
            assert word not in text, f"{page.name} uses {word}"


def test_an_address_of_the_explorer_names_what_is_not_shown_anyway():
    assert explorer_query("demo", "DEMO01", "first") == {"oid": "DEMO01"}
    assert explorer_query("night.tar", "DEMO01", "last", "2") == {
        "source": "night.tar", "oid": "DEMO01", "window": "last", "n": "2",
    }  # fmt: skip
