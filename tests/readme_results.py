"""The results that README tells, from the committed baseline: `python -m tests.readme_results` writes them into README."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.equal_bits import equal_bits
from bench.regress.baseline import read_baseline
from bench.report.equal_bits import sentences
from bench.run.store import metrics_of

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BASELINE = ROOT / "results/baselines/low_rate.parquet"
BEGIN, END = "<!-- results of results/baselines/low_rate.parquet -->", "<!-- end of results -->"


def results() -> str:
    """The verdict on the baseline at equal bits, sentence by sentence; the run prints that at equal tokens, too."""
    baseline = read_baseline(str(BASELINE))
    about = dict(baseline.about)
    metrics = {name: info for name, info in metrics_of(about).items() if name in baseline.records}
    margins = (about["suite"].get("regress") or {}).get("margins") or {}
    verdict = equal_bits(baseline.records, metrics, margins=margins, seed=about["seed"])
    lines = [f"- {sentence}" for sentence in sentences(verdict) if sentence.startswith("At equal bits")]
    return "\n".join([BEGIN, *lines, END])


def told() -> str:
    """What README says now, between the marks."""
    text = README.read_text(encoding="utf-8")
    return text[text.index(BEGIN) : text.index(END) + len(END)] if BEGIN in text and END in text else ""


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    if not told():
        raise SystemExit(f"README.md: put '{BEGIN}' and '{END}' where the results are to stand")
    README.write_text(text.replace(told(), results()), encoding="utf-8")
