"""CPU time, memory, size and speed of the report of small and large runs: python -m tests.benchmarks.report [DESIGN...]

Each design is one synthetic run; `bench report` of it runs in a process of its own, and its page is opened in Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.runs import METRICS, Codecs, run_info, synthetic_records, write_run

KINDS = ("fixed", "dynamic", "classical", "dynamic")


@dataclass(frozen=True)
class Design:
    """Points, data and metrics of one run, and what its report may cost.

    points      of each codec
    metrics     those of tests.runs, then copies of them with noise of their own, as many as are asked for
    scopes      parts that the page tells apart, with the whole: data sets, or else the languages of tests.runs
    listening   utterances with audio
    cpu_s, peak_mb, page_mb, open_s, sort_ms   the most that it may take
    """

    points: tuple[int, ...]
    utterances: int
    speakers: int
    metrics: int = len(METRICS)
    data_sets: int = 1
    listening: int = 0
    cpu_s: float = 60.0
    peak_mb: float = 1000.0
    page_mb: float = 5.0
    open_s: float = 2.0
    sort_ms: float = 200.0


DESIGNS = {
    "default": Design(points=(1, 1, 1, 4, 1, 3, 1, 1), utterances=96, speakers=14, metrics=8, listening=30, cpu_s=5.0),
    "wide": Design(points=(3,) * 50, utterances=400, speakers=60, metrics=60, data_sets=5, cpu_s=60.0),
    "long": Design(points=(4,) * 10, utterances=5000, speakers=200, cpu_s=30.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("designs", nargs="*", metavar="DESIGN", help=f"of {', '.join(DESIGNS)}; by default all")
    parser.add_argument("--keep", type=Path, help="folder in which runs and reports stay")
    arguments = parser.parse_args()
    if unknown := set(arguments.designs) - set(DESIGNS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(DESIGNS)}")
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.designs or DESIGNS:
            measure(name, DESIGNS[name], (arguments.keep or Path(scratch)) / name)


def measure(name: str, design: Design, folder: Path) -> None:
    run = make_design(design, folder / "run")
    records = pd.read_parquet(run / "records.parquet", columns=["codec"])
    scopes = 1 + (design.data_sets if design.data_sets > 1 else 3)
    print(f"{name}: {len(records)} records, {sum(design.points)} points and the original, {design.metrics} metrics, {scopes} scopes")
    index = folder / "report" / "index.html"
    cpu_s, peak_mb = _command([sys.executable, "-m", "bench", "report", str(run), "--out", str(index.parent)])
    _tell("bench report, CPU", cpu_s, "s", design.cpu_s)
    _tell("bench report, peak memory", peak_mb, "MB", design.peak_mb)
    at_open = [index, *(index.parent / "assets").iterdir(), index.parent / "data/report.js"]
    _tell("page before a click", sum(path.stat().st_size for path in at_open) / 1e6, "MB", design.page_mb)
    beside = [path for path in (index.parent / "data").iterdir() if path not in at_open]
    _tell("data loaded when asked for", sum(path.stat().st_size for path in beside) / 1e6, "MB")
    _open(index, design)


def make_design(design: Design, folder: Path) -> Path:
    """The folder of a finished run of that size; as it is where it is there already."""
    if (folder / "run.json").is_file():
        return folder
    codecs: Codecs = {
        "reference": ("ceiling", {"original": (0.0, 0)}),
        **{
            f"codec_{n}": (KINDS[n % 4], {f"{12.5 * 2**p:g}hz": (12.5 * 2**p + n, 1) for p in range(points)})
            for n, points in enumerate(design.points)
        },
    }
    records = synthetic_records(design.utterances, design.speakers, codecs=codecs)
    records["family"] = np.where(records["codec"] == "codec_0", "fixed", "")
    if design.data_sets > 1:
        number = records["utterance"].str[-5:].astype(int)
        records["dataset"] = "set_" + (number % design.data_sets).astype(str)
        records["language"] = "en"
    info = run_info(codecs)
    rng = np.random.default_rng(1)
    added: dict[str, Any] = {}
    sources = [name for name, each in METRICS.items() if not (each.diagnostic or each.corpus_ratio)]
    for number in range(design.metrics - len(METRICS)):
        source = sources[number % len(sources)]
        name = f"{source}_{number}"
        added[name] = records[source] * (1 + 0.05 * rng.normal(size=len(records)))
        info["metrics"][name] = asdict(replace(METRICS[source], name=name))
    info["metrics"] = dict(list(info["metrics"].items())[: design.metrics])
    info["suite"]["compare"]["baseline"] = f"codec_0@{12.5:g}hz"
    records = pd.concat([records, pd.DataFrame(added)], axis=1)
    return write_run(folder, records, info, audio_utterances=design.listening)


def _command(arguments: list[str]) -> tuple[float, float]:
    """CPU seconds and peak memory (MB) of a command that has to succeed."""
    pid = os.posix_spawn(arguments[0], arguments, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)}: exit code {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def _tell(what: str, value: float, unit: str, limit: float | None = None) -> None:
    over = "" if limit is None else f"   {'within' if value <= limit else 'OVER'} {limit:g}"
    print(f"  {what:32}{value:9.2f} {unit:3}{over}", flush=True)


def _open(index: Path, design: Design) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        started = time.perf_counter()
        page.goto(index.as_uri())
        page.wait_for_selector("#leaderboard .board tbody tr")
        _tell("page opens in", time.perf_counter() - started, "s", design.open_s)
        took = """(selector) => new Promise((done) => {
            const started = performance.now();
            document.querySelector(selector).click();
            requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
        })"""
        sorts = sorted(page.evaluate(took, "#leaderboard .board button.sorter[data-column*=pesq_wb]") for _ in range(9))
        _tell("sorts in, median of 9", sorts[4], "ms", design.sort_ms)
        for view, ready in (
            ("curves", "#curves .dot"),
            ("rates", "#rates .stack"),
            ("listen", "#listen .utterance"),
            ("compare", "#scatter .dot"),
        ):
            started = time.perf_counter()
            page.evaluate(f"location.hash = 'view={view}'")
            if view == "listen" and not design.listening:
                page.get_by_label("with audio only").uncheck()
            page.wait_for_selector(ready)
            _tell(f"{view} in", time.perf_counter() - started, "s")
        browser.close()


if __name__ == "__main__":
    main()
