"""The one place where what codecs and metrics raise is caught, and turned into the reason of a recorded failure."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.errors import headline
from bench.metric import MetricFailure
from bench.run.tasks import Failed

R = TypeVar("R")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST = 300  # characters of a reason
_OURS = Path(__file__).resolve().parent.parent


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM, told apart from a KeyboardInterrupt that a codec raises by itself."""


class BrokenContract(Exception):
    """What a codec gave is not what bench/codec.py asks for; the reason says it all."""


class TimedOut(BaseException):
    """A call that did not end in its time, where it runs in this process and no other can be killed for it."""


def attempt(function: Callable[..., R], *arguments: object, stage: str = "", module: str = "") -> R | Failed:
    """function(*arguments), or why there is no result; SystemExit, KeyboardInterrupt and errors that cannot even be printed included.

    stage    what was being done ("load", "analyse"), which heads the reason
    module   the codec's name or file: the reason ends with the line of it that was reached last
    """
    process = os.getpid()
    try:
        result = function(*arguments)
    except Interrupted:
        raise
    except TimedOut as error:
        return Failed(f"{stage}: {error}" if stage else str(error))
    except (MetricFailure, BrokenContract) as failure:
        return Failed(_text(failure) or type(failure).__name__)
    except BaseException as error:  # noqa: BLE001
        if os.getpid() != process:
            os._exit(1)  # a child that the codec forked: it has no business in the runner
        text = _text(error)
        reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
        place = _own_line(error, module)
        return Failed(f"{stage}: {reason}{place}" if stage else f"{reason}{place}", _whole(error))
    if os.getpid() != process:
        os._exit(0)  # such a child, which came back in its parent's place
    return result


def _text(error: BaseException) -> str:
    try:
        return printable(headline(str(error))[:_LONGEST])
    except BaseException:  # noqa: BLE001
        return "its message cannot be printed"


def printable(text: str) -> str:
    """`text` with escapes in place of what would steer a terminal, and of halves of letters, which no file takes."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _own_line(error: BaseException, module: str) -> str:
    """` (my_codec.py:12)`: the last line of the codec's own code that was reached; "" where there was none."""
    folder = (Path(module).parent if module.endswith(".py") else _OURS / "codecs").resolve()  # bench/codecs is a link
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]  # <string> is no file
    places = [(Path(frame.filename).resolve(), frame.lineno) for frame in frames]
    own = [f" ({path.name}:{line})" for path, line in places if module and path.is_relative_to(folder)]
    return own[-1] if own else ""


def _whole(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error)).encode(errors="backslashreplace").decode()
    except BaseException:  # noqa: BLE001
        return "".join(traceback.format_tb(error.__traceback__)) + f"{type(error).__name__}: its message cannot be printed\n"
