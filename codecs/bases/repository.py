"""Checkpoints of several files: a repository of the model hub at one commit, or a local folder of the same layout."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from bench import checkpoint as files
from bench.errors import Unavailable, UserError
from bench.needs import Need

_REPOSITORY = re.compile(r"hf:(?P<repo>[^/@]+/[^/@]+)@(?P<revision>[^/]+)")


@dataclass(frozen=True)
class Published:
    """Weights as their authors published them.

    files     names in the repository, the weights last
    licence   of the weights
    """

    repo: str
    revision: str
    files: tuple[str, ...]
    size_mb: float
    licence: str

    def need(self, checkpoint: str | None) -> Need:
        source = self._source(checkpoint)
        if isinstance(source, Path):
            return Need("weights", str(source), bool(here := self._in(source)), f"put {' and '.join(self.files)} into {source}", files=here)
        here = self._in(source._cached())
        return Need("weights", source.repo, bool(here), source._command(), self.size_mb, self.licence, here)

    def _in(self, folder: Path | None) -> tuple[Path, ...]:
        """The files in `folder`, if all of them are there."""
        found = [files.weight_files(folder, name) for name in self.files] if folder else []
        return tuple(path for paths in found for path in paths) if all(found) else ()

    def folder(self, checkpoint: str | None, codec: str) -> Path:
        """The folder that holds `files`, downloaded if it must be.

        checkpoint   None or `repo` for this repository, "hf:owner/repo@revision" for another, or a local folder
        """
        source = self._source(checkpoint)
        if isinstance(source, Path):
            missing = [name for name in self.files if not files.weight_files(source, name)]
            if missing:
                raise UserError(f"codec '{codec}': checkpoint {source} holds no {' and no '.join(missing)}")
            return source
        if (cached := source._cached()) is not None:
            return cached
        if files.offline():
            raise Unavailable(f"codec '{codec}': {source.repo} is not on this machine; get it with: {source._command()}")
        paths = [files.resolve(source._address(name), codec) for name in self.files]
        return paths[0].parent

    def _source(self, checkpoint: str | None) -> Published | Path:
        if checkpoint is None or checkpoint == self.repo:
            return self
        if other := _REPOSITORY.fullmatch(checkpoint):
            files.check_hub_parts(checkpoint, other["repo"], other["revision"])
            return replace(self, repo=other["repo"], revision=other["revision"])
        return Path(checkpoint).expanduser()

    def _cached(self) -> Path | None:
        paths = [files.find(self._address(name), codec="") for name in self.files]
        return paths[0].parent if paths[0] is not None and all(paths) else None

    def _address(self, name: str) -> str:
        return f"hf:{self.repo}/{name}@{self.revision}"

    def _command(self) -> str:
        return f"hf download {self.repo} {' '.join(self.files)} --revision {self.revision}"
