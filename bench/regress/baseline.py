"""Baselines: the scores of a run as one small file that is committed, read back, and compared only with what is comparable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import audio
from bench.dataset import Dataset
from bench.errors import UserError, unknown
from bench.files import read_table, without_nan, write_table
from bench.record import detail_column
from bench.registry import Registry, take_metrics
from bench.run.identity import codec_identity, heard, made_by, record_key
from bench.run.store import SCHEMA, read_run
from bench.suite import REFERENCE, Entry, Suite

FOLDER = Path("results/baselines")
_ABOUT = b"speech_codec_bench"  # key of the parquet's metadata under which run.json is kept
_NAMES = ("codec", "point", "dataset", "utterance", "speaker", "language", "reference_key")
_COUNTS = ("bits_tokens", "bits_side", "token_frames")
_SPENT = ("duration_s", "bitrate", "frame_rate", "token_rate", "encode_s", "decode_s")
_REASONS = ("failures", "not_applicable")
_MAX_NAME = 200  # bytes
_PRECISION_BITS = 17  # of a score's mantissa: 4e-6 of its value, far below any margin, and half of the file


@dataclass(frozen=True)
class Baseline:
    """Scores that were read, never computed.

    records   columns of bench.record.Record, those of `kept`, with `kind` and `family`; from a run's folder `audio_file` too, as a path
    about     run.json of the run
    """

    source: Path
    records: pd.DataFrame
    about: Mapping[str, Any]


def save_baseline(run: Path, name: str, codecs: Sequence[str] = (), folder: Path = FOLDER) -> Path:
    """Keeps the scores of a finished run (of `codecs`, where not of all) as folder/NAME.parquet."""
    import pyarrow as pa

    if not name or Path(name).name != name or name.startswith(".") or not name.isprintable() or len(name.encode()) > _MAX_NAME:
        raise UserError(f"baseline {name[:_MAX_NAME]!r}: a name without folders, of {_MAX_NAME} bytes at most, such as tiny")
    found = _read_folder(run)
    about = dict(found.about)
    for codec in codecs:
        if codec not in about["codecs"]:
            raise UserError(f"{run}: {unknown('codec', codec, about['codecs'])}")
    records = found.records.drop(columns=["audio_file", "kind", "family"])
    if codecs:
        records = records[records["codec"].isin(codecs)]
        about["codecs"] = {label: facts for label, facts in about["codecs"].items() if label in codecs}
    scores = [column for column in records.columns if column not in (*_NAMES, *_COUNTS, *_REASONS)]
    table = pa.Table.from_pandas(records.astype(dict.fromkeys(scores, np.float32)), preserve_index=False)
    table = table.replace_schema_metadata({_ABOUT: json.dumps(without_nan(about), allow_nan=False).encode()})
    path = folder / f"{name}.parquet"
    texts = [column for column in records.columns if column not in (*scores, *_COUNTS)]
    # floats as planes of bytes: the zeros below the kept bits, and the exponents, then cost next to nothing
    write_table(path, table, compression="zstd", compression_level=19, use_dictionary=texts, use_byte_stream_split=scores)
    return path


def read_baseline(source: str, folder: Path = FOLDER) -> Baseline:
    """A run's folder, a file of `save_baseline`, or the name of one in `folder`."""
    path = Path(source)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        known = {found.stem: found for found in folder.glob("*.parquet")}
        if source not in known:
            raise UserError(f"{unknown('baseline', source, known)} (a name in {folder}, a file, or the folder of a run)")
        path = known[source]
    return _read_file(path)


def check_comparable(baseline: Baseline, suite: Suite, label: str, datasets: Sequence[Dataset]) -> None:
    """UserError lists all in which the baseline is not what `suite` would give for the codec `label` on `datasets`."""
    differences = [
        *_suite_differences(baseline.about, suite, label),
        *_metric_differences(baseline.about, suite),
        *_data_differences(baseline, suite, label, datasets),
    ]
    if differences:
        listed = "\n".join(f"  {difference}" for difference in differences)
        raise UserError(
            f"{baseline.source}: no baseline for {suite.source}:\n{listed}\n"
            f"  make one with: bench run {suite.source} --out RUN; bench baseline save RUN NAME"
        )


def kept(records: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The columns that a comparison needs, at the precision that a baseline keeps; both sides of a comparison go through here."""
    counts = [column for name in metrics for part in ("errors", "words") if (column := detail_column(name, part)) in records]
    floats = [*_SPENT, *(name for name in metrics if name in records), *counts]
    rounded = {name: _rounded(records[name].to_numpy(np.float64, na_value=np.nan)) for name in floats}
    others = [name for name in (*_NAMES, *_COUNTS, *_REASONS, "audio_file") if name in records]
    return pd.concat([records[others], pd.DataFrame(rounded, index=records.index)], axis=1).reset_index(drop=True)


def reference_keys(suite: Suite, datasets: Sequence[Dataset]) -> dict[tuple[str, str], str]:
    """(data set, utterance) -> the key of its unprocessed reference, which follows from audio, text, language and resampler."""
    entry = next(entry for entry in suite.entries if entry.module == REFERENCE)
    made = made_by(codec_identity(entry, Registry()), entry.points[0])
    return {(dataset.name, source.id): record_key(made, heard(source)) for dataset in datasets for source in dataset.entries}


def _read_folder(folder: Path) -> Baseline:
    records, about = read_run(folder)
    if "finished" not in about:
        raise UserError(f"{folder}: the run was interrupted; finish it with: {about.get('command') or 'bench run'}")
    of_reference = records[records["module"] == REFERENCE]
    keys = dict(zip(zip(of_reference["dataset"], of_reference["utterance"], strict=True), of_reference["key"], strict=True))
    places = zip(records["dataset"], records["utterance"], strict=True)
    files = [str((folder / name).resolve()) if name else "" for name in records["audio_file"]]
    records = records.assign(reference_key=[keys.get(place, "") for place in places], audio_file=files)
    return Baseline(folder, _with_kinds(kept(records[records["module"] != REFERENCE], list(about["metrics"])), about), about)


def _read_file(path: Path) -> Baseline:
    remedy = "make a baseline with: bench baseline save RUN NAME"
    table = read_table(path, remedy)
    metadata = table.schema.metadata
    if _ABOUT not in metadata:
        raise UserError(f"{path}: not a baseline; {remedy}")
    about, records = json.loads(metadata[_ABOUT]), table.to_pandas()
    if about["schema"] != SCHEMA:
        raise UserError(f"{path}: schema {about['schema']}, this version reads {SCHEMA}; save it again from a new run")
    floats = records.select_dtypes(np.float32).columns
    return Baseline(path, _with_kinds(records.astype(dict.fromkeys(floats, np.float64)), about), about)


def _with_kinds(records: pd.DataFrame, about: Mapping[str, Any]) -> pd.DataFrame:
    """`records` with the kind and the family of each codec, which run.json knows."""
    facts = {name: {label: codec.get(name, "") for label, codec in about["codecs"].items()} for name in ("kind", "family")}
    return records.assign(**{name: records["codec"].map(known) for name, known in facts.items()})


def _rounded(values: np.ndarray) -> np.ndarray:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(np.ldexp(mantissa, _PRECISION_BITS)), exponent - _PRECISION_BITS)


# --- what differs ---------------------------------------------------------------------------------------------------------------


def _suite_differences(about: Mapping[str, Any], suite: Suite, label: str) -> list[str]:
    name = about["suite"]["name"]
    if name != suite.name:
        return [f"suite: '{name}' in the baseline, '{suite.name}' here"]
    if label not in about["codecs"]:
        return [f"codecs: {unknown('codec', label, about['codecs'])} in the baseline"]
    entry = _entry(suite, label)
    codec = about["codecs"][label]
    found = []
    if codec["module"] != Path(entry.module).name:
        found.append(f"codec '{label}': {codec['module']} in the baseline, {Path(entry.module).name} here")
    for point in entry.points:
        known = codec["points"].get(point.name)
        if known is None:
            found.append(f"codec '{label}': point '{point.name}' is not in the baseline, which has {', '.join(codec['points'])}")
            continue
        asked = {"frame_rate": point.frame_rate, "n_q": point.n_q, **point.options}
        settings = {"frame_rate": known["frame_rate"], "n_q": known["n_q"], **known["options"]}
        # a tuned point (`target_frame_rate`) has more options in the baseline: those that tuning found
        if any(settings.get(key) != value for key, value in asked.items()):
            found.append(f"codec '{label}': point '{point.name}' is {settings} in the baseline, {asked} here")
    return found


def _metric_differences(about: Mapping[str, Any], suite: Suite) -> list[str]:
    found = []
    registry = Registry()
    take_metrics(registry, suite.metrics)
    for spec in suite.metrics:
        known = about["metrics"].get(spec.metric)
        version = registry.metric_infos()[spec.metric].version
        if known is None:
            found.append(f"metric '{spec.metric}': not in the baseline")
        elif known["version"] != version:
            found.append(f"metric '{spec.metric}': version {known['version']} in the baseline, {version} here")
        elif _portable(known["options"]) != _portable(spec.options):
            found.append(f"metric '{spec.metric}': options {_portable(known['options'])} in the baseline, {_portable(spec.options)} here")
    return found


def _portable(options: Mapping[str, str]) -> dict[str, str]:
    """Paths by their files' names: a baseline comes from another machine."""
    return {key: Path(value).name if Path(value).is_absolute() else value for key, value in options.items()}


def _data_differences(baseline: Baseline, suite: Suite, label: str, datasets: Sequence[Dataset]) -> list[str]:
    if baseline.about["resampler"] != audio.RESAMPLER:
        return [f"resampler: {baseline.about['resampler']} in the baseline, {audio.RESAMPLER} here"]
    revisions = {dataset["name"]: dataset["revision"] for dataset in baseline.about["datasets"]}
    rows = baseline.records[baseline.records["codec"] == label]
    known = dict(zip(zip(rows["dataset"], rows["utterance"], strict=True), rows["reference_key"], strict=True))
    keys = reference_keys(suite, datasets)
    found = []
    for dataset in datasets:
        if dataset.name not in revisions:
            found.append(f"data set '{dataset.name}': not in the baseline, which has {', '.join(revisions)}")
            continue
        if revisions[dataset.name] != dataset.revision:
            found.append(f"data set '{dataset.name}': revision {revisions[dataset.name]} in the baseline, {dataset.revision} here")
        places = [(dataset.name, source.id) for source in dataset.entries]
        if missing := [utterance for name, utterance in places if (name, utterance) not in known]:
            found.append(f"data set '{dataset.name}': {len(missing)} utterances are not in the baseline (first: {missing[0]})")
        # a candidate's own run has no reference, and so no keys to compare
        if other := [place[1] for place in places if known.get(place) and known[place] != keys[place]]:
            found.append(f"data set '{dataset.name}': {len(other)} utterances have other audio, text or language (first: {other[0]})")
    return found


def _entry(suite: Suite, label: str) -> Entry:
    entries = {entry.label: entry for entry in suite.entries}
    if label not in entries:
        raise UserError(f"{suite.source}: {unknown('codec', label, entries)}")
    return entries[label]
