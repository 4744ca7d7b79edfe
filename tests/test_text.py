"""Text normalisers: what each makes equal, and what it leaves."""

from __future__ import annotations

import pytest

from bench.errors import UserError
from bench.metrics._text import NORMALISERS, normaliser, primary_tag, spelling

ENGLISH = "Mr. Neil's colour TV cost twenty-one dollars, didn't it?"


@pytest.mark.parametrize(
    ("name", "language", "text", "expected"),
    [
        ("whisper", "en", ENGLISH, "mister neil is color tv cost $21 did not it"),
        ("whisper_english", "de", "colour", "color"),
        ("whisper", "de", "Grüße, aus Köln!", "grüße aus köln"),
        ("whisper_basic", "en", "I'll go [laughs] now.", "i ll go now"),
        ("whisper", "zh", "我是学生。", "我 是 学 生"),
        ("whisper", "", "Hello, there", "hello there"),
        ("lower", "en", "It's 5 PM.", "it's 5 pm."),
        ("none", "en", "It's 5 PM.", "It's 5 PM."),
    ],
)
def test_normaliser(name, language, text, expected):
    assert " ".join(normaliser(name, language)(text).split()) == expected


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize("language", ["en", "de", "ja", ""])
def test_normalising_twice_changes_nothing(name, language):
    once = normaliser(name, language)("The Colour of 3 cats, Zoë's!")
    assert normaliser(name, language)(once).split() == once.split()


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'whisper_basic'"):
        normaliser("wisper_basic", "en")


def test_tags_and_spelling():
    assert [primary_tag(tag) for tag in ("en-US", "DE", "")] == ["en", "de", ""]
    assert spelling(" two  words ", "en") == "two words"
    assert spelling("我 是 学 生", "zh") == "我是学生"
