"""The verdict: every dynamic point against the fixed family at equal bits and at equal tokens."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.analysis import stats
from bench.analysis.comparison import compare
from bench.analysis.equal_bits import Finding, Verdict, at_rate, equal_bits, fixed_families
from bench.record import MetricInfo
from bench.report.comparison import render_json
from bench.report.equal_bits import page_data, render_brief, render_csv, render_markdown, render_terminal, sentence, sentences
from bench.report.results import comparison_of
from tests import card, readme_results
from tests.runs import METRICS, run_info, synthetic_records, write_run

ROOT = Path(__file__).resolve().parent.parent
MEL = {"mel": MetricInfo("mel", "", 1, 24000, False, "", "")}
Points = Mapping[str, tuple[str, str, float, float, float]]  # codec -> kind, family, bit/s, tokens/s, mean of mel


def made(points: Points, *, noise: float = 0.02, n: int = 60, speakers: int = 20, seed: int = 0) -> pd.DataFrame:
    """Records of one metric, of one point a codec; all share the utterances' difficulty."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 0.3, n)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "codec": codec,
                    "point": "p",
                    "kind": kind,
                    "family": family,
                    "dataset": "d",
                    "utterance": [f"u{i}" for i in range(n)],
                    "speaker": [f"s{i % speakers}" for i in range(n)],
                    "duration_s": rng.uniform(1, 9, n) if number < 0 else np.linspace(1, 9, n),
                    "bitrate": bitrate,
                    "token_rate": token_rate,
                    "frame_rate": token_rate,
                    "mel": level + hard + rng.normal(0, noise, n),
                }
            )
            for number, (codec, (kind, family, bitrate, token_rate, level)) in enumerate(points.items())
        ],
        ignore_index=True,
    )


LADDER: Points = {
    "f20": ("fixed", "fixed", 260.0, 20.0, 3.0),
    "f40": ("fixed", "fixed", 520.0, 40.0, 2.5),
    "f80": ("fixed", "fixed", 1040.0, 80.0, 2.0),
}


def only(verdict: Verdict, codec: str, against: str = "bitrate") -> Finding:
    (found,) = [each for each in verdict.findings if (each.codec, each.against) == (codec, against)]
    return found


def test_a_twin_within_two_percent_of_the_rate_is_the_fixed_value() -> None:
    records = made({**LADDER, "slime": ("dynamic", "", 529.0, 44.0, 2.4)})
    found = only(equal_bits(records, MEL), "slime")
    assert (found.how, found.points, found.rates) == ("twin", (("f40", "p"),), (pytest.approx(520.0),))
    wide = records.pivot(index="utterance", columns="codec", values="mel")
    assert found.difference == pytest.approx((wide["slime"] - wide["f40"]).mean())
    (paired,) = [each for each in compare(records, MEL, ("f40", "p")).differences if each.codec == "slime"]
    assert (found.low, found.high, found.p) == pytest.approx((paired.low, paired.high, paired.p))
    assert only(equal_bits(made({**LADDER, "slime": ("dynamic", "", 531.0, 44.0, 2.4)}), MEL), "slime").how == "interpolated"


def test_between_two_rates_the_fixed_value_lies_on_the_line_over_the_log_rate() -> None:
    records = made({**LADDER, "slime": ("dynamic", "", 647.0, 40.0, 2.4)})
    found = only(equal_bits(records, MEL), "slime")
    assert (found.how, found.points) == ("interpolated", (("f40", "p"), ("f80", "p")))
    wide = records.pivot(index="utterance", columns="codec", values="mel").mean()
    fixed = np.interp(np.log(647.0), np.log([520.0, 1040.0]), [wide["f40"], wide["f80"]])
    assert found.fixed == pytest.approx(fixed)
    assert found.difference == pytest.approx(wide["slime"] - fixed)
    tokens = only(equal_bits(records, MEL), "slime", "token_rate")
    assert (tokens.how, tokens.points, tokens.rate) == ("twin", (("f40", "p"),), pytest.approx(40.0))


def test_word_errors_are_interpolated_as_totals_over_the_corpus() -> None:
    records = synthetic_records(60, 20)
    records["family"] = np.where(records["codec"] == "fixed_40", "fixed", "")
    verdict = equal_bits(records, METRICS)
    found = next(each for each in verdict.findings if (each.point, each.metric, each.against) == ("50hz", "wer_pocketsphinx", "bitrate"))

    def wer(point: str) -> float:
        rows = records[records["point"] == point]
        return 100 * rows["wer_pocketsphinx:errors"].sum() / rows["wer_pocketsphinx:words"].sum()

    (low, high), (rate_low, rate_high) = (point for _, point in found.points), found.rates
    assert found.fixed == pytest.approx(np.interp(np.log(found.rate), np.log([rate_low, rate_high]), [wer(low), wer(high)]))
    assert found.value == pytest.approx(wer("50hz"))
    rows = records[records["point"] == "50hz"]
    assert found.rate == pytest.approx((rows["bits_tokens"] + rows["bits_side"]).sum() / rows["duration_s"].sum(), rel=1e-6)


@pytest.mark.parametrize(("rate", "side"), [(250.0, "below"), (1100.0, "above")])
def test_outside_of_what_was_measured_there_is_no_verdict_and_the_reason(rate: float, side: str) -> None:
    found = only(equal_bits(made({**LADDER, "slime": ("dynamic", "", rate, 40.0, 2.4)}), MEL), "slime")
    assert (found.word, found.how) == ("no verdict", "")
    assert f"{side} all that the family measured, 260 to 1040" in found.why
    assert math.isnan(found.difference)


def test_of_several_twins_the_one_nearest_in_the_other_rate_is_taken() -> None:
    chosen = at_rate(647.0, [645.0, 650.0, 520.0], [80.0, 41.0, 40.0], 40.0)
    assert not isinstance(chosen, str)
    assert chosen.points == (1,)
    chosen = at_rate(40.0, [40.0, 40.0, 80.0], [520.0, 648.0, 1040.0], 647.0)
    assert not isinstance(chosen, str)
    assert chosen.points == (1,)


@pytest.mark.parametrize(("rates", "reason"), [([0.0, math.nan], "the family has no"), ([40.0], "lies above")])
def test_rates_that_nobody_measured_are_no_neighbours(rates: list[float], reason: str) -> None:
    assert reason in str(at_rate(50.0, rates, rates, 50.0))
    assert "dynamic point has no" in str(at_rate(math.nan, [40.0], [40.0], 50.0))


@pytest.mark.parametrize(
    ("level", "noise", "word"),
    [(2.2, 0.02, "better"), (2.8, 0.02, "worse"), (2.5, 0.02, "same"), (2.5, 0.5, "undecided")],
)
def test_words_say_what_was_planted(level: float, noise: float, word: str) -> None:
    found = only(equal_bits(made({**LADDER, "slime": ("dynamic", "", 520.0, 40.0, level)}, noise=noise), MEL), "slime")
    assert found.word == word
    assert (found.p_holm < 0.05) == (word in ("better", "worse"))


def test_holm_runs_over_all_findings_and_leaves_out_what_has_no_fixed_value() -> None:
    slow = {"a": (520.0, 33.0, 2.49), "b": (900.0, 60.0, 2.12), "c": (90.0, 7.0, 4.0)}
    points = {**LADDER, **{codec: ("dynamic", "", *rest) for codec, rest in slow.items()}}
    findings = equal_bits(made(points), MEL).findings
    assert [each.how for each in findings if each.codec == "c"] == ["", ""]
    assert [each.p_holm for each in findings] == pytest.approx(stats.holm(np.array([each.p for each in findings])).tolist(), nan_ok=True)
    assert sum(np.isfinite(each.p) for each in findings) == 4


def test_a_fixed_rate_twin_on_a_dynamic_module_is_of_the_fixed_family() -> None:
    records = made({**LADDER, "twin": ("dynamic", "fixed", 647.0, 40.0, 2.3), "slime": ("dynamic", "", 647.0, 40.0, 2.4)})
    assert fixed_families(records) == {"fixed": ("f20", "f40", "f80", "twin")}
    verdict = equal_bits(records, MEL)
    assert {each.codec for each in verdict.findings} == {"slime"}
    assert {each.points for each in verdict.findings} == {(("twin", "p"),)}


def test_a_family_is_one_curve_whatever_its_checkpoints() -> None:
    slow = {f"slime{rate}": ("dynamic", "slime", 13.0 * rate, float(rate), 2.9 - 0.01 * rate) for rate in (30, 60, 75)}
    records = made({**LADDER, **slow})
    by_family = compare(records, MEL, ("f40", "p"))
    assert {(each.codec, each.baseline) for each in by_family.curves} == {("slime", "fixed")}
    relabelled = records.assign(point=records["codec"], codec=records["family"], family="")
    by_label = compare(relabelled, MEL, ("fixed", "f40"))
    for one, other in zip(by_family.curves, by_label.curves, strict=True):
        assert one == other
        assert np.isfinite(one.bd_rate) or one.undefined
    assert len(by_family.pareto["mel", "bitrate"]) > 2  # points of the family are still points


def test_without_a_family_the_run_says_what_is_missing() -> None:
    records = made({"f40": ("fixed", "", 520.0, 40.0, 2.5), "slime": ("dynamic", "", 520.0, 40.0, 2.4)})
    assert "family: fixed" in equal_bits(records, MEL).note
    assert "family: fixed" in equal_bits(records.drop(columns="family"), MEL).note
    assert "dynamic" in equal_bits(made(LADDER), MEL).note


def test_every_form_holds_the_same_numbers() -> None:
    verdict = equal_bits(made({**LADDER, "slime": ("dynamic", "", 647.0, 39.0, 2.2)}), MEL)
    rows = list(csv.DictReader(io.StringIO(render_csv(verdict))))
    assert [float(row["difference"]) for row in rows] == [each.difference for each in verdict.findings]
    assert rows[0]["points"] == "f40@p f80@p"
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render_terminal(verdict, MEL, 160))
    shown = console.export_text()
    console.print(render_brief(verdict))
    brief = console.export_text()
    assert "slime@p, 0.647 kbps, against f40@p to f80@p\n    better: mel" in brief
    for text in (shown, brief, render_markdown(verdict, MEL).replace("\\", "")):
        assert f"{verdict.findings[0].difference:.3f}"[:5] in text
        assert "better" in text
        assert "f40@p to f80@p" in text


def test_compare_as_json_holds_the_verdict_of_the_run(tmp_path: Path) -> None:
    records = synthetic_records(24, 12)
    records["family"] = np.where(records["codec"] == "fixed_40", "fixed", "")
    run = write_run(tmp_path / "run", records, run_info())
    data = json.loads(render_json(comparison_of(run, "")))["verdict"]
    assert data["families"] == {"fixed": ["fixed_40"]}
    assert {each["codec"] for each in data["findings"]} == {"slime"}
    assert any(each["difference"] is not None for each in data["findings"])
    margins = {**run_info()["suite"], "regress": {"margins": {"pesq_wb": 9.0}}}
    other = write_run(tmp_path / "other", records, {**run_info(), "suite": margins})
    findings = json.loads(render_json(comparison_of(other, "")))["verdict"]["findings"]
    assert {each["word"] for each in findings if each["metric"] == "pesq_wb"} <= {"same", "better", "worse", "no verdict"}


def test_margins_of_the_suite_decide_what_is_the_same() -> None:
    records = made({**LADDER, "slime": ("dynamic", "", 520.0, 40.0, 2.5)})
    assert only(equal_bits(records, MEL, margins={"mel": 0.1}), "slime").word == "same"
    assert only(equal_bits(records, MEL, margins={"mel": 1e-6}), "slime").word == "undecided"


def test_statistics_import_no_torch() -> None:
    modules = sorted(f"bench.analysis.{path.stem}" for path in (ROOT / "bench/analysis").glob("*.py") if path.stem != "__init__")
    code = f"import sys, importlib; [importlib.import_module(name) for name in {modules!r}]; sys.exit('torch' in sys.modules)"
    assert len(modules) > 6
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("command", [["compare", "run"], ["compare", "run", "--json"], ["report", "run"]], ids=" ".join)
def test_comparing_and_reporting_import_no_torch(command: list[str], tmp_path: Path) -> None:
    records = synthetic_records(24, 12)
    records["family"] = np.where(records["codec"] == "fixed_40", "fixed", "")
    write_run(tmp_path / "run", records, audio_utterances=1)
    code = f"import sys\nsys.argv = ['bench', *{command!r}]\nfrom bench.cli import main\nmain()\nassert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_diagnostic_is_in_no_verdict() -> None:
    records = made({**LADDER, "slime": ("dynamic", "", 520.0, 40.0, 2.5)})
    diagnostic = {**MEL, "delay": replace(MEL["mel"], name="delay", diagnostic=True)}
    assert equal_bits(records.assign(delay=records["mel"]), diagnostic).findings == equal_bits(records, MEL).findings


def test_with_so_few_speakers_that_no_test_could_find_anything_it_says_so() -> None:
    verdict = equal_bits(made({**LADDER, "slime": ("dynamic", "", 520.0, 40.0, 2.0)}, speakers=5), MEL)
    assert {each.word for each in verdict.findings} == {"undecided"}
    assert all("no test" in each.why for each in verdict.findings)


def finding(**facts: Any) -> Finding:
    usual = {"codec": "slime", "point": "40hz", "metric": "mel", "against": "bitrate", "family": "fixed", "rate": 647.0}
    known = {"how": "twin", "points": (("twin", "40hz"),), "rates": (650.0,), "n": 60, "difference": 0.02, "low": 0.01, "high": 0.03}
    return Finding(**{**usual, **known, "p_holm": 0.3, "word": "undecided", **facts})


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"word": "worse", "p_holm": 0.0004}, "worse in mel (+0.0200 ±0.0100, p <0.001)"),
        ({"word": "better", "p_holm": 0.01, "low": 0.012, "high": 0.04}, "better in mel (+0.0200 [+0.0120, +0.0400], p 0.01)"),
        ({"word": "same", "low": -0.01, "high": 0.05}, "the same, within the margin, in mel"),
        ({"low": -0.01, "high": 0.05}, "cannot be told apart in mel (+0.0200 ±0.0300, p 0.3)"),
        ({}, "different by the interval, but not by the test over all comparisons, in mel"),
        ({"low": -0.01, "high": 0.05, "p_holm": 0.01}, "different by the test, but not by the interval, in mel"),
        ({"why": "no test: with so few clusters p would be 0.5 at the least"}, "not to be tested on so few speakers in mel"),
    ],
)
def test_a_sentence_says_no_more_than_test_and_interval_agree_on(facts: dict[str, Any], told: str) -> None:
    (sentence,) = sentences(Verdict((finding(**facts),)))
    assert sentence.startswith("At equal bits (0.647 kbps), slime@40hz against twin@40hz: ")
    assert told in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("no verdict", "dynamic and fixed frame rates cannot be compared on these data."),
        ("undecided undecided", "these data do not tell dynamic frame rates from fixed ones: all 2 comparisons are undecided."),
        (
            "same undecided",
            "dynamic frame rates are neither better nor worse than fixed ones in any of 2 comparisons; "
            "1 the same within the margin, 1 undecided.",
        ),
        (
            "worse worse same",
            "dynamic frame rates are worse than fixed ones in 2 of 3 comparisons and better in none; 1 the same within the margin.",
        ),
        ("better worse", "dynamic frame rates are better than fixed ones in 1 of 2 comparisons and worse in 1."),
    ],
)
def test_the_answer_is_in_plain_words_whatever_was_found(words: str, told: str) -> None:
    findings = [finding(word=word, metric=str(n)) for n, word in enumerate(re.split(" (?!verdict)", words))]
    assert sentence(Verdict(tuple(findings))) == f"At equal bits, {told}"


def test_the_page_has_the_minus_sign_where_files_have_a_hyphen() -> None:
    verdict = Verdict((finding(metric="mel", difference=-0.02, low=-0.08, high=-0.01, word="better"),))
    ((_, numbers),) = page_data(verdict, MEL)["rows"][0]["cells"]
    assert numbers == "−0.0200 [−0.0800, −0.0100], p 0.3"
    assert ",-0.02," in render_csv(verdict)


def test_a_sentence_names_what_it_interpolates_and_why_there_is_nothing_to_compare_with() -> None:
    records = made({**LADDER, "slime": ("dynamic", "", 647.0, 15.0, 2.4)})
    bits, tokens = sentences(equal_bits(records, MEL))
    assert "slime@p against the line from f40@p to f80@p: " in bits
    assert tokens == (
        "At equal tokens (15 tokens/s), slime@p has no fixed counterpart in fixed: 15 lies below all that the family measured, 20 to 80."
    )


def test_the_figure_in_the_readme_draws_the_committed_baseline() -> None:
    root = ElementTree.parse(readme_results.FIGURE).getroot()
    (described,) = root.iter("{http://purl.org/dc/elements/1.1/}description")
    picture, drawn = readme_results.figure()
    told, expected = json.loads(described.text or ""), json.loads(drawn)
    assert told.keys() == expected.keys()
    for point, values in expected.items():
        for name, numbers in values.items():
            assert told[point][name] == pytest.approx(numbers, rel=2e-3), "write it with: python -m tests.readme_results"
    shown = {(element.text or "").strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {panel.get_ylabel() for panel in picture.axes} <= shown
    assert {text.get_text() for text in picture.legends[0].get_texts()} <= shown
    assert "(reports/low_rate.svg)" in readme_results.README.read_text(encoding="utf-8")


def test_the_tables_in_the_readme_follow_from_the_committed_baselines() -> None:
    for marks, section in readme_results.sections().items():
        assert readme_results.told(marks) == section, "write it with: python -m tests.readme_results"
        assert len(section.splitlines()) > 9


def test_the_tables_of_real_speech_in_the_card_follow_from_the_committed_baselines() -> None:
    for marks, section in card.sections().items():
        assert readme_results.told(marks, card.CARD) == section, "write it with: python -m tests.card"
        assert len(section.splitlines()) > 3
