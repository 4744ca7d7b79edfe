"""The network of DistillMOS, and the metric that asks it; parameters are named as in the published file.

The package itself imports torchaudio for what only its command line needs, so only its file of weights is read.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.checkpoint import load_strictly, load_torch
from bench.dataset import Utterance
from bench.errors import Unavailable
from bench.metric import Audio
from bench.metrics._checks import check_signal
from bench.record import Score

_SAMPLE_RATE = 16000
_MIN_DURATION_S = 0.5
_WINDOW = 122880  # samples heard at a time; shorter audio is padded with zeros
_MAX_HOP = 16000  # samples from one window to the next
_N_FFT, _HOP_LENGTH = 320, 160
_FRAMES = 384  # of a window, after the last convolution halves them
_CHANNELS = (64, 64, 128, 256, 256, 256)
_BANDS = 4  # left of 161 after six convolutions
_WIDTH, _HEADS, _LAYERS = 200, 8, 7


class DistillMos:
    names = ("distillmos",)
    sample_rate = _SAMPLE_RATE

    def __init__(self, device: torch.device) -> None:
        path = weights_file()
        network = Network()
        load_strictly(network, load_torch(path)["model"], path)
        self._device = device
        self._network = network.eval().to(device)

    def prepare(self, reference: Utterance, audio: Audio) -> None:
        return None

    @torch.inference_mode()
    def score(self, prepared: None, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal", _MIN_DURATION_S, _SAMPLE_RATE)
        windows = _windows(torch.tensor(degraded)).to(self._device)
        return {"distillmos": Score(float(self._network(windows).double().mean()))}


def weights_file() -> Path:
    spec = importlib.util.find_spec("distillmos")  # without importing it
    if spec is None or spec.origin is None:
        raise Unavailable("distillmos: pip install 'speech-codec-bench[mos]'")
    return Path(spec.origin).parent / "weights" / "distill_mos_v7.pt"


def _windows(audio: Tensor) -> Tensor:
    """[N, _WINDOW] of float32 [T]: evenly spaced from the first sample to the last, each with a peak of 1."""
    beyond = max(0, len(audio) - _WINDOW)
    audio = F.pad(audio, (0, max(0, _WINDOW - len(audio))))
    starts = [int(share * beyond) for share in np.linspace(0, 1, math.ceil(beyond / _MAX_HOP) + 1)]
    windows = torch.stack([audio[start : start + _WINDOW] for start in starts])
    return windows / (windows.abs().amax(dim=1, keepdim=True) + 1e-8)


class Network(nn.Module):
    """Windows [N, _WINDOW] to MOS [N]."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = _Convolutions()
        self.transformer_pool_attn = _Judge()

    def forward(self, windows: Tensor) -> Tensor:
        return 1 + 4 * self.transformer_pool_attn(self.cnn(windows))


class _Convolutions(nn.Module):
    """Windows [N, T] to features [N, _FRAMES, 1024] of the compressed complex spectrum."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (into, out) in enumerate(zip((2, *_CHANNELS), _CHANNELS, strict=False)):
            stride = (1 if number == 0 else 2, 2 if number == len(_CHANNELS) - 1 else 1)  # of bands, of frames
            layers += [nn.Conv2d(into, out, 3, stride, padding=(0, 1)), nn.LeakyReLU(0.1)]
        self.cnn = nn.Sequential(*layers)

    def forward(self, windows: Tensor) -> Tensor:
        padded = F.pad(windows[:, None], ((_N_FFT - _HOP_LENGTH) // 2,) * 2, mode="reflect")[:, 0]
        window = torch.hann_window(_N_FFT, device=windows.device)
        spectrum = torch.stft(padded, _N_FFT, _HOP_LENGTH, window=window, center=False, return_complex=True)
        parts = torch.view_as_real(spectrum)
        level = parts.square().sum(dim=-1, keepdim=True).sqrt().clamp_min(1e-12)
        compressed = level**0.3 * parts / level
        return self.cnn(compressed.permute(0, 3, 1, 2)).flatten(1, 2).mT


class _Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        features = _CHANNELS[-1] * _BANDS
        self.norm_input = nn.BatchNorm1d(features)
        self.transformer = _Transformer(features)
        self.norm_trans = nn.BatchNorm1d(_WIDTH)
        self.pool = _Pooling()

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.transformer(self.norm_input(features.mT).mT)
        return self.pool(self.norm_trans(hidden.mT).mT).sigmoid()


class _Transformer(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.position_encoding = _Positions()
        self.linear_proj = nn.Linear(features, _WIDTH)
        layer = nn.TransformerEncoderLayer(_WIDTH, _HEADS, 2 * _WIDTH, dropout=0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, _LAYERS)

    def forward(self, features: Tensor) -> Tensor:
        return self.transformer_encoder(self.linear_proj(self.norm(features.mT).mT) + self.position_encoding.pe)


class _Positions(nn.Module):
    pe: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pe", torch.empty(1, _FRAMES, _WIDTH))  # in the published file


class _Pooling(nn.Module):
    """[N, F, _WIDTH] to one value each: frames weighted by what a small network thinks of them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(_WIDTH, 2 * _WIDTH)
        self.linear2 = nn.Linear(2 * _WIDTH, 1)
        self.linear3 = nn.Linear(_WIDTH, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        weights = self.linear2(self.linear1(hidden).relu()).softmax(dim=1)
        return self.linear3((weights * hidden).sum(dim=1))[:, 0]
