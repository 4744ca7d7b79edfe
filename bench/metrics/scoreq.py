"""SCOREQ with the original as its reference: how far two signals lie apart in wav2vec 2.0 trained to order by quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.errors import Unavailable
from bench.metric import Metric, MetricEntry, entries, loader
from bench.metrics._checks import check_options
from bench.metrics._citations import cite
from bench.needs import Need, package, weights
from bench.record import MetricInfo

if TYPE_CHECKING:
    import torch

_HOW = "curl -L -O https://zenodo.org/records/13860326/files/fixed_nmr_telephone.pt, and name the file as the metric's option `checkpoint`"


def _scoreq(names: tuple[str, ...], device: torch.device, options: Mapping[str, str]) -> Metric:
    from bench.metrics._scoreq_network import ScoreqReference

    if "checkpoint" not in options:
        raise Unavailable(f"scoreq_ref: {_HOW}")
    return ScoreqReference(options["checkpoint"], device)


METRICS: Mapping[str, MetricEntry] = entries(
    _scoreq,
    MetricInfo(
        name="scoreq_ref",
        unit="",
        version=1,
        sample_rate=16000,
        higher_is_better=False,
        accelerated=True,
        definition="Distance of SCOREQ's unit embeddings of degraded and reference, 0 to 2; natural speech (fixed_nmr_telephone).",
        source="Ragano et al. 2024; scoreq 1.0.1 in mode ref, checkpoint fixed_nmr_telephone.pt of its Zenodo record",
        licence="MIT (the authors' code)",
        citation=cite("ragano2024scoreq"),
    ),
)


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["checkpoint"])
    checkpoint = options.get("checkpoint")
    # no hash of this file is published that we could pin
    unnamed = Need("weights", "scoreq_ref fixed_nmr_telephone.pt", False, _HOW, 378, "MIT (code)")
    return [package("transformers", "transformers>=5", "Apache-2.0"), weights("scoreq_ref", checkpoint) if checkpoint else unnamed]


load = loader(METRICS)
