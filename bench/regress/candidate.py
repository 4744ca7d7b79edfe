"""A new checkpoint in the place of a suite's: refused where it does not load, scored, and judged against a baseline."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bench.analysis.verdicts import Regression, regress
from bench.checkpoint import names_in, resolve, sha256
from bench.dataset import Dataset
from bench.errors import UserError, listed, unknown
from bench.registry import RECORDINGS, Registry
from bench.regress.baseline import Baseline, check_comparable, kept, read_baseline
from bench.run.engine import Engine, LocalEngine, Lost
from bench.run.session import Options, open_datasets, score
from bench.run.store import metrics_of, read_run
from bench.run.tasks import DescribeTask, Failed
from bench.suite import Suite

_MACHINE = ("processor", "device")  # what speed depends on


def with_checkpoint(suite: Suite, label: str, checkpoint: str) -> Suite:
    """`suite` with nothing but the codec `label`, which takes its weights from `checkpoint`."""
    entries = {entry.label: entry for entry in suite.entries if entry.module != RECORDINGS}
    if label not in entries:
        raise UserError(f"{suite.source}: {unknown('codec', label, entries)}")
    return dataclasses.replace(suite, entries=(dataclasses.replace(entries[label], checkpoint=checkpoint),))


def default_out(suite: Suite, label: str, checkpoint: str) -> Path:
    """A folder of its own for every content of the checkpoint, so that audio of two never mixes and a second call resumes."""
    (entry,) = with_checkpoint(suite, label, checkpoint).entries
    return Path("results") / "regress" / f"{suite.name}-{label}-{sha256(resolve(checkpoint, entry.module))[:8]}"


def check_loads(suite: Suite, device: str, engine: Engine | None = None, registry: Any = None) -> None:
    """UserError in one line where the candidate of `with_checkpoint` does not load; in a process of its own, as that may even crash."""
    (entry,) = suite.entries
    registry = registry or Registry()
    if registry.codec_module(entry.module).INFO.kind not in {"fixed", "dynamic"}:
        raise UserError(f"codec '{entry.label}' has no weights: a checkpoint changes nothing in it")
    with contextlib.ExitStack() as ours:
        if engine is None:
            engine = LocalEngine([] if device == "cpu" else [device], 1)
            ours.callback(engine.close)
        engine.start((), registry)
        engine.submit("device", DescribeTask(dataclasses.replace(entry, points=())))
        (finished,) = engine.wait()
    result = finished.result
    if isinstance(result, (Failed, Lost)):
        reason = result.reason.removeprefix("UserError: ").removeprefix(f"{entry.checkpoint}: ")
        raise UserError(f"{entry.checkpoint}: codec '{entry.label}' refuses it: {_named(reason, entry.checkpoint)}")


def _named(reason: str, checkpoint: str | None) -> str:
    """A KeyError of a codec that looks for a name in its checkpoint, as what is missing and what is there."""
    missing = re.fullmatch(r"(?:load: )?KeyError: (?P<name>.+?)(?P<place> \(\S+:\d+\))?", reason)
    names = names_in(Path(checkpoint)) if missing and checkpoint else []
    return f"it has no {missing['name']}, but {listed(names, 5)}{missing['place'] or ''}" if missing and names else reason


def judge(
    suite: Suite,
    baseline: str,
    label: str,
    checkpoint: str,
    options: Options,
    console: Console | None = None,
    engine: Engine | None = None,
    registry: Any = None,
) -> Regression:
    """Scores the codec `label` of `suite` with the weights of `checkpoint` in `options.out`, and compares it with the baseline.

    baseline     a run's folder, a file of `bench baseline save`, or its name; read, never written to
    checkpoint   a path, or whatever else bench/checkpoint.py resolves
    engine, registry   in place of what `options` name, and of all that is installed

    In pytest:

        # test_checkpoint.py
        from pathlib import Path

        from bench.regress.candidate import judge
        from bench.run.session import Options
        from bench.suite import load_suite

        def test_the_new_checkpoint_is_not_worse(tmp_path):
            suite = load_suite(Path("my_suite.yaml"))
            checkpoint = "codecs/checkpoints/codecslime_tiny.safetensors"
            result = judge(suite, "my_suite", "codecslime", checkpoint, Options(tmp_path / "run"))
            assert result.passed(), result.failing()
    """
    known = read_baseline(baseline)
    if options.out.resolve() == known.source.resolve():
        raise UserError(f"--out {options.out} is the baseline's own folder; give another")
    (entry,) = with_checkpoint(suite, label, checkpoint).entries
    candidate = with_checkpoint(suite, label, str(resolve(checkpoint, entry.module).resolve()))
    datasets = open_datasets(suite, options.limit)
    check_comparable(known, suite, label, datasets)
    check_loads(candidate, options.device, engine, registry)
    score(candidate, options, console or Console(quiet=True), engine, registry)
    records, about = read_run(options.out)
    return _against(known, suite, label, datasets, records, about, options.out)


def _against(
    known: Baseline,
    suite: Suite,
    label: str,
    datasets: Sequence[Dataset],
    records: pd.DataFrame,
    about: Mapping[str, Any],
    out: Path,
) -> Regression:
    names = list(suite.metric_names)
    audio_files = [str((out / name).resolve()) if name else "" for name in records["audio_file"]]
    same_machine = [known.about["machine"].get(fact) for fact in _MACHINE] == [about["machine"].get(fact) for fact in _MACHINE]
    result = regress(
        known.records[known.records["codec"] == label],
        kept(records.assign(audio_file=audio_files), names),
        metrics_of(dict(about)),
        margins=suite.regress.margins,
        alpha=suite.regress.alpha,
        speed=same_machine,
        seed=suite.seed,
    )
    originals = {(dataset.name, source.id): str(source.path) for dataset in datasets for source in dataset.entries}
    worst = tuple(dataclasses.replace(each, reference_audio=originals[each.dataset, each.utterance]) for each in result.worst)
    return dataclasses.replace(result, worst=worst, notes=(*result.notes, *_notes(known.about, about, same_machine)))


def _notes(baseline: Mapping[str, Any], here: Mapping[str, Any], same_machine: bool) -> list[str]:
    notes = []
    if not same_machine:
        told = [", ".join(str(about["machine"].get(fact) or "unknown") for fact in _MACHINE) for about in (baseline, here)]
        notes.append(f"speed is not compared: the baseline ran on {told[0]}, this on {told[1]}")
    versions = [
        f"{name} {version} (here {here['versions'].get(name, 'none')})"
        for name, version in baseline["versions"].items()
        if here["versions"].get(name) != version
    ]
    if versions:
        notes.append(f"the baseline ran with other versions: {', '.join(versions)}")
    return notes
