"""Coders without weights (the original, PCM, Opus, Speex, AMR-NB, Codec2) and Lyra, whose real weights lie in shared/: on real speech."""

from __future__ import annotations

import json
from dataclasses import replace
from math import ceil, log10
from typing import Any

import numpy as np
import pytest
import torch
from pystoi import stoi

from bench import audio, bitstream
from bench.codec import Codec
from bench.codecs.bases.points import pick
from bench.conformance import check_codec
from bench.errors import Unavailable
from bench.registry import codec_module
from tests.speech import at_rate, sentence

CPU = torch.device("cpu")


def codec_file(name: str) -> Any:
    return codec_module(name)


def loaded(name: str) -> Codec:
    """The codec, or a skipped test where a program or library is not installed."""
    for need in codec_file(name).needs(None):
        if not need.available:
            pytest.skip(f"needs {need.name}: {need.how}")
    return codec_file(name).load(None, CPU)


@pytest.fixture(scope="module")
def clips(shared) -> list[np.ndarray]:
    """Four real utterances of four speakers, float32 at 16 kHz."""
    lines = (shared / "data/eval_en/manifest.jsonl").read_text(encoding="utf-8").splitlines()[::60][:4]
    return [audio.resample(*audio.read(shared / "data/eval_en" / json.loads(line)["path"]), 16000) for line in lines]


@pytest.fixture(scope="module")
def lyra(shared) -> Codec:
    pytest.importorskip("ai_edge_litert", reason="Lyra runs on ai-edge-litert")
    return codec_file("lyra").load(str(shared / "data/weights/lyra"), CPU)


def decoded_stoi(codec: Codec, point: Any, clips: list[np.ndarray]) -> tuple[float, float]:
    """Mean STOI at the codec's rate, 16 kHz at most, and the kbps of its tokens or packets."""
    rate = min(codec.sample_rate, 16000)
    scores, bits = [], 0
    for clip in clips:
        samples = torch.from_numpy(audio.resample(clip, 16000, codec.sample_rate))
        packed = bitstream.pack(codec.encode(codec.analyse(samples), point))
        degraded = audio.resample(codec.decode(bitstream.unpack(packed.data)).numpy(), codec.sample_rate, rate)
        original = audio.resample(clip, 16000, rate)
        scores.append(stoi(original, audio.fit_length(degraded, len(original)), rate))
        bits += packed.bits_tokens
    return float(np.mean(scores)), bits / sum(map(len, clips)) * 16


def assert_more_bits_sound_better(codec: Codec, points: list[Any], least: list[float], clips: list[np.ndarray]) -> None:
    results = [decoded_stoi(codec, point, clips) for point in points]
    scores = [score for score, _ in results]
    assert scores == sorted(scores)
    assert all(score > bound for score, bound in zip(scores, least, strict=True)), scores
    for (_, kbps), point in zip(results, points, strict=True):
        promised = float(point.name.removesuffix("kbps"))
        assert promised * 0.87 < kbps < promised * 1.05, point.name  # Opus stays below its rate, AMR rounds frames up to bytes


@pytest.mark.parametrize(
    ("name", "points", "least"),
    [
        ("opus", ["6kbps", "12kbps", "24kbps"], [0.89, 0.96, 0.985]),
        ("speex", ["6kbps", "10kbps", "16.8kbps"], [0.85, 0.92, 0.96]),
        ("amr_nb", ["4.75kbps", "7.4kbps", "12.2kbps"], [0.89, 0.93, 0.96]),
        ("codec2", ["0.7kbps", "1.2kbps", "3.2kbps"], [0.68, 0.74, 0.80]),
    ],
)
def test_more_bits_sound_better(name, points, least, clips):
    assert_more_bits_sound_better(loaded(name), [codec_file(name).POINTS[point] for point in points], least, clips)


def test_lyra_sounds_better_with_more_bits(lyra, clips):
    assert_more_bits_sound_better(lyra, list(codec_file("lyra").POINTS.values()), [0.87, 0.91, 0.93], clips)


@pytest.mark.parametrize("name", ["reference", "pcm", "opus", "speex", "amr_nb", "codec2"])
def test_coders_keep_the_contract(name):
    codec = loaded(name)
    points = list(codec_file(name).POINTS.values())
    checks = check_codec(codec, [points[0], points[-1]], at_rate(sentence(), codec.sample_rate or 16000), longest_s=3.0)
    assert not [check for check in checks if not check.passed]


@pytest.mark.parametrize("name", ["opus_lace", "opus_nolace"])
def test_enhanced_opus_is_another_decoder_of_the_same_packets(name, clips):
    enhanced, plain, samples = loaded(name), loaded("opus"), torch.from_numpy(audio.resample(clips[0], 16000, 24000))
    points = codec_file(name).POINTS
    for point, differs in ((points["6kbps"], False), (points["12kbps"], True)):
        encoded = enhanced.encode(enhanced.analyse(samples), point)
        assert encoded == plain.encode(plain.analyse(samples), point)
        one, other = enhanced.decode(encoded), plain.decode(encoded)
        assert (float((one - other).square().mean() / other.square().mean()) > 1e-3) == differs
    with pytest.raises(ValueError, match="do not fit"):
        enhanced.decode(replace(encoded, packets=encoded.packets[:-2]))
    checks = check_codec(enhanced, [points["12kbps"]], clips[0], longest_s=3.0)
    assert not [check for check in checks if not check.passed]


@pytest.mark.parametrize("name", ["opus_lace", "opus_nolace"])
def test_enhanced_opus_says_what_it_lacks(name, tmp_path):
    *_, package = codec_file(name).needs(str(tmp_path))
    assert not package.available
    assert package.how == f"npm install --prefix {tmp_path} @wasm-audio-decoders/opus-ml@0.0.3"
    with pytest.raises(Unavailable, match="npm install"):
        codec_file(name).load(str(tmp_path), CPU)


def test_lyra_keeps_the_contract(lyra, clips):
    checks = check_codec(lyra, list(codec_file("lyra").POINTS.values()), clips[0], longest_s=3.0)
    assert not [check for check in checks if not check.passed]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reference", "pcm", "opus", "speex", "amr_nb", "codec2"])
def test_coders_keep_the_contract_at_every_point_and_for_a_minute(name):
    codec = loaded(name)
    checks = check_codec(codec, list(codec_file(name).POINTS.values()), at_rate(sentence(), codec.sample_rate or 16000))
    assert not [check for check in checks if not check.passed]


def test_the_reference_is_the_audio_bit_for_bit():
    codec, samples = loaded("reference"), torch.from_numpy(sentence().audio)
    (point,) = codec_file("reference").POINTS.values()
    assert torch.equal(codec.decode(codec.encode(codec.analyse(samples), point)), samples)


def test_pcm_noise_is_what_its_bits_say():
    """Rounding to b bits leaves noise of step^2 / 12: 6.02 dB less with each bit."""
    codec, samples = loaded("pcm"), torch.rand(24000, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    for bits in (8, 12, 16):
        encoded = codec.encode(samples, codec_file("pcm").POINTS[f"{bits}bit_24khz"])
        assert bitstream.pack(encoded).bits_tokens == bits * len(samples) + 8
        error_db = 10 * log10(float((codec.decode(encoded) - samples).square().mean()))
        assert error_db == pytest.approx(20 * log10(2.0 ** (1 - bits)) - 10 * log10(12), abs=0.2)


def test_pcm_at_a_lower_rate_keeps_what_is_below_half_of_it():
    codec, seconds = loaded("pcm"), torch.arange(24000) / 24000
    low, high = torch.sin(2 * torch.pi * 1000 * seconds), torch.sin(2 * torch.pi * 6000 * seconds)
    point = codec_file("pcm").POINTS["16bit_8khz"]
    decoded = codec.decode(codec.encode(0.4 * (low + high), point))[2000:-2000]
    assert float((decoded - 0.4 * low[2000:-2000]).abs().max()) < 1e-3


def test_opus_packets_are_opus():
    """The first byte of a packet tells 20 ms, mono, one frame (RFC 6716, section 3.1)."""
    codec = loaded("opus")
    for point in codec_file("opus").POINTS.values():
        encoded = codec.encode(torch.from_numpy(at_rate(sentence(), 24000)), point)
        assert len(encoded.packets) == ceil((encoded.num_samples + 156) / 480)
        for packet in encoded.packets:
            configuration, is_stereo, code = packet[0] >> 3, packet[0] >> 2 & 1, packet[0] & 3
            silk, hybrid, celt = (10, 20, 40, 60), (10, 20), (2.5, 5, 10, 20)
            durations_ms = silk if configuration < 12 else hybrid if configuration < 16 else celt
            assert (durations_ms[configuration % len(durations_ms)], is_stereo, code) == (20, 0, 0)


def test_amr_frames_hold_the_speech_bits_and_no_more():
    codec = loaded("amr_nb")
    for point in codec_file("amr_nb").POINTS.values():
        encoded = codec.encode(torch.from_numpy(at_rate(sentence(), 8000)), point)
        assert {len(packet) for packet in encoded.packets} == {ceil(point.options["bitrate"] * 0.020 / 8)}


def test_codec2_frames_cost_the_bits_that_they_hold():
    codec = loaded("codec2")
    for point in codec_file("codec2").POINTS.values():
        encoded = codec.encode(torch.from_numpy(at_rate(sentence(), 8000)), point)
        bits = point.options["bitrate"] / point.frame_rate
        assert bitstream.pack(encoded).bits_tokens == bits * encoded.streams[0].num_frames + 8  # one byte names the mode
        delay = 240 if point.name == "0.7kbps" else 160
        assert encoded.streams[0].num_frames == ceil((encoded.num_samples + delay) / 8000 * point.frame_rate)


def test_lyra_sends_the_quantisers_first_codebooks(lyra, clips, shared):
    """The quantiser, asked for 16 codebooks, gives the first 16 of the 46 that are cut."""
    from ai_edge_litert.interpreter import Interpreter

    weights = shared / "data/weights/lyra"
    encoder = Interpreter(str(weights / "soundstream_encoder.tflite"), num_threads=1).get_signature_runner()
    quantiser = Interpreter(str(weights / "quantizer.tflite"), num_threads=1).get_signature_runner("encode")
    point = codec_file("lyra").POINTS["3.2kbps"]
    (stream,) = lyra.encode(lyra.analyse(torch.from_numpy(clips[0][:3200])), point).streams
    for frame, block in enumerate(clips[0][:3200].reshape(10, 1, 320)):
        features = encoder(input_audio=block)["output_0"]
        few = quantiser(input_frames=features, num_quantizers=np.int32(16))["output_0"].ravel()
        assert np.array_equal(few[:16], stream.tokens[:, frame].numpy())
    assert 1e6 < lyra.parameters < 2e6
    assert type(lyra.parameters) is int  # as JSON wants it


def test_lyra_says_where_its_weights_are(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    need = codec_file("lyra").needs(None)[-1]
    assert not need.available
    assert need.how.count("curl ") == 3
    with pytest.raises(Unavailable, match="soundstream_encoder"):
        codec_file("lyra").load(None, CPU)


def test_a_coder_that_pyav_lacks_is_named(monkeypatch):
    monkeypatch.setattr("av.codecs_available", {"opus"})
    (need,) = codec_file("speex").needs(None)
    assert not need.available
    assert "av<17" in need.how


# --- points --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "point"),
    [
        ("opus", {"bitrate": 12000}, "12kbps"),
        ("amr_nb", {"bitrate": 4750}, "4.75kbps"),
        ("speex", {"quality": 0}, "4kbps"),
        ("pcm", {"bits": 16, "frame_rate": 8000}, "16bit_8khz"),
        ("encodec_24k", {"n_q": 8}, "6kbps"),
        ("dac_44k", {"n_q": 9, "frame_rate": 86.13}, "9q"),
        ("mimi", {"n_q": 5}, "5q"),
        ("lyra", {"n_q": 46}, "9.2kbps"),
    ],
)
def test_a_sweep_finds_its_point(name, settings, point):
    found = codec_file(name).point(**settings)
    assert found.name == point
    assert codec_file(name).POINTS.get(point, found) == found


def test_a_sweep_that_fits_no_point_hears_the_choices():
    with pytest.raises(ValueError, match="bitrate 7000 is not a choice; bitrate is one of 6000, 8000, 12000, 16000, 24000"):
        codec_file("opus").point(bitrate=7000)
    with pytest.raises(ValueError, match="setting 'bitrat' unknown; did you mean 'bitrate'"):
        codec_file("opus").point(bitrat=6000)
    with pytest.raises(ValueError, match="3 points have these settings: 16bit_24khz, 16bit_16khz, 16bit_8khz"):
        codec_file("pcm").point(bits=16)
    with pytest.raises(ValueError, match="5 points"):
        pick(codec_file("opus").POINTS, {})
    with pytest.raises(ValueError, match="n_q 33 is not a choice"):
        codec_file("mimi").point(n_q=33)
    with pytest.raises(ValueError, match="bitrate 12k is not a choice"):
        codec_file("opus").point(bitrate="12k")
