"""Every example of the README is run, in its order, as a new user would."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.cli import main

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
LINES = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
COMMANDS = [line.partition("#")[0].strip() for line in LINES if "bench " in line]
MISSING_IS_RIGHT = ("bench doctor",)  # exit code 3 where something is not on this machine
QUICK = {
    ".venv/bin/bench run suites/low_rate.yaml": ["--limit", "2", "--set", "metrics=[mel_dac_train, stoi]"],
}


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for folder in ("suites", "codecs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    soundfile.write("my.wav", 0.3 * np.sin(np.arange(32000) / 15), 16000)
    for language, text in BLOCKS:
        if language in {"yaml", "python"} and (name := re.match(r"# (\S+\.(?:yaml|py))\n", text)):
            Path(name[1]).write_text(text, encoding="utf-8")
    for command in COMMANDS:
        quick = next((extra for full, extra in QUICK.items() if command.endswith(full)), [])
        arguments = shlex.split(command[command.index("bench ") :])
        monkeypatch.setattr(sys, "argv", [*arguments, *quick])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        allowed = {0, 3} if command.startswith(MISSING_IS_RIGHT) else {0}
        assert (ended.value.code or 0) in allowed, f"{command}\n{told.out}\n{told.err}"
    assert (tmp_path / "reports/low_rate/index.html").is_file()
    assert (tmp_path / "results/my_suite/records.parquet").is_file()
