"""Where weights come from: a shipped name, a path, the model hub or a URL; downloads are pinned, resumed, verified and land atomically."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Unavailable, UserError

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = Path(__file__).parent / "codecs" / "checkpoints"
_HUB = re.compile(r"hf:(?P<repo>[^/]+/[^/]+)/(?P<file>[^@]+)@(?P<revision>.+)")
_URL = re.compile(r"(?P<url>https?://[^#]+)#sha256=(?P<sha256>[0-9a-f]{64})")
_PROBABLY_PICKLE = (b"\x80", b"PK")


def cache_folder() -> Path:
    """Where downloads and derived data live: `BENCH_CACHE`, else a folder in the user's cache."""
    return Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "speech-codec-bench")


def offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def shipped(codec: str) -> list[str]:
    """Names of the checkpoints that come with the project for `codec`."""
    return sorted(path.stem.removeprefix(f"{codec}_") for path in SHIPPED.glob(f"{codec}_*.safetensors"))


def find(checkpoint: str, codec: str) -> Path | None:
    """The file (or folder) that `checkpoint` names if it is on this machine; never downloads.

    checkpoint   a shipped name ("tiny"), a path, `hf:owner/repo/file@revision`, or `https://...#sha256=HEX`
    """
    own = SHIPPED / f"{codec}_{checkpoint}.safetensors"
    if own.is_file():
        return own
    if hub := _HUB.fullmatch(checkpoint):
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(hub["repo"], hub["file"], revision=hub["revision"])
        return Path(cached) if isinstance(cached, str) else None
    if url := _URL.fullmatch(checkpoint):
        target = _download_target(url)
        return target if target.is_file() else None
    path = Path(checkpoint).expanduser()
    return path if path.exists() else None


def resolve(checkpoint: str, codec: str) -> Path:
    """Like `find`, but downloads where that is possible. Raises Unavailable with the command that gets it, or the choices."""
    if (path := find(checkpoint, codec)) is not None:
        return path
    if hub := _HUB.fullmatch(checkpoint):
        if offline():
            raise Unavailable(f"codec '{codec}': checkpoint {checkpoint} is not on this machine; get it with: {how_to_get(checkpoint)}")
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(hub["repo"], hub["file"], revision=hub["revision"]))
    if url := _URL.fullmatch(checkpoint):
        if offline():
            raise Unavailable(f"codec '{codec}': checkpoint {checkpoint} is not on this machine, and HF_HUB_OFFLINE is set")
        return download(url["url"], url["sha256"], _download_target(url))
    names = ", ".join(shipped(codec)) or "none"
    raise UserError(
        f"codec '{codec}': checkpoint '{checkpoint}' is no file and no shipped name (shipped: {names}); "
        "also taken: hf:owner/repo/file@revision, https://...#sha256=HEX"
    )


def how_to_get(checkpoint: str) -> str:
    """The command that puts a remote checkpoint on this machine."""
    if hub := _HUB.fullmatch(checkpoint):
        return f"hf download {hub['repo']} {hub['file']} --revision {hub['revision']}"
    if url := _URL.fullmatch(checkpoint):
        return f"curl -L -C - --create-dirs -o {_download_target(url)} {url['url']}"
    return f"put the file at {checkpoint}"


def _download_target(url: re.Match[str]) -> Path:
    return cache_folder() / "downloads" / f"{url['sha256'][:12]}-{Path(url['url']).name}"


def download(url: str, expected_sha256: str, target: Path) -> Path:
    """Fetches `url` to `target`: resumes a partial file, verifies the hash, and renames only what is whole and right."""
    partial = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response, partial.open("ab" if response.status == 206 else "wb") as file:
            while block := response.read(1 << 20):
                file.write(block)
    except (urllib.error.URLError, OSError) as error:
        if not (isinstance(error, urllib.error.HTTPError) and error.code == 416):  # 416: the partial file is already whole
            raise Unavailable(f"{url}: download failed ({error}); what has come is kept and the next call resumes") from error
    if sha256(partial) != expected_sha256:
        found = sha256(partial)
        partial.unlink()
        raise Unavailable(f"{url}: sha256 is {found}, expected {expected_sha256}; the file was thrown away")
    os.replace(partial, target)
    return target


@lru_cache(maxsize=256)
def _sha256(path: str, _size: int, _mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Hex sha256 of a file, or of the files of a folder with their names."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        lines = "".join(f"{file.relative_to(path)} {sha256(file)}\n" for file in files)
        return hashlib.sha256(lines.encode()).hexdigest()
    stat = path.stat()
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; anything else is refused in one line, and nothing in it runs."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            head = file.read(2)
        hint = " (it looks like a pickle; convert it to safetensors)" if head.startswith(_PROBABLY_PICKLE) else ""
        raise UserError(f"{path}: not a readable safetensors file{hint}: {error}") from None
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return tensors, header.get("__metadata__", {})


def load_torch(path: Path) -> Any:
    """A torch checkpoint read with weights_only=True, so that no code in it runs."""
    import pickle
    import zipfile

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable checkpoint of plain tensors: {str(error).splitlines()[0]}") from None


def load_strictly(module: Any, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fills `module` from `tensors`; a key too many, too few or of another shape is named in one line."""
    own = module.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    wrong = [
        f"{len(keys)} {what} (first: {keys[0]})"
        for what, keys in (("keys missing", missing), ("keys unknown", extra), ("shapes differ", sorted(shapes)))
        if keys
    ]
    if wrong:
        raise UserError(f"{path}: does not fit {type(module).__name__}: {', '.join(wrong)}")
    module.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in tensors.items()}, strict=True)
