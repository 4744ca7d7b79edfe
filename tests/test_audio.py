"""Audio is read to its end as it is, or refused in a line: never a part of it, never on another scale."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from bench import audio

RATE = 16000
CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases"


def tone(seconds: float = 2.0) -> np.ndarray:
    return (0.4 * np.sin(np.arange(int(seconds * RATE)) / 9) * np.hanning(int(seconds * RATE))).astype(np.float32)


def encode(path: Path, codec: str, samples: np.ndarray, rate: int = RATE, container: str | None = None, **options: str) -> Path:
    with av.open(str(path), "w", format=container, options=options) as output:
        stream: Any = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or None)
        for block in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(block))
        output.mux(stream.encode(None))
    return path


def test_a_file_is_written_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    for suffix in (".wav", ".flac"):
        path = tmp_path / suffix / "a/b" / f"x{suffix}"
        audio.write(path, np.zeros(160), 16000)
        assert audio.probe(path) == (160, 16000)


def test_an_mp3_without_a_header_of_its_length_is_decoded_to_its_end(tmp_path) -> None:
    rng = np.random.default_rng(0)
    samples = tone(6.0)
    samples[: len(samples) // 4] += 0.2 * rng.standard_normal(len(samples) // 4).astype(np.float32)  # its rate varies: an estimate is off
    path = encode(tmp_path / "a.mp3", "libmp3lame", samples, write_xing="0")
    read, rate = audio.read(path)
    assert len(read) / rate == pytest.approx(6.0, abs=0.15)
    assert audio.probe(path) == (len(read), rate)
    whole = encode(tmp_path / "b.mp3", "libmp3lame", samples)
    assert len(audio.read(whole)[0]) / rate == pytest.approx(6.0, abs=0.1)
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"is cut"):
        audio.read(cut)


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.webm", "libopus"), ("a.mka", "flac"), ("a.ogg", "libvorbis")])
def test_containers_that_ffmpeg_reads_are_read(name, codec, tmp_path) -> None:
    rate = 48000 if codec == "libopus" else RATE
    path = encode(tmp_path / name, codec, tone(), rate)
    read, found = audio.read(path)
    assert len(read) / found == pytest.approx(2.0 * RATE / rate, abs=0.15)
    assert audio.probe(path) == (len(read), found)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "FLAC", "OGG"])
def test_a_file_that_is_cut_is_refused(kind, tmp_path) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, tone(8.0), RATE, format=kind)
    assert len(audio.read(path)[0]) == 8 * RATE
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    for ask in (audio.read, audio.probe):
        if (ask, kind) != (audio.probe, "FLAC"):  # its header is whole; the read tells
            with pytest.raises(ValueError, match=r"cut|damaged"):
                ask(path)


def test_an_opus_file_that_is_cut_is_refused(tmp_path) -> None:
    path = encode(tmp_path / "a.opus", "libopus", tone(), 48000, "ogg")
    assert len(audio.read(path)[0])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ValueError, match=r"is cut"):
        audio.read(path)


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM"])
def test_the_padding_of_adpcm_s_last_block_is_no_audio(subtype, tmp_path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone()[:30001], RATE, subtype=subtype)
    data = bytearray(path.read_bytes())
    place = data.find(b"fact")
    data[place + 8 : place + 12] = struct.pack("<I", 30001)
    path.write_bytes(data)
    assert len(audio.read(path)[0]) == audio.probe(path)[0] == 30001


def test_a_length_that_was_never_filled_in_lasts_to_the_end(tmp_path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    for size in (0, 0x7FFFFFFF, 0xFFFFFFFF):
        data = bytearray(path.read_bytes())
        data[4:8] = data[40:44] = struct.pack("<I", size)
        path.write_bytes(data)
        assert len(audio.read(path)[0]) == audio.probe(path)[0] == 2 * RATE, size


def test_a_flac_of_unknown_length_is_read(tmp_path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(), RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert len(audio.read(path)[0]) == audio.probe(path)[0] == 2 * RATE


def test_headers_that_cannot_be_are_refused_before_memory_is_asked_for(tmp_path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 1)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"sample rate of 1 Hz"):
        audio.read(path)
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(), RATE)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="hours"):
        audio.probe(path)


def test_integers_in_a_float_file_are_refused_with_the_factor_that_repairs_them(tmp_path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone() * 13270, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"peaks at 53\d\d.*multiply it by 1/32768"):
        audio.read(path)
    soundfile.write(path, tone() * 4, RATE, subtype="FLOAT")  # a decoder that overshoots
    assert np.abs(audio.read(path)[0]).max() == pytest.approx(1.6, abs=0.05)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path) -> None:
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no audio")
    for name in ("fifo.wav", "loop.wav", "folder.wav", "empty.wav", "text.wav", "none.wav", "nul\0.wav"):
        for ask in (audio.read, audio.probe):
            with pytest.raises(ValueError):
                ask(tmp_path / name)


def test_a_list_of_other_files_is_no_audio(tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1600) + 0.1, 16000)
    (tmp_path / "b.wav").write_text("ffconcat version 1.0\nfile a.wav\n", encoding="utf-8")
    for read in (audio.read, audio.probe):
        with pytest.raises(ValueError, match="is a list of other files"):
            read(tmp_path / "b.wav")


@pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases")
def test_the_reported_flac_lasts_as_long_as_ffmpeg_says(tmp_path) -> None:
    shutil.copy(CASES / "07-flac-unknown-length/wav/b.flac", tmp_path / "b.flac")
    read, rate = audio.read(tmp_path / "b.flac")
    assert len(read) / rate == pytest.approx(2.685, abs=0.001)


@pytest.mark.parametrize("coding", [0x5843, 0xC810, 0x1B811])
def test_a_wav_in_a_coding_that_nobody_knows_is_refused(coding: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(8000), 16000)
    content = bytearray(path.read_bytes())
    content[20:22] = (coding & 0xFFFF).to_bytes(2, "little")
    path.write_bytes(content)
    for read in (audio.read, audio.probe):
        with pytest.raises(ValueError, match=r"coding that is unknown|no readable audio"):
            read(path)


def test_the_length_of_a_header_is_the_length_that_is_read(tmp_path: Path) -> None:
    """Of a WAV that libsndfile refuses and FFmpeg reads: the bits a sample are not those of the block."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(8000), 16000)
    content = bytearray(path.read_bytes())
    content[34:36] = (51216).to_bytes(2, "little")
    path.write_bytes(content)

    def outcome(read: Callable[[Path], tuple[object, int]]) -> tuple[int, int] | str:
        try:
            samples, rate = read(path)
        except ValueError:
            return "refused"
        return (samples if isinstance(samples, int) else len(samples)), rate  # type: ignore[arg-type]

    assert outcome(audio.read) == outcome(audio.probe)
