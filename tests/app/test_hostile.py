"""Text from packets, file names, answers and addresses is shown as text: nothing of it is run or becomes an element."""

import json
from urllib.parse import quote, urlsplit

import pytest

from tests.app.conftest import settled
from tests.packet_maker import make_packet

pytestmark = pytest.mark.browser
EVIL = [
    "<img src=x onerror=window.pwned=1>",
    "<script>window.pwned=1</script>",
    "[click](javascript:window.pwned=1)",
    "![x](http://evil.invalid/pixel.png)",
]


def hosted(url):
    return urlsplit(url).hostname == "evil.invalid"


@pytest.fixture
def watched(page):
    """A page that notes every dialog and every request that leaves for a host of the attacker's."""
    page.left = []
    page.on("dialog", lambda dialog: (page.left.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: page.left.append(request.url) if hosted(request.url) else None)
    return page


def assert_harmless(page):
    assert page.evaluate("window.pwned") is None
    assert page.left == []
    inside = "[data-testid=stMain], [data-testid=stSidebar]"
    assert page.evaluate(f"document.querySelectorAll(`:is({inside}) :is([onerror], script)`).length") == 0
    assert page.evaluate("document.querySelectorAll('a[href^=javascript]').length") == 0
    assert page.evaluate("document.querySelectorAll('img[src*=evil]').length") == 0


@pytest.mark.parametrize("text", EVIL)
def test_addresses(app, watched, text):
    watched.goto(f"{app}/?oid={quote(text)}")
    watched.get_by_text("is not an object id").wait_for()
    assert_harmless(watched)
    watched.goto(f"{app}/?source={quote(text)}&oid=ZTF18abcdefg")
    watched.get_by_text("no such file or folder").wait_for()
    assert_harmless(watched)
    watched.goto(f"{app}/runs?folder={quote(text)}")
    watched.get_by_text("There is no folder").wait_for()
    assert_harmless(watched)


def test_packets_and_file_names(app, watched):
    good = make_packet("ZTF21aaaaaab", 59000.2, programpi=EVIL[0], rbversion=EVIL[1])
    files = [{"name": "good.avro", "mimeType": "application/octet-stream", "buffer": good}]
    files += [{"name": f"{text.replace('/', '_')}.avro", "mimeType": "x/y", "buffer": b"no Avro"} for text in EVIL]
    watched.goto(f"{app}/?source=upload")
    watched.locator("input[type=file]").first.set_input_files(files)
    watched.get_by_role("heading", name="ZTF21aaaaaab", exact=True).wait_for()
    settled(watched)
    watched.get_by_text("items could not be read").click()
    watched.get_by_role("tab", name="Packet").click()
    watched.wait_for_timeout(1000)
    assert_harmless(watched)


def test_names_and_problems_of_runs(app, watched, tmp_path):
    folder = tmp_path / EVIL[0].replace("/", "_")
    folder.mkdir()
    (folder / "config.json").write_text('{"name": "<img src=x onerror=window.pwned=1>", "model": {"kind": "x"}}')
    (folder / "metrics.csv").write_text("step,val_loss\n1,0.5\n2,0.4\n")
    (tmp_path / "experiment").mkdir()
    report = {"title": EVIL[3], "rows": [{"label": EVIL[1]}], "cells": []}
    (tmp_path / "experiment/experiment.json").write_text(json.dumps(report))
    watched.goto(f"{app}/runs?folder={tmp_path}")
    watched.get_by_text("![x]").wait_for()
    watched.get_by_role("tab", name="Runs", exact=True).click()
    watched.locator(".js-plotly-plot").first.wait_for()
    assert_harmless(watched)
