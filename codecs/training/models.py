"""The networks that recipes train, each as one pass from audio to audio with whatever merging its stage asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench.codecs.nn.fsq import FSQ
from bench.codecs.nn.segment import expand, merge
from bench.codecs.nn.spectral import SpectralDecoder, SpectralEncoder
from bench.codecs.training.merging import Merging
from bench.codecs.training.recipe import SpectralModel


@dataclass(frozen=True)
class Reconstruction:
    """Audio [B, T] of a training pass, and the losses that arise within the network, by name, unweighted."""

    audio: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


class SpectralCodec(nn.Module):
    """Encoder, FSQ and decoder of the tiny family; segments of frames are averaged before FSQ and repeated after it."""

    def __init__(self, config: SpectralModel) -> None:
        super().__init__()
        stft = {"n_fft": config.n_fft, "hop_length": config.hop_length, "stride": config.stride}
        self.encoder = SpectralEncoder(config.width, config.hidden, config.encoder_blocks, config.latent_dim, **stft)
        self.quantizer = FSQ(config.latent_dim, config.levels)
        self.decoder = SpectralDecoder(config.width, config.hidden, config.decoder_blocks, config.latent_dim, **stft)

    def forward(self, audio: Tensor, merging: Merging | None, step: int | None) -> Reconstruction:
        """One pass over `audio` [B, T]; `step` seeds and paces the merging in training, None merges as inference does."""
        latents = self.encoder(audio)
        with torch.autocast(audio.device.type, enabled=False):
            latents = latents.float()
            durations = None if merging is None else merging.durations(latents.detach(), step)
            if durations is None:
                quantised = self.quantizer(latents).features
            else:
                quantised = expand(self.quantizer(merge(latents, durations)).features, durations)
        return Reconstruction(self.decoder(quantised)[:, : audio.shape[-1]])
