"""Verdicts on simulated models whose truth is known, and on the tiny models with known damage."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import typer
import yaml
from rich.console import Console
from scipy import stats as scipy_stats

from bench.analysis import stats
from bench.analysis import verdicts as regress
from bench.analysis.verdicts import Regression, margin
from bench.checkpoint import find
from bench.cli import app
from bench.record import MetricInfo
from bench.registry import metric_infos
from bench.regress import candidate
from bench.report.verdicts import headline, render_json, render_junit, render_markdown, render_terminal
from bench.run import session
from bench.run.session import Options
from bench.run.store import read_run
from bench.suite import SPENT, load_suite
from tests import toys

ROOT = Path(__file__).resolve().parent.parent
METRICS = {
    info.name: info
    for info in (
        MetricInfo("mel_dac_train", "", 1, 24000, False, "", ""),
        MetricInfo("pesq_wb", "MOS", 1, 16000, True, "", ""),
        MetricInfo("wer_x", "%", 1, 16000, False, "", "", corpus_ratio=True),
    )
}
FRAME_RATES = (80.0, 40.0)  # of the points that the simulated codec has


def model(
    seed: int,
    *,
    corpus: int = 0,
    n: int = 60,
    speakers: int = 15,
    noise: float = 0.1,
    mel: float = 1.0,
    pesq: float = 0.0,
    bits: float = 1.0,
    frame_rates: Sequence[float] = FRAME_RATES,
) -> pd.DataFrame:
    """Records of a simulated codec on n utterances: the same `corpus` has the same difficulties; every `seed` is another, equal model.

    noise      standard deviation of what a model adds to an utterance, relative to mel's 1
    mel, bits  factors; pesq: MOS added; more frames give better scores
    """
    data = np.random.default_rng([corpus, 1])
    speaker = np.arange(n) % speakers
    hard = data.normal(0, 0.3, speakers)[speaker] + data.normal(0, 0.3, n)
    duration_s, words = data.uniform(1.5, 8.0, n), data.integers(4, 30, n)
    rng = np.random.default_rng([corpus, 2, seed])
    points = []
    for frame_rate in frame_rates:
        level = np.log2(frame_rate * bits / 80)
        own = rng.normal(0, noise / 2, speakers)[speaker]  # how this model treats a speaker
        frames = np.round(duration_s * frame_rate * bits)
        errors = rng.binomial(words, np.clip(0.2 + 0.1 * hard - 0.05 * level, 0.01, 0.9))
        points.append(
            pd.DataFrame(
                {
                    "codec": "slime",
                    "point": f"{frame_rate:g}hz",
                    "dataset": "set",
                    "utterance": [f"u{i}" for i in range(n)],
                    "speaker": [f"s{i}" for i in speaker],
                    "duration_s": duration_s,
                    "frame_rate": frames / duration_s,
                    "bitrate": 13 * frames / duration_s,
                    "encode_s": 0.1 * duration_s,
                    "decode_s": 0.1 * duration_s,
                    "failures": "{}",
                    "mel_dac_train": mel * (np.exp(0.3 * hard - 0.2 * level) + own + noise * rng.standard_normal(n)),
                    "pesq_wb": np.clip(2 + pesq + 0.4 * level - hard + 2 * own + 2 * noise * rng.standard_normal(n), 1, 4.64),
                    "wer_x": 100 * errors / words,
                    "wer_x:errors": errors,
                    "wer_x:words": words,
                }
            )
        )
    return pd.concat(points, ignore_index=True)


def judged(baseline: pd.DataFrame, changed: pd.DataFrame, **options) -> Regression:
    return regress.regress(baseline, changed, METRICS, **options)


def named(result: Regression, verdict: regress.Verdict) -> set[tuple[str, str]]:
    return {(check.point, check.metric) for check in result.having(verdict)}


# --- truth known ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 60], ids=["too few to test", "enough"])
def test_a_model_against_itself_passes_whatever_the_seed(n: int) -> None:
    records = model(1, n=n)
    for seed in range(20):
        result = judged(records, records.sample(frac=1, random_state=seed), seed=seed)
        assert result.passed(strict=True)
        assert {check.verdict for check in result.checks} == {"same"}
        assert all(check.change == 0 for check in result.checks)


@pytest.mark.parametrize(
    ("n", "speakers", "times"),
    [
        (30, 14, 60),
        (60, 3, 60),
        *(pytest.param(n, speakers, 400, marks=pytest.mark.slow) for n, speakers in ((60, 3), (50, 5), (90, 9), (28, 14), (400, 40))),
    ],
)
def test_equal_models_are_called_worse_or_improved_in_no_more_than_five_of_a_hundred(n: int, speakers: int, times: int) -> None:
    # fresh utterances each time, and so noisy that the margin is often exceeded by chance: the test alone keeps the alarms down
    results = [
        judged(model(1, corpus=corpus, n=n, speakers=speakers), model(2, corpus=corpus, n=n, speakers=speakers)) for corpus in range(times)
    ]
    for word in ("worse", "improved"):
        assert sum(bool(result.having(word)) for result in results) <= scipy_stats.binom.ppf(0.99, times, 0.05)


def test_one_speaker_decides_nothing_however_many_utterances_there_are() -> None:
    result = judged(model(1, n=200, speakers=1), model(2, n=200, speakers=1, mel=1.5, noise=0.01))
    assert not result.having("worse")
    assert not result.having("improved")
    assert {check.metric for check in result.having("undecided")} >= set(METRICS)


def test_the_noise_of_that_simulation_does_exceed_the_margins() -> None:
    results = [judged(model(1, corpus=corpus, n=30), model(2, corpus=corpus, n=30)) for corpus in range(10)]
    losses = [check.change > check.margin for result in results for check in result.checks if check.metric == "wer_x"]
    assert np.mean(losses) > 0.2


@pytest.mark.parametrize("seed", range(8))
def test_five_percent_worse_in_mel_only_is_caught_by_name(seed: int) -> None:
    baseline = model(1, corpus=seed, noise=0.02)
    changed = baseline.assign(mel_dac_train=model(2, corpus=seed, noise=0.02, mel=1.05)["mel_dac_train"])
    result = judged(baseline, changed, seed=seed)
    assert named(result, "worse") == {("80hz", "mel_dac_train"), ("40hz", "mel_dac_train")}
    assert not result.passed()
    assert {each.metric for each in result.worst} == {"mel_dac_train"}


def test_a_loss_within_the_margin_is_the_same_and_a_gain_is_told() -> None:
    baseline, changed = model(1, n=600, speakers=200, noise=0.02), model(2, n=600, speakers=200, noise=0.02, mel=1.01, pesq=0.1)
    result = judged(baseline, changed)
    assert named(result, "improved") >= {("80hz", "pesq_wb"), ("40hz", "pesq_wb")}
    assert named(result, "same") >= {("80hz", "mel_dac_train"), ("40hz", "mel_dac_train")}
    assert all(check.change > 0 for check in result.checks if check.metric == "mel_dac_train")
    strict_suite = judged(baseline, changed, margins={"mel_dac_train": "0.1%"})
    assert named(strict_suite, "worse") == {("80hz", "mel_dac_train"), ("40hz", "mel_dac_train")}


@pytest.mark.parametrize("mel", [0.95, 1.04], ids=["not worse", "worse"])
def test_the_n_of_an_undecided_check_decides_it(mel: float) -> None:
    small = partial(model, n=40, speakers=40, noise=0.15, frame_rates=(80.0,))
    baseline, changed = small(1), small(2, mel=mel)
    rng = np.random.default_rng(5)

    def check(draw: np.ndarray) -> regress.Check:
        """Of as many utterances as are drawn from the 40, each with a speaker of its own."""
        names = {"utterance": [f"u{i}" for i in range(len(draw))], "speaker": [f"s{i}" for i in range(len(draw))]}
        before, after = (rows.iloc[draw].assign(**names) for rows in (baseline, changed))
        return regress.regress(before, after, {"mel_dac_train": METRICS["mel_dac_train"]}, speed=False).checks[0]

    def decided(n: int) -> float:
        """Share of verdicts on n fresh utterances of the very population that was estimated."""
        return float(np.mean([check(rng.integers(0, 40, n)).verdict != "undecided" for _ in range(40)]))

    found = check(np.arange(40))
    assert found.verdict == "undecided"
    assert found.needed is not None
    assert decided(found.needed) >= 0.7  # POWER is 0.8
    assert decided(found.needed // 4) < 0.7


# --- the parts ------------------------------------------------------------------------------------------------------------------


def test_p_values_are_those_of_students_test() -> None:
    differences = np.random.default_rng(3).normal(-0.1, 1.0, (20, 1))
    (test,) = regress._tests(stats.ClusterSums(differences, np.ones_like(differences)), np.array([0.3]), 0.05)
    for p, mean, alternative in ((test.p_within, -0.3, "greater"), (test.p_gain, 0.0, "greater"), (test.p_loss, 0.0, "less")):
        assert p == pytest.approx(scipy_stats.ttest_1samp(differences[:, 0], mean, alternative=alternative).pvalue)


def test_so_many_checks_that_holm_asks_for_a_tiny_p_can_still_be_decided() -> None:
    differences = np.random.default_rng(3).normal(1.0, 1.0, (100, 300))
    tests = regress._tests(stats.ClusterSums(differences, np.ones_like(differences)), np.full(300, 0.1), 0.05)
    assert all(test.p_gain < 0.05 for test in tests)


def test_word_error_rate_is_of_the_corpus() -> None:
    baseline, changed = model(1), model(2)
    check = next(check for check in judged(baseline, changed).checks if (check.point, check.metric) == ("40hz", "wer_x"))
    for told, records in ((check.baseline, baseline), (check.candidate, changed)):
        rows = records[records["point"] == "40hz"]
        assert told == pytest.approx(100 * rows["wer_x:errors"].sum() / rows["wer_x:words"].sum())
    assert check.change == pytest.approx(check.candidate - check.baseline)
    assert check.low < check.change < check.high


def test_quality_bought_with_bits_is_told_and_compared_at_equal_bits() -> None:
    baseline = model(1, noise=0.005, frame_rates=(80.0, 60.0, 40.0))
    result = judged(baseline, model(2, noise=0.005, bits=1.2))
    assert named(result, "worse") == {(point, what) for point in ("80hz", "40hz") for what in ("bitrate", "frame_rate")}
    mel = {check.point: check for check in result.checks if check.metric == "mel_dac_train"}
    assert mel["40hz"].verdict == "improved"
    equal = mel["40hz"].equal_bits
    assert equal is not None
    assert equal.low < 0.0 < equal.high  # the same curve
    assert abs(equal.change) < 0.2 * abs(mel["40hz"].change)
    assert mel["80hz"].equal_bits is None  # beyond the baseline's curve
    assert all(check.equal_bits is None for check in judged(baseline, model(2)).checks)


def test_an_utterance_that_fails_now_is_a_regression_with_its_reason() -> None:
    baseline = model(1)
    changed = baseline.copy()
    changed.loc[3, ["pesq_wb", "failures"]] = [np.nan, json.dumps({"pesq_wb": "no speech found"})]
    result = judged(baseline, changed)
    assert named(result, "worse") == {("80hz", "pesq_wb")}
    (failed,) = result.having("worse")
    assert (failed.failed, failed.n) == (1, 59)
    assert [(each.utterance, each.reason) for each in result.worst] == [("u3", "no speech found")]
    assert not judged(changed, changed).having("worse")  # the baseline failed there too


def test_a_codec_that_fails_fails_every_metric() -> None:
    baseline = model(1)
    scores = ["mel_dac_train", "pesq_wb", "wer_x", "wer_x:errors", "wer_x:words"]
    changed = baseline.assign(**dict.fromkeys([*scores, "frame_rate", "bitrate"], np.nan))
    changed = changed.assign(failures=json.dumps({"codec": "ValueError: decode gave NaN"}))
    result = judged(baseline, changed)
    assert {metric for _, metric in named(result, "worse")} == set(METRICS)
    assert len(result.worst) == 10


def test_too_few_utterances_are_undecided_with_as_many_as_a_test_takes() -> None:
    result = judged(model(1, n=2), model(2, n=2))
    undecided = result.having("undecided")
    assert {check.metric for check in undecided} >= {"mel_dac_train", "pesq_wb"}
    assert {check.needed for check in undecided if check.metric == "mel_dac_train"} == {stats.MIN_CLUSTERS}
    assert result.passed()
    assert not result.passed(strict=True)


def test_a_baseline_may_hold_more_utterances_and_points() -> None:
    baseline, changed = model(1), model(2, frame_rates=(40.0,))
    some = changed[changed["utterance"].isin([f"u{i}" for i in range(30)])]
    result = judged(baseline, some)
    assert {check.point for check in result.checks} == {"40hz"}
    assert {check.n for check in result.checks} == {30}


def test_speed_is_checked_only_where_it_is_comparable() -> None:
    baseline = model(1)
    slow = baseline.assign(decode_s=baseline["decode_s"] * 5)
    assert named(judged(baseline, slow), "worse") == {("80hz", "decode_rtf"), ("40hz", "decode_rtf")}
    assert not judged(baseline, slow, speed=False).having("worse")
    restless = baseline.assign(decode_s=baseline["decode_s"] * np.random.default_rng(0).exponential(3, len(baseline)) ** 4)
    result = judged(baseline, restless)
    assert {metric for _, metric in named(result, "undecided")} == {"decode_rtf"}
    assert result.passed(strict=True)


def test_margins_are_in_the_unit_where_the_scale_is_known_and_shares_elsewhere() -> None:
    absolute = {name for name in metric_infos() if margin(name, {}, 1.0) == margin(name, {}, 100.0)}
    for name, info in metric_infos().items():
        assert info.unit != "MOS" or margin(name, {}, 3.0) == 0.05
        assert not (info.corpus_ratio or info.unit == "dB") or info.diagnostic or name in absolute
    assert absolute >= {"stoi", "estoi", "si_sdr", "wer_pocketsphinx", "vuv_error", "secs_resemblyzer"}
    assert margin("mel_dac_train", {}, 1.5) == pytest.approx(0.03)
    assert margin("mel_dac_train", {}, -1.5) == pytest.approx(0.03)
    assert (margin("stoi", {}, 0.8), margin("estoi", {}, 0.8)) == (0.005, 0.01)
    assert margin("stoi", {"stoi": "1%"}, 0.8) == pytest.approx(0.008)
    assert margin("stoi", {"stoi": 0.1}, 0.8) == 0.1
    assert {*regress._RATES, *regress._SPEED} == set(SPENT)


def test_reports_say_the_same_in_every_form() -> None:
    baseline = model(1, noise=0.02)
    result = replace(judged(baseline, model(2, noise=0.02, mel=1.05)), notes=("a | note",))
    assert headline(result).startswith("slime: worse in mel_dac_train at 80hz, mel_dac_train at 40hz")
    content = json.loads(render_json(result, strict=True))
    assert content["passed"] is False
    assert len(content["checks"]) == len(result.checks)
    for strict in (False, True):
        cases = ElementTree.fromstring(render_junit(result, "suite", strict)).findall(".//testcase")
        assert len(cases) == len(result.checks)
        assert sum(case.find("failure") is not None for case in cases) == len(result.failing(strict))
    markdown = render_markdown(result, "suite")
    assert markdown.count("**worse**") == 2
    assert "a \\| note" in markdown
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(render_terminal(result))
    assert "mel_dac_train" in console.export_text()


@pytest.mark.parametrize("strict", ["", "1"])
def test_the_workflow_calls_the_command_as_it_is(strict: str) -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/regress.yml").read_text(encoding="utf-8"))
    (step,) = [step for step in workflow["jobs"]["regress"]["steps"] if "bench regress" in step.get("run", "")]
    inputs = {"SUITE": "a suite.yaml", "BASELINE": "b", "CODEC": "c", "CHECKPOINT": "d", "STRICT": strict}
    assert set(step["env"]) == set(inputs)
    script = step["run"].replace("bench regress", "printf '%s\\n'")
    told = subprocess.run(["bash", "-eu", "-c", script], env=inputs, capture_output=True, text=True, check=True).stdout.splitlines()
    command = typer.main.get_command(app).commands["regress"]  # type: ignore[attr-defined]
    context = command.make_context("regress", told)
    given = {name: str(context.params[name]) for name in ("suite", "baseline", "codec", "checkpoint", "strict")}
    assert given == {"suite": "a suite.yaml", "baseline": "b", "codec": "c", "checkpoint": "d", "strict": str(bool(strict))}


# --- the tiny models, damaged ---------------------------------------------------------------------------------------------------

TINY = """
name: tiny
datasets: [{name: bundled, limit: 14}]
codecs:
  - {codec: fixed, checkpoint: tiny_40hz_649bps, points: [40hz]}
  - {codec: codecslime, checkpoint: tiny, points: [40hz]}
metrics: [mel_dac_train, stoi]
"""


def noisy_decoder(tensors: dict, rng: np.random.Generator) -> dict:
    import torch

    def damaged(tensor: torch.Tensor) -> torch.Tensor:
        spread = tensor.float().std().item() if tensor.numel() > 1 else 0.0
        noise = torch.from_numpy(rng.standard_normal(tuple(tensor.shape)).astype(np.float32))
        return (tensor.float() + 0.5 * spread * noise).to(tensor.dtype)

    return {name: damaged(tensor) if name.startswith("decoder.") else tensor for name, tensor in tensors.items()}


def shuffled_codebook(tensors: dict, rng: np.random.Generator) -> dict:
    """FSQ has no table of entries: the entries' coordinates are shuffled, on the decoder's side alone."""
    weight = tensors["quantizer.project_out.weight"]
    return {**tensors, "quantizer.project_out.weight": weight[:, rng.permutation(weight.shape[1])].contiguous()}


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not find("tiny_40hz_649bps", "fixed") or not find("tiny", "codecslime"):
        pytest.skip("the tiny checkpoints are not in codecs/checkpoints")
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        toys.run_in_this_process(patch)
        session.score(load_suite(folder / "tiny.yaml"), Options(folder / "baseline" / "tiny"), Console(quiet=True))
    return folder


@pytest.fixture
def regressed(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Regression]:
    toys.run_in_this_process(monkeypatch)

    def call(codec: str, checkpoint: str) -> Regression:
        suite = load_suite(tiny_run / "tiny.yaml")
        return candidate.judge(suite, str(tiny_run / "baseline" / "tiny"), codec, checkpoint, Options(tmp_path / "out" / "run"))

    return call


@pytest.mark.parametrize("damage", [noisy_decoder, shuffled_codebook], ids=["noise", "shuffled"])
def test_a_damaged_checkpoint_is_caught(damage, regressed, tmp_path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    source = find("tiny_40hz_649bps", "fixed")
    assert source is not None
    with safe_open(source, "pt") as file:
        metadata = file.metadata()
    save_file(damage(load_file(source), np.random.default_rng(0)), tmp_path / "damaged.safetensors", metadata)
    result = regressed("fixed", str(tmp_path / "damaged.safetensors"))
    assert {"mel_dac_train", "stoi"} == {check.metric for check in result.having("worse")} - set(SPENT)
    assert "bitrate" in {check.metric for check in result.having("same")}
    assert all(Path(each.reference_audio).is_file() and Path(each.candidate_audio).is_file() for each in result.worst)


def test_a_scheduler_that_merges_at_random_is_caught(regressed, tmp_path, monkeypatch) -> None:
    from bench.codecs import codecslime

    monkeypatch.setitem(codecslime.SCHEDULERS, "schedfr", codecslime.SCHEDULERS["random"])  # type: ignore[arg-type]
    result = regressed("codecslime", "tiny")
    assert "stoi" in {check.metric for check in result.having("worse")}
    assert {check.metric for check in result.checks if check.change == 0} == {"bitrate", "frame_rate"}  # as many segments, others


class Exits(toys.ToyCodec):
    def analyse(self, audio):
        raise SystemExit(0)


def test_a_codec_that_ends_the_program_is_never_a_success(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    toys.corpus(tmp_path)
    (tmp_path / "weights.txt").write_text("a", encoding="utf-8")
    text = "name: toy\ndatasets: [{manifest: manifest.jsonl}]\ncodecs: [{codec: toy, points: [16levels]}]\nmetrics: [distance]\n"
    (tmp_path / "toy.yaml").write_text(text, encoding="utf-8")

    def bench(codec: toys.ToyCodec, *arguments: str) -> tuple[int, str]:
        toys.install(monkeypatch, {"toy": toys.codec_module(codec)}, [toys.metric_module(toys.ToyMetric())])
        code = typer.main.get_command(app).main(list(arguments), standalone_mode=False)
        return int(code or 0), " ".join(capsys.readouterr().out.split())

    assert bench(toys.ToyCodec(), "run", "toy.yaml", "--out", "results/toy")[0] == 0
    code, out = bench(Exits(), "regress", "toy.yaml", "--baseline", "results/toy", "--codec", "toy", "--checkpoint", "weights.txt")
    assert code == 1
    assert "SystemExit: 0" in out
    code, out = bench(Exits(), "run", "toy.yaml", "--out", "elsewhere/toy")
    assert code == 1
    assert "SystemExit: 0" in out


def test_the_shipped_model_against_its_own_run_is_the_same(regressed, tiny_run, tmp_path) -> None:
    result = regressed("codecslime", "tiny")
    assert {check.verdict for check in result.checks if check.metric not in SPENT} == {"same"}
    assert all(check.change == 0 for check in result.checks if not check.metric.endswith("_rtf"))
    assert len(read_run(tmp_path / "out" / "run")[0]) == 14
