"""Recordings of published demo pages: how they are fetched, and what the committed baseline says of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench import audio
from bench.cli import app
from bench.datasets.published_samples import COMMIT, ORIGINALS, REPOSITORY, SAMPLES, UTTERANCES, fetch
from bench.errors import UserError
from bench.recordings import read_systems
from bench.regress.baseline import read_baseline
from tests.published_samples import BASELINE, table

RATES = {"FlexiCodec": 16000, "EnCodec": 24000, "Mimi": 24000}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page's repository, in which every recording is 100 samples shorter than its original."""
    host = tmp_path_factory.mktemp("host")
    root = host / REPOSITORY / COMMIT
    noise = np.random.default_rng(0).normal(0, 0.1, 2000)
    for number in range(len(UTTERANCES)):
        for sample_rate, path in ORIGINALS.items():
            audio.write(root / path.format(number=number), noise, sample_rate)
        for each in SAMPLES:
            audio.write(root / each.path.format(number=number), noise[:1900], RATES[each.system])
    return host


def test_the_files_are_fetched_and_make_two_manifests(host: Path, tmp_path: Path) -> None:
    fetch(tmp_path, host.as_uri())
    systems = read_systems(tmp_path / "recordings.jsonl")
    assert {name: system.kind for name, system in systems.items()} == {"FlexiCodec": "dynamic", "EnCodec": "fixed", "Mimi": "fixed"}
    for system in systems.values():
        for rows in system.points.values():
            assert len(rows) == 15
            for recording in rows.values():
                assert recording.reference is not None
                assert audio.probe(recording.reference) == audio.probe(recording.path)  # cut where the recording ends
    originals = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all((tmp_path / row["path"]).is_file() for row in originals)
    assert originals[0]["source"] == f"{REPOSITORY}@{COMMIT}:impact_of_low_frame_rate/dac12hz/00000_0q.wav"


def test_a_second_call_fetches_nothing(host: Path, tmp_path: Path) -> None:
    fetch(tmp_path, host.as_uri())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.wav")}
    fetch(tmp_path, (tmp_path / "nowhere").as_uri())
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.wav")}


def test_a_file_that_does_not_come_is_named(host: Path, tmp_path: Path) -> None:
    missing = tmp_path / "empty"
    with pytest.raises(UserError, match=r"/00000_0q\.wav can not be fetched.*the next call goes on"):
        fetch(tmp_path / "samples", missing.as_uri())


@pytest.mark.online
def test_the_page_is_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["fetch", "published_samples"]).exit_code == 0
    assert len((tmp_path / "published_samples/recordings.jsonl").read_text(encoding="utf-8").splitlines()) == 150


def test_the_sources_are_those_of_the_recordings_that_were_scored(shared: Path) -> None:
    lines = (shared / "data/recon/manifest.jsonl").read_text(encoding="utf-8").splitlines()
    stated = {(row["source"], row["id"]) for row in map(json.loads, lines)}
    named = {
        (f"{REPOSITORY}@{COMMIT}:{each.path.format(number=number)}", id) for number, (id, _) in enumerate(UTTERANCES) for each in SAMPLES
    }
    assert named == stated


def test_the_baseline_scores_as_measured_with_the_bare_packages() -> None:
    """PESQ-WB and STOI of tests/test_real_speech.py, which were measured apart from this program."""
    records = read_baseline(str(BASELINE)).records
    means = records.groupby(["codec", "point"])[["pesq_wb", "stoi"]].mean()
    for point, expected in {
        ("FlexiCodec", "12.5hz_8q"): (2.855, 0.948),
        ("FlexiCodec", "6.25hz_8q"): (2.395, 0.922),
        ("EnCodec", "1.5kbps"): (1.533, 0.851),
        ("EnCodec", "6kbps"): (2.721, 0.943),
        ("Mimi", "8q"): (2.293, 0.917),
    }.items():
        assert means.loc[point].tolist() == pytest.approx(expected, abs=0.01), point


def test_the_table_has_every_point_with_its_interval() -> None:
    lines = table().splitlines()
    assert len(lines) == 2 + len(SAMPLES)
    assert all("nan" not in line and line.count("[") >= 4 for line in lines[2:])
