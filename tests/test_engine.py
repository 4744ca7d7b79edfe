"""Codecs and metrics run in processes of their own, whatever they do there; what dies or hangs costs its cell, and only that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.record import failures_of
from bench.run import session
from bench.run.engine import LocalEngine
from bench.run.process import CALL, LOAD, Beat
from bench.run.session import Options
from bench.suite import load_suite
from tests import toys
from tests.toys import comparable

ROOT = Path(__file__).resolve().parent.parent
CODEC = """
import os, signal, sys, time
import numpy as np
import torch
from bench.codec import CodecInfo, Encoded, OperatingPoint, Stream

INFO = CodecInfo("fixed", "Trouble", "Apache-2.0")
VERSION = 1
NAMES = ["fine", "exits", "quits", "dies", "interrupts", "unprintable", "forks", "hangs", "meddles", "raises", "shares_threads"]
POINTS = {name: OperatingPoint(name, 8000.0, 1, {"trouble": number}) for number, name in enumerate(NAMES)}


def point(**settings):
    raise ValueError("no settings")


def needs(checkpoint):
    return []


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("even this")


class Codec:
    sample_rate, hop_length, parameters, weights_sha256 = 8000, 1, 0, ""

    def analyse(self, audio):
        return audio

    def encode(self, latent, point):
        trouble = {
            "exits": lambda: sys.exit(0),
            "quits": lambda: os._exit(0),
            "dies": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "interrupts": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
            "unprintable": lambda: (_ for _ in ()).throw(Unprintable()),
            "forks": lambda: os.fork(),
            "hangs": lambda: time.sleep(600),
            "meddles": meddle,
            "raises": lambda: 1 / 0,
        }
        trouble.get(point.name, lambda: None)()
        tokens = ((latent.clamp(-1, 1) + 1) * 31.5).round().long()
        return Encoded((Stream(tokens[None], (64,)),), len(latent))

    def decode(self, encoded):
        return encoded.streams[0].tokens[0].float() / 31.5 - 1


def meddle():
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    np.seterr(all="raise")
    os.chdir("/")


def load(checkpoint, device):
    return Codec()
"""
SUITE = """
name: trouble
datasets: [{manifest: manifest.jsonl, limit: 2}]
codecs: [{codec: trouble.py, points: [%s]}]
metrics: [mel_dac_train, stft_dac]
"""


def suite_of(folder: Path, *points: str, codec: str = CODEC) -> Path:
    if not (folder / "manifest.jsonl").exists():
        toys.corpus(folder)
    (folder / "trouble.py").write_text(codec, encoding="utf-8")
    (folder / "suite.yaml").write_text(SUITE % ", ".join(points), encoding="utf-8")
    return folder / "suite.yaml"


def score(folder: Path, *points: str, jobs: int = 2, timeout_s: float = 600, codec: str = CODEC) -> pd.DataFrame:
    suite = load_suite(suite_of(folder, *points, codec=codec))
    return session.score(suite, Options(folder / "results" / "run", jobs=jobs, timeout_s=timeout_s), Console(quiet=True))


def reasons(frame: pd.DataFrame, point: str) -> set[str]:
    rows = frame[frame["point"] == point]
    return {reason.partition(" [errors/")[0] for failures in failures_of(rows) for reason in failures.values()}


def line_of(text: str) -> str:
    return f"(trouble.py:{1 + CODEC.split(chr(10)).index(next(line for line in CODEC.split(chr(10)) if text in line))})"


TROUBLE = {
    "exits": f"SystemExit: 0 {line_of('sys.exit')}",
    "quits": "the worker process died on it (out of memory, or a crash in a native library)",
    "dies": "the worker process died on it (out of memory, or a crash in a native library)",
    "interrupts": f"KeyboardInterrupt {line_of('throw(KeyboardInterrupt')}",
    "unprintable": f"Unprintable: its message cannot be printed {line_of('throw(Unprintable')}",
    "raises": f"ZeroDivisionError: division by zero {line_of('1 / 0')}",
}


def test_whatever_a_codec_does_is_a_recorded_failure_of_its_cell(tmp_path) -> None:
    frame = score(tmp_path, "fine", *TROUBLE)
    assert {point: reasons(frame, point) for point in TROUBLE} == {point: {reason} for point, reason in TROUBLE.items()}
    fine = frame[frame["point"].isin(["fine", "original"])]
    assert fine["mel_dac_train"].notna().all()
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "results/run/errors").iterdir()]
    assert any("ZeroDivisionError" in text and "trouble.py" in text for text in texts)


def test_in_one_process_all_but_a_kill_is_survived(tmp_path) -> None:
    survived = {**TROUBLE, "quits": f"SystemExit: os._exit(0) {line_of('os._exit')}"}
    del survived["dies"]
    before = os.getcwd(), signal.getsignal(signal.SIGINT), np.geterr()
    frame = score(tmp_path, "fine", "meddles", *survived, jobs=1)
    assert {point: reasons(frame, point) for point in survived} == {point: {reason} for point, reason in survived.items()}
    assert frame[frame["point"].isin(["fine", "meddles"])]["mel_dac_train"].notna().all()
    assert (os.getcwd(), signal.getsignal(signal.SIGINT), np.geterr()) == before


def test_in_one_process_results_go_where_they_belong_and_a_child_has_no_part_in_the_run(tmp_path) -> None:
    suite_of(tmp_path, "meddles", "forks")
    command = [sys.executable, "-m", "bench", "run", "suite.yaml", "--jobs", "1", "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: ") == 1
    assert len(list((tmp_path / "run/audio").rglob("*.flac"))) == 6
    assert len(list((tmp_path / "run/journal").glob("*.jsonl"))) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("None", "decode gave NoneType, which is no tensor"),
        ("torch.zeros(encoded.num_samples).numpy()", "decode gave ndarray, which is no tensor"),
        ("torch.zeros(encoded.num_samples).long()", "decode gave torch.int64, audio is floating point in [-1, 1]"),
        ("torch.zeros(encoded.num_samples) + 1j", "decode gave torch.complex64, audio is floating point in [-1, 1]"),
    ],
)
def test_what_is_no_audio_is_a_recorded_failure(given, told, tmp_path) -> None:
    frame = score(
        tmp_path, "fine", jobs=1, codec=CODEC.replace("return encoded.streams[0].tokens[0].float() / 31.5 - 1", f"return {given}")
    )
    assert reasons(frame, "fine") == {told}


def test_what_a_codec_does_to_its_input_is_not_done_to_the_reference(tmp_path) -> None:
    scores = []
    for name, returned in (("copy", "audio * 0.5"), ("in_place", "audio.mul_(0.5)")):
        (tmp_path / name).mkdir()
        frame = score(tmp_path / name, "fine", jobs=1, codec=CODEC.replace("return audio", f"return {returned}"))
        scores.append(frame["mel_dac_train"].tolist())
    assert scores[0] == scores[1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_call_that_hangs_is_a_recorded_failure(jobs, tmp_path) -> None:
    frame = score(tmp_path, "fine", "hangs", jobs=jobs, timeout_s=8)
    assert reasons(frame, "hangs") == {"did not end within 8 s (see --timeout)"}
    assert frame[frame["point"] == "fine"]["mel_dac_train"].notna().all()


def test_a_call_may_take_as_long_as_it_likes(tmp_path) -> None:
    assert not any(failures_of(score(tmp_path, "fine", jobs=1, timeout_s=float("inf"))))


FATAL = """
import os
from bench.simple import metric


@metric(unit="", higher_is_better=True, sample_rate=8000)
def fatal(reference, degraded, sample_rate):
    "Ends its process where the audio is not what went in."
    if abs(reference - degraded).max() > 1e-3:
        os._exit(1)
    return 1.0
"""


def test_a_metric_that_ends_its_worker_costs_its_own_column_alone(tmp_path) -> None:
    suite = suite_of(tmp_path, "fine")
    (tmp_path / "fatal.py").write_text(FATAL, encoding="utf-8")
    suite.write_text(suite.read_text(encoding="utf-8").replace("stft_dac", "fatal.py"), encoding="utf-8")
    frame = session.score(load_suite(suite), Options(tmp_path / "results/run", jobs=2), Console(quiet=True))
    assert frame["mel_dac_train"].notna().all()
    fine = frame[frame["codec"] == "trouble"]
    assert fine["fatal"].isna().all()
    assert [list(failures) for failures in failures_of(fine)] == [["fatal"]] * 2
    assert reasons(frame, "fine") == {TROUBLE["dies"]}
    assert (fine["bitrate"] > 0).all()
    assert frame.loc[frame["codec"] != "trouble", "fatal"].eq(1.0).all()


def test_a_codec_that_forks_or_meddles_changes_nothing_for_others(tmp_path) -> None:
    frame = score(tmp_path, "forks", "meddles", "fine")
    assert not any(failures_of(frame))
    alone = score(tmp_path / "elsewhere", "fine") if (tmp_path / "elsewhere").mkdir() is None else frame
    rows = [comparable(each[each["point"] == "fine"])[["mel_dac_train", "stft_dac"]] for each in (frame, alone)]
    pd.testing.assert_frame_equal(*(each.reset_index(drop=True) for each in rows))


CHEATS = {
    "keeps the audio in itself": ("self.kept = latent", "return self.kept"),
    "keeps it in its module": ("globals().update(KEPT=latent)", "return KEPT"),
    "keeps a table from lengths to audio": ("TABLE[len(latent)] = latent", "return TABLE[encoded.num_samples]"),
}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("cheat", CHEATS)
def test_a_codec_that_keeps_the_audio_is_refused(cheat, jobs, tmp_path) -> None:
    keep, give = CHEATS[cheat]
    codec = CODEC.replace("trouble.get(point.name, lambda: None)()", keep).replace(
        "return encoded.streams[0].tokens[0].float() / 31.5 - 1", give
    )
    codec = codec.replace("class Codec:", "TABLE = {}\n\n\nclass Codec:").replace("tokens[None]", "tokens[None, :1]")
    for _ in range(2):  # what it left behind does not make it honest
        frame = score(tmp_path, "fine", jobs=jobs, codec=codec)
        assert len(refused := reasons(frame, "fine")) == 1
        assert "a second decoder, in another process," in refused.pop()
        assert frame[frame["point"] == "fine"]["mel_dac_train"].isna().all()


SCRIPT = """
from pathlib import Path
from rich.console import Console
from bench.run.session import Options, score
from bench.suite import load_suite
frame = score(load_suite(Path("suite.yaml")), Options(Path("out/run"), jobs=2), Console())
print(len(frame), int(frame["mel_dac_train"].count()))
"""


@pytest.mark.parametrize("how", ["script", "standard input"])
def test_a_script_without_a_main_guard_works(how, tmp_path) -> None:
    suite_of(tmp_path, "fine")
    (tmp_path / "nightly.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "nightly.py"] if how == "script" else [sys.executable, "-"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, input=SCRIPT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[-2:]) == (0, ["4", "4"]), done.stderr


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench", "run", "suite.yaml", "--jobs", "2", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background job ignores
    )


def until(condition: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def workers_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"parent={pid})".encode() in path.read_bytes() or f", {pid})".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_workers_end_with_their_parent_even_under_a_hanging_codec(number, tmp_path) -> None:
    suite_of(tmp_path, "hangs")
    process = started(tmp_path)
    until(lambda: len(workers_of(process.pid)) == 2, 120)
    workers = workers_of(process.pid)
    time.sleep(8)  # they are in the codec by then
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)  # 5 s are promised, of a machine that does nothing else
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "goes on from there" in out


def test_workers_killed_while_idle_are_replaced(tmp_path) -> None:
    suite = load_suite(suite_of(tmp_path, "fine"))
    engine = LocalEngine([], 2)
    session.score(suite, Options(tmp_path / "a" / "run"), Console(quiet=True), engine)
    for process in engine._processes:
        if process.process is not None:
            process.process.kill()
            process.process.wait()
    frame = session.score(suite, Options(tmp_path / "b" / "run"), Console(quiet=True), engine)
    engine.close()
    assert not any(failures_of(frame))


@pytest.mark.parametrize("cheats", [False, True])
def test_one_process_alone_is_begun_anew_to_check_its_streams(cheats, tmp_path) -> None:
    keep, give = CHEATS["keeps it in its module"]
    codec = CODEC.replace("trouble.get(point.name, lambda: None)()", keep).replace(
        "return encoded.streams[0].tokens[0].float() / 31.5 - 1", give
    )
    suite = load_suite(suite_of(tmp_path, "fine", codec=codec.replace("tokens[None]", "tokens[None, :1]") if cheats else CODEC))
    engine = LocalEngine([], 1)
    frame = session.score(suite, Options(tmp_path / "run"), Console(quiet=True), engine)
    engine.close()
    assert any("a second decoder" in reason for reason in reasons(frame, "fine")) == cheats


def test_with_a_device_codecs_run_there_and_metrics_on_the_cores(tmp_path) -> None:
    codec = CODEC.replace("return audio", "open('device.txt', 'a').write(f'{len(audio)} {self.device}\\n'); return audio").replace(
        "return Codec()", "codec = Codec(); codec.device = device; return codec"
    )
    suite = load_suite(suite_of(tmp_path, "fine", codec=codec))
    folder = os.getcwd()
    os.chdir(tmp_path)
    try:
        engine = LocalEngine(["meta", "meta"], 1)
        frame = session.score(suite, Options(tmp_path / "run"), Console(quiet=True), engine)
    finally:
        engine.close()
        os.chdir(folder)
    assert engine.accelerated
    assert frame["mel_dac_train"].notna().all()
    lines = (tmp_path / "device.txt").read_text(encoding="utf-8").split("\n")[:-1]
    lengths = {6000, 6500, 7000, 7500}  # of the utterances; the process that checks streams hears noise alone
    assert {line.split()[1] for line in lines if int(line.split()[0]) in lengths} == {"meta"}


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_gives_the_rates_of_the_processor_and_nearly_its_scores(device, tmp_path) -> None:
    toys.corpus(tmp_path)
    text = "name: gpu\ndatasets: [{manifest: manifest.jsonl}]\ncodecs: [{codec: fixed, checkpoint: tiny_80hz}]\nmetrics: [mel_dac_train]\n"
    (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
    suite = load_suite(tmp_path / "suite.yaml")
    options = [Options(tmp_path / where.replace(":", "") / "run", device=where, per_device=per) for where, per in (("cpu", 1), (device, 2))]
    here, there = (session.score(suite, each, Console(quiet=True)) for each in options)
    assert not any(failures_of(there))
    assert list(here["bits_total"]) == list(there["bits_total"])
    assert there["mel_dac_train"].to_numpy() == pytest.approx(here["mel_dac_train"].to_numpy(), abs=0.02)


def test_calls_without_cost_are_told_once_and_every_task_anew() -> None:
    told: list[str] = []
    beat = Beat(told.append)
    for what in (LOAD, CALL, CALL, CALL, LOAD):
        beat(what)
    assert told == [CALL, LOAD]  # a task begins with loading, of which who gave it knows
    time.sleep(0.06)
    beat(LOAD)
    assert told == [CALL, LOAD, LOAD]
    beat(CALL)
    beat.begin()
    beat(LOAD)
    beat(CALL)
    assert told == [CALL, LOAD, LOAD, CALL, CALL]
