"""Speaker similarity: cosine of two utterances' embeddings; the ranges of different models do not overlap, so each has its own column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench import torchaudio_guard
from bench.checkpoint import load_strictly, load_torch, resolve
from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, MetricFailure, entries, loader
from bench.metrics._checks import check_options, check_signal, load_pretrained, pretrained, split_revision
from bench.metrics._citations import cite
from bench.needs import Need, package, weights
from bench.record import MetricInfo, Score

if TYPE_CHECKING:
    import torch

_SAMPLE_RATE = 16000
_MIN_DURATION_S = 0.5
_WAVLM = "microsoft/wavlm-base-plus-sv@feb593a6c23c1cc3d9510425c29b0a14d2b07b1e"
_ECAPA = "hf:speechbrain/spkrec-ecapa-voxceleb/embedding_model.ckpt@0f99f2d0ebe89ac095bcc5903c4dd8f72b367286"

Embed = Callable[[Audio], np.ndarray]  # audio float32 [T] at 16 kHz -> embedding [D]

METRICS: Mapping[str, MetricEntry] = {
    **entries(
        lambda names, device, options: SpeakerSimilarity(names, _wavlm(options.get("checkpoint", _WAVLM), device)),
        MetricInfo(
            name="sim_wavlm_base_plus_sv",
            unit="",
            version=1,
            sample_rate=_SAMPLE_RATE,
            higher_is_better=True,
            accelerated=True,
            definition="Cosine of WavLM base+ x-vectors.",
            source="microsoft/wavlm-base-plus-sv, WavLMForXVector of transformers",
            licence="CC BY-SA 3.0 (weights)",
            citation=cite("chen2022wavlm"),
        ),
    ),
    **entries(
        lambda names, device, options: SpeakerSimilarity(names, _resemblyzer(device)),
        MetricInfo(
            name="secs_resemblyzer",
            unit="",
            version=1,
            sample_rate=_SAMPLE_RATE,
            higher_is_better=True,
            accelerated=True,
            definition="Cosine of Resemblyzer's embeddings after its own level adjustment and trimming of silences.",
            source="resemblyzer 0.1.4, weights in the package",
            licence="Apache-2.0 (resemblyzer)",
            citation=cite("wan2018ge2e"),
        ),
    ),
    **entries(
        lambda names, device, options: SpeakerSimilarity(names, _ecapa(options.get("checkpoint", _ECAPA), device)),
        MetricInfo(
            name="sim_ecapa",
            unit="",
            version=1,
            sample_rate=_SAMPLE_RATE,
            higher_is_better=True,
            accelerated=True,
            definition="Cosine of ECAPA-TDNN embeddings (VoxCeleb, 192 values).",
            source="speechbrain/spkrec-ecapa-voxceleb",
            licence="Apache-2.0 (weights)",
            citation=cite("desplanques2020ecapa"),
        ),
    ),
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["checkpoint"])
    checkpoint = options.get("checkpoint")
    required = {
        "sim_wavlm_base_plus_sv": [
            package("transformers", "transformers>=5", "Apache-2.0"),
            pretrained("sim_wavlm_base_plus_sv", checkpoint or _WAVLM, size_mb=405, licence="CC BY-SA 3.0"),
        ],
        # its own requirement, webrtcvad, is built from source and needs a setuptools that still has pkg_resources
        "secs_resemblyzer": [
            package("resemblyzer", "resemblyzer>=0.1.4", "Apache-2.0"),
            package("webrtcvad", "webrtcvad-wheels", "MIT"),
        ],
        "sim_ecapa": [
            package("speechbrain", "speechbrain>=1.0", "Apache-2.0"),
            package("torchaudio", "torchaudio", "BSD-2-Clause"),
            weights("sim_ecapa", checkpoint or _ECAPA, size_mb=83, licence="Apache-2.0"),
        ],
    }
    return [need for name in names for need in required[name]]


load = loader(METRICS)


class SpeakerSimilarity:
    sample_rate = _SAMPLE_RATE

    def __init__(self, names: tuple[str, ...], embed: Embed) -> None:
        self.names = names
        self._embed = embed

    def prepare(self, reference: Utterance, audio: Audio) -> np.ndarray:
        check_signal(audio, "the reference", _MIN_DURATION_S, _SAMPLE_RATE)
        return self._unit(audio)

    def score(self, prepared: np.ndarray, degraded: Audio) -> Mapping[str, Score]:
        check_signal(degraded, "the degraded signal", _MIN_DURATION_S, _SAMPLE_RATE)
        return {self.names[0]: Score(float(prepared @ self._unit(degraded)))}

    def _unit(self, audio: Audio) -> np.ndarray:
        embedding = self._embed(audio).astype(np.float64)
        return embedding / np.linalg.norm(embedding)


def _wavlm(checkpoint: str, device: torch.device) -> Embed:
    torchaudio_guard.install()
    import torch
    from transformers import Wav2Vec2FeatureExtractor, WavLMForXVector

    repo, revision = split_revision(checkpoint)
    model = load_pretrained(WavLMForXVector, checkpoint).to(device)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(repo, revision=revision)

    def embed(audio: Audio) -> np.ndarray:
        with torch.inference_mode():
            inputs = extractor(audio, sampling_rate=_SAMPLE_RATE, return_tensors="pt").to(device)
            return model(**inputs).embeddings[0].cpu().numpy()

    return embed


def _resemblyzer(device: torch.device) -> Embed:
    from resemblyzer import VoiceEncoder, preprocess_wav

    encoder = VoiceEncoder(device, verbose=False)

    def embed(audio: Audio) -> np.ndarray:
        speech = preprocess_wav(audio, source_sr=_SAMPLE_RATE)
        if not len(speech):
            raise MetricFailure("Resemblyzer's voice activity detector finds no speech")
        return encoder.embed_utterance(speech)

    return embed


def _ecapa(checkpoint: str, device: torch.device) -> Embed:
    torchaudio_guard.install()
    import torch
    from speechbrain.lobes.features import Fbank
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    from torch.nn import functional as F

    path = resolve(checkpoint, "sim_ecapa")
    # sizes of the model's hyperparams.yaml, which is not read because such a file can name code to run
    model = ECAPA_TDNN(80, lin_neurons=192, channels=[1024, 1024, 1024, 1024, 3072], attention_channels=128)
    load_strictly(model, load_torch(path), path)
    model.eval().to(device)
    filterbank = Fbank(n_mels=80).to(device)

    def embed(audio: Audio) -> np.ndarray:
        with torch.inference_mode():
            features = filterbank(torch.tensor(audio, device=device)[None])
            return F.normalize(model(features - features.mean(dim=1, keepdim=True)), dim=-1).flatten().cpu().numpy()

    return embed
