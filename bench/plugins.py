"""Python of one's own: a file, or the module of a package; executed, and told by the content of all that it is made of."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

import numpy as np

from bench.errors import UserError

CODECS, METRICS = "speech_codec_bench.codecs", "speech_codec_bench.metrics"  # groups of entry points
_OURS = __name__.split(".")[0]
_LIBRARIES = ("site-packages", "dist-packages")  # folders whose files are not beside one another for a purpose


def is_own(name: str) -> bool:
    """Whether `name` is a file (my_codec.py) or the path of a module (my_package.codec), rather than a name that is known."""
    return name.endswith(".py") or "." in name.strip(".")


def installed() -> dict[str, dict[str, EntryPoint]]:
    """Of both groups what installed packages bring, by name; looking through them takes as long as reading a suite."""
    found = entry_points()
    return {group: {point.name: point for point in found.select(group=group)} for group in (CODECS, METRICS)}


def load(name: str) -> ModuleType:
    """The module of a file, anew with all that lies beside it and it imports, or of a module path. UserError says what is wrong with it."""
    if not name.endswith(".py"):
        try:
            with _as_before():
                return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UserError(f"{name}: {error}; install its package, or name a file: my_codec.py") from None
        except Exception as error:
            raise UserError(f"{name}: {type(error).__name__}: {error}") from error
    file = Path(name)
    spec = importlib.util.spec_from_file_location(f"bench_plugin_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with _as_before():
            _make_way(file)
            spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{error.filename or name}:{error.lineno or 1}: {type(error).__name__}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{name}:{lines[-1] if lines else 1}: {reason}") from error
    return module


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """What a module that is imported sets for all is put back: where results go, how others compute. What it prints is no output."""
    folder, torch = os.getcwd(), sys.modules.get("torch")
    dtype = torch.get_default_dtype() if torch else None
    with np.errstate(), contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        finally:
            os.chdir(folder)
            if torch := sys.modules.get("torch"):
                torch.set_default_dtype(dtype or torch.float32)


def _make_way(file: Path) -> None:
    """Has `import` find first what lies beside `file`, as where it is run by itself, and forget what it found under those names before."""
    folder = str(file.resolve().parent)
    sys.path[:] = [folder, *(place for place in sys.path if place != folder)]
    importlib.invalidate_caches()
    beside = {path.relative_to(file.parent).parts[0].removesuffix(".py") for path in sources_of(file) if path != file}
    for name in [name for name in sys.modules if name.split(".")[0] in beside - sys.stdlib_module_names]:
        del sys.modules[name]


def file_of(module: str) -> Path | None:
    """The file of a module path, without importing it; None where there is none."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def sources_of(file: Path) -> list[Path]:
    """A Python file and all files of its folder, or of its package, that it imports, directly or through one another, wherever it does."""
    found = [file]
    for path in found:  # grows while it is walked
        found += [other for other in dict.fromkeys(_imported(path)) if other not in found]
    return sorted(found)


def _imported(path: Path) -> Iterator[Path]:
    package = path.parent
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            names, level = [alias.name for alias in node.names], 0
        elif isinstance(node, ast.ImportFrom):
            names, level = [node.module or "", *(f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names)], node.level
        else:
            continue
        beside = path.parent if level < 2 else path.parents[level - 1]
        for name in names:
            steps = name.split(".") if name else []
            if not level and steps[:1] == [_OURS]:
                continue  # has versions of its own, and may lie beside the file in a clone
            if not level and steps and steps[0] == package.name and (package / "__init__.py").is_file():
                beside = package.parent
            elif beside.name in _LIBRARIES:
                continue
            for end in range(1, len(steps) + 1):
                place = beside.joinpath(*steps[:end])
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())
