"""What stands in a cell of a manifest, a CSV or a parquet file, and what is there only because the cell is empty."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files import check_regular

_SURROGATE = re.compile("[\ud800-\udfff]")  # as JSON's escapes can write it, and no file can hold
_EMPTY = frozenset({"", "nan", "NaN", "NAN", "null", "NULL", "None", "<NA>"})  # as pandas, JSON and Python write an empty cell


def given(value: Any) -> str | None:
    """The text of a cell; None for one that is empty, whichever way it says so. Numbers are texts, 3.0 is "3"; ValueError on lists,
    mappings and half characters.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"is no text: {json.dumps(value, default=str, skipkeys=True)[:80]}")
    whole = isinstance(value, float) and value.is_integer()  # pandas makes floats of whole numbers beside an empty cell
    text = str(int(value) if whole else value).strip("\ufeff")
    if (half := _SURROGATE.search(text)) is not None:
        raise ValueError(f"holds U+{ord(half[0]):04X}, which is half a character")
    return None if text.strip() in _EMPTY else text


def amount(value: Any) -> float:
    """A number that is not negative, of a cell; 0 for an empty one. ValueError on what is none ("6 kbps", infinity)."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return 0.0
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"is no number of at least 0: {json.dumps(value, default=str)[:80]}")
    return number


def whole_amount(value: Any) -> int:
    """As `amount`, of what is counted."""
    number = amount(value)
    if not number.is_integer():
        raise ValueError(f"is no whole number: {json.dumps(value)[:80]}")
    return int(number)


def no_switch(value: Any) -> Any:
    """`value`; ValueError where it, or an item of it, is true or false, as YAML reads yes, no, on and off too."""
    if any(isinstance(item, bool) for item in (value if isinstance(value, (list, tuple)) else [value])):
        raise ValueError("is read as true or false, which it can't be; a word is put in quotes")
    return value


def json_of(text: str) -> Any:
    """The value of a JSON text; ValueError says in a line what is wrong with it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("is no JSON: nested too deeply") from None
    except ValueError:
        raise ValueError("is no JSON: a number has too many digits") from None


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Number and value of every line that is not blank; lines end at \\n alone, as texts may hold U+2028 and U+0085.

    UserError where the file cannot be read, is not UTF-8, or a line is no JSON.
    """
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            try:
                value = json_of(line)
            except ValueError as error:
                raise UserError(f"{path}:{number}: {error}") from None
            yield number, value


def csv_rows(path: Path, check: Callable[[Sequence[str]], None]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and cells by column of every row of a CSV in our own form, read strictly; `check` is given its columns first.

    UserError where the file cannot be read, is not UTF-8, or a row is no CSV.
    """
    columns: list[str] = []
    for line, cells in csv_lines(text_of(path), path):
        if not columns:
            check(cells)
            columns = cells
        else:
            yield line, dict(zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=True))
    if not columns:
        check(())


def csv_lines(content: str, path: Path, **form: Any) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of the header and of every row that is not blank, read strictly; `form` of csv.reader.

    UserError where a row is no CSV, or has more cells than the header, and where two columns have one name, whatever its case.
    """
    reader = csv.reader(io.StringIO(content, newline=""), strict=True, **form)
    width = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            hint = "; a cell that holds quotes stands in quotes, with its own doubled" if form.get("quoting") != csv.QUOTE_NONE else ""
            raise UserError(f"{path}:{line}: {error}{hint}") from None
        if not cells:
            continue
        if not width:
            names = [name.strip().lower() for name in cells]
            if twice := [name for position, name in enumerate(names) if name and name in names[:position]]:
                raise UserError(f"{path}:{line}: column '{twice[0]}' comes twice")
        elif len(cells) > width:
            raise UserError(f"{path}:{line}: has more cells than the header has columns")
        width = width or len(cells)
        yield line, cells


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark; UserError says what is wrong with it."""
    try:
        check_regular(path)
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
