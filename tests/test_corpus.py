"""The bundled corpus is what its card says, and its script makes it again."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.corpus.make_corpus import LEVEL_DB, make_corpus
from bench.datasets.manifest import problems
from bench.datasets.specs import open_dataset, parse_spec

CORPUS = Path(__file__).resolve().parent.parent / "bench" / "corpus"
MADE_WITH = ("flite-2.2-current", "1.51")


@pytest.fixture(scope="module")
def utterances():
    return [entry.read() for entry in open_dataset(parse_spec("bundled"), Path(), seed=0).entries]


def test_size_and_variety(utterances):
    languages = Counter(utterance.language for utterance in utterances)
    assert len(utterances) >= 24
    assert languages["en"] == len(utterances) // 2
    assert len(languages) >= 4
    assert len({utterance.speaker for utterance in utterances}) >= 6
    assert sum(path.stat().st_size for path in CORPUS.rglob("*.*")) <= 6e6
    assert problems(open_dataset(parse_spec("bundled"), Path(), seed=0)) == []


def test_every_utterance_is_levelled_speech_of_two_to_eight_seconds(utterances):
    for utterance in utterances:
        assert 2 <= utterance.duration_s <= 8
        assert utterance.sample_rate == 16_000
        assert utterance.text
        assert "<" not in utterance.text
        assert 20 * np.log10(np.sqrt(np.mean(utterance.audio**2))) == pytest.approx(LEVEL_DB, abs=0.5)
        assert np.abs(utterance.audio).max() < 0.95


def test_pauses_are_faint_but_not_digital_silence(utterances):
    with_pause = 0
    for utterance in utterances:
        frames = utterance.audio[: len(utterance.audio) // 320 * 320].reshape(-1, 320)
        levels_db = 20 * np.log10(np.sqrt(np.mean(frames**2, axis=1)))
        assert levels_db.min() > -80
        longest = max(map(len, "".join("_" if level < -60 else "s" for level in levels_db).strip("_").split("s")))
        with_pause += longest >= 25  # half a second inside the sentence
    assert with_pause >= 5


def test_english_is_understood_by_the_embedded_recogniser(utterances):
    jiwer = pytest.importorskip("jiwer")
    pocketsphinx = pytest.importorskip("pocketsphinx")
    normalise = pytest.importorskip("whisper_normalizer.english").EnglishTextNormalizer()
    references, hypotheses = [], []
    for utterance in [utterance for utterance in utterances if utterance.language == "en"][::2]:
        decoder = pocketsphinx.Decoder(samprate=16_000, loglevel="FATAL", maxhmmpf=3000, maxwpf=5)
        decoder.start_utt()
        decoder.process_raw((utterance.audio * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        references.append(normalise(utterance.text))
        hypotheses.append(normalise(decoder.hyp().hypstr if decoder.hyp() else ""))
    assert jiwer.wer(references, hypotheses) < 0.1


def test_the_script_makes_the_same_corpus(tmp_path):
    if not (shutil.which("flite") and shutil.which("espeak-ng")):
        pytest.skip("needs flite and espeak-ng")
    versions = [subprocess.run([name, "--version"], capture_output=True, text=True).stdout for name in ("flite", "espeak-ng")]
    if not all(made in version for made, version in zip(MADE_WITH, versions, strict=True)):
        pytest.skip(f"other versions than the corpus was made with: {MADE_WITH}")
    make_corpus(tmp_path)
    assert (tmp_path / "manifest.jsonl").read_text() == (CORPUS / "manifest.jsonl").read_text()
    files = sorted((CORPUS / "audio").iterdir())
    assert [path.name for path in files] == sorted(path.name for path in (tmp_path / "audio").iterdir())
    for path in files:
        assert np.array_equal(soundfile.read(path, dtype="int16")[0], soundfile.read(tmp_path / "audio" / path.name, dtype="int16")[0])
