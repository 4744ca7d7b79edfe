"""Baselines that are kept, and candidates that are judged against them or refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from rich.console import Console

from bench.cli import main
from bench.codecs.nn.spectral import SpectralCodec
from bench.errors import UserError
from bench.files import write_json
from bench.regress import baseline
from bench.regress.baseline import check_comparable, kept, read_baseline, save_baseline
from bench.regress.candidate import check_loads, judge, with_checkpoint
from bench.run.session import Options, open_datasets, score
from bench.run.store import read_run
from bench.suite import Suite, load_suite
from tests import toys
from tests.damage import DAMAGE
from tests.runs import METRICS, run_info, synthetic_records, write_run
from tests.toy_checkpoints import SUITE, install, write_checkpoint, write_suite


@pytest.fixture
def metric(monkeypatch: pytest.MonkeyPatch) -> toys.ToyMetric:
    metric = toys.ToyMetric()
    install(monkeypatch, metric)
    return metric


def run(suite: Suite, out: Path) -> Path:
    score(suite, Options(out), Console(quiet=True))
    return out


@pytest.fixture
def toy_run(tmp_path: Path, metric: toys.ToyMetric) -> Path:
    return run(write_suite(tmp_path), tmp_path / "results" / "toy")


def fingerprint(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() + str(file.stat().st_mtime_ns) for file in files}


# --- kept -----------------------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_what_a_comparison_reads(toy_run: Path, tmp_path: Path) -> None:
    path = save_baseline(toy_run, "toy", folder=tmp_path / "baselines")
    from_file, from_run = read_baseline(str(path)), read_baseline(str(toy_run))
    pd.testing.assert_frame_equal(from_file.records, from_run.records.drop(columns="audio_file"), check_dtype=False)
    assert from_file.about == from_run.about
    records, _ = read_run(toy_run)
    rows = records[records["codec"] == "noisy"].reset_index(drop=True)
    np.testing.assert_allclose(from_file.records["distance"], rows["distance"], rtol=1e-5)
    assert set(from_file.records["codec"]) == {"noisy"}
    assert all(Path(name).is_file() for name in from_run.records["audio_file"])
    assert read_baseline("toy", tmp_path / "baselines").source == path


def test_a_thousand_utterances_stay_under_a_megabyte(tmp_path: Path) -> None:
    points = {f"{hz}hz": (float(hz), 1) for hz in (40, 50, 67, 80)}
    codecs = {"reference": ("ceiling", {"original": (0.0, 0)}), "slime": ("dynamic", points)}
    records = synthetic_records(1000, 60, codecs)
    folder = write_run(tmp_path / "run", records, run_info(codecs))
    path = save_baseline(folder, "big", folder=tmp_path)
    assert len(read_baseline(str(path)).records) == 4000
    assert path.stat().st_size < 1_000_000


def test_a_baseline_can_be_of_some_codecs(toy_run: Path, tmp_path: Path) -> None:
    assert set(read_baseline(str(save_baseline(toy_run, "a", ["noisy"], tmp_path))).about["codecs"]) == {"noisy"}
    with pytest.raises(UserError, match="codec 'nosiy' unknown; did you mean 'noisy'"):
        save_baseline(toy_run, "a", ["nosiy"], tmp_path)


@pytest.mark.parametrize("name", ["../a", "a/b", ".hidden", "", "\ud800", "x" * 300])
def test_a_baselines_name_is_no_path(name: str, toy_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a name without folders"):
        save_baseline(toy_run, name, folder=tmp_path)


def test_what_is_no_baseline_is_refused(toy_run: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    save_baseline(toy_run, "tiny", folder=tmp_path / "baselines")
    unchecked = "damaged: it holds no checksum, or is of an older version; make a baseline with: bench baseline save"
    for source, told in {
        "torn.parquet": f"torn.parquet: {unchecked}",
        "other.parquet": f"other.parquet: {unchecked}",
        "tinny": "did you mean 'tiny'",
        ".": "no finished run",
    }.items():
        with pytest.raises(UserError, match=told):
            read_baseline(str(tmp_path / source) if source != "tinny" else source, tmp_path / "baselines")
    _, about = read_run(toy_run)
    del about["finished"]
    write_json(toy_run / "run.json", about)
    with pytest.raises(UserError, match="interrupted"):
        save_baseline(toy_run, "toy", folder=tmp_path)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_baseline_is_one_line_with_its_name(damage, toy_run: Path, tmp_path: Path) -> None:
    path = save_baseline(toy_run, "tiny", folder=tmp_path / "baselines")
    content = path.read_bytes()
    damage(path)
    with pytest.raises(UserError, match=r"tiny\.parquet: (damaged|no finished run)") as told:
        read_baseline(str(path))
    assert "\n" not in str(told.value)
    if path.is_file():
        path.write_bytes(content)
        assert read_baseline(str(path))
        flipped = bytearray(content)
        flipped[len(content) // 3] ^= 8
        path.write_bytes(flipped)
        with pytest.raises(UserError, match="its checksum does not fit"):
            read_baseline(str(path))


def test_precision_is_kept_and_two_sides_lose_the_same() -> None:
    records = synthetic_records(50, 10)
    once = kept(records.assign(reference_key=""), list(METRICS))
    pd.testing.assert_frame_equal(once, kept(once, list(METRICS)))
    np.testing.assert_allclose(once["pesq_wb"], records["pesq_wb"], rtol=2**-17)
    assert once["wer_pocketsphinx:errors"].equals(records["wer_pocketsphinx:errors"])
    assert (once["stoi"].dropna() == once["stoi"].dropna().astype(np.float32)).all()


# --- refused --------------------------------------------------------------------------------------------------------------------


def other_audio(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, rate = soundfile.read(folder / "u3.wav")
    soundfile.write(folder / "u3.wav", samples * 0.5, rate, subtype="FLOAT")


def other_resampler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline.audio, "RESAMPLER", "linear")


def other_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, toys.ToyMetric(), version=2)


def one_more_utterance(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, rate = soundfile.read(folder / "u3.wav")
    soundfile.write(folder / "u12.wav", samples, rate, subtype="FLOAT")
    with (folder / "manifest.jsonl").open("a") as file:
        file.write('{"id": "u12", "path": "u12.wav"}\n')


def nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None: ...


@pytest.mark.parametrize(
    ("change", "text", "told"),
    [
        (nothing, ("name: toy", "name: toys"), ["suite: 'toy' in the baseline, 'toys' here"]),
        (nothing, ("codec: noisy", "codec: noisy, name: loud"), ["codec 'loud' unknown; known: noisy, reference in the baseline"]),
        (other_version, None, ["metric 'distance': version 1 in the baseline, 2 here"]),
        (nothing, ("distance}", "distance, options: {tone: high}}"), ["metric 'distance': options {} in the baseline, {'tone': 'high'}"]),
        (nothing, ("manifest: manifest.jsonl", "manifest: manifest.jsonl, name: set"), ["data set 'set': not in the baseline"]),
        (
            one_more_utterance,
            None,
            ["in the baseline, sha256:", "1 utterances are not in the baseline (first: u12)"],
        ),
        (other_audio, None, ["1 utterances have other audio, text or language (first: u3)"]),
        (other_resampler, None, ["resampler: soxr", "in the baseline, linear here"]),
    ],
    ids=["suite", "codec", "metric version", "metric options", "data set", "revision and utterances", "audio", "resampler"],
)
def test_what_differs_is_refused_and_named(change, text, told, tmp_path, metric, monkeypatch) -> None:
    written = SUITE.replace("[distance]", "[{metric: distance}]")
    known = read_baseline(str(run(write_suite(tmp_path, written), tmp_path / "results" / "toy")))
    change(tmp_path, monkeypatch)
    suite = write_suite(tmp_path, written.replace(*text) if text else written)
    with pytest.raises(UserError) as caught:
        check_comparable(known, suite, suite.entries[-1].label, open_datasets(suite))
    for part in told:
        assert part in str(caught.value)
    assert "bench baseline save RUN NAME" in str(caught.value)


def test_a_point_that_the_baseline_lacks_is_refused(tmp_path, metric) -> None:
    known = read_baseline(str(run(write_suite(tmp_path, SUITE.replace("16levels, 256levels", "16levels")), tmp_path / "results" / "toy")))
    suite = write_suite(tmp_path)
    with pytest.raises(UserError, match="point '256levels' is not in the baseline, which has 16levels"):
        check_comparable(known, suite, "noisy", open_datasets(suite))


def test_less_than_the_baseline_has_is_no_difference(tmp_path, metric) -> None:
    known = read_baseline(str(run(write_suite(tmp_path), tmp_path / "results" / "toy")))
    text = SUITE.replace("manifest.jsonl", "manifest.jsonl, limit: 5").replace("16levels, 256levels", "16levels")
    suite = write_suite(tmp_path, text + "seed: 3\n")
    check_comparable(known, suite, "noisy", open_datasets(suite))


# --- judged ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["folder", "file"])
def test_the_same_checkpoint_passes_a_noisier_one_does_not_and_the_baseline_is_left_alone(form, toy_run, tmp_path) -> None:
    suite = load_suite(tmp_path / "toy.yaml")
    source = toy_run if form == "folder" else save_baseline(toy_run, "toy", folder=tmp_path)
    before = fingerprint(source)
    same = judge(suite, str(source), "noisy", str(tmp_path / "good.json"), Options(tmp_path / "out" / "same"))
    assert same.passed(strict=True)
    assert all(check.change == 0 for check in same.checks if not check.metric.endswith("_rtf"))
    bad = write_checkpoint(tmp_path / "bad.json", 0.02)
    worse = judge(suite, str(source), "noisy", str(bad), Options(tmp_path / "out" / "worse"))
    assert {(check.point, check.metric) for check in worse.having("worse")} == {("16levels", "distance"), ("256levels", "distance")}
    assert len(worse.worst) == 10
    for each in worse.worst:
        assert Path(each.reference_audio) == tmp_path / f"{each.utterance}.wav"
        assert Path(each.candidate_audio).is_file()
        assert bool(each.baseline_audio) == (form == "folder")
    assert fingerprint(source) == before


def test_the_reference_is_not_scored_again_nor_the_baseline(toy_run, tmp_path, metric) -> None:
    metric.scored = 0
    bad = write_checkpoint(tmp_path / "bad.json", 0.02)
    judge(load_suite(tmp_path / "toy.yaml"), str(toy_run), "noisy", str(bad), Options(tmp_path / "out" / "bad"))
    assert metric.scored == 12 * 2
    assert set(read_run(tmp_path / "out" / "bad")[0]["codec"]) == {"noisy"}


def test_an_interrupted_regress_goes_on_where_it_was(toy_run, tmp_path, metric, monkeypatch) -> None:
    suite, options = load_suite(tmp_path / "toy.yaml"), Options(tmp_path / "out" / "bad")
    bad = write_checkpoint(tmp_path / "bad.json", 0.02)
    scored_whole = toys.ToyMetric.score

    def interrupted(self, prepared, degraded):
        if self.scored == 17:
            signal.raise_signal(signal.SIGINT)
        return scored_whole(self, prepared, degraded)

    metric.scored = 0
    with monkeypatch.context() as patch:
        patch.setattr(toys.ToyMetric, "score", interrupted)
        with pytest.raises(KeyboardInterrupt):
            judge(suite, str(toy_run), "noisy", str(bad), options)
    assert metric.scored == 17
    resumed = judge(suite, str(toy_run), "noisy", str(bad), options)
    assert metric.scored == 24 + 1  # one utterance was under way
    undisturbed = judge(suite, str(toy_run), "noisy", str(bad), Options(tmp_path / "elsewhere" / "bad"))
    told = [[(check.point, check.metric, check.candidate, check.verdict) for check in result.checks] for result in (resumed, undisturbed)]
    quality = [[each for each in checks if not each[1].endswith("_rtf")] for checks in told]
    assert quality[0] == quality[1]


def test_speed_is_not_judged_on_another_machine(toy_run, tmp_path) -> None:
    _, about = read_run(toy_run)
    about["machine"]["processor"] = "abacus"
    about["versions"]["numpy"] = "0.1"
    write_json(toy_run / "run.json", about)
    suite = load_suite(tmp_path / "toy.yaml")
    result = judge(suite, str(toy_run), "noisy", str(tmp_path / "good.json"), Options(tmp_path / "out" / "same"))
    assert {check.metric for check in result.checks} == {"distance", "bitrate", "frame_rate"}
    assert any("speed is not compared: the baseline ran on abacus" in note for note in result.notes)
    assert any("numpy 0.1 (here" in note for note in result.notes)


def test_mistakes_are_told_before_anything_is_scored(toy_run, tmp_path, metric) -> None:
    suite, good = load_suite(tmp_path / "toy.yaml"), str(tmp_path / "good.json")
    metric.scored = 0
    for arguments, told in {
        (str(toy_run), "nosiy", good, toy_run / "x"): "did you mean 'noisy'",
        (str(toy_run), "noisy", "gone.json", toy_run / "x"): "'gone.json' is no file",
        (str(toy_run), "noisy", good, toy_run): "the baseline's own folder",
        ("nowhere", "noisy", good, toy_run / "x"): "baseline 'nowhere' unknown",
        (str(toy_run), "noisy", str(tmp_path / "toy.yaml"), toy_run / "x"): "codec 'noisy' refuses it: not a checkpoint",
    }.items():
        source, label, checkpoint, out = arguments
        with pytest.raises(UserError, match=told):
            judge(suite, source, label, checkpoint, Options(out))
    assert metric.scored == 0


# --- checkpoints of a real codec that must not load --------------------------------------------------------------------------------

CONFIG = {
    "family": "spectral",
    "width": 16,
    "hidden": 16,
    "encoder_blocks": 1,
    "decoder_blocks": 1,
    "latent_dim": 8,
    "n_fft": 800,
    "hop_length": 200,
    "stride": 1,
    "levels": [5, 5, 3],
}


class RunsCode:
    """Unpickled, it creates the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def checkpoints(tmp_path: Path) -> dict[str, Path]:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    tensors = SpectralCodec(CONFIG).state_dict()
    metadata = {"config": json.dumps(CONFIG), "sample_rate": "16000"}

    def written(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    def saved(name: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None) -> Path:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / name, metadata)
        return tmp_path / name

    good = saved("good.safetensors", tensors, metadata)
    torch.save({"state_dict": RunsCode(tmp_path / "code_has_run")}, tmp_path / "zip.safetensors")
    return {
        "good": good,
        "corrupt": written("corrupt.safetensors", bytes(range(256)) * 40),
        "empty": written("empty.safetensors", b""),
        "truncated": written("truncated.safetensors", good.read_bytes()[: good.stat().st_size // 2]),
        "pickle": written("pickle.ckpt", pickle.dumps(RunsCode(tmp_path / "code_has_run"))),
        "zipped pickle": tmp_path / "zip.safetensors",
        "other model": saved("other.safetensors", {"weight": torch.zeros(3)}, None),
        "other width": saved("width.safetensors", SpectralCodec({**CONFIG, "width": 24}).state_dict(), metadata),
        "half a configuration": saved("half.safetensors", tensors, {**metadata, "config": '{"family": "spectral"}'}),
        "no configuration": saved("json.safetensors", tensors, {**metadata, "config": "{"}),
    }


REFUSALS = {
    "corrupt": "not a readable safetensors file",
    "empty": "not a readable safetensors file",
    "truncated": "not a readable safetensors file",
    "pickle": "it looks like a pickle",
    "zipped pickle": "it looks like a pickle",
    "other model": "its metadata is not that of a fixed-rate model",
    "other width": "does not fit SpectralCodec",
    "half a configuration": "hop_length",
    "no configuration": "config in the metadata",
}


def real_suite(folder: Path) -> Suite:
    text = "name: real\ndatasets: [{name: bundled, limit: 2}]\ncodecs: [{codec: fixed, points: [80hz]}]\nmetrics: [stoi]\n"
    (folder / "real.yaml").write_text(text, encoding="utf-8")
    return load_suite(folder / "real.yaml")


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_checkpoint_that_does_not_load_is_refused_in_one_line(kind, checkpoints, tmp_path, monkeypatch) -> None:
    toys.run_in_this_process(monkeypatch)
    suite = real_suite(tmp_path)
    check_loads(with_checkpoint(suite, "fixed", str(checkpoints["good"])), "cpu")
    with pytest.raises(UserError, match=REFUSALS[kind]) as caught:
        check_loads(with_checkpoint(suite, "fixed", str(checkpoints[kind])), "cpu")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(checkpoints[kind]))
    assert not (tmp_path / "code_has_run").exists()


def test_a_codec_without_weights_takes_no_checkpoint(tmp_path, monkeypatch) -> None:
    toys.run_in_this_process(monkeypatch)
    (tmp_path / "opus.yaml").write_text("name: o\ndatasets: [bundled]\ncodecs: [{codec: opus}]\nmetrics: [stoi]\n")
    with pytest.raises(UserError, match="codec 'opus' has no weights"):
        check_loads(with_checkpoint(load_suite(tmp_path / "opus.yaml"), "opus", str(tmp_path / "opus.yaml")), "cpu")


def test_a_process_of_its_own_tries_the_checkpoint(checkpoints, tmp_path) -> None:
    with pytest.raises(UserError, match="it looks like a pickle"):
        check_loads(with_checkpoint(real_suite(tmp_path), "fixed", str(checkpoints["pickle"])), "cpu")
    assert not (tmp_path / "code_has_run").exists()


def test_the_command_answers_with_its_exit_code_and_files(checkpoints, tmp_path, monkeypatch, capsys) -> None:
    real_suite(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    toys.run_in_this_process(monkeypatch)

    def bench(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    assert bench("run", "real.yaml", "--set", f"codecs.0.checkpoint={checkpoints['good']}")[0] == 0
    code, out, _ = bench("baseline", "save", "results/real", "real")
    assert (code, out.strip()) == (0, "results/baselines/real.parquet")
    regress = ("regress", "real.yaml", "--baseline", "real", "--codec", "fixed", "--out", "out", "--checkpoint")
    code, out, _ = bench(*regress, str(checkpoints["good"]))
    assert code == 0
    assert "fixed: not worse" in out
    assert json.loads((tmp_path / "out" / "regress.json").read_text())["passed"] is True
    assert (tmp_path / "out" / "junit.xml").is_file()
    assert (tmp_path / "step.md").read_text() == (tmp_path / "out" / "summary.md").read_text()
    assert bench(*regress, str(checkpoints["good"]), "--set", "regress.margins={bitrate: 2%}", "--strict")[0] == 0
    code, _, err = bench(*regress, str(checkpoints["pickle"]))
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "it looks like a pickle" in err
