"""A real browser for the tests of the report's page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
]


def executable() -> str | None:
    """The installed Chromium; None for playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with playwright.sync_playwright() as started:
        if executable() is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("needs Chromium: install it, or run `playwright install chromium`")
        opened = started.chromium.launch(executable_path=executable(), args=FLAGS)
        yield opened
        opened.close()


@contextmanager
def opened_page(browser: Any, index: Path | str, **options: Any) -> Iterator[Any]:
    """The page, opened from the file system, or at an address; fails the test if it ever complains, or asks for more than files beside it.

    options   of the browser's context (color_scheme, viewport, ...)
    """
    context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    address = index if isinstance(index, str) else index.as_uri()
    here = address.rpartition("/")[0]
    opened.on("request", lambda request: request.url.startswith((here, "data:")) or wrong.append(request.url))  # type: ignore[func-returns-value]
    opened.goto(address)
    yield opened
    context.close()
    assert wrong == []
