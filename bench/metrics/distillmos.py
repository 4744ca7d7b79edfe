"""DistillMOS: speech quality without a reference, by the small network that Microsoft distilled from XLS-R; weights in its package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.metric import Metric, MetricEntry, entries, loader
from bench.metrics._checks import check_options
from bench.metrics._citations import cite
from bench.needs import Need, package
from bench.record import MetricInfo

if TYPE_CHECKING:
    import torch


def _distillmos(names: tuple[str, ...], device: torch.device, options: Mapping[str, str]) -> Metric:
    from bench.metrics._distillmos_network import DistillMos

    return DistillMos(device)


METRICS: Mapping[str, MetricEntry] = entries(
    _distillmos,
    MetricInfo(
        name="distillmos",
        unit="MOS",
        version=1,
        sample_rate=16000,
        higher_is_better=True,
        accelerated=True,
        definition="Quality predicted by DistillMOS variant 7, mean over windows of 7.68 s at most 1 s apart; blind to level.",
        source="distillmos 0.9.1, weights distill_mos_v7.pt in the package",
        licence="MIT (distillmos and its weights)",
        citation=cite("stahl2025distillmos"),
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("distillmos", "speech-codec-bench[mos]", "MIT")]


load = loader(METRICS)
