"""From a suite to records. The package can be called: `bench.run(...)` is `bench.api.run`, which has the same name."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CalledAsRun(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from bench.api import run

        return run(*arguments, **options)


sys.modules[__name__].__class__ = _CalledAsRun
