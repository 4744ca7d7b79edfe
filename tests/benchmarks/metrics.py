"""CPU cost of metrics per second of audio, and of sweeps beside bare library calls: python -m tests.benchmarks.metrics [NAME ...]"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pesq
import pystoi
import torch

from bench.dataset import Utterance
from bench.metric import MetricFailure, NotApplicable
from bench.registry import metric_infos, metric_modules
from tests.speech import CORPUS, at_rate, coarse, sentence

_POINTS = 5  # of the sweeps
_CPU = torch.device("cpu")


def cpu_ms(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    try:
        result = call()
    except (MetricFailure, NotApplicable):
        result = None
    return 1000 * (time.process_time() - start), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="columns (default: all that can run here)")
    parser.add_argument("--utterances", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").open(encoding="utf-8")]
    references = [sentence(row["id"]) for row in rows if row["language"] == "en"][: arguments.utterances]
    duration_s = sum(reference.duration_s for reference in references)
    names = arguments.names or [name for name in metric_infos() if not _missing(name)]
    costs = {name: _cost(name, references, duration_s) for name in dict.fromkeys(["pesq_wb", *names])}
    print(f"{'metric':24}{'prepare':>12}{'score':>12}{'x PESQ':>9}   (ms of CPU per second of audio; {len(references)} utterances)")
    for name, (prepare, score) in costs.items():
        print(f"{name:24}{prepare:12.2f}{score:12.2f}{score / costs['pesq_wb'][1]:9.2f}")
    print(f"\na sweep of {_POINTS} points, ms of CPU per second of audio and point")
    ours, bare = _sweeps(references, {"pesq": ["pesq_wb"], "stoi": ["stoi", "estoi"]}, _bare_calls)
    print(f"{'PESQ-WB, STOI, eSTOI':24}{ours:12.2f}   bare library calls {bare:.2f}   ratio {ours / bare:.2f} (at most 0.75)")
    spectral, _ = _sweeps(references, {"mel": ["mel_dac_train"], "stft": ["stft_dac"]}, lambda reference, degraded: None)
    print(f"{'Mel, STFT':24}{spectral:12.2f}   ratio to 5 ms {spectral / 5:.2f} (at most 1.00)")


def _missing(name: str) -> Sequence[object]:
    return [need for need in metric_modules()[name].needs([name], {}) if not need.available]


def _cost(name: str, references: Sequence[Utterance], duration_s: float) -> tuple[float, float]:
    """Cost of prepare and score, per second of audio; the first call warms up and is not counted."""
    (metric,) = metric_modules()[name].load([name], _CPU, {})
    prepare_ms = score_ms = 0.0
    for turn, reference in enumerate([references[0], *references]):
        audio = at_rate(reference, metric.sample_rate)
        degraded = coarse(audio, 64 + 16 * turn)
        spent, prepared = cpu_ms(lambda reference=reference, audio=audio: metric.prepare(reference, audio))  # type: ignore[misc]
        then, _ = cpu_ms(lambda prepared=prepared, degraded=degraded: metric.score(prepared, degraded))  # type: ignore[misc]
        prepare_ms, score_ms = (prepare_ms + spent, score_ms + then) if turn else (0.0, 0.0)
    return prepare_ms / duration_s, score_ms / duration_s


def _sweeps(
    references: Sequence[Utterance], modules: Mapping[str, Sequence[str]], bare: Callable[[np.ndarray, np.ndarray], None]
) -> tuple[float, float]:
    """Cost of the columns of `modules` (by module) and of `bare`, turn about on the same audio; the first utterance warms up."""
    metrics = [metric for names in modules.values() for metric in metric_modules()[names[0]].load(names, _CPU, {})]
    ours_ms = bare_ms = seconds = 0.0
    for turn, reference in enumerate([references[0], *references]):
        audio = at_rate(reference, 16000)
        points = [coarse(audio, 32 + 16 * point) for point in range(_POINTS)]

        def ours(reference: Utterance = reference, audio: np.ndarray = audio, points: Sequence[np.ndarray] = points) -> None:
            for metric in metrics:
                prepared = metric.prepare(reference, audio)
                for degraded in points:
                    metric.score(prepared, degraded)

        def theirs(audio: np.ndarray = audio, points: Sequence[np.ndarray] = points) -> None:
            for degraded in points:
                bare(audio, degraded)

        spent, then = cpu_ms(ours)[0], cpu_ms(theirs)[0]
        if turn:
            ours_ms, bare_ms, seconds = ours_ms + spent, bare_ms + then, seconds + reference.duration_s * _POINTS
    return ours_ms / seconds, bare_ms / seconds


def _bare_calls(reference: np.ndarray, degraded: np.ndarray) -> None:
    pesq.pesq(16000, reference, degraded, "wb")
    pystoi.stoi(reference, degraded, 16000)
    pystoi.stoi(reference, degraded, 16000, extended=True)


if __name__ == "__main__":
    main()
