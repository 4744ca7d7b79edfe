"""Where weights come from (a shipped name, a path, the model hub, a URL), and how the files that people have are read.

Downloads are pinned, resumed, verified and land atomically. Files are read without running anything that is in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import Unavailable, UserError
from bench.files import check_regular, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = Path(__file__).parent / "codecs" / "checkpoints"
_HUB = re.compile(r"hf:(?P<repo>[^/]+/[^/]+)/(?P<file>[^@]+)@(?P<revision>.+)")
_URL = re.compile(r"(?P<url>https?://[^#]+)#sha256=(?P<sha256>[0-9a-f]{64})")
_PROBABLY_PICKLE = (b"\x80", b"PK")
_INDEX = ".index.json"  # of a checkpoint in several safetensors files: which of them holds each tensor
_WRAPPERS = {"module.": "DDP", "_orig_mod.": "torch.compile"}  # what puts which prefix before the names of tensors


def cache_folder() -> Path:
    """Where downloads and derived data live: `BENCH_CACHE`, else a folder in the user's cache."""
    return Path(os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "speech-codec-bench")


def offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def shipped(codec: str) -> list[str]:
    """Names of the checkpoints that come with the project for `codec`; none for a file of one's own."""
    if codec.endswith(".py"):
        return []
    return sorted(path.stem.removeprefix(f"{codec}_") for path in SHIPPED.glob(f"{codec}_*.safetensors"))


def find(checkpoint: str, codec: str) -> Path | None:
    """The file (or folder) that `checkpoint` names if it is on this machine; never downloads.

    checkpoint   a shipped name ("tiny"), a path, `hf:owner/repo/file@revision`, or `https://...#sha256=HEX`
    """
    if "\0" in checkpoint:
        raise UserError(f"checkpoint {checkpoint!r}: no path has a NUL in it")
    own = SHIPPED / f"{codec}_{checkpoint}.safetensors"
    if own.is_file():
        return own
    if hub := _hub(checkpoint):
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
    if hub := _hub(checkpoint):
        if offline():
            raise Unavailable(f"codec '{codec}': checkpoint {checkpoint} is not on this machine; get it with: {how_to_get(checkpoint)}")
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError

        try:
            return Path(hf_hub_download(hub["repo"], hub["file"], revision=hub["revision"]))
        except (HfHubHTTPError, OSError) as error:
            raise Unavailable(f"codec '{codec}': checkpoint {checkpoint} can not be fetched: {first_line(error)}") from None
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
    if hub := _hub(checkpoint):
        return f"hf download {hub['repo']} {hub['file']} --revision {hub['revision']}"
    if url := _URL.fullmatch(checkpoint):
        return f"curl -L -C - --create-dirs -o {_download_target(url)} {url['url']}"
    made = (
        f"bench train {Path(checkpoint).stem}; or " if (SHIPPED.parent / f"training/recipes/{Path(checkpoint).stem}.yaml").is_file() else ""
    )
    return f"{made}put the file at {checkpoint}"


def _hub(checkpoint: str) -> re.Match[str] | None:
    """The parts of a checkpoint of the hub; UserError where it has the form, and a part can't be one."""
    hub = _HUB.fullmatch(checkpoint)
    if hub is None and checkpoint.startswith("hf:") and ".." in checkpoint.split("/"):
        raise UserError(f"checkpoint '{checkpoint}': what is asked of the hub is hf:owner/repo/file@revision, without '..'")
    if hub is not None:
        check_hub_parts(checkpoint, hub["repo"], hub["file"], hub["revision"])
    return hub


def check_hub_parts(checkpoint: str, repo: str, *paths: str) -> None:
    """UserError where `repo` is no name of a repository, or a path leaves it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"checkpoint '{checkpoint}': {first_line(error)}") from None
    for path in paths:
        if ".." in path.split("/") or path.startswith("/"):
            raise UserError(f"checkpoint '{checkpoint}': '{path}' leads out of the repository")


def first_line(error: BaseException) -> str:
    """What an error of another package says, without its advice."""
    return f"{error}".strip().partition("\n")[0] or type(error).__name__


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
    check_regular(path, or_folder=True)
    stat = path.stat()
    return _sha256(str(path), stat.st_size, stat.st_mtime_ns)


def weight_files(folder: Path, name: str) -> list[Path]:
    """The files in `folder` that hold the weights which their authors may call `name`; [] where they are not there.

    In place of model.safetensors: its parts, with the index that lists them, first; or pytorch_model.bin.
    """
    if (folder / name).is_file():
        return [folder / name]
    if (index := folder / f"{name}{_INDEX}").is_file():
        parts = [folder / part for part in sorted(set(_parts(index).values()))]
        return [index, *parts] if all(part.is_file() for part in parts) else []
    pickled = folder / "pytorch_model.bin"
    return [pickled] if name == "model.safetensors" and pickled.is_file() else []


def sha256_of(paths: Sequence[Path]) -> str:
    """That of the only file, or of the list of all of them."""
    digests = [sha256(path) for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _parts(index: Path) -> dict[str, str]:
    """Tensor -> file, by an index; UserError where it is none, or names a file elsewhere."""
    try:
        parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
            raise TypeError("'weight_map' is no map of names to files")
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise UserError(f"{index}: not the index of a checkpoint in parts: {_said(error)}") from None
    if outside := [part for part in parts.values() if Path(part).name != part]:
        raise UserError(f"{index}: names a file that does not lie beside it: {outside[0]}")
    return parts


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that holds them and nothing else, whatever its format: safetensors, the index of its parts, or a pickle."""
    if path.name.endswith((".safetensors", _INDEX)) or path.is_dir():
        return load_safetensors(path)[0]
    content = load_torch(path)
    if not isinstance(content, dict) or not all(_is_tensor(tensor) for tensor in content.values()):
        raise UserError(f"{path}: not a file of named tensors")
    return content


def names_in(path: Path) -> list[str]:
    """What the outermost level of a checkpoint holds, by name; [] where it has no names, or can not be read."""
    try:
        content = load_safetensors(path)[0] if path.name.endswith((".safetensors", _INDEX)) else load_torch(path)
    except UserError:
        return []
    return sorted(map(str, content)) if isinstance(content, Mapping) else []


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, of the parts that an index lists, or of the folder that holds one of the two.

    Anything else is refused in one line, and nothing in it runs.
    """
    if path.is_dir():
        found = weight_files(path, "model.safetensors")
        if not found or found[0].suffix == ".bin":
            raise UserError(f"{path}: a folder that holds neither model.safetensors nor all of model.safetensors{_INDEX}; give a file")
        path = found[0]
    tensors, metadata = _read_safetensors(path)
    _check_prefixes(tensors, path)
    return tensors, metadata


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.name.endswith(_INDEX):
        return _read_part(path)
    tensors, metadata, parts = dict[str, "Tensor"](), dict[str, str](), _parts(path)
    for part in sorted(set(parts.values())):
        if not (path.parent / part).is_file():
            raise UserError(f"{path}: {part}, which it lists, is not there")
        found_here, its_metadata = _read_part(path.parent / part)
        tensors, metadata = tensors | found_here, metadata | its_metadata
    if lacking := sorted(parts.keys() - tensors.keys()):
        raise UserError(f"{path}: {len(lacking)} tensors that it lists are in no part (first: {lacking[0]})")
    return tensors, metadata


def _read_part(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_regular(path, or_folder=True)
    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            head = file.read(2)
        hint = ""
        if head.startswith(_PROBABLY_PICKLE):
            hint = f" (it looks like a pickle; convert it with: bench strip {path} {path.with_suffix('.safetensors')})"
        raise UserError(f"{path}: not a readable safetensors file{hint}: {error}") from None
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return tensors, header.get("__metadata__", {})


def config_of(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """What a checkpoint's metadata say of its network under `config`, as JSON; {} where they say nothing."""
    try:
        config = json.loads(metadata.get("config", "{}"))
        if not isinstance(config, dict):
            raise ValueError(f"it is no object but {type(config).__name__}")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: config in the metadata: {first_line(error)}") from None
    return config


@contextmanager
def named_config(path: Path) -> Iterator[None]:
    """Tells of a network that can't be built by its `config` in one line, with the file."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise UserError(f"{path}: no network can be built from it: {_said(error)}") from None


def _said(error: BaseException) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else first_line(error)


def load_torch(path: Path) -> Any:
    """A torch checkpoint read with weights_only=True, so that no code in it runs; NumPy's numbers and arrays are taken too."""
    content = _read_torch(path)
    _check_prefixes(content, path)
    return content


def _read_torch(path: Path) -> Any:
    import pickle
    import zipfile

    import torch

    check_regular(path, or_folder=True)
    try:
        with torch.serialization.safe_globals(_numpy_data()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable checkpoint of plain tensors: {first_line(error)}") from None


def _numpy_data() -> list[Any]:
    """What a pickle of NumPy's numbers and arrays refers to, under its names of today and those before NumPy 2: data alone."""
    import _codecs

    from numpy import dtype, dtypes, ndarray
    from numpy._core import multiarray

    kinds = [kind for name in dir(dtypes) if isinstance(kind := getattr(dtypes, name), type) and issubclass(kind, dtype)]
    made = [multiarray.scalar, multiarray._reconstruct]
    older = [(each, f"numpy.core.multiarray.{each.__name__}") for each in made]
    return [dtype, ndarray, *kinds, *made, *older, (_codecs.encode, "_codecs.encode")]


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _check_prefixes(content: Any, path: Path) -> None:
    """UserError where DDP or torch.compile has put a prefix before the names of tensors, here or one level down."""
    if not isinstance(content, Mapping):
        return
    for names in (content, *(value for value in content.values() if isinstance(value, Mapping))):
        if (prefix := _prefix(names)) is not None:
            target = path.with_name(f"{path.stem}_stripped{path.suffix}")
            raise UserError(
                f"{path}: the names of its tensors have the prefix '{prefix}' of {_WRAPPERS[prefix]}; "
                f"strip it with: bench strip {shlex.quote(str(path))} {shlex.quote(str(target))}"
            )


def _prefix(named: Mapping[Any, Any]) -> str | None:
    """A prefix that all names of tensors have; torch.compile's also where it compiled a part, in whose names it stands."""
    names = [name for name, value in named.items() if isinstance(name, str) and _is_tensor(value)]
    if any("_orig_mod." in name for name in names):
        return "_orig_mod."
    return "module." if names and all(name.startswith("module.") for name in names) else None


def strip(source: Path, target: Path) -> int:
    """Writes `source` without the prefixes of DDP and torch.compile to `target`; how many names were changed.

    Safetensors stay safetensors, in one file and with their metadata; of a pickle of named tensors alone, or under `state_dict`, the suffix
    of `target` decides; any other pickle stays one.
    """
    import torch
    from safetensors.torch import save_file

    if target.exists():
        raise UserError(f"{target}: is there already")
    metadata: dict[str, str] = {}
    if not source.exists():
        raise UserError(f"{source}: is not there")
    if source.name.endswith((".safetensors", _INDEX)):
        content, metadata = _read_safetensors(source)
    else:
        content = _read_torch(source)
    if not isinstance(content, Mapping):
        raise UserError(f"{source}: not a file of named tensors")
    stripped = {name: _stripped(value) if isinstance(value, Mapping) else value for name, value in _stripped(content).items()}
    if target.suffix == ".safetensors":
        tensors = stripped.get("state_dict", stripped)
        if not isinstance(tensors, Mapping) or not all(_is_tensor(tensor) for tensor in tensors.values()):
            raise UserError(
                f"{target}: safetensors hold named tensors alone, {source} holds more; give the target the suffix {source.suffix}"
            )
        separate = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}  # tensors that share memory are refused
        write_atomically(target, lambda path: save_file(separate, path, metadata or None))
    else:
        write_atomically(target, lambda path: torch.save(stripped, path))
    levels = [(content, stripped), *((content[name], stripped[name]) for name in content.keys() & stripped.keys())]
    return sum(len(before.keys() - after.keys()) for before, after in levels if isinstance(before, Mapping))


def _stripped(named: Mapping[Any, Any]) -> dict[Any, Any]:
    result = dict(named)
    while (prefix := _prefix(result)) is not None:
        result = {
            name.replace(prefix, "") if prefix == "_orig_mod." else name.removeprefix(prefix) if _is_tensor(value) else name: value
            for name, value in result.items()
        }
    return result


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
