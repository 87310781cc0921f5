"""Every page run by Streamlit's own test harness."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.made_runs import make_experiment, make_folder
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


def test_another_object_replaces_the_first():
    test = opened("pages/explorer.py", oid="DEMO02")
    test.text_input(key="oid").set_value("DEMO03").run()
    assert [element.value for element in test.subheader] == ["DEMO03"]
    assert "DEMO02" not in words(test)


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


def test_a_list_with_a_wrong_id_stops_early_and_a_right_one_is_classified():
    test = opened("pages/batch.py")
    test.text_area(key="ids").set_value("DEMO01 <b>x</b>").run()
    assert len(test.error) == 1
    test.text_area(key="ids").set_value("DEMO01, DEMO22").run()
    next(button for button in test.button if button.label.startswith("Classify 2")).click().run()
    assert not test.exception
    assert list(test.dataframe[0].value["oid"]) == ["DEMO01", "DEMO22"]


def test_no_page_lets_html_through():
    for page in [*PAGES, *(ROOT / "panels").glob("*.py"), ROOT / "app.py"]:
        text = page.read_text(encoding="utf-8")
        for word in ("unsafe_allow_html", "st.html", "components.html", "unsafe_allow_javascript"):
            assert word not in text, f"{page.name} uses {word}"
