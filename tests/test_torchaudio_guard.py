"""The guard lets a torchaudio whose compiled part does not load be imported, in either order, and leaves a sound one alone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUARD = "from bench.torchaudio_guard import install; install(); install()\n"
BROKEN = "raise OSError('Could not load this library')"
MISMATCHED = "raise RuntimeError('compiled with different CUDA versions')"
SOUND = "_IS_TORCHAUDIO_EXT_AVAILABLE = True\ndef fail_if_no_align(function): return function"


def run(code: str, *path: Path, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    return subprocess.run([sys.executable, *flags, "-c", code], env=environment, capture_output=True, text=True, timeout=300)


def fake_torchaudio(folder: Path, extension: str) -> Path:
    package = folder / "torchaudio"
    package.mkdir()
    (package / "_extension.py").write_text(extension)
    (package / "__init__.py").write_text(
        "from . import _extension\n"
        "loaded = _extension._IS_TORCHAUDIO_EXT_AVAILABLE\n"
        "@_extension.fail_if_no_align\n"
        "def forced_align(): return 'aligned'\n"
    )
    return folder


@pytest.mark.parametrize("extension", [BROKEN, MISMATCHED], ids=["does not load", "other CUDA"])
def test_broken_torchaudio_imports_and_refuses_what_needs_its_compiled_part(tmp_path, extension):
    path = fake_torchaudio(tmp_path, extension)
    assert run("import torchaudio", path).returncode == 1
    done = run(GUARD + "import torchaudio; print(torchaudio.loaded); torchaudio.forced_align()", path)
    assert done.stdout == "False\n"
    assert "torchaudio's forced_align needs its compiled part" in done.stderr


def test_guard_mends_an_import_that_has_already_failed(tmp_path):
    path = fake_torchaudio(tmp_path, BROKEN)
    done = run("try:\n import torchaudio\nexcept OSError:\n pass\n" + GUARD + "import torchaudio; print(torchaudio.loaded)", path)
    assert done.stdout == "False\n", done.stderr


def test_sound_torchaudio_is_left_alone(tmp_path):
    path = fake_torchaudio(tmp_path, SOUND)
    done = run(GUARD + "import torchaudio; print(torchaudio.loaded, torchaudio.forced_align())", path)
    assert done.stdout == "True aligned\n", done.stderr


def test_other_errors_within_torchaudio_still_show(tmp_path):
    path = fake_torchaudio(tmp_path, "import no_such_module")
    assert "No module named 'no_such_module'" in run(GUARD + "import torchaudio", path).stderr


def test_absent_torchaudio_is_still_absent():
    done = run(GUARD + "import torchaudio", flags=("-S",))
    assert "No module named 'torchaudio'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import torchaudio", "import nemo.collections.asr"])
def test_real_torchaudio_and_nemo_import_in_both_orders(first):
    for package in ("torchaudio", "nemo"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    code = (
        f"{GUARD}{first}\n"
        "import torchaudio, torch, nemo.collections.asr, nemo.collections.tts.models\n"
        "print(torchaudio.compliance.kaldi.fbank(torch.zeros(1, 1600)).shape)\n"
    )
    done = run(code)
    assert "torch.Size([8, 23])" in done.stdout, done.stderr[-2000:]
