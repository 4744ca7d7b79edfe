"""Language tags: whatever people write for a language (`zh_CN`, `cmn`, `eng`, `Chinese`) as one BCP 47 primary tag."""

from __future__ import annotations

import difflib
import math
import re
from functools import lru_cache
from typing import Annotated

import langcodes
from pydantic import BeforeValidator

_UNKNOWN = frozenset({"", "und", "mul", "mis", "zxx", "unknown"})  # undetermined, several, uncoded, no speech: none of them is a language
_TAG = re.compile(r"[A-Za-z0-9]{1,8}([-_][A-Za-z0-9]{1,8})*")
_LOCALE_SUFFIX = re.compile(r"[.@][\w.@-]*$")  # de_DE.UTF-8@euro
_NAME = re.compile(
    r"(?:[^\W\d_]{4,}|[^\x00-\x7F]{2,})(?:[ -]\(?[^\W\d_]{4,}\)?)*"
)  # what is shorter is a code, and not always the one meant
_LONGEST = 60  # characters that are looked up, or shown
_UNSPACED_SCRIPTS = frozenset({"Hans", "Hant", "Jpan", "Thai", "Laoo", "Mymr", "Khmr"})


def language_tag(value: object) -> str:
    """The primary tag of a language: "zh" for zh, zh_CN, zh-Hans, zho, cmn and Chinese; "" where `value` states none (None, NaN, "", und).

    Whatever reads a language from a file or a suite calls this, once, and keeps what it returns: pydantic models declare the field as
    `Tag`. Region and script are dropped, for they change neither what a recogniser is told nor how words are counted; a language that
    is its macrolanguage's chief member becomes that (cmn, arb, pes: zh, ar, fa), all others stay (yue, arz, nb). `False` is what YAML
    makes of `no`.

    Raises ValueError with the nearest choice where there is no such language.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if value is False:
        return "no"
    if not isinstance(value, str):
        raise ValueError(f"language {value!r:.{_LONGEST}} is no tag such as 'en' or 'zh'")
    return _primary(value)


Tag = Annotated[str, BeforeValidator(language_tag)]
"""The type of a pydantic field that holds a language."""


def language_name(tag: str) -> str:
    """English name of a tag of language_tag(): "Chinese"; "unknown language" for ""."""
    return langcodes.Language.get(tag).display_name() if tag else "unknown language"


@lru_cache(maxsize=1024)
def script(tag: str) -> str:
    """ISO 15924 code of the script that a language is mostly written in: "Latn", "Deva", "Hans"; "" where that is unknown."""
    return langcodes.Language.get(tag).maximize().script or "" if tag else ""


def unspaced(tag: str) -> bool:
    """Whether the language is written without spaces between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer), so that words of a text
    can not be counted."""
    return script(tag) in _UNSPACED_SCRIPTS


@lru_cache(maxsize=1024)
def _primary(text: str) -> str:
    stated = text.strip()
    if stated.lower() in _UNKNOWN:
        return ""
    if len(stated) <= _LONGEST:
        for found in (_by_tag(_LOCALE_SUFFIX.sub("", stated)), _by_name(stated)):
            if found is not None:
                return "" if found in _UNKNOWN else found
    raise ValueError(f"language {stated[:_LONGEST]!r} unknown; {_nearest(stated[:_LONGEST])}")


def _by_tag(text: str) -> str | None:
    if not _TAG.fullmatch(text):
        return None
    try:
        language = langcodes.Language.get(text)
    except langcodes.LanguageTagError:
        return None
    return _of(language) if language.is_valid() else None


def _by_name(text: str) -> str | None:
    if not _NAME.fullmatch(text):
        return None
    try:
        return _of(langcodes.find(text))
    except LookupError:
        return None


def _of(language: langcodes.Language) -> str:
    return langcodes.Language.get(langcodes.standardize_tag(language, macro=True)).language or "und"


def _nearest(text: str) -> str:
    """`did you mean 'ja' (Japanese)?`: by its first part, by a country that is taken for a language, by names and tags."""
    from language_data.population_data import LANGUAGE_SPEAKING_POPULATION

    first = re.split(r"[\W_]", text)[0]
    nearest = _by_tag(first) or _by_name(first) or _of_country(first)
    if nearest is None:
        tags = sorted({tag.split("-")[0] for tag in LANGUAGE_SPEAKING_POPULATION})
        names = {langcodes.Language.get(tag).display_name().lower(): tag for tag in tags}
        near = difflib.get_close_matches(first.lower(), names if len(first) > 3 else tags, n=1, cutoff=0.6)
        nearest = names.get(near[0], near[0]) if near else None
    hint = f"did you mean '{nearest}' ({language_name(nearest)})? " if nearest else ""
    return f"{hint}it is a BCP 47 tag, such as en, de, zh or pt-BR, or a language's English name"


def _of_country(code: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z]{2}", code):
        return None
    country = langcodes.Language.make(territory=code.upper())
    unknown = country.territory_name().startswith("Unknown") or not country.is_valid()
    return None if unknown else country.maximize().language
