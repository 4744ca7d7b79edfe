"""Coding again what was decoded: how many tokens stay, and what is left after two and five generations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.audio import resample
from bench.dataset import Utterance
from bench.mel import mel_filterbank
from bench.metric import Audio, MetricEntry, NotApplicable, Sent, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.metrics._spectrum import amplitude
from bench.needs import Need
from bench.record import MetricInfo, Score

if TYPE_CHECKING:
    from torch import Tensor

    from bench.codec import Encoded, Stream

_SAMPLE_RATE = 16000
_GENERATIONS = (1, 2, 5)
_N_FFT, _HOP, _MELS = 1024, 256, 80


def _info(name: str, unit: str, higher_is_better: bool, definition: str) -> MetricInfo:
    return MetricInfo(
        name=name,
        unit=unit,
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=higher_is_better,
        definition=definition,
        source="this project",
        licence="Apache-2.0",
        diagnostic=True,
        of_stream=True,
    )


METRICS: Mapping[str, MetricEntry] = {
    **entries(
        lambda names, device, options: TokensKept(),
        _info(
            "tandem_tokens",
            "%",
            True,
            "Tokens of the decoded audio, coded again, that are those of the audio's own stream, base frame by base frame.",
        ),
    ),
    **entries(
        lambda names, device, options: Generations(names),
        *(
            _info(
                f"tandem_mel_{number}",
                "dB",
                False,
                f"Mean absolute difference of {_MELS} mel bands from the reference, coded {'once' if number == 1 else f'{number} times'}.",
            )
            for number in _GENERATIONS
        ),
    ),
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return []


load = loader(METRICS)


class TokensKept:
    names = ("tandem_tokens",)
    sample_rate = _SAMPLE_RATE

    def prepare(self, reference: Utterance, audio: Audio) -> None:
        check_signal(audio, "the reference")

    def score(self, prepared: None, degraded: Audio) -> Mapping[str, Score]:
        raise NotApplicable("of a recording, the codec is not here to be asked")

    def score_stream(self, prepared: None, degraded: Audio, sent: Sent) -> Mapping[str, Score]:
        if sent.encoded is None or not sent.encoded.streams:
            raise NotApplicable("the codec sends no tokens")
        again = _coded(_decoded(sent), sent)
        return {"tandem_tokens": Score(100 * kept_share(sent.encoded, again))}


@dataclass(frozen=True)
class _Reference:
    mel_db: Tensor
    num_samples: int


class Generations:
    sample_rate = _SAMPLE_RATE

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def prepare(self, reference: Utterance, audio: Audio) -> _Reference:
        check_signal(audio, "the reference", min_duration_s=_N_FFT / _SAMPLE_RATE)
        return _Reference(_mel_db(audio), len(audio))

    def score(self, prepared: _Reference, degraded: Audio) -> Mapping[str, Score]:
        raise NotApplicable("of a recording, the codec is not here to be asked")

    def score_stream(self, prepared: _Reference, degraded: Audio, sent: Sent) -> Mapping[str, Score]:
        import torch

        wanted = {int(name.rpartition("_")[2]): name for name in self.names}
        scores, samples = {}, _decoded(sent)
        for generation in range(1, max(wanted) + 1):
            if generation > 1:
                with torch.inference_mode():
                    samples = sent.codec().decode(_coded(samples, sent))
            if generation in wanted:
                heard = resample(samples.numpy(), sent.sample_rate, _SAMPLE_RATE)[: prepared.num_samples]
                heard = np.pad(heard, (0, prepared.num_samples - len(heard)))
                scores[wanted[generation]] = Score(float((_mel_db(heard) - prepared.mel_db).abs().mean()))
        return scores


def kept_share(one: Encoded, other: Encoded) -> float:
    """Of the tokens of two encodings of equal length, each as often as it has base frames, those that are the same."""
    same = total = 0
    for ours, theirs in zip(one.streams, other.streams, strict=True):
        first, second = _by_base_frame(ours), _by_base_frame(theirs)
        length = min(first.shape[1], second.shape[1])
        same += int((first[:, :length] == second[:, :length]).sum())
        total += first.numel()
    return same / total


def _by_base_frame(stream: Stream) -> Tensor:
    return stream.tokens if stream.durations is None else stream.tokens.repeat_interleave(stream.durations, dim=1)


def _decoded(sent: Sent) -> Tensor:
    import torch

    return torch.from_numpy(sent.audio)


def _coded(samples: Tensor, sent: Sent) -> Encoded:
    import torch

    with torch.inference_mode():
        return sent.codec().encode(sent.codec().analyse(samples), sent.point)


def _mel_db(audio: Audio) -> Tensor:
    import torch

    spectrum = amplitude(torch.tensor(audio), torch.hann_window(_N_FFT), _HOP)
    return 20 * torch.log10((mel_filterbank(_SAMPLE_RATE, _N_FFT, _MELS) @ spectrum).clamp(min=1e-5))
