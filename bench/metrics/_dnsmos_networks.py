"""The networks of DNSMOS, and the metrics that ask them.

Windows of 9.01 s are taken every second, and nearly all of the work lies in four convolutions at full time resolution, which see 4 frames
to either side. So they run once over the whole signal and, for each window, over the 4 frames at its edges, where it is padded with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.dataset import Utterance
from bench.mel import mel_filterbank
from bench.metric import Audio
from bench.metrics._checks import check_signal
from bench.metrics._spectrum import amplitude
from bench.record import Score

_SAMPLE_RATE = 16000
_WINDOW_S = 9.01
_WINDOW = 144160  # samples
_MIN_DURATION_S = 0.5  # 50 ms, repeated to fill a window, would be given 1.77
_HOP_LENGTH = 160  # of the networks' frames
_FRAMES = 900  # per window
_CONTEXT = 4  # frames that the four convolutions see to either side
_BLOCK = 192  # frames convolved at a time, to stay in the cache

# calibration of the raw outputs, highest power first (DNS-Challenge, dnsmos_local.py)
_POLYNOMIALS = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


class P835:
    """SIG, BAK and OVRL from one pass."""

    sample_rate = _SAMPLE_RATE

    def __init__(self, names: tuple[str, ...], device: torch.device) -> None:
        weights = _read_weights("sig_bak_ovr.onnx", device)
        self.names = names
        self._device = device
        kernels = ("time2freq/stft-real/kernel:0", "time2freq/stft-imag/kernel:0")
        self._fourier = torch.cat([weights[name][:, :, 0] for name in kernels]).T  # [320, 2 * 161], window included
        convolutions = [(weights[f"conv2d{i}/kernel:0"], weights[f"conv2d{i}/bias:0"]) for i in ("", "_1", "_2", "_3", "_4", "_5", "_6")]
        self._fine, self._coarse = convolutions[:4], convolutions[4:]
        self._dense = _dense_layers(weights, "mos_estimator_logpow", ("dense", "dense_1", "dense_3"))

    def prepare(self, reference: Utterance, audio: Audio) -> None:
        return None

    @torch.inference_mode()
    def score(self, prepared: None, degraded: Audio) -> Mapping[str, Score]:
        audio, starts = _windows(degraded)
        spectrum = self._log_power(torch.from_numpy(audio).to(self._device))
        fine = torch.cat([self._block(spectrum, start) for start in range(0, len(spectrum), _BLOCK)], dim=1)
        frames = [start // _HOP_LENGTH for start in starts]
        # the first and last 4 frames of each window, from twice as many: the inner half of those is what lacks context
        edges = [spectrum[first : first + 2 * _CONTEXT] for first in frames]
        edges += [spectrum[first + _FRAMES - 2 * _CONTEXT : first + _FRAMES] for first in frames]
        convolved = self._convolve(torch.stack(edges)[:, None])
        outputs = []
        for i, first in enumerate(frames):
            inner = fine[:, first + _CONTEXT : first + _FRAMES - _CONTEXT]
            head, tail = convolved[i, :, :_CONTEXT], convolved[len(frames) + i, :, -_CONTEXT:]
            outputs.append(self._judge(torch.cat([head, inner, tail], dim=1)[None]))
        sig, bak, ovrl = torch.cat(outputs).double().cpu().numpy().T
        raw = {"dnsmos_sig": sig, "dnsmos_bak": bak, "dnsmos_ovrl": ovrl}
        return {name: Score(float(np.polyval(_POLYNOMIALS[name], raw[name]).mean())) for name in self.names}

    def _log_power(self, audio: Tensor) -> Tensor:
        """float32 [F, 161]: log10 of the power in frames of 320 samples, none beyond the audio."""
        real, imaginary = (audio.unfold(0, 2 * _HOP_LENGTH, _HOP_LENGTH) @ self._fourier).chunk(2, dim=1)
        return (real.square() + imaginary.square()).clamp_min(1e-12).log10()

    def _block(self, spectrum: Tensor, start: int) -> Tensor:
        """The fine layers' output [32, <= _BLOCK, 161] from frame `start` on, as if all of `spectrum` had been convolved."""
        first = max(0, start - _CONTEXT)
        convolved = self._convolve(spectrum[None, None, first : start + _BLOCK + _CONTEXT])[0]
        return convolved[:, start - first : start - first + _BLOCK]

    def _convolve(self, spectra: Tensor) -> Tensor:
        """[N, 1, F, 161] -> [N, 32, F, 161]."""
        for kernel, bias in self._fine:
            spectra = F.conv2d(spectra, kernel, bias, padding=1).relu_()
        return spectra

    def _judge(self, features: Tensor) -> Tensor:
        """[N, 32, 900, 161] -> raw SIG, BAK and OVRL [N, 3]."""
        for kernel, bias in self._coarse:
            features = F.conv2d(F.max_pool2d(features, 2), kernel, bias, padding=1).relu_()
        return _apply_dense(self._dense, features.amax((2, 3)))


class P808:
    names = ("dnsmos_p808",)
    sample_rate = _SAMPLE_RATE

    def __init__(self, device: torch.device) -> None:
        weights = _read_weights("model_v8.onnx", device)
        self._device = device
        self._convolutions = [(weights[f"conv2d_{i}/kernel:0"], weights[f"conv2d_{i}/bias:0"]) for i in (5, 6, 7, 8, 9)]
        self._dense = _dense_layers(weights, "mos_estimator_small_1", ("dense_3", "dense_4", "dense_5"))
        self._hann = torch.hann_window(2 * _HOP_LENGTH + 1, device=device)
        self._filterbank = mel_filterbank(_SAMPLE_RATE, 2 * _HOP_LENGTH + 1, 120).to(device)

    def prepare(self, reference: Utterance, audio: Audio) -> None:
        return None

    @torch.inference_mode()
    def score(self, prepared: None, degraded: Audio) -> Mapping[str, Score]:
        audio, starts = _windows(degraded)
        windows = np.stack([audio[start : start + _WINDOW - _HOP_LENGTH] for start in starts])
        spectra = self._log_mel(torch.from_numpy(windows).to(self._device)).transpose(1, 2)
        # one window at a time stays in the cache: half the cost of all together
        outputs = torch.cat([self._judge(spectrum[None, None]) for spectrum in spectra])
        return {"dnsmos_p808": Score(float(outputs.double().mean()))}

    def _judge(self, features: Tensor) -> Tensor:
        """Spectra [N, 1, 900, 120] -> MOS [N, 1]."""
        for i, (kernel, bias) in enumerate(self._convolutions):
            halved = features if i in (0, 3) else F.max_pool2d(features, 2)  # the fourth works at the third's resolution
            features = F.conv2d(halved, kernel, bias, padding=1).relu_()
        return _apply_dense(self._dense, features.amax((2, 3)))

    def _log_mel(self, windows: Tensor) -> Tensor:
        """[N, 120, F]: dB below each window's maximum, at most 80, mapped from -40..0 to 0..1."""
        power = self._filterbank @ amplitude(windows, self._hann, _HOP_LENGTH, pad_mode="constant").square()
        decibel = 10 * power.clamp_min(1e-10).log10()
        decibel = decibel - decibel.amax((1, 2), keepdim=True)
        return (decibel.clamp_min(-80) + 40) / 40


def _windows(degraded: Audio) -> tuple[np.ndarray, list[int]]:
    """The audio, doubled until it fills a window and cut behind the last one, and the first sample of each window."""
    check_signal(degraded, "the degraded signal", _MIN_DURATION_S, _SAMPLE_RATE)
    audio = np.clip(degraded, -1.0, 1.0)
    while len(audio) < _WINDOW:
        audio = np.append(audio, audio)
    seconds = range(int(len(audio) // _SAMPLE_RATE - _WINDOW_S) + 1)
    # where rounding makes a window one sample short, the original skips it
    whole = [s for s in seconds if min(int((s + _WINDOW_S) * _SAMPLE_RATE), len(audio)) - s * _SAMPLE_RATE >= _WINDOW]
    return audio[: whole[-1] * _SAMPLE_RATE + _WINDOW], [s * _SAMPLE_RATE for s in whole]


def _read_weights(file: str, device: torch.device) -> dict[str, Tensor]:
    import onnx
    from onnx.numpy_helper import to_array

    model = onnx.load_model_from_string((files("speechmos") / "dnsmos_models" / file).read_bytes())
    return {tensor.name: torch.tensor(to_array(tensor), device=device) for tensor in model.graph.initializer}


def _dense_layers(weights: Mapping[str, Tensor], scope: str, layers: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
    """Matrix [in, out] and bias [out] of each layer."""
    resource = f"{scope}/{{}}/{{}}/ReadVariableOp/resource:0"
    return [(weights[resource.format(layer, "MatMul")], weights[resource.format(layer, "BiasAdd")]) for layer in layers]


def _apply_dense(layers: Sequence[tuple[Tensor, Tensor]], features: Tensor) -> Tensor:
    for matrix, bias in layers[:-1]:
        features = torch.addmm(bias, features, matrix).relu_()
    matrix, bias = layers[-1]
    return torch.addmm(bias, features, matrix)
