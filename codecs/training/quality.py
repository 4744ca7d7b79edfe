"""Objective quality of held-out clips during training: STOI and wide-band PESQ."""

from __future__ import annotations

import contextlib

import numpy as np


def score(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> dict[str, float]:
    """STOI and PESQ of one clip; PESQ is absent where it finds no speech."""
    from pesq import NoUtterancesError, pesq
    from pystoi import stoi

    from bench import audio

    scores = {"stoi": float(stoi(reference, degraded, sample_rate))}
    wide = [audio.resample(signal, sample_rate, 16000) for signal in (reference, degraded)]
    with contextlib.suppress(NoUtterancesError):
        scores["pesq"] = float(pesq(16000, wide[0], wide[1], "wb"))
    return scores
