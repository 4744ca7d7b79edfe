"""The picture of the report that README shows: `python -m tests.screenshot REPORT` writes reports/report.png, with Chromium."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import FLAGS, executable

PICTURE = Path(__file__).resolve().parent.parent / "reports/report.png"


def take(report: Path) -> None:
    """The leaderboard of the page, in light colours."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1090}, color_scheme="light")
        page.goto((report.resolve() / "index.html").as_uri())
        page.wait_for_selector("table tbody tr")
        page.evaluate("document.getElementById('leaderboard-title').scrollIntoView()")
        page.screenshot(path=str(PICTURE))
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
