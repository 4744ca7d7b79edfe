"""Every example of the README is run, in its order, as a new user would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bench.cli import main
from tests.browser import opened_page

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
LINES = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
COMMANDS = [line.partition("#")[0].strip() for line in LINES if "bench " in line]
MISSING_IS_RIGHT = ("bench doctor",)  # exit code 3 where something is not on this machine
QUICK = {
    ".venv/bin/bench run suites/low_rate.yaml": ["--limit", "2", "--set", "metrics=[mel_dac_train, stoi]"],
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
    soundfile.write("my.wav", 0.3 * np.sin(np.arange(32000) / 15), 16000)
    for language, text in BLOCKS:
        if language in {"yaml", "python"} and (name := re.match(r"# (\S+\.(?:yaml|py))\n", text)):
            Path(name[1]).write_text(text, encoding="utf-8")
    for command in COMMANDS:
        quick = next((extra for full, extra in QUICK.items() if command.endswith(full)), [])
        arguments = shlex.split(command[command.index("bench ") :])
        monkeypatch.setattr(sys, "argv", [*arguments, *quick])
        with pytest.raises(SystemExit) as ended:
            main()
        allowed = {0, 3} if command.startswith(MISSING_IS_RIGHT) else {0}
        assert (ended.value.code or 0) in allowed, command


def test_the_examples_leave_what_the_readme_says(done: Path) -> None:
    for made in ("results/low_rate/records.parquet", "results/low_rate/table.tex", "results/my_suite/records.parquet", "decoded.wav"):
        assert (done / made).is_file(), made


def test_the_pytest_example_passes(done: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "pytest", "-q", "test_checkpoint.py"], cwd=done, env=environment, check=True)


def test_the_report_of_the_first_command_opens_in_a_browser(done: Path, browser: Any) -> None:
    with opened_page(browser, done / "reports/low_rate/index.html") as page:
        page.wait_for_selector("table tbody tr")
        assert "codecslime" in page.inner_text("table")
