"""What stands in a cell of a manifest, a CSV or a parquet file, and what is there only because the cell is empty."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.errors import UserError

_EMPTY = frozenset({"", "nan", "NaN", "NAN", "null", "NULL", "None", "<NA>"})  # as pandas, JSON and Python write an empty cell


def given(value: Any) -> str | None:
    """The text of a cell; None for one that is empty, whichever way it says so. Numbers are texts, 3.0 is "3"; ValueError on lists
    and mappings.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"is no text: {json.dumps(value, default=str, skipkeys=True)[:80]}")
    whole = isinstance(value, float) and value.is_integer()  # pandas makes floats of whole numbers beside an empty cell
    text = str(int(value) if whole else value).strip("\ufeff")
    return None if text.strip() in _EMPTY else text


def amount(value: Any) -> float:
    """A number that is not negative, of a cell; 0 for an empty one. ValueError on what is none ("6 kbps", infinity)."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return 0.0
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"is no number of at least 0: {json.dumps(value, default=str)[:80]}")
    return number


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Number and value of every line that is not blank; lines end at \\n alone, as texts may hold U+2028 and U+0085.

    UserError where the file cannot be read, is not UTF-8, or a line is no JSON.
    """
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                raise UserError(f"{path}:{number}: is no JSON: {reason}") from None


def csv_rows(path: Path, check: Callable[[Sequence[str]], None]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells by column of every row of a CSV in our own form, read strictly; `check` is given its columns first.

    UserError where the file cannot be read, is not UTF-8, or a row is no CSV.
    """
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""), restval="", strict=True)
    try:
        check(reader.fieldnames or ())
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from None


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark; UserError says what is wrong with it."""
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{path}: is no regular file")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except ValueError as error:  # a NUL in the path
        raise UserError(f"{str(path)!r}: {error}") from None


def meant(identifier: str, known: Collection[str]) -> str:
    """`; did you mean 'b'?` where an id differs from a known one only in Unicode form, case, leading zeros or a suffix; else ""."""
    near = {_plain(each): each for each in known}
    return f"; did you mean '{near[_plain(identifier)]}'?" if _plain(identifier) in near else ""


def _plain(identifier: str) -> str:
    text = unicodedata.normalize("NFC", identifier).casefold()
    for suffix in (".wav", ".flac", ".mp3", ".opus", ".ogg"):
        text = text.removesuffix(suffix)
    return text.lstrip("0") or "0"
