"""UTMOS22 strong: naturalness predicted by wav2vec 2.0 and a BLSTM, from the checkpoint that SpeechMOS publishes, loaded strictly.

The published file holds the strong learner without its phoneme encoder, its domain (0) and judge (288) already turned into vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.metric import Metric, MetricEntry, entries, loader
from bench.metrics._checks import check_options
from bench.metrics._citations import cite
from bench.needs import Need, package, weights
from bench.record import MetricInfo

if TYPE_CHECKING:
    import torch

_CHECKPOINT = (
    "https://github.com/tarepan/SpeechMOS/releases/download/v1.0.0/utmos22_strong_step7459_v1.pt"
    "#sha256=38aa51ab79e2a4e09a1449758a4b37e9cbb2e8235a49662a732d33a9ba1e9bff"
)


def _utmos(names: tuple[str, ...], device: torch.device, options: Mapping[str, str]) -> Metric:
    from bench.metrics._utmos_network import Utmos

    return Utmos(options.get("checkpoint", _CHECKPOINT), device)


METRICS: Mapping[str, MetricEntry] = entries(
    _utmos,
    MetricInfo(
        name="utmos",
        unit="MOS",
        version=1,
        sample_rate=16000,
        higher_is_better=True,
        accelerated=True,
        definition="UTMOS22 strong learner without phoneme encoder, judge 288, domain 0, one utterance at a time; meant for English.",
        source="Saeki et al. 2022; checkpoint utmos22_strong_step7459_v1.pt of tarepan/SpeechMOS v1.0.0",
        licence="MIT (checkpoint)",
        citation=cite("saeki2022utmos"),
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["checkpoint"])
    return [
        package("transformers", "transformers>=5", "Apache-2.0"),
        weights("utmos", options.get("checkpoint", _CHECKPOINT), size_mb=411, licence="MIT"),
    ]


load = loader(METRICS)
