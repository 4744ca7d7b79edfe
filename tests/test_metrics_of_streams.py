"""Metrics that look at what was sent or ask the codec: latency, tandem coding, and where the frames lie in the speech."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from bench.codec import Encoded, OperatingPoint, Stream
from bench.dataset import Utterance
from bench.latency import algorithmic_latency
from bench.metric import NotApplicable, Sent
from bench.metrics.boundaries import boundary_f1, classes, frame_rate_in
from bench.metrics.tandem import kept_share
from bench.record import not_applicable_of
from bench.registry import codec_module, metric_infos, metric_modules
from bench.run import session
from bench.run.runner import failures
from bench.run.session import Options
from bench.suite import load_suite
from tests import toys
from tests.speech import at_rate, load, sentence

RATE, HOP = 8000, 80
POINT = OperatingPoint("all", RATE / HOP, 1)


class Looking:
    """Frames of samples as tokens; the mean of `ahead` more frames is sent beside each, or the mean of the whole signal."""

    sample_rate, hop_length, parameters, weights_sha256 = RATE, HOP, 0, ""

    def __init__(self, ahead: int | None) -> None:
        self.ahead = ahead

    def analyse(self, audio: torch.Tensor) -> torch.Tensor:
        return audio

    def encode(self, latent: torch.Tensor, point: OperatingPoint) -> Encoded:
        frames = torch.nn.functional.pad(latent, (0, -len(latent) % HOP)).reshape(-1, HOP)
        power = frames.square().mean(dim=1)
        ahead = len(power) if self.ahead is None else self.ahead
        coming = torch.stack([power[first : first + ahead + 1].sum() for first in range(len(power))])
        return Encoded((Stream((coming * 1e6).long().clamp(0, 2**40 - 1)[None], (2**40,)),), len(latent))

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return encoded.streams[0].tokens[0].repeat_interleave(HOP)[: encoded.num_samples].float()


@pytest.mark.parametrize("ahead", [0, 1, 7])
def test_latency_is_the_frame_and_what_it_looks_ahead(ahead):
    speech = torch.from_numpy(at_rate(sentence(), RATE))
    assert algorithmic_latency(Looking(ahead), POINT, speech, RATE) == HOP * (1 + ahead)


def test_a_codec_that_hears_the_whole_signal_has_no_latency_but_its_length():
    speech = torch.from_numpy(at_rate(sentence(), RATE))
    assert algorithmic_latency(Looking(None), POINT, speech, RATE) is None
    reference = sentence()
    metric: Any = load("latency_ms")
    prepared = metric.prepare(reference, at_rate(reference, metric.sample_rate))
    sent = Sent(None, POINT, at_rate(reference, RATE), RATE, HOP, lambda: Looking(None))
    score = metric.score_stream(prepared, prepared, sent)["latency_ms"]
    assert score.value == pytest.approx(1000 * reference.duration_s, abs=1)
    assert score.details == {"whole": 1.0}


def test_amr_waits_for_its_frame_and_five_milliseconds():
    amr, speech = codec_module("amr_nb").load(None, torch.device("cpu")), torch.from_numpy(at_rate(sentence(), RATE))
    samples = algorithmic_latency(amr, codec_module("amr_nb").POINTS["4.75kbps"], speech, RATE)
    assert samples is not None
    assert 1000 * samples / RATE == pytest.approx(25, abs=0.5)


# --- boundaries ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "true", "f1"),
    [
        ([0.1, 0.2], [0.1, 0.2], 100.0),
        ([0.12, 0.5], [0.1, 0.2], 50.0),
        ([0.121], [0.1], 0.0),
        ([0.09, 0.11], [0.1], 200 / 3),  # one to one: two of a kind hit once
        ([], [0.1], 0.0),
    ],
)
def test_boundaries_are_matched_one_to_one(found, true, f1):
    assert boundary_f1(np.array(found), np.array(true), 0.02) == pytest.approx(f1)


def test_frames_count_by_their_shares_of_time():
    chosen = np.repeat([True, False], 50)  # half a second each
    assert frame_rate_in(np.array([0, 0.25, 0.5, 1.0]), chosen) == pytest.approx(4.0)
    assert frame_rate_in(np.array([0, 0.4, 0.6, 1.0]), chosen) == pytest.approx((1 + 0.5) / 0.5)
    assert frame_rate_in(np.array([0, 1.0]), np.zeros(100, bool)) is None


def sent_durations(durations: np.ndarray) -> Sent:
    stream = Stream(torch.zeros(1, len(durations), dtype=torch.int64), (4,), torch.from_numpy(durations), int(durations.max()))
    encoded = Encoded((stream,), int(durations.sum()) * 160)
    return Sent(encoded, POINT, np.zeros(0, np.float32), 16000, 160, lambda: pytest.fail("no codec is needed"))


@pytest.fixture(scope="module")
def spoken() -> tuple[Utterance, np.ndarray]:
    reference = sentence()
    return reference, at_rate(reference, 16000)


def values(names: tuple[str, ...], spoken: Any, sent: Sent) -> dict[str, float]:
    from bench.metrics.boundaries import Alignments, BoundaryF1

    reference, audio = spoken
    metric = BoundaryF1(names, Alignments())
    return {name: score.value for name, score in metric.score_stream(metric.prepare(reference, audio), audio, sent).items()}


def test_segments_that_are_phones_agree_and_random_ones_do_not(spoken):
    metric: Any = load("boundary_f1_20ms")
    phones = metric.prepare(*spoken)
    edges = np.concatenate([[0], 1 + np.flatnonzero(np.diff(phones)), [len(phones)]])
    names = ("boundary_f1_20ms", "boundary_f1_20ms_uniform", "boundary_f1_20ms_random", "boundary_f1_40ms")
    found = values(names, spoken, sent_durations(np.diff(edges)))
    assert found["boundary_f1_20ms"] == found["boundary_f1_40ms"] == 100
    assert max(found["boundary_f1_20ms_uniform"], found["boundary_f1_20ms_random"]) < 70
    even = np.diff(np.round(np.linspace(0, len(phones), len(edges)))).astype(np.int64)
    found = values(names, spoken, sent_durations(even))
    assert found["boundary_f1_20ms"] == found["boundary_f1_20ms_uniform"]


def test_frames_are_counted_where_they_lie(spoken):
    reference, audio = spoken
    phones = load("boundary_f1_20ms").prepare(reference, audio)
    kinds = classes(phones)
    assert set(kinds) == {0, 1, 2}
    edges = np.concatenate([[0], 1 + np.flatnonzero(np.diff(kinds == 0)), [len(phones)]])
    runs = [(int(stop - start), kinds[start] == 0) for start, stop in itertools.pairwise(edges)]
    durations = np.concatenate([[length] if silent else [1] * length for length, silent in runs])  # silence is one frame each time
    for name, expected in (("vowels", 100.0), ("consonants", 100.0), ("silence", sum(silent for _, silent in runs) / (kinds == 0).mean())):
        metric: Any = load(f"frame_rate_{name}")
        score = metric.score_stream(metric.prepare(reference, audio), audio, sent_durations(durations))[f"frame_rate_{name}"]
        seconds = len(phones) / 100 if name == "silence" else 1
        assert score.value == pytest.approx(expected / seconds)


def test_what_has_no_boundaries_is_not_judged(spoken):
    reference, audio = spoken
    metric: Any = load("boundary_f1_20ms")
    phones = metric.prepare(reference, audio)
    fixed = Encoded((Stream(torch.zeros(1, 100, dtype=torch.int64), (4,)),), len(audio))
    for encoded, reason in ((fixed, "no durations"), (None, "no tokens"), (Encoded((), len(audio), (b"packet",)), "no tokens")):
        with pytest.raises(NotApplicable, match=reason):
            metric.score_stream(phones, audio, Sent(encoded, POINT, audio, 16000, 160, Looking))  # type: ignore[arg-type]
    with pytest.raises(NotApplicable, match="recording"):
        metric.score(phones, audio)
    with pytest.raises(NotApplicable, match="aligned"):
        metric.prepare(Utterance("u", audio, 16000, "xyzzyq plugh", language="en"), audio)
    with pytest.raises(NotApplicable, match="knows en, not de"):
        metric.prepare(Utterance("u", audio, 16000, "wort", language="de"), audio)


# --- tandem --------------------------------------------------------------------------------------------------------------------


def test_tokens_are_compared_by_base_frame():
    def encoded(tokens: list[int], durations: list[int]) -> Encoded:
        return Encoded((Stream(torch.tensor([tokens]), (9,), torch.tensor(durations), 4),), 100)

    assert kept_share(encoded([1, 2], [2, 2]), encoded([1, 2], [2, 2])) == 1
    assert kept_share(encoded([1, 2], [2, 2]), encoded([1, 2], [3, 1])) == 0.75


class Louder(toys.ToyCodec):
    """Decodes everything a tenth too loud: each generation is further away."""

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return (1.1 * super().decode(encoded)).clamp(-1, 1)


METRICS = ["tandem_tokens", "tandem_mel_1", "tandem_mel_2", "tandem_mel_5", "latency_ms", "frame_rate_vowels"]
SUITE = f"""
name: s
datasets: [{{manifest: manifest.jsonl}}]
codecs: [{{codec: toy, points: [256levels]}}, {{codec: louder, points: [256levels]}}, {{codec: recordings, manifest: made.jsonl}}]
metrics: [{", ".join(METRICS)}]
"""


def run(folder: Path, text: str) -> pd.DataFrame:
    (folder / "suite.yaml").write_text(text, encoding="utf-8")
    frame = session.score(load_suite(folder / "suite.yaml"), Options(folder / "results"), Console(quiet=True))
    assert not failures(frame)
    return frame


def test_a_run_hands_metrics_what_was_sent_now_and_later(tmp_path, monkeypatch):
    real = metric_modules()
    modules = [real[name] for name in ("tandem_tokens", "latency_ms", "frame_rate_vowels")]
    toy = toys.ToyCodec()
    toys.install(monkeypatch, {"toy": toys.codec_module(toy), "louder": toys.codec_module(Louder())}, modules)
    toys.corpus(tmp_path, ("en", "en"))
    made = [{"id": f"u{index}", "variant": "v", "path": f"u{index}.wav"} for index in range(2)]
    (tmp_path / "made.jsonl").write_text("\n".join(map(json.dumps, made)), encoding="utf-8")
    run(tmp_path, SUITE.replace(SUITE.splitlines()[-1], "metrics: [latency_ms]"))
    analysed = toy.analysed
    frame = run(tmp_path, SUITE).set_index("codec")  # the others are added to what is stored
    means = frame[METRICS].groupby(level=0, sort=False).mean()
    assert means.loc["toy", "tandem_tokens"] == 100
    assert means.loc["toy", "latency_ms"] == pytest.approx(1000 / 8000)
    assert means.loc["toy", "tandem_mel_1"] == pytest.approx(means.loc["toy", "tandem_mel_5"])
    assert 0 < means.loc["louder", "tandem_tokens"] < 100
    one, two, five = means.loc["louder", ["tandem_mel_1", "tandem_mel_2", "tandem_mel_5"]]
    assert one < two < five
    assert means.loc["recordings"].isna().all()
    assert toy.analysed - analysed == 2 * (1 + 4)  # of two utterances, once for the tokens and four times for generations 2 to 5
    reasons = dict(zip(frame.index, not_applicable_of(frame), strict=True))
    assert "recording" in reasons["recordings"]["latency_ms"]
    assert "aligned" in reasons["toy"]["frame_rate_vowels"]
    assert "no tokens" in reasons["reference"]["tandem_tokens"]


def test_metrics_of_streams_say_so():
    names = [name for name, info in metric_infos().items() if info.of_stream]
    assert all(hasattr(load(name), "score_stream") for name in names)
    assert {"latency_ms", "tandem_tokens", "boundary_f1_20ms", "frame_rate_silence"} <= set(names)
