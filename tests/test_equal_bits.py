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
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.analysis import stats
from bench.analysis.comparison import compare
from bench.analysis.equal_bits import Finding, Verdict, at_rate, beaten, equal_bits, fixed_families
from bench.record import MetricInfo
from bench.report.comparison import render_json
from bench.report.equal_bits import counterparts, page_data, render_brief, render_csv, render_markdown, render_terminal, sentence, sentences
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


def rows_of_csv(verdict: Verdict) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_csv(verdict))))


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


WEAK: Points = {  # fixed at 0.733 kbit/s is worse than at 0.649, and so is the line from it
    "f40": ("fixed", "fixed", 649.0, 40.0, 1.41),
    "weak": ("fixed", "fixed", 733.0, 66.0, 1.49),
    "f80": ("fixed", "fixed", 1139.0, 80.0, 1.36),
}


@pytest.mark.parametrize(("rate", "level"), [(813.0, 1.42), (733.0, 1.45), (730.0, 1.45)], ids=["between", "at the twin", "near the twin"])
def test_a_member_that_a_cheaper_one_beats_is_no_counterpart(rate: float, level: float) -> None:
    records = made({**WEAK, "slime": ("dynamic", "", rate, 50.0, level)}, noise=0.005)
    found = only(equal_bits(records, MEL), "slime")
    assert (found.word, found.how, found.points) == ("worse", "interpolated", (("f40", "p"), ("f80", "p")))
    assert found.passed_over == (("weak", "p"),)
    without = only(equal_bits(records[records["codec"] != "weak"], MEL), "slime")
    assert replace(found, passed_over=()) == without
    text = "against the line from f40@p to f80@p, passing over weak@p: worse in mel"
    assert any(text in each for each in sentences(equal_bits(records, MEL)))
    upward = {"mel": replace(MEL["mel"], higher_is_better=True)}
    assert only(equal_bits(records.assign(mel=-records["mel"]), upward), "slime").points == found.points


def test_above_the_last_member_that_counts_it_stands_in_as_far_as_the_family_was_measured() -> None:
    points = {**LADDER, "f60": ("fixed", "fixed", 780.0, 60.0, 2.6), "f80": ("fixed", "fixed", 1040.0, 80.0, 2.7)}
    rates = {"a": (700.0, 50.0), "b": (1055.0, 79.0), "c": (1080.0, 90.0), "twin": (515.0, 39.8)}
    records = made({**points, **{codec: ("dynamic", "", *rate, 2.55) for codec, rate in rates.items()}}, noise=0.005)
    verdict = equal_bits(records, MEL)
    for codec in ("a", "b"):
        found = only(verdict, codec)
        assert (found.word, found.how, found.points, found.rates) == ("worse", "cheaper", (("f40", "p"),), (pytest.approx(520.0),))
        assert found.passed_over == (("f60", "p"), ("f80", "p"))
    assert only(verdict, "a", "token_rate").how == "cheaper"
    assert only(verdict, "c").why == "1080 lies above all that the family measured, 260 to 1040"
    assert (only(verdict, "twin").how, only(verdict, "twin").passed_over) == ("twin", ())
    told = " ".join(sentences(verdict))
    assert "a@p against f40@p with fewer bits, passing over f60@p, f80@p: worse in mel" in told
    assert "a@p against f40@p with fewer tokens, passing over f60@p, f80@p: worse in mel" in told
    assert rows_of_csv(verdict)[0]["passed_over"] == "f60@p f80@p"


def test_a_member_counts_in_the_metrics_in_which_no_cheaper_one_beats_it() -> None:
    records = made({**WEAK, "slime": ("dynamic", "", 813.0, 50.0, 1.42)}, noise=0.005)
    metrics = {name: replace(MEL["mel"], name=name) for name in ("mel", "good", "stft")}
    records = records.assign(good=records["mel"] - 0.11 * (records["codec"] == "weak"), stft=records["mel"])
    verdict = equal_bits(records, metrics)
    found = {each.metric: each for each in verdict.findings if each.against == "bitrate"}
    assert found["mel"].points == found["stft"].points == (("f40", "p"), ("f80", "p"))
    assert (found["good"].points, found["good"].passed_over) == ((("weak", "p"), ("f80", "p")), ())
    row = page_data(verdict, metrics)["rows"][0]
    assert row["typed"] == "f40@p to f80@p, passing over weak@p; good: weak@p to f80@p"
    assert row["fixed"] == row["typed"].replace("@", " · ")
    assert [cell[2:] for cell in row["cells"]] == [[], ["against weak · p to f80 · p"], []]
    at_bits = [each for each in sentences(verdict) if each.startswith("At equal bits")]
    assert ["good" in each for each in at_bits] == [False, True]
    assert [("mel" in each, "stft" in each) for each in at_bits] == [(True, True), (False, False)]


def test_of_many_metrics_with_another_counterpart_the_table_has_their_number() -> None:
    found = [finding(metric=str(n)) for n in range(9)]
    others = [finding(metric=f"m{n}", points=(("a", "p"), ("b", "p")), how="interpolated") for n in range(4)]
    assert counterparts([*others, *found]) == "twin@40hz; 4 metrics: a@p to b@p"
    assert counterparts([*others[:3], *found]) == "twin@40hz; m0, m1, m2: a@p to b@p"
    assert counterparts([finding(how="", why="no"), finding(how="", why="none")]) == "none at this rate"
    assert counterparts([finding(how="", why="no"), finding(how="", why="no"), found[0]]) == "twin@40hz"


def test_of_members_at_one_rate_the_best_counts_and_those_that_are_alike_all_do() -> None:
    slime = ("dynamic", "", 650.0, 40.0, 2.45)
    members: Points = {
        "f40": ("fixed", "fixed", 520.0, 40.0, 2.5),
        "more_bits": ("fixed", "fixed", 649.0, 40.0, 2.4),
        "other": ("fixed", "fixed", 649.0, 80.0, 2.6),
    }
    found = only(equal_bits(made({**LADDER, **members, "slime": slime}), MEL), "slime")
    assert (found.how, found.points, found.passed_over) == ("twin", (("more_bits", "p"),), (("other", "p"),))
    found = only(equal_bits(made({**LADDER, **members, "slime": slime}), MEL), "slime", "token_rate")
    assert (found.points, found.passed_over) == ((("more_bits", "p"),), (("f40", "p"),))
    better = np.zeros((3, 3), dtype=bool)
    assert beaten([40.0, 40.0, 20.0], [1.0, 1.0, 1.0], better) == frozenset()


def test_members_with_missing_scores_are_compared_over_the_utterances_that_both_have() -> None:
    records = made({**WEAK, "slime": ("dynamic", "", 813.0, 50.0, 1.42)}, noise=0.005)
    hardest = records.loc[records["codec"] == "weak"].nlargest(40, "mel")["utterance"]
    easy = records["mel"].where((records["codec"] != "weak") | ~records["utterance"].isin(hardest))
    means = records.assign(mel=easy).groupby("codec")["mel"].mean()
    assert means["weak"] < means["f40"]  # by the easy utterances alone
    assert only(equal_bits(records.assign(mel=easy), MEL), "slime").passed_over == (("weak", "p"),)
    unscored = records["mel"].where(records["codec"] != "f80")  # never a member, in this metric
    found = only(equal_bits(records.assign(mel=unscored), MEL), "slime")
    assert (found.how, found.why) == ("", "813 lies above all that the family measured, 649 to 733")
    nothing = records["mel"].where(records["codec"] == "slime")
    assert only(equal_bits(records.assign(mel=nothing), MEL), "slime").why == "the family has no point with a rate and a score"


def test_where_comparisons_form_no_order_a_member_still_counts() -> None:
    circle = np.array([[False, True, False], [False, False, True], [True, False, False]])  # as missing scores may make it
    assert beaten([40.0] * 3, [1.0, 1.0, 1.0], circle) == {1}
    assert beaten([40.0, math.nan, 50.0], [1.0, 1.0, math.nan], circle) == frozenset()


@st.composite
def families_of_records(draw: st.DrawFn) -> pd.DataFrame:
    """A fixed family of two to five members, some at one rate and some without all scores, and three dynamic points."""
    member = st.tuples(st.sampled_from([200.0, 300.0, 400.0, 404.0, 600.0]), st.sampled_from([20.0, 40.0]), st.integers(0, 4))
    points: dict[str, tuple[str, str, float, float, float]] = {
        f"f{n}": ("fixed", "fixed", *each) for n, each in enumerate(draw(st.lists(member, min_size=2, max_size=5)))
    }
    points |= {f"slime{n}": ("dynamic", "", rate, 30.0, 2.0) for n, rate in enumerate((250.0, 402.0, 590.0))}
    records = made(points, noise=0.0, n=8, speakers=4)
    missing = draw(st.lists(st.sampled_from(range(len(records))), max_size=4))
    records.loc[missing, "mel"] = np.nan
    return records


@settings(max_examples=40, deadline=None)
@given(families_of_records(), st.data())
def test_a_member_that_is_beaten_and_the_order_of_the_members_change_no_finding(records: pd.DataFrame, data: st.DataObject) -> None:
    before = [replace(each, passed_over=()) for each in equal_bits(records, MEL).findings]
    fixed = records[records["kind"] == "fixed"]
    model = data.draw(st.sampled_from(sorted(fixed["codec"].unique())))
    rates = fixed.drop_duplicates("codec").set_index("codec")[["bitrate", "token_rate"]]
    more = {column: data.draw(st.floats(rates.at[model, column], rates[column].max())) for column in rates}
    weak = fixed[fixed["codec"] == model].assign(codec=data.draw(st.sampled_from(["a", "z"])), **more)
    weak["mel"] += data.draw(st.sampled_from([0.001, 1.0]))
    after = equal_bits(pd.concat([records, weak]), MEL).findings
    assert repr([replace(each, passed_over=()) for each in after]) == repr(before)
    codecs = data.draw(st.permutations(sorted(records["codec"].unique())))
    shuffled = pd.concat([records[records["codec"] == codec] for codec in codecs])
    key = {(each.codec, each.against): repr(each) for each in equal_bits(records, MEL).findings}
    assert {(each.codec, each.against): repr(each) for each in equal_bits(shuffled, MEL).findings} == key


def test_a_member_that_is_beaten_changes_no_average_over_the_curve_of_its_family() -> None:
    slow = {f"slime{rate}": ("dynamic", "slime", 13.0 * rate, float(rate), 1.9 - 0.006 * rate) for rate in (45, 60, 80)}
    records = made({**WEAK, "f20": ("fixed", "fixed", 290.0, 20.0, 1.62), **slow})
    with_weak, without = (compare(each, MEL, ("f40", "p")).curves for each in (records, records[records["codec"] != "weak"]))
    assert np.isfinite(with_weak[0].bd_rate)
    assert with_weak[0].dropped == (("weak", "p"),)
    assert replace(with_weak[0], dropped=()) == without[0]


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
    rows = rows_of_csv(verdict)
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
