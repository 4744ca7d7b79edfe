"""The row that a run writes for one utterance at one operating point: what every report reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CODEC = "codec"  # the key in `failures` of a codec that could not be loaded, or failed on the utterance: nothing was scored


@dataclass(frozen=True)
class Record:
    """One utterance at one operating point.

    In `records.parquet` the fields stand as columns of their names; each score as a column of the metric's name, its details as
    `<metric>:<detail>` (`wer_pocketsphinx:errors`, `wer_pocketsphinx:hypothesis`); `failures` and `not_applicable` as JSON.
    Read them by `detail`, `failures_of` and `not_applicable_of`. A failed metric has no score: its column is null, and every mean
    prints its n.

    Here, scores and reasons are kept under `Column.key`; a run's table shows them under the column's name.

    key             hash of weights, codec version, point and audio: a change means a new key
    codec           label in the suite ("fixed_40"); `module` is the file in codecs/ ("fixed")
    kind            "fixed", "dynamic", "classical", "ceiling", "recordings"
    family          the curve that the suite puts the codec on together with others ("fixed"); "" where it is a curve of its own
    duration_s      of the audio that went in, never of the padded audio
    token_frames    token frames of all streams together; frame_rate = token_frames / duration_s, Hz
    token_rate      tokens per second over all codebooks, Hz
    bits_tokens     of the packed stream; bits_side: durations, masks, flags; bits_total: the packed length, header included
    bits_entropy    the same content through an adaptive range coder
    bitrate         (bits_tokens + bits_side) / duration_s, bit/s; nominal_bitrate: as the papers count, bit/s
    clipped_samples samples of the decoded audio outside [-1, 1), which its 24-bit file clips
    length_error    samples by which the decoded audio is longer than it should be; a codec's own is a failure, recordings may differ
    sample_rate     Hz, of the decoded audio; 0 where nothing was decoded
    audio_file      decoded audio (FLAC), relative to the run's folder; stream_file: the packed stream; "" without
    """

    key: str
    codec: str
    module: str
    checkpoint: str
    kind: str
    point: str
    dataset: str
    language: str
    utterance: str
    speaker: str
    text: str
    duration_s: float
    family: str = ""
    sample_rate: int = 0
    hop_length: int = 0
    token_frames: int = 0
    frame_rate: float = 0.0
    token_rate: float = 0.0
    bits_tokens: int = 0
    bits_side: int = 0
    bits_total: int = 0
    bits_entropy: int = 0
    bitrate: float = 0.0
    nominal_bitrate: float = 0.0
    encode_s: float = 0.0
    decode_s: float = 0.0
    peak_memory_mb: float = 0.0
    length_error: int = 0
    clipped_samples: int = 0
    audio_file: str = ""
    stream_file: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)  # column or CODEC -> reason
    not_applicable: Mapping[str, str] = field(default_factory=dict)  # column -> reason


FACTS = tuple(each.name for each in fields(Record) if each.name not in {"scores", "failures", "not_applicable"})


@dataclass(frozen=True)
class Column:
    """One column of a suite's table.

    key   under which scores are kept: metric, version, hash of options, so that scores of another version never pass for these
    """

    name: str
    key: str


@dataclass(frozen=True)
class MetricInfo:
    """Facts on one column; importing the module that holds them imports nothing heavy.

    unit          "dB", "MOS", "%", "" ...
    sample_rate   Hz, at which reference and degraded are compared
    definition    one sentence; `source` names the paper or code it is taken from
    languages     BCP-47 primary tags it applies to; None for all. Elsewhere it is not applicable: neither a score nor a failure
    corpus_ratio  the mean over a corpus is sum(details["errors"]) / sum(details["words"]), not a mean of utterances (WER, CER)
    diagnostic    describes the signal (delay, gain), ranks nothing
    accelerated   gains from an accelerator: scored beside the codec on its device, all others on CPU workers
    needs_text    compares with the transcript: not applicable where there is none
    caveat        why it leads no table: its column stands after those without one; "" where it may
    of_stream     looks at what was sent, or asks the codec itself (`metric.StreamMetric`): not applicable to recordings
    """

    name: str
    unit: str
    version: int
    sample_rate: int
    higher_is_better: bool
    definition: str
    source: str
    licence: str = ""
    citation: str = ""
    languages: tuple[str, ...] | None = None
    corpus_ratio: bool = False
    diagnostic: bool = False
    accelerated: bool = False
    needs_text: bool = False
    of_stream: bool = False
    caveat: str = ""

    @property
    def sign(self) -> float:
        """1.0 where higher is better, else -1.0: times a value, more is always better."""
        return 1.0 if self.higher_is_better else -1.0


def leading(metrics: Mapping[str, MetricInfo]) -> dict[str, MetricInfo]:
    """`metrics` in the order of a table's columns: those with a caveat last, else as they come."""
    return dict(sorted(metrics.items(), key=lambda item: bool(item[1].caveat)))


def ranking(metrics: Mapping[str, MetricInfo]) -> dict[str, MetricInfo]:
    """`metrics` without the diagnostics, which rank nothing."""
    return {name: info for name, info in metrics.items() if not info.diagnostic}


@dataclass(frozen=True)
class Score:
    """A value in the metric's unit, with what must be kept beside it: edit counts, the ASR hypothesis."""

    value: float
    details: Mapping[str, float | str] = field(default_factory=dict)


def detail_column(metric: str, name: str) -> str:
    return f"{metric}:{name}"


def detail(records: pd.DataFrame, metric: str, name: str) -> np.ndarray:
    """A detail of every score that is a number, such as "errors" and "words": float64 [rows]; NaN where there is none."""
    import numpy as np

    column = detail_column(metric, name)
    return records[column].to_numpy(np.float64, na_value=np.nan) if column in records else np.full(len(records), np.nan)


def detail_texts(records: pd.DataFrame, metric: str, name: str) -> list[str] | None:
    """A detail of every score that is a text, such as "hypothesis", "" where there is none; None where no score has it."""
    column = detail_column(metric, name)
    return [text if isinstance(text, str) else "" for text in records[column]] if column in records else None


def failures_of(records: pd.DataFrame) -> list[Mapping[str, str]]:
    """Of every row: metric or CODEC -> reason."""
    return read_reasons(records["failures"])


def not_applicable_of(records: pd.DataFrame) -> list[Mapping[str, str]]:
    """Of every row: metric -> reason."""
    return read_reasons(records["not_applicable"])


def reasons_text(reasons: Mapping[str, str]) -> str:
    """A cell of the columns `failures` and `not_applicable`."""
    return json.dumps(dict(reasons), ensure_ascii=False)


def read_reasons(cells: Iterable[object]) -> list[Mapping[str, str]]:
    """What `reasons_text` wrote; {} for a cell that is no text. Equal cells, nearly all of them, are read once."""
    read: dict[object, Mapping[str, str]] = {}
    return [read[cell] if cell in read else read.setdefault(cell, json.loads(cell) if isinstance(cell, str) else {}) for cell in cells]
