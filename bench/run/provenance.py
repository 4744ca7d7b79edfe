"""What run.json says of a run: suite, codecs, metrics, versions, machine."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench import audio, recordings
from bench.checkpoint import sha256
from bench.codec import CodecInfo
from bench.dataset import Dataset
from bench.registry import RECORDINGS
from bench.run.identity import weights_of
from bench.run.store import SCHEMA
from bench.run.tasks import Description, Failed
from bench.suite import Entry, MetricSpec, Suite

_PACKAGES = """speech-codec-bench torch numpy scipy numba soundfile soxr pandas transformers snac av pesq pystoi speechmos onnxruntime
pocketsphinx jiwer whisper_normalizer constriction nemo_toolkit torchaudio datasets resemblyzer speechbrain praat-parselmouth
visqol-python ai-edge-litert"""


def info_of(entry: Entry, registry: Any) -> CodecInfo:
    if entry.module != RECORDINGS:
        return registry.codec_module(entry.module).INFO
    return dataclasses.replace(recordings.INFO, kind=entry.kind, title=entry.system or recordings.INFO.title)


def portable(checkpoint: str | None) -> str:
    """A path is told by its file's name: results do not carry the folders of one machine."""
    return "" if checkpoint is None else Path(checkpoint).name if Path(checkpoint).is_absolute() else checkpoint


def about_run(suite: Suite, datasets: Sequence[Dataset], registry: Any) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "suite": {**suite.data, "published": [dataclasses.asdict(figure) for figure in suite.published]},
        "suite_text": suite.text,
        "metrics": {spec.metric: _about_metric(spec, registry) for spec in suite.metrics},
        "codecs": {},
        "datasets": [
            {
                "name": dataset.name,
                "revision": dataset.revision,
                "licence": dataset.licence,
                "citation": dataset.citation,
                "utterances": len(dataset.entries),
            }
            for dataset in datasets
        ],
        "versions": {"python": platform.python_version(), **_versions()},
        "git_commit": _git_commit(),
        "machine": {"system": platform.platform(), "processor": _processor()},
        "resampler": audio.RESAMPLER,
        "seed": suite.seed,
        "started": now(),
    }


def _about_metric(spec: MetricSpec, registry: Any) -> dict[str, Any]:
    files = [file for need in registry.metric_modules()[spec.metric].needs([spec.metric], spec.options) for file in need.files]
    facts = dataclasses.asdict(registry.metric_infos()[spec.metric])
    return {**facts, "options": dict(spec.options), "weights_sha256": [sha256(file) for file in files]}


def about_codec(entry: Entry, description: Description | Failed | None, described_for: str, registry: Any) -> dict[str, Any]:
    """described_for: a digest of all that `description` follows from; a later run need not ask again."""
    described = description if isinstance(description, Description) else None
    weights = [] if entry.module == RECORDINGS else weights_of(entry, registry)
    return {
        **dataclasses.asdict(info_of(entry, registry)),
        "module": Path(entry.module).name,
        "checkpoint": portable(entry.checkpoint),
        "family": entry.family,
        "parameters": described.parameters if described else 0,
        "weights_sha256": ",".join(weights),
        "described_for": described_for if described else "",
        "points": {
            point.name: {"frame_rate": point.frame_rate, "n_q": point.n_q, "options": dict(point.options)} for point in entry.points
        },
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES.split():
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _git_commit() -> str:
    """Of this program's checkout; "" where it was installed without one."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
