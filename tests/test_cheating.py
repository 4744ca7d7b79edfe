"""A codec that keeps the audio in place of sending it is found out; weights and audio of NaN are refused."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from bench import checkpoint
from bench.cli import app
from bench.codec import Encoded, Stream
from bench.conformance import check, same_audio
from bench.run import session
from bench.suite import load_suite
from tests import toys
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


def forget_the_checkpoint(stream: Path) -> None:
    """Leaves out of a file of `bench encode` what the weights were that made it."""
    data = stream.read_bytes()
    end = 8 + int.from_bytes(data[4:8], "big")
    header = json.loads(data[8:end])
    del header["sha256"]
    text = json.dumps(header).encode()
    stream.write_bytes(data[:4] + len(text).to_bytes(4, "big") + text + data[end:])


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
    forget_the_checkpoint(Path(stream))
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


# --- what hides in a header ---------------------------------------------------------------------------------------------------


class Hides(toys.ToyCodec):
    """Sends 64 numbers of 0 to 7 of an utterance without a token, by where `told` puts them."""

    def __init__(self, told: Callable[[list[int]], dict[str, Any]]) -> None:
        super().__init__()
        self.told = told

    def encode(self, latent, point):
        secret = (latent[1000:1064] * 1e6).long().abs().remainder(8).tolist()
        return Encoded(num_samples=len(latent), **self.told(secret))

    def decode(self, encoded):
        return torch.zeros(encoded.num_samples)


def of_size(*sizes: int, frames: int = 0, **more: Any) -> Stream:
    return Stream(torch.zeros(len(sizes), frames).long(), sizes, **more)


def octal(secret: list[int]) -> int:
    return sum(digit * 8**place for place, digit in enumerate(secret[:3]))


# where it is hidden -> what is sent, and the bits that it tells
HIDDEN: dict[str, tuple[Callable[[list[int]], dict[str, Any]], int]] = {
    "sizes of codebooks": (lambda secret: {"streams": (of_size(*(2 + digit for digit in secret)),)}, 192),
    "the number of codebooks": (lambda secret: {"streams": tuple(of_size(*[2] * (1 + digit)) for digit in secret)}, 192),
    "the longest duration": (
        lambda secret: {"streams": tuple(of_size(2, durations=torch.zeros(0).long(), max_duration=1 + digit) for digit in secret[:60])},
        180,
    ),
    "kinds of durations": (
        lambda secret: {"streams": tuple(of_size(2, durations=torch.zeros(0).long(), nested=digit > 3) for digit in secret[:60])},
        60,
    ),
    "frames that cost no bit": (lambda secret: {"streams": tuple(of_size(1, frames=digit) for digit in secret[:60])}, 180),
    "one number of frames": (lambda secret: {"streams": (of_size(1, frames=octal(secret)),)}, 9),
    "the number of packets": (lambda secret: {"streams": (), "packets": (b"",) * octal(secret)}, 9),
    "lengths of packets": (lambda secret: {"streams": (), "packets": tuple(b"\0" * digit for digit in secret)}, 192),
}


@pytest.mark.parametrize("where", HIDDEN)
def test_what_hides_in_a_header_or_a_length_is_paid_for_in_a_run(where, tmp_path, monkeypatch):
    told, bits = HIDDEN[where]
    toys.run_in_this_process(monkeypatch)
    toys.install(monkeypatch, {"toy": toys.codec_module(Hides(told))}, [toys.metric_module(toys.ToyMetric())])
    toys.corpus(tmp_path)
    suite = "name: s\ndatasets: [{manifest: manifest.jsonl}]\ncodecs: [{codec: toy, points: [16levels]}]\nmetrics: [distance]\n"
    (tmp_path / "s.yaml").write_text(suite, encoding="utf-8")
    frame = session.score(load_suite(tmp_path / "s.yaml"), session.Options(tmp_path / "out"), Console(quiet=True))
    frame = frame[frame["codec"] == "toy"]
    assert len(frame) == 4
    assert set(frame["failures"]) == {"{}"}
    assert (frame["bits_tokens"] + frame["bits_side"]).min() >= 18 + bits
    assert (frame["bitrate"] * frame["duration_s"]).min() >= 18 + bits


def test_a_header_that_follows_from_what_the_process_heard_is_found_elsewhere(tmp_path):
    path = codec_of(tmp_path, "pass", "torch.zeros(encoded.num_samples)")
    text = Path(path).read_text(encoding="utf-8")
    text = text.replace("import torch\n", "import os\nimport torch\n").replace("(2,)", "(2 + os.getpid(),)")
    Path(path).write_text(text, encoding="utf-8")
    found = {each.name: each for each in check(path, None, CPU)}["decodes elsewhere"]
    assert not found.passed
    assert "its header, whose bits are not counted, is another one there" in found.detail
