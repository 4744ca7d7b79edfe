"""The contract of a codec: operating points, encoded streams, and the three calls that the runner makes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bench.needs import Need

if TYPE_CHECKING:  # torch is imported by those who hold tensors: reports read points and facts without it
    import torch
    from torch import Tensor

Kind = Literal["fixed", "dynamic", "classical", "ceiling", "recordings"]


@dataclass(frozen=True)
class OperatingPoint:
    """One setting at which a codec is measured; a row of every table.

    name          "6kbps", "40hz": unique within a codec
    frame_rate    Hz, nominal token frames per second; of a dynamic codec, the mean that it aims at; 0 where a codec has no frames
    n_q           codebooks in use; 0 where a codec has no codebooks
    options       the codec's own settings, e.g. {"threshold": 0.91}; {"target_frame_rate": 8.3} without a threshold asks the
                  runner to solve for the one that meets the target over the data set (`TunableCodec`)
    """

    name: str
    frame_rate: float
    n_q: int
    options: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """Tokens that share one time axis.

    tokens          int64 [N_q, F]; F token frames in time order; row q in [0, codebook_sizes[q])
    codebook_sizes  N_q of them; need not be powers of two
    durations       int64 [F], base frames each, in 1..max_duration; None at a fixed rate
    nested          durations are powers of two and each starts at a multiple of itself (TFC): coded as conditional split flags
    """

    tokens: Tensor
    codebook_sizes: tuple[int, ...]
    durations: Tensor | None = None
    max_duration: int = 1
    nested: bool = False

    def __post_init__(self) -> None:
        import torch

        if self.tokens.ndim != 2 or self.tokens.dtype != torch.int64:
            raise ValueError(f"tokens must be int64 [N_q, F], got {self.tokens.dtype} {list(self.tokens.shape)}")
        if len(self.codebook_sizes) != self.tokens.shape[0]:
            raise ValueError(f"{len(self.codebook_sizes)} codebook sizes for {self.tokens.shape[0]} codebooks")
        if self.tokens.numel():
            lowest, highest = (each.tolist() for each in self.tokens.aminmax(dim=1))
            for low, high, size in zip(lowest, highest, self.codebook_sizes, strict=True):
                if not 0 <= low <= high < size:
                    raise ValueError(f"token outside 0..{size - 1}")
        if self.durations is not None:
            if self.durations.shape != self.tokens.shape[1:] or self.durations.dtype != torch.int64:
                got = f"{self.durations.dtype} {list(self.durations.shape)}"
                raise ValueError(f"durations must be int64 [{self.tokens.shape[1]}], got {got}")
            if self.durations.numel() and not (1 <= int(self.durations.min()) and int(self.durations.max()) <= self.max_duration):
                raise ValueError(f"duration outside 1..{self.max_duration}")

    @property
    def num_frames(self) -> int:
        return int(self.tokens.shape[1])


@dataclass(frozen=True)
class Encoded:
    """All that a decoder receives. If decode() needs it, it is here and its bits are counted.

    streams      several where a codec has several rates (SNAC) or kinds of tokens (FlexiCodec)
    num_samples  length of the input at the codec's sample rate
    packets      frames of a coder that has its own format (Opus), in order; their bytes count as token bits
    """

    streams: tuple[Stream, ...]
    num_samples: int
    packets: tuple[bytes, ...] = ()


class Codec(Protocol):
    """A loaded model. It holds no operating point: the point is an argument, and a sweep analyses once."""

    sample_rate: int  # Hz; 0 takes audio at any rate, as it comes
    hop_length: int  # samples per base frame
    parameters: int  # number of trainable values, 0 without a model
    weights_sha256: str  # of the checkpoint file(s); "" without weights

    def analyse(self, audio: Tensor) -> Any:
        """What all points share (the encoder's output) of `audio` float32 [T] in [-1, 1] at `sample_rate`, T >= 1."""
        ...

    def encode(self, latent: Any, point: OperatingPoint) -> Encoded: ...

    def decode(self, encoded: Encoded) -> Tensor:
        """float32 [encoded.num_samples] on the CPU."""
        ...


class TunableCodec(Codec, Protocol):
    """A codec that can be asked for an average frame rate over a whole data set."""

    def tune(self, latents: Iterable[Any], point: OperatingPoint) -> OperatingPoint:
        """The same point with the option (a threshold, say) that gives `target_frame_rate` over all `latents` together."""
        ...


class RescaledCodec(Codec, Protocol):
    """A codec whose points name shares or thresholds: what frame rate they give depends on the checkpoint."""

    def at_own_rate(self, point: OperatingPoint) -> OperatingPoint:
        """The same point with the nominal frame rate that it has with this checkpoint."""
        ...


@dataclass(frozen=True)
class CodecInfo:
    """What a table, `bench list` and the report's credits say of a codec."""

    kind: Kind
    title: str
    licence: str
    citation: str = ""  # BibTeX
    url: str = ""


class CodecModule(Protocol):
    """A file in codecs/ is the registry entry: its name is the codec's name in YAML."""

    @property
    def INFO(self) -> CodecInfo: ...  # noqa: N802

    @property
    def VERSION(self) -> int:  # noqa: N802
        """Raised when the same input gives other tokens or audio."""
        ...

    @property
    def POINTS(self) -> Mapping[str, OperatingPoint]: ...  # noqa: N802

    def point(self, **settings: float | str) -> OperatingPoint:
        """The point of one combination of a suite's `sweep:`; ValueError names the setting and the choices."""
        ...

    def needs(self, checkpoint: str | None) -> list[Need]: ...

    def load(self, checkpoint: str | None, device: torch.device) -> Codec: ...


def check_audio(audio: Tensor) -> Tensor:
    """`audio` as it came, if a codec may be given it: float32 [T], T >= 1, every sample finite; else ValueError."""
    import torch

    if audio.ndim != 1 or audio.dtype != torch.float32:
        raise ValueError(f"audio must be float32 [T], got {audio.dtype} {list(audio.shape)}")
    if not len(audio):
        raise ValueError("audio is empty")
    if not bool(torch.isfinite(audio).all()):
        raise ValueError("audio holds NaN or infinite samples")
    return audio


def nominal_bitrate(encoded: Encoded, duration_s: float) -> float:
    """Bits per second as papers count them: log2 of each codebook's size a token, ceil(log2 max_duration) bits a duration.

    Nested durations (TFC) count nothing, as in its paper; packets count their bytes.
    """
    bits = 8.0 * sum(len(packet) for packet in encoded.packets)
    for stream in encoded.streams:
        bits += stream.num_frames * sum(math.log2(size) for size in stream.codebook_sizes)
        if stream.durations is not None and not stream.nested:
            bits += stream.num_frames * math.ceil(math.log2(stream.max_duration))
    return bits / duration_s
