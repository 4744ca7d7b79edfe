"""Codecs and metrics of one's own: files, modules and installed packages, in suites and in every command that takes a name."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from bench.analysis.summary import summary
from bench.cli import app
from bench.errors import UserError, unknown
from bench.needs import Need
from bench.plugins import sources_of
from bench.record import failures_of
from bench.registry import Registry, codec_module
from bench.regress.candidate import default_out
from bench.report.merge import merge
from bench.report.table import render_csv
from bench.run import session
from bench.run.failure import attempt
from bench.run.identity import codec_identity, column_of
from bench.run.session import Options
from bench.run.store import metrics_of, read_run
from bench.run.tasks import Failed
from bench.simple import codec, metric
from bench.suite import load_suite
from tests import toys
from tests.test_score import tone, toys_console

CODEC = """
import my_numbers
import torch
from bench.simple import codec


@codec(sample_rate=8000, hop_length=1, codebook_size=64, points={"loud": {"gain": 1.0}, "soft": {"gain": 0.5}})
class SixBits:
    def __init__(self, checkpoint=None):
        self.offset = 0 if checkpoint is None else int(torch.load(checkpoint)["offset"])

    def encode(self, audio, gain):
        return ((audio.clamp(-1, 1) * gain + 1) * my_numbers.HALF).round().long()

    def decode(self, tokens):
        return tokens[0] / my_numbers.HALF - 1 + self.offset
"""
METRIC = """
import numpy as np
from bench.simple import metric


@metric(unit="dB", higher_is_better=False, sample_rate=8000)
def level_gap(reference, degraded, sample_rate):
    "How much louder or softer."
    return abs(20 * np.log10(np.std(degraded) / np.std(reference)))
"""
SUITE = """
name: own
datasets: [{folder: ref}]
codecs: [{codec: my_codec.py}]
metrics: [my_metric.py]
"""


def test_of_two_names_that_are_as_near_the_one_that_can_run_here_is_proposed() -> None:
    choices = ["heard_far", "heard_here", "other"]
    assert "did you mean 'heard_far'" in unknown("metric", "heard_fere", choices, lambda name: name != "heard_here")
    assert "did you mean 'heard_here'" in unknown("metric", "heard_fere", choices, lambda name: name == "heard_here")
    assert "did you mean 'other'" in unknown("metric", "othr", choices, lambda name: name == "heard_here")  # that is meant, here or not
    assert unknown("metric", "x", []) == "metric 'x' unknown; known: none"


def test_codecs_and_metrics_are_proposed_by_what_is_here(monkeypatch) -> None:
    lacking = [Need("package", "absent", False, "pip install absent")]
    monkeypatch.setattr(codec_module("opus"), "needs", lambda checkpoint: lacking)
    assert Registry().codec_lacks("opus") == lacking
    assert not Registry().codec_lacks("codecslime")  # its weights are shipped
    assert "did you mean 'opus'" in Registry().no_codec("opsu", "a file: my_codec.py")


@pytest.fixture(autouse=True)
def _paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file of one's own puts on the path, or into the modules, is gone after a test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_numbers", "my_package", "my_package.codec"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_codec.py").write_text(CODEC, encoding="utf-8")
    (tmp_path / "my_numbers.py").write_text("HALF = 31.5\n", encoding="utf-8")
    (tmp_path / "my_metric.py").write_text(METRIC, encoding="utf-8")
    (tmp_path / "own.yaml").write_text(SUITE, encoding="utf-8")
    tone(tmp_path / "ref" / "a.wav", 8000, level=0.9)
    monkeypatch.chdir(tmp_path)
    toys.run_in_this_process(monkeypatch)
    return tmp_path


def package(folder: Path, group: str, name: str) -> None:
    """`my_package` with a codec and a metric, as an installed distribution that brings `name`."""
    inside = folder / "site" / "my_package"
    inside.mkdir(parents=True)
    (inside / "__init__.py").touch()
    (inside / "numbers.py").write_text("HALF = 31.5\n", encoding="utf-8")
    (inside / "codec.py").write_text(CODEC.replace("import my_numbers", "from my_package import numbers as my_numbers"), encoding="utf-8")
    (inside / "measure.py").write_text(METRIC, encoding="utf-8")
    about = folder / "site" / "my_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n", encoding="utf-8")
    module = {"codecs": "codec", "metrics": "measure"}[group]
    (about / "entry_points.txt").write_text(f"[speech_codec_bench.{group}]\n{name} = my_package.{module}\n", encoding="utf-8")
    sys.path.insert(0, str(folder / "site"))


def test_a_codec_and_a_metric_in_files_are_run_by_a_suite(folder) -> None:
    frame = session.score(load_suite(folder / "own.yaml"), Options(folder / "run"), toys_console())
    gaps = frame.set_index(["codec", "point"])["level_gap"]
    assert gaps["my_codec", "loud"] == pytest.approx(0, abs=0.3)
    assert gaps["my_codec", "soft"] == pytest.approx(6.0, abs=0.3)
    assert set(frame["failures"]) == {"{}"}


def test_the_kept_results_of_a_codec_or_metric_follow_from_all_of_its_files(folder) -> None:
    def keys() -> tuple[object, str]:
        suite, registry = load_suite(folder / "own.yaml"), Registry()
        registry.add_metrics(str(folder / "my_metric.py"))
        return codec_identity(suite.entries[1], registry), column_of(suite.metrics[0], registry).key

    before = keys()
    assert keys() == before
    (folder / "my_numbers.py").write_text("HALF = 31.4\n", encoding="utf-8")
    after = keys()
    assert after[0] != before[0]
    assert after[1] == before[1]
    (folder / "my_metric.py").write_text(METRIC.replace("20 *", "10 *"), encoding="utf-8")
    assert keys()[1] != before[1]


def test_files_beside_a_codec_are_its_own_whatever_another_calls_the_same(folder) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "my_codec.py").write_text(CODEC, encoding="utf-8")
    (other / "my_numbers.py").write_text("HALF = 15.5\n", encoding="utf-8")
    registry, audio = Registry(), torch.ones(4)
    made = {}
    for place in (folder, other):
        module = registry.codec_module(str(place / "my_codec.py"))
        made[place] = module.load(None, torch.device("cpu")).encode(audio, module.POINTS["loud"]).streams[0].tokens
    assert made[folder].tolist() == [[63] * 4]
    assert made[other].tolist() == [[31] * 4]


def test_every_command_takes_a_file_and_points_made_of_settings(folder) -> None:
    torch.save({"offset": 0}, folder / "a.pt")
    own = ["--codec", "my_codec.py", "--checkpoint", "a.pt"]
    listed = CliRunner().invoke(app, ["list", "points", "my_codec.py"])
    assert "loud" in listed.output
    assert "soft" in listed.output
    encoded = CliRunner().invoke(app, ["encode", "ref/a.wav", "a.scb", *own, "--set", "gain=0.25"])
    assert encoded.exit_code == 0, encoded.output
    assert str(folder).encode() not in (folder / "a.scb").read_bytes()
    refused = CliRunner().invoke(app, ["decode", "a.scb", "a.wav"])
    assert isinstance(refused.exception, UserError)
    assert "if you trust it, name it" in str(refused.exception)
    decoded = CliRunner().invoke(app, ["decode", "a.scb", "a.wav", "--codec", "my_codec.py"])
    assert decoded.exit_code == 0, decoded.output
    assert soundfile.read("a.wav")[0].std() == pytest.approx(0.25 * soundfile.read("ref/a.wav")[0].std(), rel=0.1)
    mistakes = {"--point=loudd": "did you mean 'loud'", "--set=gian=1": "did you mean 'gain'", "--point=": "has 2; name one: loud, soft"}
    for wrong, told in mistakes.items():
        shown = CliRunner().invoke(app, ["encode", "ref/a.wav", "b.scb", *own, wrong])
        assert told in str(shown.exception)


def test_a_candidate_that_is_not_there_or_does_not_fit_is_one_line(folder) -> None:
    with pytest.raises(UserError, match=r"checkpoint 'none\.pt' is no file and no shipped name \(shipped: none\)"):
        default_out(load_suite(folder / "own.yaml"), "my_codec", "none.pt")
    found = attempt(torch.nn.Linear(2, 2).load_state_dict, {"state_dict": {}}, stage="load")
    assert isinstance(found, Failed)
    assert 'loading state_dict for Linear: Missing key(s) in state_dict: "weight", "bias"' in found.reason


def test_a_module_and_an_installed_package_are_codecs(folder) -> None:
    package(folder, "codecs", "six_bits")
    registry = Registry()
    assert "six_bits" in registry.codec_names()
    names = ["six_bits", "my_package.codec"]
    assert {registry.codec_module(name).INFO.title for name in names} == {"SixBits"}
    (folder / "own.yaml").write_text(SUITE.replace("{codec: my_codec.py}", ", ".join(f"{{codec: {name}}}" for name in names)))
    suite = load_suite(folder / "own.yaml")
    assert [entry.label for entry in suite.entries[1:]] == names
    for entry in suite.entries[1:]:
        assert [name for name, _ in codec_identity(entry, registry)[0]] == ["__init__.py", "codec.py", "numbers.py"]


def test_a_module_and_an_installed_package_are_metrics(folder) -> None:
    package(folder, "metrics", "any")
    assert "level_gap" in Registry().metric_infos()
    (folder / "own.yaml").write_text(SUITE.replace("my_metric.py", "my_package.measure"), encoding="utf-8")
    suite = load_suite(folder / "own.yaml")
    assert [(spec.metric, spec.source) for spec in suite.metrics] == [("level_gap", "my_package.measure")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("metrics: [my_metric.py]", "metrics: [my_metric.py, twin.py]"), "twin.py: metric 'level_gap' is the name of a metric of "),
        (("metrics: [my_metric.py]", "metrics: [stoi, stoic.py]"), "stoic.py: metric 'stoi' is the name of a metric of this project"),
        (("metrics: [my_metric.py]", "metrics: [my_metric.py, my_metric.py]"), "metric 'level_gap' comes twice"),
        (("metrics: [my_metric.py]", "metrics: [my_numbers.py]"), "my_numbers.py: holds no metric: a function with the decorator"),
        (
            ("metrics: [my_metric.py]", "metrics: [{metric: my_metric.py, options: {a: b}}]"),
            "level_gap: metric option 'a': the metric has none",
        ),
        (("metrics: [my_metric.py]", "metrics: [{metric: stoi, options: {a: b}}]"), "metrics[0].options: stoi: metric option 'a'"),
        (("metrics: [my_metric.py]", "metrics: [nosuch.py]"), "no file "),
        (("metrics: [my_metric.py]", "metrics: [nosuch.module]"), "nosuch.module: No module named 'nosuch'; install its package"),
        (("codec: my_codec.py", "codec: my_metric.py"), "my_metric.py: a codec needs `INFO`, or a class with the decorator"),
        (("codec: my_codec.py", "codec: nosuch.module"), "No module named 'nosuch'"),
    ],
)
def test_mistakes_are_told_with_the_line_of_the_suite(change, told, folder) -> None:
    (folder / "twin.py").write_text(METRIC, encoding="utf-8")
    (folder / "stoic.py").write_text(METRIC.replace("level_gap", "stoi"), encoding="utf-8")
    (folder / "own.yaml").write_text(SUITE.replace(*change), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_suite(folder / "own.yaml")
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{folder / 'own.yaml'}:{4 if 'codec' in change[0] else 5}: ")


@pytest.mark.parametrize(
    "name", ["a,b", "a\\tb", "a:b", " a", "a ", "x/y", "<b>", "codec", "failures", "bitrate", "encode_rtf", "utterances"]
)
def test_a_metric_whose_name_cannot_be_a_column_is_refused(folder, name) -> None:
    (folder / "my_metric.py").write_text(METRIC.replace("@metric(", f'@metric(name="{name}", '), encoding="utf-8")
    with pytest.raises(UserError, match=r"own.yaml:5: metrics\[0\]: .*my_metric.py: metric '.*'.*; give it another name") as caught:
        load_suite(folder / "own.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_every_column_of_the_table_beside_the_metrics_is_no_name_for_one(folder) -> None:
    frame = session.score(load_suite(folder / "own.yaml"), Options(folder / "run"), toys_console())
    columns = render_csv(summary(frame, metrics_of(read_run(folder / "run")[1]))).splitlines()[0].split(",")
    assert "level_gap" in columns
    for column in {*columns, *frame.columns} - {"level_gap"}:
        (folder / "my_metric.py").write_text(METRIC.replace("@metric(", f'@metric(name="{column}", '), encoding="utf-8")
        with pytest.raises(UserError, match="give it another"):
            load_suite(folder / "own.yaml")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("hop_length=1", "hop_length=0"), "hop_length is a whole number of at least 1, not 0"),
        (("sample_rate=8000", "sample_rate='x'"), "sample_rate is a whole number of at least 1, not 'x'"),
        (("codebook_size=64", "codebook_size=()"), "codebook_size is a whole number of at least 1, not None"),
        (("codebook_size=64", "codebook_size=64.5"), "codebook_size is a whole number of at least 1, not 64.5"),
        (("@codec", "INFO = VERSION = POINTS = point = needs = load = None\n\n\n@codec"), "INFO is no CodecInfo"),
    ],
)
def test_numbers_of_a_codec_that_are_none_are_told_when_it_is_read(change, told, folder) -> None:
    (folder / "my_codec.py").write_text(CODEC.replace(*change), encoding="utf-8")
    with pytest.raises(UserError, match=rf"own.yaml:4: .*my_codec.py.*{re.escape(told)}"):
        load_suite(folder / "own.yaml")


def test_reasons_are_told_letter_by_letter(folder) -> None:
    """Signs that a terminal's library takes for pictures or colours stay what they are."""
    (folder / "my_metric.py").write_text(
        METRIC.replace("return abs", "raise ValueError('a:x: [bold]b[/bold]')\n    return abs"), encoding="utf-8"
    )
    told = CliRunner().invoke(app, ["run", "own.yaml", "--out", "run"])
    assert told.exit_code == 1
    assert "a:x: [bold]b[/bold]" in told.output


@pytest.mark.parametrize("name", ["größe", "snr.2", "my metric", "エラー", "q+"])
def test_a_metric_has_a_name_in_any_script(folder, name) -> None:
    (folder / "my_metric.py").write_text(METRIC.replace("@metric(", f'@metric(name="{name}", '), encoding="utf-8")
    assert session.score(load_suite(folder / "own.yaml"), Options(folder / "run"), toys_console())[name].notna().all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("float('nan')", "gave nan"),
        ("None", "gave None; a metric returns one number"),
        ("'3.5'", "gave '3.5'; a metric"),
        ("np.zeros(2)", "gave ndarray; a metric"),
        ("np.complex64(1j)", "gave complex64; a metric"),
    ],
)
def test_what_a_metric_gives_that_is_no_number_is_a_recorded_failure(folder, given, told) -> None:
    (folder / "my_metric.py").write_text(METRIC.replace("return abs", f"return {given}\n    return abs"), encoding="utf-8")
    frame = session.score(load_suite(folder / "own.yaml"), Options(folder / "run"), toys_console())
    assert frame["level_gap"].isna().all()
    assert all(told in failures for failures in frame["failures"])


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ("['loud']", "points is a mapping"),
        ("{'loud': None}", "points is a mapping"),
        ("{1: {'gain': 1.0}}", "a point's name is a text, not 1"),
        ("{'loud': {'gain': torch.ones(1)}}", "loud: gain is a number or a text, not Tensor"),
        ("{'loud': {'gain': [1.0]}}", "loud: gain is a number or a text, not list"),
    ],
)
def test_points_that_are_none_are_told_with_the_line(folder, points, told) -> None:
    (folder / "my_codec.py").write_text(re.sub("points=.*", f"points={points})", CODEC), encoding="utf-8")
    with pytest.raises(UserError, match=rf"own.yaml:4: codecs\[0\]\.codec: .*my_codec.py:\d+: TypeError: {re.escape(told)}"):
        load_suite(folder / "own.yaml")


def test_names_of_points_hold_signs_that_stand_between_others(folder) -> None:
    """As those of codecs do: the report is made, with the tokens of each."""
    (folder / "my_codec.py").write_text(CODEC.replace('"loud"', '"a@b"').replace('"soft"', '"../c:d"'), encoding="utf-8")
    told = CliRunner().invoke(app, ["run", "own.yaml", "--out", "run"])
    assert told.exit_code == 0, told.output
    assert set(merge([folder / "run"]).tokens) == {"my_codec@a@b", "my_codec@../c:d"}


def own_metric(folder: Path, *lines: str) -> None:
    """my_metric.py with `lines` before what it does."""
    (folder / "my_metric.py").write_text(METRIC.replace("return abs", "\n    ".join([*lines, "return abs"])), encoding="utf-8")


def test_what_a_metric_changes_in_place_is_its_own(folder) -> None:
    own_metric(folder, "reference *= 0.25", "degraded *= 3")
    frames = [
        session.score(load_suite(folder / "own.yaml", [f"metrics={metrics}"]), Options(folder / name), toys_console())
        for name, metrics in (("both", "[my_metric.py, gain_db]"), ("alone", "[gain_db]"))
    ]
    assert frames[0]["gain_db"].tolist() == frames[1]["gain_db"].tolist()
    gaps = frames[0].set_index("point")["level_gap"]
    assert gaps["soft"] - gaps["loud"] == pytest.approx(-6, abs=0.6)  # of both points it heard the reference as it was


def test_what_a_codec_changes_in_place_is_its_own(folder) -> None:
    def scored(name: str, encode: str, decode: str) -> tuple[Any, Any]:
        changed = re.sub(r"(def encode.*\n)", rf"\1        {encode}\n", CODEC)
        changed = re.sub(r"(def decode.*\n).*", rf"\1        made = tokens[0] / 31.5 - 1\n        {decode}\n        return made", changed)
        (folder / "my_codec.py").write_text(changed, encoding="utf-8")
        frame = session.score(load_suite(folder / "own.yaml"), Options(folder / name), toys_console())
        return frame["level_gap"].tolist(), json.loads((folder / name / "points.json").read_text(encoding="utf-8"))

    assert scored("in_place", "audio *= 0.5", "tokens.zero_()") == scored("copies", "audio = audio * 0.5", "pass")


def test_what_a_metric_draws_does_not_depend_on_what_was_scored_before(folder) -> None:
    own_metric(folder, "return np.random.rand()")
    frame = session.score(load_suite(folder / "own.yaml"), Options(folder / "run"), toys_console())
    assert len(frame) > 2
    assert frame["level_gap"].nunique() == 1


def test_messages_that_no_file_or_terminal_takes_are_escaped(folder) -> None:
    own_metric(folder, r"raise ValueError('\udc80 \x1b[31m')")
    frame = session.score(load_suite(folder / "own.yaml"), Options(folder / "run"), toys_console())
    reasons = {reason.partition(" [errors")[0] for each in failures_of(frame) for reason in each.values()}
    assert reasons == {r"ValueError: \udc80 \x1b[31m"}


def test_what_a_metric_prints_is_no_part_of_the_json(folder) -> None:
    own_metric(folder, "print('so far, so good')")
    with (folder / "my_metric.py").open("a", encoding="utf-8") as file:
        file.write("\nprint('imported')\n")
    told = CliRunner().invoke(app, ["run", "own.yaml", "--out", "run", "--json"])
    assert json.loads(told.stdout)["failures"] == []


def test_what_a_module_sets_for_all_is_put_back(folder) -> None:
    """The folder, into which results go, and how everything else computes."""
    before = Path.cwd(), np.geterr(), torch.get_default_dtype()
    meddles = "import os, torch\nos.chdir('/')\nnp.seterr(all='raise')\ntorch.set_default_dtype(torch.float64)\n"
    (folder / "my_metric.py").write_text(METRIC + meddles, encoding="utf-8")
    load_suite(folder / "own.yaml")
    assert (Path.cwd(), np.geterr(), torch.get_default_dtype()) == before


@pytest.mark.parametrize(
    ("method", "given", "told"),
    [
        ("encode", "None", "encode() gave tokens: NoneType, which is no tensor"),
        ("encode", "audio", "encode() gave tokens of torch.float32; they are integers"),
        ("encode", "audio.long() + 64", "token outside 0..63 (my_codec.py:"),
        ("decode", "'abc'", "decode() gave str, which is no tensor"),
        ("decode", "tokens[0].short()", "decode() gave audio of torch.int16; it is floating point, [T] in [-1, 1]"),
        ("decode", "tokens[0][:7] / 64", "decode() gave 7 samples of 8000"),
    ],
)
def test_what_a_codec_gives_that_is_not_asked_for_is_a_recorded_failure(folder, method, given, told) -> None:
    changed = re.sub(rf"(def {method}.*\n)", rf"\1        return {given}\n", CODEC)
    (folder / "my_codec.py").write_text(changed, encoding="utf-8")
    suite = load_suite(folder / "own.yaml", ["metrics=[mel_dac_train]"])
    frame = session.score(suite, Options(folder / "run"), toys_console())
    assert all(told.split(" (")[0] in failures for failures in frame[frame["codec"] == "my_codec"]["failures"])
    assert not any("<string>" in failures for failures in frame["failures"])


def test_a_codec_that_leaves_the_process_is_a_check_that_fails(folder) -> None:
    leaves = "        import sys; sys.exit(0)\n"
    for method in ("__init__", "encode", "decode"):
        (folder / "my_codec.py").write_text(re.sub(rf"(def {method}.*\n)", rf"\1{leaves}", CODEC), encoding="utf-8")
        shown = CliRunner().invoke(app, ["check", "my_codec.py"])
        assert shown.exit_code == 1, shown.output
        assert "SystemExit: 0" in shown.output


def test_a_codec_that_needs_a_checkpoint_asks_for_it(folder) -> None:
    (folder / "my_codec.py").write_text(CODEC.replace("checkpoint=None", "checkpoint"), encoding="utf-8")
    for arguments in (["check", "my_codec.py"], ["encode", "ref/a.wav", "a.scb", "--codec", "my_codec.py", "--point", "loud"]):
        shown = CliRunner().invoke(app, arguments)
        assert isinstance(shown.exception, UserError)
        assert "needs a checkpoint: --checkpoint FILE (in a suite: `checkpoint: FILE`)" in str(shown.exception)
    with pytest.raises(UserError, match=r"own.yaml:4: codecs\[0\]: codec 'my_codec' needs a checkpoint: "):
        load_suite(folder / "own.yaml")
    assert CliRunner().invoke(app, ["list", "points", "my_codec.py"]).exit_code == 0


def test_a_stream_is_decoded_with_the_checkpoint_that_made_it(folder) -> None:
    for name, offset in (("a.pt", 0), ("b.pt", 1)):
        torch.save({"offset": offset}, folder / name)
    own = ["--codec", "my_codec.py", "--checkpoint"]
    assert CliRunner().invoke(app, ["encode", "ref/a.wav", "a.scb", "--point", "loud", *own, "a.pt"]).exit_code == 0
    assert CliRunner().invoke(app, ["decode", "a.scb", "a.wav", *own, "a.pt"]).exit_code == 0
    other = CliRunner().invoke(app, ["decode", "a.scb", "a.wav", *own, "b.pt"])
    assert "a.scb: made with another checkpoint than b.pt: give the one of sha256 " in str(other.exception)


def test_a_dynamic_codec_of_few_lines_sends_its_durations() -> None:
    @codec(sample_rate=8000, hop_length=80, codebook_size=4, max_duration=4)
    class Halves:
        def encode(self, audio):
            frames = -(-len(audio) // 160)
            return torch.zeros(frames, dtype=torch.int32), torch.full((frames,), 2)

        def decode(self, tokens, durations):
            return torch.zeros(int(durations.sum()) * 80)

    module = vars(Halves)["_bench_codec"]
    loaded = module.load(None, torch.device("cpu"))
    encoded = loaded.encode(loaded.analyse(torch.zeros(1000)), module.POINTS["default"])
    assert encoded.streams[0].durations.tolist() == [2] * 7
    assert loaded.decode(encoded).shape == (1000,)
    assert module.INFO.kind == "dynamic"
    with pytest.raises(UserError, match="takes no checkpoint"):
        module.needs("a.pt")


@pytest.mark.parametrize(
    ("encode", "decode", "told"),
    [
        (lambda self, audio: audio, None, "tokens of torch.float32; they are integers"),
        (lambda self, audio: (audio.long(), audio.long()), None, "of any other tokens alone"),
        (lambda self, audio: audio.long(), lambda self, tokens: torch.zeros(3), "decode() gave 3 samples of 1000"),
    ],
)
def test_what_is_wrong_with_a_codec_of_few_lines_is_said(encode, decode, told) -> None:
    made = type("Wrong", (), {"encode": encode, "decode": decode or (lambda self, tokens: tokens[0])})
    module = vars(codec(sample_rate=8000, hop_length=1, codebook_size=4)(made))["_bench_codec"]
    loaded = module.load(None, torch.device("cpu"))
    with pytest.raises((TypeError, ValueError)) as caught:
        loaded.decode(loaded.encode(torch.zeros(1000), module.POINTS["default"]))
    assert told in str(caught.value)


def test_the_modules_of_a_class_are_counted_and_set_to_eval() -> None:
    @codec(sample_rate=8000, hop_length=1, codebook_size=4)
    class Model:
        def __init__(self):
            self.layer = torch.nn.Linear(3, 4)

        def encode(self, audio): ...

        def decode(self, tokens): ...

    loaded = vars(Model)["_bench_codec"].load(None, torch.device("cpu"))
    assert loaded.parameters == 16
    assert not loaded._codec.layer.training


def test_a_decorated_function_is_still_a_function() -> None:
    @metric(higher_is_better=True)
    def likeness(reference, degraded, sample_rate):
        return 1.0

    assert likeness(0, 0, 0) == 1


def test_a_file_in_a_clone_takes_this_package_for_no_sibling(folder) -> None:
    (folder / "bench").symlink_to(Path(sys.modules["bench"].__path__[0]))
    assert [path.name for path in sources_of(folder / "my_codec.py")] == ["my_codec.py", "my_numbers.py"]
    before = sys.modules["bench.codec"]
    Registry().codec_module(str(folder / "my_codec.py"))
    assert sys.modules["bench.codec"] is before


def test_sources_stop_at_libraries(tmp_path) -> None:
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    (libraries / "single.py").write_text("import heavy\n", encoding="utf-8")
    (libraries / "heavy.py").touch()
    assert sources_of(libraries / "single.py") == [libraries / "single.py"]
