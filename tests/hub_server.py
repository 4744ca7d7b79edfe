"""The Hugging Face hub on this machine: as much of its HTTP interface as its own clients ask for to find and read parquet files."""

from __future__ import annotations

import http.server
import io
import json
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

CARD = "---\nconfigs:\n- config_name: clean\n  data_files:\n{}---\n"
_RESOLVE = re.compile(r"/datasets/[^/]+/[^/]+/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_TREE = re.compile(r"/api/datasets/[^/]+/[^/]+/tree/(?P<revision>[^/]+)/?(?P<file>.*)")
_INFO = re.compile(r"/api/datasets/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?")


def tone(num_samples: int = 8000, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(num_samples).astype(np.float32)


def encoded(num_samples: int = 8000, sample_rate: int = 16_000, seed: int = 0, format: str = "FLAC") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(num_samples, seed), sample_rate, format=format)
    return buffer.getvalue()


def write_parquet(path: Path, rows: Sequence[dict[str, Any]], rows_per_group: int | None = None) -> Path:
    """As the hub's own export: `audio` is {bytes, path}, and the schema carries the Audio feature."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows))
    features = {"info": {"features": {"audio": {"sampling_rate": 16000, "_type": "Audio"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path, row_group_size=rows_per_group)
    return path


class HubServer:
    """Serves `commits`, folders laid out like a repository, under every repository's name.

    head       the commit that the branch stands at
    requests   path of every request so far
    reads      (file, first byte, last byte) of every ranged read that was answered
    refuse     asked before a ranged read, with the same three: an HTTP status to send in its place, or None
    """

    def __init__(self) -> None:
        self.commits: dict[str, Path] = {}
        self.head = ""
        self.requests: list[str] = []
        self.reads: list[tuple[str, int, int]] = []
        self.refuse: Callable[[str, int, int], int | None] = lambda *_: None
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def commit(self, sha: str, folder: Path) -> None:
        self.commits[sha], self.head = folder, sha

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                hub.requests.append(path)
                if found := _RESOLVE.fullmatch(path):
                    self._file(found["revision"], unquote(found["file"]))
                elif found := _TREE.fullmatch(path):
                    self._tree(hub._folder(found["revision"]), unquote(found["file"]))
                elif found := _INFO.fullmatch(path):
                    folder = hub._folder(found["revision"])
                    files = [{"rfilename": str(file.relative_to(folder))} for file in folder.rglob("*") if file.is_file()]
                    self._json({"id": found["repo"], "sha": hub._sha(found["revision"]), "siblings": files, "private": False, "tags": []})
                else:
                    self._answer(404, b"")

            def _tree(self, root: Path, inner: str) -> None:
                listed = sorted((root / inner).iterdir()) if (root / inner).is_dir() else []
                kinds = [("file" if path.is_file() else "directory", path) for path in listed]
                size = {path: path.stat().st_size for path in listed}
                self._json([{"type": k, "path": str(p.relative_to(root)), "size": size[p], "oid": "0"} for k, p in kinds])

            def _file(self, revision: str, name: str) -> None:
                file = hub._folder(revision) / name
                headers = {"ETag": f'"{hub._sha(revision)}-{name}"', "X-Repo-Commit": hub._sha(revision)}
                if not file.is_file():
                    return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
                content = file.read_bytes()
                asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                if asked is None:
                    return self._answer(200, content, headers)
                first, last = int(asked[1]), int(asked[2])
                if status := hub.refuse(name, first, last):
                    return self._answer(status, b"")
                hub.reads.append((name, first, last))
                self._answer(206, content[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{len(content)}"})

            def _json(self, value: Any) -> None:
                self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

            def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

        return Handler

    def _sha(self, revision: str | None) -> str:
        return self.head if revision in (None, "main") else revision

    def _folder(self, revision: str | None) -> Path:
        return self.commits[self._sha(revision)]


def point_clients_at(server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE=0 would do, had they been set before the libraries were imported."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
