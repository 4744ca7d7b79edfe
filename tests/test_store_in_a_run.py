"""What a whole run leaves on the disk: files of any name, through other weights, other runs, damage and a full disk."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from bench.errors import UserError
from bench.run import session
from bench.run.session import Options
from bench.run.store import POINTS, RECORDS, RUN, read_points, read_run
from bench.suite import load_suite
from tests import toys
from tests.damage import DAMAGE
from tests.toys import comparable

SUITE = """
name: toy
datasets: [{manifest: manifest.jsonl}]
codecs: [{codec: toy, points: [16levels, 256levels]}]
metrics: [distance]
"""


class Loud(toys.ToyCodec):
    """Other weights."""

    def decode(self, encoded):
        return super().decode(encoded) * 0.5


def install(monkeypatch: pytest.MonkeyPatch, codec: toys.ToyCodec | None = None, version: int = 1) -> toys.ToyMetric:
    module, metric = toys.codec_module(codec or toys.ToyCodec()), toys.ToyMetric()
    module.VERSION = version
    toys.run_in_this_process(monkeypatch)
    toys.install(monkeypatch, {"toy": module}, [toys.metric_module(metric)])
    return metric


def run(folder: Path, out: Path, text: str = SUITE) -> pd.DataFrame:
    if not (folder / "manifest.jsonl").exists():
        toys.corpus(folder)
    (folder / "toy.yaml").write_text(text, encoding="utf-8")
    return session.score(load_suite(folder / "toy.yaml"), Options(out), Console(quiet=True))


def contents(folder: Path, frame: pd.DataFrame) -> dict[tuple[str, str, str], bytes]:
    places = zip(frame["codec"], frame["point"], frame["utterance"], strict=True)
    return {place: (folder / name).read_bytes() for place, name in zip(places, frame["audio_file"], strict=True)}


def test_no_two_utterances_share_a_file_even_where_they_sound_alike(tmp_path, monkeypatch) -> None:
    install(monkeypatch)
    ids = ["你好", "世界", "a/b", "a_b", "A_B", "../a", "x" * 300, "é", "e\u0301"]
    lines = []
    for number, name in enumerate(ids):
        samples = np.random.default_rng(number % 7).uniform(-0.5, 0.5, 8000)  # the last two are the first two again
        soundfile.write(tmp_path / f"{number}.wav", samples, 16000, subtype="PCM_16")
        lines.append(f'{{"id": "{name}", "path": "{number}.wav", "text": "word", "language": "en"}}\n')
    (tmp_path / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
    frame = run(tmp_path, tmp_path / "results/toy")
    assert set(frame["utterance"]) == set(ids)
    assert frame["audio_file"].str.lower().is_unique
    assert (frame["audio_file"].map(lambda name: len(name.encode())) <= 200).all()
    for name, key in zip(frame["audio_file"], frame["key"], strict=True):
        assert key[:8] in name
        assert (tmp_path / "results/toy" / name).is_file()
    streams = frame[frame["stream_file"] != ""]["stream_file"]
    assert len(streams) == 2 * len(ids)
    assert streams.is_unique
    assert any("你好" in name for name in frame["audio_file"])
    inside = {path.resolve() for path in (tmp_path / "results/toy").rglob("*")}
    assert all((tmp_path / "results/toy" / name).resolve() in inside for name in frame["audio_file"])


def test_going_back_to_older_code_shows_the_older_audio(tmp_path, monkeypatch) -> None:
    out = tmp_path / "results/toy"
    install(monkeypatch)
    first = run(tmp_path, out)
    heard = contents(out, first)
    install(monkeypatch, Loud(), version=2)
    second = run(tmp_path, out)
    metric = install(monkeypatch)
    again = run(tmp_path, out)
    assert metric.scored == 0
    pd.testing.assert_frame_equal(again, first)
    assert contents(out, again) == heard
    louder = contents(out, second)
    assert all(louder[place] != heard[place] for place in heard if place[0] == "toy")


def test_what_another_run_shares_stays_as_it_is_there(tmp_path, monkeypatch) -> None:
    install(monkeypatch)
    first = run(tmp_path, tmp_path / "results/first")
    heard = contents(tmp_path / "results/first", first)
    metric = install(monkeypatch)
    second = run(tmp_path, tmp_path / "results/second", SUITE.replace("codec: toy,", "codec: toy, name: renamed,"))
    assert metric.scored == 0
    shared = tmp_path / "results/second" / second["audio_file"].iloc[-1]
    assert shared.stat().st_nlink > 1
    assert all("renamed" in name for name in second[second["codec"] == "renamed"]["audio_file"])
    install(monkeypatch, Loud(), version=2)
    run(tmp_path, tmp_path / "results/second", SUITE.replace("codec: toy,", "codec: toy, name: renamed,"))
    shutil.rmtree(tmp_path / "results/second")
    assert contents(tmp_path / "results/first", first) == heard


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_run_makes_damaged_results_anew_and_scores_nothing_again(damage, tmp_path, monkeypatch) -> None:
    out = tmp_path / "results/toy"
    metric = install(monkeypatch)
    whole = run(tmp_path, out)
    points = read_points(out)
    for path in (out / RECORDS, out / RUN, out / POINTS, *out.glob("journal/*.columns"), *out.glob("journal/*.index")):
        damage(path)
    metric.scored = 0
    again = run(tmp_path, out)
    assert metric.scored == 0
    pd.testing.assert_frame_equal(whole, again)
    pd.testing.assert_frame_equal(read_run(out)[0], whole)
    assert read_points(out) == points


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_stream_of_a_finished_run_is_named(damage, tmp_path, monkeypatch) -> None:
    install(monkeypatch)
    out = tmp_path / "results/toy"
    frame = run(tmp_path, out)
    name = frame[frame["stream_file"] != ""]["stream_file"].iloc[0]
    damage(out / name)
    with pytest.raises(UserError) as caught:
        run(tmp_path, out)
    assert name in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    pd.testing.assert_frame_equal(run(tmp_path, out), frame)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 512 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_run_into_a_full_disk_ends_in_one_line_and_goes_on_when_there_is_space(small_disk, tmp_path, monkeypatch) -> None:
    install(monkeypatch)
    undisturbed = run(tmp_path, tmp_path / "elsewhere/toy")
    ended = []
    for kilobytes in (500, 400, 250, 200, 180, 160):
        (small_disk / "ballast").write_bytes(bytes(kilobytes * 1000))
        try:
            run(tmp_path, small_disk / "results/toy")
        except UserError as told:
            ended.append(str(told))
    assert len(ended) > 2
    assert all(f"the disk at {small_disk} is full" in told and "\n" not in told for told in ended)
    (small_disk / "ballast").unlink()
    pd.testing.assert_frame_equal(comparable(run(tmp_path, small_disk / "results/toy")), comparable(undisturbed))
    assert not list((small_disk / "results").rglob("*partial*"))
