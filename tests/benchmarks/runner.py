"""What the runner costs beside the work itself: `python -m tests.benchmarks.runner`.

Prints ratios, all within one run, on the bundled corpus: CPU per utterance over a bare loop that calls the same codec and metric functions;
throughput of two workers over one; wall time of a pipeline with a toy accelerator over that of its longer stage; a metric that is added
over that metric alone; and records per second of the bookkeeping alone: by the CPU of the process that plans, hands out and stores,
and of all of it on this machine's cores, where two workers also code the audio as FLAC and the tokens as bits.
"""

from __future__ import annotations

import contextlib
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
import torch
from rich.console import Console

from bench import audio
from bench.metric import NotApplicable
from bench.registry import Registry
from bench.run import session
from bench.run.engine import Engine, LocalEngine, SerialEngine, open_engine
from bench.run.session import Options
from bench.suite import Suite, load_suite

E = TypeVar("E", bound=Engine)
SUITE = """
name: overhead
datasets: [bundled]
codecs: [{codec: opus, points: [6kbps, 12kbps, 24kbps]}]
metrics: [mel_dac_train, stft_dac, stoi, pesq_wb, si_sdr, dnsmos_ovrl, wer_pocketsphinx]
"""
TOY = """
import fcntl, time
from pathlib import Path
import torch
from bench.codec import CodecInfo, Encoded, OperatingPoint, Stream

INFO = CodecInfo("fixed", "Toy", "Apache-2.0")
VERSION = 1
POINTS = {f"p{n}": OperatingPoint(f"p{n}", 16000.0, 1, {"n": n}) for n in range(1, %(points)d + 1)}
SECONDS = %(seconds)s


def point(**settings):
    raise ValueError("no settings")


def needs(checkpoint):
    return []


def load(checkpoint, device):
    codec = Codec()
    codec.lock = Path(__file__).parent / f"{str(device).replace(':', '')}.lock"
    return codec


class Codec:
    sample_rate, hop_length, parameters, weights_sha256 = 16000, 1600, 0, ""

    def analyse(self, audio):
        return audio

    def encode(self, latent, point):
        if SECONDS:
            with open(self.lock, "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                time.sleep(SECONDS)
        return Encoded((Stream(torch.zeros(1, -(-len(latent) // 1600), dtype=torch.int64), (2,)),), len(latent))

    def decode(self, encoded):
        return torch.zeros(encoded.num_samples)
"""


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def bare_loop(suite: Suite) -> float:
    """CPU seconds of the same codec and metric calls without runner, bitstream, store or audio files."""
    registry, device = Registry(), torch.device("cpu")
    metrics = [metric for name in suite.metric_names for metric in registry.metric_modules()[name].load([name], device, {})]
    (dataset,) = session.open_datasets(suite)
    codecs = [(registry.codec_module(entry.module).load(None, device), entry.points) for entry in suite.entries]
    started = cpu_s()
    for entry in dataset.entries:
        utterance = entry.read()
        references = {m.names: audio.resample(utterance.audio, utterance.sample_rate, m.sample_rate) for m in metrics}
        prepared = {}
        for metric in metrics:
            with contextlib.suppress(NotApplicable):
                prepared[metric.names] = metric.prepare(utterance, references[metric.names])
        for codec, points in codecs:
            rate = codec.sample_rate or utterance.sample_rate
            latent = codec.analyse(torch.from_numpy(audio.resample(utterance.audio, utterance.sample_rate, rate)))
            for point in points:
                decoded = codec.decode(codec.encode(latent, point)).numpy()
                for metric in metrics:
                    if metric.names in prepared:
                        degraded = audio.resample(decoded, rate, metric.sample_rate)
                        with contextlib.suppress(NotApplicable):
                            metric.score(prepared[metric.names], audio.fit_length(degraded, len(references[metric.names])))
    return cpu_s() - started


def run(suite: Suite, folder: Path, engine: Engine) -> tuple[float, float]:
    """CPU seconds of this process, and wall seconds."""
    cpu, wall = cpu_s(), time.perf_counter()
    session.score(suite, Options(folder), Console(quiet=True), engine)
    return cpu_s() - cpu, time.perf_counter() - wall


def warmed(suite: Suite, folder: Path, engine: E) -> E:
    """The engine, once every worker has loaded everything."""
    for number in range(2):
        run(suite, folder / f"warm{number}" / "run", engine)
    return engine


def suite_of(folder: Path, name: str, text: str) -> Suite:
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_suite(folder / f"{name}.yaml")


def pipeline(folder: Path) -> float:
    """Wall time of a run with one accelerator on which a codec sleeps, over the longer of: all its sleep, all scoring."""
    codec_s = 0.2
    (folder / "toy.py").write_text(TOY % {"points": 2, "seconds": codec_s}, encoding="utf-8")
    (folder / "free.py").write_text(TOY % {"points": 2, "seconds": 0}, encoding="utf-8")
    text = "name: {0}\ndatasets: [{{name: bundled, languages: [en]}}]\ncodecs: [{{codec: {1}}}]\nmetrics: [pesq_wb, stoi]\n"
    toy, free = suite_of(folder, "toy", text.format("toy", "toy.py")), suite_of(folder, "free", text.format("free", "free.py"))
    engine = warmed(free, folder / "w", LocalEngine(["meta"], 1))
    _, scoring = run(free, folder / "free" / "run", engine)
    (dataset,) = session.open_datasets(toy)
    decoding = codec_s * 2 * len(dataset.entries)
    _, both = run(toy, folder / "toy" / "run", engine)
    engine.close()
    return both / max(scoring, decoding)


def added_metric(folder: Path) -> float:
    """CPU of the run that adds a metric to a finished one, over CPU of that metric alone in a bare loop over the same files."""
    head = SUITE.partition("metrics:")[0]
    before, after = suite_of(folder, "before", head + "metrics: [si_sdr]"), suite_of(folder, "after", head + "metrics: [si_sdr, pesq_wb]")
    run(before, folder / "added" / "run", SerialEngine())
    added, _ = run(after, folder / "added" / "run", SerialEngine())
    (metric,) = Registry().metric_modules()["pesq_wb"].load(["pesq_wb"], torch.device("cpu"), {})
    (dataset,) = session.open_datasets(after)
    frame = session.score(after, Options(folder / "added" / "run"), Console(quiet=True), SerialEngine())
    started = cpu_s()
    prepared: dict[str, tuple[Any, int]] = {}
    for entry in dataset.entries:
        utterance = entry.read()
        reference = audio.resample(utterance.audio, utterance.sample_rate, metric.sample_rate)
        prepared[entry.id] = metric.prepare(utterance, reference), len(reference)
    for row in frame.itertuples():
        samples, rate = soundfile.read(folder / "added" / "run" / row.audio_file, dtype="float32")
        ready, length = prepared[str(row.utterance)]
        metric.score(ready, audio.fit_length(audio.resample(samples, rate, metric.sample_rate), length))
    return added / (cpu_s() - started)


def bookkeeping(folder: Path, utterances: int = 300, points: int = 20) -> tuple[float, float]:
    """Records per CPU second of this process, and per second in all, of a codec and a metric that cost nothing, with two warm workers."""
    (folder / "wavs").mkdir()
    rng = np.random.default_rng(0)
    for number in range(utterances):
        soundfile.write(folder / "wavs" / f"u{number}.wav", 0.1 * rng.standard_normal(1600), 16000)
    (folder / "nothing.py").write_text(TOY % {"points": points, "seconds": 0}, encoding="utf-8")
    text = "name: nothing\ndatasets: [{folder: wavs%s}]\ncodecs: [{codec: nothing.py}]\nmetrics: [gain_db]\n"
    engine = warmed(suite_of(folder, "few", text % ", limit: 20"), folder / "wn", LocalEngine([], 2))
    suite = suite_of(folder, "nothing", text % "")
    wall, cpu = time.perf_counter(), time.process_time()
    frame = session.score(suite, Options(folder / "nothing" / "run"), Console(quiet=True), engine)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    engine.close()
    return len(frame) / cpu, len(frame) / wall


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = suite_of(folder, "overhead", SUITE)
        bare = bare_loop(suite)
        cpu, _ = run(suite, folder / "a" / "run", SerialEngine())
        print(f"CPU per utterance, runner / bare loop (at most 1.10): {cpu / bare:.3f}")
        walls = []
        for jobs in (1, 2):
            engine = warmed(suite, folder / f"w{jobs}", open_engine("local", "cpu", jobs=jobs))
            walls.append(run(suite, folder / f"{jobs}" / "run", engine)[1])
            engine.close()
        print(f"throughput, two workers / one (at least 1.8): {walls[0] / walls[1]:.2f}")
        print(f"wall time with a toy accelerator / its longer stage (at most 1.15): {pipeline(folder):.3f}")
        print(f"CPU of adding a metric / that metric alone (at most 1.05): {added_metric(folder):.3f}")
        alone, with_workers = bookkeeping(folder)
        print(
            f"records per second of the bookkeeping alone (at least 2000): {alone:.0f}; with its workers on these cores: {with_workers:.0f}"
        )


if __name__ == "__main__":
    main()
