"""The page in a real browser: it sorts, filters, plays, switches, draws boundaries, and asks no network for anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.listeners import correlations
from bench.analysis.summary import Table, summary
from bench.listeners import Rating
from bench.metrics.latency import METRICS as OF_LATENCY
from bench.report import listeners
from bench.report.build import build
from bench.report.labels import point_label
from bench.report.merge import merge
from bench.report.table import spread_text
from tests.browser import opened_page
from tests.runs import CODECS, METRICS, run_info, synthetic_records, write_run

EVIL = "<script>alert(1)</script>"
CODECS_HERE = {EVIL if name == "opus" else name: points for name, points in CODECS.items()}
HEARD = 5  # utterances with audio


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = synthetic_records(num_utterances=24, num_speakers=12, codecs=CODECS_HERE)
    records["family"] = np.where(records["codec"] == "fixed_40", "fixed", "")
    info = run_info(CODECS_HERE)
    info["metrics"] = {name: info["metrics"][name] for name in ("pesq_wb", "wer_pocketsphinx", "delay_ms")}
    info["metrics"]["wer_pocketsphinx"]["weights_sha256"] = ["cd" * 32]
    info["suite"]["description"] = f"A title with {EVIL}"
    paper = {"codec": "slime", "point": "50hz", "metric": "pesq_wb", "value": 1.85, "unit": "MOS", "source": "Table 1", "doubt": ""}
    bits = paper | {"metric": "nominal_bitrate", "value": 520.0, "unit": "bit/s", "doubt": "rounded"}
    info["suite"]["published"] = [paper, bits, paper | {"metric": "mushra", "value": 84.0, "source": EVIL}]
    return write_run(tmp_path_factory.mktemp("runs") / "run", records, info, audio_utterances=HEARD)


@pytest.fixture(scope="module")
def table(run: Path) -> Table:
    merged = merge([run])
    return summary(merged.records, merged.metrics, nominal_frame_rates=merged.points)


@pytest.fixture(scope="module")
def index(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build([run], tmp_path_factory.mktemp("report") / "out")


@pytest.fixture
def page(browser: Any, index: Path) -> Iterator[Any]:
    with opened_page(browser, index) as opened:
        yield opened


def show(page: Any, view: str, **parts: Any) -> None:
    page.evaluate(f"location.hash = {'&'.join([f'view={view}', *(f'{k}={v}' for k, v in parts.items())])!r}")
    page.wait_for_selector(f"#{view}:not([hidden]) h2")


def test_the_answer_leads_at_equal_bits_and_at_equal_tokens(page) -> None:
    first, second = page.locator("#leaderboard h2").all_text_contents()
    assert (first, second) == ("Dynamic against fixed frame rates", "Leaderboard")
    assert page.locator("#verdict .lead").text_content().startswith("At equal bits, ")
    assert "-" not in "".join(page.locator("#verdict .spread").all_text_contents())
    by_bits = page.locator("#verdict tbody").text_content()
    assert page.locator("#verdict tbody tr").count() == len(CODECS["slime"][1])
    page.get_by_role("radio", name="equal tokens").click()
    assert page.get_by_role("radio", name="equal tokens").get_attribute("aria-checked") == "true"
    assert "tokens/s" in page.locator("#verdict tbody").text_content() != by_bits


PLACES = 2  # of pesq_wb in this run: as its intervals allow


def column(page: Any, number: int) -> list[str]:
    return page.locator(f"#leaderboard .board tbody tr > :nth-child({number})").all_inner_texts()


def point_names(rows: Any) -> list[str]:
    return rows.locator(".point").evaluate_all("links => links.map((link) => link.dataset.name)")


def test_leaderboard_shows_what_python_computed(page: Any, table: Table) -> None:
    assert point_names(page) == [row.point for row in table.rows]
    pesq = page.locator("#leaderboard .board tbody tr > :nth-child(4)")
    for number, row in enumerate(table.rows):
        cell = row.cells["pesq_wb"]
        assert pesq.nth(number).locator(".value").inner_text() == f"{cell.mean:.{PLACES}f}"
        assert pesq.nth(number).locator(".spread").first.inner_text() == spread_text(cell.mean, cell.low, cell.high, PLACES)
    assert "n=21, 3 failed" in pesq.nth(1).inner_text()
    assert "paper 1.85" in pesq.nth(5).inner_text()
    assert page.locator("#leaderboard .published").all_inner_texts() == ["paper 1.85"]
    page.locator(".picker summary").click()
    page.get_by_label("nominal kbps", exact=True).check()
    assert page.locator("#leaderboard .published").all_inner_texts() == ["paper 0.52?", "paper 1.85"]


def test_papers_stand_beside_what_was_measured_with_pythons_difference(page: Any, table: Table) -> None:
    cell = next(row for row in table.rows if row.point == "50hz").cells["pesq_wb"]
    difference, low, high = (f"{value - 1.85:+.{PLACES + 1}f}".replace("-", "−") for value in (cell.mean, cell.low, cell.high))
    show(page, "papers")
    lines = [line.split("\t") for line in page.locator("#papers tbody tr").all_inner_texts()]
    assert {line[1] for line in lines} == {"50 Hz"}  # in words, as everywhere on the page
    assert [line[2] for line in lines] == ["pesq_wb ↑ MOS", "nominal kbps", "mushra"]
    measured = f"{cell.mean:.{PLACES}f} ({cell.low:.{PLACES}f} to {cell.high:.{PLACES}f})"
    assert lines[0][3:7] == ["1.85", measured, f"{difference} ({low} to {high})", "24"]
    assert lines[1][3] == "0.52?"
    assert lines[1][8] == "rounded"
    assert lines[2][4:8] == ["not measured", "–", "0", EVIL]
    assert (page.locator("#papers a").get_attribute("href")) == "against_papers.csv"


def test_a_part_of_the_data_is_not_held_against_papers(page: Any) -> None:
    page.locator("#filters select").select_option(label="language de")
    assert page.locator("#leaderboard .published").count() == 0


def test_best_and_tied_marks_are_pythons(page: Any, table: Table) -> None:
    for number, metric in ((4, "pesq_wb"), (5, "wer_pocketsphinx")):
        marked = [
            {"●": "best", "≈": "tied"}.get(row.locator(".mark").inner_text() if row.locator(".mark").count() else "", "")
            for row in page.locator(f"#leaderboard .board tbody tr > :nth-child({number})").all()
        ]
        assert marked == [row.cells[metric].mark.replace("untested", "") for row in table.rows]


def test_sorting_keeps_the_ceiling_on_top_and_puts_the_best_first(page: Any) -> None:
    before = point_names(page)
    button = page.get_by_role("button", name="pesq_wb ↑ (MOS)", exact=True)  # the arrow of sorting is no part of its name
    button.click()
    shown = page.locator("#leaderboard .board tbody tr > :nth-child(4) .value").all_inner_texts()
    values = [float(text.split()[0]) for text in shown]
    assert values[1:] == sorted(values[1:], reverse=True)
    assert column(page, 1)[0].startswith("reference")
    assert page.locator("th[aria-sort=descending]").count() == 1
    button.click()
    assert page.locator("th[aria-sort=ascending]").count() == 1
    button.click()
    assert point_names(page) == before


def test_medians_are_sorted_and_marked_and_saved_as_they_show(page: Any) -> None:
    page.locator("#leaderboard .tools select").select_option(label="median, 5th–95th percentile")
    page.get_by_role("button", name="pesq_wb ↑ (MOS)", exact=True).click()
    values = [float(text) for text in page.locator("#leaderboard .board tbody tr > :nth-child(4) .value").all_inner_texts()]
    assert values[1:] == sorted(values[1:], reverse=True)
    assert page.locator("#leaderboard .board tbody tr").nth(1).locator(":nth-child(4).best").count() == 1
    assert page.locator("#leaderboard .board tbody .tied").count() == 0
    page.fill("#filter-text", "fixed")
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV of this table").click()
    assert saved.value.suggested_filename == "leaderboard.csv"
    rows = pd.read_csv(saved.value.path())
    assert rows["point"].tolist() == point_names(page)
    shown = page.locator("#leaderboard .board tbody tr > :nth-child(4) .value").all_inner_texts()
    assert rows["pesq_wb ↑ (MOS)"].tolist() == [float(text) for text in shown]
    assert (rows["pesq_wb ↑ (MOS) 5th percentile"] <= rows["pesq_wb ↑ (MOS)"]).all()


def test_negative_numbers_have_a_minus_sign_and_a_hyphen_in_the_csv(page: Any, table: Table) -> None:
    show(page, "leaderboard", columns="delay_ms")
    shown = page.locator(".board tbody td.num").all_inner_texts()
    assert any("[−" in text or text.startswith("−") for text in shown)
    assert not any("-" in text for text in shown)
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV of this table").click()
    rows = pd.read_csv(saved.value.path()).set_index(["codec", "point"])
    for row in table.rows:
        assert rows.loc[(row.codec, row.point), "delay_ms (ms)"] == pytest.approx(row.cells["delay_ms"].mean, abs=0.01)


def test_the_leaderboard_is_slim_and_its_columns_are_picked_by_keyboard(page: Any) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    heads = page.locator("#leaderboard .board thead tr:last-child th")
    names = [text.replace("?", "").strip() for text in heads.all_text_contents()]
    assert names == ["Codec and point", "kbps", "Hz", "pesq_wb ↑ (MOS)", "wer_pocketsphinx ↓ (%)n=12"]
    assert page.locator(".board").evaluate("node => node.offsetWidth") <= 1216
    page.locator(".picker summary").focus()
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.labels[0].textContent") == "tokens/s"  # the focus outlives the new table
    assert "tokens/s" in heads.nth(2).text_content()
    page.get_by_role("button", name="All", exact=True).click()
    assert heads.count() == 1 + 4 + 2 + 1 + 4 + 1 + 3
    page.get_by_role("button", name="The usual").click()
    assert heads.count() == 5


def test_the_board_says_where_it_scrolls_and_keeps_its_head_and_first_column(page: Any) -> None:
    page.set_viewport_size({"width": 1000, "height": 500})
    page.locator(".picker summary").click()
    page.get_by_role("button", name="All", exact=True).click()
    page.locator(".picker summary").click()
    scroller, box = page.locator(".scroller", has=page.locator(".board")), page.locator(".scroll", has=page.locator(".board"))
    page.wait_for_function("document.querySelector('.board').closest('.scroller').dataset.more === 'right'")
    assert float(scroller.evaluate("node => getComputedStyle(node, '::after').opacity")) > 0
    before = page.locator(".board tbody .key").first.bounding_box()["x"]
    box.evaluate("node => node.scrollTo(300, 120)")
    page.wait_for_function("document.querySelector('.board').closest('.scroller').dataset.more === 'left right'")
    assert page.locator(".board tbody .key").first.bounding_box()["x"] == before
    assert page.locator(".board thead").bounding_box()["y"] == pytest.approx(box.bounding_box()["y"], abs=1)
    page.get_by_label("bands of bitrate").check()
    assert box.evaluate("node => [node.scrollLeft, node.scrollTop]") == [300, 120]
    page.locator(".picker summary").click()
    page.get_by_role("button", name="The usual").click()
    page.locator(".board").scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, document.querySelector('.board').getBoundingClientRect().top + scrollY + 60)")
    head, tabs = page.locator(".board thead").bounding_box(), page.locator(".tabs").bounding_box()
    assert head["y"] == pytest.approx(tabs["y"] + tabs["height"], abs=2)  # what fits has no box of its own: its head sticks to the page


def test_bands_of_bitrate_have_a_best_of_their_own(page: Any, run: Path) -> None:
    page.get_by_label("bands of bitrate").check()
    titles = page.locator(".board .band th").all_inner_texts()
    assert titles == ["below 0.5 kbps", "0.5 to 1 kbps", "1 to 2 kbps", "2 to 4 kbps", "4 to 8 kbps", "8 kbps and more"]
    records = pd.read_parquet(run / "records.parquet")
    means = records[records["kind"] != "ceiling"].groupby("point")[["bitrate", "pesq_wb"]].mean()
    bodies = page.locator(".board tbody")
    for number, low in enumerate((0, 500, 1000, 2000, 4000, 8000), start=1):
        rows = bodies.nth(number).locator("tr:not(.band)")
        band = means[(means["bitrate"] >= low) & (means["bitrate"] < (2 * low if low else 500) + 1e6 * (low == 8000))]
        assert sorted(point_names(rows)) == sorted(band.index)
        best = rows.filter(has=page.locator(":nth-child(4).best"))
        assert point_names(best) == ([band["pesq_wb"].idxmax()] if len(band) > 1 else [])
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV of this table").click()
    rows = pd.read_csv(saved.value.path())
    assert rows["point"].tolist() == point_names(page)
    assert rows["band"].dropna().unique().tolist() == titles


def test_a_link_shows_what_was_seen(browser: Any, page: Any) -> None:
    page.fill("#filter-text", "i")
    page.fill("#filter-from", "0.5")
    page.get_by_label("classical").uncheck()
    page.locator("#filters select").select_option(label="language en")
    page.locator("#leaderboard .tools select").select_option(label="median, 5th–95th percentile")
    page.get_by_label("bands of bitrate").check()
    page.locator(".picker summary").click()
    page.get_by_label("tokens/s", exact=True).check()
    page.get_by_label("tokens/s", exact=True).press("Space")
    page.get_by_label("nominal kbps", exact=True).check()
    page.keyboard.press("Escape")
    assert not page.locator(".picker .panel").is_visible()
    page.get_by_role("button", name="pesq_wb ↑ (MOS)", exact=True).click()
    page.get_by_role("radio", name="equal tokens").click()
    seen = """[document.querySelector('#leaderboard').innerText,
        ...[...document.querySelectorAll('#filters input')].map((box) => [box.checked, box.value])].join()"""
    link, before = page.evaluate("location.hash"), page.evaluate(seen)
    assert "sort=-pesq_wb" in link
    page.locator("#tabs a", has_text="Provenance").click()
    page.wait_for_selector("#provenance:not([hidden])")
    page.locator("#tabs a", has_text="Leaderboard").click()
    page.wait_for_selector("#leaderboard:not([hidden])")
    assert page.evaluate("location.hash") == link
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(".board")
    assert other.evaluate(seen) == before
    other.close()


def test_shares_of_better_and_worse_have_colours_where_the_test_does(page: Any) -> None:
    show(page, "compare", a=6, b=2)
    page.wait_for_selector("#compare .wins")
    for row in page.locator("#compare tr", has=page.locator(".wins")).all():
        p_holm = row.locator("td").nth(6).inner_text()
        told = p_holm.startswith("<") or float(p_holm) < 0.05
        assert row.locator(".untold").count() == (not told)


def test_going_back_leads_to_the_view_before_as_it_was_left(page: Any) -> None:
    page.fill("#filter-text", "slime")
    page.locator("#tabs a", has_text="Compare").click()
    page.wait_for_selector("#scatter .dot")
    page.locator("#scatter select").select_option(index=1)
    link = page.evaluate("location.hash")
    assert "metric=wer_pocketsphinx" in link
    assert "text=slime" in link
    page.locator("#compare select").first.select_option(label="slime · 100 Hz")
    page.wait_for_function(f"location.hash !== '{link}' && document.querySelector('#scatter .dot')")
    assert page.locator("#scatter select").evaluate("node => node.selectedIndex") == 1
    page.go_back()
    page.wait_for_function(f"location.hash === '{link}'")
    page.go_back()
    page.wait_for_selector("#leaderboard:not([hidden])")
    assert point_names(page) == ["original", "50hz", "100hz", "200hz"]


def test_controls_keep_the_focus_and_the_skip_link_its_view(page: Any) -> None:
    show(page, "curves")
    box = page.get_by_label("logarithmic axis")
    box.focus()
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.labels[0].textContent") == "logarithmic axis"
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.locator("#curves").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "filter-text"
    show(page, "listen", point=6, metric="pesq_wb")
    page.get_by_label("with audio only").uncheck()
    page.set_viewport_size({"width": 1360, "height": 500})
    rows = page.locator("#listen .utterances ol")
    page.wait_for_selector("#play")
    rows.evaluate("node => node.scrollTo(0, 150)")
    page.locator(".utterance").nth(5).click()
    page.wait_for_selector(".utterance[aria-current] >> nth=0")
    page.wait_for_timeout(300)
    assert rows.evaluate("node => node.scrollTop") > 100


def test_points_are_named_in_plain_words_with_their_own_names_at_hand(page: Any) -> None:
    point = page.locator(".board .point").nth(2)
    assert (point.inner_text(), point.get_attribute("title")) == ("2 codebooks", "2q: 2 codebooks")
    row = page.locator("#verdict tbody th").first
    assert (row.inner_text().replace("\xa0", " "), row.get_attribute("title")) == ("slime · 50 Hz", "slime@50hz")
    for text in ("slime@50hz", "slime · 50 hz"):
        page.fill("#filter-text", text)
        assert point_names(page) == ["original", "50hz"]


def test_reasons_of_failures_are_told_without_a_mouse(page: Any) -> None:
    lines = page.locator(".failures tbody tr").all_inner_texts()
    assert [line.split("\t") for line in lines] == [["fixed_40 · 1 codebook", "pesq_wb", "3", "no speech found"]]
    assert page.locator(".failures tbody").is_visible()
    page.fill("#filter-text", "slime")
    assert page.locator(".failures").count() == 0


def test_filters_narrow_the_rows_and_mark_the_best_of_what_is_left(page: Any) -> None:
    page.fill("#filter-text", "fixed")
    assert point_names(page) == ["original", "1q", "2q", "4q", "8q"]
    assert "●" in page.locator("#leaderboard .board tbody tr").last.inner_text()
    page.fill("#filter-text", "")
    page.get_by_label("classical").uncheck()
    page.fill("#filter-from", "1")
    page.fill("#filter-to", "2")
    assert point_names(page) == ["original", "4q", "100hz"]
    page.get_by_label("classical").check()
    page.fill("#filter-from", "90")
    page.fill("#filter-to", "")
    assert "No point matches" in page.inner_text("#leaderboard")


def test_choosing_a_language_shows_its_own_means(page: Any, run: Path) -> None:
    records = pd.read_parquet(run / "records.parquet")
    german = records[(records["language"] == "de") & (records["point"] == "50hz")]["pesq_wb"].mean()
    page.locator("#filters select").select_option(label="language de")
    shown = float(page.locator("#leaderboard .board tbody tr").nth(5).locator(".value").nth(2).inner_text())
    assert shown == pytest.approx(german, abs=0.5 * 10**-PLACES)
    page.locator(".picker summary").click()
    page.get_by_label("n", exact=True).check()
    assert column(page, 6)[1] == "6"


def test_a_definition_is_one_click_away(page: Any) -> None:
    page.get_by_role("button", name="What is wer_pocketsphinx ↓ (%)?").click()
    dialog = page.get_by_role("dialog")
    assert "Errors over words of the corpus." in dialog.inner_text()
    assert "Errors summed over the corpus over words summed." in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_names_and_texts_from_data_stay_text(page: Any) -> None:
    assert EVIL in page.inner_text("#leaderboard")
    assert EVIL in page.inner_text(".lead")
    for view in ("curves", "rates", "listen", "compare", "provenance"):
        show(page, view)
        page.wait_for_timeout(150)
    assert page.locator("main script").count() == 0
    show(page, "listen", unit=3)
    page.wait_for_selector("blockquote:has-text('שלום עולם')")
    assert page.locator("blockquote").get_attribute("dir") == "auto"
    assert page.locator("blockquote").evaluate("node => getComputedStyle(node).direction") == "rtl"
    show(page, "listen", unit=0)
    page.wait_for_selector("""blockquote:text-is('she said "it\\'s <b>fine</b>" & left')""")
    assert page.locator(".hypothesis .heard-text").first.inner_text() == "she said it's <i>fine</i>"


def test_curves_draw_every_point_and_lead_to_its_utterances(page: Any) -> None:
    show(page, "curves")
    assert page.locator("#curves .chart").count() == 2
    dots = page.locator("#curves .chart").first.locator(".dot")
    assert dots.count() == 7  # of the low-rate codecs; classical coders are asked for
    page.get_by_label("classical coders").check()
    assert dots.count() == 9
    dots.nth(4).hover()
    assert "slime · 50 Hz" in page.inner_text("#tooltip")
    assert "kbps" in page.inner_text("#tooltip")
    page.get_by_role("button", name="fixed", exact=True).click()  # the family of fixed_40
    assert page.locator("#curves .chart").first.locator(".dot").count() == 5
    page.locator("#curves select").select_option(label="tokens per second")
    page.locator("#curves .chart").first.locator(".dot").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#listen:not([hidden]) .utterance")
    assert page.locator("#listen select").first.evaluate("node => node.selectedOptions[0].text") == "slime · 50 Hz"


def test_a_part_of_a_chart_is_drawn_across_with_the_mouse_or_typed(page: Any) -> None:
    show(page, "curves")
    chart = page.locator("#curves .chart").first
    ticks = chart.locator(".tick").all_text_contents()
    assert "reference" not in ticks
    assert max(float(text) for text in ticks) < 5  # the axes are those of the low-rate codecs
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    page.mouse.up()
    assert 0 < chart.locator(".dot").count() < 7
    assert "x=" in page.evaluate("location.hash")
    page.get_by_role("button", name="Whole range").click()
    assert chart.locator(".tick").all_text_contents() == ticks
    page.get_by_label("kbps from", exact=True).last.fill("0.9")
    page.get_by_label("kbps to", exact=True).fill("2")
    page.keyboard.press("Tab")
    assert chart.locator(".dot").count() == 2  # 4q and 100hz
    page.get_by_label("reference", exact=True).check()
    assert "reference" in chart.locator(".tick").all_text_contents()
    seen = page.locator("#curves").inner_html()
    page.reload()
    page.wait_for_selector("#curves .dot")
    assert page.locator("#curves .dot").count() == seen.count('class="dot"')


def test_arrow_keys_lead_from_point_to_point(page: Any) -> None:
    show(page, "curves")
    chart = page.locator("#curves .chart").first
    assert chart.locator("[tabindex='0']").count() == 1
    chart.locator("[tabindex='0']").focus()
    told = []
    for _ in range(7):
        page.keyboard.press("ArrowRight")
        told.append(page.inner_text("#tooltip strong"))
    assert len(set(told)) == 7


def test_charts_are_saved_and_shown_alone_in_a_frame(browser: Any, page: Any, index: Path) -> None:
    show(page, "curves", classical=1, hidden="slime")
    figure = page.locator("#curves figure").first
    figure.locator("summary").click()
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as saved:
            figure.get_by_role("button", name=kind, exact=True).click()
        assert saved.value.suggested_filename == f"pesq_wb.{kind.lower()}"
        content = saved.value.path().read_bytes()
        assert content.startswith(start)
        assert len(content) > 1500
        assert kind == "PNG" or b">fixed<" in content  # the lines have their names in the file
        assert kind == "PNG" or b"stroke: rgb(" in content  # colours are in the file, not in the page's style sheet
    figure.get_by_role("button", name="Embed").click()
    code = page.get_by_role("dialog").inner_text()
    link = code.split('src="')[1].split('"')[0].replace("&amp;", "&")
    with opened_page(browser, index) as other:
        other.goto(link)
        other.wait_for_selector(".dot")
        assert other.locator(".chart:visible").count() == 1
        assert other.locator(".dot:visible").count() == 6
        assert other.locator(".codec-legend").inner_text().split("\n")[0] == "fixed"
        assert not other.locator(".masthead, .tabs, h2").first.is_visible()


def test_many_systems_are_coloured_by_kind_and_named_where_they_end(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.plot.save", lambda *_: None)
    kinds = ("fixed", "dynamic", "recordings")
    many = {f"{kinds[n % 3]}{n}": (kinds[n % 3], {"a": (10.0 + 5 * n, 1)}) for n in range(24)}
    index = build([write_run(tmp_path / "run", synthetic_records(6, 6, many), run_info(many))], tmp_path / "out")
    with opened_page(browser, index) as page:
        show(page, "curves")
        assert page.locator(".codec-legend button").all_inner_texts() == list(kinds)
        dots = page.locator("#curves .chart").first.locator(".dot")
        assert len({dot.get_attribute("stroke") for dot in dots.all()}) == 3
        assert 5 < page.locator("#curves .chart").first.locator(".direct").count() <= 24


def test_utterances_come_worst_first(page: Any, run: Path) -> None:
    records = pd.read_parquet(run / "records.parquet")
    rows = records[(records["codec"] == "fixed_40") & (records["point"] == "1q")]
    show(page, "listen", point=1, metric="pesq_wb")
    page.get_by_label("with audio only").uncheck()
    shown = page.locator(".utterance .score").all_inner_texts()
    assert shown[:3] == ["failed"] * 3
    assert [float(text) for text in shown[3:]] == [round(value, PLACES) for value in sorted(rows["pesq_wb"].dropna())]
    show(page, "listen", point=1, metric="wer_pocketsphinx")
    page.wait_for_function("document.querySelector('.utterance .score').textContent !== 'failed'")
    scores = [float(text) for text in page.locator(".utterance .score").all_inner_texts() if text != "–"]
    assert scores == sorted(scores, reverse=True)


RECORD_STARTS = """() => {
    window.started = [];
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (when, offset) {
        window.started.push([when, offset]);
        window.clock = this.context;
        return start.call(this, when, offset);
    };
}"""
POSITION = "parseFloat(document.getElementById('clock').textContent)"


def test_audio_plays_and_switches_in_place_by_keyboard(page: Any) -> None:
    show(page, "listen", point=6, metric="pesq_wb", unit=1)
    page.wait_for_selector("#play")
    assert page.locator("#player .track").count() == 3
    page.evaluate(RECORD_STARTS)
    page.keyboard.press("Space")
    page.wait_for_function(f"{POSITION} > 0.2")
    assert page.inner_text("#play") == "Pause"
    heard = "[...document.querySelectorAll('#player .track.heard')].map((track) => track.dataset.slot)"
    for key, slots in (("r", ["R"]), ("a", ["A"]), ("b", ["B"]), ("x", [])):
        page.keyboard.press(key)
        assert page.evaluate(heard) == slots
    assert page.locator("[data-slot=X]").get_attribute("aria-checked") == "true"
    starts = page.evaluate("window.started")
    assert len(starts) == 3  # no switch began a sound anew
    assert len({(when, offset) for when, offset in starts}) == 1
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Play"
    before = page.evaluate(POSITION)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(POSITION) == pytest.approx(max(0, before - 0.5), abs=0.011)
    page.get_by_role("button", name="X is A").click()
    assert "of 1 right" in page.inner_text("#blind")


def test_leaving_the_player_stops_it(page: Any) -> None:
    show(page, "listen", point=6, unit=1)
    page.wait_for_selector("#play")
    page.evaluate(RECORD_STARTS)
    page.evaluate("""() => {
        window.stopped = 0;
        const off = AudioNode.prototype.disconnect;
        AudioBufferSourceNode.prototype.disconnect = function () { window.stopped++; return off.call(this); };
    }""")
    page.click("#play")
    page.wait_for_function(f"{POSITION} > 0")
    show(page, "leaderboard")
    assert page.evaluate("window.stopped") == 3


SWITCHED = """async (lateS) => {
    // B is A, so that whatever is switched, and whenever B joins, what comes out must be A to the sample.
    const rate = 48000;
    const context = new OfflineAudioContext(1, rate, rate);
    const noise = context.createBuffer(1, rate, rate);
    const samples = noise.getChannelData(0);
    let state = 1;
    for (let n = 0; n < rate; n++) { state = (state * 48271) % 2147483647; samples[n] = state / 2147483647 - 0.5; }
    const deck = bench.deck.create(context);
    deck.add("A", noise);
    if (!lateS) deck.add("B", noise);
    deck.hear("A");
    deck.play(0.25);
    const at = (seconds, act) => context.suspend(seconds).then(() => { act(); context.resume(); });
    if (lateS) at(lateS, () => deck.add("B", noise));
    for (const [n, name] of ["B", "A", "B", "A", "B"].entries()) at(0.2 + 0.0731 * n, () => deck.hear(name));
    const out = (await context.startRendering()).getChannelData(0);
    const begin = Math.round(0.02 * rate), from = rate / 4;
    let worst = 0;
    for (let n = 0; n < rate - from - begin; n++) worst = Math.max(worst, Math.abs(out[begin + n] - samples[from + n]));
    return [worst, Math.max(...out.slice(0, begin))];
}"""


@pytest.mark.parametrize("late_s", [0, 0.1], ids=["both from the beginning", "one joins while the other plays"])
def test_a_switch_is_exact_to_the_sample(page: Any, late_s: float) -> None:
    worst, before = page.evaluate(SWITCHED, late_s)
    assert worst < 1e-6
    assert before == 0


def test_audio_plays_over_http_without_ranges(browser: Any, index: Path) -> None:
    handler = partial(QuietHandler, directory=str(index.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with opened_page(browser, f"http://127.0.0.1:{server.server_port}/index.html") as page:
                show(page, "listen", point=6, metric="pesq_wb", unit=1)
                page.wait_for_selector("#play")
                page.evaluate(RECORD_STARTS)
                page.click("#play")
                page.wait_for_function(f"{POSITION} > 0.3")
                page.keyboard.press("b")
                page.wait_for_timeout(100)
                told, clock, (when, offset) = page.evaluate(f"[{POSITION}, window.clock.currentTime, window.started[0]]")
                assert told == pytest.approx(clock - when + offset, abs=0.1)
                assert len(page.evaluate("window.started")) == 3
        finally:
            server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Knows no ranges, as its parent."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_levels_are_matched_and_told(page: Any, index: Path) -> None:
    show(page, "listen", point=6, unit=1, a=6, b=2)
    page.wait_for_selector("#play")
    gains = page.evaluate("""() => {
        const context = new OfflineAudioContext(1, 1000, 48000);
        const tone = (peak) => {
            const buffer = context.createBuffer(1, 1000, 48000);
            buffer.getChannelData(0).forEach((_, n, all) => { all[n] = peak * Math.sin(n / 5); });
            return buffer;
        };
        const loud = tone(0.8);
        return [bench.deck.matched([loud, tone(0.2), tone(0.4)], loud), bench.deck.matched([tone(0.2), tone(0.8)], tone(1.6))];
    }""")
    assert gains[0] == pytest.approx([1, 4, 2], rel=1e-3)
    assert gains[1] == pytest.approx([5, 1.25], rel=0.01)  # to full scale, no farther
    assert page.inner_text("#levels") == ""
    page.get_by_label("match levels").check()
    told = page.inner_text("#levels")
    assert told.startswith("Brought to one level (RMS): R 0.0 dB, A ")
    assert told.count("dB") == 3
    page.get_by_label("match levels").uncheck()
    assert page.inner_text("#levels") == ""


def test_one_sentence_by_every_system_side_by_side(page: Any, run: Path) -> None:
    show(page, "listen", point=6, metric="pesq_wb", unit=1, a=6, b=2)
    page.wait_for_selector("#play")
    page.get_by_label("all systems").check()
    page.wait_for_selector(".card")
    assert "all=1" in page.evaluate("location.hash")
    assert page.evaluate("document.activeElement.id") == "all-systems"
    cards = page.locator(".card")
    assert cards.count() == 10
    assert "original" in cards.first.inner_text()
    records = pd.read_parquet(run / "records.parquet")
    expected = records[(records["utterance"] == "utt/00001") & (records["codec"] != "reference")].sort_values("pesq_wb", ascending=False)
    points = page.locator(".card-name > span:not(.score)").all_inner_texts()[1:]
    assert points == [f"{row.codec} · {point_label(row.point)}" for row in expected.itertuples()]
    assert page.locator(".card .heard-text").first.inner_text() == "she said it's <i>fine</i>"
    blank = "(n) => new Set(document.querySelectorAll('.card canvas')[n].getContext('2d').getImageData(0, 0, 100, 80).data).size < 4"
    assert not any(page.evaluate(blank, n) for n in range(10))
    page.evaluate(RECORD_STARTS)
    cards.nth(3).click()
    page.wait_for_function(f"{POSITION} > 0.1")
    assert cards.nth(3).get_attribute("aria-pressed") == "true"
    cards.nth(5).click()
    page.wait_for_function("document.querySelectorAll('.card')[5].getAttribute('aria-pressed') === 'true'")
    whens = page.evaluate("window.started.map(([when, offset]) => when - offset)")
    assert max(whens) - min(whens) < 1e-6  # all on one clock, whenever they joined
    assert page.inner_text("#play") == "Pause"


def test_utterances_come_by_the_largest_difference_of_a_and_b(page: Any, run: Path) -> None:
    records = pd.read_parquet(run / "records.parquet").pivot(index="utterance", columns="point", values="pesq_wb")
    gaps = (records["100hz"] - records["4q"]).head(HEARD)
    show(page, "listen", point=6, metric="pesq_wb", a=6, b=3, order="difference")
    page.wait_for_selector("#play")
    shown = page.locator(".utterance .score").all_inner_texts()
    ordered = sorted(gaps, key=abs, reverse=True)
    assert shown == [f"{gap:+.{PLACES}f}".replace("-", "−") for gap in ordered]
    assert "slime · 100 Hz less fixed_40 · 4 codebooks" in str(page.locator(".utterances ol").get_attribute("aria-label"))
    page.locator(".utterance").nth(1).click()
    page.wait_for_selector(".utterance[aria-current] >> nth=0")
    assert "order=difference" in page.evaluate("location.hash")


def test_a_listening_test_is_proposed_with_its_command(page: Any, run: Path) -> None:
    show(page, "listen", point=6, unit=1, a=6, b=2)
    page.wait_for_selector("#play")
    assert page.inner_text("#player code") == f"bench listen {run} --test mushra --codecs slime@100hz,fixed_40@2q --utterances 8"


def test_boundaries_of_dynamic_frames_are_drawn_where_the_stream_has_them(page: Any) -> None:
    show(page, "listen", point=6, metric="pesq_wb", unit=1, a=6, b=2)
    page.wait_for_selector("#play")
    picture = "(slot) => document.querySelector(`.track[data-slot=${slot}] canvas`).toDataURL()"
    with_lines = {slot: page.evaluate(picture, slot) for slot in "RAB"}
    page.uncheck("#boundaries")
    without = {slot: page.evaluate(picture, slot) for slot in "RAB"}
    assert [slot for slot in "RAB" if with_lines[slot] != without[slot]] == ["A"]
    drawing = page.evaluate("bench.load('u1p6').then((drawing) => drawing)")
    (axis,) = drawing["frames"]
    assert axis["dynamic"]
    assert max(axis["durations"]) <= 4
    assert sum(axis["durations"]) * axis["base_s"] == pytest.approx(drawing["seconds"], abs=axis["base_s"])
    height = page.evaluate("[...document.querySelectorAll('.track canvas')].map((c) => c.clientHeight)")
    assert height[1] > height[0]  # the reference has no tokens, so no lane of frames


def test_bits_and_frames_have_their_charts(page: Any) -> None:
    show(page, "rates")
    text = page.inner_text("#rates")
    assert "Where the bits went" in text
    assert "How long a frame lasts" in text
    assert page.locator("#rates .bar").count() > 10
    assert page.locator("#rates .stack").first.get_attribute("aria-label").startswith("tokens ")


def test_compare_shows_pythons_difference_both_ways_round(page: Any, run: Path) -> None:
    records = pd.read_parquet(run / "records.parquet").pivot(index="utterance", columns="point", values="pesq_wb")
    gap = (records["100hz"] - records["4q"]).mean()
    show(page, "compare", a=6, b=3)
    page.wait_for_selector("#scatter .dot")
    rates = page.locator("#compare tbody tr.rate").all_inner_texts()
    assert [text.split()[0] for text in rates] == ["kbps", "tokens/s", "Hz"]
    assert f"+{gap:.{PLACES + 1}f}" in page.locator("#compare tbody tr:not(.rate)").first.inner_text()
    assert page.locator("#scatter .dot").count() == 24
    rate = page.locator("#compare tr", has_text="pesq_wb").nth(1).locator("b").first.inner_text()
    assert rate.startswith("−")
    assert rate.endswith("%")
    page.get_by_role("button", name="Swap").click()
    page.wait_for_function(f"document.querySelector('#compare tbody tr:not(.rate)').innerText.includes('−{gap:.{PLACES + 1}f}')")
    assert page.locator("#compare tr", has_text="pesq_wb").nth(1).locator("b").first.inner_text().startswith("+")


def test_provenance_tells_how_to_repeat_the_run(page: Any) -> None:
    show(page, "provenance")
    text = page.inner_text("#provenance")
    assert "bench run synthetic.yaml" in text
    assert page.locator("#provenance .hash[title]").evaluate_all("cells => cells.map((cell) => cell.title).filter(Boolean).sort()") == [
        *["ab" * 32] * len(CODECS_HERE),
        "cd" * 32,
    ]
    for fact in ("soxr 1.0 VHQ", "0" * 40, "CC0-1.0", "r1", "abababababababab"):
        assert fact in text
    page.locator("summary", has_text="The suite file").click()
    assert "datasets: [bundled]" in page.inner_text("#provenance")


def test_every_control_has_a_name_and_the_keyboard_reaches_the_rows(page: Any) -> None:
    for view in ("leaderboard", "papers", "curves", "rates", "listen", "compare", "provenance"):
        show(page, view)
        page.wait_for_timeout(200)
        unnamed = page.evaluate("""() => [...document.querySelectorAll('button, a, input, select, [tabindex="0"]')]
            .filter((node) => node.checkVisibility())
            .filter((node) => !(node.getAttribute('aria-label') || node.innerText?.trim() || node.labels?.length || node.tagName === 'PRE'))
            .map((node) => node.outerHTML)""")
        assert unnamed == []
    show(page, "leaderboard")
    page.get_by_role("link", name="50 Hz", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#listen:not([hidden])")


VIEWS = ("leaderboard", "papers", "curves", "rates", "listen", "compare", "provenance")


def ready(page: Any, view: str) -> None:
    show(page, view)
    page.wait_for_timeout(150)
    if view in ("listen", "compare"):
        page.wait_for_selector({"listen": "#play", "compare": "#scatter .dot"}[view])


def test_the_tab_key_leads_through_every_view_and_out_again(page: Any) -> None:
    for view in VIEWS:
        ready(page, view)
        # What can be reached, but for the browser's own: of radio buttons and the like one is enough.
        total = page.evaluate("""() => {
            const all = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
                .filter((node) => node.checkVisibility() && node.tabIndex >= 0);
            window.left = new Set(all);
            window.seen = [];
            window.addEventListener('focusin', (event) => { window.left.delete(event.target); window.seen.push(event.target); });
            document.activeElement.blur();
            getSelection().collapse(document.body, 0);
            return all.length;
        }""")
        for _ in range(total + 5):
            page.keyboard.press("Tab")
            if not page.evaluate("window.left.size"):
                break
        assert page.evaluate("[...window.left].map((node) => node.outerHTML)") == [], view
        outlined = "window.seen.every((node) => node.matches('.skip, main, .dot') || node.checkVisibility())"
        assert page.evaluate(outlined), view


def test_nothing_moves_where_motion_is_not_wanted(browser: Any, index: Path) -> None:
    moving = """() => [...document.querySelectorAll('*')]
        .flatMap((node) => ['', '::before', '::after'].map((part) => getComputedStyle(node, part || null)))
        .filter((style) => parseFloat(style.transitionDuration) || parseFloat(style.animationDuration) || style.scrollBehavior === 'smooth')
        .length"""
    for motion in ("no-preference", "reduce"):
        with opened_page(browser, index, reduced_motion=motion) as page:
            ready(page, "listen")
            assert (page.evaluate(moving) > 0) == (motion == "no-preference")


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_a_phone_shows_names_and_values_and_large_targets(browser: Any, index: Path) -> None:
    small = """() => [...document.querySelectorAll('a[href], button, input, select, summary')]
        .filter((node) => node.checkVisibility() && !node.closest('p, .skip') && node.getBoundingClientRect().left >= 0)
        .map((node) => [node, (node.type === 'checkbox' ? node.labels[0] : node).getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24).map(([node, box]) => `${box.width}x${box.height} ${node.outerHTML}`)"""
    with opened_page(browser, index, **PHONE) as page:
        first = page.locator(".board tbody tr").nth(1)
        for part in (".codec", ".point", ":nth-child(2) .value", ":nth-child(4) .value"):
            box = first.locator(part).first.bounding_box()
            assert box["x"] >= 0, part
            assert box["x"] + box["width"] <= 390, part
        for view in VIEWS:
            ready(page, view)
            tab = page.locator("#tabs [aria-current]").bounding_box()
            assert tab["x"] >= 0, view
            assert tab["x"] + tab["width"] <= 390, view
            assert page.evaluate(small) == [], view


def test_a_tap_tells_before_it_leads_elsewhere(browser: Any, index: Path) -> None:
    with opened_page(browser, index, **PHONE) as page:
        page.locator(".board td.num[title]").first.tap()
        assert "95 % interval" in page.inner_text("#tooltip")
        show(page, "curves")
        dot = page.locator("#curves .dot").first
        dot.scroll_into_view_if_needed()
        name = dot.get_attribute("aria-label").split(", ")[0]
        dot.tap(force=True)
        assert page.locator("#curves").is_visible()
        assert name in page.inner_text("#tooltip")
        dot.tap(force=True)
        page.wait_for_selector("#listen:not([hidden])")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, index: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)
    opened = context.new_page()
    opened.goto(index.as_uri())
    colours = opened.evaluate("""() => {
        const style = getComputedStyle(document.body);
        const quiet = getComputedStyle(document.querySelector('.facts'));
        return [style.backgroundColor, style.color, quiet.color].map((text) => text.match(/\\d+/g).slice(0, 3).map(Number));
    }""")
    context.close()

    def luminance(rgb: list[int]) -> float:
        linear = [c / 12.92 if (c := value / 255) <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for value in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    ground, *texts = map(luminance, colours)
    assert (ground > 0.5) == (scheme == "light")
    for text in texts:
        assert (max(ground, text) + 0.05) / (min(ground, text) + 0.05) >= 4.5  # WCAG AA


def test_paper_gets_the_tables_and_figures_without_the_controls(page: Any) -> None:
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#curves .chart").first.is_visible()
    assert page.locator("#papers table").is_visible()
    assert page.locator("#provenance table").first.is_visible()
    assert not page.locator("#filters").is_visible()
    assert not page.locator(".tabs").is_visible()


def test_narrow_screens_do_not_scroll_sideways(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    for view in ("leaderboard", "papers", "curves", "rates", "listen", "compare", "provenance"):
        show(page, view)
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, view


def test_a_phone_has_the_answer_on_its_first_screen_and_the_filters_folded(browser: Any, index: Path) -> None:
    with opened_page(browser, index, viewport={"width": 390, "height": 844}) as page:
        assert page.locator("#verdict-title").bounding_box()["y"] < 844 / 2
        assert not page.locator("#filter-text").is_visible()
        assert page.locator("#verdict tbody th").first.inner_text().startswith("slime · 50\xa0Hz\n0.59\xa0kbps against fixed_40")
        page.get_by_text("Filters", exact=True).click()
        page.fill("#filter-text", "slime")
        assert page.locator("#filter-text").is_visible()
        page.set_viewport_size({"width": 1360, "height": 900})
        assert page.locator("#filter-text").is_visible()
        assert not page.get_by_text("Filters", exact=True).is_visible()


def test_the_folder_is_whole_and_small_without_audio(index: Path) -> None:
    out = index.parent
    for name in ("table.md", "table.csv", "table.tex", "figures/all_bitrate.svg", "figures/all_bitrate.pdf", "figures/all_bitrate.png"):
        assert (out / name).stat().st_size > 0
    assert len(list((out / "audio").glob("u*"))) == HEARD
    page_bytes = sum(path.stat().st_size for folder in ("assets", "data") for path in (out / folder).iterdir()) + index.stat().st_size
    assert page_bytes < 5_000_000
    assert METRICS.keys() - {"pesq_wb", "wer_pocketsphinx", "delay_ms"}  # columns of metrics that the suite did not ask for are not shown
    assert "stoi" not in (out / "data/report.js").read_text(encoding="utf-8")


ODD_RUNS: dict[str, Any] = {
    "one utterance": lambda records: records[records["utterance"] == "utt/00000"],
    "one point": lambda records: records[records["point"] == "1q"],
    "only the reference": lambda records: records[records["codec"] == "reference"],
    "a metric without a score": lambda records: records.assign(pesq_wb=np.nan, failures='{"pesq_wb": "never"}'),
    "no speakers, no texts, no languages": lambda records: records.assign(speaker="", text="", language=""),
    "two data sets": lambda records: records.assign(dataset=np.where(records["utterance"] < "utt/00012", "a", "b")),
    "a codec that never loaded": lambda records: records.assign(
        **{name: records[name].where(records["codec"] != "slime", 0) for name in ("bits_total", "bitrate", "frame_rate", "token_rate")},
        pesq_wb=records["pesq_wb"].where(records["codec"] != "slime"),
        failures=records["failures"].where(records["codec"] != "slime", '{"codec": "load: no such file"}'),
    ),
}


@pytest.mark.parametrize("what", ODD_RUNS)
def test_odd_runs_have_a_report_without_errors(what: str, browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.plot.save", lambda *_: None)  # drawn, not written: that takes most of the time
    records = ODD_RUNS[what](synthetic_records())
    info = run_info()
    info["metrics"] = {name: info["metrics"][name] for name in ("pesq_wb", "wer_pocketsphinx")}
    index = build([write_run(tmp_path / "run", records, info)], tmp_path / "report")
    with opened_page(browser, index) as opened:
        for view in ("curves", "rates", "listen", "compare", "provenance", "leaderboard"):
            show(opened, view)
            opened.wait_for_timeout(60)
            assert opened.locator(f"#{view} [role=alert]").count() == 0
        assert opened.locator("#leaderboard h2").first.is_visible()
        show(opened, "listen")
        assert not opened.get_by_label("with audio only").is_checked()  # there is none
        assert "Papers" not in opened.locator("#tabs").inner_text()


def test_what_listeners_say_and_where_frames_went_are_shown_where_known(browser: Any, tmp_path: Path) -> None:
    records = synthetic_records(num_utterances=8, num_speakers=4)
    kinds = {f"frame_rate_{kind}": kind for kind in ("silence", "vowels", "consonants")}
    infos = {name: {**asdict(METRICS["delay_ms"]), "name": name, "unit": "Hz", "key": name, "options": {}} for name in kinds}
    records = records.assign(**{name: np.where(records["kind"] == "dynamic", 40.0 + number, np.nan) for number, name in enumerate(kinds)})
    info = run_info()
    info["metrics"] |= infos
    run = write_run(tmp_path / "run", records, info)
    ratings = [Rating(row.utterance, f"{row.codec}@{row.point}", row.pesq_wb, 3) for row in records.itertuples() if row.codec == "opus"]
    listeners.write(correlations(records, {"pesq_wb": METRICS["pesq_wb"]}, ratings), run)
    with opened_page(browser, build([run], tmp_path / "out")) as page:
        show(page, "rates")
        text = page.inner_text("#rates")
        assert "Where the frames went" in text
        assert page.locator("#rates .soundbar").count() == 3 * 3  # three points of the dynamic codec
        show(page, "listeners")
        assert page.inner_text("#listeners tbody tr").split()[:3] == ["pesq_wb", "items", "1.000"]
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert not axe.run(page, options={"preload": False}).response["violations"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(browser: Any, index: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    with opened_page(browser, index, color_scheme=scheme) as page:
        for view in VIEWS:
            ready(page, view)
            found = axe.run(page, options={"preload": False}).response["violations"]
            assert not found, [(view, each["id"], each["nodes"][0]["html"]) for each in found]


def test_latencies_of_whole_utterances_say_so(browser: Any, tmp_path: Path) -> None:
    records, info = synthetic_records(num_utterances=8, num_speakers=8), run_info(CODECS)
    records["latency_ms"], records["latency_ms:whole"] = 30.0, np.where(records["codec"] == "slime", 1.0, 0.0)
    info["metrics"]["latency_ms"] = asdict(OF_LATENCY["latency_ms"].info)
    index = build([write_run(tmp_path / "run", records, info)], tmp_path / "out")
    with opened_page(browser, index) as page:
        show(page, "leaderboard", columns="latency_ms")
        rows = page.locator("#leaderboard tbody tr").all_inner_texts()
    assert {("slime" in row, "not causal" in row) for row in rows} == {(True, True), (False, False)}


def test_stated_rates_and_lengths_that_are_off_are_marked(browser: Any, tmp_path: Path) -> None:
    records = synthetic_records(num_utterances=8, num_speakers=8)
    is_made = records["codec"] == "opus"
    records["bits_total"] = records["bits_total"].where(~is_made, 0)
    records["length_error"] = np.where(is_made, 200, 0)
    index = build([write_run(tmp_path / "run", records, run_info(CODECS))], tmp_path / "out")
    with opened_page(browser, index) as page:
        show(page, "leaderboard")
        rows = page.locator("#leaderboard tbody tr").all_inner_texts()
        first = "bench.report.points.findIndex((each, n) => bench.codecOf(n).label === '{}')"
        made, other = (page.evaluate(first.format(name)) for name in ("opus", "slime"))
        show(page, "compare", a=made, b=other)
        _, one, two, *_ = page.locator("#compare tr.rate").first.locator("td, th").all_inner_texts()
        show(page, "curves", classical=1)
        told = page.locator("#curves .dot").evaluate_all("dots => dots.map((dot) => dot.getAttribute('aria-label'))")
    assert (one.endswith("(stated)"), two.endswith("(stated)")) == (True, False)
    assert {"(stated)" in text for text in told if text.startswith("opus")} == {True}
    assert not any("(stated)" in text for text in told if not text.startswith("opus"))
    assert {("stated" in row, "+12.5 ms" in row) for row in rows if "opus" in row} == {(True, True)}
    assert not any("stated" in row or "12.5 ms" in row for row in rows if "opus" not in row)
