"""Text normalisers by name and language: error rates are comparable only where they share one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from bench.errors import UserError, unknown
from bench.language import script, unspaced

STANDARD = "standard"
NORMALISERS = (STANDARD, "whisper", "whisper_english", "whisper_basic", "unicode", "lower", "none")
STANDARD_IS = (
    "standard 1 (Whisper's published English normaliser for English, its basic one for languages whose letters need no combining marks, "
    "unicode 1 for all others)"
)

# Scripts whose letters Unicode composes, so that Whisper's basic normaliser finds no marks in them to turn into spaces
_COMPOSED_SCRIPTS = frozenset({"Latn", "Cyrl", "Grek", "Hans", "Hant", "Jpan", "Kore", "Armn", "Geor", "Ethi", "Cher"})
# and languages of theirs that do need marks: a dotted capital I, tones on letters that have no composed form
_WITH_MARKS = frozenset({"tr", "az", "crh", "gag", "yo", "ig", "ee", "ln", "ak", "fon", "bm", "gn", "nv", "lu", "bas", "ewo", "agq", "nnh"})
_DOTLESS = frozenset({"tr", "az", "crh", "gag"})  # I is the capital of ı there

_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u201b\u02bb\u02bc"), "'")
# Signs that Arabic and Hebrew add to a text or leave out: vowels, cantillation, the stretching of a line
_OPTIONAL = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]"
)
_REMARKS = re.compile(r"[<\[][^>\]]*[>\]]|\([^)]+?\)")  # [laughs] (inaudible), as Whisper's normalisers leave them out
_INSIDE_WORDS = re.compile("(?<=\\w)['\u05f3\u05f4](?=\\w)|(?<=[\u05d0-\u05ea])\"(?=[\u05d0-\u05ea])")


@lru_cache(maxsize=64)
def normaliser(name: str, language: str) -> Callable[[str], str]:
    """The normaliser `name` for text in `language`, a BCP 47 primary tag ("" where unknown).

    standard          whisper where that does no harm, else unicode (see STANDARD_IS)
    whisper           whisper_english for English, whisper_basic for all others
    whisper_english   OpenAI's English one: spelling variants, numbers and contractions made equal, no punctuation
    whisper_basic     OpenAI's for other languages: lower case, no punctuation; characters apart in languages without spaces
    unicode           our own, for all languages: lower case, no punctuation, combining marks kept (see unicode_text)
    lower             lower case, punctuation kept
    none              the text as it stands

    All of them get the text as legible() gives it: what nobody sees or hears is no error in any.
    """
    if name not in NORMALISERS:
        raise UserError(unknown("text normaliser", name, NORMALISERS))
    if name == STANDARD:
        name = "whisper" if language == "en" or _composed(language) else "unicode"
    if name == "whisper":
        name = "whisper_english" if language == "en" else "whisper_basic"
    normalise = _function(name, language)
    return lambda text: normalise(legible(text))


def legible(text: str) -> str:
    """`text` with one spelling of what looks or sounds alike: NFC; full and half width made usual; one apostrophe; white space of any kind
    (U+2028, U+0085, CRLF) as single spaces; without characters that have no form of their own (soft hyphens, joiners, directions, BOM)."""
    usual = "".join(unicodedata.normalize("NFKC", each) if unicodedata.east_asian_width(each) in "FH" else each for each in text)
    visible = "".join(_visible(each) for each in unicodedata.normalize("NFC", usual).translate(_APOSTROPHES))
    return " ".join(unicodedata.normalize("NFC", visible).split())


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        return " "
    hidden = category in ("Cf", "Cs") or "\ufe00" <= character <= "\ufe0f" or "\u180b" <= character <= "\u180f" or character == "\u034f"
    return "" if hidden else character


def unicode_text(text: str, language: str) -> str:
    """`text` in lower case and NFKC, by the categories of Unicode: letters, marks and numbers stay, all else parts words.

    Digits of all scripts become 0 to 9. What Arabic and Hebrew may add or leave out (vowel signs, the tatweel) is left out, and so are
    remarks in brackets, an apostrophe within a word, and the same signs of Hebrew abbreviations.
    """
    kept = _REMARKS.sub("", text)
    if language in _DOTLESS:
        kept = kept.replace("I", "ı")
    kept = unicodedata.normalize("NFKC", kept.lower().replace("i\u0307", "i"))
    kept = _INSIDE_WORDS.sub("", _OPTIONAL.sub("", kept))
    return " ".join("".join(_letter(each) for each in kept).split())


def _letter(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    return character if category[0] in "LMN" else " "


def spelling(text: str, language: str) -> str:
    """What a character error rate counts: single spaces between words, none in languages that do not write them."""
    return ("" if unspaced(language) else " ").join(text.split())


def _composed(language: str) -> bool:
    return script(language) in _COMPOSED_SCRIPTS and language not in _WITH_MARKS


def _function(name: str, language: str) -> Callable[[str], str]:
    if name == "none":
        return str
    if name == "lower":
        return str.lower
    if name == "unicode":
        return lambda text: unicode_text(text, language)
    if name == "whisper_english":
        from whisper_normalizer.english import EnglishTextNormalizer

        return EnglishTextNormalizer()
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer(split_letters=unspaced(language))
