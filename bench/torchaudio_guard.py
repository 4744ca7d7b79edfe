"""Lets torchaudio be imported where its compiled part does not load: the wheel on PyPI is built for CUDA and fails on a CPU-only torch.

A failing torchaudio is worse than none: `transformers` and NeMo import it wherever it is installed, and fail with it. What needs no
compiled code (resampling, Kaldi features, the LibriTTS reader, SQUIM) works under the guard; forced alignment raises. Where torchaudio
loads by itself, or is not installed, the guard changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn

_EXTENSION = "torchaudio._extension"


def install() -> None:
    """Puts the guard up for this process; must come before the first import of torchaudio, transformers or NeMo. Imports nothing itself."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != _EXTENSION:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Tolerant(spec.loader)
        return spec


class _Tolerant(Loader):
    """Runs torchaudio's module; where that fails, gives it the names that the rest of torchaudio reads of it."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except (OSError, RuntimeError):  # a library that does not load; CUDA versions that differ
            module.__dict__.update(
                _IS_TORCHAUDIO_EXT_AVAILABLE=False,
                _IS_ALIGN_AVAILABLE=False,
                _check_cuda_version=lambda: None,
                fail_if_no_align=_refuse,
            )


def _refuse(function: Callable[..., Any]) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"torchaudio's {function.__name__} needs its compiled part, which does not load with this torch")

    return refuse
