"""CPU cost of each metric per second of audio, beside wide-band PESQ: python -m tests.benchmarks.metrics [NAME ...]"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.metric import MetricFailure, NotApplicable
from bench.registry import metric_infos, metric_modules
from tests.speech import CORPUS, at_rate, coarse, sentence


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


def _missing(name: str) -> Sequence[object]:
    return [need for need in metric_modules()[name].needs([name], {}) if not need.available]


def _cost(name: str, references: Sequence[Any], duration_s: float) -> tuple[float, float]:
    """Of prepare and score, per second of audio; the first call warms up and is not counted."""
    (metric,) = metric_modules()[name].load([name], torch.device("cpu"), {})
    prepare_ms = score_ms = 0.0
    for turn, reference in enumerate([references[0], *references]):
        audio = at_rate(reference, metric.sample_rate)
        degraded = coarse(audio, 64 + 16 * turn)
        spent, prepared = cpu_ms(lambda reference=reference, audio=audio: metric.prepare(reference, audio))  # type: ignore[misc]
        then, _ = cpu_ms(lambda prepared=prepared, degraded=degraded: metric.score(prepared, degraded))  # type: ignore[misc]
        prepare_ms, score_ms = (prepare_ms + spent, score_ms + then) if turn else (0.0, 0.0)
    return prepare_ms / duration_s, score_ms / duration_s


if __name__ == "__main__":
    main()
