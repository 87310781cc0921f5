"""What people do in the app, in a real browser."""

import csv
import json
import re

import pytest

from tests.app.conftest import PATIENCE, served, settled
from tests.app.made_runs import CLASSES, make_experiment, make_folder
from tests.packet_maker import make_object, write_archive
from tsc_core.display.strip import shown_places
from tsc_core.sources.demo import ARCHIVE, demo_source
from tsc_core.sources.loopback import Fault, Faults, LoopbackServer
from tsc_core.sources.packets import PacketSource

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser
REAL_FORM = "ZTF18abcdefg"  # made objects under ids of the survey's form, for the live source


def title(page, text):
    page.get_by_role("heading", name=text, exact=True).wait_for()


def detection(page):
    return page.get_by_label("Detection", exact=True).input_value()


def test_a_deep_link_reproduces_the_view(app, page):
    page.goto(f"{app}/?source=demo&oid=DEMO09&det=3&stretch=log&window=last&all=true")
    title(page, "DEMO09")
    settled(page)
    expect(page.get_by_label("Detection", exact=True)).to_have_value("3")
    shown = shown_places(demo_source().fetch("DEMO09"), 2, history=False)
    page.get_by_test_id("stImage").locator("img").nth(len(shown) - 1).wait_for()  # a tile for each
    assert page.get_by_role("radio", name="log").get_attribute("aria-checked") == "true"
    assert "oid=DEMO09" in page.url
    assert "det=3" in page.url
    page.get_by_text(re.compile(r"after \d detections?")).wait_for()


@pytest.mark.parametrize(
    ("place", "told"), [("?oid=DEMO05", "natural rates"), ("confusion", "recall"), ("models", "ECE")]
)
def test_no_page_slides_sideways_on_a_telephone(app, page, place, told):
    page.set_viewport_size({"width": 390, "height": 2000})
    page.goto(f"{app}/{place}")
    page.locator("th", has_text=told).first.wait_for()  # the table that is wider than the screen
    settled(page)
    wide, room = page.get_by_test_id("stMain").evaluate("main => [main.scrollWidth, main.clientWidth]")
    assert wide <= room


def test_stepping_through_detections_and_objects_by_keyboard(app, page):
    page.goto(f"{app}/?oid=DEMO02")
    title(page, "DEMO02")
    settled(page)
    first = int(detection(page))
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(300)
        settled(page)
    page.wait_for_function(f"new URL(location).searchParams.get('det') === '{first + 2}'")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"[null, '{first + 1}'].includes(new URL(location).searchParams.get('det'))")
    page.keyboard.press("n")
    title(page, "DEMO03")
    expect(page.get_by_role("heading", name="DEMO02")).to_have_count(0, timeout=PATIENCE)


def test_a_click_on_the_light_curve_selects_the_detection(app, page):
    page.goto(f"{app}/?oid=DEMO09&det=1")
    title(page, "DEMO09")
    settled(page)
    page.locator(".js-plotly-plot .scatterlayer .point").first.wait_for()
    page.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    points = page.evaluate(
        """() => { const plot = document.querySelector('.js-plotly-plot'), box = plot.getBoundingClientRect();
        const trace = plot.data.find(t => t.name.startsWith('g')), last = trace.x.length - 1;
        const {xaxis, yaxis} = plot._fullLayout;
        return [box.x + xaxis._offset + xaxis.d2p(trace.x[last]), box.y + yaxis._offset + yaxis.d2p(trace.y[last]),
                trace.customdata[last][0] + 1]; }"""
    )
    page.mouse.move(points[0], points[1])
    page.wait_for_timeout(300)
    page.mouse.click(points[0], points[1])
    expect(page).to_have_url(re.compile(rf"[?&]det={points[2]}(&|$)"), timeout=PATIENCE)


def test_a_step_is_chosen_and_explained(app, page):
    page.goto(f"{app}/?oid=DEMO02&n=2")
    page.get_by_text("after 2 detections").wait_for()
    page.get_by_role("tab", name="Why").click()
    page.get_by_role("button", name=re.compile(r"Explain \w+ after 2 detections")).click()
    page.get_by_text(re.compile("speaks for")).wait_for()
    expect(page.get_by_role("img", name=re.compile("what each part of its stamps says"))).to_have_count(
        2, timeout=PATIENCE
    )
    assert "tab=Why" in page.url
    settled(page)
    page.get_by_role("radio", name="1", exact=True).click()
    page.get_by_role("button", name=re.compile(r"Explain \w+ after 1 detection$")).wait_for()  # nothing of n = 2 stays
    page.get_by_text("after 1 detection", exact=True).wait_for()


def test_uploaded_packets_are_classified(app, page, tmp_path):
    archive = write_archive(tmp_path / "mine.tar.gz", make_object("ZTF21aaaaaab"))
    page.goto(f"{app}/?source=upload")
    page.get_by_text("Upload ZTF alert packets").wait_for()
    page.locator("input[type=file]").first.set_input_files(str(archive))
    title(page, "ZTF21aaaaaab")
    page.get_by_text(re.compile(r"after \d detections?")).wait_for()
    expect(page.get_by_text("5 detections, 5 used")).to_have_count(1, timeout=PATIENCE)


def test_comparing_two_runs(app, page, tmp_path):
    make_folder(tmp_path, good=4, broken=2)
    make_experiment(tmp_path / "recurrent")
    page.goto(f"{app}/runs?folder={tmp_path}")
    title(page, "Training runs")
    page.get_by_text("Tables 5-6: recurrent layers").wait_for()
    page.get_by_role("tab", name="Runs", exact=True).click()
    page.locator(".js-plotly-plot").first.wait_for()
    names = page.evaluate("document.querySelector('.js-plotly-plot').data.map(t => t.name).filter(n => n)")
    assert len(set(names)) >= 2
    page.get_by_role("tab", name="Broken").click()


def test_a_click_on_a_cell_leads_to_its_objects_and_to_the_explorer(app, page):
    page.goto(f"{app}/confusion")
    page.get_by_role("button", name="Classify the demo archive now").click()
    page.get_by_text("One model").wait_for()
    settled(page)
    page.get_by_text(re.compile("Click a cell")).wait_for()
    cell = page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").first
    cell.wait_for()
    box = cell.bounding_box()
    link = page.get_by_role("link", name=re.compile(r"Open DEMO\d+ in the explorer"))
    for down in (0.25, 0.4, 0.55, 0.7, 0.85):  # some row has objects in the first columns
        for along in (0.3, 0.45, 0.6):
            page.mouse.click(box["x"] + along * box["width"], box["y"] + down * box["height"])
            page.wait_for_timeout(700)
            settled(page)
            if link.count():
                break
        if link.count():
            break
    oid = re.search(r"DEMO\d+", link.inner_text()).group()
    link.click()
    title(page, oid)
    assert f"oid={oid}" in page.url
    page.get_by_text("after 1 detection", exact=True).wait_for()  # the matrix was of n = 1
    page.go_back()
    expect(link).to_have_text(re.compile(oid), timeout=PATIENCE)  # the cell and the result stay


def answered(page, oid):
    title(page, oid)
    page.get_by_text(re.compile(r"after \d detections?")).wait_for()
    settled(page)


def test_back_leads_to_the_object_before(app, page):
    page.goto(f"{app}/?oid=DEMO07")
    answered(page, "DEMO07")
    for oid in ("DEMO08", "DEMO09", "DEMO10"):
        page.keyboard.press("n")
        answered(page, oid)
    for oid in ("DEMO09", "DEMO08", "DEMO07"):
        page.go_back()
        answered(page, oid)
        expect(page).to_have_url(re.compile(rf"\?oid={oid}$"), timeout=PATIENCE)


def test_back_from_another_page_leads_to_what_was_shown(app, page):
    page.goto(f"{app}/?oid=DEMO09&window=last")
    answered(page, "DEMO09")
    page.get_by_role("link", name="Lists").click()
    title(page, "Lists of objects")
    settled(page)
    page.go_back()
    title(page, "DEMO09")
    expect(page).to_have_url(re.compile(r"\?(?=.*oid=DEMO09)(?=.*window=last)"), timeout=PATIENCE)


@pytest.fixture
def live(tmp_path):
    """The app and a loopback ALeRCE that it asks, at first with a broken list of detections."""
    archive = write_archive(tmp_path / "night.tar.gz", make_object(REAL_FORM))
    with LoopbackServer(
        PacketSource(archive), Faults(rules=[Fault("/(detections|lightcurve)", "status:500")])
    ) as server:
        environment = server.write_config(tmp_path / "alerce.json")
        with served(tmp_path, **environment) as (address, _):
            yield address, server


def test_a_failing_service_says_so_and_can_be_asked_again(live, page):
    address, server = live
    page.goto(f"{address}/?source=alerce&oid={REAL_FORM}")
    page.get_by_text(re.compile("HTTP 500")).wait_for()
    expect(page.get_by_role("heading", name=REAL_FORM)).to_have_count(0, timeout=PATIENCE)
    server.misbehave(Faults(rules=[Fault("/probabilities", "status:500")]))
    page.get_by_role("button", name="Try again").click()
    title(page, REAL_FORM)
    page.get_by_text(re.compile(r"after \d detections?")).wait_for()
    page.get_by_text(re.compile("ALeRCE's classifiers: .*500")).wait_for()  # one service fails alone
    server.misbehave(Faults())
    page.get_by_role("button", name="Ask again").click()
    page.get_by_text("Dashed lines").wait_for()


def test_alerces_classifiers_stand_beside_ours_on_the_same_objects(live, page, tmp_path):
    address, server = live
    server.misbehave(Faults())
    rows = "\n".join(f"ZTF18aaaaaa{letter},2,{name},0.6,0.3,0.1" for letter, name in zip("abc", CLASSES, strict=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/report.csv").write_text(f"oid,n,label,{','.join(CLASSES)}\n{REAL_FORM},2,SN,0.1,0.8,0.1\n{rows}")
    block = {"classes": CLASSES, "confusion": [[1, 0, 0], [1, 1, 0], [1, 0, 0]]}
    (tmp_path / "mine/report.json").write_text(json.dumps({"origin": "real", "n": {"2": block}}))
    page.goto(f"{address}/confusion?folder={tmp_path}/mine&part=Beside+ALeRCE")
    page.get_by_role("button", name="Ask ALeRCE about these 4 objects").click()
    page.get_by_text("ALeRCE answered for 1 objects, not for 3").wait_for()
    page.get_by_role("radio", name="lc_classifier").wait_for()
    expect(page.get_by_test_id("stVegaLiteChart")).to_have_count(3, timeout=PATIENCE)
    with page.expect_download() as download:
        page.get_by_role("button", name="ALeRCE's probabilities (CSV)").click()
    assert download.value.path().read_text().startswith("oid,classifier,version,class_name,probability")


def test_a_list_of_fifty_ids_is_classified_and_exported(app, page, tmp_path):
    packets = {}
    for i in range(50):
        packets |= {f"{i}_{k}": v for k, v in make_object(f"ZTF19aaaaa{chr(97 + i // 26)}{chr(97 + i % 26)}").items()}
    archive = write_archive(tmp_path / "fifty.tar.gz", packets)
    page.goto(f"{app}/batch")
    title(page, "Lists of objects")
    source = page.get_by_role("combobox", name="Source")
    source.fill(str(archive))
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Take 50 objects of this source").click()
    page.get_by_role("button", name="Classify 50 objects").click()
    page.get_by_text("50 objects, 0 could not be read").wait_for(timeout=4 * PATIENCE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Table (CSV)").click()
    with open(download.value.path(), newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    assert all(row["class"] and not row["error"] for row in rows)


def test_the_demo_archive_is_what_opens_first(app, page):
    page.goto(app)
    expect(page.get_by_role("heading", name=PacketSource(ARCHIVE).oids()[0], exact=True)).to_be_visible(
        timeout=PATIENCE
    )
