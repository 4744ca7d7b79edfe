"""The conformance kit: a sound codec passes, and each way to break the contract is found by the rule that is meant for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import registry
from bench.codec import CodecModule, Encoded, OperatingPoint, Stream, check_audio
from bench.codecs import (
    amr_nb,
    codec2,
    encodec_24k,
    encodec_48k,
    higgs_v2,
    lyra,
    mimi,
    neucodec,
    opus,
    pcm,
    reference,
    snac,
    speex,
    wavtokenizer,
    xcodec,
    xcodec2,
)
from bench.codecs.series import dac, lace, nemo, opus_enhanced
from bench.conformance import check, check_codec, delay_ms, gain_db
from bench.errors import Unavailable
from tests.speech import at_rate, sentence

RATE, HOP = 8000, 80
POINTS = [OperatingPoint("1q", RATE / HOP, HOP), OperatingPoint("half", RATE / HOP, HOP // 2)]


class Sound:
    """8-bit samples, one codebook for each sample of a frame; frames of durations 1 and 2 beside them."""

    sample_rate, hop_length, parameters, weights_sha256 = RATE, HOP, 0, ""

    def analyse(self, audio: torch.Tensor) -> Any:
        frames = torch.nn.functional.pad(audio, (0, -len(audio) % HOP)).reshape(-1, HOP).T
        return (frames.clamp(-1, 127 / 128) * 128).round().long() + 128, len(audio)

    def encode(self, latent: Any, point: OperatingPoint) -> Encoded:
        tokens, num_samples = latent
        durations = torch.ones(tokens.shape[1], dtype=torch.int64)
        marks = Stream(torch.zeros(1, tokens.shape[1], dtype=torch.int64), (2,), durations, max_duration=2)
        return Encoded((Stream(tokens[: point.n_q], (256,) * point.n_q), marks), num_samples)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        tokens = encoded.streams[0].tokens
        tokens = tokens.repeat_interleave(HOP // len(tokens), dim=0)
        return ((tokens - 128) / 128).T.flatten()[: encoded.num_samples].float()


def speech() -> np.ndarray:
    return at_rate(sentence(), RATE)


def broken(codec: Any, points: list[OperatingPoint] | None = None) -> list[str]:
    return [check.name for check in check_codec(codec, points or POINTS[:1], speech(), longest_s=2.0) if not check.passed]


def test_a_sound_codec_passes_every_rule():
    checks = check_codec(Sound(), POINTS[:1], speech(), longest_s=2.0)
    assert len(checks) == 15
    assert not [check for check in checks if not check.passed]


class Short(Sound):
    def decode(self, encoded: Encoded) -> torch.Tensor:
        return super().decode(encoded)[:-1] if encoded.num_samples % 2 else super().decode(encoded)


class WantsAFrame(Sound):
    def analyse(self, audio: torch.Tensor) -> Any:
        if len(audio) < HOP:
            raise RuntimeError("kernel size can not be greater than input size")
        return super().analyse(audio)


class Random(Sound):
    def decode(self, encoded: Encoded) -> torch.Tensor:
        return super().decode(encoded) + 0.001 * torch.randn(encoded.num_samples)


class Remembers(Sound):
    """Adds the end of the utterance before, as a network does whose state nobody resets."""

    past = 0.0

    def decode(self, encoded: Encoded) -> torch.Tensor:
        audio = super().decode(encoded)
        before, self.past = self.past, float(audio[-1])
        return audio + before


class KeepsSomethingBack(Sound):
    """Decodes as it should only what it has just encoded, not what was sent."""

    def encode(self, latent: Any, point: OperatingPoint) -> Encoded:
        self.last = super().encode(latent, point)
        return self.last

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return super().decode(encoded) * (1.0 if encoded is self.last else 0.5)


class LosesDurations(Sound):
    def encode(self, latent: Any, point: OperatingPoint) -> Encoded:
        tokens, marks = super().encode(latent, point).streams
        assert marks.durations is not None
        fewer = Stream(marks.tokens[:, 3:], (2,), marks.durations[3:], max_duration=2)
        return Encoded((tokens, fewer), latent[1])


class Unnested(Sound):
    """Fewer codebooks are not the first of more."""

    def encode(self, latent: Any, point: OperatingPoint) -> Encoded:
        encoded = super().encode(latent, point)
        tokens = encoded.streams[0].tokens
        shifted = (tokens + (point.n_q < HOP)) % 256
        return Encoded((Stream(shifted, (256,) * point.n_q), encoded.streams[1]), encoded.num_samples)


class Dies(Sound):
    def decode(self, encoded: Encoded) -> torch.Tensor:
        audio = super().decode(encoded)
        return audio / audio.abs().max()


class Late(Sound):
    def decode(self, encoded: Encoded) -> torch.Tensor:
        return torch.nn.functional.pad(super().decode(encoded), (RATE // 50, 0))[: encoded.num_samples]


class Quiet(Sound):
    def decode(self, encoded: Encoded) -> torch.Tensor:
        return 0.3 * super().decode(encoded)


class Choosy(Sound):
    def encode(self, latent: Any, point: OperatingPoint) -> Encoded:
        raise ValueError("not this point")


@pytest.mark.parametrize(
    ("codec", "rule"),
    [
        (Short, "keeps length"),
        (WantsAFrame, "keeps length"),
        (Random, "repeats itself"),
        (Remembers, "has no memory"),
        (KeepsSomethingBack, "survives the bitstream"),
        (LosesDurations, "covers the audio"),
        (Dies, "takes silence"),
        (Late, "is on time"),
        (Quiet, "is as loud"),
        (Choosy, "accepts points"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_fault_is_found(codec, rule):
    assert rule in broken(codec())


def test_codebooks_that_are_no_prefix_are_found():
    assert "refines codebooks" in broken(Unnested(), POINTS)
    assert "refines codebooks" not in broken(Sound(), POINTS)


def test_points_of_other_checkpoints_may_be_refused():
    class OneRate(Sound):
        def encode(self, latent: Any, point: OperatingPoint) -> Encoded:
            if point.frame_rate != RATE / HOP:
                raise ValueError("another checkpoint's")
            return super().encode(latent, point)

    checks = check_codec(OneRate(), [OperatingPoint("fast", 200.0, HOP), *POINTS[:1]], speech(), longest_s=2.0)
    assert all(check.passed for check in checks)
    assert checks[0].detail == "1q; for other checkpoints: fast"


def test_more_bits_than_a_point_promises_are_found(monkeypatch):
    monkeypatch.setattr("bench.conformance.nominal_bitrate", lambda encoded, seconds: 1000.0)
    assert "spends what it says" in broken(Sound())


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        (torch.zeros(0), "empty"),
        (torch.tensor([0.0, float("nan")]), "NaN"),
        (torch.tensor([float("inf")]), "infinite"),
        (torch.zeros(2, 3), "float32"),
        (torch.zeros(5, dtype=torch.float64), "float32"),
    ],
    ids=["empty", "nan", "infinite", "stereo", "double"],
)
def test_unusable_audio_is_refused(samples, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_audio(samples)


def test_delay_and_gain_of_a_signal_that_was_moved():
    signal = torch.from_numpy(speech())
    for milliseconds in (-40, -3, 0, 1, 20):
        moved = torch.roll(0.5 * signal, milliseconds * RATE // 1000)
        assert delay_ms(signal, moved, RATE) == pytest.approx(milliseconds, abs=1)
        assert gain_db(signal, moved) == pytest.approx(-6.02, abs=0.01)


def test_a_codec_is_checked_by_name():
    checks = check("amr_nb", None, torch.device("cpu"))
    assert [check.name for check in checks if not check.passed] == []
    assert "takes long audio" in [check.name for check in checks]
    assert "4.75kbps 2" in next(check.detail for check in checks if check.name == "latency")


def test_a_codec_that_can_not_run_here_says_what_it_lacks(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
    with pytest.raises(Unavailable, match="hf download kyutai/mimi"):
        check("mimi", None, torch.device("cpu"))


# mypy holds each against the protocol
ADAPTERS: list[CodecModule] = [
    amr_nb, codec2, encodec_24k, encodec_48k, higgs_v2, lyra, mimi, neucodec, opus, pcm, reference, snac, speex, wavtokenizer,
    xcodec, xcodec2, *dac.CODECS.values(), *nemo.CODECS.values(), *opus_enhanced.CODECS.values(),
    *lace.CODECS.values()
]  # fmt: skip


@pytest.mark.parametrize("name", registry.codec_names())
def test_every_codec_file_is_a_registry_entry(name):
    module = registry.codec_module(name)
    assert module.INFO.title
    assert module.INFO.kind in {"fixed", "dynamic", "classical", "ceiling"}
    assert module.VERSION >= 1
    assert all(point.name == key for key, point in module.POINTS.items())
    for need in module.needs(None):
        assert need.how
