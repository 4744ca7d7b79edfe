"""The front end of SenseVoice: Kaldi's log mel filter bank, frames stacked seven by seven, mean and variance normalised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

SAMPLE_RATE = 16000
WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
FFT = 512
MEL_BINS = 80
LOWEST_HZ = 20.0
STACK, STRIDE = 7, 6  # filter-bank frames in a stacked frame, and from one stacked frame to the next


def fbank(audio: Tensor, dither: float = 0.0) -> Tensor:
    """Kaldi's `compute-fbank-feats` (Hamming window, snip_edges, 80 mel bins from 20 Hz to Nyquist): natural log of mel energies.

    audio    float32 [B, T] in [-1, 1] at 16 kHz, T >= 400
    dither   standard deviation of noise added to each frame, on the scale of 16-bit samples
    returns  float32 [B, 1 + (T - 400) // 160, 80]
    """
    frames = (audio * 2**15).unfold(-1, WINDOW, HOP)
    if dither:
        frames = frames + dither * torch.randn_like(frames)
    frames = frames - frames.mean(-1, keepdim=True)
    previous = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
    frames = (frames - 0.97 * previous) * torch.hamming_window(WINDOW, periodic=False, device=audio.device)
    power = torch.fft.rfft(frames, FFT).abs().square()
    energies = power @ mel_filters(audio.device).T
    return energies.clamp(min=torch.finfo(torch.float32).eps).log()


def mel_filters(device: torch.device) -> Tensor:
    """Triangles that are linear on the mel scale, float32 [80, 257]; all in float32, as in torchaudio: the rounding shows in the logs."""
    lowest, highest = (1127.0 * math.log(1.0 + hertz / 700.0) for hertz in (LOWEST_HZ, SAMPLE_RATE / 2))
    edges = lowest + torch.arange(MEL_BINS + 2, device=device) * ((highest - lowest) / (MEL_BINS + 1))
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = 1127.0 * (1.0 + torch.arange(FFT // 2 + 1, device=device) * (SAMPLE_RATE / FFT) / 700.0).log()
    return torch.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)).clamp(min=0)


def stack_frames(features: Tensor) -> Tensor:
    """Each sixth frame with its three neighbours on both sides: [B, F, 80] -> [B, ceil(F / 6), 560]; edge frames are repeated."""
    num_stacked = math.ceil(features.shape[1] / STRIDE)
    before = (STACK - 1) // 2
    after = max(0, (num_stacked - 1) * STRIDE + STACK - before - features.shape[1])
    padded = F.pad(features.mT, (before, after), mode="replicate")
    return padded.unfold(-1, STACK, STRIDE)[:, :, :num_stacked].permute(0, 2, 3, 1).flatten(2)


def read_cmvn(path: Path) -> tuple[Tensor, Tensor]:
    """Shift and scale, float32 [560] each, of a Kaldi-text `am.mvn`; ValueError where the file holds no such pair."""
    rows = []
    fields = path.read_text().split()
    for tag in ("<AddShift>", "<Rescale>"):
        if tag not in fields:
            raise ValueError(f"{path}: no {tag}")
        start = fields.index("[", fields.index(tag)) + 1
        rows.append(torch.tensor([float(value) for value in fields[start : fields.index("]", start)]]))
    shift, scale = rows
    if len(shift) != len(scale) or len(shift) != STACK * MEL_BINS:
        raise ValueError(f"{path}: {len(shift)} shifts and {len(scale)} scales, expected {STACK * MEL_BINS} of each")
    return shift, scale


@dataclass(frozen=True)
class FilterBank:
    """Audio float32 [B, T] at 16 kHz to features [B, F, 560], 16.67 a second: F = ceil((1 + (T - 400) // 160) / 6).

    shift, scale   float32 [560] each: the result is (x + shift) * scale
    """

    shift: Tensor
    scale: Tensor
    dither: float = 0.0

    def __call__(self, audio: Tensor) -> Tensor:
        with torch.autocast(audio.device.type, enabled=False):
            features = stack_frames(fbank(audio.float(), self.dither))
        return (features + self.shift.to(audio.device)) * self.scale.to(audio.device)
