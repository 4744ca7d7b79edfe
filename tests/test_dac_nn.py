"""DAC's encoder and decoder against golden taps of the original and against the independent DAC of `transformers`."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from bench.codecs.nn.dac import DACDecoder, DACEncoder

FLEXI_STRIDES = (4, 4, 5, 8, 2)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def golden(shared):
    return load_file(shared / "golden/flexicodec/small_codec.safetensors")


@torch.inference_mode()
def test_every_encoder_layer_matches_the_original(golden):
    encoder = DACEncoder(4, FLEXI_STRIDES, latent_dim=32)
    encoder.load_state_dict(under(golden, "w/dac.encoder."))
    x = padded = torch.nn.functional.pad(golden["audio"], (0, -golden["audio"].shape[-1] % encoder.hop_length))
    for index, layer in enumerate(encoder.block):
        x = layer(x)
        tap = golden[f"t0.9_q5/encblk{index}"]  # the first item, long taps cut
        assert relative_error(x[:1, :, : tap.shape[-1]], tap) < 1e-4, f"block {index}"
    assert relative_error(x, golden["t0.9_q5/acoustic_features"]) < 1e-4
    assert torch.equal(encoder(padded[:, 0]), x)


@torch.inference_mode()
def test_every_decoder_layer_matches_the_original(golden):
    decoder = DACDecoder(32, 64, FLEXI_STRIDES[::-1])
    decoder.load_state_dict(under(golden, "w/dac.decoder."))
    x = golden["t0.9_q5/bottleneck_out"]
    for index, layer in enumerate(decoder.model):
        x = layer(x)
        tap = golden[f"t0.9_q5/decblk{index}"]
        assert relative_error(x[:1, :, : tap.shape[-1]], tap) < 1e-4, f"layer {index}"
    assert relative_error(x, golden["t0.9_q5/audio_out"]) < 1e-4
    assert torch.equal(decoder(golden["t0.9_q5/bottleneck_out"]), x[:, 0])


@torch.inference_mode()
def test_24_khz_layout_equals_the_dac_of_transformers():
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    strides = [2, 4, 5, 8]
    config = DacConfig(encoder_hidden_size=4, decoder_hidden_size=32, sampling_rate=24000, downsampling_ratios=strides)
    theirs = DacModel(config).eval()
    theirs.apply_weight_norm()
    encoder, decoder = DACEncoder(4, strides), DACDecoder(64, 32, strides[::-1])
    for ours, other in ((encoder, theirs.encoder), (decoder, theirs.decoder)):
        ours.load_state_dict(renamed(other.state_dict(), ours.state_dict()))
    audio = torch.randn((2, 3200), generator=torch.Generator().manual_seed(1)) * 0.1
    features = encoder(audio)
    assert relative_error(features, theirs.encoder(audio[:, None])) < 1e-5
    assert relative_error(decoder(features), theirs.decoder(features)[:, 0]) < 1e-5


def renamed(theirs: dict[str, torch.Tensor], ours: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Their tensors under our names: the layers come in the same order, the tensors of a layer do not."""
    leaves = {"original0": "weight_g", "original1": "weight_v"}
    their_layers, our_layers = in_layers(theirs), in_layers(ours)
    assert len(their_layers) == len(our_layers)
    return {
        f"{name}.{leaves.get(leaf, leaf)}": tensor
        for name, layer in zip(our_layers, their_layers.values(), strict=True)
        for leaf, tensor in layer.items()
    }


def in_layers(state: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Tensors grouped by layer, in order of first appearance."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        layer, leaf = name.replace(".parametrizations.weight.", ".").rsplit(".", 1)
        layers.setdefault(layer, {})[leaf] = tensor
    return layers


@pytest.mark.parametrize(("strides", "missing"), [((8, 5, 4, 2), 8), ((2, 8, 5, 4, 4), 16), ((4, 2), 0)], ids=str)
@torch.inference_mode()
def test_odd_strides_end_early(strides, missing):
    decoder = DACDecoder(8, 32, strides)
    hop_length = DACEncoder(1, strides[::-1]).hop_length
    for frames in (1, 2, 7):
        assert decoder(torch.randn(1, 8, frames)).shape == (1, hop_length * frames - missing)
