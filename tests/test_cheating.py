"""A codec that keeps the audio in place of sending it is found out; weights and audio of NaN are refused."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import checkpoint
from bench.cli import app
from bench.conformance import check, same_audio
from tests.speech import sentence

CPU = torch.device("cpu")

CHEAT = """
import torch
from bench.codec import CodecInfo, Encoded, OperatingPoint, Stream, check_audio

INFO = CodecInfo(kind="fixed", title="Sends next to nothing", licence="")
VERSION = 1
POINTS = {{"free": OperatingPoint("free", 10.0, 1)}}
KEPT = {{}}


def point(**settings):
    raise ValueError("no settings")


def needs(checkpoint):
    return []


def load(checkpoint, device):
    return Cheat()


class Cheat:
    sample_rate, hop_length, parameters, weights_sha256 = 8000, 800, 0, ""

    def __init__(self):
        self.kept = {{}}

    def analyse(self, audio):
        return check_audio(audio)

    def encode(self, latent, point):
        {keep}
        return Encoded((Stream(torch.zeros(1, -(-len(latent) // 800)).long(), (2,)),), len(latent))

    def decode(self, encoded):
        return {found}
"""

CHEATS = {
    "in itself": ("self.kept[len(latent)] = latent", "self.kept[encoded.num_samples].clone()"),
    "in a global": ("KEPT[len(latent)] = latent", "KEPT[encoded.num_samples].clone()"),
    "by a hash, else silence": (
        "KEPT[hash((len(latent), 7))] = latent",
        "KEPT.get(hash((encoded.num_samples, 7)), torch.zeros(encoded.num_samples)).clone()",
    ),
}
HONEST = ("pass", "torch.zeros(encoded.num_samples)")


def codec_of(folder: Path, keep: str, found: str) -> str:
    path = folder / "cheat.py"
    path.write_text(CHEAT.format(keep=keep, found=found), encoding="utf-8")
    return str(path)


def failing(name: str) -> list[str]:
    return [each.name for each in check(name, None, CPU) if not each.passed]


@pytest.mark.parametrize("way", CHEATS)
def test_a_codec_that_keeps_the_audio_is_found_by_a_decoder_elsewhere(way, tmp_path):
    assert "decodes elsewhere" in failing(codec_of(tmp_path, *CHEATS[way]))


def test_a_codec_that_sends_what_it_needs_decodes_elsewhere(tmp_path):
    assert "decodes elsewhere" not in failing(codec_of(tmp_path, *HONEST))


def test_the_same_audio_may_be_rounded_otherwise_and_no_more():
    speech = sentence().audio
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    assert same_audio(speech, speech)
    assert same_audio(speech, speech + 1e-6 * noise)
    assert same_audio(np.zeros(10, np.float32), np.zeros(10, np.float32))
    assert not same_audio(speech, speech[:-1])
    assert not same_audio(speech, np.zeros_like(speech))
    assert not same_audio(speech, np.roll(speech, 8))
    assert not same_audio(speech, speech + 0.03 * np.std(speech) * noise)
    assert not same_audio(speech, np.full_like(speech, np.nan))


# --- NaN ----------------------------------------------------------------------------------------------------------------------


def bench(*arguments: str) -> tuple[int, str]:
    """Exit code as the program gives it, and what was said."""
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output + str(result.exception or "")


@pytest.fixture
def wav(tmp_path) -> str:
    import soundfile

    soundfile.write(tmp_path / "in.wav", sentence().audio[:8000], 16000)
    return str(tmp_path / "in.wav")


@pytest.mark.parametrize(("codec", "name", "point"), [("fixed", "tiny_80hz", "80hz"), ("codecslime", "tiny", "40hz")])
def test_weights_of_nan_are_refused_by_encode_and_decode(codec, name, point, wav, tmp_path):
    path = checkpoint.find(name, codec)
    assert path is not None
    _, metadata = checkpoint.load_safetensors(path)
    weights = str(tmp_path / "weights.safetensors")
    save_file(load_file(path), weights, metadata)
    stream = str(tmp_path / "out.scb")
    code, told = bench("encode", wav, stream, "--codec", codec, "--checkpoint", weights, "--point", point)
    assert code == 0, told
    save_file({key: torch.full_like(tensor, torch.nan) for key, tensor in load_file(path).items()}, weights, metadata)
    for arguments in (("encode", wav, str(tmp_path / "nan.scb"), "--codec", codec, "--checkpoint", weights, "--point", point),
                      ("decode", stream, str(tmp_path / "out.wav"))):  # fmt: skip
        code, told = bench(*arguments)
        assert code != 0
        assert "NaN" in told
    assert not (tmp_path / "nan.scb").exists()
    assert not (tmp_path / "out.wav").exists()


def test_a_stream_of_another_codec_and_a_header_without_keys_are_told(wav, tmp_path):
    stream = tmp_path / "out.scb"
    assert bench("encode", wav, str(stream), "--codec", "pcm", "--point", "8bit_24khz")[0] == 0
    data = stream.read_bytes()
    body = data[8 + int.from_bytes(data[4:8], "big") :]
    header = b'{"codec": "opus", "checkpoint": null}'
    (tmp_path / "other.scb").write_bytes(data[:4] + len(header).to_bytes(4, "big") + header + body)
    code, told = bench("decode", str(tmp_path / "other.scb"), str(tmp_path / "out.wav"))
    assert code != 0
    assert "not this codec's" in told
    (tmp_path / "bare.scb").write_bytes(data[:4] + (2).to_bytes(4, "big") + b"{}" + body)
    code, told = bench("decode", str(tmp_path / "bare.scb"), str(tmp_path / "out.wav"))
    assert code != 0
    assert "does not say which codec" in told


def test_a_decoder_elsewhere_is_asked_of_a_shipped_codec():
    module = importlib.import_module("bench.codecs.amr_nb")
    if not all(need.available for need in module.needs(None)):
        pytest.skip("needs PyAV with AMR")
    assert failing("amr_nb") == []
