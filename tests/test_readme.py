"""Every example of the README is run, in its order, as a new user would; tests/test_installed.py runs its tour from a wheel."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.regress.candidate import judge
from tests import reader
from tests.browser import opened_page

ROOT = Path(__file__).resolve().parent.parent
MISSING_IS_RIGHT = ("bench doctor",)  # exit code 3 where something is not on this machine
QUICK = {
    ".venv/bin/bench run suites/low_rate.yaml": ["--limit", "2", "--set", "metrics=[mel_dac_train, stoi]"],
    "--out results/corpus": ["--limit", "1"],
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which a new user has run everything."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        _run_all(folder, monkeypatch)
        yield folder


def _run_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for linked in ("suites", "codecs", "bench"):
        (folder / linked).symlink_to(ROOT / linked)
    reader.write_files(folder)
    for command in reader.commands():
        quick = next((extra for full, extra in QUICK.items() if command.endswith(full)), [])
        arguments = shlex.split(command[command.index("bench ") :])
        monkeypatch.setattr(sys, "argv", [*arguments, *quick])
        with pytest.raises(SystemExit) as ended:
            main()
        allowed = {0, 3} if command.startswith(MISSING_IS_RIGHT) else {0}
        assert (ended.value.code or 0) in allowed, command


def test_it_is_short_and_so_is_each_block_of_its_tour() -> None:
    assert len(reader.TEXT.splitlines()) <= 220
    tour = reader.blocks(reader.TOUR)
    assert len(tour) >= 8
    assert all(len(block.strip().splitlines()) <= 12 for _, block in tour)


def test_it_says_what_nobody_may_miss() -> None:
    for told in ("A suite runs the code of the codec and metric files that it names", "Bits that count", "Bits that do not"):
        assert told in reader.TEXT
    assert re.search(r"on real speech take `wer_faster_whisper`", reader.TEXT)


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", reader.TEXT)
    titles = re.findall(r"^## (.+)$", reader.TEXT, flags=re.MULTILINE)
    anchors = {"#" + re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert [link for link in links if link.startswith("#") and link not in anchors] == []
    assert [link for link in links if not link.startswith("#") and not (ROOT / link).is_file()] == []
    paths = [
        path for path in re.findall(r"`((?:bench|codecs|suites|tests|\.github)/[\w./]+\.\w+)`", reader.TEXT) if not (ROOT / path).is_file()
    ]
    assert paths == []
    assert all((ROOT / link).stat().st_size < 300_000 for link in links if link.endswith((".png", ".svg")))


def test_the_notebook_runs(done: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run([sys.executable, "notebook.py"], cwd=done, env=environment, check=True, capture_output=True, text=True).stdout
    assert "codecslime" in shown


def test_the_examples_leave_what_the_readme_says(done: Path) -> None:
    runs = [f"results/{name}/records.parquet" for name in ("low_rate", "my_suite", "mine", "try", "corpus")]
    for made in (*runs, "results/low_rate/table.tex", "decoded.wav"):
        assert (done / made).is_file(), made


def test_the_pytest_example_passes(done: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    _, _, example = (judge.__doc__ or "").partition("In pytest:\n\n")
    (done / "test_checkpoint.py").write_text(textwrap.dedent(example), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "test_checkpoint.py"], cwd=done, env=environment, check=True)


def test_the_report_of_the_first_command_opens_in_a_browser(done: Path, browser: Any) -> None:
    with opened_page(browser, done / "reports/low_rate/index.html") as page:
        page.wait_for_selector("table tbody tr")
        assert "codecslime" in page.inner_text("table")
