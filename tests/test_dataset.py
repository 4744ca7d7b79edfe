"""Every form in which a suite names a data set, on small files of the real formats, and on real speech."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import pickle
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from bench.dataset import Entry
from bench.datasets.cells import given
from bench.datasets.known import KNOWN_SETS
from bench.datasets.manifest import problems
from bench.datasets.specs import NAMES, needs, open_dataset, parse_spec
from bench.errors import Unavailable, UserError
from bench.run.session import open_datasets
from bench.suite import load_suite
from tests.hub_server import encoded, tone, write_parquet

# Columns as the hub's cards give them; values as far as they matter here.
HUB_COLUMNS: dict[str, dict[str, Any]] = {
    "libritts/test-clean": {
        "text_normalized": "Well, now.",
        "text_original": "Well, now.",
        "speaker_id": "1089",
        "path": "/data/1089_134686_000002_000001.wav",
        "chapter_id": "134686",
        "id": "1089_134686_000002_000001",
    },
    "librispeech/test-clean": {
        "file": "1089-134686-0000.flac",
        "text": "WELL NOW",
        "speaker_id": 1089,
        "chapter_id": 134686,
        "id": "1089-134686-0000",
    },
    "mls/german": {
        "original_path": "http://archive.org/x.mp3",
        "begin_time": 1.0,
        "end_time": 2.0,
        "transcript": "guten tag",
        "audio_duration": 1.0,
        "speaker_id": "4800",
        "chapter_id": "10003",
        "file": "4800_10003_000000.opus",
        "id": "4800_10003_000000",
    },
    "fleurs/pl_pl": {
        "id": 1605,
        "num_samples": 16000,
        "path": "/root/.cache/10012.wav",
        "transcription": "dzień dobry",
        "raw_transcription": "Dzień dobry.",
        "gender": 0,
        "lang_id": 73,
        "language": "Polish",
        "lang_group_id": 1,
    },
}
EXPECTED = {
    "libritts/test-clean": ("1089_134686_000002_000001", "Well, now.", "1089", "en"),
    "librispeech/test-clean": ("1089-134686-0000", "WELL NOW", "1089", "en"),
    "mls/german": ("4800_10003_000000", "guten tag", "4800", "de"),
    "fleurs/pl_pl": ("10012", "dzień dobry", None, "pl"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


def write_manifest(folder: Path, rows: Sequence[Any]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def ids(dataset) -> list[str]:
    return [entry.id for entry in dataset.entries]


# Folders and manifests


def test_folder(tmp_path):
    for name, num_samples in (("b.wav", 1600), ("anna/a.flac", 3200)):
        (tmp_path / "wavs" / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(tmp_path / "wavs" / name, tone(num_samples), 16_000)
    (tmp_path / "wavs" / "b.txt").write_text("Grüß Gott.\n", encoding="utf-8")
    (tmp_path / "wavs" / "notes.md").write_text("not audio")
    dataset = open_dataset(parse_spec({"folder": "wavs", "language": "de"}), tmp_path, seed=0)
    assert dataset.name == "wavs"
    assert [(e.id, e.text, e.speaker, e.language, e.duration_s) for e in dataset.entries] == [
        ("anna/a", None, "anna", "de", 0.2),
        ("b", "Grüß Gott.", None, "de", 0.1),
    ]
    assert problems(dataset) == []
    utterance = dataset.entries[1].read()
    assert (utterance.sample_rate, utterance.dataset, len(utterance.audio)) == (16_000, "wavs", 1600)


def test_a_folder_without_audio_or_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no audio"):
        open_dataset(parse_spec({"folder": "."}), tmp_path, seed=0)
    with pytest.raises(UserError, match="is no folder"):
        open_dataset(parse_spec({"folder": "nowhere"}), tmp_path, seed=0)


def test_real_speech_from_a_manifest(shared):
    spec = parse_spec({"manifest": "data/eval_en/manifest.jsonl"})
    dataset = open_dataset(spec, shared, seed=0)
    assert (dataset.name, len(dataset.entries)) == ("eval_en", 250)
    assert len({entry.speaker for entry in dataset.entries}) == 55
    assert problems(dataset) == []
    rows = [json.loads(line) for line in (shared / "data/eval_en/manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    for entry, row in zip(dataset.entries[::50], rows[::50], strict=True):
        expected, sample_rate = soundfile.read(shared / "data/eval_en" / row["path"], dtype="float32")
        utterance = entry.read()
        assert (utterance.id, utterance.text, utterance.sample_rate) == (row["id"], row["text"], sample_rate)
        assert np.array_equal(utterance.audio, expected)


def test_languages_without_text_are_allowed(shared):
    spec = parse_spec({"manifest": "data/eval_multi/manifest.jsonl", "languages": ["de", "ja"]})
    dataset = open_dataset(spec, shared, seed=0)
    assert {entry.language for entry in dataset.entries} == {"de", "ja"}
    everything = open_dataset(parse_spec({"manifest": "data/eval_multi/manifest.jsonl"}), shared, seed=0)
    assert sum(entry.text is None for entry in everything.entries) == 80
    assert problems(everything) == []


def test_every_mistake_in_a_manifest_is_named_by_line(tmp_path):
    rows = [{"id": "a", "path": "a.wav"}, '{"id": "b", ', {"id": "c"}, {"id": "d", "path": "d.wav", "text": ["x"]}, "[1]", ""]
    rows += [{"id": "e", "path": "e.wav", "duration_s": 10**400}, '{"id": ' + "9" * 5000 + "}", {"id": "\ud800", "path": "f.wav"}]
    path = write_manifest(tmp_path, rows)
    with pytest.raises(UserError) as caught:
        open_dataset(parse_spec({"manifest": path.name}), tmp_path, seed=0)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{path}:").split(":")[:2] for line in lines] == [
        ["2", " is no JSON"],
        ["3", " path"],
        ["4", " text"],
        ["5", " the line"],
        ["7", " duration_s"],
        ["8", " is no JSON"],
        ["9", " id"],
    ]


def test_missing_and_empty_manifests_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.jsonl: No such file"):
        open_dataset(parse_spec({"manifest": "nowhere.jsonl"}), tmp_path, seed=0)
    write_manifest(tmp_path, [])
    with pytest.raises(UserError, match="lists no utterances"):
        open_dataset(parse_spec({"manifest": "manifest.jsonl"}), tmp_path, seed=0)
    (tmp_path / "manifest.jsonl").write_bytes(b'{"id": "\xff"}')
    with pytest.raises(UserError, match="is not UTF-8"):
        open_dataset(parse_spec({"manifest": "manifest.jsonl"}), tmp_path, seed=0)


def test_problems_name_each_bad_file_and_no_good_one(tmp_path):
    soundfile.write(tmp_path / "good.wav", tone(), 16_000)
    soundfile.write(tmp_path / "empty.wav", tone(0), 16_000)
    (tmp_path / "text.wav").write_text("this is no audio")
    (tmp_path / "nothing.flac").write_bytes(b"")
    rows: list[dict[str, Any]] = [{"id": name, "path": f"{name}.wav"} for name in ("good", "empty", "text", "missing")]
    rows += [
        {"id": "nothing", "path": "nothing.flac"},
        {"id": "good", "path": "good.wav"},
        {"id": "rate", "path": "good.wav", "duration_s": 0.5, "sample_rate": 22_050},
        {"id": "length", "path": "good.wav", "duration_s": 3.0, "sample_rate": 16_000},
    ]
    write_manifest(tmp_path, rows)
    found = problems(open_dataset(parse_spec({"manifest": "manifest.jsonl"}), tmp_path, seed=0))
    reasons = {
        "empty": "holds no samples",
        "text": "no readable audio",
        "missing": "is not there",
        "nothing": "is empty",
        "rate": "has 16000 Hz, listed with 22050",
        "length": "lasts 0.50 s, listed with 3.00",
        "good": "comes 2 times",
    }
    assert len(found) == len(reasons)
    for name, reason in reasons.items():
        assert any(f": {name}: " in line and reason in line for line in found), (name, found)


def test_the_revision_follows_the_manifest(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(), 16_000)

    def revision(text):
        write_manifest(tmp_path, [{"id": "a", "path": "a.wav", "text": text}])
        return open_dataset(parse_spec({"manifest": "manifest.jsonl"}), tmp_path, seed=0).revision

    assert revision("one") == revision("one") != revision("two")


def test_entries_travel_to_workers():
    entries = open_dataset(parse_spec("bundled"), Path(), seed=0).entries
    assert pickle.loads(pickle.dumps(entries)) == entries
    assert max(len(pickle.dumps(entry)) for entry in entries) < 2000


# Selection


def listing(tmp_path: Path, names: list[str]) -> Path:
    rows = [{"id": n, "path": "a.wav", "duration_s": float(i + 1), "sample_rate": 16_000} for i, n in enumerate(names)]
    return write_manifest(tmp_path, rows)


def test_a_sample_is_seeded_nested_and_in_the_order_of_the_listing(tmp_path):
    names = [f"utterance-{i}" for i in range(100)]
    path = listing(tmp_path, names)

    def sample(limit, seed):
        return ids(open_dataset(parse_spec({"manifest": path.name, "limit": limit}), tmp_path, seed))

    assert len(sample(10, 0)) == 10
    assert sample(10, 0) == sample(10, 0)
    assert sample(10, 0) == sorted(sample(10, 0), key=names.index)
    assert sample(10, 0) != sample(10, 1)
    assert sample(10, 0) != names[:10]
    assert set(sample(10, 0)) < set(sample(20, 0))
    assert sample(1000, 0) == names
    before = set(sample(10, 0))
    listing(tmp_path, names[::-1])
    assert set(sample(10, 0)) == before
    hits = np.bincount([names.index(name) // 10 for seed in range(50) for name in sample(10, seed)], minlength=10)
    assert hits.min() > 25  # 50 expected of each tenth of the listing


def test_selection_narrows_and_says_when_nothing_is_left(tmp_path):
    path = listing(tmp_path, ["a", "b", "c", "d"])
    (tmp_path / "ids.txt").write_text("c prompt\n\na prompt\n")

    def select(**keys):
        return ids(open_dataset(parse_spec({"manifest": path.name, **keys}), tmp_path, seed=0))

    assert select(duration_s=[2, 3]) == ["b", "c"]
    assert select(ids="ids.txt") == ["a", "c"]
    assert select(ids="ids.txt", duration_s=[2, 3]) == ["c"]
    with pytest.raises(UserError, match="none of its 4 utterances"):
        select(languages="de")
    (tmp_path / "ids.txt").write_text("a\nzebra\n")
    with pytest.raises(UserError, match=r"ids.txt: 1 of its 2 ids are not in the data set, the first: zebra"):
        select(ids="ids.txt")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("bundeld", "did you mean 'bundled'"),
        ("librispeech/test-claen", "did you mean 'librispeech/test-clean'"),
        ({"manifest": "x", "lmit": 3}, "key 'lmit' unknown; did you mean 'limit'"),
        ({"manifst": "x"}, "mapping with one of: folder, corpus, manifest, hf, name"),
        (3, "a data set is a name"),
        ({"folder": "x", "limit": 0}, "greater than or equal to 1"),
        ({"name": "bundled", "data_files": "x"}, "key 'data_files' unknown"),
    ],
)
def test_mistakes_in_a_suite_name_the_choices(value, message):
    with pytest.raises(ValueError, match="(?s)" + message):
        parse_spec(value)


# Parquet; tests/test_hub.py has what comes from the hub itself


@pytest.mark.parametrize("name", EXPECTED)
def test_named_sets_from_local_parquet(tmp_path, name):
    flac, wav = encoded(8000, 16_000, 1), encoded(6000, 24_000, 2, "WAV")
    first = {"audio": {"bytes": flac, "path": "1.flac"}, **HUB_COLUMNS[name]}
    # The second utterance is in a second file; `id` and `path` differ, as they do on the hub.
    changed = {"id": 7 if isinstance(first["id"], int) else "second", "path": "/x/second.wav"}
    second = {**first, **{key: value for key, value in changed.items() if key in first}, "audio": {"bytes": wav, "path": None}}
    write_parquet(tmp_path / "set" / "test-00000.parquet", [first])
    write_parquet(tmp_path / "set" / "test-00001.parquet", [second])
    spec = parse_spec({"name": name, "data_files": "set"})
    assert needs(spec, tmp_path) == []
    dataset = open_dataset(spec, tmp_path, seed=0)
    entry = dataset.entries[0]
    assert (entry.id, entry.text, entry.speaker, entry.language) == EXPECTED[name]
    assert ids(dataset)[1] == "second"
    assert (entry.duration_s, entry.sample_rate) == (0.5, 16_000)
    assert [entry.path.read_bytes() for entry in dataset.entries] == [flac, wav]
    assert (dataset.name, dataset.licence) == (name, "CC-BY-4.0")
    assert dataset.citation.startswith("@")
    assert problems(dataset) == []


def test_unicats_b_is_the_listed_part_of_libritts(tmp_path, shared):
    listed = [line.split()[0] for line in (shared / "data/unicats_testsetB_utt2prompt").read_text().splitlines()]
    audio = {"bytes": encoded(160), "path": "x.flac"}
    others = [f"9999_1_000000_{i:06d}" for i in range(20)]
    rows = [{"audio": audio, "id": i, "text_normalized": "x", "speaker_id": i.split("_")[0]} for i in [*others, *listed[::-1]]]
    write_parquet(tmp_path / "libritts.parquet", rows)
    value = {"name": "unicats-b", "data_files": "libritts.parquet", "ids": str(shared / "data/unicats_testsetB_utt2prompt")}
    dataset = open_dataset(parse_spec(value), tmp_path, seed=0)
    assert set(ids(dataset)) == set(listed)
    assert (len(dataset.entries), len({entry.speaker for entry in dataset.entries})) == (500, 37)


@pytest.fixture
def listed_online(tmp_path, monkeypatch):
    """unicats-b with its list served from this machine: (address, content)."""
    content = b"u1 p1\nu3 p1\n"
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "list").write_bytes(content)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    known = replace(
        KNOWN_SETS["unicats-b"], ids_url=f"http://127.0.0.1:{server.server_port}/list", ids_sha256=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setitem(KNOWN_SETS, "unicats-b", known)
    yield server
    server.shutdown()


def test_the_list_of_unicats_b_is_fetched_once_and_verified(tmp_path, monkeypatch, listed_online):
    rows = [{"audio": {"bytes": encoded(160), "path": "x.flac"}, "id": f"u{i}", "text_normalized": "x"} for i in range(5)]
    write_parquet(tmp_path / "libritts.parquet", rows)
    spec = parse_spec({"name": "unicats-b", "data_files": "libritts.parquet"})
    assert [need.available for need in needs(spec, tmp_path)] == [False]
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE"):
        open_dataset(spec, tmp_path, seed=0)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert ids(open_dataset(spec, tmp_path, seed=0)) == ["u1", "u3"]
    listed_online.shutdown()
    assert [need.available for need in needs(spec, tmp_path)] == [True]
    assert ids(open_dataset(spec, tmp_path, seed=0)) == ["u1", "u3"]


def test_columns_by_name_by_default_and_missing(tmp_path):
    rows = [{"sound": {"bytes": encoded(), "path": "clip_1.flac"}, "sentence": "Hej.", "who": 3}]
    write_parquet(tmp_path / "rows.parquet", rows)

    def first(**columns):
        value = {"hf": "some/set", "data_files": "rows.parquet", "audio": "sound", **columns}
        return open_dataset(parse_spec(value), tmp_path, seed=0).entries[0]

    entry = first(text="sentence", speaker="who", language="sv")
    assert (entry.id, entry.text, entry.speaker, entry.language) == ("000000", "Hej.", "3", "sv")
    assert first().text is None
    with pytest.raises(UserError, match=r"column \(text\) 'sentense' unknown; did you mean 'sentence'"):
        first(text="sentense")
    with pytest.raises(UserError, match=r"column \(audio\) 'audio' unknown"):
        first(audio="audio")
    with pytest.raises(UserError, match=r"not audio as \{bytes, path\}"):
        first(audio="sentence")


def test_bad_rows_are_named(tmp_path):
    cells = [encoded(), b"no audio at all", None]
    rows: list[dict[str, Any]] = [{"audio": {"bytes": cell, "path": f"{i}.flac"}, "id": f"row-{i}"} for i, cell in enumerate(cells)]
    rows.append({"audio": None, "id": "row-3"})
    write_parquet(tmp_path / "rows.parquet", rows)
    dataset = open_dataset(parse_spec({"hf": "some/set", "data_files": "rows.parquet"}), tmp_path, seed=0)
    (found,) = problems(dataset)
    assert "row-1" in found
    assert "no readable audio" in found
    for entry in dataset.entries[2:]:  # without audio: a failed utterance each, which the run records
        with pytest.raises(ValueError, match=r"is empty"):
            entry.read()


@pytest.mark.parametrize("cell", [["one", "two"], {"en": "one"}, [], b"bytes"], ids=str)
@pytest.mark.parametrize("column", ["text", "speaker", "id"])
def test_a_cell_that_is_no_text_is_named_with_file_row_and_column(column, cell, tmp_path):
    write_parquet(tmp_path / "rows.parquet", [{"audio": {"bytes": encoded(), "path": "a.flac"}, column: cell}])
    value = {"hf": "some/set", "data_files": "rows.parquet", column: column}
    with pytest.raises(UserError, match=rf"^{tmp_path}/rows\.parquet: row 0: column '{column}' is no text: "):
        open_dataset(parse_spec(value), tmp_path, seed=0)


def test_rows_that_hold_only_paths_say_so(tmp_path):
    rows = [{"audio": {"bytes": None, "path": f"/elsewhere/{i}.wav"}, "id": f"spk{i}/001.wav"} for i in (1, 2)]
    write_parquet(tmp_path / "rows.parquet", rows)
    with pytest.raises(UserError, match=r"column 'audio' holds no bytes, only paths"):
        open_dataset(parse_spec({"hf": "some/set", "data_files": "rows.parquet"}), tmp_path, seed=0)


def test_ids_keep_the_folders_that_tell_them_apart(tmp_path):
    rows = [{"audio": {"bytes": encoded(), "path": "001.wav"}, "id": f"spk{i}/001.wav", "text": float("nan")} for i in (1, 2)]
    write_parquet(tmp_path / "rows.parquet", rows)
    dataset = open_dataset(parse_spec({"hf": "some/set", "data_files": "rows.parquet"}), tmp_path, seed=0)
    assert [(entry.id, entry.text) for entry in dataset.entries] == [("spk1/001", None), ("spk2/001", None)]


def test_files_that_are_not_there_or_no_parquet(tmp_path):
    spec = parse_spec({"name": "mls/german", "data_files": "german/*.parquet"})
    (need,) = needs(spec, tmp_path)
    assert not need.available
    assert str(tmp_path / "german") in need.how
    with pytest.raises(Unavailable, match="nothing is there"):
        open_dataset(spec, tmp_path, seed=0)
    (tmp_path / "german").mkdir()
    (tmp_path / "german" / "a.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="is no parquet file"):
        open_dataset(spec, tmp_path, seed=0)


def test_what_parquet_allows_and_nobody_can_mean_is_refused(tmp_path):
    spec = parse_spec({"hf": "some/set", "data_files": "rows.parquet"})
    audio = pa.array([{"bytes": encoded(), "path": "a.wav"}])
    for names in (["audio", "audio"], ["audio", "text", "text"]):
        columns = [audio if name == "audio" else pa.array(["x"]) for name in names]
        pq.write_table(pa.Table.from_arrays(columns, names=names), tmp_path / "rows.parquet")
        with pytest.raises(UserError, match=f"column '{names[-1]}' comes twice"):
            open_dataset(spec, tmp_path, seed=0)
    (tmp_path / "rows.parquet").unlink()
    os.mkfifo(tmp_path / "rows.parquet")
    with pytest.raises(UserError, match="is no regular file"):
        open_dataset(spec, tmp_path, seed=0)


def test_every_known_name_parses_and_states_its_facts(tmp_path):
    for name in NAMES:
        assert parse_spec(name) == parse_spec({"name": name})
    for name, known in KNOWN_SETS.items():
        assert known.citation.count("@") == known.citation.count(" title=") >= 1
        assert known.licence
        assert known.source.language
        assert all(need.kind == "data" and not need.available for need in needs(parse_spec(name), tmp_path))


def test_an_entry_of_stereo_is_mixed_down(tmp_path):
    stereo = np.stack([tone(seed=1), tone(seed=2)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16_000, subtype="FLOAT")
    assert np.allclose(Entry("a", tmp_path / "a.wav").read().audio, stereo.mean(axis=1))


def test_whole_numbers_beside_an_empty_cell_are_the_numbers_that_they_were() -> None:
    cells = pd.DataFrame({"speaker": [3, None, 14]})["speaker"]
    assert [given(float(cell)) for cell in cells] == ["3", None, "14"]
    assert given(0.5) == "0.5"


def test_mistakes_in_what_a_data_set_holds_name_the_line_of_the_suite(tmp_path) -> None:
    (tmp_path / "set.jsonl").write_text('{"id": "a", "path": "gone.wav", "text": "x"}\n', encoding="utf-8")
    (tmp_path / "bad.jsonl").write_text('{"id": "a"\n', encoding="utf-8")
    sets = "datasets:\n  - {manifest: set.jsonl}\n  - {manifest: bad.jsonl}\n"
    (tmp_path / "s.yaml").write_text(f"name: s\n{sets}codecs: [{{codec: pcm}}]\nmetrics: [stoi]\n", encoding="utf-8")
    with pytest.raises(UserError) as told:
        open_datasets(load_suite(tmp_path / "s.yaml"))
    missing, damaged = str(told.value).splitlines()
    assert missing.startswith(f"{tmp_path / 's.yaml'}:3: datasets[0]: set: a: ")
    assert damaged.startswith(f"{tmp_path / 's.yaml'}:4: datasets[1]: {tmp_path / 'bad.jsonl'}:1: ")
