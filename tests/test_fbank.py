"""The front end against torchaudio's Kaldi port where that is installed, against a plain NumPy one, and by hand."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import soundfile
import torch

from bench.codecs.nn.fbank import FilterBank, fbank, read_cmvn, stack_frames


@pytest.fixture(scope="module")
def speech(shared) -> torch.Tensor:
    audio, sample_rate = soundfile.read(shared / "data/eval_en/audio/1089-134686-0000.flac", dtype="float32")
    assert sample_rate == 16000
    return torch.from_numpy(audio)


def kaldi_fbank(audio: np.ndarray) -> np.ndarray:
    """compute-fbank-feats in float64, frame by frame, from Kaldi's documentation."""
    frequencies = np.arange(257) * 16000 / 512
    mel, edges = 1127 * np.log1p(frequencies / 700), np.linspace(1127 * np.log1p(20 / 700), 1127 * np.log1p(8000 / 700), 82)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    rows: list[list[float]] = []
    for start in range(0, len(audio) - 399, 160):
        frame = audio[start : start + 400].astype(np.float64) * 32768
        frame = frame - frame.mean()
        frame[1:] -= 0.97 * frame[:-1]
        frame[0] -= 0.97 * frame[0]
        power = np.abs(np.fft.rfft(frame * window, 512)) ** 2
        bins = [
            sum(p * min((m - lo) / (mid - lo), (hi - m) / (hi - mid)) for p, m in zip(power, mel, strict=True) if lo < m < hi)
            for lo, mid, hi in zip(edges[:-2], edges[1:-1], edges[2:], strict=True)
        ]
        rows.append([math.log(max(energy, np.finfo(np.float32).eps)) for energy in bins])
    return np.array(rows)


def test_equals_kaldi_written_out(speech):
    clip = speech[20000:24000]
    np.testing.assert_allclose(fbank(clip[None])[0].numpy(), kaldi_fbank(clip.numpy()), rtol=1e-4)


def test_equals_torchaudio_bit_for_bit(speech):
    if importlib.util.find_spec("torchaudio") is None:
        pytest.skip("torchaudio is not installed")
    from bench.torchaudio_guard import install

    install()
    from torchaudio.compliance import kaldi

    for audio in (speech, torch.zeros(1600)):
        expected = kaldi.fbank(audio[None] * 2**15, num_mel_bins=80, window_type="hamming", energy_floor=0.0, dither=0.0)
        assert torch.equal(fbank(audio[None])[0], expected)


def test_a_batch_equals_its_items_and_dither_adds_noise(speech):
    pair = torch.stack([speech[:16000], speech[16000:32000]])
    assert torch.equal(fbank(pair)[1:], fbank(pair[1:]))
    quiet = torch.zeros(1, 16000)
    assert fbank(quiet).std() == 0
    assert fbank(quiet, dither=1.0).std() > 0.1


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 6, 7, 12, 13, 298])
def test_stacked_frames_follow_the_index_rule(num_frames):
    features = torch.arange(num_frames * 80, dtype=torch.float32).view(1, num_frames, 80)
    stacked = stack_frames(features)
    assert stacked.shape == (1, -(-num_frames // 6), 560)
    for row in range(stacked.shape[1]):
        for part in range(7):
            source = min(max(6 * row + part - 3, 0), num_frames - 1)  # three copies of frame 0 in front, the last repeated behind
            assert torch.equal(stacked[0, row, part * 80 : part * 80 + 80], features[0, source])


def test_cmvn_statistics_are_read_and_applied(shared, speech):
    shift, scale = read_cmvn(shared / "golden/flexicodec/am.mvn")
    assert shift[:3].tolist() == pytest.approx([-8.311879, -8.600912, -9.615928])
    assert scale[:3].tolist() == pytest.approx([0.155775, 0.154484, 0.1527379])
    assert torch.equal(shift.view(7, 80), shift[:80].expand(7, 80))
    features = FilterBank(shift, scale)(speech[None, :48000])
    assert features.shape == (1, 50, 560)
    assert torch.equal(features, (stack_frames(fbank(speech[None, :48000])) + shift) * scale)


def test_a_file_without_statistics_is_named(tmp_path):
    (tmp_path / "am.mvn").write_text("<Nnet> <AddShift> 2 2 <LearnRateCoef> 0 [ 1 2 ]")
    with pytest.raises(ValueError, match=r"am\.mvn: no <Rescale>"):
        read_cmvn(tmp_path / "am.mvn")
