"""Data sets of the Hugging Face hub as plain files: what is known of them by name, and the cache that holds them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict

from bench import audio, checkpoint
from bench.errors import Unavailable, UserError, unknown

_ROWS_AT_ONCE = 32
_HUB_FILE = re.compile(r"hf://datasets/(?P<repo>[^@]+)@(?P<commit>[^/]+)/(?P<file>.+)")


class HubSource(BaseModel):
    """One split on the hub, and the columns of its parquet rows.

    revision    commit; None takes what the hub has when it is first fetched, records that commit and stays with it
    audio       column of {bytes, path}
    text        null for none; so too `id` (numbers the rows) and `speaker`. A column that is only a default may be absent
    language    BCP-47 primary tag of all rows
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hf: str
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    audio: str = "audio"
    text: str | None = "text"
    id: str | None = "id"
    speaker: str | None = "speaker_id"
    language: str = ""


@dataclass(frozen=True)
class KnownSet:
    """A data set that a suite calls by name.

    size_mb     of the download, about; None where we do not know it
    ids_url     a list of the utterances that make up the set, with its sha256; the first field of a line is an id
    """

    title: str
    source: HubSource
    licence: str
    citation: str
    size_mb: float | None = None
    ids_url: str = ""
    ids_sha256: str = ""


def is_fetched(source: HubSource, files: Sequence[Path] = ()) -> bool:
    """Whether fetch() would find its work done."""
    return (_folder(source, files) / "manifest.jsonl").is_file()


def fetch(source: HubSource, files: Sequence[Path] = ()) -> Path:
    """Folder with manifest.jsonl, the audio of the whole split and source.json, made on first use from the hub or local parquet `files`.

    The audio stays encoded as it is in the rows. Raises Unavailable where the hub is out of reach.
    """
    folder = _folder(source, files)
    if (folder / "manifest.jsonl").is_file():
        return folder
    commit = ""
    if not files:
        files, commit = _download(source)
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        _write_plain_files(source, files, partial)
        (partial / "source.json").write_text(json.dumps({**source.model_dump(), "commit": commit}, indent=1) + "\n", encoding="utf-8")
        try:
            partial.rename(folder)
        except OSError:
            # Another process may have been quicker; its folder holds the same.
            if not (folder / "manifest.jsonl").is_file():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def commit_of(folder: Path) -> str:
    """The hub's commit that a fetched folder was made from; "" for local files."""
    return str(json.loads((folder / "source.json").read_text(encoding="utf-8"))["commit"])


def ids_file(known: KnownSet) -> Path:
    """Where the list of `known` lies, or would lie, on this machine."""
    return checkpoint.cache_folder() / "datasets" / f"{known.ids_sha256[:12]}-{PurePosixPath(known.ids_url).name}"


def fetch_ids(known: KnownSet) -> Path:
    """The list of utterances of `known`, downloaded on first use and verified."""
    target = ids_file(known)
    if target.is_file():
        return target
    if checkpoint.offline():
        raise Unavailable(f"{known.ids_url} is not on this machine, and HF_HUB_OFFLINE is set")
    return checkpoint.download(known.ids_url, known.ids_sha256, target)


def _folder(source: HubSource, files: Sequence[Path]) -> Path:
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    digest = hashlib.sha256(json.dumps([source.model_dump(), stats]).encode()).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(part for part in (source.hf, source.config, source.split) if part))
    return checkpoint.cache_folder() / "datasets" / f"{readable}-{digest[:12]}"


def _download(source: HubSource) -> tuple[list[Path], str]:
    """Parquet files of the split in the hub's own cache (resumed, renamed when complete), and the commit they are of."""
    import datasets
    from huggingface_hub import hf_hub_download

    # load_dataset() would fetch every split of the configuration, which for LibriTTS means the training speech too.
    try:
        builder = datasets.load_dataset_builder(source.hf, source.config, revision=source.revision)
        places = _split_files(builder, source)
        files = [hf_hub_download(m["repo"], m["file"], repo_type="dataset", revision=m["commit"]) for m in places]
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise Unavailable(
            f"data set {source.hf} is not on this machine ({reason}); fetch it where there is a network, or name local `data_files:`"
        ) from error
    except ValueError as error:
        raise UserError(f"data set {source.hf}: {error}") from None
    return [Path(file) for file in files], str(builder.hash)


def _split_files(builder: Any, source: HubSource) -> list[re.Match[str]]:
    """Where the split's parquet files are on the hub."""
    splits = builder.config.data_files or {}
    if builder.name != "parquet":
        raise ValueError(f"is stored as {builder.name}, not as parquet; try `revision: refs/convert/parquet`, or a local `folder:`")
    if source.split not in splits:
        raise ValueError(unknown("split", source.split, splits))
    places = [_HUB_FILE.fullmatch(url) for url in splits[source.split]]
    if not all(places):
        raise ValueError(f"{splits[source.split][0]} is no file of the hub; local parquet goes under `data_files:`")
    return [place for place in places if place]


def _write_plain_files(source: HubSource, files: Sequence[Path], folder: Path) -> None:
    (folder / "audio").mkdir(parents=True)
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number, row in enumerate(_rows(source, files)):
            cell = row["audio"] or {}
            name = f"audio/{number:06d}{PurePosixPath(cell.get('path') or '').suffix or '.audio'}"
            (folder / name).write_bytes(cell.get("bytes") or b"")
            facts: dict[str, Any] = {"id": _stem(str(row.get("id", f"{number:06d}"))), "path": name, "text": row.get("text")}
            facts |= {"speaker": row.get("speaker"), "language": source.language}
            try:
                num_samples, sample_rate = audio.probe(folder / name)
                facts |= {"duration_s": num_samples / sample_rate, "sample_rate": sample_rate}
            except ValueError:
                pass  # stays in the manifest, and preflight names it with the reason
            manifest.write(json.dumps(facts, ensure_ascii=False) + "\n")


def _rows(source: HubSource, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Rows under our names for the columns; what the files lack is left out."""
    # pyarrow rather than datasets: the latter decodes audio with torchcodec, which not every machine can load.
    import pyarrow
    import pyarrow.parquet

    for file in files:
        try:
            parquet = pyarrow.parquet.ParquetFile(file)
        except pyarrow.ArrowInvalid as error:
            raise UserError(f"{file}: is no parquet file ({error})") from None
        columns = _columns(source, parquet.schema_arrow, file)
        for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=list(columns.values())):
            for row in batch.to_pylist():
                yield {ours: row[theirs] for ours, theirs in columns.items()}


def _columns(source: HubSource, schema: Any, file: Path) -> dict[str, str]:
    wanted = {"audio": source.audio, "text": source.text, "id": source.id, "speaker": source.speaker}
    columns = {ours: theirs for ours, theirs in wanted.items() if theirs is not None and theirs in schema.names}
    for ours, theirs in wanted.items():
        if theirs and ours not in columns and (ours == "audio" or ours in source.model_fields_set):
            raise UserError(f"{file}: {unknown(f'column ({ours})', theirs, schema.names)}")
    kind = schema.field(source.audio).type
    if "bytes" not in {kind.field(index).name for index in range(kind.num_fields)}:
        raise UserError(f"{file}: column '{source.audio}' holds {kind}, not audio as {{bytes, path}}")
    return columns


def _stem(identifier: str) -> str:
    """FLEURS has no unique id but its file names."""
    path = PurePosixPath(identifier)
    return path.stem if path.suffix.lower() in audio.SUFFIXES else identifier


_LIBRITTS = """@inproceedings{zen2019libritts,
  title={{LibriTTS}: A Corpus Derived from {LibriSpeech} for Text-to-Speech},
  author={Zen, Heiga and Dang, Viet and Clark, Rob and Zhang, Yu and Weiss, Ron J. and Jia, Ye and Chen, Zhifeng and Wu, Yonghui},
  booktitle={Interspeech}, year={2019}}"""
_LIBRISPEECH = """@inproceedings{panayotov2015librispeech,
  title={{LibriSpeech}: An {ASR} Corpus Based on Public Domain Audio Books},
  author={Panayotov, Vassil and Chen, Guoguo and Povey, Daniel and Khudanpur, Sanjeev},
  booktitle={ICASSP}, year={2015}}"""
_MLS = """@inproceedings{pratap2020mls,
  title={{MLS}: A Large-Scale Multilingual Dataset for Speech Research},
  author={Pratap, Vineel and Xu, Qiantong and Sriram, Anuroop and Synnaeve, Gabriel and Collobert, Ronan},
  booktitle={Interspeech}, year={2020}}"""
_FLEURS = """@inproceedings{conneau2022fleurs,
  title={{FLEURS}: Few-Shot Learning Evaluation of Universal Representations of Speech},
  author={Conneau, Alexis and Ma, Min and Khanuja, Simran and Zhang, Yu and Axelrod, Vera and Dalmia, Siddharth and Riesa, Jason
    and Rivera, Clara and Bapna, Ankur},
  booktitle={IEEE Spoken Language Technology Workshop}, year={2022}}"""
_UNICATS = """@inproceedings{du2024unicats,
  title={{UniCATS}: A Unified Context-Aware Text-to-Speech Framework with Contextual {VQ}-Diffusion and Vocoding},
  author={Du, Chenpeng and Guo, Yiwei and Shen, Feiyu and Liu, Zhijun and Liang, Zheng and Chen, Xie and Wang, Shuai and Zhang, Hui
    and Yu, Kai},
  booktitle={AAAI}, year={2024}}"""

_MLS_LANGUAGES = {
    "dutch": "nl",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "polish": "pl",
    "portuguese": "pt",
    "spanish": "es",
}
# The others of its 102 configurations are reached by `hf: google/fleurs`.
_FLEURS_CONFIGS = (
    "ar_eg",
    "cmn_hans_cn",
    "de_de",
    "en_us",
    "es_419",
    "fr_fr",
    "hi_in",
    "it_it",
    "ja_jp",
    "nl_nl",
    "pl_pl",
    "pt_br",
    "ru_ru",
)


def _libritts(split: str, size_mb: float) -> KnownSet:
    # No commit is pinned here: it is recorded at the first fetch (source.json, run.json).
    source = HubSource(hf="mythicinfinity/libritts", config="clean", split=split, text="text_normalized", language="en")
    return KnownSet(f"LibriTTS {split.replace('.', '-')}", source, "CC-BY-4.0", _LIBRITTS, size_mb)


def _mls(language: str) -> KnownSet:
    commit = "2e83e61823b4c47dcbcb1980bb88601274127609"
    tag = _MLS_LANGUAGES[language]
    source = HubSource(hf="facebook/multilingual_librispeech", config=language, revision=commit, text="transcript", language=tag)
    return KnownSet(f"Multilingual LibriSpeech, {language}, test", source, "CC-BY-4.0", _MLS)


def _fleurs(config: str) -> KnownSet:
    commit = "70bb2e84b976b7e960aa89f1c648e09c59f894dd"
    tag = config.split("_")[0].replace("cmn", "zh")
    # Its `id` is that of the sentence, which several people read; it names no speakers.
    source = HubSource(hf="google/fleurs", config=config, revision=commit, text="transcription", id="path", speaker=None, language=tag)
    return KnownSet(f"FLEURS {config}, test", source, "CC-BY-4.0", _FLEURS, size_mb=500)


_LIBRISPEECH_TEST_CLEAN = KnownSet(
    "LibriSpeech test-clean",
    HubSource(hf="openslr/librispeech_asr", config="clean", revision="71cacbfb7e2354c4226d01e70d77d5fca3d04ba1", language="en"),
    "CC-BY-4.0",
    _LIBRISPEECH,
    size_mb=350,
)
_UNICATS_B = KnownSet(
    "UniCATS testset B: 500 utterances of LibriTTS test-clean",
    _libritts("test.clean", 1200).source,
    "CC-BY-4.0 (the list of its ids: none stated)",
    f"{_UNICATS}\n{_LIBRITTS}",
    1200,
    "https://cpdu.github.io/unicats/resources/testsetB_utt2prompt",
    "d86c4a418372dac4ab3590bfd048546809c89ab1d1dcd2980c8b05c357087fe0",
)

KNOWN_SETS: dict[str, KnownSet] = {
    "libritts/test-clean": _libritts("test.clean", 1200),
    "libritts/dev-clean": _libritts("dev.clean", 1300),
    "librispeech/test-clean": _LIBRISPEECH_TEST_CLEAN,
    "unicats-b": _UNICATS_B,
    **{f"mls/{language}": _mls(language) for language in _MLS_LANGUAGES},
    **{f"fleurs/{config}": _fleurs(config) for config in _FLEURS_CONFIGS},
}
