"""What a run computes, keeps, and tells of what failed."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from rich.console import Console

from bench.errors import UserError
from bench.needs import Need
from bench.run import session
from bench.run.engine import SerialEngine
from bench.run.identity import sources_of
from bench.run.runner import failures
from bench.run.session import Options
from bench.run.store import Store, read_points, read_run
from bench.run.tasks import ScoreTask
from bench.run.tokens import token_statistics
from bench.run.worker import from_flac, in_24_bits, to_flac
from bench.suite import load_suite
from tests import toys
from tests.speech import error_rates
from tests.toys import comparable

NOISE = 3  # times that a worker loads the codec, which then hears noise before any utterance

SUITE = """
name: toy
datasets: [{manifest: manifest.jsonl}]
codecs: [{codec: toy, points: [16levels, 256levels]}]
metrics: [distance]
"""


@pytest.fixture
def serial(monkeypatch: pytest.MonkeyPatch) -> None:
    toys.run_in_this_process(monkeypatch)


def run(folder: Path, text: str = SUITE, out: str = "results/toy", overrides: tuple[str, ...] = ()) -> pd.DataFrame:
    if not (folder / "manifest.jsonl").exists():
        toys.corpus(folder)
    (folder / "toy.yaml").write_text(text, encoding="utf-8")
    return session.score(load_suite(folder / "toy.yaml", overrides), Options(folder / out), Console(quiet=True))


def test_a_sweep_analyses_once_and_prepares_once(tmp_path, monkeypatch, serial) -> None:
    codec, metric = toys.ToyCodec(), toys.ToyMetric()
    toys.install(monkeypatch, {"toy": toys.codec_module(codec)}, [toys.metric_module(metric)])
    frame = run(tmp_path)
    assert codec.analysed == 4 + NOISE
    assert (metric.prepared, metric.scored) == (4, 12)  # 4 utterances; reference and two points
    means = frame.groupby(["codec", "point"])["distance"].mean()
    assert means["reference"].max() == 0  # 16 bits pass through the 24 of the stored audio as they are
    assert means["toy", "256levels"] < means["toy", "16levels"]


def test_rates_are_counted_over_the_audio_that_went_in(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    frame = run(tmp_path)
    row = frame[(frame.point == "16levels") & (frame.utterance == "u0")].iloc[0]
    assert row.duration_s == pytest.approx(0.75)
    assert row.bits_tokens == 4 * 6000
    assert 19 <= row.bits_side <= 30  # how long it is
    assert row.bitrate == pytest.approx(32000 + row.bits_side / 0.75)
    assert row.nominal_bitrate == pytest.approx(32000)
    assert row.frame_rate == row.token_rate == pytest.approx(8000)
    assert row.bits_tokens + row.bits_side < row.bits_total < row.bits_tokens + 8 * 32
    assert row.bits_entropy < row.bits_tokens  # a random walk does not use all levels
    assert (tmp_path / "results/toy" / row.audio_file).is_file()


def test_nothing_is_computed_twice_and_a_new_metric_costs_only_itself(tmp_path, monkeypatch, serial) -> None:
    codec, metric = toys.ToyCodec(), toys.ToyMetric()
    modules = {"toy": toys.codec_module(codec)}
    toys.install(monkeypatch, modules, [toys.metric_module(metric)])
    first = run(tmp_path)
    assert metric.scored == 12
    again = run(tmp_path)
    assert (codec.analysed, metric.scored) == (4 + NOISE, 12)
    pd.testing.assert_frame_equal(first, again)
    other = toys.EnglishMetric()
    toys.install(monkeypatch, modules, [toys.metric_module(metric), toys.metric_module(other)])
    frame = run(tmp_path, SUITE.replace("[distance]", "[distance, english]"))
    assert metric.scored == 12
    assert frame["english"].count() == 9
    assert frame["distance"].equals(first["distance"])


def test_another_run_beside_this_one_lends_its_scores_and_audio(tmp_path, monkeypatch, serial) -> None:
    codec, metric = toys.ToyCodec(), toys.ToyMetric()
    toys.install(monkeypatch, {"toy": toys.codec_module(codec)}, [toys.metric_module(metric)])
    run(tmp_path)
    frame = run(tmp_path, SUITE.replace("codec: toy,", "codec: toy, name: renamed,"), out="results/other")
    assert metric.scored == 12
    assert set(frame.codec) == {"reference", "renamed"}
    assert all((tmp_path / "results/other" / name).is_file() for name in frame.audio_file)


def test_a_raised_version_is_a_new_score(tmp_path, monkeypatch, serial) -> None:
    metric, codec = toys.ToyMetric(), toys.codec_module(toys.ToyCodec())
    toys.install(monkeypatch, {"toy": codec}, [toys.metric_module(metric)])
    run(tmp_path)
    toys.install(monkeypatch, {"toy": codec}, [toys.metric_module(metric, version=2)])
    run(tmp_path)
    assert metric.scored == 24
    codec.VERSION = 2
    run(tmp_path)
    assert metric.scored == 24 + 8


class EveryThird(toys.ToyCodec):
    def analyse(self, audio: torch.Tensor) -> torch.Tensor:
        if len(audio) == 7000:  # u2
            raise RuntimeError("the third utterance is too much for me")
        return audio


class Nan(toys.ToyCodec):
    def decode(self, encoded):
        return super().decode(encoded) * float("nan")


class Short(toys.ToyCodec):
    def decode(self, encoded):
        return super().decode(encoded)[:-1]


class Unloadable:
    @property
    def parameters(self) -> int:
        raise OSError("the weights are gone")


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (EveryThird(), {("u2", "analyse: RuntimeError: the third utterance is too much for me")}),
        (Nan(), {(f"u{i}", "decode gave NaN or infinite samples") for i in range(4)}),
        (Short(), {(f"u{i}", f"decode gave the shape [{5999 + 500 * i}], the audio has [{6000 + 500 * i}]") for i in range(4)}),
        (Unloadable(), {(f"u{i}", "load: OSError: the weights are gone") for i in range(4)}),
    ],
    ids=["raises", "nan", "wrong length", "does not load"],
)
def test_a_codec_that_fails_stops_nobody_else(codec, expected, tmp_path, monkeypatch, serial) -> None:
    codecs = {"bad": toys.codec_module(codec), "toy": toys.codec_module(toys.ToyCodec())}
    toys.install(monkeypatch, codecs, [toys.metric_module(toys.ToyMetric())])
    text = SUITE.replace("codecs: [", "codecs: [{codec: bad, points: [16levels]}, ")
    frame = run(tmp_path, text)
    found = [(utterance, reason) for codec_, _, utterance, what, reason in failures(frame) if (codec_, what) == ("bad", "codec")]
    assert {(utterance, reason.partition(" [errors/")[0]) for utterance, reason in found} == expected
    for _, reason in found:  # what the codec raised stands whole in a file
        if file := re.search(r"\[(errors/\w+\.txt)\]$", reason):
            assert "Traceback" in (tmp_path / "results/toy" / file[1]).read_text(encoding="utf-8")
    assert len(failures(frame)) == len(expected)
    assert frame[frame.codec == "toy"]["distance"].count() == 8
    assert frame[frame.codec == "bad"]["distance"].count() == 4 - len(expected)


def test_a_metric_that_fails_or_does_not_apply_is_told_apart(tmp_path, monkeypatch, serial) -> None:
    metrics = [toys.metric_module(metric) for metric in (toys.ToyMetric(), toys.RaisingMetric(), toys.EnglishMetric())]
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, metrics)
    frame = run(tmp_path, SUITE.replace("[distance]", "[distance, raising, english]"))
    assert frame["distance"].count() == 12
    assert {(what, reason) for _, _, _, what, reason in failures(frame)} == {("raising", "no speech found")}
    german = frame[frame.utterance == "u2"]
    assert all(json.loads(told) == {"english": "English only, not de"} for told in german["not_applicable"])


def test_points_of_an_utterance_are_scored_together_with_the_scores_they_have_alone(tmp_path, monkeypatch, serial) -> None:
    alone, together = toys.ToyMetric(), toys.BatchMetric()
    frames = []
    for metric in (alone, together):
        toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(metric)])
        frames.append(run(tmp_path, out=f"{type(metric).__name__}/toy"))
    assert together.batches == [1, 1, 1, 1, 2, 2, 2, 2]  # the reference's one point, the codec's two
    assert (alone.prepared, together.prepared) == (4, 4)
    pd.testing.assert_frame_equal(comparable(frames[0]), comparable(frames[1]))


def test_a_resumed_run_scores_a_smaller_batch_and_ends_with_the_same(tmp_path, monkeypatch, serial) -> None:
    metric = toys.BatchMetric()
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(metric)])
    whole = run(tmp_path)
    (journal,) = (tmp_path / "results/toy/journal").glob("*.jsonl")
    journal.write_text("".join(line for line in journal.open() if '"u1"' not in line or "16levels" not in line))
    metric.batches.clear()
    again = run(tmp_path)
    assert metric.batches == [1]
    pd.testing.assert_frame_equal(comparable(whole), comparable(again))


def test_a_signal_that_breaks_a_batch_takes_no_other_score_with_it(tmp_path, monkeypatch, serial) -> None:
    metric = toys.BatchMetric(limit=0.01)
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(metric)])
    frame = run(tmp_path)
    assert {(point, what, reason) for _, point, _, what, reason in failures(frame)} == {("16levels", "distance", "too far away")}
    assert frame[frame.point == "256levels"]["distance"].count() == 4
    assert metric.batches[-3:] == [2, 1, 1]


class BreaksAt16(toys.ToyCodec):
    def encode(self, latent, point):
        if point.name == "16levels":
            raise RuntimeError("too coarse for me")
        return super().encode(latent, point)


def test_a_point_that_fails_takes_no_other_point_with_it(tmp_path, monkeypatch, serial) -> None:
    metric = toys.BatchMetric()
    toys.install(monkeypatch, {"toy": toys.codec_module(BreaksAt16())}, [toys.metric_module(metric)])
    frame = run(tmp_path)
    assert {(point, what) for _, point, _, what, _ in failures(frame)} == {("16levels", "codec")}
    assert frame[frame.point == "256levels"]["distance"].count() == 4
    assert metric.batches == [1] * 8


class Recogniser:
    """Says how loud it is; remembers the sizes of its batches."""

    languages: tuple[str, ...] | None = None

    def __init__(self) -> None:
        self.batches: list[int] = []

    def identity(self, language):
        return "ear"

    def transcribe(self, signals, language):
        self.batches.append(len(signals))
        return [f"{np.abs(audio).max():.6f}" for audio in signals]


def test_a_recogniser_hears_every_reference_once_and_a_sweep_together(tmp_path, monkeypatch, serial) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    frames, batches = [], []
    for out in ("first/toy", "second/toy"):
        recogniser = Recogniser()
        module = toys.metric_module(*error_rates(["wer_ear", "dwer_ear"], recogniser, "none"), corpus_ratio=True)
        toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [module])
        frames.append(run(tmp_path, SUITE.replace("[distance]", "[wer_ear, dwer_ear]"), out))
        batches.append(recogniser.batches)
    assert batches == [[1, 1, 1, 1, 2, 2, 2, 2], [2, 2, 2, 2]]  # neither the second codec nor the second run hears a reference again
    assert (frames[0][frames[0].codec == "reference"]["dwer_ear"] == 0).all()
    assert (frames[0][frames[0].codec == "toy"]["dwer_ear"] == 100).all()
    pd.testing.assert_frame_equal(comparable(frames[0]), comparable(frames[1]))


def test_a_failure_is_tried_again_and_forgotten_when_it_is_mended(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(EveryThird())}, [toys.metric_module(toys.ToyMetric())])
    assert failures(run(tmp_path))
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    frame = run(tmp_path)
    assert not failures(frame)
    assert frame["distance"].count() == 12


def test_a_torn_line_is_work_not_done(tmp_path, monkeypatch, serial) -> None:
    metric = toys.ToyMetric()
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(metric)])
    whole = run(tmp_path)
    (journal,) = (tmp_path / "results/toy/journal").glob("*.jsonl")
    content = journal.read_bytes()
    journal.write_bytes(content[: len(content) * 2 // 3])
    kept = sum(b'"scores"' in line for line in content[: len(content) * 2 // 3].split(b"\n")[:-1])
    again = run(tmp_path)
    assert metric.scored == 12 + 12 - kept
    pd.testing.assert_frame_equal(comparable(whole), comparable(again))


def test_run_json_says_what_ran(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    run(tmp_path)
    frame, about = read_run(tmp_path / "results/toy")
    assert len(frame) == 12
    assert about["suite_text"] == SUITE
    assert set(about["codecs"]["toy"]["points"]) == {"16levels", "256levels"}
    assert about["datasets"][0]["utterances"] == 4
    assert {"torch", "numpy", "python"} <= set(about["versions"])
    assert about["metrics"]["distance"]["weights_sha256"] == []
    points = json.loads((tmp_path / "results/toy/points.json").read_text())
    (codebook,) = points["toy@16levels"]["codebooks"]
    assert codebook["size"] == 16
    assert 1 < codebook["perplexity"] <= 16


def test_run_json_tells_the_weights_of_metrics_by_their_hash(tmp_path, monkeypatch, serial) -> None:
    contents = {"english.pt": b"weights", "german.pt": b"Gewichte"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    needs = [
        Need("package", "toys", True, ""),
        *(Need("weights", name, True, "", files=(tmp_path / name,)) for name in contents),
    ]
    module = toys.metric_module(toys.ToyMetric())
    module.needs = lambda names, options: needs
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [module])
    run(tmp_path)
    _, about = read_run(tmp_path / "results/toy")
    assert about["metrics"]["distance"]["weights_sha256"] == [hashlib.sha256(content).hexdigest() for content in contents.values()]


def test_recordings_are_scored_against_the_reference_that_they_name(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {}, [toys.metric_module(toys.ToyMetric())])
    toys.corpus(tmp_path)
    samples, rate = soundfile.read(tmp_path / "u0.wav")
    soundfile.write(tmp_path / "cropped.wav", samples[:8000], rate, subtype="FLOAT")
    soundfile.write(tmp_path / "decoded.wav", np.append(samples[:8000] + 0.01, [0.0] * 5), rate, subtype="FLOAT")
    row = {"id": "u0", "variant": "v", "path": "decoded.wav", "reference": "cropped.wav", "frame_rate_hz": 12.5, "bitrate_kbps": 1.5}
    (tmp_path / "made.jsonl").write_text(json.dumps(row) + "\n")
    frame = run(tmp_path, SUITE.replace("{codec: toy, points: [16levels, 256levels]}", "{codec: recordings, manifest: made.jsonl}"))
    (made,) = frame[(frame.codec == "recordings") & frame["distance"].notna()].to_dict("records")
    assert made["distance"] == pytest.approx(0.01, abs=1e-4)
    assert (made["bitrate"], made["frame_rate"], made["length_error"]) == (1500, 12.5, 5)


def test_recordings_of_one_reference_are_scored_together(tmp_path, monkeypatch, serial) -> None:
    metric = toys.BatchMetric()
    toys.install(monkeypatch, {}, [toys.metric_module(metric)])
    toys.corpus(tmp_path)
    samples, rate = soundfile.read(tmp_path / "u0.wav")
    soundfile.write(tmp_path / "cropped.wav", samples[:8000], rate, subtype="FLOAT")
    made = {"a": "", "b": "", "c": "cropped.wav", "d": "cropped.wav", "e": "cropped.wav"}
    rows = []
    for offset, (variant, reference) in enumerate(made.items()):
        soundfile.write(tmp_path / f"{variant}.wav", samples[: 8000 if reference else None] + 0.001 * offset, rate, subtype="FLOAT")
        row = {"id": "u0", "variant": variant, "path": f"{variant}.wav", "frame_rate_hz": 12.5, "bitrate_kbps": 1.5}
        rows.append(row | ({"reference": reference} if reference else {}))
    (tmp_path / "made.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    frame = run(tmp_path, SUITE.replace("{codec: toy, points: [16levels, 256levels]}", "{codec: recordings, manifest: made.jsonl}"))
    scored = frame[(frame.codec == "recordings") & frame["distance"].notna()].set_index("point")["distance"]
    assert scored.to_dict() == pytest.approx({variant: 0.001 * offset for offset, variant in enumerate(made)}, abs=1e-4)
    assert metric.batches == [1, 1, 1, 1, 2, 3]


def test_records_of_two_machines_add_up(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    key = run(tmp_path)["key"].iloc[0]
    before = Store(tmp_path / "results/toy").get(key)
    assert before is not None
    Store(tmp_path / "results/toy").add_scores(key, {}, {"distance#1": "later, elsewhere"}, {})
    merged = Store(tmp_path / "results/toy").get(key)
    assert merged is not None
    assert merged.scores == before.scores
    assert not merged.failures


class Counting(toys.ToyCodec):
    """Counts every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = {"analyse": 0, "encode": 0, "decode": 0}

    def analyse(self, audio):
        self.calls["analyse"] += 1
        return super().analyse(audio)

    def encode(self, latent, point):
        self.calls["encode"] += 1
        return super().encode(latent, point)

    def decode(self, encoded):
        self.calls["decode"] += 1
        return super().decode(encoded)


def test_a_metric_that_is_added_decodes_nothing_and_lost_audio_comes_from_the_stream(tmp_path, monkeypatch, serial) -> None:
    codec = Counting()
    modules = {"toy": toys.codec_module(codec)}
    metrics = [toys.metric_module(toys.ToyMetric()), toys.metric_module(toys.EnglishMetric())]
    toys.install(monkeypatch, modules, metrics)
    first = run(tmp_path)
    codec.calls = dict.fromkeys(codec.calls, 0)
    run(tmp_path, SUITE.replace("[distance]", "[distance, english]"))
    assert set(codec.calls.values()) == {0}
    for name in first[first["codec"] == "toy"]["audio_file"]:
        (tmp_path / "results/toy" / name).unlink()
    renamed = SUITE.replace("codec: toy,", "codec: toy, name: renamed,")
    toys.install(monkeypatch, modules, [toys.metric_module(toys.ToyMetric(), version=2)])
    again = run(tmp_path, renamed)
    assert codec.calls == {"analyse": 0, "encode": 0, "decode": 8}
    assert list(again["distance"]) == list(first["distance"])
    codec.calls = dict.fromkeys(codec.calls, 0)
    toys.install(monkeypatch, modules, [toys.metric_module(toys.ToyMetric(), version=3)])
    run(tmp_path, renamed)
    assert set(codec.calls.values()) == {0}


def test_scores_are_those_of_the_stored_audio_whether_they_come_with_it_or_later(tmp_path) -> None:
    """Also of metrics that look at the stream; classical coders keep none, neither at once nor later."""
    codecs = "codecs: [{codec: codecslime, points: [40hz]}, {codec: opus, points: [12kbps]}, {codec: pcm, points: [8bit_24khz]}]"
    text = f"name: both\ndatasets: [{{name: bundled, languages: [en], limit: 2}}]\n{codecs}\nmetrics: [%s]\n"
    columns = ["gain_db", "mel_dac_train", "stoi", "latency_ms", "tandem_tokens", "tandem_mel_2", "frame_rate_vowels"]

    def scored(name: str, metrics: list[str], jobs: int) -> pd.DataFrame:
        (tmp_path / "both.yaml").write_text(text % ", ".join(metrics), encoding="utf-8")
        return session.score(load_suite(tmp_path / "both.yaml"), Options(tmp_path / name / "run", jobs=jobs), Console(quiet=True))

    at_once = scored("a", columns, 2)
    scored("b", columns[:1], 1)
    later = scored("b", columns, 1)
    pd.testing.assert_frame_equal(comparable(at_once), comparable(later))
    assert at_once[["gain_db", "mel_dac_train", "stoi"]].notna().all(axis=None)


@pytest.mark.parametrize("level", [0.01, 1.0, 30.0])
def test_what_is_scored_at_once_is_what_the_file_holds(level) -> None:
    samples = (level * np.random.default_rng(0).standard_normal(4801)).astype(np.float32)
    samples[:4] = 1.0, -1.0, 1e-9, -1e-9
    stored, clipped = in_24_bits(samples)
    heard, rate = from_flac(to_flac(stored, 16000))
    assert rate == 16000
    assert heard.dtype == stored.dtype == np.float32
    np.testing.assert_array_equal(heard, stored)
    assert clipped == np.count_nonzero(np.abs(samples) > 1)


class OneBuffer(toys.ToyCodec):
    """Decodes into the same memory every time, as compiled graphs do."""

    memory = torch.zeros(2**20)

    def decode(self, encoded):
        return self.memory[: encoded.num_samples].copy_(super().decode(encoded))


def test_a_codec_that_decodes_into_one_buffer_has_the_audio_of_every_point(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    expected = run(tmp_path, out="new/run")
    toys.install(monkeypatch, {"toy": toys.codec_module(OneBuffer())}, [toys.metric_module(toys.ToyMetric())])
    found = run(tmp_path, out="one/run")
    pd.testing.assert_frame_equal(comparable(found), comparable(expected))


def test_tokens_counted_on_the_way_are_those_of_the_stored_streams(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    streams_read = []
    read_file = Store.read_file

    def counted(store: Store, name: str) -> bytes | None:
        streams_read.append(name)
        return read_file(store, name)

    monkeypatch.setattr(Store, "read_file", counted)
    for text in (SUITE.replace("manifest.jsonl", "manifest.jsonl, limit: 2"), SUITE):  # made by one run, then some by the one before
        frame = run(tmp_path, text)
        points = read_points(tmp_path / "results/toy")
        assert set(points) == {"toy@16levels", "toy@256levels"}
        assert points == token_statistics(frame, Store(tmp_path / "results/toy").read_file, {})
    assert points["toy@16levels"]["codebooks"][0]["tokens"] == sum(frame[frame["point"] == "16levels"]["token_frames"])
    streams_read.clear()
    run(tmp_path, out="whole/run")
    assert not [name for name in streams_read if name.startswith("streams/")]
    assert read_points(tmp_path / "whole/run") == points


def test_a_folder_of_another_suite_or_of_more_utterances_is_refused(tmp_path, monkeypatch, serial) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    run(tmp_path)
    with pytest.raises(UserError, match=r"holds results of the suite 'toy', not of 'other'; give another folder with --out"):
        run(tmp_path, SUITE.replace("name: toy", "name: other"))
    (tmp_path / "toy.yaml").write_text(SUITE, encoding="utf-8")
    suite = load_suite(tmp_path / "toy.yaml")
    with pytest.raises(UserError, match=r"holds a run over all utterances; give another folder with --out for --limit 2"):
        session.score(suite, Options(tmp_path / "results/toy", limit=2), Console(quiet=True))
    few = session.score(suite, Options(tmp_path / "few/run", limit=2), Console(quiet=True))
    more = session.score(suite, Options(tmp_path / "few/run"), Console(quiet=True))
    assert (len(few), len(more)) == (6, 12)


OWN = """
import helper
from pathlib import Path
from bench.codec import CodecInfo, Encoded, OperatingPoint, Stream

INFO = CodecInfo("fixed", "Own", "Apache-2.0")
VERSION = 1
POINTS = {"p": OperatingPoint("p", 8000.0, 1)}


def point(**settings):
    raise ValueError("no settings")


def needs(checkpoint):
    return []


def load(checkpoint, device):
    codec = Codec()
    codec.gain = float(Path(checkpoint).read_text())
    return codec


class Codec:
    sample_rate, hop_length, parameters, weights_sha256 = 8000, 1, 0, ""

    def analyse(self, audio):
        return audio

    def encode(self, latent, point):
        return Encoded((Stream(((latent.clamp(-1, 1) + 1) * 31.5).round().long()[None], (64,)),), len(latent))

    def decode(self, encoded):
        return (encoded.streams[0].tokens[0].float() / 31.5 - 1) * self.gain
"""


def test_three_checkpoints_of_one_template_are_three_scores_and_one_overwritten_is_a_fourth(tmp_path) -> None:
    toys.corpus(tmp_path)
    (tmp_path / "own.py").write_text(OWN.replace("import helper\n", ""), encoding="utf-8")
    for name, gain in (("a", 1.0), ("b", 0.5), ("c", 0.25)):
        (tmp_path / f"{name}.txt").write_text(str(gain), encoding="utf-8")
    entries = ", ".join(f"{{codec: own.py, name: {name}, checkpoint: {name}.txt}}" for name in "abc")
    text = SUITE.replace("{codec: toy, points: [16levels, 256levels]}", entries).replace("[distance]", "[gain_db]")
    (tmp_path / "toy.yaml").write_text(text, encoding="utf-8")

    def gains() -> list[float]:
        suite = load_suite(tmp_path / "toy.yaml")
        frame = session.score(suite, Options(tmp_path / "results/toy", jobs=1), Console(quiet=True))
        return [round(float(frame[frame["codec"] == name]["gain_db"].mean())) for name in "abc"]

    def heard() -> dict[str, bytes]:
        frame = read_run(tmp_path / "results/toy")[0]
        return {f"{row.codec}/{row.utterance}": (tmp_path / "results/toy" / row.audio_file).read_bytes() for row in frame.itertuples()}

    assert gains() == [0, -6, -12]
    first = heard()
    (tmp_path / "a.txt").write_text("0.125", encoding="utf-8")
    assert gains() == [-18, -6, -12]
    assert {name for name, audio in heard().items() if audio != first[name]} == {f"a/u{number}" for number in range(4)}
    (tmp_path / "a.txt").write_text("1.0", encoding="utf-8")
    assert gains() == [0, -6, -12]
    assert heard() == first


class WithADevice(SerialEngine):
    """Has a lane for the device, and tells what was done in which."""

    accelerated = True

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[str, str]] = []

    def submit(self, lane, task, avoid=None):
        columns = {column.name for cell in task.cells for column in cell.columns} if isinstance(task, ScoreTask) else {type(task).__name__}
        self.done += [(lane, name) for name in columns]
        return super().submit(lane, task, avoid)


def test_a_metric_that_gains_from_a_device_is_scored_there_beside_the_codec(tmp_path, monkeypatch) -> None:
    metrics = [toys.metric_module(toys.ToyMetric(), accelerated=True), toys.metric_module(toys.EnglishMetric())]
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, metrics)
    toys.corpus(tmp_path)
    (tmp_path / "toy.yaml").write_text(SUITE.replace("[distance]", "[distance, english]"), encoding="utf-8")
    engine = WithADevice()
    session.score(load_suite(tmp_path / "toy.yaml"), Options(tmp_path / "results/toy"), Console(quiet=True), engine)
    engine.close()
    lanes = {name: {lane for lane, what in engine.done if what == name} for _, name in engine.done}
    assert lanes["DecodeTask"] == lanes["DescribeTask"] == lanes["distance"] == {"device"}
    assert lanes["english"] == lanes["CheckTask"] == {"core"}
    without = WithADevice()
    without.accelerated = False
    session.score(load_suite(tmp_path / "toy.yaml"), Options(tmp_path / "alone/toy"), Console(quiet=True), without)
    without.close()
    assert {what for _, what in without.done} == {"DescribeTask", "DecodeTask", "CheckTask"}  # what decodes scores at once


def test_what_a_codec_imports_from_its_folder_is_part_of_it(tmp_path) -> None:
    (tmp_path / "own.py").write_text("def load():\n    import helper.deep\n", encoding="utf-8")
    (tmp_path / "helper").mkdir()
    (tmp_path / "helper/__init__.py").write_text("from helper import other\n", encoding="utf-8")
    (tmp_path / "helper/deep.py").write_text("import numpy\n", encoding="utf-8")
    assert {path.name for path in sources_of(tmp_path / "own.py")} == {"own.py", "__init__.py", "deep.py"}
