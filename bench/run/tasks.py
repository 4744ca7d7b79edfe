"""What a run hands to its workers and what comes back: plain data, free of torch, that fits through a pipe or an object store."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.codec import OperatingPoint
from bench.dataset import Entry as Source
from bench.metric import NotApplicable
from bench.record import Column, Score
from bench.recordings import Recording
from bench.run.tokens import TokenCounts
from bench.suite import Entry

Lane = Literal["device", "core"]  # codecs and accelerated metrics; all other metrics. On a machine without accelerators, the same workers


@dataclass(frozen=True)
class Failed:
    """What stands in place of a result where code raised: the reason for the record, and the whole traceback."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class DescribeTask:
    """Asks for the facts of a loaded codec, and for its tuned points, for which it analyses `sources`."""

    entry: Entry
    sources: tuple[Source, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Description:
    """parameters: trainable values of the model; points: with what was tuned."""

    parameters: int
    points: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class ScoreCell:
    """Decoded audio, as FLAC or as the file of a recording, and the columns that its record lacks.

    audio                       b"" of a cell that has yet to be decoded
    point, hop_length, stream   what the audio was made from, for the columns that ask for it; the stream is b"" where it is not kept
    """

    audio: bytes | Path
    columns: tuple[Column, ...]
    reference: Path | None = None  # in place of the utterance's own audio
    point: OperatingPoint | None = None
    hop_length: int = 0
    stream: bytes = b""


@dataclass(frozen=True)
class DecodeCell:
    """One point of one utterance.

    stream      the stored bitstream, where only its audio is gone: decoded without `analyse` and `encode`
    recording   audio that was decoded elsewhere: read and checked
    score       what is to be scored of it in the same task, where the workers that decode are those that score
    """

    point: OperatingPoint
    stream: bytes | None = None
    recording: Recording | None = None
    score: ScoreCell | None = None


@dataclass(frozen=True)
class DecodeTask:
    """All points of an utterance that one codec has yet to decode."""

    entry: Entry
    source: Source
    cells: tuple[DecodeCell, ...]
    seed: int = 0

    def parts(self) -> list[tuple[DecodeTask, tuple[int, ...]]]:
        """The same work in smaller pieces, each with the numbers of its cells, when it was lost as a whole; none where it is one cell.

        First the scores are left for tasks of their own, so that a metric is never taken for the codec.
        """
        if any(cell.score for cell in self.cells):
            cells = tuple(dataclasses.replace(cell, score=None) for cell in self.cells)
            return [(dataclasses.replace(self, cells=cells), tuple(range(len(cells))))]
        if len(self.cells) == 1:
            return []
        return [(dataclasses.replace(self, cells=(cell,)), (number,)) for number, cell in enumerate(self.cells)]


@dataclass(frozen=True)
class Decoded:
    """The audio of one cell.

    facts    fields of the record: rates, bits, cost
    audio    24-bit FLAC, mono, at the codec's rate: what is stored, and what is scored; b"" of a recording, which has its own file
    stream   the packed bitstream
    scored   what came of `DecodeCell.score`; None where nothing was asked for
    tokens   counts of a stream that was encoded just now
    """

    facts: Mapping[str, Any]
    audio: bytes = b""
    stream: bytes = b""
    scored: Scored | None = None
    tokens: TokenCounts | None = None


@dataclass(frozen=True)
class CheckTask:
    """Asks a process that did not encode it to decode a bitstream, and to compare audio and header with what the first one got."""

    entry: Entry
    point: OperatingPoint
    stream: bytes
    audio: bytes
    seed: int = 0


@dataclass(frozen=True)
class ScoreTask:
    """Decoded audio of one utterance, to be scored together: a recogniser hears all points in one batch."""

    source: Source
    cells: tuple[ScoreCell, ...]
    entry: Entry | None = None  # the codec, for the columns that ask for it
    seed: int = 0

    def parts(self) -> list[tuple[ScoreTask, tuple[int, ...]]]:
        """The same work one column at a time; of one column, one cell at a time; none where it is one cell and column."""
        parts = []
        for column in dict.fromkeys(column for cell in self.cells for column in cell.columns):
            numbers = tuple(number for number, cell in enumerate(self.cells) if column in cell.columns)
            cells = tuple(dataclasses.replace(self.cells[number], columns=(column,)) for number in numbers)
            parts.append((dataclasses.replace(self, cells=cells), numbers))
        if len(parts) == 1:
            parts = [(dataclasses.replace(self, cells=(cell,)), (number,)) for number, cell in enumerate(self.cells)]
        return parts if len(parts) > 1 else []


@dataclass(frozen=True)
class Scored:
    """Of one cell, by the key of the column: a score, why there is none, or why the metric has no meaning there."""

    scores: Mapping[str, Score] = field(default_factory=dict)
    failures: Mapping[str, Failed] = field(default_factory=dict)
    not_applicable: Mapping[str, str] = field(default_factory=dict)


Outcome = Score | NotApplicable | Failed
