"""How quick the app is, in a real browser: ``python benchmarks/app.py [--people 10] [--switches 5] [--out app.json]``.

Prints JSON: seconds from opening an address to the page's first heading, and for the explorer to its stamps and its
verdict, for the first visitor of a server started as `make app` starts it ("cold", and after how many seconds it is
up), of one without its preparation ("unprepared"), and on a warm one; seconds of an object switch with a warm cache,
milliseconds per stamp, seconds to open 300 runs, and what happens when several people use one server at once: errors,
objects mixed up, and the server's memory before and after. Pages are opened several times, and the median is given.
The browser runs already, and its profile is fresh each time: nothing of the page is in its cache.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from playwright.async_api import Browser as Together
from playwright.async_api import Error, async_playwright
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.app.conftest import ARGS, CHROMIUM, served
from tests.app.made_runs import make_folder
from tsc_core.display.stamps import draw_stamp
from tsc_core.sources.demo import demo_source

PATIENCE = 300_000  # ms
TIMES, REST_S = 5, 3.0  # visits of each page, and seconds before each, for the visit before to come to its end
CONTENT = "[data-testid=stMain] :is(h1, h3)"
STAMPS = "[data-testid=stImage] img"
VERDICT = "[data-testid=stMetricLabel]:has-text('after')"
DONE = "[data-testid=stApp][data-test-script-state=notRunning]"
PAGES = {
    "explorer": "",
    "lists": "batch",
    "runs": "runs",
    "confusion": "confusion",
    "models": "models",
    "about": "about",
}


def first_content(browser: Browser, address: str) -> float:
    """Seconds from the request to the first heading of the page's own."""
    page = fresh(browser)
    started = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(CONTENT)
    found = time.perf_counter() - started
    page.context.close()
    return found


def median_of(visit: Callable[[], float]) -> float:
    """Median seconds of several visits."""
    found = []
    for _ in range(TIMES):
        time.sleep(REST_S)
        found.append(visit())
    return round(statistics.median(found), 2)


def stages(browser: Browser, address: str) -> dict[str, float]:
    """Seconds from the request to the explorer's heading, its first stamps, and its verdict."""
    page, found = fresh(browser), {}
    started = time.perf_counter()
    page.goto(address, wait_until="commit")
    for name, selector in (("heading", CONTENT), ("stamps", STAMPS), ("verdict", VERDICT)):
        page.wait_for_selector(selector)
        found[name] = round(time.perf_counter() - started, 2)
    page.context.close()
    return found


def fresh(browser: Browser) -> Page:
    """A page with nothing in its cache."""
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.set_default_timeout(PATIENCE)
    return page


def switches(page: Page, address: str, oids: list[str]) -> list[float]:
    """Seconds from entering an id to the new object's heading, stamps and verdict; every object seen once before."""
    times = []
    page.goto(f"{address}/?oid={oids[0]}")
    for warm in (False, True):
        for oid in (*oids[1:], oids[0]):
            box = page.get_by_label("Object id", exact=True)
            box.fill(oid)
            started = time.perf_counter()
            box.press("Enter")
            page.get_by_role("heading", name=oid, exact=True).wait_for()
            page.locator("[data-testid=stMetricLabel]", has_text="after").wait_for()
            page.wait_for_selector(DONE, state="attached")
            times += [time.perf_counter() - started] if warm else []
    return times


def stamp_ms() -> float:
    """Milliseconds to draw one stamp, median over the demo archive."""
    source, times = demo_source(), []
    for alert in [a for oid in source.oids()[:10] for a in source.fetch(oid).alerts if a.stamps is not None]:
        started = time.perf_counter()
        draw_stamp(alert.stamps.science)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


async def person(browser: Together, address: str, oids: list[str], faults: list[str]) -> None:
    """One session of its own that looks at its own objects and notes whatever is not as it should be."""
    context = await browser.new_context()
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    try:
        await page.goto(address)
        for oid in oids:
            box = page.get_by_label("Object id", exact=True)
            await box.fill(oid)
            await box.press("Enter")
            await page.get_by_role("heading", name=oid, exact=True).wait_for()
            await page.wait_for_selector(DONE, state="attached")
            shown = await page.locator(CONTENT).all_inner_texts()
            if shown[:1] != [oid]:
                faults.append(f"asked for {oid}, shown {shown}")
            if await page.locator("[data-testid=stException]").count():
                faults.append(f"{oid}: an exception on the page")
    except Error as error:  # playwright's: this person's trouble, to be reported with the others'
        faults.append(f"{type(error).__name__}: {str(error)[:200]}")
    finally:
        await context.close()


async def together(address: str, views: list[list[str]]) -> list[str]:
    """All people at once, in one browser with a session each; what went wrong."""
    faults: list[str] = []
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        await asyncio.gather(*(person(browser, address, oids, faults) for oids in views))
        await browser.close()
    return faults


def memory_mb(server: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{server}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def crowd(address: str, server: int, people: int, rounds: int) -> dict:
    """Several people at once, each stepping through objects of their own."""
    oids = list(demo_source().oids())
    views = [[oids[(3 * i + k) % len(oids)] for k in range(rounds)] for i in range(people)]
    before, started = memory_mb(server), time.perf_counter()
    faults = asyncio.run(together(address, views))
    return {
        "people": people,
        "switches": people * rounds,
        "seconds": round(time.perf_counter() - started, 1),
        "faults": faults,
        "memory_mb": {"before": round(before), "after": round(memory_mb(server))},
    }


def cold(folder: Path, script: str) -> dict[str, float]:
    """Stages of the explorer for a visitor who comes the moment the server answers; medians over servers."""
    with sync_playwright() as driver:
        browser, found = opened(driver), []
        for _ in range(TIMES):
            began = time.perf_counter()
            with served(folder, script) as (address, _):
                up = time.perf_counter() - began
                found.append({"server_up": up, **stages(browser, address)})
        browser.close()
    return medians(found)


def opened(driver: Playwright) -> Browser:
    """A browser that has shown a page already."""
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGS)
    browser.new_page().goto("about:blank")
    return browser


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """Median of each value."""
    return {name: round(statistics.median(row[name] for row in found), 2) for name in found[0]}


def warm(address: str, folder: str) -> dict:
    """A server that others have used: each page, the explorer's stages, 300 runs, one object after another."""
    with sync_playwright() as driver:
        browser = opened(driver)
        for at in PAGES.values():
            first_content(browser, f"{address}/{at}")
        found: dict = {"explorer_s": []}
        for _ in range(TIMES):
            time.sleep(REST_S)
            found["explorer_s"].append(stages(browser, address))
        found["explorer_s"] = {"warm": medians(found["explorer_s"])}
        found["first_content_s"] = {
            name: median_of(partial(first_content, browser, f"{address}/{at}")) for name, at in PAGES.items()
        }
        found["runs_300_s"] = median_of(partial(first_content, browser, f"{address}/runs?folder={folder}"))
        times = switches(fresh(browser), address, list(demo_source().oids())[:6])
        found["object_switch_s"] = {"median": round(statistics.median(times), 2), "worst": round(max(times), 2)}
        browser.close()
    return found


def measure(people: int, rounds: int) -> dict:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder) / "runs")
        scripts = {"unprepared": "app.py", "cold": "serve.py"}
        first = {name: cold(Path(folder), script) for name, script in scripts.items()}
        with served(Path(folder), "serve.py") as (address, process):
            found = warm(address, f"{folder}/runs")
            found["crowd"] = crowd(address, process.pid, people, rounds) if people else None
    return {"stamp_ms": round(stamp_ms(), 2), **found, "explorer_s": first | found["explorer_s"]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--switches", type=int, default=5, help="objects that each person looks at")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not CHROMIUM:
        sys.exit("no chromium on this machine: nothing can be measured")
    text = json.dumps(measure(args.people, args.switches), indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
