"""Several runs as one: what is refused and why, what is kept apart, what is joined."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.summary import summary
from bench.errors import UserError
from bench.report.build import build
from bench.report.comparison import render_json
from bench.report.merge import merge
from bench.report.results import comparison_of
from tests.runs import CODECS, METRICS, run_info, synthetic_records, write_run


def without(codec: str) -> dict[str, Any]:
    return {name: points for name, points in CODECS.items() if name != codec}


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return write_run(tmp_path / "first", synthetic_records(codecs=without("opus")), run_info(without("opus")))


def other_run(folder: Path, records: pd.DataFrame | None = None, **changes: Any) -> Path:
    only = {"reference": CODECS["reference"], "opus": CODECS["opus"]}
    info = run_info(only) | changes
    return write_run(folder, synthetic_records(codecs=only) if records is None else records, info)


def test_one_run_is_itself(first: Path) -> None:
    merged = merge([first])
    assert merged.metrics == METRICS
    assert len(merged.records) == 24 * 8
    assert merged.baseline == "fixed_40@2q"
    assert list(merged.points)[:2] == [("reference", "original"), ("fixed_40", "1q")]


def test_two_runs_share_their_reference_and_keep_all_codecs(first: Path, tmp_path: Path) -> None:
    merged = merge([first, other_run(tmp_path / "second")])
    assert set(merged.codecs) == set(CODECS)
    assert len(merged.records) == 24 * 10
    assert len(summary(merged.records, merged.metrics, nominal_frame_rates=merged.points).rows) == 10


def test_scores_of_one_thing_in_two_runs_come_together(first: Path, tmp_path: Path) -> None:
    reference = synthetic_records(codecs={"reference": CODECS["reference"]})
    second = reference.assign(si_sdr=30.0, failures=json.dumps({"si_sdr": "silence"})).drop(columns=["stoi"])
    info = run_info({"reference": CODECS["reference"]})
    info["metrics"] = {"si_sdr": {**info["metrics"]["stoi"], "name": "si_sdr"}}
    merged = merge([first, write_run(tmp_path / "second", second, info)])
    rows = merged.records[merged.records["codec"] == "reference"]
    assert len(rows) == 24
    assert rows["stoi"].notna().all()
    assert (rows["si_sdr"] == 30.0).all()
    assert set(rows["failures"]) == {json.dumps({"si_sdr": "silence"})}
    assert merged.records.loc[merged.records["codec"] == "slime", "si_sdr"].isna().all()


def test_other_weights_under_one_label_are_kept_apart(first: Path, tmp_path: Path) -> None:
    codecs = {"slime": CODECS["slime"]}
    records = synthetic_records(codecs=codecs, seed=5)
    records["key"] = "new/" + records["key"]
    info = run_info(codecs)
    info["suite"]["name"] = "october"
    merged = merge([first, write_run(tmp_path / "second", records, info)])
    assert {"slime", "slime (october)"} <= set(merged.codecs)
    assert {("slime (october)", "50hz"), ("slime", "50hz")} <= set(merged.points)
    third = write_run(tmp_path / "third", records.assign(key="newer/" + records["key"]), info)
    assert "slime (october 2)" in merge([first, tmp_path / "second", third]).codecs


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda info: info["metrics"]["stoi"].update(version=2), "metric 'stoi' has version 1 in the first and 2 in the second"),
        (lambda info: info["metrics"]["stoi"].update(sample_rate=10000), "metric 'stoi' has sample_rate 16000"),
        (lambda info: info["datasets"][0].update(revision="r2"), "data set 'bundled' has revision r1 in the first and r2 in the second"),
        (lambda info: info.update(resampler="scipy poly"), "resampled by soxr"),
    ],
    ids=["metric version", "sample rate", "data revision", "resampler"],
)
def test_what_does_not_compare_is_refused_with_the_reason(first: Path, tmp_path: Path, change: Any, reason: str) -> None:
    only = {"opus": CODECS["opus"]}
    info = run_info(only)
    change(info)
    second = write_run(tmp_path / "second", synthetic_records(codecs=only), info)
    with pytest.raises(UserError, match=reason):
        merge([first, second])


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run"):
        merge([tmp_path])


def test_a_folder_that_was_copied_in_part_or_holds_no_records_is_refused(tmp_path: Path) -> None:
    info = run_info()
    del info["codecs"]["slime"]["points"]["50hz"]
    for number, (records, about, told) in enumerate(
        (
            (synthetic_records(), info, "slime@50hz, which run.json does not know"),
            (synthetic_records().iloc[:0], run_info(), "holds no record"),
        )
    ):
        folder = write_run(tmp_path / str(number), records, about)
        with pytest.raises(UserError, match=told):
            merge([folder])


@pytest.mark.parametrize("kind", ["flac", "bin"])
def test_a_damaged_file_of_a_run_is_named_with_what_to_do(kind: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", synthetic_records(), audio_utterances=1)
    damaged = next((folder).rglob(f"slime/**/*.{kind}"))
    damaged.write_bytes(damaged.read_bytes()[:20])
    with pytest.raises(UserError, match=f"{damaged.name}: .*delete it, and the report is made without it"):
        build([folder], tmp_path / "report")
    damaged.unlink()
    build([folder], tmp_path / "report")


def test_compare_takes_the_suites_baseline_or_the_one_asked_for(first: Path) -> None:
    assert comparison_of(first, "").numbers.baseline == ("fixed_40", "2q")
    assert comparison_of(first, "slime@50hz").numbers.baseline == ("slime", "50hz")
    with pytest.raises(UserError, match="did you mean"):
        comparison_of(first, "slime@50")


def test_compare_as_json_is_valid_and_complete(first: Path) -> None:
    comparison = comparison_of(first, "")
    read = json.loads(render_json(comparison))
    assert read["baseline"] == "fixed_40@2q"
    assert len(read["differences"]) == 7 * 4
    undefined = [curve for curve in read["curves"] if curve["undefined"]]
    assert undefined
    assert all(curve["bd_rate"] is None for curve in undefined)
    found = {(entry["metric"], entry["against"]): entry["points"] for entry in read["pareto"]}
    assert "fixed_40@1q" in found["pesq_wb", "bitrate"]
    defined = next(curve for curve in read["curves"] if not curve["undefined"])
    assert np.isfinite(defined["bd_rate"])


def test_a_point_that_was_refused_is_reported_as_failed_though_its_files_are_there(tmp_path) -> None:
    records = synthetic_records(num_utterances=4, num_speakers=4)
    point = records.loc[records["codec"] == "slime", "point"].iloc[0]
    refused = (records["codec"] == "slime") & (records["point"] == point)
    records.loc[refused, ["sample_rate", "hop_length"]] = 0
    records.loc[refused, "failures"] = json.dumps({"codec": "decode looked at the audio"})
    records.loc[refused, [name for name in METRICS if name in records]] = np.nan
    run = write_run(tmp_path / "run", records, audio_utterances=4)
    data = (build([run], tmp_path / "out").parent / "data/utterances.js").read_text(encoding="utf-8")
    heard = json.loads(data[data.index(", ") + 2 : data.rindex(");")])["audio"]
    number = str(list(merge([run]).points).index(("slime", point)))
    assert heard
    assert all(points and number not in points for points in heard.values())


@pytest.mark.parametrize("all_figures", [True, False], ids=["all figures", "the usual one"])
def test_the_folder_of_figures_has_a_page_that_shows_every_one(tmp_path: Path, all_figures: bool) -> None:
    run = write_run(tmp_path / "run", synthetic_records(num_utterances=4, num_speakers=4))
    (tmp_path / "out/figures").mkdir(parents=True)
    (tmp_path / "out/figures/stoi_bitrate.svg").write_text("of an earlier report")
    figures = build([run], tmp_path / "out", all_figures).parent / "figures"
    text = (figures / "index.html").read_text(encoding="utf-8")
    names = {path.stem for path in figures.glob("*.svg")}
    each = {f"{name}_bitrate" for name, info in METRICS.items() if not info.diagnostic}
    usual = {"all_bitrate", "fixed_and_dynamic"}
    assert names == ({*usual, "all_token_rate", "all_frame_rate", *each} if all_figures else usual)
    assert {f"{name}.svg" for name in names} == set(re.findall(r'src="([^"]+)"', text))
    assert all((figures / name).is_file() for name in re.findall(r'href="([^"/]+\.(?:svg|pdf|png))"', text))
    assert "Fixed and dynamic frame rates against bitrate" in text
    assert "All codecs against bitrate" in text
    assert ("--figures" in text) == (not all_figures)
    assert (figures.parent / "table.tex").read_text(encoding="utf-8").startswith("% needs \\usepackage{booktabs}")
