"""DNSMOS P.835 and P.808 with the weights that the package `speechmos` ships; equal to its scores at a third of the cost."""

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


def _p835(names: tuple[str, ...], device: torch.device, options: Mapping[str, str]) -> Metric:
    from bench.metrics._dnsmos_networks import P835

    return P835(names, device)


_CAVEAT = (
    "it follows listeners poorly on speech from neural codecs (arXiv 2511.19734: on clean speech SCOREQ with a reference, PESQ and STOI "
    "correlate at 0.88 to 0.94; on mixed material DNSMOS collapses)"
)


def _p808(names: tuple[str, ...], device: torch.device, options: Mapping[str, str]) -> Metric:
    from bench.metrics._dnsmos_networks import P808

    return P808(device)


METRICS: Mapping[str, MetricEntry] = {
    **entries(
        _p835,
        *(
            MetricInfo(
                name=name,
                unit="MOS",
                version=1,
                sample_rate=16000,
                higher_is_better=True,
                accelerated=True,
                definition=f"Predicted {what} of ITU-T P.835, mean over 9.01 s windows every second; shorter audio is repeated.",
                source="DNS-Challenge sig_bak_ovr.onnx, as in speechmos 0.0.1.1",
                licence="MIT (speechmos)",
                citation=cite("reddy2022dnsmos"),
                caveat=_CAVEAT,
            )
            for name, what in (
                ("dnsmos_ovrl", "overall quality"),
                ("dnsmos_sig", "quality of the speech"),
                ("dnsmos_bak", "unobtrusiveness of the background"),
            )
        ),
    ),
    **entries(
        _p808,
        MetricInfo(
            name="dnsmos_p808",
            unit="MOS",
            version=1,
            sample_rate=16000,
            higher_is_better=True,
            accelerated=True,
            definition="Predicted overall quality of ITU-T P.808, mean over 9.01 s windows every second; shorter audio is repeated.",
            source="DNS-Challenge model_v8.onnx, as in speechmos 0.0.1.1",
            licence="MIT (speechmos)",
            citation=cite("reddy2021dnsmos"),
            caveat=_CAVEAT,
        ),
    ),
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options)
    return [package("speechmos", "speechmos==0.0.1.1", "MIT"), package("onnx", "onnx", "Apache-2.0")]


load = loader(METRICS)
