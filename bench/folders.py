"""Folders of originals and of outputs: which file belongs to which utterance, told by paths alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath

from bench import audio
from bench.datasets.layout import is_hidden
from bench.errors import UserError, listed

PATH, STEM = "path", "stem"
_SHOWN = 5  # names in a message


def audio_files(place: Path) -> dict[str, Path]:
    """Path without its suffix, from the folder `place` -> file, of all audio in it and below; of one file its stem.

    UserError where there is none, or where two files differ in nothing but their suffix.
    """
    if place.is_file():
        return {place.stem: place}
    found: dict[str, Path] = {}
    for file in sorted(place.rglob("*")):
        inner = file.relative_to(place)
        if file.suffix.lower() in audio.SUFFIXES and not is_hidden(inner):
            name = inner.with_suffix("").as_posix()
            if name in found:
                raise UserError(f"{place}: {found[name].relative_to(place)} and {inner} are one utterance; keep one of them")
            found[name] = file
    if not found:
        reason = f"holds no audio ({', '.join(sorted(audio.SUFFIXES))})" if place.is_dir() else "is not there"
        raise UserError(f"{place}: {reason}")
    return found


def paired(names: Collection[str], utterances: Collection[str], rule: str = "") -> dict[str, str]:
    """Utterance -> the name that belongs to it, both paths without suffix; what has no partner is left out.

    rule    "path": the same path; "stem": the same last part; else a regular expression whose first group (or whole match) is the same
            in both. Without one the paths may differ in their folders: a name belongs to the utterance that shares most of its last
            parts. One file alone belongs to one utterance alone, whatever they are called.

    UserError where two names, or two utterances, are alike by the rule.
    """
    if not rule:
        if len(names) == len(utterances) == 1:
            return dict(zip(utterances, names, strict=True))
        return _by_last_parts(names, utterances)
    key = _same if rule == PATH else _stem if rule == STEM else _expression(rule)
    keyed_names, keyed_utterances = _keyed(names, key, rule), _keyed(utterances, key, rule)
    return {utterance: keyed_names[each] for each, utterance in keyed_utterances.items() if each in keyed_names}


def _by_last_parts(names: Collection[str], utterances: Collection[str]) -> dict[str, str]:
    """The same path first, then the most parts from the end."""
    pairs = {each: each for each in utterances if each in set(names)}
    by_stem: dict[str, list[str]] = {}
    for utterance in utterances:
        by_stem.setdefault(_stem(utterance), []).append(utterance)
    for name in (name for name in names if name not in pairs):
        alike = by_stem.get(_stem(name), [])
        shared = {utterance: _shared_parts(name, utterance) for utterance in alike}
        best = [utterance for utterance in alike if shared[utterance] == max(shared.values())]
        if len(best) > 1:
            choices = listed(sorted(best), _SHOWN)
            raise UserError(f"'{name}' may belong to {choices}; say which by --pair: {PATH}, {STEM} or a regular expression")
        if best and pairs.setdefault(best[0], name) != name:
            if pairs[best[0]] == best[0]:
                continue  # which has its own
            raise UserError(f"'{pairs[best[0]]}' and '{name}' may both belong to '{best[0]}'; say which by --pair")
    return pairs


def _shared_parts(one: str, other: str) -> int:
    """How many parts two paths have in common, from their ends."""
    count = 0
    for a, b in zip(reversed(PurePosixPath(one).parts), reversed(PurePosixPath(other).parts)):
        if a != b:
            break
        count += 1
    return count


def _same(name: str) -> str:
    return name


def _stem(name: str) -> str:
    return PurePosixPath(name).name


def _expression(rule: str) -> Callable[[str], str]:
    try:
        pattern = re.compile(rule)
    except re.error as error:
        raise UserError(f"pair '{rule}': is neither {PATH} nor {STEM} nor a regular expression: {error}") from None

    def key(name: str) -> str:
        found = pattern.search(name)
        return "" if found is None else found[1] if pattern.groups and found[1] is not None else found[0]

    return key


def _keyed(names: Collection[str], key: Callable[[str], str], rule: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        each = key(name)
        if each and found.setdefault(each, name) != name:
            raise UserError(f"'{found[each]}' and '{name}' are the same by pair '{rule}': {each}")
    return found


def texts_by_utterance(texts: Mapping[str, str], utterances: Collection[str]) -> dict[str, str]:
    """Utterance -> text, of texts by their id: the same, or the same last part."""
    return {utterance: texts[name] for utterance, name in paired(texts, utterances).items()}
