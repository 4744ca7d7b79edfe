"""The networks that recipes train, each as one pass from audio to audio with whatever merging its stage asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench.codecs.nn.segment import expand, merge
from bench.codecs.nn.spectral import SpectralCodec
from bench.codecs.training.merging import Merging
from bench.codecs.training.recipe import SpectralModel


@dataclass(frozen=True)
class Reconstruction:
    """Audio [B, T] of a training pass, and the losses that arise within the network, by name, unweighted."""

    audio: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


class TrainableSpectral(SpectralCodec):
    """The tiny family's network; segments of frames are averaged before FSQ and repeated after it."""

    def __init__(self, config: SpectralModel, merging: Merging | None) -> None:
        super().__init__(config.model_dump())
        self.config = config
        self.merging = merging

    def forward(self, audio: Tensor, step: int | None) -> Reconstruction:
        """One pass over `audio` [B, T]; `step` seeds and paces the merging in training, None merges as inference does."""
        latents = self.encoder(audio)
        with torch.autocast(audio.device.type, enabled=False):
            latents = latents.float()
            durations = None if self.merging is None else self.merging.durations(latents.detach(), step)
            if durations is None:
                quantised = self.quantizer(latents).features
            else:
                quantised = expand(self.quantizer(merge(latents, durations)).features, durations)
        return Reconstruction(self.decoder(quantised)[:, : audio.shape[-1]])

    def from_start(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`tensors` of a model with stride 1, widened to this stride: it starts by averaging frames and repeating them."""
        stride = self.config.stride
        widened = dict(tensors)
        if stride > 1 and tensors["decoder.embed.bias"].numel() * stride == self.decoder.embed.bias.numel():
            widened["encoder.project.weight"] = tensors["encoder.project.weight"].float().repeat(1, stride) / stride
            widened["decoder.embed.weight"] = tensors["decoder.embed.weight"].repeat(stride, 1)
            widened["decoder.embed.bias"] = tensors["decoder.embed.bias"].repeat(stride)
        return widened
