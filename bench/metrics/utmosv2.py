"""UTMOSv2: naturalness predicted from wav2vec 2.0 and from images of mel spectrograms, by the published checkpoint, loaded strictly."""

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
    "https://huggingface.co/sarulab-speech/UTMOSv2/resolve/506474f2b33dc77c234d668cc419be1861899cad/fold0_s42_best_model.pth"
    "#sha256=c8149d988e4bbf3f347e6966b5d769de347a5f8c59ffca1dc4bd4bf5b8585e57"
)


def _utmosv2(names: tuple[str, ...], device: torch.device, options: Mapping[str, str]) -> Metric:
    from bench.metrics._utmosv2_network import UtmosV2

    return UtmosV2(options.get("checkpoint", _CHECKPOINT), device)


METRICS: Mapping[str, MetricEntry] = entries(
    _utmosv2,
    MetricInfo(
        name="utmosv2",
        unit="MOS",
        version=1,
        sample_rate=16000,
        higher_is_better=True,
        accelerated=True,
        definition="UTMOSv2 (fusion_stage3, fold 0, domain sarulab), one repetition, seeded draws, silence kept, one utterance at a time.",
        source="Baba et al. 2024; checkpoint fold0_s42_best_model.pth of sarulab-speech/UTMOSv2",
        licence="MIT (the authors' code)",
        citation=cite("baba2024utmosv2"),
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["checkpoint"])
    return [
        package("transformers", "transformers>=5", "Apache-2.0"),
        weights("utmosv2", options.get("checkpoint", _CHECKPOINT), size_mb=819, licence="MIT (code)"),
    ]


load = loader(METRICS)
