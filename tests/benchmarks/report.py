"""Time and size of the report of a large run, built and opened in Chromium: python -m tests.benchmarks.report [--utterances N]"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from bench.analysis.summary import summary
from bench.report.build import build
from bench.report.merge import merge
from tests.runs import Codecs, run_info, synthetic_records, write_run

KINDS = ("fixed", "dynamic", "classical", "dynamic")
CODECS: Codecs = {
    "reference": ("ceiling", {"original": (0.0, 0)}),
    **{f"codec_{n}": (KINDS[n % 4], {f"{rate}hz": (12.5 * rate + n, 1) for rate in (1, 2, 4, 8)}) for n in range(10)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=5000, help="of each of the 40 points")
    parser.add_argument("--speakers", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        records = synthetic_records(arguments.utterances, arguments.speakers, codecs=CODECS)
        run = write_run(Path(scratch) / "run", records, run_info(CODECS))
        print(f"{len(records)} records, {len(CODECS)} codecs")
        merged = merge([run])
        started = time.perf_counter()
        summary(merged.records, merged.metrics)
        print(f"{'summary':28}{time.perf_counter() - started:8.1f} s")
        started = time.perf_counter()
        index = build([run], Path(scratch) / "report")
        print(f"{'report':28}{time.perf_counter() - started:8.1f} s")
        at_start = [index, *(index.parent / "assets").iterdir(), index.parent / "data/report.js"]
        print(f"{'page before a click':28}{sum(path.stat().st_size for path in at_start) / 1e6:8.2f} MB")
        everything = [*at_start, *(index.parent / "data").iterdir()]
        print(f"{'page with all its data':28}{sum(path.stat().st_size for path in set(everything)) / 1e6:8.2f} MB")
        _open(index)


def _open(index: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        started = time.perf_counter()
        page.goto(index.as_uri())
        page.wait_for_selector("#leaderboard tbody tr")
        print(f"{'opens in':28}{time.perf_counter() - started:8.2f} s")
        took = """(selector) => new Promise((done) => {
            const started = performance.now();
            document.querySelector(selector).click();
            requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
        })"""
        sorts = sorted(page.evaluate(took, "#leaderboard th:nth-child(8) .sorter") for _ in range(9))
        print(f"{'sorts in (median, slowest)':28}{sorts[4]:8.0f} ms {sorts[-1]:8.0f} ms")
        for view, ready in (
            ("curves", "#curves .dot"),
            ("rates", "#rates .stack"),
            ("listen", "#listen .utterance"),
            ("compare", "#scatter .dot"),
        ):
            started = time.perf_counter()
            page.evaluate(f"location.hash = 'view={view}'")
            if view == "listen":
                page.get_by_label("with audio only").uncheck()
            page.wait_for_selector(ready)
            print(f"{view + ' in':28}{time.perf_counter() - started:8.2f} s")
        browser.close()


if __name__ == "__main__":
    main()
