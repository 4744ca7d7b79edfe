"""What comes from the hub, through its own clients: as little as a selection needs, once, of one commit."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bench.cli import main
from bench.commands import doctor
from bench.dataset import Dataset
from bench.datasets import hub
from bench.datasets.hub import HubSource, Split
from bench.datasets.known import KNOWN_SETS, ids_file
from bench.datasets.manifest import problems
from bench.datasets.specs import needs, open_dataset, parse_spec
from bench.errors import Unavailable, UserError
from bench.registry import Registry
from bench.run import preflight, session
from bench.run.session import Options
from bench.suite import load_suite
from tests import toys
from tests.hub_server import CARD, HubServer, encoded, point_clients_at, write_parquet

COMMIT = str(KNOWN_SETS["librispeech/test-clean"].source.revision)
FILES, ROWS_A_FILE, ROWS_A_GROUP = ("clean/test/0.parquet", "clean/test/1.parquet"), 12, 4
FOOTER = 65536  # bytes of a file's end that pyarrow reads at once
LISTING = 1000  # more than the columns beside the audio take in a row group


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub whose sets have a split `test` of two files with three row groups of four rows each, and a split `train.100`."""
    server = HubServer()
    server.commit(COMMIT, repository(tmp_path / "repository", "test"))
    point_clients_at(server, tmp_path / "huggingface", monkeypatch)
    yield server
    server.close()


def repository(folder: Path, name: str) -> Path:
    numbers = range(len(FILES) * ROWS_A_FILE)
    # 30 to 50 kB each: a row group is then larger than the end of the file that is read for its footer.
    sounds = [{"bytes": encoded(20_000 + 500 * number, seed=number), "path": "x.flac"} for number in numbers]
    rows = [{"id": f"{name}-{n}", "text": f"TEXT {n}", "speaker_id": n // 5, "audio": sounds[n]} for n in numbers]
    for index, file in enumerate(FILES):
        write_parquet(folder / file, rows[index * ROWS_A_FILE : (index + 1) * ROWS_A_FILE], ROWS_A_GROUP)
    write_parquet(folder / "clean/train.100/0.parquet", rows[:1])
    splits = "".join(f"  - split: {split}\n    path: clean/{split}/*.parquet\n" for split in ("test", "train.100"))
    (folder / "README.md").write_text(CARD.format(splits))
    return folder


def facts(opened: Dataset) -> list[tuple[Any, ...]]:
    """All that a record's key and its row are made of, in order."""
    told = [(e.id, e.text, e.speaker, e.language, e.dataset, e.duration_s, e.sample_rate, e.path.name) for e in opened.entries]
    return [(*each, entry.path.read_bytes()) for each, entry in zip(told, opened.entries, strict=True)]


def chunks(server: HubServer) -> dict[int, tuple[str, range]]:
    """Of each row group, counted over the split, its file and the bytes at which its encoded audio lies."""
    found = []
    for file in FILES:
        metadata = pq.ParquetFile(server.commits[COMMIT] / file).metadata
        for index in range(metadata.num_row_groups):
            columns = [metadata.row_group(index).column(number) for number in range(metadata.num_columns)]
            (audio,) = [column for column in columns if column.path_in_schema == "audio.bytes"]
            start = audio.dictionary_page_offset or audio.data_page_offset
            found.append((file, range(start, start + audio.total_compressed_size)))
    return dict(enumerate(found))


def audio_read(server: HubServer) -> list[int]:
    """The row groups of which audio was read, and nothing between them: the rest of the traffic is footers and listing."""
    groups, others = [], 0
    for file, first, last in server.reads:
        if last + 1 == (server.commits[COMMIT] / file).stat().st_size:
            assert last + 1 - first == FOOTER
            continue
        inside = [group for group, (name, span) in chunks(server).items() if name == file and first < span.stop and last >= span.start]
        groups += inside
        others += last + 1 - first - sum(len(chunks(server)[group][1]) for group in inside)
    assert 0 <= others <= LISTING * len(chunks(server))
    return groups


def groups_of(opened: Dataset) -> list[int]:
    return sorted({int(entry.path.stem) // ROWS_A_GROUP for entry in opened.entries})


SELECTIONS: dict[str, dict[str, Any]] = {
    "limit": {"limit": 3},
    "ids": {"ids": "ids.txt"},
    "ids and limit": {"ids": "ids.txt", "limit": 2},
    "duration": {"duration_s": [1.5, 1.8], "limit": 4},
    "ids and duration": {"ids": "ids.txt", "duration_s": [1.3, 1.4]},
    "whole": {},
}


@pytest.fixture(params=SELECTIONS)
def selection(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "ids.txt").write_text("test-17\ntest-2\ntest-1\n")
    return SELECTIONS[request.param]


@pytest.mark.parametrize("seed", [0, 7])
def test_a_part_is_what_the_same_selection_takes_of_the_whole(server, tmp_path, monkeypatch, selection, seed):
    spec = parse_spec({"name": "librispeech/test-clean", **selection})
    part = open_dataset(spec, tmp_path, seed)
    read = audio_read(server)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "other"))
    open_dataset(parse_spec("librispeech/test-clean"), tmp_path, seed)
    whole = open_dataset(spec, tmp_path, seed)
    assert facts(part) == facts(whole)
    assert (part.revision, part.licence) == (whole.revision, whole.licence) == (COMMIT, "CC-BY-4.0")
    assert problems(part) == []
    # A duration stands in the header of the audio: all that the ids leave must then be read.
    known = selection if "duration_s" not in selection else {key: value for key, value in selection.items() if key == "ids"}
    assert read == groups_of(open_dataset(parse_spec({"name": "librispeech/test-clean", **known}), tmp_path, seed))


def test_the_whole_is_asked_for_once_and_other_splits_never(server, tmp_path, monkeypatch):
    spec = parse_spec("librispeech/test-clean")
    (need,) = needs(spec, tmp_path)
    assert (need.name, need.available, need.size_mb, need.licence) == ("librispeech/test-clean", False, 350, "CC-BY-4.0")
    assert need.how == "bench fetch librispeech/test-clean"
    opened = open_dataset(spec, tmp_path, seed=0)
    assert [(e.id, e.text, e.speaker) for e in opened.entries] == [(f"test-{i}", f"TEXT {i}", str(i // 5)) for i in range(24)]
    assert {file for file, _, _ in server.reads} == set(FILES)
    assert audio_read(server) == [0, 1, 2, 3, 4, 5]
    assert [need.available for need in needs(spec, tmp_path)] == [True]
    server.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert open_dataset(spec, tmp_path, seed=0) == opened
    assert open_dataset(parse_spec({"name": "librispeech/test-clean", "limit": 5}), tmp_path, seed=3).entries
    assert server.requests == []


def test_a_larger_sample_adds_the_difference_of_the_same_commit(server, tmp_path):
    def opened(limit: int) -> Dataset:
        return open_dataset(parse_spec({"hf": "some/set", "config": "clean", "limit": limit}), tmp_path, seed=1)

    few = opened(3)
    before = {entry.path: entry.path.stat().st_mtime_ns for entry in few.entries}
    server.commit("f" * 40, repository(tmp_path / "later", "changed"))
    server.requests.clear()
    server.reads.clear()
    more = opened(8)
    assert set(few.entries) < set(more.entries)
    assert few.revision == more.revision == COMMIT
    assert all(f"/resolve/{COMMIT}/" in path for path in server.requests)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    new = [int(entry.path.stem) // ROWS_A_GROUP for entry in more.entries if entry.path not in before]
    assert audio_read(server) == sorted(set(new))
    assert len(list(more.entries[0].path.parent.iterdir())) == 8


def test_a_killed_fetch_goes_on_where_it_was(server, tmp_path, monkeypatch):
    written: list[Path] = []

    def killed(path: Path, content: bytes) -> None:
        if len(written) == 10:
            raise KeyboardInterrupt
        written.append(path)
        hub_write(path, content)

    hub_write = hub.write_bytes
    spec = parse_spec("librispeech/test-clean")
    with monkeypatch.context() as patch:
        patch.setattr(hub, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            open_dataset(spec, tmp_path, seed=0)
    (need,) = needs(spec, tmp_path)
    assert not need.available
    assert need.size_mb == pytest.approx(sum(len(chunks(server)[group][1]) for group in (2, 3, 4, 5)) / 1e6)
    before = [path.stat().st_mtime_ns for path in written]
    server.reads.clear()
    assert len(open_dataset(spec, tmp_path, seed=0).entries) == 24
    assert audio_read(server) == [2, 3, 4, 5]
    assert [path.stat().st_mtime_ns for path in written] == before


def test_a_hub_that_fails_half_way_is_told_and_what_has_come_is_kept(server, tmp_path, monkeypatch):
    spec = parse_spec("librispeech/test-clean")
    server.refuse = lambda file, first, last: 403 if file == FILES[1] and last - first > FOOTER else None
    with pytest.raises(Unavailable, match=r"not all of the 24 utterances asked for are on this machine \(.*403.*what has come is kept"):
        open_dataset(spec, tmp_path, seed=0)
    server.refuse = lambda *_: None
    server.reads.clear()
    server.close()
    monkeypatch.setattr(time, "sleep", lambda _: None)  # its client tries again with growing pauses
    with pytest.raises(Unavailable, match="Connection refused"):
        open_dataset(spec, tmp_path, seed=0)
    again = HubServer()
    again.commit(COMMIT, server.commits[COMMIT])
    point_clients_at(again, tmp_path / "huggingface", monkeypatch)
    assert len(open_dataset(spec, tmp_path, seed=0).entries) == 24
    assert audio_read(again) == [3, 4, 5]
    again.close()


def test_offline_works_from_what_was_fetched_and_else_says_so(server, tmp_path, monkeypatch):
    def opened(**selected: Any) -> Dataset:
        return open_dataset(parse_spec({"name": "librispeech/test-clean", **selected}), tmp_path, seed=0)

    few = opened(limit=5)
    server.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert opened(limit=5) == few
    assert set(opened(limit=2).entries) < set(few.entries)
    with pytest.raises(Unavailable, match=r"not all of the 6 utterances asked for are on this machine \(HF_HUB_OFFLINE is set\); fetch it"):
        opened(limit=6)
    with pytest.raises(Unavailable, match=r"set google/fleurs is not on this machine \(HF_HUB_OFFLINE is set\); fetch it"):
        open_dataset(parse_spec({"name": "fleurs/de_de", "limit": 5}), tmp_path, seed=0)
    assert server.requests == []


def bench_says(monkeypatch, *arguments: str, code: int = 0) -> None:
    """Calls `bench` with these arguments; it must end with `code`."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code


def test_the_command_of_a_need_fetches_what_the_suite_will_open(server, tmp_path, monkeypatch, capsys, selection):
    spec = parse_spec({"hf": "some/set", "config": "clean", "text": None, **selection})
    (need,) = needs(spec, tmp_path, seed=3)
    assert not need.available
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert shlex.split(need.how)[:2] == ["bench", "fetch"]
    bench_says(monkeypatch, *shlex.split(need.how)[1:])
    server.requests.clear()
    (need,) = needs(spec, tmp_path, seed=3)
    assert need.available
    opened = open_dataset(spec, tmp_path, seed=3)
    assert server.requests == []
    assert capsys.readouterr().out.startswith(f"some/set/clean/test: {len(opened.entries)} utterances, revision {COMMIT}, in ")


def test_what_a_part_takes_is_told_before_it_is_fetched(server, tmp_path):
    few, more = ({"name": "librispeech/test-clean", "limit": limit} for limit in (3, 8))
    (need,) = needs(parse_spec(few), tmp_path)
    assert (need.name, need.size_mb) == ("librispeech/test-clean (a part, at most)", 350)
    had = open_dataset(parse_spec(few), tmp_path, seed=0)
    (need,) = needs(parse_spec(more), tmp_path)
    opened = open_dataset(parse_spec(more), tmp_path, seed=0)
    new = {int(entry.path.stem) // ROWS_A_GROUP for entry in set(opened.entries) - set(had.entries)}
    assert need.size_mb == pytest.approx(sum(len(chunks(server)[group][1]) for group in new) / 1e6)
    durations = parse_spec({"name": "librispeech/test-clean", "limit": 3, "duration_s": [1, 2]})
    assert needs(durations, tmp_path)[0].name == "librispeech/test-clean"  # all of it: no part


def test_a_set_that_is_a_list_of_ids_is_fetched_by_that_list(server, tmp_path, monkeypatch):
    known = KNOWN_SETS["unicats-b"]
    monkeypatch.setitem(KNOWN_SETS, "unicats-b", replace(known, source=HubSource(hf="some/set", config="clean")))
    spec = parse_spec("unicats-b")
    assert [(need.name, need.available) for need in needs(spec, tmp_path)] == [
        ("unicats-b (a part, at most)", False),
        ("unicats-b: list of utterances", False),
    ]
    ids_file(known).parent.mkdir(parents=True)
    ids_file(known).write_text("test-9 prompt\ntest-23 prompt\n")
    opened = open_dataset(spec, tmp_path, seed=0)
    assert [entry.id for entry in opened.entries] == ["test-9", "test-23"]
    assert audio_read(server) == [2, 5]
    assert all(need.available for need in needs(spec, tmp_path))
    ids_file(known).unlink()
    assert not any(need.available for need in needs(spec, tmp_path))  # and asks nobody for the list


SUITE = """\
name: streamed
datasets: [{name: librispeech/test-clean, limit: 3}]
codecs: [{codec: opus, points: [6kbps]}]
metrics: [mel_dac_train]
seed: 5
"""


def test_doctor_tells_a_suites_part_by_the_suites_seed(server, tmp_path, capsys):
    (tmp_path / "suite.yaml").write_text(SUITE, encoding="utf-8")
    suite = load_suite(tmp_path / "suite.yaml")
    assert doctor(suite) == 3
    told = capsys.readouterr().out
    assert "data set librispeech/test-clean  librispeech/test-clean (a part, at most)  350" in told
    assert 'bench fetch \'{"limit":3,"name":"librispeech/test-clean"}\' --seed 5' in told
    open_dataset(suite.datasets[0], suite.base_dir, seed=4)
    assert doctor(suite) == 3
    open_dataset(suite.datasets[0], suite.base_dir, seed=5)
    assert doctor(suite) == 0


def test_a_data_set_that_is_lacking_is_named_as_in_the_suite_and_the_others_stay(server, tmp_path):
    sets = "[{folder: ., name: here}, {folder: .}, librispeech/test-clean, {hf: someone/speech, config: en, split: test}, bundled]"
    (tmp_path / "suite.yaml").write_text(SUITE.replace("[{name: librispeech/test-clean, limit: 3}]", sets), encoding="utf-8")
    suite = load_suite(tmp_path / "suite.yaml")
    lacking = [each for each in preflight.requirements(suite, Registry()) if not each.need.available]
    assert [each.owner for each in lacking] == ["librispeech/test-clean", "someone/speech/en/test"]
    assert [spec.label() for spec in preflight.without(suite, lacking).datasets] == ["here", ".", "bundled"]


def test_the_limit_of_a_call_asks_for_no_more(server, tmp_path, monkeypatch):
    (tmp_path / "suite.yaml").write_text(SUITE.replace(", limit: 3", ""), encoding="utf-8")
    suite = load_suite(tmp_path / "suite.yaml")
    toys.run_in_this_process(monkeypatch)
    with pytest.raises(Unavailable) as caught:
        session.score(suite, Options(tmp_path / "run", limit=2), Console(quiet=True))
    command = str(caught.value).split("get it with: ")[1]
    assert command == """bench fetch '{"limit":2,"name":"librispeech/test-clean"}' --seed 5"""
    bench_says(monkeypatch, *shlex.split(command)[1:])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    frame = session.score(suite, Options(tmp_path / "run", limit=2), Console(quiet=True))
    assert len(set(frame["utterance"])) == 2
    (about,) = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["datasets"]
    assert (about["name"], about["revision"]) == ("librispeech/test-clean", COMMIT)


def test_the_command_ends_without_a_traceback(monkeypatch, capsys):
    for argument, code, told in (("librispeech/test-claen", 2, "did you mean"), ("librispeech/test-clean", 3, "HF_HUB_OFFLINE is set")):
        bench_says(monkeypatch, "fetch", argument, code=code)
        assert told in capsys.readouterr().err


def test_splits_and_configurations_of_the_hub_are_checked(server, tmp_path):
    with pytest.raises(UserError, match="split 'tset' unknown; did you mean 'test'"):
        open_dataset(parse_spec({"hf": "some/set", "config": "clean", "split": "tset"}), tmp_path, seed=0)
    with pytest.raises(UserError, match="'clan' not found"):  # the library's own words
        open_dataset(parse_spec({"hf": "some/set", "config": "clan"}), tmp_path, seed=0)


@pytest.mark.parametrize("value", ["librispeech/test-clean", {"hf": "some/set", "config": "clean"}], ids=["named", "hf"])
def test_without_a_network_it_says_what_is_missing(server, tmp_path, monkeypatch, value):
    server.close()
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(Unavailable, match=r"is not on this machine \(Couldn't reach '.*' on the Hub"):
        open_dataset(parse_spec(value), tmp_path, seed=0)


# Local parquet files in place of the hub's


def local(folder: Path, num_rows: int) -> Path:
    rows = [{"audio": {"bytes": encoded(seed=i), "path": f"{i}.flac"}, "id": str(i)} for i in range(num_rows)]
    return write_parquet(folder / "rows.parquet", rows, rows_per_group=2)


def test_rows_become_files_once(tmp_path):
    local(tmp_path, 5)
    first, second = ({"hf": "some/set", "data_files": "rows.parquet", "limit": limit} for limit in (2, 4))
    few = open_dataset(parse_spec(first), tmp_path, seed=0)
    inodes = {entry.path: entry.path.stat().st_ino for entry in few.entries}
    assert set(few.entries[0].path.parent.iterdir()) == set(inodes)
    # The same file under another folder is the same data, and is read where it lies now.
    (tmp_path / "moved").mkdir()
    (tmp_path / "rows.parquet").rename(tmp_path / "moved" / "rows.parquet")
    more = open_dataset(parse_spec(second), tmp_path / "moved", seed=0)
    assert set(few.entries) < set(more.entries)
    assert few.revision == more.revision
    assert {path: path.stat().st_ino for path in inodes} == inodes
    local(tmp_path / "moved", 3)
    assert len(open_dataset(parse_spec(second), tmp_path / "moved", seed=0).entries) == 3


def test_an_interrupted_listing_is_not_taken_for_whole(tmp_path, cache, monkeypatch):
    split = Split(HubSource(hf="some/set"), (local(tmp_path, 3),))

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hub, "_facts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            split.list_rows()
    assert list((cache / "datasets").iterdir()) == []
    split.list_rows()
    assert list((cache / "datasets").iterdir()) == [split.folder]


def test_writers_at_the_same_time_leave_one_whole_folder(tmp_path, cache):
    local(tmp_path, 20)
    spec = parse_spec({"hf": "some/set", "data_files": "rows.parquet"})
    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(lambda _: open_dataset(spec, tmp_path, seed=0), range(8))
    assert all(other == first for other in others)
    assert problems(first) == []
    (folder,) = (cache / "datasets").iterdir()
    assert sorted(os.listdir(folder / "audio")) == [f"{i:06d}.flac" for i in range(20)]


def test_a_local_file_that_breaks_off_is_named(tmp_path):
    path = local(tmp_path, 4)
    content = bytearray(path.read_bytes())
    metadata = pq.ParquetFile(path).metadata.row_group(1)
    chunk = next(metadata.column(i) for i in range(metadata.num_columns) if metadata.column(i).path_in_schema == "audio.bytes")
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"rows\.parquet: "):
        open_dataset(parse_spec({"hf": "some/set", "data_files": "rows.parquet"}), tmp_path, seed=0)
