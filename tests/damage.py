"""Ways in which a file can be damaged."""

from __future__ import annotations

import os
from pathlib import Path


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo_in_its_place(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe" + path.read_bytes())


def another_shape(path: Path) -> None:
    path.write_text("[1, 2]\n")


def without_checksum(path: Path) -> None:
    path.write_text('{"schema": 2, "metrics": {}}\n')


DAMAGE = [empty, cut, folder_in_its_place, no_text, another_shape, without_checksum]
