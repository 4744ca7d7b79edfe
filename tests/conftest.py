"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there: its threads would wait for one another's cores

pytest_plugins = ["tests.browser"]
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden vectors and real speech beside the checkout; a clone alone skips what needs it."""
    folder = ROOT.parent / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip("needs the golden vectors and speech that lie in shared/ beside the checkout")
    return folder
