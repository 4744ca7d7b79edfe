"""The table of published samples, from the committed baseline: `python -m tests.published_samples` prints it as Markdown, for README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis.stats import cluster_sums, level_interval, resampling_weights
from bench.datasets.published_samples import SAMPLES
from bench.regress.baseline import read_baseline
from bench.report.table import ARROW, escape_markdown, markdown_table

BASELINE = Path(__file__).resolve().parent.parent / "results/baselines/published_samples.parquet"


def table() -> str:
    """Stated kbps and Hz of each point, and each metric's mean with its 95 % interval over speakers."""
    baseline = read_baseline(str(BASELINE))
    names = list(baseline.about["metrics"])
    heads = [f"{escape_markdown(name)} {ARROW[baseline.about['metrics'][name]['higher_is_better']]}" for name in names]
    lines = [["codec", "point", "kbps", "Hz", *heads], ["---", "---", *["---:"] * (2 + len(names))]]
    for each in SAMPLES:
        records = baseline.records[(baseline.records["codec"] == each.system) & (baseline.records["point"] == each.point)]
        facts = [each.system, escape_markdown(each.point), f"{each.bitrate_kbps:g}", f"{each.frame_rate_hz:g}"]
        lines.append([*facts, *_means(records, names, baseline.about["seed"])])
    return markdown_table(lines)


def _means(records: pd.DataFrame, names: list[str], seed: int) -> list[str]:
    scores = records[names].to_numpy(np.float64)
    speakers, _ = pd.factorize(records["speaker"])
    sums = cluster_sums(scores, np.ones_like(scores), speakers)
    low, high = level_interval(sums, resampling_weights(len(sums.numerator), seed))
    return [f"{mean:.2f} [{least:.2f}, {most:.2f}]" for mean, least, most in zip(sums.ratio, low, high, strict=True)]


if __name__ == "__main__":
    print(table(), end="")
