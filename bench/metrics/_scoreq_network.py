"""The network of SCOREQ, and the metric that asks it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import torchaudio_guard
from bench.checkpoint import load_strictly, load_torch, resolve
from bench.dataset import Utterance
from bench.metric import Audio
from bench.metrics._checks import check_signal
from bench.metrics._wav2vec2 import transformers_name
from bench.record import Score

_SAMPLE_RATE = 16000
_MIN_DURATION_S = 0.5
_STRIDE = 320  # samples of a frame: audio is padded with zeros to whole ones


class ScoreqReference:
    names = ("scoreq_ref",)
    sample_rate = _SAMPLE_RATE

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        path = resolve(checkpoint, "scoreq_ref")
        network = Network()
        load_strictly(network, {_our_name(name): tensor for name, tensor in load_torch(path).items()}, path)
        self._device = device
        self._network = network.eval().to(device)

    def prepare(self, reference: Utterance, audio: Audio) -> Tensor:
        check_signal(audio, "the reference", _MIN_DURATION_S, _SAMPLE_RATE)
        return self._embed(audio)

    def score(self, prepared: Tensor, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal", _MIN_DURATION_S, _SAMPLE_RATE)
        return {"scoreq_ref": Score(float((self._embed(degraded) - prepared).norm()))}

    @torch.inference_mode()
    def _embed(self, audio: Audio) -> Tensor:
        """float32 [768] of norm 1."""
        padded = F.pad(torch.tensor(audio, device=self._device), (0, -len(audio) % _STRIDE))
        return F.normalize(self._network(padded[None]), dim=1)[0]


class Network(nn.Module):
    """Audio [B, T] to the mean of wav2vec 2.0's last layer [B, 768]. The embedding layer is of training, and in the file."""

    def __init__(self) -> None:
        super().__init__()
        torchaudio_guard.install()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.ssl_model = Wav2Vec2Model(Wav2Vec2Config())  # the defaults are those of the base model
        self.embedding_layer = nn.Sequential(nn.ReLU(), nn.Linear(768, 256))

    def forward(self, audio: Tensor) -> Tensor:
        return self.ssl_model(audio).last_hidden_state.mean(dim=1)


def _our_name(name: str) -> str:
    inner = name.removeprefix("ssl_model.")
    return name if inner == name else f"ssl_model.{transformers_name(inner)}"
