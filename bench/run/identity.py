"""The keys under which results are kept: the hash of all that a score follows from, the same in any run and on any machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from bench import audio
from bench.checkpoint import find, sha256
from bench.codec import OperatingPoint
from bench.dataset import Entry as Source
from bench.plugins import sources_of
from bench.record import Column
from bench.recordings import Recording
from bench.suite import Entry, MetricSpec

_KEY_DIGITS = 24


def codec_identity(entry: Entry, registry: Any) -> list[Any]:
    """What a codec's results follow from beside point and audio: its code, and its weights by their content.

    The version of a codec of the project; of one's own the file and all that it imports from its folder or package. The checkpoint is
    hashed here, file or folder, whatever the codec says of it: one that is overwritten in place is another one.
    """
    own = registry.codec_file(entry.module)
    code = [entry.module] if own is None else _code(own)
    return [code, registry.codec_module(entry.module).VERSION, weights_of(entry, registry) or entry.checkpoint]


def weights_of(entry: Entry, registry: Any) -> list[str]:
    """The sha256 of every file of weights that is on this machine for the codec; none for one without."""
    needs = registry.codec_module(entry.module).needs(entry.checkpoint)
    files = [file for need in needs if need.kind == "weights" for file in need.files]
    if entry.checkpoint is not None and (found := find(entry.checkpoint, entry.module)) is not None:
        files.append(found)
    return sorted({sha256(file) for file in files})


def _code(file: Path) -> list[list[str]]:
    return [[path.name, sha256(path)] for path in sources_of(file)]


def record_key(made_by: str, heard: str) -> str:
    """The key of one utterance at one point: metrics are not in it, and neither is what the suite calls things."""
    return hashlib.sha256(f"[{made_by}, {heard}]".encode()).hexdigest()[:_KEY_DIGITS]


def made_by(codec: list[Any], point: OperatingPoint) -> str:
    """What of a key is the same for all utterances."""
    return json.dumps([codec, point.frame_rate, point.n_q, sorted(point.options.items())])


def made_elsewhere(recording: Recording) -> str:
    """In place of `made_by`, of audio that was decoded before."""
    reference = sha256(recording.reference) if recording.reference else ""
    return json.dumps([sha256(recording.path), reference, recording.frame_rate, recording.bitrate, recording.n_q])


def heard(source: Source) -> str:
    """What of a key is the same for all codecs and points."""
    return json.dumps([sha256(source.path), source.text, source.language, audio.RESAMPLER])[1:-1]


def column_of(spec: MetricSpec, registry: Any) -> Column:
    """The column of a metric; its key holds the metric with its version and options, weights and code of one's own by their content."""
    paths = {name: Path(value) for name, value in spec.options.items() if name.startswith("checkpoint")}
    options = {**spec.options, **{name: sha256(path) for name, path in paths.items() if path.exists()}}
    if (own := registry.metric_file(spec.metric)) is not None:
        options["code"] = json.dumps(_code(own))
    suffix = ":" + hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8] if options else ""
    return Column(spec.metric, f"{spec.metric}#{registry.metric_infos()[spec.metric].version}{suffix}")
