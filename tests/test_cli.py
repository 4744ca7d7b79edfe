"""The command: its exit codes, and what a user's mistakes look like."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from bench.cli import app, main
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


COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
EVERY = {**COMMANDS, "baseline save": COMMANDS["baseline"].commands["save"]}
del EVERY["baseline"]


@pytest.mark.parametrize("name", EVERY)
def test_the_help_of_every_command_ends_with_an_example_that_it_takes(name: str) -> None:
    epilog = EVERY[name].epilog
    assert epilog.startswith(f"Example: bench {name} ")
    arguments = shlex.split(epilog.removeprefix(f"Example: bench {name} "))
    context = EVERY[name].make_context(name, arguments)
    assert all(context.params[each.name] is not None for each in EVERY[name].params if each.required)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("run low", {"low_rate"}),
        ("run papers/tfc", {"papers/tfc_table1", "papers/tfc_vfr"}),
        ("run low_rate --metrics stoi,pesq_w", {"stoi,pesq_wb"}),
        ("list co", {"codecs", "corpora"}),
        ("check codecsl", {"codecslime"}),
        ("encode a b --codec dac_1", {"dac_16k"}),
        ("export r --to te", {"tensorboard"}),
        ("listen r --test a", {"abx"}),
        ("fetch published", {"published_samples"}),
        ("train codecslime_vq8k_me", {"codecslime_vq8k_melt"}),
    ],
)
def test_the_shell_completes_names(words: str, found: set[str]) -> None:
    words = f"bench {words}"
    asked = {"_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    shown = CliRunner().invoke(app, [], prog_name="bench", env=asked)
    assert set(shown.output.split()) == found, shown.output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("run", "no_such.yaml"), 2, "no_such.yaml: No such file or directory"),
        (("run", SMOKE, "--set", "metrics=[peqs_wb]"), 2, "did you mean 'pesq_wb'?"),
        (("run", SMOKE, "--engine", "slurm"), 2, "--engine 'slurm' unknown"),
        (("run", SMOKE, "--device", "cuda:99"), 3, "--device cuda"),
        (("run", SMOKE, "--set", "codecs=[encodec_24k]"), 3, "get it with:"),
        (("run", SMOKE, "--set", "codecs=[{codec: encodec_24k}]"), 3, "get it with:"),
        (("report", "no_such_run"), 2, "no_such_run: no finished run"),
        (("compare", "no_such_run"), 2, "no_such_run: no finished run"),
        (("run", __file__), 2, "is no suite, which is a .yaml file"),
        (("check", SMOKE), 2, "smoke.yaml': is no Python file, such as my_codec.py"),
        (("fetch", '{"hf": 5}'), 2, '{"hf": 5}: hf: Input should be a valid string'),
        (("fetch", "published_sample"), 2, "did you mean 'published_samples'?"),
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


OWN = {
    "broken.py": ("x = 1\ndef f(:\n", 2, "broken.py:2: SyntaxError"),
    "imports.py": ("import no_such_package\n", 2, "imports.py:1: ModuleNotFoundError"),
    "half.py": ("VERSION = 1\n", 2, "half.py: a codec needs `INFO`"),
    "raises.py": (
        "from bench.codecs.pcm import INFO, POINTS, VERSION, needs, point\ndef load(checkpoint, device):\n    return checkpoint.no_such\n",
        1,
        "FAIL  loads: AttributeError: 'NoneType' object has no attribute 'no_such'",
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_a_codec_file_that_is_wrong_is_one_line_in_check_encode_and_decode(name, bench) -> None:
    code, exit_code, told = OWN[name]
    Path(name).write_text(code)
    soundfile.write("in.wav", np.zeros(2400), 24000)
    bench("encode", "in.wav", "in.scb", "--codec", "pcm", "--point", "16bit_24khz")
    done = bench("check", name)
    assert done.code == exit_code
    assert told in done.err + done.out
    assert "Traceback" not in done.err + done.out
    for call in (("encode", "in.wav", "x.scb", "--codec", name, "--point", "16bit_24khz"), ("decode", "in.scb", "x.wav", "--codec", name)):
        if exit_code == 2:
            done = bench(*call)
            assert (done.code, told in done.err) == (2, True)
            assert len(done.err.splitlines()) == 1


OUT = {
    "a file": ("taken", "a file is in its place"),
    "below a file": ("taken/deep/er", "a file is in its place"),
    "not writable": ("/proc/out", "/proc/out"),
}


@pytest.mark.parametrize("case", OUT)
def test_a_folder_of_results_that_cannot_be_is_told_before_any_work(case, bench) -> None:
    out, told = OUT[case]
    Path("taken").touch()
    done = bench("run", SMOKE, "--out", out)
    assert done.code == 2
    assert told in done.err
    assert len(done.err.splitlines()) == 1


def test_what_encode_and_decode_cannot_write_or_take_is_one_line(bench) -> None:
    soundfile.write("in.wav", np.zeros(2400), 24000)
    pcm = ("--codec", "pcm", "--point", "16bit_24khz")
    assert bench("encode", "in.wav", "in.scb", *pcm).code == 0
    Path("taken").touch()
    Path("folder.wav").mkdir()
    Path("here.pt").touch()
    os.mkfifo("pipe")
    calls = {
        "suffix 'xyz' unknown": ("decode", "in.scb", "out.xyz"),
        "suffix '' unknown": ("decode", "in.scb", "out"),
        "folder.wav: is a folder": ("decode", "in.scb", "folder.wav"),
        "taken/out.wav: cannot be written": ("decode", "in.scb", "taken/out.wav"),
        "taken/x.scb: cannot be written": ("encode", "in.wav", "taken/x.scb", *pcm),
        "/dev/zero: is no regular file": ("decode", "/dev/zero", "out.wav"),
        "folder.wav: is no regular file": ("decode", "folder.wav", "out.wav"),
        "pipe: is no regular file": ("decode", "pipe", "out.wav"),
        "no_such.wav: is not there": ("encode", "no_such.wav", "x.scb", *pcm),
        "codec 'reference' has no sample rate": ("encode", "in.wav", "x.scb", "--codec", "reference", "--point", "original"),
        "--checkpoint no_such.pt: codec 'pcm' takes no checkpoint": ("encode", "in.wav", "x.scb", *pcm, "--checkpoint", "no_such.pt"),
        "--checkpoint here.pt: codec 'opus' takes no checkpoint": ("check", "opus", "--checkpoint", "here.pt"),
    }
    for told, call in calls.items():
        done = bench(*call)
        assert (done.code, told in done.err) == (2, True), done
        assert len(done.err.splitlines()) == 1
    assert not Path("x.scb").exists()


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


def test_a_run_into_a_pipe_begins_with_what_is_planned_and_what_is_there(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.build.written", lambda *_: "")
    first, again = (bench("run", SMOKE, "--limit", "1", "--jobs", "1").out for _ in range(2))
    assert first.startswith("planned: 3 points × 1 utterance × 2 metrics; there already: 0 records\n")
    assert again.startswith("planned: 3 points × 1 utterance × 2 metrics; there already: 3 records\n")
    assert "\x1b" not in first


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


@pytest.mark.parametrize(("broken", "told"), [("load", "load: Zero"), ("encode", "encode: Zero"), ("decode", "encode: Zero")])
def test_a_codec_of_ones_own_that_raises_is_one_line_with_its_own_place(broken: str, told: str, bench, tmp_path) -> None:
    lines = {"load": "pass", "encode": "pass", "decode": "pass"} | {broken: "1 / 0"}
    text = (
        "from bench.simple import codec\n\n@codec(sample_rate=8000, hop_length=1, codebook_size=64)\nclass Own:\n"
        f"    def __init__(self):\n        {lines['load']}\n"
        f"    def encode(self, audio):\n        {lines['encode']}\n        return ((audio + 1) * 31).long()\n"
        f"    def decode(self, tokens):\n        {lines['decode']}\n        return tokens[0] / 31 - 1\n"
    )
    (tmp_path / "own.py").write_text(text, encoding="utf-8")
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(8000) / 9), 8000)
    done = bench("encode", "a.wav", "a.scb", "--codec", "own.py")
    number = 1 + text.splitlines().index("        1 / 0")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert told in done.err
    assert f"(own.py:{number})" in done.err


def test_every_verb_and_every_option_says_what_it_does() -> None:
    def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            yield f"{path} {name}", command
            yield from commands(command, f"{path} {name}") if hasattr(command, "commands") else ()

    root = typer.main.get_command(app)
    silent = [
        f"{path} {parameter.name}"
        for path, command in commands(root, "bench")
        for parameter in command.params
        if not getattr(parameter, "help", "")
    ]
    assert silent == []
    first_lines = {path: (command.help or "").partition("\n")[0] for path, command in commands(root, "bench")}
    assert {path: line for path, line in first_lines.items() if not 0 < len(line) <= 64} == {}  # longer ones are cut in `bench --help`
