"""Text normalisers by name and language: error rates are comparable only where they share one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from bench.errors import UserError, unknown

NORMALISERS = ("whisper", "whisper_english", "whisper_basic", "lower", "none")
_WITHOUT_SPACES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})  # words are not written apart


def primary_tag(language: str) -> str:
    """`en` of `en-US`."""
    return language.split("-")[0].lower()


@lru_cache(maxsize=32)
def normaliser(name: str, language: str) -> Callable[[str], str]:
    """The normaliser `name` for text in `language`, a BCP-47 primary tag ("" where unknown).

    whisper           whisper_english for English, whisper_basic for all others
    whisper_english   OpenAI's English one: spelling variants, numbers and contractions made equal, no punctuation
    whisper_basic     OpenAI's for other languages: lower case, no punctuation; characters apart in languages without spaces
    lower             lower case, punctuation kept
    none              the text as it stands
    """
    if name not in NORMALISERS:
        raise UserError(unknown("text normaliser", name, NORMALISERS))
    if name == "none":
        return str
    if name == "lower":
        return str.lower
    if name == "whisper_english" or (name == "whisper" and language == "en"):
        from whisper_normalizer.english import EnglishTextNormalizer

        return EnglishTextNormalizer()
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer(split_letters=language in _WITHOUT_SPACES)


def spelling(text: str, language: str) -> str:
    """What a character error rate counts: single spaces between words, none in languages that do not write them."""
    return ("" if language in _WITHOUT_SPACES else " ").join(text.split())
