"""Recordings pair with utterances or are named; cells that are empty are empty; stated numbers are numbers."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from bench.datasets.cells import amount, given, meant
from bench.datasets.manifest import read_manifest
from bench.datasets.specs import open_dataset, parse_spec
from bench.errors import UserError
from bench.record import failures_of
from bench.recordings import check_length, pairing, read_systems
from bench.run import session
from bench.run.session import Options
from bench.suite import load_suite
from tests import toys

SUITE = """
name: toy
datasets: [{manifest: manifest.jsonl}]
codecs: [{codec: recordings, manifest: made.jsonl}]
metrics: [distance]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toys.install(monkeypatch, {}, [toys.metric_module(toys.ToyMetric())])
    toys.corpus(tmp_path)
    (tmp_path / "toy.yaml").write_text(SUITE, encoding="utf-8")
    return tmp_path


def written(folder: Path, rows: list[Any], newline: str = "\n", bom: bool = False) -> Path:
    text = newline.join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "made.jsonl").write_bytes(("\ufeff" if bom else "").encode() + text.encode())
    return folder / "made.jsonl"


def recording(folder: Path, utterance: Any, path: str = "", **more: Any) -> dict[str, Any]:
    return {"id": utterance, "variant": "v", "path": path or f"{utterance}.wav", **more}


def score(folder: Path, **options: Any) -> tuple[pd.DataFrame, str]:
    console = Console(record=True, file=io.StringIO(), width=300)
    frame = session.score(load_suite(folder / "toy.yaml"), Options(folder / "results" / "run", **options), console)
    return frame[frame["codec"] == "recordings"], console.export_text()


def test_an_utterance_without_a_recording_is_a_recorded_failure_or_a_note(folder) -> None:
    written(folder, [recording(folder, "u0"), recording(folder, "u1"), recording(folder, "u9", "u0.wav")])
    frame, shown = score(folder)
    assert dict(zip(frame["utterance"], [list(failures.values()) for failures in failures_of(frame)], strict=True)) == {
        "u0": [],
        "u1": [],
        "u2": ["there is no recording of this utterance"],
        "u3": ["there is no recording of this utterance"],
    }
    assert "2 of 4 utterances have no recording: 'u2', 'u3'" in shown
    assert "1 of its 3 ids are no utterances here: 'u9'" in shown
    assert set(score(folder, allow_missing=True)[0]["utterance"]) == {"u0", "u1"}


@pytest.mark.parametrize(("utterance", "hint"), [("U0", "u0"), ("u0.wav", "u0"), ("zzz", "")])
def test_recordings_none_of_which_pairs_end_the_run_before_any_work(utterance, hint, folder) -> None:
    written(folder, [recording(folder, utterance, "u0.wav")])
    with pytest.raises(UserError, match=r"none of its 1 ids is an utterance") as caught:
        score(folder)
    assert ("did you mean 'u0'" in str(caught.value)) == bool(hint)


def test_leading_zeros_and_unicode_forms_are_hinted_at() -> None:
    assert meant("7", {"007", "8"}) == "; did you mean '007'?"
    assert meant("cafe\u0301", {"caf\u00e9"}) == "; did you mean 'caf\u00e9'?"
    assert pairing({"v": {"7": None}}, ["7"], "x") == []  # type: ignore[dict-item]


def test_integer_ids_byte_order_marks_and_windows_line_ends_are_taken(folder) -> None:
    (folder / "manifest.jsonl").write_text('{"id": 7, "path": "u0.wav", "text": "word"}\n', encoding="utf-8")
    written(folder, [recording(folder, 7, "u0.wav"), ""], "\r\n", bom=True)
    frame, _ = score(folder)
    assert list(frame["utterance"]) == ["7"]
    assert not any(failures_of(frame))


@pytest.mark.parametrize(("seconds", "fails"), [(0.05, False), (-0.05, False), (0.2, True), (-0.2, True)])
def test_a_recording_of_another_length_is_a_recorded_failure(seconds, fails, folder) -> None:
    samples, rate = soundfile.read(folder / "u0.wav")
    longer = np.pad(samples, (0, max(0, int(seconds * rate))))[: len(samples) + int(seconds * rate)]
    soundfile.write(folder / "off.wav", longer, rate)
    written(folder, [recording(folder, "u0", "off.wav")])
    frame, _ = score(folder, allow_missing=True)
    assert any(failures_of(frame)) == fails
    (folder / "toy.yaml").write_text(SUITE + "length_tolerance_s: 1\n", encoding="utf-8")
    frame, _ = score(folder, allow_missing=True)
    assert not any(failures_of(frame))
    assert frame["length_error"].iloc[0] == len(longer) - len(samples)


def test_long_recordings_may_be_off_by_one_percent() -> None:
    check_length(100 * 16000 + 15999, 100 * 16000, 16000)
    with pytest.raises(ValueError, match=r"longer than its reference"):
        check_length(100 * 16000 + 16001, 100 * 16000, 16000)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"bitrate_kbps": "6 kbps"}, "key 'bitrate_kbps' is no number of at least 0: \"6 kbps\""),
        ({"bitrate_kbps": "1.5k"}, "key 'bitrate_kbps' is no number"),
        ({"frame_rate_hz": -1}, "key 'frame_rate_hz' is no number"),
        ({"frame_rate_hz": math.inf}, "key 'frame_rate_hz' is no number"),
        ({"n_q": [8]}, "key 'n_q' is no number"),
        ({"n_q": 2.5}, "key 'n_q' is no whole number: 2.5"),
        ({"bitrate_kbps": 10**400}, "key 'bitrate_kbps' is no number"),
        ('{"n_q": ' + "9" * 5000 + "}", "is no JSON: a number has too many digits"),
        ({"id": "a\ud800"}, "key 'id' holds U+D800, which is half a character"),
        ({"id": None}, "key 'id' is missing or empty"),
        ({"id": math.nan}, "key 'id' is missing or empty"),
        ({"variant": ["v"]}, "key 'variant' is no text"),
        ({"path": "a\0b.wav"}, "no file"),
        ([1, 2], "a line is a mapping"),
        ("not json", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, str) else None,
)
def test_a_mistake_names_file_line_and_key(row, message, folder) -> None:
    bad = {**recording(folder, "u0"), **row} if isinstance(row, dict) else row
    manifest = written(folder, [recording(folder, "u1"), "", bad])
    with pytest.raises(UserError) as caught:
        read_systems(manifest)
    assert str(caught.value).startswith(f"{manifest}:3: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("empty", [None, math.nan, "", "nan", "NaN", "None", "null", "<NA>", "  "])
def test_an_empty_cell_is_no_text(empty, tmp_path) -> None:
    assert given(empty) is None
    soundfile.write(tmp_path / "a.wav", np.zeros(1600) + 0.1, 16000)
    row = {"id": "a", "path": "a.wav", "text": empty, "speaker": empty}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (entry,) = read_manifest(tmp_path / "m.jsonl", "m").entries
    assert (entry.text, entry.speaker) == (None, None)
    (tmp_path / "m.jsonl").write_text(json.dumps({**row, "id": empty}) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"m.jsonl:1: id"):
        read_manifest(tmp_path / "m.jsonl", "m")


@pytest.mark.parametrize("text", ["a\u2028b", "a\u0085b", "a\x0bb", "a\x1cb", "nanna", "none of it"])
def test_a_text_may_hold_whatever_ends_lines_elsewhere(text, tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1600) + 0.1, 16000)
    line = json.dumps({"id": "a", "path": "a.wav", "text": text}, ensure_ascii=False)
    (tmp_path / "m.jsonl").write_bytes(line.encode() + b"\r\n")
    (entry,) = read_manifest(tmp_path / "m.jsonl", "m").entries
    assert entry.text == text


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("id,variant,path,path\nu0,v,a.wav,b.wav\n", 1, "column 'path' comes twice"),
        ("id,variant,path,Path\nu0,v,a.wav,b.wav\n", 1, "column 'path' comes twice"),
        ('id,variant,path,text\nu0,v,a.wav,x\nu1,v,a.wav,"x\nu2,v,a.wav,y\n', 3, "unexpected end of data"),
        ('id,variant,path,text\nu0,v,a.wav,"x\nu1,v,a.wav,"y\n', 2, "expected after"),
        ("id,variant,path\nu0,v,a.wav,x\n", 2, "has more cells than the header has columns"),
    ],
)
def test_a_table_that_would_lose_cells_or_rows_is_refused(content, line, message, tmp_path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    path = tmp_path / "m.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_systems(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert message in str(caught.value)


def test_numbers_of_cells() -> None:
    assert [amount(value) for value in (None, "", math.nan, 0, "12.5", 3)] == [0, 0, 0, 0, 12.5, 3]


def test_hidden_files_and_folders_hold_no_utterances(tmp_path) -> None:
    for name in ("a.wav", "._a.wav", ".ipynb_checkpoints/a-checkpoint.wav", "__MACOSX/b.wav", "s/.hidden/c.wav", "s/B.WAV"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "set" / name, np.zeros(1600) + 0.1, 16000, format="WAV")
    opened = open_dataset(parse_spec({"folder": "set"}), tmp_path, 0)
    assert sorted(entry.id for entry in opened.entries) == ["a", "s/B"]


def test_ids_of_a_list_may_hold_spaces(tmp_path) -> None:
    for name in ("a b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(1600) + 0.1, 16000)
    (tmp_path / "ids.txt").write_text("a b\nc a note\n", encoding="utf-8")
    found = open_dataset(parse_spec({"folder": ".", "ids": "ids.txt"}), tmp_path, 0)
    assert [entry.id for entry in found.entries] == ["a b", "c"]


def test_a_list_of_ids_may_begin_with_a_byte_order_mark(tmp_path) -> None:
    toys.corpus(tmp_path)
    (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbfu0\r\nu2\r\n")
    opened = open_dataset(parse_spec({"manifest": "manifest.jsonl", "ids": "ids.txt"}), tmp_path, 0)
    assert [entry.id for entry in opened.entries] == ["u0", "u2"]
    (tmp_path / "ids.txt").write_text("U0\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"did you mean 'u0'"):
        open_dataset(parse_spec({"manifest": "manifest.jsonl", "ids": "ids.txt"}), tmp_path, 0)
