"""Our own networks of one codebook as codecs: encoder, quantiser, decoder, at the one rate of the network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.codec import Encoded, OperatingPoint, Stream, check_audio
from bench.codecs.bases.received import check_length, only_stream
from bench.codecs.nn.bigcodec import BigCodec
from bench.codecs.nn.spectral import SpectralCodec


@dataclass(frozen=True)
class Latent:
    """Encoder output float32 [D, F] at the base frame rate, of audio `num_samples` long."""

    features: Tensor
    num_samples: int


class SingleCodec:
    """A loaded model; `analyse`, `encode` and `decode` are described in bench/codec.py.

    max_duration   base frames that a token may last
    """

    max_duration = 1

    def __init__(self, network: SpectralCodec | BigCodec, sample_rate: int, weights_sha256: str, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device
        self.sample_rate = sample_rate
        self.hop_length = network.hop_length
        self.parameters = sum(parameter.numel() for parameter in network.parameters())
        self.weights_sha256 = weights_sha256

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> Latent:
        padded = F.pad(check_audio(audio).to(self.device), (0, -len(audio) % self.hop_length))
        return Latent(self.network.encoder(padded[None])[0], len(audio))

    @torch.inference_mode()
    def encode(self, latent: Latent, point: OperatingPoint) -> Encoded:
        own_rate = self.sample_rate / self.hop_length
        if abs(point.frame_rate - own_rate) > 0.01:
            raise ValueError(f"this checkpoint has {own_rate:g} Hz, not {point.frame_rate:g}: each rate is a checkpoint of its own")
        stream = Stream(self.tokens_of(latent.features), (self.network.quantizer.codebook_size,))
        return Encoded((stream,), latent.num_samples)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        stream = only_stream(encoded, (self.network.quantizer.codebook_size,), self.max_duration)
        base_frames = stream.num_frames if stream.durations is None else int(stream.durations.sum())
        check_length(base_frames, encoded.num_samples, self.hop_length)
        audio = self.network.decoder(self.features_of(stream))[0]
        return audio[: encoded.num_samples].cpu()

    def tokens_of(self, features: Tensor) -> Tensor:
        """int64 [1, K] on the CPU, of `features` [D, K]."""
        return self.network.quantizer(features[None]).tokens[0].cpu()

    def features_of(self, stream: Stream) -> Tensor:
        """What the decoder takes, float32 [1, D, F] at the base frame rate."""
        return self.network.quantizer.decode(stream.tokens[None].to(self.device))
