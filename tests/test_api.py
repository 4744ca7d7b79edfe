"""`import bench` is light, and does from Python what the commands do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import bench
from bench.errors import UserError
from bench.suite import find_suite, packaged_suites
from tests.test_plugins import METRIC
from tests.test_score import tone

RATE = 16000


def noise(seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(RATE).astype(np.float32)


def test_it_loads_nothing_heavy_and_is_whole_whatever_is_imported_before() -> None:
    code = (
        "import sys, bench; heavy = {'torch', 'pandas', 'scipy', 'typer', 'bench.analysis'} & set(sys.modules); assert not heavy, heavy\n"
        "import bench.run.session; assert callable(bench.run); bench.run({'name': 'x'})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "UserError: suite: codecs: is missing" in ended.stderr


def test_a_metric_scores_a_pair() -> None:
    assert bench.score_pair("si_sdr", noise(), noise() + 0.1 * noise(1), RATE) == pytest.approx(20, abs=0.5)
    with pytest.raises(UserError, match="did you mean 'si_sdr'"):
        bench.score_pair("si_sd", noise(), noise(), RATE)


@pytest.mark.parametrize(
    ("degraded", "rate", "told"),
    [
        (noise()[None], RATE, "one channel"),
        (noise() * np.nan, RATE, "NaN"),
        (noise()[:0], RATE, "no samples"),
        (noise() * 32768, RATE, r"peaks at .*multiply it by 1/32768"),
        ((noise() * 32768).astype(np.int16), RATE, "floating point, .* got int16; scale it first"),
        ("my.wav", RATE, "floating point"),
        (noise()[: RATE // 2], RATE, "0.500 s shorter than its reference"),
        (noise(), 0, "sample_rate is in Hz, a number above 0; got 0"),
        (noise(), "16000", "sample_rate is in Hz, a number above 0; got '16000'"),
    ],
)
def test_what_is_no_audio_is_refused(degraded, rate, told) -> None:
    with pytest.raises(ValueError, match=told):
        bench.score_pair("si_sdr", noise(), degraded, rate)
    if "shorter" not in told:
        with pytest.raises(ValueError, match=told):
            bench.load_codec("pcm").encode(degraded, rate, "8bit_24khz")


def test_a_metric_of_ones_own_scores_a_pair(tmp_path) -> None:
    (tmp_path / "my_metric.py").write_text(METRIC, encoding="utf-8")
    assert bench.score_pair(str(tmp_path / "my_metric.py"), noise(), 0.5 * noise(), RATE) == pytest.approx(6.02, abs=0.01)


def test_a_codec_codes_arrays() -> None:
    codec = bench.load_codec("opus")
    coded = codec.encode(noise(), RATE, "12kbps")
    assert coded.bitrate == pytest.approx(12000, rel=0.3)
    assert len(codec.decode(coded)) == codec.sample_rate
    with pytest.raises(UserError, match="name a point, or its settings: "):
        codec.encode(noise(), RATE)


def test_a_run_is_a_table_and_so_is_its_comparison(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for index in range(2):
        tone(tmp_path / "ref" / f"u{index}.wav")
        soundfile.write(tmp_path / "ref" / f"u{index}.wav", noise(index), RATE)
    codecs = [{"codec": "opus", "points": ["6kbps", "12kbps"]}]
    suite = {"name": "mine", "datasets": [{"folder": "ref"}], "codecs": codecs, "metrics": ["si_sdr"]}
    frame = bench.run(suite, jobs=1)
    assert set(frame["point"]) == {"original", "6kbps", "12kbps"}
    assert len(bench.load_run("results/mine")) == len(frame) == 6
    differences = bench.compare("results/mine", "opus@6kbps")
    assert differences.set_index("point").loc["12kbps", "mean"] > 0


def test_suites_of_the_package_are_found_by_name() -> None:
    assert find_suite("low_rate").name == "low_rate.yaml"
    assert find_suite("suites/papers/lfsc.yaml") == packaged_suites()["papers/lfsc"] or Path("suites/papers/lfsc.yaml").is_file()
    with pytest.raises(UserError, match="did you mean 'low_rate'"):
        find_suite("lowrate")


def test_a_header_that_follows_the_audio_is_counted_as_in_a_run(tmp_path) -> None:
    text = (
        "import torch\nfrom bench.simple import codec\n\n"
        "@codec(sample_rate=16000, hop_length=160, codebook_size=4)\nclass Own:\n"
        "    def encode(self, audio):\n        frames = -(-len(audio) // 160)\n"
        "        return torch.zeros(2 if audio.abs().max() > 0.9 else 1, frames, dtype=torch.int64)\n"
        "    def decode(self, tokens):\n        return torch.zeros(160 * tokens.shape[1])\n"
    )
    (tmp_path / "own.py").write_text(text, encoding="utf-8")
    codec = bench.load_codec(str(tmp_path / "own.py"))
    quiet, loud = (codec.encode(gain * noise() / np.abs(noise()).max(), RATE).bitrate for gain in (0.1, 1.0))
    tokens = 2 * 100  # bits of a codebook, of the second that there is
    assert tokens < quiet < tokens + 40
    assert loud > 2 * tokens + (quiet - tokens) + 40  # a header of some bytes, whose length says how loud it was
