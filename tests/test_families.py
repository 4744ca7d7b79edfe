"""Families of a suite and systems of recordings: what is one curve, and what is a codec of its own."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from bench.analysis.equal_bits import equal_bits
from bench.errors import UserError
from bench.run import session
from bench.run.session import Options
from bench.run.store import read_run
from bench.suite import load_suite
from tests import toys

ROOT = Path(__file__).resolve().parent.parent
SUITE = """
name: toy
datasets: [{manifest: manifest.jsonl}]
codecs:
  - {codec: toy, name: coarse, family: fixed, points: [16levels]}
  - {codec: toy, name: fine, family: fixed, points: [256levels]}
  - {codec: toy, name: alone, points: [16levels]}
metrics: [distance]
"""


@pytest.fixture
def serial(monkeypatch: pytest.MonkeyPatch) -> None:
    toys.run_in_this_process(monkeypatch)


def run(folder: Path, text: str, out: str = "results/toy"):
    (folder / "toy.yaml").write_text(text, encoding="utf-8")
    return session.score(load_suite(folder / "toy.yaml"), Options(folder / out), Console(quiet=True))


def test_a_family_is_kept_in_the_records_and_in_run_json(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    toys.corpus(tmp_path)
    frame = run(tmp_path, SUITE)
    assert dict(zip(frame.codec, frame.family, strict=True)) == {"reference": "", "coarse": "fixed", "fine": "fixed", "alone": ""}
    _, about = read_run(tmp_path / "results/toy")
    assert {label: facts["family"] for label, facts in about["codecs"].items() if facts["family"]} == {"coarse": "fixed", "fine": "fixed"}
    again = run(tmp_path, SUITE.replace("family: fixed", "family: other"))
    assert set(again.family) == {"", "other"}  # known scores, under the names of this suite


@pytest.mark.parametrize("name", ["low_rate", "tiny_family", "papers/codecslime_main", "papers/codecslime_rates"])
def test_fixed_codecs_of_our_suites_are_of_a_family(name: str) -> None:
    codecs = yaml.safe_load((ROOT / f"suites/{name}.yaml").read_text(encoding="utf-8"))["codecs"]
    fixed = [entry for entry in codecs if entry["codec"] == "fixed"]
    assert len(fixed) > 1
    assert all(entry.get("family", "").startswith("fixed") for entry in fixed)


MANIFEST = [
    {"system": "Slow", "kind": "dynamic", "variant": "8hz", "frame_rate_hz": 8.3, "bitrate_kbps": 0.6, "n_q": 1},
    {"system": "Twin", "kind": "fixed", "family": "fixed", "variant": "8hz", "frame_rate_hz": 8.3, "bitrate_kbps": 0.6, "n_q": 1},
    {"system": "Twin", "kind": "fixed", "family": "fixed", "variant": "12hz", "frame_rate_hz": 12.5, "bitrate_kbps": 0.9, "n_q": 1},
]
RECORDED = """
name: toy
datasets: [{manifest: manifest.jsonl}]
codecs: [{codec: recordings, manifest: made.jsonl}]
metrics: [distance]
"""


def recorded(folder: Path, rows: list[dict]) -> None:
    """made.jsonl: of each of `rows` a recording of every utterance, which is the utterance itself."""
    toys.corpus(folder)
    lines = [{"id": f"u{number}", "path": f"u{number}.wav", **row} for row in rows for number in range(4)]
    (folder / "made.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_a_system_of_recordings_is_a_codec_of_its_own_with_its_kind_and_family(tmp_path, monkeypatch, serial) -> None:
    metric = toys.metric_module(toys.ToyMetric())
    toys.install(monkeypatch, {}, [metric])
    recorded(tmp_path, MANIFEST)
    frame = run(tmp_path, RECORDED)
    made = frame[frame.codec != "reference"].drop_duplicates(["codec", "point"])
    assert set(zip(made.codec, made.point, made.kind, made.family, strict=True)) == {
        ("Slow", "8hz", "dynamic", ""),
        ("Twin", "8hz", "fixed", "fixed"),
        ("Twin", "12hz", "fixed", "fixed"),
    }
    assert (frame.groupby(["codec", "point"]).size() == 4).all()
    assert (frame["stream_file"] == "").all()
    _, about = read_run(tmp_path / "results/toy")
    told = {label: (facts["kind"], facts["family"], facts["title"]) for label, facts in about["codecs"].items()}
    assert {label: facts for label, facts in told.items() if label != "reference"} == {
        "Slow": ("dynamic", "", "Slow"),
        "Twin": ("fixed", "fixed", "Twin"),
    }
    findings = equal_bits(frame, {"distance": toys.info("distance")}).findings
    assert {(each.codec, each.how, each.points) for each in findings} == {("Slow", "twin", (("Twin", "8hz"),))}


def test_recordings_without_a_system_keep_the_name_of_the_entry(tmp_path, monkeypatch) -> None:
    toys.install(monkeypatch, {}, [toys.metric_module(toys.ToyMetric())])
    recorded(tmp_path, [{"variant": "v"}])
    (tmp_path / "toy.yaml").write_text(RECORDED, encoding="utf-8")
    assert [(entry.label, entry.kind) for entry in load_suite(tmp_path / "toy.yaml").entries[1:]] == [("recordings", "recordings")]
    (tmp_path / "toy.yaml").write_text(RECORDED.replace("made.jsonl", "made.jsonl, name: theirs, family: fixed"), encoding="utf-8")
    (entry,) = load_suite(tmp_path / "toy.yaml").entries[1:]
    assert (entry.label, entry.family) == ("theirs", "fixed")


@pytest.mark.parametrize(
    ("rows", "entry", "told"),
    [
        ([{"variant": "v", "system": "A", "kind": "dynamical"}], "", "made.jsonl:1: kind 'dynamical' unknown; did you mean 'dynamic'?"),
        ([{"variant": "v", "system": 3}], "", "made.jsonl:1: key 'system' is no text: 3"),
        ([{"variant": "v", "system": "A"}, {"variant": "w"}], "", "key 'system': some lines name one (A), others name none"),
        ([{"variant": "v", "system": "A"}, {"variant": "w", "system": "A", "kind": "fixed"}], "", "made.jsonl:5: key 'kind'"),
        ([{"variant": "v", "system": "A"}, {"variant": "v", "system": "A"}], "", "made.jsonl:5: 'u0' comes twice in variant 'v'"),
        ([{"variant": "v", "system": "A"}, {"variant": "v", "system": "B"}], ", name: C", "codecs[0].name: the manifest names 2 systems"),
        ([{"variant": "v"}], ", points: [w]", "codecs[0].points[0]: point of the recordings 'w' unknown"),
        ([{"variant": "v"}], ", sweep: {n_q: [1]}", "codecs[0].sweep: recordings have none"),
        ([{"variant": "v", "system": "A"}], ", family: reference", "codecs[0].family: 'reference' is the name of a codec"),
    ],
)
def test_a_mistake_in_systems_is_named_with_its_place(tmp_path, monkeypatch, rows, entry, told) -> None:
    toys.install(monkeypatch, {}, [toys.metric_module(toys.ToyMetric())])
    recorded(tmp_path, rows)
    (tmp_path / "toy.yaml").write_text(RECORDED.replace("made.jsonl", "made.jsonl" + entry), encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(told)):
        load_suite(tmp_path / "toy.yaml")


def test_a_codec_states_the_frame_rate_that_its_checkpoint_has(tmp_path, monkeypatch, serial) -> None:
    class Rescaled(toys.ToyCodec):
        def at_own_rate(self, point):
            return replace(point, frame_rate=4000.0)

    toys.install(monkeypatch, {"toy": toys.codec_module(Rescaled())}, [toys.metric_module(toys.ToyMetric())])
    toys.corpus(tmp_path)
    run(tmp_path, SUITE)
    _, about = read_run(tmp_path / "results/toy")
    assert about["codecs"]["alone"]["points"]["16levels"]["frame_rate"] == 4000.0
