"""Languages as people write them: one primary tag for each, or an error with the nearest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.datasets.specs import FolderSet, HubSet, open_dataset, parse_spec
from bench.errors import UserError
from bench.language import language_name, language_tag, script, unspaced

SAID: dict[str, list[Any]] = {
    "zh": ["zh", "zh_CN", "zh-Hans", "zh-Hant-TW", "zho", "chi", "cmn", "cmn_hans_cn", "Chinese", "chinese", "Mandarin", "中文"],
    "en": ["en", "EN", "en_US", "en-UK", "eng", "English", "en_GB.UTF-8", " en "],
    "de": ["de", "deu", "ger", "de-AT", "German", "Deutsch"],
    "pt": ["pt", "pt-br", "por", "Portuguese"],
    "yue": ["yue", "Cantonese", "zh-yue"],
    "ar": ["ar", "arb", "ara", "ar_EG"],
    "he": ["he", "iw", "heb"],
    "lo": ["lo", "lao", "Lao"],
    "no": ["no", "nor", False],  # what YAML makes of `no`
    "": ["", "und", "mul", "unknown", None, float("nan")],
}


@pytest.mark.parametrize(("tag", "stated"), [(tag, stated) for tag, values in SAID.items() for stated in values])
def test_a_language_means_what_it_says_however_it_is_written(tag, stated):
    assert language_tag(stated) == tag
    assert language_tag(tag) == tag


@pytest.mark.parametrize(
    ("stated", "nearest"),
    [("englich", "en"), ("jp", "ja"), ("cn", "zh"), ("german!", "de"), ("en,de", "en"), ("zh-CN;q=1", "zh"), ("Frenhc", "fr")],
)
def test_an_unknown_language_is_an_error_with_the_nearest(stated, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        language_tag(stated)


@pytest.mark.parametrize("stated", ["1", "x" * 300, "a\0b", "\u2028", "xx", "../..", 5, 1.5, True, ["en"], {"en": 1}, "\ud800"], ids=ascii)
def test_what_is_no_language_is_refused_in_one_line(stated):
    if stated == "\u2028":
        assert language_tag(stated) == ""  # white space
        return
    with pytest.raises(ValueError, match="language") as caught:
        language_tag(stated)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 250


def test_languages_without_spaces_between_words():
    assert [tag for tag in ("zh", "yue", "ja", "th", "lo", "my", "km", "wuu", "ko", "vi", "hi", "bo", "en", "") if unspaced(tag)] == [
        "zh", "yue", "ja", "th", "lo", "my", "km", "wuu",
    ]  # fmt: skip
    assert [script(tag) for tag in ("hi", "en", "")] == ["Deva", "Latn", ""]
    assert [language_name(tag) for tag in ("zh", "")] == ["Chinese", "unknown language"]


def test_manifests_folders_and_selections_read_languages(tmp_path):
    tone = tmp_path / "a.wav"
    import numpy as np
    import soundfile

    soundfile.write(tone, np.sin(np.arange(16000) / 20), 16000)
    rows = [
        {"id": str(number), "path": "a.wav", "language": stated} for number, stated in enumerate(["zh_CN", "cmn", "Chinese", "eng", None])
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = open_dataset(parse_spec({"manifest": "manifest.jsonl"}), tmp_path, 0)
    assert [entry.language for entry in found.entries] == ["zh", "zh", "zh", "en", ""]
    found = open_dataset(parse_spec({"manifest": "manifest.jsonl", "languages": "zh-Hans"}), tmp_path, 0)
    assert len(found.entries) == 3
    (entry,) = open_dataset(parse_spec({"folder": ".", "language": "English"}), tmp_path, 0).entries
    assert entry.language == "en"
    assert HubSet.model_validate({"hf": "a/b", "language": "zho"}).language == "zh"
    assert FolderSet.model_validate({"folder": ".", "language": False}).language == "no"
    assert parse_spec({"folder": ".", "languages": False}).languages == ("no",)
    manifest.write_text(json.dumps({"id": "1", "path": "a.wav"}) + "\n" + json.dumps({"id": "2", "path": "a.wav", "language": "jp"}) + "\n")
    with pytest.raises(UserError, match=r"manifest.jsonl:2: language: .*language 'jp' unknown; did you mean 'ja' \(Japanese\)"):
        open_dataset(parse_spec({"manifest": "manifest.jsonl"}), tmp_path, 0)
