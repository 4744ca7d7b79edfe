"""Mutated suites and manifests: each is read, or refused as the user's mistake or as something that is not here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.datasets.specs import open_dataset, parse_spec
from bench.suite import load_suite
from tests.fuzzing import campaign

ROOT = Path(__file__).resolve().parent.parent

SUITE = """\
name: fuzzed
description: of a suite
datasets: [bundled, {manifest: manifest.jsonl, languages: en, limit: 2}, {folder: ., language: en}]
codecs:
  - {codec: opus, points: [6kbps, 24kbps]}
  - {codec: codecslime, name: other, checkpoint: tiny, sweep: {frame_rate: {from: 40, to: 80, step: 20}}}
metrics: [stoi, {metric: wer_pocketsphinx, options: {normaliser: lower}}]
compare: {baseline: opus@6kbps}
regress: {margins: {stoi: 0.1, bitrate: 2%}, alpha: 0.05}
seed: 3
"""
MANIFEST = "".join(
    f'{{"id": "{number}", "path": "a.wav", "text": "one – two", "speaker": "s{number}", "language": "en_US", "duration_s": 1.0}}\n'
    for number in range(4)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(16000) / 20).astype(np.float32), 16000)
    (tmp_path / "manifest.jsonl").write_text(MANIFEST, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_mutated_suites_are_read_or_refused(folder: Path) -> None:
    path = folder / "suite.yaml"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_suite(path)

    campaign("suites", SUITE.encode(), read)


@pytest.mark.slow
def test_mutated_manifests_are_read_or_refused(folder: Path) -> None:
    def read(data: bytes) -> None:
        (folder / "manifest.jsonl").write_bytes(data)
        open_dataset(parse_spec({"manifest": "manifest.jsonl"}), folder, 0)

    campaign("manifests", MANIFEST.encode(), read)
