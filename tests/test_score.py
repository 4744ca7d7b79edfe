"""Folders of outputs pair with originals by their paths, or say why not; `bench score` needs no suite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from bench.cli import app
from bench.commands import folder_suite
from bench.errors import UserError
from bench.folders import audio_files, paired
from bench.run import session
from bench.run.session import Options
from bench.run.store import read_run
from bench.suite import load_suite
from tests import toys


def tone(path: Path, sample_rate: int = 16000, channels: int = 1, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = level * np.sin(np.arange(sample_rate) / sample_rate * 400 * 2 * np.pi)
    soundfile.write(path, np.stack([samples] * channels, 1), sample_rate)
    return path


@pytest.mark.parametrize(
    ("names", "utterances", "rule", "pairs"),
    [
        (["a", "b"], ["a", "b"], "", {"a": "a", "b": "b"}),
        (["x/a", "x/b"], ["a", "b"], "", {"a": "x/a", "b": "x/b"}),  # a folder more
        (["a", "b"], ["x/a", "x/b"], "", {"x/a": "a", "x/b": "b"}),  # a folder less
        (["1/a", "2/a"], ["1/a", "2/a"], "", {"1/a": "1/a", "2/a": "2/a"}),
        (["out/1/a", "out/2/a"], ["1/a", "2/a"], "", {"1/a": "out/1/a", "2/a": "out/2/a"}),
        (["a", "b"], ["b", "c"], "", {"b": "b"}),
        (["one"], ["other"], "", {"other": "one"}),  # a file and a file
        (["x/a"], ["y/a", "y/b"], "path", {}),
        (["x/a", "x/c"], ["y/a", "y/b"], "stem", {"y/a": "x/a"}),
        (["gen_17_v2", "gen_18_v2"], ["utt17", "utt18"], r"(\d+)", {"utt17": "gen_17_v2", "utt18": "gen_18_v2"}),
        (["none", "gen_18"], ["utt17", "utt18"], r"\d+", {"utt18": "gen_18"}),
    ],
)
def test_files_belong_together_by_their_paths(names, utterances, rule, pairs) -> None:
    assert paired(names, utterances, rule) == pairs


@pytest.mark.parametrize(
    ("names", "utterances", "rule", "told"),
    [
        (["a", "b"], ["1/a", "2/a"], "", "'a' may belong to '1/a', '2/a'"),
        (["x/a", "y/a"], ["a", "b"], "", "'x/a' and 'y/a' may both belong to 'a'"),
        (["x/a", "y/a"], ["a", "b"], "stem", "'x/a' and 'y/a' are the same by pair 'stem'"),
        (["a"], ["a", "b"], "(", "neither path nor stem nor a regular expression"),
    ],
)
def test_a_pair_that_could_be_another_is_refused(names, utterances, rule, told) -> None:
    with pytest.raises(UserError) as caught:
        paired(names, utterances, rule)
    assert told in str(caught.value)


def test_one_utterance_in_two_formats_is_refused(tmp_path) -> None:
    tone(tmp_path / "a.wav")
    tone(tmp_path / "a.flac")
    with pytest.raises(UserError, match=r"a\.flac and a\.wav are one utterance"):
        audio_files(tmp_path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toys.install(monkeypatch, {}, [toys.metric_module(toys.ToyMetric()), toys.metric_module(toys.EnglishMetric())])
    monkeypatch.chdir(tmp_path)
    for index in range(3):
        tone(tmp_path / f"ref/s{index}/u{index}.wav")
        tone(tmp_path / f"ours/3kbps/u{index}.flac", 24000, 2, 0.05)
        tone(tmp_path / f"ours/6kbps/u{index}.flac", 8000, 1, 0.09)
    return tmp_path


def test_folders_are_points_of_one_codec_with_their_own_rates(folder) -> None:
    made = [folder / "ours/3kbps", folder / "ours/6kbps"]
    suite = folder_suite(folder / "ref", made, ["distance"], ["ours"], bitrates_kbps=[3, 6], frame_rates_hz=[25])
    frame = session.score(suite, Options(folder / "run"), toys_console())
    ours = frame[frame["codec"] == "ours"].groupby("point").mean(numeric_only=True)
    assert ours["bitrate"].to_dict() == {"3kbps": 3000, "6kbps": 6000}
    assert set(ours["frame_rate"]) == {25}
    assert ours["distance"]["3kbps"] > 3 * ours["distance"]["6kbps"] > 0
    assert frame["distance"].notna().all()


def test_texts_and_language_of_the_originals_are_given_once(folder) -> None:
    (folder / "texts.csv").write_text("id,text\nu0,one\nu1,two\nu2,three\n", encoding="utf-8")
    suite = folder_suite(folder / "ref", [folder / "ours/6kbps"], ["english"], text=folder / "texts.csv", language="en")
    frame = session.score(suite, Options(folder / "run"), toys_console())
    assert frame["english"].eq(1).all()
    assert set(frame["text"]) == {"one", "two", "three"}


def test_the_command_prints_the_table_writes_run_and_report_and_names_what_has_no_partner(folder) -> None:
    (folder / "ours/6kbps/u2.flac").rename(folder / "ours/6kbps/spare.flac")
    shown = CliRunner().invoke(app, ["score", "ref", "ours/6kbps", "--metrics", "distance", "--name", "mine"])
    assert shown.exit_code == 1
    assert f"{folder}/ours/6kbps: 1 of 3 utterances have no recording: 's2/u2'" in shown.output
    assert "Dynamic against fixed" not in shown.output  # there is neither
    assert "no utterances here: 'spare.flac'" in shown.output
    frame, about = read_run(folder / "results" / "score_ref_6kbps")
    assert about["suite"]["name"] == "score_ref_6kbps"
    assert frame[frame["codec"] == "mine"]["distance"].notna().sum() == 2
    assert (folder / "reports" / "score_ref_6kbps" / "index.html").is_file()
    scored = CliRunner().invoke(app, ["score", "ref", "ours/6kbps", "--metrics", "distance", "--name", "mine", "--allow-missing"])
    assert scored.exit_code == 0, scored.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nosuch", "ours/6kbps"], "nosuch: is no folder"),
        (["ref", "nosuch"], "nosuch: is not there"),
        (["ref", "ours/3kbps", *["--bitrate-kbps", "1"] * 3], "3 of them for 1 folders"),
        (["ref", "ours/3kbps", "ours/3kbps"], "'3kbps' comes twice"),
        (["ref", "ours/3kbps", "--metrics", "nosuch"], "metric 'nosuch' unknown"),
        (["ref", "ours/3kbps", "--metrics", ", "], "--metrics ', ': names nothing"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, told, folder) -> None:
    shown = CliRunner().invoke(app, ["score", "--metrics", "distance", *arguments])
    assert isinstance(shown.exception, UserError)
    assert told in str(shown.exception)


def test_a_recording_that_can_not_be_read_is_named(folder) -> None:
    (folder / "ours/6kbps/u1.flac").write_bytes(b"none")
    shown = CliRunner().invoke(app, ["score", "ref", "ours/6kbps", "--metrics", "distance"])
    assert shown.exit_code == 1
    assert f"{folder}/ours/6kbps/u1.flac: no readable audio" in shown.output


def test_a_suite_takes_folders_and_tables_of_recordings(folder) -> None:
    (folder / "made.csv").write_text("id,variant,path,bitrate_kbps\n" + "".join(f"s{i}/u{i},v,ref/s{i}/u{i}.wav,2\n" for i in range(3)))
    (folder / "suite.yaml").write_text(
        "name: s\ndatasets: [{folder: ref}]\nmetrics: [distance]\ncodecs:\n"
        "  - {codec: recordings, name: ours, folder: ours/3kbps, bitrate_kbps: 3}\n"
        "  - {codec: recordings, name: ours, folder: ours/6kbps}\n"
        "  - {codec: recordings, manifest: made.csv}\n",
        encoding="utf-8",
    )
    suite = load_suite(folder / "suite.yaml")
    assert [(entry.label, [point.name for point in entry.points]) for entry in suite.entries[1:]] == [
        ("ours", ["3kbps", "6kbps"]),
        ("recordings", ["v"]),
    ]
    frame = session.score(suite, Options(folder / "run"), toys_console())
    assert frame.groupby("codec")["distance"].count().to_dict() == {"reference": 3, "ours": 6, "recordings": 3}


def toys_console():  # type: ignore[no-untyped-def]
    from rich.console import Console

    return Console(quiet=True)


UNNAMEABLE = "a name holds anything but commas, control characters and spaces at its ends, which --codecs could not name"


@pytest.mark.parametrize("name", ["a,b", " a", "a ", "a\tb", ""])
def test_a_name_that_no_option_could_name_is_refused_in_a_line(name, tmp_path) -> None:
    places = [tone(tmp_path / folder / "u.wav").parent for folder in ("ref", "one", "two")]
    with pytest.raises(UserError) as caught:
        folder_suite(places[0], places[1:], ["stoi"], [name])
    assert str(caught.value) == f"--name {name!r}: {UNNAMEABLE}"
    named = folder_suite(places[0], places[1:2], ["stoi"], ["dac @ 6 kbps; naïve (b)"])
    assert [entry.label for entry in named.entries][1:] == ["dac @ 6 kbps; naïve (b)"]


def test_one_rule_holds_for_the_names_of_suites_folders_manifests_and_codec_files(tmp_path) -> None:
    tone(tmp_path / "out,1" / "u.wav")
    (tmp_path / "mine,1.py").write_text("from bench.codecs.opus import INFO, POINTS, VERSION, load, needs, point\n")
    for system, variant in (("a,b", "x"), ("a", "x,y")):
        line = f'{{"id": "u", "variant": "{variant}", "system": "{system}", "path": "out,1/u.wav"}}\n'
        (tmp_path / f"{len(system)}.jsonl").write_text(line, encoding="utf-8")
    told = []
    for codec in (
        "{codec: opus, name: 'a,b'}",
        "{codec: recordings, folder: 'out,1', name: a}",
        "{codec: recordings, manifest: 3.jsonl}",
        "{codec: recordings, manifest: 1.jsonl}",
        "{codec: 'mine,1.py'}",
    ):
        suite = tmp_path / "suite.yaml"
        suite.write_text(f"name: s\ndatasets: [bundled]\ncodecs: [{codec}]\nmetrics: [stoi]\n", encoding="utf-8")
        with pytest.raises(UserError) as caught:
            load_suite(suite)
        told.append(str(caught.value).removeprefix(f"{suite}:3: "))
    places = ["codecs[0].name", *["codecs[0]"] * 4]
    names = ["a,b", "out,1", "a,b", "x,y", "mine,1"]
    assert told == [f"{place}: {UNNAMEABLE} (got {name!r})" for place, name in zip(places, names, strict=True)]
