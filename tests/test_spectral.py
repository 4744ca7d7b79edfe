"""The spectral backbone: lengths, time alignment, and an inverse STFT that inverts."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.nn.spectral import ConvNeXtBlock, SpectralCodec, SpectralDecoder, SpectralEncoder

SIZES = {"width": 16, "hidden": 24, "blocks": 2, "latent_dim": 8}


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) / 10


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("num_samples", [1, 199, 200, 201, 16000])
def test_frames_are_the_ceiling_of_samples_over_hop(num_samples: int, stride: int) -> None:
    hop = 200 * stride
    latents = SpectralEncoder(**SIZES, n_fft=640, stride=stride)(noise(2, num_samples))
    assert latents.shape == (2, 8, -(-num_samples // hop))
    assert SpectralDecoder(**SIZES, n_fft=640, stride=stride)(latents).shape == (2, latents.shape[-1] * hop)


@pytest.mark.parametrize("n_fft", [400, 640, 800])
def test_overlap_add_inverts_the_analysis(n_fft: int) -> None:
    decoder = SpectralDecoder(**SIZES, n_fft=n_fft)
    audio, margin = noise(2, 4000), (n_fft - 200) // 2
    padded = torch.nn.functional.pad(audio, (margin, margin))
    spectrum = torch.stft(padded, n_fft, 200, window=decoder.window, center=False, return_complex=True).mT
    assert torch.allclose(decoder.overlap_add(spectrum), audio, atol=1e-5)


def test_a_click_is_seen_by_the_frame_that_holds_it() -> None:
    audio = torch.zeros(1, 4000)
    audio[0, 2100] = 1.0  # sample 100 of frame 10: its centre
    levels = SpectralEncoder(**SIZES, n_fft=640).log_magnitude(audio)[0].mean(-1)
    assert int(levels.argmax()) == 10
    assert float(levels[9]) == pytest.approx(float(levels[11]), abs=1e-4)


def test_an_item_of_a_batch_is_as_it_is_alone() -> None:
    encoder, decoder, audio = SpectralEncoder(**SIZES), SpectralDecoder(**SIZES), noise(3, 3000)
    latents = encoder(audio)
    assert torch.allclose(encoder(audio[1:2])[0], latents[1], atol=1e-5)
    assert torch.allclose(decoder(latents[1:2])[0], decoder(latents)[1], atol=1e-5)


def test_the_depthwise_layout_is_a_plain_convolution() -> None:
    block, x = ConvNeXtBlock(16, 24), noise(2, 30, 16)
    mixed = torch.nn.functional.conv1d(x.mT, block.depthwise.weight.squeeze(-1), block.depthwise.bias, padding=3, groups=16).mT
    expected = x + block.scale * block.project(torch.nn.functional.gelu(block.expand(block.norm(mixed))))
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_gradients_reach_every_parameter_through_the_quantiser() -> None:
    config = {"width": 16, "hidden": 24, "encoder_blocks": 1, "decoder_blocks": 1, "latent_dim": 8}
    codec = SpectralCodec({**config, "n_fft": 640, "hop_length": 200, "stride": 2, "levels": [5, 3]})
    codec.decoder(codec.quantizer(codec.encoder(noise(2, 4000))).features).square().mean().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.abs().sum() > 0) for parameter in codec.parameters())


def test_contrast_moves_log_magnitudes_from_their_mean_over_frequency_and_nothing_else() -> None:
    decoder = SpectralDecoder(**SIZES, n_fft=640)
    torch.nn.init.normal_(decoder.head.bias, std=0.1, generator=torch.Generator().manual_seed(1))
    seen: list[torch.Tensor] = []
    decoder.head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach()))
    latents = noise(2, 8, 30)
    decoder(latents)
    decoder.raise_contrast(0.25)
    decoder(latents)
    (before, phase), (after, phase_after) = (output.chunk(2, dim=-1) for output in seen)
    mean = before.mean(-1, keepdim=True)
    assert torch.allclose(after, mean + 1.25 * (before - mean), atol=1e-5)
    assert torch.equal(phase_after, phase)
