"""Mel and STFT distances against NumPy and SciPy in double precision, written from the formulas alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.signal

from bench.mel import mel_edges, mel_filterbank
from bench.metric import MetricFailure
from bench.metrics._spectrum import RATES
from tests.speech import at_rate, coarse, load, sample_rate_of, score, sentence, with_noise

SEVEN = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}
TWO = {2048: 150, 512: 80}


def spectrogram(audio: np.ndarray, size: int, symmetric: bool = False, padding: Any = "reflect") -> np.ndarray:
    """|STFT|, float64 [F, K]."""
    padded = np.pad(audio.astype(np.float64), size // 2, mode=padding)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 4]
    return np.abs(scipy.fft.rfft(frames * scipy.signal.get_window("hann", size, fftbins=not symmetric)))


def slaney_mel(sample_rate: int, size: int, bins: int, area: bool = True) -> np.ndarray:
    """float64 [bins, K], one triangle after another."""

    def to_hz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(sample_rate / 2000) / np.log(6.4)
    corners = [to_hz(mel) for mel in np.linspace(0, top, bins + 2)]
    frequencies = scipy.fft.rfftfreq(size, 1 / sample_rate)
    rows = [np.interp(frequencies, corners[i : i + 3], [0, 2 / (corners[i + 2] - corners[i]) if area else 1, 0]) for i in range(bins)]
    return np.array(rows)


def log10(spectrum: np.ndarray, power: int) -> np.ndarray:
    return np.log10(np.maximum(spectrum, 1e-5) ** power)


def mel_dac_train(x: np.ndarray, y: np.ndarray, rate: int) -> float:
    total = 0.0
    for size, bins in SEVEN.items():
        bank = slaney_mel(rate, size, bins).T
        total += np.mean(np.abs(log10(spectrogram(x, size) @ bank, 1) - log10(spectrogram(y, size) @ bank, 1)))
    return total


def mel_dac_eval(x: np.ndarray, y: np.ndarray, rate: int) -> float:
    total = 0.0
    for size, bins in TWO.items():
        bank = slaney_mel(rate, size, bins).T
        a, b = spectrogram(x, size) @ bank, spectrogram(y, size) @ bank
        total += np.mean(np.abs(log10(a, 2) - log10(b, 2))) + np.mean(np.abs(a - b))
    return total


def stft_dac(x: np.ndarray, y: np.ndarray, rate: int) -> float:
    total = 0.0
    for size in TWO:
        a, b = spectrogram(x, size), spectrogram(y, size)
        total += np.mean(np.abs(log10(a, 2) - log10(b, 2))) + np.mean(np.abs(a - b))
    return total


def mel_nemo(x: np.ndarray, y: np.ndarray, rate: int) -> float:
    distances = []
    for size, bins in SEVEN.items():
        bank = slaney_mel(rate, size, bins, area=False).T
        a, b = (np.log(np.sqrt(spectrogram(s, size, True, "constant") ** 2 + 1e-5) @ bank + 1) for s in (x, y))
        distances.append(np.mean(np.abs(a - b)[: len(x) // (size // 4)]))
    return float(np.mean(distances))


def stft_nemo(x: np.ndarray, y: np.ndarray, rate: int) -> float:
    spectra = ([np.log(np.sqrt(spectrogram(s, size, True) ** 2 + 1e-5) + 1) for s in (x, y)] for size in SEVEN)
    return float(np.mean([np.mean(np.abs(a - b)) for a, b in spectra]))


INDEPENDENT = {
    **{f"mel_dac_train{suffix}": mel_dac_train for suffix in RATES},
    **{f"mel_dac_eval{suffix}": mel_dac_eval for suffix in RATES},
    **{f"stft_dac{suffix}": stft_dac for suffix in RATES},
    "mel_nemo": mel_nemo,
    "stft_nemo": stft_nemo,
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_distance_equals_the_formula_in_double_precision(name):
    reference = sentence("en-07")
    rate = sample_rate_of(name)
    samples = at_rate(reference, rate)
    for degraded in (with_noise(samples, 20.0), coarse(samples), 0.5 * samples):
        assert score(name, reference, degraded) == pytest.approx(INDEPENDENT[name](samples, degraded, rate), abs=1e-4)


def test_rates_give_other_numbers():
    reference = sentence("en-07")
    values = [score(name, reference, coarse(at_rate(reference, sample_rate_of(name)))) for name in INDEPENDENT if "train" in name]
    assert len({round(value, 3) for value in values}) == 4


@pytest.mark.parametrize(
    ("rate", "size", "bins"), [(16000, 32, 5), (16000, 2048, 320), (22050, 512, 80), (44100, 2048, 150), (16000, 321, 120)]
)
@pytest.mark.parametrize("area", [True, False], ids=["area", "height"])
def test_filterbank_equals_librosa(rate, size, bins, area):
    librosa = pytest.importorskip("librosa")
    with warnings.catch_warnings():  # of the empty filters that the small windows have by definition
        warnings.simplefilter("ignore")
        expected = librosa.filters.mel(sr=rate, n_fft=size, n_mels=bins, norm="slaney" if area else None)
    np.testing.assert_allclose(mel_filterbank(rate, size, bins, area).numpy(), expected, atol=1e-7)
    edges = librosa.mel_to_hz(np.linspace(0, librosa.hz_to_mel(rate / 2), bins + 1))
    np.testing.assert_allclose(mel_edges(rate, bins), edges, rtol=1e-12)


@pytest.mark.parametrize("name", ["mel_nemo", "stft_nemo"])
def test_nemo_distance_equals_nemo(name):
    losses = pytest.importorskip("nemo.collections.tts.losses.audio_codec_loss", exc_type=ImportError)
    import torch

    reference = sentence("en-07")
    samples = at_rate(reference, 22050)
    degraded = with_noise(samples, 20.0)
    resolutions = [[size, size // 4, size] for size in SEVEN]
    batch = {
        "audio_real": torch.tensor(samples)[None],
        "audio_gen": torch.tensor(degraded)[None],
        "audio_len": torch.tensor([len(samples)]),
    }
    if name == "mel_nemo":
        expected, _ = losses.MultiResolutionMelLoss(22050, resolutions, list(SEVEN.values()))(**batch)
    else:
        expected = losses.MultiResolutionSTFTLoss(resolutions)(**batch)
    assert score(name, reference, degraded) == pytest.approx(float(expected), abs=1e-4)


def test_level_moves_the_distance_as_the_clamp_says():
    """Halving one signal shifts every bin above the floor by log10(2), once per scale and power."""
    reference = sentence("en-07")
    assert score("stft_dac", reference, 0.5 * reference.audio) > 2 * 2 * np.log10(2) * 0.9


def test_audio_shorter_than_half_the_longest_window_is_a_failure():
    metric = load("mel_dac_train")
    with pytest.raises(MetricFailure, match="1024 samples"):
        metric.prepare(sentence(), sentence().audio[:1024])
    prepared = metric.prepare(sentence(), sentence().audio[:1025])
    assert metric.score(prepared, sentence().audio[:1025])["mel_dac_train"].value == 0
