"""What the runner costs beside the work itself: `python -m tests.benchmarks.runner`.

Prints CPU per utterance as a ratio to a bare loop that calls the same codec and metric functions, and the throughput of two workers
as a ratio to one. Both in one run, on the bundled corpus.
"""

from __future__ import annotations

import contextlib
import resource
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

from bench import audio
from bench.metric import NotApplicable
from bench.registry import codec_module, metric_modules
from bench.run import session
from bench.run.engine import open_engine
from bench.run.session import Options
from bench.run.worker import Measure, _metrics
from bench.suite import Suite, load_suite

SUITE = """
name: overhead
datasets: [bundled]
codecs: [{codec: opus, points: [6kbps, 12kbps, 24kbps]}]
metrics: [mel_dac_train, stft_dac, stoi, pesq_wb, si_sdr, dnsmos_ovrl, wer_pocketsphinx]
"""


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def bare_loop(suite: Suite) -> float:
    """CPU seconds of the same codec and metric calls without runner, bitstream, store or audio files."""
    names = suite.metric_names
    device = torch.device("cpu")
    metrics = [metric for name in names for metric in metric_modules()[name].load([name], device, {})]
    (dataset,) = session.open_datasets(suite)
    codecs = [(codec_module(entry.module).load(None, device), entry.points) for entry in suite.entries]
    started = cpu_s()
    for entry in dataset.entries:
        utterance = entry.read()
        references = {m.names: audio.resample(utterance.audio, utterance.sample_rate, m.sample_rate) for m in metrics}
        prepared = {}
        for metric in metrics:
            if metric.names != ("wer_pocketsphinx",) or utterance.language == "en":
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


class InProcess:
    """The engine without processes, so that start-up and imports are on neither side of the ratio."""

    jobs = 1

    def map(self, function, tasks):  # type: ignore[no-untyped-def]
        for task in tasks:
            yield task, function(task)

    def close(self) -> None: ...


def through_the_runner(suite: Suite, folder: Path) -> float:
    session.open_engine = lambda name, jobs: InProcess()  # type: ignore[assignment, return-value]
    started = cpu_s()
    session.score(suite, Options(folder), Console(quiet=True))
    return cpu_s() - started


def throughput(suite: Suite, folder: Path, jobs: int) -> float:
    """Utterances a second of warm workers."""
    (dataset,) = session.open_datasets(suite)
    engine = open_engine("local", jobs)
    session.open_engine = lambda name, jobs: engine  # type: ignore[assignment]
    warm_up = [Measure(suite.entries[0], "cpu", entry, (), suite.metrics, folder) for entry in dataset.entries[: 4 * jobs]]
    list(engine.map(warm, warm_up))
    started = time.perf_counter()
    session.score(suite, Options(folder), Console(quiet=True))
    return len(dataset.entries) / (time.perf_counter() - started)


def warm(task: Measure) -> None:
    _metrics(tuple((spec.metric, tuple(sorted(spec.options.items()))) for spec in task.metrics), task.device)
    time.sleep(0.5)  # long enough that every worker gets one


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "overhead.yaml").write_text(SUITE, encoding="utf-8")
        suite = load_suite(folder / "overhead.yaml")
        bare = bare_loop(suite)
        print(f"CPU per utterance, runner / bare loop: {through_the_runner(suite, folder / 'a' / 'run') / bare:.3f}")
        one, two = (throughput(suite, folder / str(jobs) / "run", jobs) for jobs in (1, 2))
        print(f"throughput, two workers / one: {two / one:.2f}")


if __name__ == "__main__":
    main()
