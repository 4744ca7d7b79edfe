"""What the card of the shipped checkpoints shows of real speech, from committed baselines: `python -m tests.card` writes it."""

from __future__ import annotations

import math
from pathlib import Path

from bench.analysis.summary import Cell, Table, summary
from bench.checkpoint import SHIPPED
from bench.record import leading
from bench.regress.baseline import read_baseline
from bench.report.table import ARROW, MISSING, decimals, escape_markdown, kbps, markdown_table, number, spread_text
from bench.run.store import metrics_of
from tests import readme_results

CARD = SHIPPED / "README.md"
BASELINE = readme_results.ROOT / "results/baselines/real_speech.parquet"
RECORDINGS = readme_results.ROOT / "results/baselines/real_speech_recordings.parquet"
TWINS = readme_results.ROOT / "results/baselines/real_speech_twins.parquet"  # FlexiCodec and its twins, all as trained
QUALITY = {
    "pesq_wb": "PESQ",
    "stoi": "STOI",
    "mel_dac_train": "mel_dac_train",
    "wer_faster_whisper": "WER %",
    "distillmos": "DistilMOS",
    "latency_ms": "latency, ms",
    "boundary_f1_20ms": "boundary F1 %",
}
FRAMES = {
    "boundary_f1_20ms": "F1 at 20 ms",
    "boundary_f1_20ms_uniform": "uniform",
    "boundary_f1_20ms_random": "random",
    "boundary_f1_40ms": "F1 at 40 ms",
    "frame_rate_silence": "Hz in silence",
    "frame_rate_vowels": "Hz in vowels",
    "frame_rate_consonants": "Hz in consonants",
}


def scores(path: Path) -> Table:
    """All rows of a baseline, as a report has them; sizes that a baseline leaves out are in no column here."""
    baseline = read_baseline(str(path))
    records = baseline.records
    known = {"bits_total": records["bits_tokens"] + records["bits_side"], "nominal_bitrate": records["bitrate"]}
    left_out = {"bits_entropy": 0, "peak_memory_mb": 0.0, "length_error": 0, "sample_rate": 16000}
    infos = leading({name: info for name, info in metrics_of(dict(baseline.about)).items() if name in records})
    return summary(records.assign(**known, **left_out), infos, seed=baseline.about["seed"])


def quality(*paths: Path) -> str:
    """Every codec at every point of all baselines: kbit/s, clips and the means with their intervals."""
    tables = [scores(path) for path in paths]
    metrics = tables[0].metrics
    heads = [told if metrics[name].diagnostic else f"{told} {ARROW[metrics[name].higher_is_better]}" for name, told in QUALITY.items()]
    table = Table(tuple(row for each in tables for row in each.rows), metrics)
    return _markdown(table, QUALITY, ["kbit/s", "clips", *heads], [[kbps(row.rates.bitrate), str(row.utterances)] for row in table.rows])


def frames(path: Path) -> str:
    """Where the frames of what merges lie: rows whose boundaries were scored."""
    table = scores(path)
    merged = [row for row in table.rows if math.isfinite(row.cells["boundary_f1_20ms"].mean)]
    return _markdown(Table(tuple(merged), table.metrics), FRAMES, list(FRAMES.values()), [[] for _ in merged])


def _markdown(table: Table, shown: dict[str, str], heads: list[str], facts: list[list[str]]) -> str:
    cells = {name: [row.cells[name] for row in table.rows if row.kind != "ceiling" and name in row.cells] for name in shown}
    places = {name: decimals(cells[name]) for name in shown}
    lines = [["codec", *heads], ["---", *["---:"] * len(heads)]]
    for row, known in zip(table.rows, facts, strict=True):
        name = "the original" if row.kind == "ceiling" else f"{row.codec}@{row.point}"
        lines.append([escape_markdown(name), *known, *(_cell(row.cells.get(metric), places[metric]) for metric in shown)])
    return markdown_table(lines)


def _cell(cell: Cell | None, places: int) -> str:
    if cell is None or not math.isfinite(cell.mean):
        return MISSING
    return f"{number(cell.mean, places)} {spread_text(cell.mean, cell.low, cell.high, places)}".rstrip()


def sections() -> dict[tuple[str, str], str]:
    """The marks in the card -> what stands between them."""
    return {
        ("<!-- real speech, quality -->", "<!-- end of quality -->"): quality(BASELINE, RECORDINGS),
        ("<!-- real speech, frames -->", "<!-- end of frames -->"): frames(BASELINE),
        ("<!-- real speech, verdict -->", "<!-- end of verdict -->"): readme_results.results(BASELINE, 5),
        ("<!-- real speech, FlexiCodec's twins -->", "<!-- end of FlexiCodec's twins -->"): readme_results.results(TWINS, 5),
        ("<!-- real speech, quality of the twins -->", "<!-- end of the twins' quality -->"): quality(TWINS),
    }


if __name__ == "__main__":
    readme_results.write_sections(CARD, sections())
