"""The network of UTMOS22 strong, and the metric that asks it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
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


class Utmos:
    names = ("utmos",)
    sample_rate = _SAMPLE_RATE

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        path = resolve(checkpoint, "utmos")
        self._device = device
        model = StrongLearner()
        load_strictly(model, {_our_name(name): tensor for name, tensor in load_torch(path).items()}, path)
        self._model = model.eval().to(device)

    def prepare(self, reference: Utterance, audio: Audio) -> None:
        return None

    @torch.inference_mode()
    def score(self, prepared: None, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal", _MIN_DURATION_S, _SAMPLE_RATE)
        return {"utmos": Score(float(self._model(torch.tensor(degraded, device=self._device)[None])))}


class StrongLearner(nn.Module):
    """Audio [B, T] -> MOS [B]; a batch of unequal lengths would shift the scores."""

    def __init__(self) -> None:
        super().__init__()
        torchaudio_guard.install()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        self.wav2vec2 = Wav2Vec2Model(Wav2Vec2Config())  # the defaults are those of the base model
        self.domain_emb = nn.Parameter(torch.empty(1, 128))
        self.judge_emb = nn.Parameter(torch.empty(1, 128))
        self.blstm = nn.LSTM(768 + 128 + 128, 512, batch_first=True, bidirectional=True)
        self.projection = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 1))

    def forward(self, audio: Tensor) -> Tensor:
        features = self.wav2vec2(audio).last_hidden_state
        condition = torch.cat([self.domain_emb, self.judge_emb], dim=1).expand(*features.shape[:2], -1)
        scores = self.projection(self.blstm(torch.cat([features, condition], dim=2))[0])
        return 3 + 2 * scores.mean(dim=(1, 2))  # trained on MOS mapped from 1..5 to -1..1


def _our_name(name: str) -> str:
    inner = name.removeprefix("wav2vec2.")
    return name if inner == name else f"wav2vec2.{transformers_name(inner)}"
