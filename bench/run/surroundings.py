"""What one codec may change for all that run after it in the same process: put back between tasks."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass
class Surroundings:
    """As they were when this was made. Random numbers begin anew with each call, so that no result depends on its neighbours."""

    folder: Path = field(default_factory=Path.cwd)
    dtype: torch.dtype = field(default_factory=torch.get_default_dtype)
    numpy_errors: Any = field(default_factory=np.geterr)
    threads: int = field(default_factory=torch.get_num_threads)
    generator: Any = field(default_factory=lambda: torch if torch.accelerator.is_available() else torch.default_generator)
    seed: int = 0
    python: Any = field(default_factory=lambda: random.Random(0).getstate())  # the state of `random` that follows from that seed
    random_state: tuple[Any, ...] = field(default_factory=lambda: (random.getstate(), np.random.get_state(), torch.get_rng_state()))

    def begin(self, seed: int) -> None:
        """Puts all back; random numbers follow from `seed` from now on."""
        if seed != self.seed:
            random.seed(seed)
            self.seed, self.python = seed, random.getstate()
        self.put_back()

    def put_back(self) -> None:
        """Before every call, so what is as it was is only looked at."""
        os.chdir(self.folder)
        if np.geterr() != self.numpy_errors:
            np.seterr(**self.numpy_errors)
        if torch.get_default_dtype() != self.dtype:
            torch.set_default_dtype(self.dtype)
        torch.set_default_device(None)
        if not torch.is_grad_enabled():
            torch.set_grad_enabled(True)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        random.setstate(self.python)  # quicker than to seed it
        np.random.seed(self.seed % 2**32)
        self.generator.manual_seed(self.seed)  # torch.manual_seed formats a stack for each device that is not there

    def restore(self) -> None:
        """All of it, random numbers too: when tasks ran in the caller's own process."""
        self.put_back()
        python, numpy, torch_state = self.random_state
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)
