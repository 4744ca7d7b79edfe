"""The network of UTMOSv2, what it looks at, and the metric that asks it.

The original draws the parts of an utterance that it looks at anew in every run, so that scores change from run to run. Here the draws are
those of NumPy's legacy generator at seed 0, in the original's order, anew for each signal: equal lengths are judged by the same parts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import torchaudio_guard
from bench.checkpoint import load_strictly, load_torch, resolve
from bench.dataset import Utterance
from bench.mel import mel_filterbank
from bench.metric import Audio
from bench.metrics._checks import check_signal
from bench.metrics._efficientnet import FEATURES, EfficientNet
from bench.metrics._spectrum import amplitude
from bench.record import Score

_SAMPLE_RATE = 16000
_MIN_DURATION_S = 0.5
_SEED = 0
_SPEECH_SAMPLES = 48000  # heard by wav2vec 2.0
_FRAME_SAMPLES = 22400  # in one image
_FRAMES = 2
_MIX = 0.4  # images of two places are mixed, by a share from Beta(0.4, 0.4)
_N_FFT, _HOP_LENGTH, _WINDOWS, _N_MELS = 4096, 32, (4096, 2048, 1024, 512), 512
_RANGE_DB = 80.0
_IMAGE = (512, 512)
_LISTENING_TESTS = 10  # that it was trained on, told as a one-hot vector
_SARULAB = 1  # the one that stands for new data


class UtmosV2:
    names = ("utmosv2",)
    sample_rate = _SAMPLE_RATE

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        path = resolve(checkpoint, "utmosv2")
        self._device = device
        with torch.device("meta"):
            network = Network()
        network.to_empty(device="cpu")
        load_strictly(network, {_our_name(name): tensor for name, tensor in load_torch(path).items()}, path)
        self._network = network.eval().to(device)
        self._filterbank = mel_filterbank(_SAMPLE_RATE, _N_FFT, _N_MELS)

    def prepare(self, reference: Utterance, audio: Audio) -> None:
        return None

    @torch.inference_mode()
    def score(self, prepared: None, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal", _MIN_DURATION_S, _SAMPLE_RATE)
        speech, images = looked_at(torch.tensor(degraded), np.random.RandomState(_SEED), self._filterbank)
        return {"utmosv2": Score(float(self._network(speech[None].to(self._device), images[None].to(self._device))))}


def looked_at(audio: Tensor, random: np.random.RandomState, filterbank: Tensor) -> tuple[Tensor, Tensor]:
    """What the network sees of `audio` float32 [T]: speech float32 [_SPEECH_SAMPLES] and images float32 [_FRAMES * windows, *_IMAGE]."""
    speech = _excerpt(audio, _SPEECH_SAMPLES, random)
    images = []
    for _ in range(_FRAMES):
        first = _excerpt(audio, _FRAME_SAMPLES, random)
        for window in _WINDOWS:
            second = _excerpt(audio, _FRAME_SAMPLES, random)
            share = random.beta(_MIX, _MIX)
            images.append(share * _image(first, window, filterbank) + (1 - share) * _image(second, window, filterbank))
    return speech, F.interpolate(torch.stack(images)[None], _IMAGE, mode="bilinear", antialias=True)[0]


def _excerpt(audio: Tensor, length: int, random: np.random.RandomState) -> Tensor:
    """`length` samples from a random place; what is shorter comes several times in a row."""
    if len(audio) <= length:
        audio = audio.repeat(length // len(audio) + 1)
    start = random.randint(0, len(audio) - length)
    return audio[start : start + length]


def _image(audio: Tensor, window_length: int, filterbank: Tensor) -> Tensor:
    """Mel powers in decibels under the loudest, -80 dB and 0 dB mapped to 0 and 1: float32 [_N_MELS, F]."""
    window = F.pad(torch.hann_window(window_length), ((_N_FFT - window_length) // 2,) * 2)
    power = filterbank @ amplitude(audio, window, _HOP_LENGTH, pad_mode="constant").square()
    decibels = 10 * power.clamp(min=1e-10).log10()
    return (decibels - decibels.max()).clamp(min=-_RANGE_DB) / _RANGE_DB + 1


class Network(nn.Module):
    """Speech [B, _SPEECH_SAMPLES] and images [B, _FRAMES * windows, *_IMAGE] to MOS [B]; named as in the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.ssl = SpeechBranch()
        self.spec_long = ImageBranch()
        self.fc = nn.Linear(2 * SpeechBranch.width + 2 * ImageBranch.width + 3 * _LISTENING_TESTS, 1)

    def forward(self, speech: Tensor, images: Tensor) -> Tensor:
        test = F.one_hot(torch.tensor(_SARULAB, device=speech.device), _LISTENING_TESTS).expand(len(speech), -1)
        untold = torch.zeros_like(test)  # each branch was trained with the test, before the two were joined
        return self.fc(torch.cat([self.ssl(speech), untold, self.spec_long(images), untold, test], dim=1))[:, 0]


class _Pooling(nn.Module):
    """[B, F, D] to [B, 2 D]: the mean of what attends to everything, and the greatest of what came in."""

    width: int

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(self.width, 8, batch_first=True)

    def pool(self, x: Tensor) -> Tensor:
        return torch.cat([self.attention(x, x, x, need_weights=False)[0].mean(1), x.amax(1)], dim=1)


class SpeechBranch(_Pooling):
    """All layers of wav2vec 2.0, weighted."""

    width = 768

    def __init__(self) -> None:
        super().__init__()
        torchaudio_guard.install()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.encoder = Wav2Vec2Model(Wav2Vec2Config())  # the defaults are those of the base model
        self.weights = nn.Parameter(torch.empty(self.encoder.config.num_hidden_layers + 1))

    def forward(self, speech: Tensor) -> Tensor:
        normalised = F.layer_norm(speech, speech.shape[-1:], eps=1e-7)
        layers = self.encoder(normalised, output_hidden_states=True).hidden_states
        return self.pool(torch.einsum("lbfd,l->bfd", torch.stack(layers), self.weights))


class ImageBranch(_Pooling):
    """An EfficientNet a window, weighted; frames side by side, each row of the feature map a step."""

    width = 2 * FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(EfficientNet() for _ in _WINDOWS)
        self.weights = nn.Parameter(torch.empty(len(_WINDOWS)))

    def forward(self, images: Tensor) -> Tensor:
        frames = []
        for frame in images.split(len(_WINDOWS), dim=1):
            grey = frame.unsqueeze(2).expand(-1, -1, 3, -1, -1)  # the three channels of a colour image
            maps = [weight * backbone(grey[:, i]) for i, (backbone, weight) in enumerate(zip(self.backbones, self.weights, strict=True))]
            frames.append(torch.stack(maps).sum(0))
        features = torch.cat(frames, dim=3)
        return self.pool(torch.cat([features.mean(3), features.amax(3)], dim=1).mT)


def _our_name(name: str) -> str:
    name = name.replace("ssl.attn.0.", "ssl.attention.").replace("spec_long.attn.", "spec_long.attention.")
    name = name.replace("ssl.encoder.model.", "ssl.encoder.")
    name = name.replace("pos_conv_embed.conv.weight_g", "pos_conv_embed.conv.parametrizations.weight.original0")
    return name.replace("pos_conv_embed.conv.weight_v", "pos_conv_embed.conv.parametrizations.weight.original1")
