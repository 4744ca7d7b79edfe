"""BigCodec from a file in its authors' format, with random weights: the same network as CodecSlime's backbone, told apart by its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.codec import CodecModule, Encoded, Stream, nominal_bitrate
from bench.codecs import bigcodec
from bench.codecs.nn.bigcodec import BigCodec, Sizes
from bench.conformance import check_codec
from bench.errors import UserError

_: CodecModule = bigcodec  # mypy checks the contract

SMALL = Sizes(encoder_channels=4, decoder_channels=64, latent_dim=16, codebook_size=32)


@pytest.fixture
def network() -> BigCodec:
    torch.manual_seed(0)
    return BigCodec("vq8k", SMALL).eval()


@pytest.fixture
def published(network: BigCodec, tmp_path: Path) -> Path:
    parts = {"CodecEnc": network.encoder.state_dict(), "generator": network.decoder.state_dict()}
    torch.save(parts, tmp_path / "bigcodec.pt")
    return tmp_path / "bigcodec.pt"


def test_tokens_and_audio_are_the_networks(network: BigCodec, published: Path) -> None:
    codec = bigcodec.load(str(published), torch.device("cpu"))
    samples = torch.randn(1130, generator=torch.Generator().manual_seed(0)) / 10
    encoded = codec.encode(codec.analyse(samples), bigcodec.POINTS["80hz"])
    with torch.inference_mode():
        latents = network.encoder(torch.cat([samples, torch.zeros(70)])[None])
        quantised = network.quantizer(latents)
        audio = network.decoder(quantised.features)[0, :1130]
    assert torch.equal(encoded.streams[0].tokens, quantised.tokens[0])
    assert torch.allclose(codec.decode(encoded), audio, atol=1e-6)


def test_it_keeps_the_contract(published: Path) -> None:
    codec = bigcodec.load(str(published), torch.device("cpu"))
    speech = torch.randn(32000, generator=torch.Generator().manual_seed(0)).numpy() / 10
    checks = check_codec(codec, list(bigcodec.POINTS.values()), speech, is_trained=False, longest_s=3.0)
    assert not [check for check in checks if not check.passed]


def test_the_bitrate_is_the_papers() -> None:
    second = Encoded((Stream(torch.zeros(1, 80, dtype=torch.int64), (8192,)),), 16000)
    assert nominal_bitrate(second, 1.0) == 1040  # the paper's 1.04 kbit/s


def test_names_and_shapes_of_the_quantiser_and_the_ends_are_the_authors() -> None:
    """As their code names them (vq/codec_encoder.py, codec_decoder.py, factorized_vector_quantize.py)."""
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in BigCodec("vq8k", Sizes()).state_dict().items()}
    assert shapes["encoder.block.0.weight_v"] == (48, 1, 7)
    assert shapes["encoder.block.6.lstm.weight_ih_l1"] == (4 * 1536, 1536)
    assert shapes["encoder.block.8.weight_v"] == (1024, 1536, 3)
    assert shapes["decoder.quantizer.layers.0._codebook.weight"] == (8192, 8)
    assert shapes["decoder.quantizer.layers.0.in_proj.weight_v"] == (8, 1024)
    assert shapes["decoder.model.0.weight_v"] == (1536, 1024, 7)
    assert shapes["decoder.model.8.weight_v"] == (1, 48, 7)


@pytest.mark.parametrize("content", [{"generator": {}}, [1]], ids=["half of it", "something else"])
def test_another_file_is_refused_in_one_line(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: holds no CodecEnc and generator: not a checkpoint of BigCodec"):
        bigcodec.load(str(tmp_path / "other.pt"), torch.device("cpu"))
