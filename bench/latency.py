"""Algorithmic latency, measured: how far back a change of the input reaches in the output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.codec import Codec, OperatingPoint

EXCERPT_S = 2.0
_PLACES = (0.45, 0.9)  # of the excerpt: a reach that grows from one to the other has no bound
_PHASES = (0.0, 0.25, 0.5, 0.75)  # of a frame, and its last sample, after which it can be sent


def algorithmic_latency(codec: Codec, point: OperatingPoint, speech: Tensor, sample_rate: int) -> int | None:
    """Samples, the one that is waited for included, that must have come in before a sample can go out: framing and look-ahead.

    The signal is replaced by noise from sample t on, and the first sample of the output that changes is found, for t at several places of
    a frame. The greatest distance counts: a lower bound, as a change too slight for another token goes unseen.

    speech    float32 [T] at `sample_rate` Hz, whose first two seconds are taken
    returns   None where the reach grows with t: the codec hears the whole utterance
    """
    speech = speech[: round(EXCERPT_S * sample_rate)]
    before = _through(codec, point, speech)
    reaches = []
    for place in _PLACES:
        frame = int(place * len(speech)) // codec.hop_length * codec.hop_length
        times = {frame + int(phase * codec.hop_length) for phase in _PHASES} | {frame + codec.hop_length - 1}
        reaches.append(max(_reach(codec, point, speech, before, time) for time in times if time < len(speech)))
    near, far = reaches
    between = (_PLACES[1] - _PLACES[0]) * len(speech)
    return None if far - near > between / 2 else max(near, far)


def _reach(codec: Codec, point: OperatingPoint, speech: Tensor, before: Tensor, time: int) -> int:
    """From the first sample of the output that changes to sample `time`, from which on the input does; 0 where nothing changes."""
    noise = 0.3 * torch.randn(len(speech) - time, generator=torch.Generator().manual_seed(time))
    changed = (before - _through(codec, point, torch.cat([speech[:time], noise]))).abs() > 1e-6 * before.abs().max()
    first = int(changed.to(torch.uint8).argmax())
    return max(0, time - first + 1) if bool(changed.any()) else 0


@torch.inference_mode()
def _through(codec: Any, point: OperatingPoint, samples: Tensor) -> Tensor:
    return codec.decode(codec.encode(codec.analyse(samples), point))
