"""Error rates: counts worked out by hand, texts of real recognisers, and tiny models in the real formats."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.dataset import Utterance
from bench.errors import Unavailable, UserError
from bench.metric import Metric, NotApplicable
from bench.metrics import _transcripts, wer_nemo, wer_pocketsphinx, wer_whisper
from bench.metrics._checks import weight_files
from bench.metrics._transcripts import Transcripts
from bench.record import Score
from tests import tiny_nemo
from tests.speech import error_rates, load, score, sentence, with_noise

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "transcripts"


class Parrot:
    """Hears what it was told to, and counts how often it listened."""

    def __init__(self, heard: str, languages: tuple[str, ...] | None = None) -> None:
        self.heard = heard
        self.languages = languages
        self.listened = 0

    def transcribe(self, signals: Sequence[np.ndarray], language: str) -> list[str]:
        self.listened += len(signals)
        return [self.heard] * len(signals)

    def identity(self, language: str) -> str:
        return type(self).__name__


class Gauge(Parrot):
    """Says the peak of what it hears, and remembers the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__("")
        self.batches: list[int] = []

    def transcribe(self, signals: Sequence[np.ndarray], language: str) -> list[str]:
        self.batches.append(len(signals))
        return [f"peak {round(1000 * float(np.abs(audio).max()))}" for audio in signals]


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


def test_a_sweep_is_heard_in_batches_and_every_signal_keeps_its_text():
    reference = said("peak 100")
    sweep = [reference.audio * np.float32(gain) for gain in (1, 0.5, 0.1, 0.5, 0.4, 0.3, 0.2, 0.6, 0.7, 0.8, 0.9)]
    recogniser, alone = Gauge(), Gauge()
    for metric, single in zip(*(error_rates(("wer_x", "cer_x", "dwer_x"), each, "none") for each in (recogniser, alone)), strict=True):
        together = metric.score_batch(metric.prepare(reference, reference.audio), sweep)
        prepared = single.prepare(reference, reference.audio)
        assert together == [single.score(prepared, audio) for audio in sweep]
        assert [scores[metric.names[0]].value for scores in together] == [0, *[50] * 10]
    assert recogniser.batches == [8, 2]  # two of the eleven are alike, and the reference is among them
    assert sum(alone.batches) == 10


def test_a_reference_is_heard_once_for_all_runs(cache):
    reference, first, again = said("peak 100").audio, Gauge(), Gauge()
    assert Transcripts(first).of_reference(reference, "en") == "peak 100"
    (file,) = cache.rglob("*.*")
    assert Transcripts(again).of_reference(reference, "en") == "peak 100"
    # what the codec `reference` decodes is the same audio, bit by bit; any other is heard, and not kept
    assert Transcripts(again).of([reference, reference * np.float32(0.5)], "en") == ["peak 100", "peak 50"]
    assert (first.batches, again.batches, list(cache.rglob("*.*"))) == ([1], [1], [file])


def test_another_language_recogniser_or_version_hears_for_itself(cache, monkeypatch):
    reference, recogniser = said("").audio, Gauge()
    Transcripts(recogniser).of_reference(reference, "en")
    Transcripts(recogniser).of_reference(reference, "de")
    monkeypatch.setattr(Gauge, "identity", lambda self, language: "another")
    Transcripts(recogniser).of_reference(reference, "en")
    monkeypatch.setattr(_transcripts, "VERSION", _transcripts.VERSION + 1)
    Transcripts(recogniser).of_reference(reference, "en")
    assert (len(recogniser.batches), len(list(cache.rglob("*.txt")))) == (4, 4)


@pytest.mark.parametrize(
    "damage",
    [lambda whole: b"", lambda whole: whole[:-1], lambda whole: whole.replace(b"peak", b"peek"), lambda whole: bytes([255, 254]) + whole],
    ids=["empty", "torn", "altered", "no text"],
)
def test_a_damaged_transcript_is_made_anew(cache, damage):
    reference, recogniser = said("").audio, Gauge()
    Transcripts(recogniser).of_reference(reference, "en")
    (file,) = cache.rglob("*.txt")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert Transcripts(recogniser).of([reference], "en") == ["peak 100"]
    assert Transcripts(recogniser).of_reference(reference, "en") == "peak 100"
    assert (file.read_bytes(), recogniser.batches) == (whole, [1, 1, 1])
    # hearing nothing is a text too
    silent = Parrot("")
    assert [Transcripts(silent).of_reference(reference, "en") for _ in range(2)] == ["", ""]
    assert silent.listened == 1


def test_transcripts_kept_at_the_same_time_do_not_meet(cache):
    recogniser = Gauge()
    references = [said("").audio * np.float32(gain) for gain in (1, 0.5, 0.2)]
    asked = [references[index % 3] for index in range(48)]
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda audio: Transcripts(recogniser).of_reference(audio, "en"), asked))
    assert texts == ["peak 100", "peak 50", "peak 20"] * 16
    assert len(list(cache.rglob("*.*"))) == 3


def test_what_has_no_text_or_another_language_does_not_apply():
    for text, language in ((None, "en"), ("...", "en"), ("guten Tag", "de"), ("guten Tag", "de-AT")):
        reference = said(text, language)
        (metric,) = error_rates(("wer_x",), Parrot("x", ("en",)), "whisper")
        with pytest.raises(NotApplicable):
            metric.prepare(reference, reference.audio)
    # without a transcript the difference to the reference audio still is a number
    assert rates("one", None, names=("dwer_x",))["dwer_x"].value == 0


@pytest.mark.parametrize("languages", [None, ("en",), ("en", "de")])
def test_where_no_language_is_stated_no_words_are_counted(languages):
    recogniser = Parrot("我是学生", languages)
    for metric in error_rates(("wer_x", "cer_x", "dwer_x"), recogniser, "whisper"):
        for text in ("我是学生", "two words"):
            with pytest.raises(NotApplicable, match="no language is stated"):
                metric.prepare(said(text, ""), said("").audio)
    assert recogniser.listened == 0


@pytest.mark.parametrize("normaliser", ["standard", "unicode", "lower", "none"])
@pytest.mark.parametrize(
    ("language", "text", "heard", "length"),
    [("zh", "我是学生", "我是学声", 4), ("zh_CN", "我是学生", "我是学声", 4), ("th", "ผมชื่อ", "ผมซื่อ", 6), ("ja", "ガラス", "カラス", 3)],
)
def test_words_that_are_not_written_apart_are_never_counted(normaliser, language, text, heard, length):
    scores = rates(heard, text, language, ("wer_x", "cer_x"), normaliser)
    assert {scores[name].details["words"] for name in scores} == {length}
    assert {scores[name].details["errors"] for name in scores} == {1}


def test_the_definition_names_the_normaliser_and_its_version():
    for module in (wer_nemo, wer_pocketsphinx, wer_whisper):
        for info in (entry.info for entry in module.METRICS.values()):
            assert "standard 1" in info.definition
            assert "unicode 1" in info.definition


def test_whisper_is_asked_in_its_own_codes():
    config = SimpleNamespace(is_multilingual=True, lang_to_id=dict.fromkeys(("<|en|>", "<|tl|>", "<|jw|>", "<|no|>", "<|yue|>"), 0))
    assert wer_whisper._codes(config) == {"en": "en", "fil": "tl", "jv": "jw", "no": "no", "nb": "no", "yue": "yue"}
    assert wer_whisper._codes(SimpleNamespace(is_multilingual=False)) == {"en": "en"}


def test_nemo_takes_languages_as_they_are_written():
    assert wer_nemo._checkpoints({"checkpoint_zh_CN": "a.nemo", "checkpoint_German": "b.nemo"}) == {"zh": "a.nemo", "de": "b.nemo"}
    with pytest.raises(UserError, match=r"checkpoint_jp.*did you mean 'ja'"):
        wer_nemo._checkpoints({"checkpoint_jp": "a.nemo"})


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
            (text,), heard = reused.transcribe([speech[index]], "en"), reused._decoder.hyp()
            assert (text, heard.score if heard else None) == fresh[index]
    assert reused.transcribe(speech, "en") == [text for text, _ in fresh]


def tiny_whisper(folder: Path, multilingual: bool = True) -> Path:
    """A random Whisper in the format of the hub, with a vocabulary of bytes, and weights so large that the text hangs on the audio."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokenizer = WhisperTokenizer(vocab={letter: index for index, letter in enumerate(letters)}, merges=[])
    specials = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": specials})
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(1501)])
    number: Any = tokenizer.convert_tokens_to_ids
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
    torch.manual_seed(1)  # what is not filled below
    model: Any = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed_positions" not in name:
                parameter.normal_(generator=generator)
        model.get_input_embeddings().weight[config.eos_token_id] *= 3  # else no text would end before the last position
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
        suppress_tokens=list(range(len(letters) + 1, len(tokenizer))),  # all but letters and the end
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
    assert recogniser.transcribe([reference.audio], "en") == [first["wer_whisper"].details["hypothesis"]]
    assert second.keys() == {"wer_whisper", "cer_whisper"}


@pytest.mark.parametrize("language", ["en", ""], ids=["english", "unknown language"])
def test_whispers_text_is_the_same_alone_and_in_a_batch(language, tmp_path):
    recogniser = wer_whisper.Whisper(str(tiny_whisper(tmp_path / "tiny")), CPU)
    speech = sentence("en-07").audio
    sweep = [speech, speech[::-1].copy(), speech * np.float32(0.01), np.zeros_like(speech)]
    sweep += [with_noise(speech, snr_db, seed) for seed, snr_db in enumerate((10.0, 5.0, 0.0, -10.0))]
    alone = [text for audio in sweep for text in recogniser.transcribe([audio], language)]
    assert recogniser.transcribe(sweep, language) == alone
    assert recogniser.transcribe(sweep[::-1], language) == alone[::-1]
    assert len(set(alone)) >= 5  # or the order would not show
    assert len(set(map(len, alone))) >= 4  # or it would not show that texts end for themselves


def test_whisper_hears_beyond_its_window(tmp_path):
    recogniser = wer_whisper.Whisper(str(tiny_whisper(tmp_path / "tiny")), CPU)
    speech = np.tile(sentence("en-07").audio, 12)
    long = [speech, speech[::-1].copy()]
    alone = [text for audio in long for text in recogniser.transcribe([audio], "en")]
    assert recogniser.transcribe(long, "en") == alone
    assert alone[0] != alone[1]


def test_whisper_is_told_by_its_weights_and_settings_and_not_by_its_place(tmp_path):
    folder = tiny_whisper(tmp_path / "tiny")
    moved = shutil.copytree(folder, tmp_path / "moved")
    other = shutil.copytree(folder, tmp_path / "other")
    settings = other / "generation_config.json"
    settings.write_text(settings.read_text().replace('"max_length": 24', '"max_length": 23'))
    identities = [wer_whisper.Whisper(str(place), CPU).identity("en") for place in (folder, moved, other)]
    assert identities[0] == identities[1] != identities[2]
    (need,) = [need for need in wer_whisper.needs(["wer_whisper"], {"checkpoint": str(folder)}) if need.kind == "weights"]
    assert need.files == (folder / "model.safetensors",)


def test_weights_in_the_hubs_cache_are_those_that_would_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert weight_files(f"some/model@{'0' * 40}") == ()
    names = ["pytorch_model.bin", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors"]
    expected = [names[:1], names[1:2], names[1:3], names[3:]]
    for name, read in zip(["model.fp32-00001-of-00002.safetensors", *names], [[], *expected], strict=True):
        (snapshot / name).touch()
        assert [file.name for file in weight_files(f"some/model@{'0' * 40}")] == read


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
        assert first["wer_nemo"].details["hypothesis"] != second["wer_nemo"].details["hypothesis"]
    with pytest.raises(NotApplicable, match="en, de, not fr"):
        metric.prepare(dataclasses.replace(reference, language="fr"), reference.audio)


@pytest.mark.slow
@pytest.mark.parametrize("save", [tiny_nemo.save_recogniser, tiny_nemo.save_transducer], ids=["ctc", "transducer"])
def test_nemos_text_is_the_same_alone_and_in_a_batch(save, tmp_path):
    recogniser = wer_nemo.Nemo({"en": str(save(tmp_path))}, CPU)
    sweep = [with_noise(sentence("en-07").audio, snr_db) for snr_db in (40.0, 10.0, 5.0, 0.0, -5.0)]
    alone = [text for audio in sweep for text in recogniser.transcribe([audio], "en")]
    assert recogniser.transcribe(sweep, "en") == alone
    assert recogniser.transcribe(sweep[::-1], "en") == alone[::-1]
    assert len(set(alone)) == len(sweep)  # or the order would not show
    assert re.fullmatch(r"nemo-[\w.+]+-[0-9a-f]{16}", recogniser.identity("en"))
