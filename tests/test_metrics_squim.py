"""SQUIM with random weights in the published format."""

from __future__ import annotations

import pytest
import torch

from bench import torchaudio_guard
from bench.errors import Unavailable, UserError
from bench.metrics import squim
from tests.speech import full_score, load, sentence, with_noise

CPU = torch.device("cpu")
ESTIMATES = ("squim_pesq", "squim_stoi", "squim_si_sdr")


@pytest.fixture(scope="module")
def models():
    torchaudio_guard.install()
    return pytest.importorskip("torchaudio.models", exc_type=ImportError)


def test_each_estimate_stands_in_its_column(models, tmp_path):
    torch.manual_seed(0)
    model = models.squim_objective_base().eval()
    torch.save(model.state_dict(), tmp_path / "objective.pth")
    audio = sentence("en-07").audio
    with torch.inference_mode():
        stoi, pesq, si_sdr = (float(value) for value in model(torch.tensor(audio)[None]))
    (metric,) = squim.load(ESTIMATES, CPU, {"checkpoint": str(tmp_path / "objective.pth")})
    values = {name: score.value for name, score in metric.score(None, audio).items()}
    assert values == pytest.approx({"squim_pesq": pesq, "squim_stoi": stoi, "squim_si_sdr": si_sdr}, abs=1e-5)
    with pytest.raises(UserError, match="does not fit SquimSubjective"):
        load("squim_mos", checkpoint=str(tmp_path / "objective.pth"))


def test_mos_compares_the_degraded_signal_with_the_reference(models, tmp_path):
    torch.manual_seed(0)
    model = models.squim_subjective_base().eval()
    torch.save(model.state_dict(), tmp_path / "subjective.pth")
    reference = sentence("en-07")
    degraded = with_noise(reference.audio, 10.0)
    with torch.inference_mode():
        expected = float(model(torch.tensor(degraded)[None], torch.tensor(reference.audio)[None]))
    value = full_score("squim_mos", reference, degraded, checkpoint=str(tmp_path / "subjective.pth")).value
    assert value == pytest.approx(expected, abs=1e-5)


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert "squim_objective_dns2020.pth" in squim.needs(ESTIMATES, {})[-1].how
    assert "option `checkpoint`" in squim.needs(["squim_mos"], {})[-1].how
    with pytest.raises(Unavailable, match="squim_subjective_bvcc_daps"):
        squim.load(["squim_mos"], CPU, {})
