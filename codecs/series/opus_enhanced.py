"""Opus decoded with LACE or NoLACE (Büthe et al., libopus 1.5): other decoders of the packets of `opus`, so the same bits.

They enhance what SILK decodes, and only in wideband, which libopus chooses from about 9 kbps on: at 6 and 8 kbps nothing changes.
PyAV's libopus (1.6) and Debian's (1.3) are built without them, so they run as WebAssembly in node: the npm package holds libopus 1.5
and their weights.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.checkpoint import cache_folder, sha256
from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint
from bench.codecs.bases.opus import CITATION, CODER, POINTS, Opus
from bench.codecs.bases.packets import Coder
from bench.codecs.bases.points import pick
from bench.errors import Unavailable
from bench.needs import Need

_NOLACE = (
    "@inproceedings{buethe2024nolace, author={Büthe, Jan and Mustafa, Ahmed and Valin, Jean-Marc and Helwani, Karim and "
    "Goodwin, Michael M.}, title={{NoLACE}: Improving Low-Complexity Speech Codec Enhancement Through Adaptive Temporal Shaping}, "
    "booktitle={ICASSP}, year={2024}}"
)

_PACKAGE = "@wasm-audio-decoders/opus-ml"
_VERSION = "0.0.3"
_DECODE = """
import { OpusMLDecoder } from "@wasm-audio-decoders/opus-ml";
const [enhancement, sampleRate] = process.argv.slice(1);
const parts = [];
for await (const part of process.stdin) parts.push(part);
const data = Buffer.concat(parts);
const packets = [];
for (let at = 0; at < data.length; ) {
  const end = at + 2 + data.readUInt16LE(at);
  packets.push(new Uint8Array(data.subarray(at + 2, end)));
  at = end;
}
const decoder = new OpusMLDecoder({ channels: 1, sampleRate: Number(sampleRate), preSkip: 0, speechQualityEnhancement: enhancement });
await decoder.ready;
const { channelData, errors } = decoder.decodeFrames(packets);
if (errors.length) {
  process.stderr.write(errors[0].message);
  process.exitCode = 2;
} else {
  const [samples] = channelData;
  process.stdout.write(Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength));
}
"""


class EnhancedOpus(Opus):
    """Another decoder of the same packets: a process of node for each stream, which has no past."""

    def __init__(self, coder: Coder, enhancement: str, folder: Path) -> None:
        super().__init__(coder)
        self.enhancement, self.folder = enhancement, folder
        self.weights_sha256 = sha256(_build(folder))

    def decode(self, encoded: Encoded) -> Tensor:
        if encoded.streams:
            raise ValueError(f"the stream is not this codec's: it has {len(encoded.streams)} streams of tokens, not packets alone")
        self.coder.check_packets(encoded.packets, encoded.num_samples)
        return self.coder.aligned(self._decoded(encoded.packets), encoded.num_samples)

    def _decoded(self, packets: Sequence[bytes]) -> np.ndarray:
        """float32 at the decoder's rate."""
        data = b"".join(struct.pack("<H", len(packet)) + packet for packet in packets)
        command = ["node", "--input-type=module", "--eval", _DECODE, self.enhancement, str(self.coder.decoded_rate)]
        done = subprocess.run(command, input=data, capture_output=True, cwd=self.folder)
        if done.returncode == 2:
            raise ValueError(f"a packet is damaged: {done.stderr.decode(errors='replace')}")
        if done.returncode:
            raise RuntimeError(f"node ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
        return np.frombuffer(done.stdout, "<f4")


@dataclass(frozen=True)
class EnhancedModule:
    """A `CodecModule`; `enhancement` is "lace" or "nolace"."""

    title: str
    enhancement: str

    VERSION = 1
    POINTS = POINTS

    @property
    def INFO(self) -> CodecInfo:  # noqa: N802 - the names of CodecModule
        return CodecInfo("classical", self.title, "BSD-3-Clause", f"{CITATION}\n\n{_NOLACE}", "https://opus-codec.org")

    def point(self, **settings: float | str) -> OperatingPoint:
        return pick(self.POINTS, settings)

    def needs(self, checkpoint: str | None) -> list[Need]:
        folder = _folder(checkpoint)
        node = Need("package", "node", shutil.which("node") is not None, "apt install nodejs (20 or later)")
        files = (_build(folder),) if _build(folder).is_file() else ()
        how = f"npm install --prefix {folder} {_PACKAGE}@{_VERSION}"
        package = Need("weights", f"{_PACKAGE} (libopus with LACE and NoLACE)", bool(files), how, 6.4, "MIT", files)
        return [CODER.need("pip install av"), node, package]

    def load(self, checkpoint: str | None, device: torch.device) -> Codec:
        """The enhanced decoders from the folder in which `npm install` was run: None for the one in the cache."""
        folder = _folder(checkpoint)
        if not _build(folder).is_file():
            raise Unavailable(f"{folder} holds no {_PACKAGE}; get it with: npm install --prefix {folder} {_PACKAGE}@{_VERSION}")
        return EnhancedOpus(CODER, self.enhancement, folder)


def _folder(checkpoint: str | None) -> Path:
    return Path(checkpoint).expanduser() if checkpoint else cache_folder() / "node"


def _build(folder: Path) -> Path:
    """The file that holds the decoder with its weights."""
    return folder / "node_modules" / _PACKAGE / "src" / "EmscriptenWasm.js"


CODECS: Mapping[str, EnhancedModule] = {
    "opus_lace": EnhancedModule("Opus, decoded with LACE", "lace"),
    "opus_nolace": EnhancedModule("Opus, decoded with NoLACE", "nolace"),
}
