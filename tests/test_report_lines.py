"""What the report promises of its answer, of Compare and of many systems, in a real browser; a run's tables are its report's."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.report import results
from bench.report.build import build, written
from tests.browser import opened_page
from tests.runs import CODECS, Codecs, run_info, synthetic_records, write_run
from tests.test_report_page import show

FAST: Codecs = {**CODECS, "fast": ("dynamic", {"500hz": (500.0, 1)})}  # above all that is fixed, and of one point
FAST_POINT, POINT_100HZ, POINT_200HZ, POINT_2Q, POINT_8Q = 10, 6, 7, 2, 4


def made(folder: Path, codecs: Codecs = FAST, **options: Any) -> Path:
    """A run of two metrics; `fixed_40` is the fixed family."""
    records = synthetic_records(num_utterances=24, num_speakers=12, codecs=codecs)
    records["family"] = np.where(records["codec"] == "fixed_40", "fixed", "")
    info = run_info(codecs)
    info["metrics"] = {name: info["metrics"][name] for name in ("pesq_wb", "wer_pocketsphinx")}
    return write_run(folder / "run", records, info, **options)


@pytest.fixture(autouse=True)
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.plot.save", lambda *_: None)  # drawn, not written: that takes most of the time


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.report.plot.save", lambda *_: None)
        return build([made(folder, audio_utterances=1)], folder / "report")


@pytest.fixture
def page(browser: Any, index: Path) -> Iterator[Any]:
    with opened_page(browser, index) as opened:
        yield opened


def compare(page: Any, a: int, b: int) -> str:
    """The text of Compare with that pair."""
    show(page, "compare", a=a, b=b)
    page.wait_for_function(f"bench.report.points.length && location.hash.includes('a={a}') && document.querySelector('#scatter .dot')")
    return page.inner_text("#compare")


def test_each_verdict_has_difference_interval_p_and_word_and_no_verdict_its_reason_in_plain_words(page: Any) -> None:
    row = page.locator("#verdict tbody tr").first.inner_text()
    assert re.search(r"[+−]\d+\.\d+ (±\d|\[)", row)
    assert re.search(r"p (0\.|<0\.001|1)", row)
    assert re.search(r"better|worse|same|undecided", row)
    page.locator("#verdict summary").click()
    text = page.inner_text("#verdict")
    assert "At equal bits, fast · 500 Hz: " in text
    assert "above all that the family measured" in text
    assert "fast@500hz" not in text


def test_compare_opens_with_the_dynamic_point_nearest_in_rate_and_rates_stand_on_top(page: Any) -> None:
    records = synthetic_records(num_utterances=24, num_speakers=12, codecs=FAST)
    rates = records.groupby(["codec", "point"])["bits_tokens"].sum().add(records.groupby(["codec", "point"])["bits_side"].sum())
    dynamic = rates[[name for name in rates.index if name[0] in ("slime", "fast")]]
    codec, point = (np.log(dynamic) - np.log(rates["fixed_40", "2q"])).abs().idxmin()
    show(page, "compare")
    page.wait_for_selector("#scatter .dot")
    a, b = page.evaluate("[...document.querySelectorAll('#compare select')].slice(0, 2).map((each) => bench.report.points[each.value])")
    assert (b["name"], page.evaluate(f"bench.report.codecs[{a['codec']}].label"), a["name"]) == ("2q", codec, point)
    kinds = page.locator("#compare table").first.locator("tbody tr").evaluate_all("rows => rows.map((row) => row.className)")
    assert kinds == ["rate"] * 3 + [""] * 2


def test_only_what_the_adjusted_test_tells_apart_has_a_colour(page: Any) -> None:
    compare(page, POINT_200HZ, POINT_8Q)
    told = set()
    for row in page.locator("#compare tr", has=page.locator(".wins")).all():
        p_holm = row.locator("td").nth(6).inner_text()
        sure = p_holm.startswith("<") or float(p_holm) < 0.05
        told.add(sure)
        drawn = row.evaluate("""row => [
            getComputedStyle(row.querySelector('.forest circle')).fill,
            getComputedStyle(row.querySelector('.wins .good')).backgroundColor,
        ]""")
        quiet = page.evaluate("""() => {
            const node = document.createElement('i');
            node.style.color = 'var(--quiet)';
            document.body.append(node);
            const found = getComputedStyle(node).color;
            node.remove();
            return found;
        }""")
        assert [colour == quiet for colour in drawn] == [not sure, not sure]
    assert told == {True, False}  # both occur: else this says nothing


def test_a_curve_that_is_missing_says_why(page: Any) -> None:
    opus = 8
    apart = compare(page, opus, POINT_2Q)
    assert "None for pesq_wb" in apart
    assert "the curves share no quality" in apart
    assert "fast has one point only, so it has no curve" in compare(page, FAST_POINT, POINT_2Q)
    assert "both are points of one codec" in compare(page, POINT_200HZ, POINT_100HZ).lower()
    for pair in ((opus, POINT_2Q), (POINT_100HZ, POINT_2Q), (POINT_100HZ, opus)):
        assert not re.search(r"(?<![\d.])0(\.0+)? to 0(\.0+)?(?![\d.])", compare(page, *pair))


def wait_for_pair(page: Any, a: str, b: str) -> None:
    """Until the player has these two; what it had before stays until their scores are loaded."""
    shown = "[...document.querySelectorAll('#listen:not([hidden]) #player select')].slice(0, 2).map((each) => each.selectedOptions[0].text)"
    page.wait_for_function(f"expected => JSON.stringify({shown}) === JSON.stringify(expected)", arg=[a, b])


def test_listen_has_the_pair_that_was_chosen_in_compare(page: Any) -> None:
    compare(page, POINT_200HZ, POINT_2Q)
    page.get_by_role("link", name="Hear both").click()
    wait_for_pair(page, "slime · 200 Hz", "fixed_40 · 2 codebooks")
    compare(page, POINT_100HZ, 3)
    page.locator("#scatter .dot").first.focus()
    page.keyboard.press("Enter")
    wait_for_pair(page, "slime · 100 Hz", "fixed_40 · 4 codebooks")
    assert "unit=0" in page.evaluate("location.hash")


def test_pairs_of_curves_that_were_left_out_are_told_with_the_command_that_compares_them(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.leaderboard.MAX_CURVES", 3)  # one pair, of one metric
    with opened_page(browser, build([made(tmp_path)], tmp_path / "report")) as page:
        kept = compare(page, POINT_100HZ, POINT_2Q)
        assert "BD-rate and" not in kept
        assert "only the first 1 metric is compared by curves" in kept
        assert page.locator("#compare code").all_inner_texts() == ["bench compare RUN --baseline fixed_40@2q"]
        assert "not all curves are compared beforehand" in compare(page, 8, POINT_100HZ)
        assert page.locator("#compare code").all_inner_texts() == ["bench compare RUN --baseline slime@100hz"]


def test_more_than_ten_systems_have_the_colours_of_their_families_in_every_view(browser: Any, tmp_path: Path) -> None:
    many: Codecs = {f"{'abc'[n % 3]}{n}": (("fixed", "dynamic")[n % 2], {"p": (10.0 + 5 * n, 1)}) for n in range(12)}
    records = synthetic_records(8, 8, many)
    records["family"] = "family " + records["codec"].str[0]
    with opened_page(browser, build([write_run(tmp_path / "run", records, run_info(many))], tmp_path / "report")) as page:
        marks = page.locator(".board tbody tr").evaluate_all("""rows => rows.map((row) => {
            const path = row.querySelector('.marker path');
            return [row.querySelector('.codec span').textContent[0], path.getAttribute('stroke'), path.getAttribute('d')];
        })""")
        by_family = {family: {colour for name, colour, _ in marks if name == family} for family in "abc"}
        assert [len(colours) for colours in by_family.values()] == [1, 1, 1]
        assert len(set.union(*by_family.values())) == 3
        assert len({shape for *_, shape in marks}) == 2  # of fixed and dynamic
        show(page, "curves")
        chart = page.locator("#curves .chart").first
        page.wait_for_selector("#curves .dot")
        assert set(chart.locator(".dot").evaluate_all("dots => dots.map((dot) => dot.getAttribute('stroke'))")) == set.union(
            *by_family.values()
        )
        assert page.locator(".codec-legend button").all_inner_texts() == [
            "family a",
            "family b",
            "family c",
        ]  # three lines: their names suffice
        page.get_by_label("a family is one line").uncheck()
        colours = chart.locator(".dot").evaluate_all("dots => dots.map((dot) => dot.getAttribute('stroke'))")
        assert (len(colours), set(colours)) == (12, set.union(*by_family.values()))
        assert chart.locator(".direct").count() > 3
        assert page.locator(".codec-legend button").count() == 3  # not one a system


def test_a_weak_member_of_the_fixed_family_is_passed_over_and_said_to_be(browser: Any, tmp_path: Path) -> None:
    codecs: Codecs = {
        "steady": ("fixed", {"40hz": (40.0, 1), "60hz": (60.0, 1), "80hz": (80.0, 1)}),
        "slime": ("dynamic", {"50hz": (50.0, 1)}),
    }
    records = synthetic_records(24, 12, codecs)
    records["family"] = np.where(records["codec"] == "steady", "fixed", "")
    records.loc[records["point"] == "60hz", "pesq_wb"] -= 0.5
    info = run_info(codecs)
    info["metrics"] = {name: info["metrics"][name] for name in ("stoi", "mel_dac_train", "pesq_wb")}
    with opened_page(browser, build([write_run(tmp_path / "run", records, info)], tmp_path / "report")) as page:
        row = page.locator("#verdict tbody tr").first
        text = "steady · 60 Hz; pesq_wb: steady · 40 Hz to steady · 80 Hz, passing over steady · 60 Hz"
        assert row.locator("td").nth(1).inner_text().replace("\xa0", " ") == text
        titles = row.locator(".verdict-cell").evaluate_all("cells => cells.map((cell) => cell.title.replaceAll('\xa0', ' '))")
        assert titles == ["", "", "against steady · 40 Hz to steady · 80 Hz, passing over steady · 60 Hz"]
        show(page, "curves")
        page.wait_for_selector("#curves .dot")
        lines = page.locator("#curves .chart").evaluate_all(
            "charts => charts.map((chart) => chart.querySelector('path.line').getAttribute('d'))"
        )
        assert [line.count("L") for line in lines] == [2, 2, 1]
        page.get_by_label("a family is one line").uncheck()
        assert page.locator("#curves .chart").nth(2).locator("path.line").first.get_attribute("d").count("L") == 2


def test_tables_of_a_run_are_those_of_its_report_and_summed_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    summed_up = results.summary

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(options.get("by", ()))
        return summed_up(*args, **options)

    monkeypatch.setattr(results, "summary", counted)
    run, report = made(tmp_path), tmp_path / "report"
    written(run, report, Console(file=io.StringIO(), width=120))
    assert len(calls) == len(set(calls))  # once for each table, not for each format
    names = {path.name for path in run.glob("table*")}
    assert {"table.md", "table.csv", "table.tex", "table_by_language.csv"} <= names
    for name in (*names, "verdict.csv"):
        assert (run / name).read_bytes() == (report / name).read_bytes(), name
    assert "booktabs" in (report / "table.tex").read_text(encoding="utf-8")
    assert pd.read_csv(report / "table.csv")["point"].nunique() == 11


@pytest.mark.parametrize(
    ("view", "link", "there"),
    [
        ("listen", "point=7&metric=wer_pocketsphinx&unit=0&a=7&b=3&order=difference", "#play"),
        ("compare", "a=7&b=3&metric=wer_pocketsphinx", "#scatter .dot"),
    ],
)
def test_a_link_of_listen_or_compare_shows_pair_metric_and_utterance(browser: Any, index: Path, view: str, link: str, there: str) -> None:
    with opened_page(browser, f"{index.as_uri()}#view={view}&{link}") as page:
        page.wait_for_selector(f"#{view} {there}")
        chosen = page.locator(f"#{view} select").evaluate_all("all => all.map((each) => each.selectedOptions[0].text)")
        assert {"slime · 200 Hz", "fixed_40 · 4 codebooks", "wer_pocketsphinx ↓ (%)"} <= set(chosen)
        address = page.evaluate("location.hash")
        assert set(link.split("&")) <= set(address.lstrip("#").split("&"))
        if view == "listen":
            assert page.locator(".utterance[aria-current]").count() == 1
        page.reload()
        page.wait_for_selector(f"#{view} {there}")
        assert page.evaluate("location.hash") == address
        assert page.locator(f"#{view} select").evaluate_all("all => all.map((each) => each.selectedOptions[0].text)") == chosen


BROKEN = """() => [...document.querySelectorAll('main section:not([hidden]) th')].flatMap((cell) => {
    if (!cell.checkVisibility()) return [];
    const found = [];
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        for (const part of texts.currentNode.data.matchAll(/[\\d.]+ (Hz|kbps|codebooks?)|[^\\s_@]+ [↑↓]|[^\\s_@]+/g)) {
            const range = document.createRange();
            range.setStart(texts.currentNode, part.index);
            range.setEnd(texts.currentNode, part.index + part[0].length);
            if (new Set([...range.getClientRects()].map((line) => Math.round(line.top))).size > 1) found.push(part[0]);
        }
    }
    return found;
})"""


@pytest.mark.parametrize("width", [390, 1024])
def test_no_number_leaves_its_unit_no_arrow_its_name_and_no_word_is_broken(browser: Any, index: Path, width: int) -> None:
    with opened_page(browser, index, viewport={"width": width, "height": 844}) as page:
        for view, there in {
            "leaderboard": ".board tbody tr",
            "rates": "h2",
            "listen": "#player table",
            "compare": "#scatter .dot",
            "provenance": "h2",
        }.items():
            show(page, view)
            page.wait_for_selector(f"#{view} {there}")
            assert page.evaluate(BROKEN) == [], view


def test_many_systems_leave_the_leaderboard_near_and_charts_folded(browser: Any, tmp_path: Path) -> None:
    dynamic: Codecs = {f"slime_{n}": ("dynamic", {"p": (12.0 + 6 * n, 1)}) for n in range(26)}
    many: Codecs = {"fixed_40": ("fixed", {"a": (10.0, 1), "b": (200.0, 1)}), **dynamic}
    with opened_page(browser, build([made(tmp_path, many)], tmp_path / "report")) as page:
        box = page.locator("#verdict .scroll")
        assert page.locator("#verdict tbody tr").count() == 26
        assert box.evaluate("node => node.clientHeight") <= 0.7 * 900 < box.evaluate("node => node.scrollHeight")
        assert box.get_attribute("tabindex") == "0"
        box.evaluate("node => node.scrollTo(0, 300)")
        assert box.evaluate("node => node.querySelector('thead th').getBoundingClientRect().top - node.getBoundingClientRect().top") == 0
        show(page, "rates")
        charts = page.locator("#rates .figures .chart")
        assert charts.count() == 26
        assert not charts.first.is_visible()
        page.get_by_text("26 charts; the filters above narrow them").click()
        assert charts.first.is_visible()
        page.mouse.wheel(0, 400)
        page.wait_for_function(
            "document.querySelector('#rates thead th').getBoundingClientRect().top === document.querySelector('.tabs').offsetHeight"
        )
