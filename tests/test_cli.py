"""The command: its exit codes, and what a user's mistakes look like."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from bench.cli import main
from tests.toys import comparable

ROOT = Path(__file__).resolve().parent.parent
SMOKE = ROOT / "suites" / "smoke.yaml"
COMMAND = [sys.executable, "-m", "bench"]


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """The command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    return call


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("run", "no_such.yaml"), 2, "no_such.yaml: No such file or directory"),
        (("run", SMOKE, "--set", "metrics=[peqs_wb]"), 2, "did you mean 'pesq_wb'?"),
        (("run", SMOKE, "--engine", "slurm"), 2, "--engine 'slurm' unknown"),
        (("run", SMOKE, "--device", "cuda:99"), 3, "--device cuda"),
        (("run", SMOKE, "--set", "codecs=[encodec_24k]"), 2, "codecs"),
        (("run", SMOKE, "--set", "codecs=[{codec: encodec_24k}]"), 3, "get it with:"),
        (("report", "no_such_run"), 2, "no_such_run: no finished run"),
        (("compare", "no_such_run"), 2, "no_such_run: no finished run"),
        (("list", "codec"), 2, "did you mean 'codecs'?"),
        (("check", "opsu"), 2, "did you mean 'opus'?"),
        (("decode", SMOKE, "out.wav"), 2, "not a file of `bench encode`"),
        (("encode", SMOKE, "out", "--codec", "opus", "--point", "6kbps"), 2, "smoke.yaml"),
        (("encode", SMOKE, "out", "--codec", "opus", "--point", "25kbps"), 2, "did you mean '24kbps'?"),
    ],
    ids=lambda value: " ".join(Path(str(part)).name for part in value) if isinstance(value, tuple) else None,
)
def test_a_mistake_is_one_clear_line_and_an_exit_code(arguments, code, told, bench, tmp_path) -> None:
    done = bench(*arguments)
    assert done.code == code
    assert told in done.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("what", ["codecs", "points", "metrics", "datasets"])
def test_lists_say_what_can_run_here(what, bench) -> None:
    listed = bench("list", what)
    assert listed.code == 0
    rows = json.loads(bench("list", what, "--json").out)
    assert len(rows) == len(listed.out.splitlines()) - 1 > 10
    if what == "codecs":
        here = {row["codec"]: row["here"] for row in rows}
        assert here["opus"]
        assert here["codecslime"]  # its small checkpoint comes with the project


def test_encode_and_decode_are_a_round_trip(bench) -> None:
    samples = np.sin(np.arange(24000) / 20) * 0.3
    soundfile.write("in.wav", samples, 24000)
    encoded = bench("encode", "in.wav", "in.scb", "--codec", "pcm", "--point", "16bit_24khz")
    assert (encoded.code, encoded.err) == (0, "")
    assert "384 kbps" in encoded.out
    assert bench("decode", "in.scb", "out.wav").code == 0
    decoded, rate = soundfile.read("out.wav")
    assert rate == 24000
    assert np.abs(decoded - samples).max() < 2**-14


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run([*COMMAND, "run", str(SMOKE)], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "opus" in done.stdout
    assert (folder / "reports/smoke/index.html").is_file()
    return folder


def test_a_run_killed_five_times_ends_with_the_same_records(undisturbed: Path, tmp_path: Path) -> None:
    moments = random.Random(5)
    journal = tmp_path / "results/smoke/journal"
    for _ in range(5):
        process = subprocess.Popen(
            [*COMMAND, "run", str(SMOKE)], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, start_new_session=True
        )
        lines = _lines(journal) + moments.randint(0, 2)
        while _lines(journal) < lines and process.poll() is None:
            time.sleep(0.02)
        time.sleep(moments.random() * 0.3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*COMMAND, "run", str(SMOKE)], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, check=True)
    ended, expected = (pd.read_parquet(folder / "results/smoke/records.parquet") for folder in (tmp_path, undisturbed))
    pd.testing.assert_frame_equal(comparable(ended), comparable(expected))


def _lines(journal: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in journal.glob("*.jsonl"))


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def test_help_does_not_load_the_heavy_parts() -> None:
    code = "import sys, bench.cli; print({'torch', 'pandas', 'transformers', 'numba', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_codecs_folder_is_importable_through_its_link() -> None:
    assert (ROOT / "bench" / "codecs").is_symlink()
    assert importlib.util.find_spec("bench.codecs.opus") is not None
    assert not (ROOT / "codecs" / "__init__.py").exists()
