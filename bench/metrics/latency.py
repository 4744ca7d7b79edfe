"""Algorithmic latency of the codec itself, on the reference of each utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.audio import resample
from bench.dataset import Utterance
from bench.metric import Audio, MetricEntry, NotApplicable, Sent, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.needs import Need
from bench.record import MetricInfo, Score

_SAMPLE_RATE = 48000

METRICS: Mapping[str, MetricEntry] = entries(
    lambda names, device, options: Latency(),
    MetricInfo(
        name="latency_ms",
        unit="ms",
        version=1,
        sample_rate=_SAMPLE_RATE,
        higher_is_better=False,
        definition="Audio that must have come in before a sample can go out (framing and look-ahead, no computing), measured: how far back "
        "a change of the input reaches in the output; the whole utterance, where that has no bound.",
        source="this project",
        licence="Apache-2.0",
        diagnostic=True,
        of_stream=True,
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return []


load = loader(METRICS)


class Latency:
    names = ("latency_ms",)
    sample_rate = _SAMPLE_RATE

    def prepare(self, reference: Utterance, audio: Audio) -> Audio:
        check_signal(audio, "the reference", min_duration_s=0.5, sample_rate=_SAMPLE_RATE)
        return audio

    def score(self, prepared: Audio, degraded: Audio) -> Mapping[str, Score]:
        raise NotApplicable("of a recording, the codec is not here to be asked")

    def score_stream(self, prepared: Audio, degraded: Audio, sent: Sent) -> Mapping[str, Score]:
        """The detail `whole` is 1.0 where the codec hears the whole utterance."""
        import torch

        from bench.latency import algorithmic_latency

        speech = torch.from_numpy(resample(prepared, _SAMPLE_RATE, sent.sample_rate))
        samples = algorithmic_latency(sent.codec(), sent.point, speech, sent.sample_rate)
        whole = samples is None
        seconds = len(prepared) / _SAMPLE_RATE if samples is None else samples / sent.sample_rate
        return {"latency_ms": Score(1000 * seconds, {"whole": float(whole)})}
