"""What the page draws of one decoded utterance: waveform, spectrogram, and the frames that its tokens stand for."""

from __future__ import annotations

import base64
import io
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy import fft

from bench import audio, bitstream

SAMPLE_RATE = 16000  # drawings end at 8 kHz
FRAME_LENGTH, HOP_LENGTH, BANDS = 512, 160, 80
FLOOR_DB = -90.0  # below full scale; black


def sound(path: Path) -> str:
    """An audio file in base64, as the page decodes it; what browsers may not know becomes FLAC."""
    if path.suffix.lower() in (".flac", ".wav"):
        return base64.b64encode(path.read_bytes()).decode()
    content = io.BytesIO()
    soundfile.write(content, *audio.read(path), format="FLAC")
    return base64.b64encode(content.getvalue()).decode()


def drawing(path: Path) -> dict[str, Any]:
    """Of an audio file, in base64: `peaks` int8 [hops, 2], low and high; `mel` uint8 [BANDS, hops], 0 = FLOOR_DB, 255 = 0 dB."""
    samples, sample_rate = audio.read(path)
    samples = audio.resample(samples, sample_rate, SAMPLE_RATE)
    hops = max(1, math.ceil(len(samples) / HOP_LENGTH))
    padded = np.pad(samples, (0, hops * HOP_LENGTH - len(samples))).reshape(hops, HOP_LENGTH)
    peaks = np.stack([padded.min(axis=1), padded.max(axis=1)], axis=1)
    return {
        "seconds": round(len(samples) / SAMPLE_RATE, 4),
        "hops": hops,
        "peaks": _encoded(np.clip(np.round(peaks * 127), -127, 127).astype(np.int8)),
        "mel": _encoded(_mel_levels(samples, hops)),
    }


def frames(path: Path, sample_rate: int, hop_length: int) -> list[dict[str, Any]]:
    """Of a packed stream: each time axis among its streams once, with its codebooks and the seconds at which its frames end."""
    encoded = bitstream.unpack_arrays(path.read_bytes())
    base_frames = math.ceil(encoded.num_samples / hop_length)
    axes: dict[tuple[int, ...], int] = {}
    dynamic = set()
    for stream in encoded.streams:
        if stream.durations is not None:
            durations = tuple(stream.durations.tolist())
            dynamic.add(durations)
        else:
            durations = (max(1, round(base_frames / max(1, stream.num_frames))),) * stream.num_frames
        axes[durations] = axes.get(durations, 0) + stream.tokens.shape[0]
    return [
        {"codebooks": codebooks, "dynamic": durations in dynamic, "base_s": hop_length / sample_rate, "durations": list(durations)}
        for durations, codebooks in axes.items()
    ]


def _mel_levels(samples: np.ndarray, hops: int) -> np.ndarray:
    """uint8 [BANDS, hops], highest band first, decibels below a full-scale sine."""
    window = (np.hanning(FRAME_LENGTH + 1)[:-1] * (2 / (FRAME_LENGTH / 2))).astype(np.float32)
    padded = np.pad(samples.astype(np.float32), (FRAME_LENGTH // 2, FRAME_LENGTH // 2 + HOP_LENGTH))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_LENGTH)[: hops * HOP_LENGTH : HOP_LENGTH]
    spectrum = fft.rfft(frames * window, axis=1).T.copy()  # bins in rows, which bands then take as a whole
    power = spectrum.real**2 + spectrum.imag**2
    edges_mel = np.linspace(0, 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700), BANDS + 1)
    edges = 700 * (10 ** (edges_mel / 2595) - 1) / SAMPLE_RATE * FRAME_LENGTH  # in bins
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.floor(centres).astype(int)
    # Low bands are narrower than a bin and are interpolated; high ones take the greatest bin within them.
    share = (centres - below).astype(np.float32)[:, None]
    between = power[below] + share * (power[below + 1] - power[below])
    widest = np.stack([power[math.ceil(a) : max(math.ceil(a) + 1, math.ceil(b))].max(axis=0) for a, b in pairwise(edges)])
    level_db = 10 * np.log10(np.maximum(np.where((np.diff(edges) < 1)[:, None], between, widest), 1e-12))
    return np.clip(np.round(255 * (1 - level_db / FLOOR_DB)), 0, 255).astype(np.uint8)[::-1]


def _encoded(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
