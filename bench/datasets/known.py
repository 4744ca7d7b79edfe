"""Data sets of the hub that a suite calls by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench import checkpoint
from bench.datasets.hub import HubSource
from bench.errors import Unavailable


@dataclass(frozen=True)
class KnownSet:
    """A data set that a suite calls by name.

    size_mb     of the whole split, about; None where we do not know it
    ids_url     a list of the utterances that make up the set, with its sha256; the first field of a line is an id
    """

    title: str
    source: HubSource
    licence: str
    citation: str
    size_mb: float | None = None
    ids_url: str = ""
    ids_sha256: str = ""


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
