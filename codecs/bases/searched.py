"""The oracle among schedulers: durations searched for by what they do to the decoded audio, which no codec could afford."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.codecs.nn.schedule import oracle

ORACLE = "oracle"
EVALUATIONS = 50  # decoded schedules an utterance
_N_FFT = 512


def searched(start: Tensor, decode: Callable[[Tensor], Tensor], max_duration: int) -> Tensor:
    """Durations, as many as `start` has, whose audio is found nearest to that of frames that are not merged, from `start` on.

    start    int64 [K] on the CPU
    decode   durations int64 [K] -> audio float32 [T]
    """
    whole = _log_spectrum(decode(torch.ones(int(start.sum()), dtype=torch.int64)))

    def distance(durations) -> float:  # type: ignore[no-untyped-def]
        return float((_log_spectrum(decode(torch.from_numpy(durations))) - whole).abs().mean())

    return torch.from_numpy(oracle(start.numpy(), distance, max_duration, EVALUATIONS))


def _log_spectrum(audio: Tensor) -> Tensor:
    """float32 [bins, frames]."""
    padded = F.pad(audio, (0, max(0, _N_FFT - audio.shape[-1])))
    window = torch.hann_window(_N_FFT, device=audio.device)
    return torch.stft(padded, _N_FFT, _N_FFT // 4, window=window, return_complex=True).abs().clamp(min=1e-5).log()
