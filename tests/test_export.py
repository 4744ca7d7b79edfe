"""`bench export`: what TensorBoard, Weights & Biases and the hub read back."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from bench.analysis.summary import Table
from bench.cli import app
from bench.errors import Unavailable, UserError
from bench.report.export import export
from bench.report.merge import merge
from bench.report.results import table_of
from tests.runs import CODECS, run_info, synthetic_records, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("export") / "synthetic", synthetic_records())


@pytest.fixture(scope="module")
def table(run: Path) -> Table:
    return table_of(merge([run]))


def test_tensorboard_has_each_metric_over_the_bitrate(run: Path, table: Table, tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (tmp_path / "opus").mkdir()
    training = tmp_path / "opus" / "events.out.tfevents.1.host"
    training.write_bytes(b"")
    for _ in range(2):  # a second export takes the place of the first
        export(run, "tensorboard", tmp_path)
    assert training.exists()
    training.unlink()
    rows = {row.point: row for row in table.rows if row.codec == "opus"}
    events = event_accumulator.EventAccumulator(str(tmp_path / "opus")).Reload()
    for name in ("mean", "low", "high"):
        drawn = {event.step: event.value for event in events.Scalars(f"stoi/{name}")}
        assert drawn == pytest.approx({round(row.rates.bitrate): getattr(row.cells["stoi"], name) for row in rows.values()}, rel=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == set(CODECS)


def test_wandb_takes_the_run_offline(run: Path, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    export(run, "wandb", tmp_path)
    (kept,) = tmp_path.rglob("offline-run-*/files/media/table/points*.json")
    shown = json.loads(kept.read_text(encoding="utf-8"))
    points = pd.DataFrame(shown["data"], columns=shown["columns"]).set_index(["codec", "point"])
    assert len(points) == len(table.rows)
    for row in table.rows:
        assert points.loc[(row.codec, row.point), "mel_dac_train"] == pytest.approx(row.cells["mel_dac_train"].mean)
    assert list(tmp_path.rglob("*.wandb"))


def test_the_hub_gets_a_card_for_each_codec(run: Path, table: Table, tmp_path: Path) -> None:
    export(run, "hf", tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"fixed_40", "slime", "opus"}  # the reference is no model
    card = ModelCard.load(tmp_path / "fixed_40.md", repo_type="model")
    assert card.data.model_name == "Fixed_40"
    assert card.data.eval_results is not None
    found = {(each.metric_type, each.metric_args["point"]): each for each in card.data.eval_results}
    for row in (row for row in table.rows if row.codec == "fixed_40"):
        each = found["pesq_wb", row.point]
        cell = row.cells["pesq_wb"]
        assert (each.dataset_name, each.dataset_revision) == ("bundled", "r1")
        assert each.metric_value == pytest.approx(cell.mean)
        assert each.metric_args["interval_95"] == pytest.approx([cell.low, cell.high])
        assert (each.metric_args["failed"], each.metric_args["utterances"]) == (cell.failed, cell.n)
        assert each.metric_args["bitrate_kbps"] == pytest.approx(row.rates.bitrate / 1000)


def test_what_has_no_score_is_left_out_and_nothing_is_nan(tmp_path: Path) -> None:
    records = synthetic_records()
    records.loc[records["codec"] == "slime", "stoi"] = math.nan
    run = write_run(tmp_path / "run", records)
    export(run, "hf", tmp_path / "out")
    text = (tmp_path / "out/slime.md").read_text(encoding="utf-8")
    head = text.split("---\n")[1]
    assert "type: stoi" not in head
    assert "type: pesq_wb" in head
    assert "nan" not in head.lower()


def test_labels_that_no_file_can_bear_have_files_of_their_own(tmp_path: Path) -> None:
    renamed = {"fixed_40": CODECS["fixed_40"], "a/b": CODECS["slime"], "a|b": CODECS["opus"]}
    run = write_run(tmp_path / "run", synthetic_records(codecs=renamed), run_info(renamed))
    export(run, "hf", tmp_path / "out")
    cards = [path.read_text(encoding="utf-8") for path in sorted((tmp_path / "out").glob("a-b*.md"))]
    assert ["`a/b`" in cards[0], "`a|b`" in cards[0], "`a/b`" in cards[1], "`a|b`" in cards[1]] == [False, True, True, False]


def test_a_run_without_scores_is_refused(tmp_path: Path) -> None:
    records = synthetic_records()
    records[list(run_info()["metrics"])] = math.nan
    for column in ("wer_pocketsphinx:errors", "wer_pocketsphinx:words"):
        records[column] = math.nan
    run = write_run(tmp_path / "run", records)
    with pytest.raises(UserError, match="nothing was scored"):
        export(run, "hf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("target", "extra"), [("tensorboard", "train"), ("wandb", "wandb")])
def test_a_missing_package_is_named_with_its_command(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, extra: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == target else found(name, *rest))
    with pytest.raises(Unavailable, match=rf"get it with: pip install 'speech-codec-bench\[{extra}\]'"):
        export(run, target, tmp_path)


def test_a_wrong_target_is_answered_with_the_right_ones(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(app, ["export", str(run), "--to", "tensorbord"])
    assert str(asked.exception) == "--to 'tensorbord' unknown; did you mean 'tensorboard'? known: hf, tensorboard, wandb"
    told = CliRunner().invoke(app, ["export", str(run), "--to", "hf"])
    assert told.exit_code == 0
    assert Path("reports/synthetic/hf/opus.md").is_file()
