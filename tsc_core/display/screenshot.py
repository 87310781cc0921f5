"""A picture of the explorer on the demo archive: ``python -m tsc_core.display.screenshot docs/explorer.png``."""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
PATIENCE_MS = 180_000


@contextmanager
def running_app() -> Iterator[str]:
    """The app in a process of its own; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    command += ["--server.headless", "true", "--server.address", "127.0.0.1"]
    server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2)
                break
            except OSError:
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def take(address: str, out: Path, theme: str = "light", width: int = 1280, height: int = 1480) -> None:
    """Wait until the page at an address is drawn, and write it as PNG."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGS))
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        page.wait_for_selector("[data-testid=stMetricValue]")
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", state="attached")
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 2")
        page.wait_for_timeout(1500)
        page.screenshot(path=str(out), timeout=PATIENCE_MS)
        browser.close()


def main(argv: list[str] | None = None) -> int:
    """Take the picture; 1 where there is no chromium."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--view", default="oid=DEMO12", help="the part of the address after the question mark")
    args = parser.parse_args(argv)
    if not CHROMIUM:
        print("no chromium on this machine: no picture", file=sys.stderr)
        return 1
    with running_app() as address:
        take(f"{address}/?{args.view}", args.out, args.theme)
    return 0


if __name__ == "__main__":
    sys.exit(main())
