"""Every example of the README is run, in its order, as a new user would."""

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

import numpy as np
import pytest
import soundfile
import torch

from bench import audio
from bench.cli import main
from bench.datasets.specs import open_dataset, parse_spec
from bench.regress.candidate import judge
from tests.browser import opened_page

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
LINES = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
COMMANDS = [line.partition("#")[0].strip() for line in LINES if "bench " in line]
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
    soundfile.write("my.wav", 0.3 * np.sin(np.arange(32000) / 15), 16000)
    torch.save({"half": 31.5}, "my.pt")
    _speech(folder)
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


def _speech(folder: Path) -> None:
    """What a reader has: originals with their texts, and outputs at another rate, in a folder of other names."""
    for name in ("originals", "my_wavs", "outputs/decoded"):
        (folder / name).mkdir(parents=True)
    texts = ["id,text"]
    for entry in open_dataset(parse_spec({"name": "bundled", "languages": ["en"], "limit": 2}), Path(), 0).entries:
        samples, sample_rate = soundfile.read(entry.path, dtype="float32")
        for place in ("originals", "my_wavs"):
            soundfile.write(folder / place / f"{entry.id}.wav", samples, sample_rate)
        (folder / "my_wavs" / f"{entry.id}.txt").write_text(entry.text or "", encoding="utf-8")
        soundfile.write(folder / "outputs/decoded" / f"{entry.id}.flac", audio.resample(samples, sample_rate, 24000).clip(-0.1, 0.1), 24000)
        texts.append(f'{entry.id},"{entry.text}"')
    (folder / "transcripts.csv").write_text("\n".join(texts), encoding="utf-8")


def test_it_is_short_and_so_is_each_block_of_its_tour() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 220
    tour = text[text.index("## Quick tour") : text.index("## What comes out")]
    assert all(len(block.strip().splitlines()) <= 12 for _, block in re.findall(r"```(\w+)\n(.*?)```", tour, flags=re.DOTALL))


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
