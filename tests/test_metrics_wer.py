"""Error rates: counts worked out by hand, texts of real recognisers, and tiny models in the real formats."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.dataset import Utterance
from bench.errors import Unavailable, UserError
from bench.metric import Metric, NotApplicable, Score
from bench.metrics import wer_nemo, wer_pocketsphinx, wer_whisper
from bench.metrics._error_rate import error_rates
from tests import tiny_nemo
from tests.speech import load, score, sentence, with_noise

CPU = torch.device("cpu")


class Parrot:
    """Hears what it was told to, and counts how often it listened."""

    def __init__(self, heard: str, languages: tuple[str, ...] | None = None) -> None:
        self.heard = heard
        self.languages = languages
        self.listened = 0

    def transcribe(self, audio: np.ndarray, language: str) -> str:
        self.listened += 1
        return self.heard


def said(text: str | None, language: str = "en") -> Utterance:
    return Utterance("spoken", np.linspace(0, 0.1, 1600, dtype=np.float32), 16000, text, language=language)


def rates(
    heard: str, text: str | None, language: str = "en", names: tuple[str, ...] = ("wer_x", "cer_x"), normaliser: str = "whisper"
) -> dict:
    reference = said(text, language)
    scores: dict[str, Score] = {}
    for metric in error_rates(names, Parrot(heard), normaliser):
        scores |= metric.score(metric.prepare(reference, reference.audio), reference.audio * 0.5)
    return scores


def test_counts_of_words_and_characters():
    scores = rates("the cat sat on on mat", "The cat sat on the mat!")
    assert scores["wer_x"].details == {
        "errors": 1.0,
        "words": 6.0,
        "reference": "the cat sat on the mat",
        "hypothesis": "the cat sat on on mat",
    }
    assert scores["wer_x"].value == pytest.approx(100 / 6)
    assert (scores["cer_x"].details["errors"], scores["cer_x"].details["words"]) == (3.0, 22.0)


@pytest.mark.parametrize(
    ("heard", "errors"),
    [("", 3), ("one two three four five", 2), ("one", 2), ("four five six seven", 4)],
    ids=["nothing", "more", "less", "other"],
)
def test_deletions_insertions_and_substitutions_all_count(heard, errors):
    scores = rates(heard, "one two three", normaliser="none")
    assert scores["wer_x"].details["errors"] == errors
    assert scores["wer_x"].value == pytest.approx(100 * errors / 3)


def test_normaliser_changes_the_rate():
    text, heard = "I'll pay Mr. Gray $20.", "i will pay mister grey twenty dollars"
    assert rates(heard, text)["wer_x"].value == 0
    assert rates(heard, text, normaliser="whisper_basic")["wer_x"].value > 0
    assert rates("I'LL PAY", "i'll pay", normaliser="lower")["wer_x"].value == 0
    assert rates("I'LL PAY", "i'll pay", normaliser="none")["wer_x"].value == 100


def test_languages_without_spaces_count_characters():
    scores = rates("我是学声", "我是学生。", "zh")
    assert scores["wer_x"].details["words"] == 4
    assert scores["wer_x"].value == scores["cer_x"].value == 25
    assert rates("Grüße aus Köln", "Grüße, aus Koln!", "de")["wer_x"].details["errors"] == 1


def test_one_transcript_serves_all_columns_and_the_references_is_made_once():
    recogniser = Parrot("red green")
    metrics = error_rates(("wer_x", "cer_x", "dwer_x"), recogniser, "whisper")
    reference = said("red green blue")
    prepared = [metric.prepare(reference, reference.audio) for metric in metrics]
    assert recogniser.listened == 1
    for gain in (0.5, 0.25):
        scores: dict[str, Score] = {}
        for metric, ready in zip(metrics, prepared, strict=True):
            scores |= metric.score(ready, reference.audio * np.float32(gain))
        assert scores["dwer_x"].value == 0
        assert scores["wer_x"].value == pytest.approx(100 / 3)
    assert recogniser.listened == 3


def test_what_has_no_text_or_another_language_does_not_apply():
    for text, language in ((None, "en"), ("...", "en"), ("guten Tag", "de"), ("guten Tag", "de-AT")):
        reference = said(text, language)
        (metric,) = error_rates(("wer_x",), Parrot("x", ("en",)), "whisper")
        with pytest.raises(NotApplicable):
            metric.prepare(reference, reference.audio)
    # without a transcript the difference to the reference audio still is a number, and an unknown language is the recogniser's
    assert rates("one", None, names=("dwer_x",))["dwer_x"].value == 0
    (metric,) = error_rates(("wer_x",), Parrot("two", ("en",)), "whisper")
    assert metric.prepare(said("Two.", ""), said("").audio).text == "2"


def test_pocketsphinx_hears_the_bundled_speech():
    value = score("wer_pocketsphinx", sentence("en-02"), sentence("en-02").audio)
    assert value <= 25
    assert score("wer_pocketsphinx", sentence("en-02"), with_noise(sentence("en-02").audio, 0.0)) > value


def test_pocketsphinx_gives_a_fresh_decoders_text_in_any_order():
    from pocketsphinx import Decoder

    speech = [sentence("en-07").audio, np.zeros(8000, np.float32), with_noise(sentence("en-10").audio, 10.0)]
    fresh = []
    for samples in speech:
        decoder = Decoder(samprate=16000, loglevel="FATAL", maxhmmpf=3000, maxwpf=5, ds=2, dither=True, seed=1)
        decoder.start_utt()
        decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        fresh.append((decoder.hyp().hypstr, decoder.hyp().score) if decoder.hyp() else ("", None))
    reused = wer_pocketsphinx.Pocketsphinx()
    for order in (range(len(speech)), reversed(range(len(speech)))):
        for index in order:
            text, heard = reused.transcribe(speech[index], "en"), reused._decoder.hyp()
            assert (text, heard.score if heard else None) == fresh[index]


def tiny_whisper(folder: Path, multilingual: bool = True) -> Path:
    """A random Whisper in the format of the hub, with a vocabulary of bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokenizer = WhisperTokenizer(vocab={letter: index for index, letter in enumerate(letters)}, merges=[])
    specials = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": specials})
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(1501)])
    number: Any = tokenizer.convert_tokens_to_ids
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_target_positions=24,
        bos_token_id=number("<|endoftext|>"),
        eos_token_id=number("<|endoftext|>"),
        pad_token_id=number("<|endoftext|>"),
        decoder_start_token_id=number("<|startoftranscript|>"),
    )
    model = WhisperForConditionalGeneration(config)
    languages = {"lang_to_id": {"<|en|>": number("<|en|>"), "<|de|>": number("<|de|>")}}
    tasks = {"task_to_id": {"transcribe": number("<|transcribe|>"), "translate": number("<|translate|>")}}
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
        no_timestamps_token_id=number("<|notimestamps|>"),
        is_multilingual=multilingual,
        max_length=24,
        suppress_tokens=list(range(len(letters), len(tokenizer))),
        **(languages | tasks if multilingual else {}),
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("multilingual", [True, False], ids=["multilingual", "english"])
def test_whisper_from_a_folder_in_the_hubs_format(tmp_path, multilingual):
    folder = str(tiny_whisper(tmp_path / "tiny", multilingual))
    assert all(need.available for need in wer_whisper.needs(["wer_whisper"], {"checkpoint": folder}))
    metrics = wer_whisper.load(["wer_whisper", "cer_whisper"], CPU, {"checkpoint": folder, "normaliser": "none"})
    (metric,) = metrics
    reference = sentence("en-07")
    first, second = (metric.score(metric.prepare(reference, reference.audio), samples) for samples in (reference.audio, -reference.audio))
    assert first["wer_whisper"].details["hypothesis"] != ""
    recogniser = wer_whisper.Whisper(folder, CPU)
    assert recogniser.transcribe(reference.audio, "en") == first["wer_whisper"].details["hypothesis"]
    assert recogniser.transcribe(-reference.audio, "") is not None
    assert second.keys() == {"wer_whisper", "cer_whisper"}


def test_whisper_hears_beyond_its_window(tmp_path):
    recogniser = wer_whisper.Whisper(str(tiny_whisper(tmp_path / "tiny")), CPU)
    assert isinstance(recogniser.transcribe(np.tile(sentence("en-07").audio, 12), "en"), str)


def test_whisper_with_weights_missing_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tiny_whisper(tmp_path / "tiny")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.encoder.conv2.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights missing, first model\.encoder\.conv2\.weight"):
        wer_whisper.Whisper(str(folder), CPU)


def test_a_model_that_is_not_here_is_named_with_the_command_that_gets_it(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (need,) = [need for need in wer_whisper.needs(["wer_whisper"], {}) if need.kind == "weights"]
    assert not need.available
    assert need.how.startswith("hf download openai/whisper-large-v3 --revision 06f233fe")
    (need,) = [need for need in wer_nemo.needs(["wer_nemo"], {}) if need.kind == "weights"]
    assert not need.available
    assert "stt_en_fastconformer_transducer_large" in need.how
    assert wer_whisper.needs(["wer_whisper"], {"checkpoint": "/no/such/folder"})[1].how == "put the model's folder at /no/such/folder"
    with pytest.raises(Unavailable, match="hf download"):
        wer_nemo.load(["wer_nemo"], CPU, {})


def test_nemo_takes_a_checkpoint_per_language():
    assert list(wer_nemo._checkpoints({})) == ["en"]
    assert wer_nemo._checkpoints({"checkpoint_de": "a.nemo", "checkpoint_fr": "b.nemo", "normaliser": "none"}) == {
        "de": "a.nemo",
        "fr": "b.nemo",
    }
    assert wer_nemo._checkpoints({"checkpoint": "c.nemo"}) == {"en": "c.nemo"}


@pytest.mark.parametrize("module", [wer_nemo, wer_pocketsphinx, wer_whisper])
def test_unknown_options_are_refused(module):
    with pytest.raises(UserError, match="normaliser"):
        module.needs([next(iter(module.METRICS))], {"normalizer": "none"})


def test_unknown_normaliser_is_refused():
    metric: Metric = load("wer_pocketsphinx", normaliser="wisper")
    with pytest.raises(UserError, match="did you mean 'whisper'"):
        metric.prepare(sentence(), sentence().audio)


@pytest.mark.slow
def test_nemo_recogniser_from_a_nemo_file(tmp_path):
    path = tiny_nemo.save_recogniser(tmp_path)
    options = {"checkpoint": str(path), "checkpoint_de": str(path)}
    (metric,) = wer_nemo.load(["wer_nemo", "cer_nemo"], CPU, options)
    for reference in (sentence("en-07"), sentence("de-18")):
        prepared = metric.prepare(reference, reference.audio)
        first, second = (metric.score(prepared, samples) for samples in (reference.audio, with_noise(reference.audio, 5.0)))
        assert metric.score(prepared, reference.audio * np.float32(1.0)) == first
        assert isinstance(second["wer_nemo"].details["hypothesis"], str)
    with pytest.raises(NotApplicable, match="en, de, not fr"):
        metric.prepare(dataclasses.replace(reference, language="fr"), reference.audio)
