"""Families of a suite and systems of recordings: what is one curve, and what is a codec of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from rich.console import Console

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
    monkeypatch.setattr(session, "open_engine", lambda name, jobs: toys.SerialEngine())


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
