"""What the store keeps, through kills, damage, full disks and other runs beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import random
import signal
import sys
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import cli
from bench.errors import UserError
from bench.files import read_json, write_json
from bench.record import CODEC, Column, Record, Score, detail, detail_texts, failures_of, not_applicable_of
from bench.run import columns, journal
from bench.run import store as store_module
from bench.run.columns import Chunk, merge, to_table
from bench.run.index import hash_of
from bench.run.journal import Addition
from bench.run.store import POINTS, RECORDS, RUN, SCHEMA, Store, file_names, read_points, read_run
from tests.damage import DAMAGE, another_shape, cut, empty, fifo_in_its_place, folder_in_its_place, no_text
from tests.runs import synthetic_records, write_run

WER = Column("wer", "wer#1")
PESQ = Column("pesq", "pesq#2:ab")


def record(number: int = 0, **facts) -> Record:
    usual = {
        "key": f"{number:024x}",
        "codec": "toy",
        "module": "toy",
        "checkpoint": "",
        "kind": "fixed",
        "point": "16levels",
        "dataset": "set",
        "language": "en",
        "utterance": f"u{number}",
        "speaker": "s",
        "text": "a word\u2028and another\x85",
        "duration_s": 1.5,
    }
    return Record(**{**usual, **facts})


def decoded(number: int = 0, **facts) -> Record:
    measured = {"sample_rate": 16000, "bits_total": 80, "encode_s": 0.25, "clipped_samples": 3}
    return record(number, **{**measured, **facts})


def error_rate(value: float = 25.0) -> Score:
    return Score(value, {"errors": 1.0, "words": 4.0, "hypothesis": "what was heard"})


def journals(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.jsonl"))


# --- what is known ------------------------------------------------------------------------------------------------------------------


def test_what_is_added_is_known_at_once_and_after_a_restart(tmp_path) -> None:
    store = Store(tmp_path / "run")
    store.add(decoded())
    store.add_scores(decoded().key, {WER.key: error_rate()}, {PESQ.key: "no speech"}, {"f0#1": "whispered"})
    known = store.get(decoded().key)
    assert known == decoded(scores={WER.key: error_rate()}, failures={PESQ.key: "no speech"}, not_applicable={"f0#1": "whispered"})
    assert Store(tmp_path / "run").get(decoded().key) == known
    assert store.get("unknown") is None


def test_a_score_takes_the_place_of_a_reason_and_no_reason_that_of_a_score(tmp_path) -> None:
    store, key = Store(tmp_path / "run"), decoded().key
    store.add(decoded(failures={WER.key: "no speech"}, not_applicable={PESQ.key: "not at this rate"}))
    store.add_scores(key, {WER.key: error_rate(), PESQ.key: Score(3.0)}, {}, {})
    store.add_scores(key, {}, {WER.key: "later, elsewhere"}, {PESQ.key: "later, elsewhere"})
    for known in (store.get(key), Store(tmp_path / "run").get(key)):
        assert known is not None
        assert known.scores == {WER.key: error_rate(), PESQ.key: Score(3.0)}
        assert not known.failures
        assert not known.not_applicable


def test_what_was_decoded_stays_when_a_later_attempt_fails_and_a_mended_codec_is_forgiven(tmp_path) -> None:
    store, key = Store(tmp_path / "run"), decoded().key
    store.add(decoded())
    store.add(record(failures={CODEC: "out of memory"}))
    known = store.get(key)
    assert known is not None
    assert (known.sample_rate, known.failures) == (16000, {CODEC: "out of memory"})
    store.add(decoded(encode_s=0.5))
    assert store.get(key) == decoded(encode_s=0.5)


def test_replace_forgets_what_was_known(tmp_path) -> None:
    store, key = Store(tmp_path / "run"), decoded().key
    store.add(decoded(scores={WER.key: error_rate()}))
    refused = record(failures={CODEC: "decode looked at the audio"})
    store.replace(refused)
    assert store.get(key) == Store(tmp_path / "run").get(key) == refused


def test_a_score_that_is_no_number_is_a_failure(tmp_path) -> None:
    store = Store(tmp_path / "run")
    store.add(decoded(peak_memory_mb=float("inf"), scores={WER.key: Score(float("nan")), PESQ.key: Score(3.0, {"spread": float("nan")})}))
    for known in (store.get(decoded().key), Store(tmp_path / "run").get(decoded().key)):
        assert known is not None
        assert set(known.scores) == {PESQ.key}
        assert known.failures == {WER.key: "the metric gave nan"}
    (path,) = journals(tmp_path / "run")
    for line in path.read_bytes().split(b"\n")[:-1]:
        json.loads(line, parse_constant=pytest.fail)


def test_any_text_comes_back_as_it_was(tmp_path) -> None:
    text = '\u2028\u2029\x85\x0b\x1c\r\n\0"\\ 你好 🎤'
    Store(tmp_path / "run").add(decoded(text=text, failures={PESQ.key: text}))
    known = Store(tmp_path / "run").get(decoded().key)
    assert known is not None
    assert (known.text, known.failures[PESQ.key]) == (text, text)


def test_text_in_bytes_of_another_encoding_is_told_by_escapes(tmp_path) -> None:
    store = Store(tmp_path / "run")
    store.add(decoded(utterance="caf\udce9", failures={PESQ.key: "in caf\udce9"}))
    told = "caf\\udce9"
    frame = store.finish([decoded(utterance="caf\udce9")], [PESQ])
    known = Store(tmp_path / "run").get(decoded().key)
    assert known is not None
    assert (known.utterance, known.failures[PESQ.key], frame["utterance"][0]) == (told, f"in {told}", told)
    assert failures_of(frame) == [{"pesq": f"in {told}"}]


# --- lines that do not fit ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ten(tmp_path) -> Path:
    """The journal of ten records."""
    store = Store(tmp_path / "run")
    for number in range(10):
        store.add(decoded(number, scores={WER.key: error_rate()}))
    (path,) = journals(tmp_path / "run")
    return path


def known_of(folder: Path) -> tuple[set[int], list[str]]:
    store = Store(folder)
    return {number for number in range(10) if store.get(decoded(number).key)}, store.warnings


def test_a_flipped_bit_anywhere_costs_one_line_and_is_named(ten, tmp_path) -> None:
    content = ten.read_bytes()
    rng = np.random.default_rng(3)
    for place in rng.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        ten.write_bytes(damaged)
        number = content[:place].count(b"\n")
        found, warnings = known_of(tmp_path / "run")
        if content[place : place + 1] == b"\n":  # two lines became one
            assert found in (set(range(10)) - {number}, set(range(10)) - {number, number + 1})
        else:
            assert found == set(range(10)) - {number}
        if number < 9 or content[place : place + 1] != b"\n":
            assert warnings
            assert f"{ten}:{number + 1}: is damaged" in warnings[0]


def test_a_line_torn_in_the_middle_costs_that_line(ten, tmp_path) -> None:
    lines = ten.read_bytes().split(b"\n")
    lines[4] = lines[4][: len(lines[4]) // 2]
    ten.write_bytes(b"\n".join(lines))
    assert known_of(tmp_path / "run")[0] == set(range(10)) - {4}


def test_a_last_line_without_its_end_was_not_written_and_is_not_worth_a_word(ten, tmp_path) -> None:
    ten.write_bytes(ten.read_bytes()[:-1])
    assert known_of(tmp_path / "run") == (set(range(9)), [])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"key": "abc", "codec": "toy", "scores": {}}', "was written by an older version (schema 1, this one reads 2)"),
        (b'{"schema": 3, "key": "abc"}', "was written by a newer version (schema 3, this one reads 2)"),
        (b"[1, 2]", "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (journal.encode(Addition.of(record())).replace(b'"schema":2', b'"schema":9')[:-1], "is damaged"),
    ],
    ids=["older", "newer", "no object", "no text", "deep", "schema changed"],
)
def test_a_line_of_another_version_costs_that_line_and_is_named_once(line, told, ten, tmp_path) -> None:
    ten.write_bytes(line + b"\n" + line + b"\n" + ten.read_bytes())
    found, warnings = known_of(tmp_path / "run")
    assert found == set(range(10))
    assert warnings == [f"{ten}:1: {told}; the line is passed over, as are 1 more of its lines"]


def test_a_line_of_a_newer_version_is_no_damage(ten, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(journal, "SCHEMA", 3)
        newer = journal.encode(Addition.of(record(77)))
    ten.write_bytes(ten.read_bytes() + newer)
    found, (warning,) = known_of(tmp_path / "run")
    assert found == set(range(10))
    assert "newer version (schema 3" in warning


def test_a_damaged_journal_beside_this_run_stops_nothing(ten, tmp_path) -> None:
    ten.write_bytes(b"nonsense\n" + ten.read_bytes()[100:])
    (tmp_path / "stranger" / "journal" / "folder.jsonl").mkdir(parents=True)
    (tmp_path / "file").write_text("no folder")
    for run in ("old", "older"):
        (tmp_path / run / "journal").mkdir(parents=True)
        (tmp_path / run / "journal" / "vm-1-2.jsonl").write_text('{"key": "abc", "codec": "toy"}\n')
    store = Store(tmp_path / "new")
    assert store.get(decoded(0).key) is None
    assert store.get(decoded(1).key) == decoded(1, scores={WER.key: error_rate()})
    (warning,) = store.warnings  # one for all
    assert f"{tmp_path / 'old' / 'journal' / 'vm-1-2.jsonl'}:1: was written by an older version" in warning
    assert warning.endswith("2 more journals beside this run have such lines")


# --- the disk -----------------------------------------------------------------------------------------------------------------------


def test_a_write_that_takes_less_than_a_line_is_gone_on_with(tmp_path, monkeypatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    store = Store(tmp_path / "run")
    store.add(decoded())
    monkeypatch.undo()
    assert Store(tmp_path / "run").get(decoded().key) == decoded()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_takes_no_more_is_named_and_nothing_of_the_line_stays(number, tmp_path, monkeypatch) -> None:
    store = Store(tmp_path / "run")
    store.add(decoded(0))
    write = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(number, os.strerror(number))
        return write(file, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(UserError) as told:
        store.add(decoded(1))
    monkeypatch.undo()
    assert str(told.value).count("\n") == 0
    assert str(tmp_path / "run") in str(told.value)
    assert "the disk at /" in str(told.value)
    assert store.get(decoded(1).key) is None
    store.add(decoded(2))
    again = Store(tmp_path / "run")
    assert again.warnings == []
    assert [again.get(decoded(each).key) for each in range(3)] == [decoded(0), None, decoded(2)]


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 256 kB."""
    import subprocess

    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("lines", [10_000, 20], ids=["one journal", "many journals"])
def test_a_full_disk_ends_in_one_line_and_the_same_goes_on_when_there_is_space(lines, small_disk, monkeypatch) -> None:
    small_journals(monkeypatch, lines)
    (small_disk / "ballast").write_bytes(bytes(150_000))
    store, number = Store(small_disk / "run"), 0
    with contextlib.suppress(UserError):
        while True:
            store.add(decoded(number))
            number += 1
    assert number > 50
    with pytest.raises(UserError, match=rf"the disk at {small_disk} is full; what was written before is kept"):
        store.add(decoded(number, text="x" * 10_000))
    with pytest.raises(UserError, match="is full"):
        store.write_file("audio/a.flac", bytes(200_000))
    with pytest.raises(UserError, match="is full"):
        store.write_json(RUN, {"text": "x" * 200_000})
    assert not list(small_disk.rglob("*partial*"))
    (small_disk / "ballast").unlink()
    again = Store(small_disk / "run")
    assert again.warnings == []
    assert all(again.get(decoded(each).key) for each in range(number))
    again.add(decoded(number))
    assert Store(small_disk / "run").get(decoded(number).key) == decoded(number)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
def test_a_full_disk_is_told_in_one_line_wherever_it_is_met(number, monkeypatch, capsys) -> None:
    def command() -> None:
        raise OSError(number, os.strerror(number), "/somewhere/table.md")

    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("/somewhere/table.md: cannot be written: its disk ")
    assert told.count("\n") == 1


# --- files --------------------------------------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_TEXT, _TEXT, _TEXT, _TEXT), min_size=2, max_size=2, unique=True))
def test_no_two_utterances_share_a_file_on_any_file_system(labels) -> None:
    paths = [file_names("0123456789abcdef01234567", *each)[0] for each in labels]
    assert len({unicodedata.normalize("NFD", path).casefold() for path in paths}) == 2
    for path in paths:
        assert len(path.encode()) <= 200
        assert path.startswith("audio/")
        assert path.count("/") == 4
        assert "0123456789ab" in path
        assert not any(part in {"", ".", ".."} or part.startswith((".", "-")) for part in path.split("/"))
        assert not any(char in path for char in '\\:*?"<>|\0\n')


def test_a_name_keeps_letters_of_any_script_and_the_head_of_its_key() -> None:
    texts = ("你好", "世界", "a/b", "a_b", "हिन्दी", "A", "a")
    names = [file_names("0123456789abcdef01234567", "toy", "40hz", "set", text)[0] for text in texts]
    assert names[0].startswith("audio/toy/40hz/set/你好-0123456789ab-")
    assert names[4].startswith("audio/toy/40hz/set/हिन्दी-")
    assert len({name.casefold() for name in names}) == len(names)
    assert file_names("k", "toy", "40hz", "set", "u")[1].endswith(".bin")
    assert file_names("other", "toy", "40hz", "set", "u") != file_names("key", "toy", "40hz", "set", "u")


def test_a_file_shared_by_a_hard_link_is_never_written_in_place(tmp_path) -> None:
    store = Store(tmp_path / "run")
    store.write_file("audio/a.flac", b"first")
    (tmp_path / "other").mkdir()
    os.link(tmp_path / "run/audio/a.flac", tmp_path / "other/a.flac")
    store.write_file("audio/a.flac", b"second")
    assert (tmp_path / "other/a.flac").read_bytes() == b"first"
    assert store.read_file("audio/a.flac") == b"second"
    assert store.read_file("audio/none.flac") is None
    assert store.read_file("") is None


def test_another_run_lends_its_record_and_files_even_where_no_hard_link_is_possible(tmp_path, monkeypatch) -> None:
    lender = Store(tmp_path / "lender")
    lent = decoded(audio_file="audio/a.flac", stream_file="streams/a.bin", scores={WER.key: error_rate()})
    for name in (lent.audio_file, lent.stream_file):
        lender.write_file(name, b"content")
    lender.add(lent)

    def no_links(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    for run in ("linked", "copied"):
        store = Store(tmp_path / run)
        assert store.get(lent.key) == lent
        assert store.read_file(lent.audio_file) == store.read_file(lent.stream_file) == b"content"
        assert Store(tmp_path / run).get(lent.key) == lent
        monkeypatch.setattr(os, "link", no_links)


def test_a_record_of_another_run_cannot_reach_outside_of_its_folder(tmp_path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    Store(tmp_path / "lender").add(decoded(audio_file="../secret", stream_file=str(tmp_path / "secret")))
    (tmp_path / "deep").mkdir()
    assert Store(tmp_path / "run").get(decoded().key) is not None
    assert sorted(path.name for path in tmp_path.rglob("secret*")) == ["secret"]


# --- the table ----------------------------------------------------------------------------------------------------------------------


def finished(folder: Path) -> pd.DataFrame:
    store = Store(folder)
    store.add(decoded(0, scores={WER.key: error_rate(), "stale#0": Score(9.0)}))
    store.add(decoded(1, failures={PESQ.key: "no speech", CODEC: "died"}, not_applicable={WER.key: "English only"}))
    frame = store.finish([record(1, codec="renamed"), record(5), record(0)], [WER, PESQ])
    store.write_json(POINTS, {"toy@16levels": {"codebooks": [], "share": float("nan")}})
    store.write_json(RUN, {"schema": SCHEMA, "metrics": {}})
    return frame


def test_the_table_has_the_rows_that_are_known_in_order_and_under_the_suites_names(tmp_path) -> None:
    frame = finished(tmp_path / "run")
    records, about = read_run(tmp_path / "run")
    pd.testing.assert_frame_equal(frame, records)
    assert about == {"schema": SCHEMA, "metrics": {}}
    assert read_points(tmp_path / "run") == {"toy@16levels": {"codebooks": [], "share": None}}
    assert list(records["utterance"]) == ["u1", "u0"]
    assert list(records["codec"]) == ["renamed", "toy"]
    assert failures_of(records) == [{"codec": "died", "pesq": "no speech"}, {}]
    assert not_applicable_of(records) == [{"wer": "English only"}, {}]
    np.testing.assert_equal(records["wer"].to_numpy(), [np.nan, 25.0])
    np.testing.assert_equal(detail(records, "wer", "words"), [np.nan, 4.0])
    assert detail_texts(records, "wer", "hypothesis") == ["", "what was heard"]
    assert not any("stale" in column for column in records)
    assert records["clipped_samples"].tolist() == [3, 3]


def test_a_table_that_is_put_together_in_parts_is_the_same(tmp_path, monkeypatch) -> None:
    whole = finished(tmp_path / "whole")
    monkeypatch.setattr(store_module, "_BATCH", 1)
    pd.testing.assert_frame_equal(finished(tmp_path / "parts"), whole)


def test_a_table_of_nothing_has_its_columns(tmp_path) -> None:
    frame = Store(tmp_path / "run").finish([record()], [WER])
    assert len(frame) == 0
    assert {"key", "duration_s", "wer", "failures", "not_applicable"} <= set(frame)


@pytest.mark.parametrize("name", [RECORDS, RUN, POINTS])
@pytest.mark.parametrize("damage", [*DAMAGE, fifo_in_its_place], ids=lambda damage: damage.__name__)
def test_damage_is_one_line_with_the_files_name_and_a_second_run_makes_the_file_anew(damage, name, tmp_path) -> None:
    frame = finished(tmp_path / "run")
    damage(tmp_path / "run" / name)
    with pytest.raises(UserError) as told:
        read_points(tmp_path / "run") if name == POINTS else read_run(tmp_path / "run")
    assert str(told.value).startswith(f"{tmp_path / 'run' / name}: ")
    assert "\n" not in str(told.value)
    finished(tmp_path / "run")
    pd.testing.assert_frame_equal(read_run(tmp_path / "run")[0], frame)
    assert read_points(tmp_path / "run")


@pytest.mark.parametrize("name", [RECORDS, RUN, POINTS])
def test_any_flipped_bit_of_a_result_is_found(name, tmp_path) -> None:
    finished(tmp_path / "run")
    path = tmp_path / "run" / name
    content = path.read_bytes()
    rng = np.random.default_rng(5)
    places = range(len(content)) if len(content) < 400 else rng.integers(0, len(content), 400)
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(UserError):
            read_points(tmp_path / "run") if name == POINTS else read_run(tmp_path / "run")


def test_what_stands_in_the_place_of_a_result_is_moved_aside_and_not_deleted(tmp_path) -> None:
    (tmp_path / "run.json").mkdir()
    (tmp_path / "run.json" / "mine").write_text("precious")
    write_json(tmp_path / "run.json", {"a": 1})
    assert read_json(tmp_path / "run.json", "") == {"a": 1}
    assert [path.read_text() for path in tmp_path.glob("run.json.was-a-folder-*/mine")] == ["precious"]


def test_a_run_of_another_schema_is_refused(tmp_path) -> None:
    finished(tmp_path / "run")
    write_json(tmp_path / "run" / RUN, {"schema": 1})
    with pytest.raises(UserError, match=r"run\.json: schema 1, this version reads 2; run the suite again"):
        read_run(tmp_path / "run")


def test_a_damaged_run_json_is_unknown_to_the_run_itself(tmp_path) -> None:
    finished(tmp_path / "run")
    assert Store(tmp_path / "run").about() == {"schema": SCHEMA, "metrics": {}}
    cut(tmp_path / "run" / RUN)
    assert Store(tmp_path / "run").about() is None


def test_then_is_the_order_of_lines_and_may_be_done_in_any_steps() -> None:
    a = Addition.of(decoded(failures={WER.key: "x"}))
    b = Addition(a.key, scores={WER.key: error_rate()})
    c = Addition.of(dataclasses.replace(record(), failures={CODEC: "y"}))
    assert a.then(b).then(c) == a.then(b.then(c))


# --- columns ------------------------------------------------------------------------------------------------------------------------

_KEYS = ("a", "b", "c")
_COLUMNS = ("wer#1", "pesq#1", CODEC)


@st.composite
def additions(draw: st.DrawFn) -> Addition:
    key = draw(st.sampled_from(_KEYS))
    told = {name: draw(st.sampled_from(("score", "failure", "not applicable", "nothing"))) for name in _COLUMNS[:2]}
    scores = {
        name: Score(draw(st.floats(0, 9)), draw(st.sampled_from(({}, {"errors": 1.0}, {"words": 2.0, "hypothesis": "x"}))))
        for name, what in told.items()
        if what == "score"
    }
    failures = {name: draw(st.sampled_from(("f", "g"))) for name, what in told.items() if what == "failure"}
    not_applicable = {name: "n" for name, what in told.items() if what == "not applicable"}
    if draw(st.booleans()) and not scores:
        failures[CODEC] = "died"
    facts = draw(st.sampled_from((None, record(key=key), decoded(key=key, encode_s=draw(st.floats(0, 9))), record(key=key, codec="other"))))
    return Addition(key, facts is not None and draw(st.booleans()) and draw(st.booleans()), facts, scores, failures, not_applicable)


def bare(addition: Addition | None) -> tuple | None:
    if addition is None:
        return None
    facts = None if addition.facts is None else dataclasses.replace(addition.facts, scores={}, failures={}, not_applicable={})
    return addition.key, addition.fresh, facts, addition.scores, addition.failures, addition.not_applicable


@settings(max_examples=150, deadline=None)
@given(st.lists(additions(), max_size=12), st.lists(st.integers(0, 12), max_size=3))
def test_columns_add_up_as_lines_do(lines, cuts) -> None:
    expected: dict[str, Addition] = {}
    for line in lines:
        expected[line.key] = expected[line.key].then(line) if line.key in expected else line
    bounds = sorted([0, *(min(cut, len(lines)) for cut in cuts), len(lines)])
    chunk = Chunk(merge([to_table(lines[start:end]) for start, end in itertools.pairwise(bounds)]))
    for key in _KEYS:
        assert bare(chunk.find(key, hash_of(key))) == bare(expected.get(key))
    steps = [merge([to_table(lines[start:end])]) for start, end in itertools.pairwise(bounds)]
    again = Chunk(merge([merge(steps[:2]), *steps[2:]]))
    for key in _KEYS:
        assert bare(again.find(key, hash_of(key))) == bare(expected.get(key))


def test_two_keys_of_one_hash_stay_two(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(columns, "hash_of", lambda key: 7)
    store = Store(tmp_path / "run")
    for number in range(5):
        store.add(decoded(number))
    store.close()
    assert [store.get(decoded(number).key) for number in range(5)] == [decoded(number) for number in range(5)]
    assert len(store.finish(map(decoded, range(5)), [])) == 5


def small_journals(monkeypatch: pytest.MonkeyPatch, lines: int = 8) -> None:
    monkeypatch.setattr(store_module, "_MAX_LINES", lines)


def fill(store: Store, count: int, start: int = 0) -> None:
    """Records, of which each third is scored later than it is decoded."""
    for number in range(start, start + count):
        if number % 3:
            store.add(decoded(number, scores={WER.key: error_rate(number), PESQ.key: Score(3.0)}))
        else:
            store.add(decoded(number))
            store.add_scores(decoded(number).key, {WER.key: error_rate(number)}, {}, {})
            store.add_scores(decoded(number).key, {PESQ.key: Score(3.0)}, {}, {})


def is_full(store: Store, number: int) -> bool:
    return store.get(decoded(number).key) == decoded(number, scores={WER.key: error_rate(number), PESQ.key: Score(3.0)})


def full(store: Store, count: int) -> bool:
    return all(is_full(store, number) for number in range(count))


def test_a_journal_is_compacted_as_it_grows_and_not_read_again(tmp_path, monkeypatch) -> None:
    small_journals(monkeypatch)
    store = Store(tmp_path / "run")
    fill(store, 100)
    assert full(store, 100)
    store.close()
    lines = sum(path.read_bytes().count(b"\n") for path in journals(tmp_path / "run"))
    assert lines < 120  # of 168 that were written: those of one key that stand in one journal became one
    assert len(list((tmp_path / "run/journal").glob("*.columns"))) < 6
    monkeypatch.setattr(columns, "read", pytest.fail)
    assert full(Store(tmp_path / "run"), 100)


def test_a_journal_that_was_edited_after_it_ended_is_read_anew(tmp_path, monkeypatch) -> None:
    store = Store(tmp_path / "run")
    fill(store, 10)
    store.close()
    (path,) = journals(tmp_path / "run")
    path.write_bytes(b"".join(line for line in path.open("rb") if b'"u4"' not in line))
    again = Store(tmp_path / "run")
    assert again.get(decoded(4).key) is None
    assert again.get(decoded(5).key)
    fill(again, 1, 4)
    again.close()
    assert full(Store(tmp_path / "run"), 10)


@pytest.mark.parametrize("damage", [empty, cut, folder_in_its_place, no_text, another_shape], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("suffix", [".columns", ".index"])
def test_what_is_kept_for_speed_is_made_again_where_it_is_damaged(damage, suffix, tmp_path) -> None:
    store = Store(tmp_path / "run")
    fill(store, 10)
    store.close()
    (path,) = (tmp_path / "run/journal").glob(f"*{suffix}")
    damage(path)
    other = Store(tmp_path / "other")
    assert full(Store(tmp_path / "run"), 10)
    assert full(other, 10)
    assert other.warnings == []


def test_any_flipped_bit_of_what_is_kept_for_speed_changes_nothing(tmp_path) -> None:
    store = Store(tmp_path / "run")
    fill(store, 4)
    store.close()
    (path,) = (tmp_path / "run/journal").glob("*.columns")
    content = path.read_bytes()
    rng = np.random.default_rng(6)
    for place in rng.integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        for kept in path.parent.glob("*.columns"):
            kept.unlink()
        path.write_bytes(damaged)
        assert full(Store(tmp_path / "run"), 4)


def test_a_damaged_line_is_named_once_and_not_at_every_start(ten, tmp_path) -> None:
    ten.write_bytes(ten.read_bytes().replace(b'"u3"', b'"x3"'))
    assert len(Store(tmp_path / "run").warnings) == 1
    assert Store(tmp_path / "run").warnings == []


def test_two_processes_in_one_folder_never_touch_each_others_journals(tmp_path, monkeypatch) -> None:
    small_journals(monkeypatch)
    stores = [Store(tmp_path / "run"), Store(tmp_path / "run")]
    for number in range(0, 90, 3):
        fill(stores[number % 2], 3, number)
        if number % 9 == 0:
            assert full(Store(tmp_path / "run"), number + 3)  # a third that only reads
    assert full(Store(tmp_path / "run"), 90)
    for store in stores:
        store.close()
    assert full(Store(tmp_path / "run"), 90)


def test_a_kill_between_any_two_calls_loses_nothing(tmp_path, monkeypatch) -> None:
    """Every call that changes the disk is made to fail in turn, as a kill would: what was acknowledged is there afterwards."""
    small_journals(monkeypatch)

    class Killed(BaseException):
        pass

    calls = 0
    left = 10**9

    def counted(function):
        def call(*arguments, **keywords):
            nonlocal calls, left
            calls += 1
            left -= 1
            if left < 0:
                raise Killed
            return function(*arguments, **keywords)

        return call

    with monkeypatch.context() as patch:
        for place, name in ((os, "write"), (os, "replace"), (Path, "unlink"), (os, "unlink")):
            patch.setattr(place, name, counted(getattr(place, name)))
        patch.setattr("bench.files.open", counted(open), raising=False)
        fill(Store(tmp_path / "whole"), 16)
        assert calls > 40
        for survived in range(calls):
            left = survived
            folder, number = tmp_path / str(survived) / "run", 0
            with contextlib.suppress(Killed):
                store = Store(folder)
                for number in range(16):
                    fill(store, 1, number)
            left = 10**9
            again = Store(folder)
            assert again.warnings == []
            assert full(again, number)
            fill(again, 16 - number, number)
            again.close()
            assert full(Store(folder), 16)


def test_a_process_that_is_killed_loses_nothing_that_was_acknowledged(tmp_path, monkeypatch) -> None:
    small_journals(monkeypatch, 5)
    rng = random.Random(8)
    for _ in range(12):
        reader, writer = os.pipe()
        start = len(known_numbers(tmp_path / "run"))
        child = os.fork()
        if child == 0:
            store = Store(tmp_path / "run")
            for number in itertools.count(start):
                fill(store, 1, number)
                os.write(writer, b".")
        time.sleep(rng.uniform(0.02, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(writer)
        acknowledged = 0
        while data := os.read(reader, 1 << 16):
            acknowledged += len(data)
        os.close(reader)
        assert full(Store(tmp_path / "run"), start + acknowledged)


def known_numbers(folder: Path) -> list[int]:
    """The numbers whose every line arrived; a kill between the lines of one leaves that one to be written again."""
    store = Store(folder)
    return list(itertools.takewhile(lambda number: is_full(store, number), itertools.count()))


# --- runs beside this one -----------------------------------------------------------------------------------------------------------


def test_runs_beside_this_one_are_found_without_reading_their_journals(tmp_path, monkeypatch) -> None:
    for run in range(5):
        store = Store(tmp_path / f"run{run}")
        fill(store, 5, 5 * run)
        if run % 2:
            store.close()  # the others were killed
    monkeypatch.setattr(journal, "read", pytest.fail)
    assert full(Store(tmp_path / "new"), 25)


def test_what_several_runs_know_of_one_thing_is_put_together(tmp_path) -> None:
    key = decoded().key
    Store(tmp_path / "a").add(decoded(scores={WER.key: error_rate()}))
    Store(tmp_path / "b").add(decoded(scores={PESQ.key: Score(3.0)}))
    Store(tmp_path / "c").add_scores(key, {"stoi#1": Score(0.5)}, {}, {})  # nothing is known of what it was
    for run in "ab":
        Store(tmp_path / run).close()
    known = Store(tmp_path / "new").get(key)
    assert known is not None
    assert known.scores == {WER.key: error_rate(), PESQ.key: Score(3.0)}


def test_a_run_that_goes_on_beside_this_one_is_read_where_it_is_now(tmp_path, monkeypatch) -> None:
    small_journals(monkeypatch)
    other, here = Store(tmp_path / "other"), Store(tmp_path / "here")
    fill(other, 5)
    assert here.get(decoded(0).key) is not None
    fill(other, 15, 5)  # its journals become shorter, and their lines move
    other.close()
    assert here.get(decoded(1).key) == other.get(decoded(1).key)
    assert here.warnings == []


def test_what_was_refused_here_is_not_taken_over_from_elsewhere(tmp_path) -> None:
    Store(tmp_path / "other").add(decoded(scores={WER.key: error_rate()}))
    store = Store(tmp_path / "here")
    refused = record(failures={CODEC: "decode looked at the audio"})
    store.replace(refused)
    assert store.get(record().key) == refused


def test_a_file_has_the_name_that_this_suite_gives_it(tmp_path) -> None:
    store = Store(tmp_path / "run")
    store.write_file("audio/old.flac", b"content")
    store.add(decoded(audio_file="audio/old.flac"))
    frame = store.finish([decoded(codec="renamed", audio_file="audio/new.flac"), decoded(audio_file="audio/old.flac")], [])
    assert list(frame["audio_file"]) == ["audio/new.flac", "audio/old.flac"]
    assert store.read_file("audio/new.flac") == store.read_file("audio/old.flac") == b"content"


@pytest.mark.parametrize("name", [RECORDS, RUN, POINTS])
@pytest.mark.parametrize("damage", [*DAMAGE, fifo_in_its_place], ids=lambda damage: damage.__name__)
def test_a_command_that_meets_damage_ends_in_one_line_and_exit_code_2(damage, name, tmp_path, monkeypatch, capsys) -> None:
    write_run(tmp_path / "run", synthetic_records(8, 4))
    damage(tmp_path / "run" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", "report", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith(f"{tmp_path / 'run' / name}: ")
    assert told.count("\n") == 1
