"""The reported cases that lie in shared/cases: each is read as what it is, or refused in a line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.dataset import Dataset
from bench.datasets.manifest import problems
from bench.datasets.specs import open_dataset
from bench.errors import UserError
from bench.suite import load_suite

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def cases(shared: Path, tmp_path: Path) -> Path:
    """A copy, as data sets may be written beside their files."""
    if not (shared / "cases").is_dir():
        pytest.skip("needs shared/cases")
    shutil.copytree(shared / "cases", tmp_path / "cases", copy_function=shutil.copyfile)
    return tmp_path / "cases"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def opened(suite: Path) -> Dataset:
    loaded = load_suite(suite)
    return open_dataset(loaded.datasets[0], suite.parent, loaded.seed)


def test_a_flac_of_unknown_length_lasts_as_long_as_it_does(cases: Path) -> None:
    found = opened(cases / "07-flac-unknown-length/s.yaml")
    assert {entry.id: round(entry.duration_s, 3) for entry in found.entries}["b"] == 2.685


def test_what_a_folder_holds_beside_sound_is_no_utterance(cases: Path) -> None:
    assert {entry.id for entry in opened(cases / "10-folder-junk/s.yaml").entries} == {"b", "spk1/a"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("binary_col", "column 'audio' holds binary, not audio as {bytes, path}"),
        ("raw_array", "column 'audio' holds struct<array"),
        ("path_only", "holds no bytes, only paths"),
        ("list_text", "row 0: column 'text' is no text"),
    ],
)
def test_parquet_that_holds_something_else_is_refused_by_name(name: str, told: str, cases: Path) -> None:
    with pytest.raises(UserError, match=re.escape(told)) as caught:
        opened(cases / f"12-hf-parquet/{name}.yaml")
    assert name in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["large", "m4a_webm", "mp3_opus", "sentence"])
def test_parquet_in_its_many_forms_is_read(name: str, cases: Path) -> None:
    found = opened(cases / f"12-hf-parquet/{name}.yaml")
    assert all(entry.read().duration_s > 1 for entry in found.entries)


def test_one_row_without_audio_is_one_utterance_that_is_refused(cases: Path) -> None:
    first, second = opened(cases / "12-hf-parquet/row_null.yaml").entries
    assert first.read().duration_s > 1
    with pytest.raises(ValueError, match="is empty"):
        second.read()


@pytest.mark.parametrize("name", ["s", "bom"])
def test_paths_of_another_system_are_named(name: str, cases: Path) -> None:
    told = problems(opened(cases / f"18-windows-manifest/{name}.yaml"))
    assert any("wav\\a.wav: is not there" in fault for fault in told)


def test_a_list_of_ids_with_a_byte_order_mark_selects(cases: Path) -> None:
    assert {entry.id for entry in opened(cases / "18-windows-manifest/ids.yaml").entries} == {"a", "b"}


def test_a_script_without_a_main_guard_scores_what_it_is_asked(cases: Path) -> None:
    folder = cases / "17-script-without-main-guard"
    script = (folder / "nightly.py").read_text(encoding="utf-8").replace("bench.session", "bench.run.session")
    (folder / "nightly.py").write_text(f"{script}\nassert set(frame['failures']) == {{'{{}}'}}\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "nightly.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["2 records"]), done.stderr


def test_forms_of_a_release_file_of_dac_give_the_same_audio(cases: Path) -> None:
    folder = cases / "15-dac-pth-formats"
    script = (folder / "make.py").read_text(encoding="utf-8").replace("$PROJECT", str(ROOT))
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=300)
    told = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert {name for name, text in told.items() if text == "loads, rms 0.846444"} == {"old_keys", "parametrized_keys", "numpy_in_metadata"}
    assert told["half"].startswith("loads, rms 0.8466")
    assert "bench strip" in told["ddp_prefix"]
    assert "not a release file of DAC: 'metadata' is missing" in told["bare_state_dict"]
