"""Mutated audio, streams, journals and baselines: each is read as what it says, or refused; no number of what is read has changed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from bench import audio
from bench.bitstream import unpack_arrays
from bench.commands import decode_file, encode_file
from bench.errors import UserError
from bench.record import Score
from bench.regress.baseline import read_baseline, save_baseline
from bench.run import journal
from bench.run.journal import Addition
from tests.fuzzing import campaign
from tests.runs import run_info, synthetic_records, write_run
from tests.test_store import decoded

HEADER = 128  # bytes, in which headers lie
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_24"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_mutated_headers_of_audio_are_read_or_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{name}"
    kind, subtype = FORMATS[name]
    soundfile.write(path, 0.3 * np.sin(np.arange(8000) / 20), 16000, subtype, format=kind)
    content = path.read_bytes()

    def read(head: bytes) -> None:
        path.write_bytes(head + content[HEADER:])
        try:
            samples, sample_rate = audio.read(path)
        except ValueError as error:
            raise UserError(str(error)) from None
        assert np.isfinite(samples).all()
        assert len(samples) < 50 * 8000
        assert audio.probe(path) == (len(samples), sample_rate)

    campaign(f"headers of {name}", content[:HEADER], read)


@pytest.mark.slow
def test_mutated_files_of_encode_are_decoded_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", 0.3 * np.sin(np.arange(800) / 20), 8000)
    encode_file(Path("a.wav"), Path("a.scb"), "pcm", None, "16bit_8khz", [], "cpu")
    content = Path("a.scb").read_bytes()
    expected = unpack_arrays(content[8 + int.from_bytes(content[4:8], "big") :])

    def read(data: bytes) -> None:
        Path("b.scb").write_bytes(data)
        decode_file(Path("b.scb"), Path("b.wav"), None, None, "cpu")
        found = unpack_arrays(data[8 + int.from_bytes(data[4:8], "big") :])  # what passes the checksum is what was written
        assert np.array_equal(found.streams[0].tokens, expected.streams[0].tokens)

    campaign("files of bench encode", content, read)


@pytest.mark.slow
def test_mutated_journals_lose_lines_and_change_none(tmp_path: Path) -> None:
    records = [decoded(number, scores={"stoi#1": Score(number / 7)}, failures={"pesq#1": "too short"}) for number in range(10)]
    lines = [journal.encode(Addition.of(record)) for record in records]
    written = {journal.decode(line.rstrip(b"\n")).key: repr(journal.decode(line.rstrip(b"\n"))) for line in lines}
    path = tmp_path / "a.jsonl"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        found, told = journal.read(path)
        assert all(written[addition.key] == repr(addition) for _, addition in found)
        if told:
            raise UserError(told[0])

    campaign("journals", b"".join(lines), read)


@pytest.mark.slow
def test_mutated_baselines_are_refused_or_unchanged(tmp_path: Path) -> None:
    codecs = {"reference": ("ceiling", {"original": (0.0, 0)}), "slime": ("dynamic", {"40hz": (40.0, 1)})}
    run = write_run(tmp_path / "run", synthetic_records(10, 5, codecs), run_info(codecs))
    path = save_baseline(run, "toy", folder=tmp_path)
    expected = read_baseline(str(path))

    def read(data: bytes) -> None:
        path.write_bytes(data)
        found = read_baseline(str(path))
        pd.testing.assert_frame_equal(found.records, expected.records)
        assert found.about == expected.about

    campaign("baselines", path.read_bytes(), read)


def test_a_file_as_it_was_written_is_read(tmp_path: Path) -> None:
    """The campaigns begin with what is good."""
    for name, (kind, subtype) in FORMATS.items():
        path = tmp_path / f"a.{name}"
        soundfile.write(path, 0.3 * np.sin(np.arange(8000) / 20), 16000, subtype, format=kind)
        samples, sample_rate = audio.read(path)
        assert math.isclose(len(samples) / sample_rate, 0.5, abs_tol=0.1)
