"""Facts that every part of the program reads from a metric."""

from __future__ import annotations

import pytest

from bench.record import ranking
from bench.registry import metric_infos
from tests import toys


@pytest.mark.parametrize(("higher_is_better", "sign"), [(True, 1.0), (False, -1.0)])
def test_the_sign_makes_more_always_better(higher_is_better, sign):
    assert toys.info("x", higher_is_better=higher_is_better).sign == sign


def test_diagnostics_rank_nothing_and_the_rest_keep_their_order():
    metrics = {"b": toys.info("b"), "delay": toys.info("delay", diagnostic=True), "a": toys.info("a")}
    assert list(ranking(metrics)) == ["b", "a"]


def test_networks_gain_from_an_accelerator_and_signal_processing_does_not():
    accelerated = {name for name, info in metric_infos().items() if info.accelerated}
    assert {"utmos", "utmosv2", "sim_ecapa", "sim_wavlm_base_plus_sv", "wer_whisper", "dwer_nemo", "dnsmos_ovrl"} <= accelerated
    assert not accelerated & {"pesq_wb", "stoi", "estoi", "mel_dac_train", "stft_dac", "si_sdr", "wer_pocketsphinx", "delay_ms"}
