"""Audio files and resampling; the only place that knows file formats."""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from bench.files import write_atomically

RESAMPLER = f"soxr {soxr.__version__} VHQ"  # one everywhere: mixed resamplers move STFT distance by 7 %
SUFFIXES = frozenset(
    {".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".au", ".caf", ".flac", ".ogg", ".oga", ".opus", ".mp3"}
    | {".m4a", ".mp4", ".aac", ".webm", ".mka", ".mkv", ".wma", ".3gp", ".amr"}  # read through FFmpeg
)
SAMPLE_RATES = (1000, 768_000)  # Hz, the least and the most that is taken for audio
MAX_SECONDS = 24 * 3600.0  # of one file
MAX_PEAK = 8.0  # 18 dB over full scale: decoders overshoot, but not by that
_SCALES = (2**7, 2**15, 2**23, 2**31)  # of integers that were written into a float file as they are
_STREAMED = 0x7FFF_F000  # a chunk of this size or more was written by a program that did not know the length, and lasts to the end
_CUT = re.compile(r"^\s*(?:RIFF|RF64|FORM|riff|data|SSND|Data Size)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)
_TOLERANCE_S = 0.1  # between what a container announces and what it holds: codecs pad, and tell it in different ways
_LISTS = frozenset({"concat", "hls", "dash"})  # that FFmpeg would follow to other files
_CONTAINERS = (b"\x1aE\xdf\xa3",)  # Matroska and WebM; MP4 and its kin have "ftyp" at byte 4


def read(path: Path | str) -> tuple[np.ndarray, int]:
    """Audio float32 [T], decoded to its end, and its sample rate in Hz; channels are averaged.

    Raises ValueError on what is no audio, empty, not finite, cut, not as long as its header announces, or on another scale than [-1, 1].
    """
    path = _regular(path)
    opened = _open(path)
    samples, sample_rate = _decode_all(path) if opened is None else opened
    _check_is_audio_rate(sample_rate)
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    check_samples(samples)
    return np.ascontiguousarray(mono), int(sample_rate)


def check_samples(samples: np.ndarray) -> None:
    """ValueError where floating-point `samples` of any shape are none, are not finite, or were never scaled to [-1, 1]."""
    if not samples.size:
        raise ValueError("holds no samples")
    if not np.isfinite(samples).all():
        raise ValueError("holds NaN or infinite samples")
    peak = float(np.abs(samples).max())
    if peak > MAX_PEAK:
        scale = next((scale for scale in _SCALES if peak <= scale), 0)
        repair = f"multiply it by 1/{scale}" if scale else f"multiply it by {1 / peak:.3g}"
        raise ValueError(f"peaks at {peak:.6g}, which is no audio in [-1, 1]; {repair}")


def probe(path: Path | str) -> tuple[int, int]:
    """Number of samples and sample rate in Hz; from the header where that is to be trusted, else decoded. ValueError where read() would."""
    path = _regular(path)
    if _by_header(path) and (file := _sound_file(path)) is not None:
        with file:
            _check_header(file)
            if 0 < file.frames < 2**62:
                return _true_length(path, file), file.samplerate
    samples, sample_rate = read(path)
    return len(samples), sample_rate


def write(path: Path, audio: np.ndarray, sample_rate: int, subtype: str = "PCM_16") -> None:
    """Audio float [T], clipped to [-1, 1], to the format that the suffix names; appears under its name only when complete."""
    write_atomically(path, lambda partial: soundfile.write(partial, np.clip(audio, -1.0, 1.0), sample_rate, subtype=subtype))


def resample(audio: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Audio float32 [T] at `target_rate` Hz (soxr, very high quality)."""
    if source_rate == target_rate:
        return audio
    return np.asarray(soxr.resample(audio, source_rate, target_rate, quality="VHQ"), dtype=np.float32)


def fit_length(audio: np.ndarray, num_samples: int) -> np.ndarray:
    """`audio` cut or zero-padded on the right to `num_samples`."""
    return audio[:num_samples] if len(audio) >= num_samples else np.pad(audio, (0, num_samples - len(audio)))


def _regular(path: Path | str) -> Path:
    """The path, if a regular file is there: a FIFO would wait for ever."""
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        raise ValueError("the path holds a NUL character") from None
    except FileNotFoundError:
        raise ValueError("is not there") from None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if not stat.S_ISREG(mode):
        raise ValueError("is a folder, not a file" if stat.S_ISDIR(mode) else "is no regular file")
    return Path(path)


def _by_header(path: Path) -> bool:
    """Whether libsndfile reads the file, by a header that states its length: not MP3, where it is an estimate. Ogg must be whole."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        raise ValueError("is empty")
    if head.startswith(b"OggS"):
        _check_ogg(path)
    is_mp3 = head[:3] == b"ID3" or (head[0] == 0xFF and len(head) > 1 and head[1] & 0xE0 == 0xE0)
    return not (is_mp3 or head.startswith(_CONTAINERS) or head[4:8] == b"ftyp" or head.startswith(b"#!AMR"))


def _sound_file(path: Path) -> soundfile.SoundFile | None:
    """None where libsndfile does not know it: FFmpeg may."""
    try:
        return soundfile.SoundFile(str(path))
    except soundfile.LibsndfileError:
        return None


def _open(path: Path) -> tuple[np.ndarray, int] | None:
    """float32 [T, channels] by libsndfile; None where PyAV has to decode it: other containers, MP3, and a length that is not stated."""
    if not _by_header(path) or (file := _sound_file(path)) is None:
        return None
    with file:
        _check_header(file)
        if not file.frames or file.frames >= 2**62:
            return None
        length = _true_length(path, file)
        try:
            samples = file.read(length, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"is damaged or cut ({error.error_string.strip().rstrip('.')})") from None
        if len(samples) < length:
            raise ValueError(f"is cut: {len(samples)} of the {length} samples that it announces")
        return samples, file.samplerate


def _check_header(file: soundfile.SoundFile) -> None:
    """Before memory is asked for: rates and lengths that cannot be, and chunks that announce more than the file holds."""
    _check_is_audio_rate(file.samplerate)
    if file.frames < 2**62 and file.frames / file.samplerate > MAX_SECONDS:
        raise ValueError(f"announces {file.frames / file.samplerate / 3600:.3g} hours, more than {MAX_SECONDS / 3600:g}")
    for announced, held in _CUT.findall(file.extra_info):
        if int(held) < int(announced) < _STREAMED:
            raise ValueError(f"is cut: {held} of the {announced} bytes that its header announces")


def _check_ogg(path: Path) -> None:
    """An Ogg stream ends with a page that says so, and is whole."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 2**17))  # two pages at most
        tail = file.read()
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 27:
        raise ValueError("is cut: its last page is not whole")
    segments = tail[last + 26]
    lacing = tail[last + 27 : last + 27 + segments]
    if len(lacing) < segments or len(tail) < last + 27 + segments + sum(lacing):
        raise ValueError("is cut: its last page is not whole")
    if not tail[last + 5] & 4:
        raise ValueError("is cut: its last page does not end the stream")


def _check_is_audio_rate(sample_rate: int) -> None:
    if not SAMPLE_RATES[0] <= sample_rate <= SAMPLE_RATES[1]:
        raise ValueError(f"has a sample rate of {sample_rate} Hz; audio has {SAMPLE_RATES[0]} to {SAMPLE_RATES[1]} Hz")


def _true_length(path: Path, file: soundfile.SoundFile) -> int:
    """Samples that count: ADPCM fills its last block, and says in the `fact` chunk how many were meant."""
    if "ADPCM" not in file.subtype or not file.format.startswith(("WAV", "RF64")):
        return int(file.frames)
    with path.open("rb") as stream:
        stream.seek(12)
        while len(head := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"fact":
                (stated,) = struct.unpack("<I", stream.read(4))
                return int(stated) if 0 < stated <= file.frames else int(file.frames)
            stream.seek(size + size % 2, os.SEEK_CUR)
    return int(file.frames)


def _decode_all(path: Path) -> tuple[np.ndarray, int]:
    """float32 [T, channels] by FFmpeg, to the last packet; what is announced is compared with what came."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            if container.format.name in _LISTS:
                raise ValueError(f"is a list of other files ({container.format.name}), and holds no audio itself")
            if not container.streams.audio:
                raise ValueError("holds no audio")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise ValueError("holds audio in a coding that is unknown here")
            if not stream.rate:
                raise ValueError("no readable audio (its sample rate is not told)")
            _check_is_audio_rate(stream.rate)
            announced_s = _announced_s(path, container, stream)
            if announced_s is not None and announced_s > MAX_SECONDS:
                raise ValueError(f"announces {announced_s / 3600:.3g} hours, more than {MAX_SECONDS / 3600:g}")
            resampler = av.AudioResampler(format="fltp")
            blocks = [out.to_ndarray() for frame in container.decode(stream) for out in resampler.resample(frame)]
            blocks += [out.to_ndarray() for out in resampler.resample(None)]
            sample_rate = int(stream.rate)
    except FFmpegError as error:
        raise ValueError(f"no readable audio ({error.strerror or type(error).__name__})") from None
    if not blocks:
        raise ValueError("holds no samples")
    samples = np.concatenate(blocks, axis=1).T
    seconds = len(samples) / sample_rate
    if announced_s is not None and announced_s - seconds > max(_TOLERANCE_S, 0.01 * announced_s):
        raise ValueError(f"is cut: {seconds:.2f} of the {announced_s:.2f} s that it announces")
    return samples, sample_rate


def _announced_s(path: Path, container: Any, stream: Any) -> float | None:
    """The duration that the file states, not one that FFmpeg estimates from its size."""
    if container.format.name == "mp3":
        return _mp3_announced_s(path, int(stream.rate))
    if container.format.name in {"aac", "amr"}:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration is not None else None


def _mp3_announced_s(path: Path, sample_rate: int) -> float | None:
    """From the Xing, Info or VBRI header in the first frame; None where there is none."""
    with path.open("rb") as file:
        head = file.read(10)
        start = 10 + sum((head[6 + i] & 0x7F) << (21 - 7 * i) for i in range(4)) if head[:3] == b"ID3" else 0
        file.seek(start)
        frame = file.read(4096)
    samples_a_frame = 1152 if sample_rate >= 32000 else 576
    for name, flags_at, frames_at in ((b"Xing", 4, 8), (b"Info", 4, 8), (b"VBRI", None, 14)):
        place = frame.find(name, 0, 256)
        if place >= 0 and len(frame) >= place + frames_at + 4:
            if flags_at is not None and not frame[place + flags_at + 3] & 1:
                return None
            (frames,) = struct.unpack(">I", frame[place + frames_at : place + frames_at + 4])
            return max(0, frames - 2) * samples_a_frame / sample_rate  # the encoder's delay and padding are taken off when it is decoded
    return None
