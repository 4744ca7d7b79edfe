"""Corpora as they lie on disk: small trees in the real layouts, read by name and by recognition."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from rich.console import Console

from bench.datasets.corpora import CORPORA, recognised, texts_of
from bench.datasets.manifest import problems
from bench.datasets.specs import open_dataset, parse_spec
from bench.errors import UserError
from bench.registry import Registry
from bench.run import preflight
from bench.run.session import Options, open_datasets, score
from bench.suite import load_suite
from tests.hub_server import tone


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def sound(path: Path, num_samples: int = 1600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    form = {".flac": "FLAC", ".mp3": "MP3", ".opus": "OGG"}.get(path.suffix, "WAV")
    soundfile.write(path, tone(num_samples), 16_000, format=form, subtype="OPUS" if form == "OGG" else None)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def libritts(root: Path) -> Path:
    for speaker, chapter in (("1089", "134686"), ("61", "70968")):
        for sentence in ("000000", "000001"):
            stem = root / "test-clean" / speaker / chapter / f"{speaker}_{chapter}_000002_{sentence}"
            sound(stem.with_suffix(".wav"))
            write(stem.with_name(stem.name + ".normalized.txt"), "Well, now, doctor.\n")
            write(stem.with_name(stem.name + ".original.txt"), "Well, now, Dr.\n")
        write(root / "test-clean" / speaker / chapter / f"{speaker}_{chapter}.trans.tsv", "")
    sound(root / "train-clean-100" / "19" / "198" / "19_198_000000_000000.wav")
    write(root / "train-clean-100" / "19" / "198" / "19_198_000000_000000.normalized.txt", "No.")
    return root


def librispeech(root: Path) -> Path:
    for number in ("0000", "0001"):
        sound(root / "test-clean" / "1089" / "134686" / f"1089-134686-{number}.flac")
    write(root / "test-clean" / "1089" / "134686" / "1089-134686.trans.txt", "1089-134686-0000 HE HOPED\n1089-134686-0001 STUFF IT\n")
    write(root / "SPEAKERS.TXT", ";1089 | M | test-clean\n")
    return root


def vctk(root: Path) -> Path:
    for speaker in ("p225", "p315"):
        for microphone in ("mic1", "mic2"):
            sound(root / "wav48_silence_trimmed" / speaker / f"{speaker}_001_{microphone}.flac")
    write(root / "txt" / "p225" / "p225_001.txt", "Please call Stella.\n")
    return root


def ljspeech(root: Path) -> Path:
    sound(root / "wavs" / "LJ001-0001.wav")
    sound(root / "wavs" / "LJ001-0002.wav")
    write(root / "metadata.csv", 'LJ001-0001|In 1865, "printing"|In eighteen sixty-five, "printing"\nLJ001-0002|in being|in being\n')
    return root


def mls(root: Path) -> Path:
    for split in ("test", "train"):
        sound(root / "mls_german" / split / "audio" / "4800" / "10003" / "4800_10003_000000.flac")
        write(root / "mls_german" / split / "transcripts.txt", "4800_10003_000000\tguten tag\n")
    return root / "mls_german"


def common_voice(root: Path) -> Path:
    columns = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment\n"
    for split in ("test", "train", "validated"):
        sound(root / "de" / "clips" / f"common_voice_de_{split}.mp3", 16_000)
        write(root / "de" / f"{split}.tsv", f'{columns}c0ffee\tcommon_voice_de_{split}.mp3\t"Ach", sagte er.\t2\t0\t\t\t\tde\t\n')
    return root


def fleurs(root: Path) -> Path:
    for name in ("10012.wav", "10013.wav"):
        sound(root / "cmn_hans_cn" / "audio" / "test" / name)
    rows = [f"1605\t{name}\t你好。\t你好\t你 | 好\t1600\tMALE\n" for name in ("10012.wav", "10013.wav")]
    write(root / "cmn_hans_cn" / "test.tsv", "".join(rows))
    return root / "cmn_hans_cn"


def kaldi(root: Path) -> Path:
    sound(root / "wav" / "a.wav")
    write(root / "data" / "test" / "wav.scp", "utt-a wav/a.wav\n")
    write(root / "data" / "test" / "text", "utt-a hello there\n")
    write(root / "data" / "test" / "utt2spk", "utt-a anna\n")
    return root / "data" / "test"


def nemo(root: Path) -> Path:
    sound(root / "audio" / "a.wav")
    row = {"audio_filepath": "audio/a.wav", "text": "hello\u2028there", "duration": 0.1, "lang": "en", "speaker": 7}
    write(root / "test.json", json.dumps(row, ensure_ascii=False) + "\n")
    return root


def lhotse(root: Path) -> Path:
    sound(root / "a.wav")
    recording = {"id": "a", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}], "duration": 0.1, "sampling_rate": 16_000}
    said = {"id": "a", "recording_id": "a", "start": 0, "duration": 0.1, "text": "hello", "language": "English", "speaker": "anna"}
    cut = {"id": "a-0", "start": 0, "duration": 0.1, "channel": 0, "supervisions": [said], "recording": recording, "type": "MonoCut"}
    (root / "cuts.jsonl.gz").write_bytes(gzip.compress(json.dumps(cut).encode()))
    return root


def audiofolder(root: Path) -> Path:
    sound(root / "test" / "spk1" / "001.wav")
    sound(root / "test" / "spk2" / "001.wav")
    write(root / "test" / "metadata.csv", 'file_name,transcription,speaker_id\r\nspk1/001.wav,"Well, now",1\r\nspk2/001.wav,NaN,2\r\n')
    return root


def table(root: Path) -> Path:
    sound(root / "a.wav")
    return write(root / "list.tsv", "path\ttext\tlang\na.wav\thello\teng\n")


def saved(root: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    content = sound(root.with_name("own.wav")).read_bytes()
    cells = [{"bytes": content, "path": f"00{n}.wav"} for n in (1, 2)]
    rows = {"id": [5, 5], "audio": cells, "text": ["hello", None], "speaker_id": [1, 2]}
    audio = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = {"id": datasets.Value("int32"), "audio": audio, "text": datasets.Value("string"), "speaker_id": datasets.Value("int32")}
    split = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    datasets.DatasetDict({"test": split, "train": split}).save_to_disk(str(root))
    return root


MADE: dict[str, tuple[Callable[[Path], Path], tuple[str, str | None, str | None, str], str]] = {
    "libritts": (
        libritts,
        ("1089_134686_000002_000000", "Well, now, doctor.", "1089", "en"),
        "LibriTTS (test-clean): 4 utterances, 2 speakers, language en, all with text",
    ),
    "librispeech": (
        librispeech,
        ("1089-134686-0000", "HE HOPED", "1089", "en"),
        "LibriSpeech (test-clean): 2 utterances, 1 speaker, language en, all with text",
    ),
    "vctk": (
        vctk,
        ("p225_001", "Please call Stella.", "p225", "en"),
        "VCTK (mic1): 2 utterances, 2 speakers, language en, 1 with text",
    ),
    "ljspeech": (
        ljspeech,
        ("LJ001-0001", 'In eighteen sixty-five, "printing"', "LJ", "en"),
        "LJSpeech: 2 utterances, 1 speaker, language en, all with text",
    ),
    "mls": (mls, ("4800_10003_000000", "guten tag", "4800", "de"), "MLS (test): 1 utterance, 1 speaker, language de, all with text"),
    "common_voice": (
        common_voice,
        ("common_voice_de_test", '"Ach", sagte er.', "c0ffee", "de"),
        "Common Voice (de/test): 1 utterance, 1 speaker, language de, all with text",
    ),
    "fleurs": (
        fleurs,
        ("10012", "你好", None, "zh"),
        "FLEURS (test): 2 utterances, speakers unknown, language zh, all with text",
    ),
    "kaldi": (kaldi, ("utt-a", "hello there", "anna", ""), "Kaldi: 1 utterance, 1 speaker, language unknown, all with text"),
    "nemo": (nemo, ("audio/a", "hello\u2028there", "7", "en"), "NeMo manifest: 1 utterance, 1 speaker, language en, all with text"),
    "lhotse": (lhotse, ("a-0", "hello", "anna", "en"), "lhotse manifest: 1 utterance, 1 speaker, language en, all with text"),
    "audiofolder": (
        audiofolder,
        ("spk1/001", "Well, now", "1", ""),
        "audiofolder (test): 2 utterances, 2 speakers, language unknown, 1 with text",
    ),
    "table": (table, ("a", "hello", None, "en"), "table: 1 utterance, speakers unknown, language en, all with text"),
    "saved": (saved, ("001", "hello", "1", ""), "saved data set (test): 2 utterances, 2 speakers, language unknown, 1 with text"),
}


def opened(**spec):
    return open_dataset(parse_spec(spec), Path(), seed=0)


def test_every_layout_is_tried_here():
    assert {*MADE, "files"} == set(CORPORA)


@pytest.mark.parametrize("corpus", MADE)
def test_a_corpus_is_read_as_it_is_downloaded_and_recognised(tmp_path, corpus):
    make, expected, sentence = MADE[corpus]
    (tmp_path / "root").mkdir()
    path = make(tmp_path / "root")
    dataset = opened(corpus=corpus, path=str(path))
    first = dataset.entries[0]
    assert (first.id, first.text, first.speaker, first.language) == expected
    assert dataset.recognised == sentence
    assert problems(dataset) == []
    assert {entry.sample_rate for entry in dataset.entries} <= {16_000, 48_000}
    assert len(first.read().audio) >= 1600
    assert recognised(path) == corpus
    if path.is_dir():
        assert opened(folder=str(path)).entries == dataset.entries


def test_a_split_is_chosen_by_name_and_an_unknown_one_names_the_others(tmp_path):
    root = libritts(tmp_path / "LibriTTS_R")
    assert [entry.id for entry in opened(corpus="libritts", path=str(root), split="train-clean-100").entries] == ["19_198_000000_000000"]
    assert len(opened(corpus="libritts", path=str(root), split=["test-clean", "train-clean-100"]).entries) == 5
    assert len(opened(corpus="libritts", path=str(root / "test-clean")).entries) == 4
    assert len(opened(folder=str(tmp_path)).entries) == 4
    with pytest.raises(UserError, match="split 'tset-clean' unknown; did you mean 'test-clean'"):
        opened(corpus="libritts", path=str(root), split="tset-clean")
    assert [entry.text for entry in opened(corpus="common_voice", path=str(common_voice(tmp_path / "cv")), split="train").entries]


def test_where_no_part_is_the_test_part_one_is_asked_for(tmp_path):
    for split in ("dev", "train"):
        write(tmp_path / split / "wav.scp", f"{split} {sound(tmp_path / f'{split}.wav')}\n")
    with pytest.raises(UserError, match="choose by `split:` one or more of: dev, train"):
        opened(corpus="kaldi", path=str(tmp_path))


def test_vctk_takes_one_microphone(tmp_path):
    root = vctk(tmp_path)
    assert {entry.path.name for entry in opened(folder=str(root)).entries} == {"p225_001_mic1.flac", "p315_001_mic1.flac"}
    assert opened(corpus="vctk", path=str(root), split="mic2").entries[0].path.name == "p225_001_mic2.flac"


def test_a_plain_folder_stays_one_and_a_recognised_one_can_be_read_as_files(tmp_path):
    sound(tmp_path / "plain" / "anna" / "a.wav")
    assert opened(folder=str(tmp_path / "plain")).recognised == ""
    assert [entry.id for entry in opened(corpus="files", path=str(kaldi(tmp_path / "k").parents[1])).entries] == ["wav/a"]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "test.tsv", "notes.json", "cuts.jsonl", "transcripts.txt"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe|\x00", b"[1]\n", b'{"sources": 1}\n', b"a,b\n"], ids=repr)
def test_files_of_other_kinds_beside_recordings_make_no_corpus_of_a_folder(tmp_path, name, content):
    sound(tmp_path / "own" / "audio" / "a.wav")
    (tmp_path / "own" / name).write_bytes(content)
    dataset = opened(folder=str(tmp_path / "own"))
    assert ([entry.id for entry in dataset.entries], dataset.recognised) == (["audio/a"], "")


def test_the_language_of_a_suite_stands_before_that_of_the_corpus(tmp_path):
    assert {entry.language for entry in opened(corpus="vctk", path=str(vctk(tmp_path)), language="Scots").entries} == {"sco"}


@pytest.mark.parametrize(
    ("files", "corpus", "message"),
    [
        ({"wav.scp": "a sph2pipe -f wav a.sph |\n"}, "kaldi", "wav.scp: a: is a command"),
        ({"wav.scp": "a a.wav\na b.wav\n"}, "kaldi", "wav.scp:2: a comes twice"),
        ({"wav.scp": "a a.wav\n", "segments": "a-1 a 0 1\n"}, "kaldi", "segments: cuts utterances"),
        ({"m.json": '{"audio_filepath": "a.wav", "offset": 1.5}\n'}, "nemo", "m.json:1: offset: is a piece"),
        ({"m.json": '{"audio_filepath": "a.wav"}\n["b.wav"]\n'}, "nemo", "m.json:2: is no row of named cells"),
        ({"m.json": '{"audio_filepath": "a.wav", "lang": "xx1"}\n'}, "nemo", "m.json:1: language 'xx1' unknown"),
        ({"m.json": '{"audio_filepath": "a.wav", "text": ["x"]}\n'}, "nemo", "m.json:1: text: is no text"),
        ({"metadata.csv": "a no text\n", "wavs/a.wav": ""}, "ljspeech", "is not in the layout of LJSpeech"),
        ({"metadata.csv": "a|x\nb\n", "wavs/a.wav": ""}, "ljspeech", "metadata.csv:2: has no '|'"),
        ({"metadata.csv": "file_name,text\na.wav,x,y\n"}, "audiofolder", "metadata.csv:2: has more cells"),
        ({"metadata.jsonl": '{"file_name": "a.wav"}\n{"text": "x"}\n'}, "audiofolder", "metadata.jsonl:2: names no recording"),
        ({"x.txt": ""}, "libritts", "is not in the layout of LibriTTS"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_corpus_is_one_line_with_its_place(tmp_path, files, corpus, message):
    for name, text in files.items():
        write(tmp_path / name, text)
    with pytest.raises(UserError) as caught:
        opened(corpus=corpus, path=str(tmp_path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recording_that_a_corpus_lists_and_that_is_not_there_is_named(tmp_path):
    root = ljspeech(tmp_path)
    (root / "wavs" / "LJ001-0002.wav").unlink()
    (problem,) = problems(opened(folder=str(root)))
    assert "LJ001-0002" in problem


def test_an_unknown_corpus_names_the_nearest():
    with pytest.raises(ValueError, match="corpus 'libritss' unknown; did you mean 'libritts'"):
        parse_spec({"corpus": "libritss", "path": "x"})
    with pytest.raises(ValueError, match="path"):
        parse_spec({"corpus": "libritts"})
    with pytest.raises(UserError, match="does not exist"):
        opened(corpus="libritts", path="nowhere")


def test_texts_come_from_folders_and_files_of_every_form(tmp_path):
    assert texts_of(librispeech(tmp_path / "ls")) == {"1089-134686-0000": "HE HOPED", "1089-134686-0001": "STUFF IT"}
    write(tmp_path / "plain" / "anna" / "a.txt", "hello\n")
    assert texts_of(tmp_path / "plain") == {"anna/a": "hello"}
    for name, text in {
        "a.jsonl": '{"id": 7, "text": "hello"}\n{"id": "8", "text": NaN}\n',
        "b.csv": "path,text\r\n7.wav,hello\r\n",
        "c.tsv": "id\ttext\n7\thello\n",
        "text": "7 hello\n",
        "d.csv": "7|raw|hello\n",
    }.items():
        assert texts_of(write(tmp_path / name, text)) == {"7": "hello"}, name
    with pytest.raises(UserError, match="holds no texts"):
        texts_of(write(tmp_path / "none.jsonl", '{"id": 1, "text": null}\n'))
    with pytest.raises(UserError, match="the text of 1 comes twice"):
        texts_of(write(tmp_path / "twice.jsonl", '{"id": 1, "text": "a"}\n{"id": 1, "text": "b"}\n'))
    with pytest.raises(UserError, match=r"twice\.csv:2: has neither id nor path"):
        texts_of(write(tmp_path / "twice.csv", "text\na\n"))


def test_a_metric_that_needs_text_says_so_before_the_work(tmp_path):
    sound(tmp_path / "own" / "a.wav")
    metrics = "[wer_pocketsphinx, dwer_pocketsphinx, stoi]"
    text = f"name: own\ncodecs: [{{codec: reference}}]\nmetrics: {metrics}\ndatasets: [{{folder: own}}]\n"
    suite = load_suite(write(tmp_path / "s.yaml", text))
    lines = preflight.without_text(suite, open_datasets(suite), Registry())
    told = "own: none of its 1 utterances with {}; without it no value of wer_pocketsphinx ({})"
    assert lines == [
        told.format("text", "a `text:` of the data set, or --text"),
        told.format("a language", "its `language:`, or --language"),
    ]


@pytest.mark.parametrize(("text", "language", "told"), [("", "en", "with text"), ("hello", "", "with a language")])
def test_metrics_that_all_need_what_no_utterance_has_are_refused_before_the_work(tmp_path, text, language, told):
    sound(tmp_path / "own" / "a.wav")
    if text:
        write(tmp_path / "own" / "a.txt", text)
    data = f"{{folder: own, language: '{language}'}}"
    suite = load_suite(write(tmp_path / "s.yaml", f"name: own\ncodecs: [opus]\nmetrics: [wer_pocketsphinx]\ndatasets: [{data}]\n"))
    with pytest.raises(UserError, match=f"^own: none of its 1 utterances {told};.*$"):
        score(suite, Options(tmp_path / "out", jobs=1), Console(quiet=True))
    assert not (tmp_path / "out").exists()


def test_a_manifest_may_be_a_table_and_lines_are_no_folder(tmp_path):
    sound(tmp_path / "a.wav")
    write(tmp_path / "m.csv", "\ufeffpath;text;language\na.wav;hello;en\n")
    (found,) = open_dataset(parse_spec({"manifest": "m.csv"}), tmp_path, 0).entries
    assert (found.id, found.text, found.language, found.sample_rate) == ("a", "hello", "en", 16_000)
    write(tmp_path / "m.jsonl", '{"id": "a"}\n')
    with pytest.raises(UserError, match=r"m\.jsonl: is neither audio nor a manifest of lhotse or NeMo; .* as `manifest:`"):
        open_dataset(parse_spec({"folder": "m.jsonl"}), tmp_path, 0)
    with pytest.raises(UserError, match=r"m\.jsonl:1: path: is missing"):
        open_dataset(parse_spec({"manifest": "m.jsonl"}), tmp_path, 0)


def test_a_run_prints_what_it_recognised(tmp_path):
    kaldi(tmp_path)
    text = "name: own\ncodecs: [{codec: pcm, points: [8bit_24khz]}]\nmetrics: [stoi]\ndatasets: [{folder: data}]\n"
    suite = load_suite(write(tmp_path / "s.yaml", text))
    printed = io.StringIO()
    sound(tmp_path / "wav" / "a.wav", 32_000)
    score(suite, Options(tmp_path / "out", jobs=1), Console(file=printed))
    assert "Kaldi (test): 1 utterance, 1 speaker, language unknown, all with text\n" in printed.getvalue()
