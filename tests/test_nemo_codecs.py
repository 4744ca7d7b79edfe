"""LFSC and its siblings through NeMo's AudioCodecModel, on tiny .nemo files that NeMo's own save_to wrote."""

from __future__ import annotations

import math
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bench.bitstream import pack
from bench.codecs.series.nemo import CODECS
from bench.conformance import check_codec
from bench.errors import Unavailable, UserError
from tests import tiny_nemo
from tests.tiny_codecs import noise

lfsc = CODECS["lfsc"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def nemo_file(tmp_path_factory) -> Path:
    return tiny_nemo.save_codec(tmp_path_factory.mktemp("nemo"))


@pytest.mark.slow
def test_lfsc_equals_nemos_own_restore(nemo_file):
    from nemo.collections.tts.models import AudioCodecModel

    codec, theirs = lfsc.load(str(nemo_file), CPU), AudioCodecModel.restore_from(str(nemo_file), map_location="cpu").eval()
    samples, point = noise(30000), lfsc.POINTS["1.89kbps"]
    encoded = codec.encode(codec.analyse(samples), point)
    with torch.inference_mode():
        tokens, length = theirs.encode(audio=samples[None], audio_len=torch.tensor([len(samples)]))
        expected, _ = theirs.decode(tokens=tokens, tokens_len=length)
    assert torch.equal(encoded.streams[0].tokens, tokens[0].long())
    assert torch.equal(codec.decode(encoded), expected[0, : len(samples)])
    assert encoded.streams[0].codebook_sizes == (2016,) * 8
    assert pack(encoded).bits_tokens == pytest.approx(8 * 30 * 10.977, abs=8)
    with pytest.raises(ValueError, match=r"8 codebooks at 21\.53 Hz, not 4 at 12\.5"):
        codec.encode(codec.analyse(samples), lfsc.point(frame_rate=12.5, n_q=4))
    checks = check_codec(codec, [point], noise(44100).numpy(), is_trained=False, longest_s=3.0)
    assert not [check for check in checks if not check.passed]


@pytest.mark.slow
def test_lfsc_fetches_no_discriminator_and_takes_no_gap(nemo_file, tmp_path):
    """The published configuration names a WavLM discriminator, which NeMo's own restore fetches; and NeMo passes over missing tensors."""
    with tarfile.open(nemo_file) as archive:
        archive.extractall(tmp_path, filter="data")
    config_file, weights_file = tmp_path / "model_config.yaml", tmp_path / "model_weights.ckpt"
    config = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    config["discriminator"] = {"_target_": "nemo.collections.tts.modules.audio_codec_modules.SLMDiscriminator"}
    config["use_scl_loss"] = True
    config_file.write_text(yaml.safe_dump(config), encoding="utf-8")

    def tokens_of(name: str) -> torch.Tensor:
        with tarfile.open(tmp_path / name, "w") as archive:
            for member in (config_file, weights_file):
                archive.add(member, arcname=f"./{member.name}")
        return lfsc.load(str(tmp_path / name), CPU).analyse(noise(9000)).tokens

    assert torch.equal(tokens_of("whole.nemo"), lfsc.load(str(nemo_file), CPU).analyse(noise(9000)).tokens)
    tensors = torch.load(weights_file, weights_only=True)
    torch.save({name: tensor for name, tensor in tensors.items() if not name.startswith("audio_decoder")}, weights_file)
    with pytest.raises(UserError, match="keys missing"):
        tokens_of("gap.nemo")


def test_siblings_are_reached_by_their_rates():
    sibling = lfsc.point(frame_rate=12.5, n_q=4)
    assert (sibling.name, sibling.frame_rate, sibling.n_q) == ("12.5hz_4q", 12.5, 4)
    with pytest.raises(ValueError, match="setting 'bandwidth' unknown"):
        lfsc.point(bandwidth=1)
    with pytest.raises(ValueError, match=r"n_q: .* got 12\.5"):
        lfsc.point(n_q=12.5)


def test_a_missing_checkpoint_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    need = lfsc.needs(None)[-1]
    assert (need.available, need.size_mb) == (False, 619)
    assert need.how == ("hf download nvidia/low-frame-rate-speech-codec-22khz low-frame-rate-speech-codec-22khz.nemo --revision main")
    with pytest.raises(Unavailable, match="hf download nvidia/low-frame-rate"):
        lfsc.load(None, CPU)


def test_a_file_that_is_no_nemo_archive_is_refused(tmp_path):
    pytest.importorskip("nemo", reason="needs nemo_toolkit[asr]")
    (tmp_path / "x.nemo").write_bytes(b"nothing like it")
    with pytest.raises(UserError, match=r"not a \.nemo file"):
        lfsc.load(str(tmp_path / "x.nemo"), CPU)


# codebooks, levels and strides as the published configurations have them
SIBLINGS = {
    "nano_1890bps": (8, [8, 7, 6, 6], [2, 2, 4, 8, 8], 22050),
    "nano_1780bps": (13, [8, 7, 6, 6], [2, 3, 6, 7, 7], 22050),
    "nano_600bps": (4, [9, 8, 8, 7], [2, 3, 6, 7, 7], 22050),
    "nemo_audio_22k": (8, [8, 5, 5, 5], [2, 2, 8, 8], 22050),
    "nemo_audio_44k": (8, [8, 5, 5, 5], [2, 4, 8, 8], 44100),
    "nemo_mel_22k": (8, [8, 5, 5, 5], [2, 2, 8, 8], 22050),
    "nemo_mel_44k": (8, [8, 5, 5, 5], [2, 4, 8, 8], 44100),
}


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_sibling_spends_what_its_name_says(name):
    n_q, levels, strides, sample_rate = SIBLINGS[name]
    (point,) = CODECS[name].POINTS.values()
    assert (point.n_q, point.frame_rate) == (n_q, pytest.approx(sample_rate / math.prod(strides)))
    assert point.frame_rate * n_q * math.log2(math.prod(levels)) == pytest.approx(1000 * float(point.name.removesuffix("kbps")), rel=0.01)
    assert CODECS[name].needs(None)[-1].how.startswith(f"hf download nvidia/{CODECS[name].repo} {CODECS[name].repo}.nemo --revision ")


@pytest.mark.slow
@pytest.mark.parametrize("name", SIBLINGS)
def test_a_sibling_loads_and_keeps_the_contract(name, tmp_path):
    n_q, levels, strides, sample_rate = SIBLINGS[name]
    path = tiny_nemo.save_codec(tmp_path, n_q, levels, strides, sample_rate, causal=name.startswith("nano"), mel="mel" in name)
    codec: Any = CODECS[name].load(str(path), CPU)
    (point,) = CODECS[name].POINTS.values()
    assert (codec.sample_rate, codec.hop_length) == (sample_rate, math.prod(strides))
    encoded = codec.encode(codec.analyse(noise(sample_rate)), point)
    assert encoded.streams[0].codebook_sizes == (math.prod(levels),) * n_q
    together, _ = codec.model.encode(audio=torch.stack([noise(9000), noise(9000, 1)]), audio_len=torch.tensor([9000, 9000]))
    assert torch.equal(codec.analyse(noise(9000, 1)).tokens, together[1].long())  # a batch is its signals one by one
    checks = check_codec(codec, [point], noise(2 * sample_rate).numpy(), is_trained=False, longest_s=3.0)
    assert not [check for check in checks if not check.passed]
