"""Lyra V2: Google's SoundStream for speech, 16 kHz, 50 frames/s, 16, 30 or 46 codebooks of 16, run as TensorFlow Lite."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench import checkpoint as files
from bench.audio import fit_length
from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint, Stream
from bench.codecs.bases.points import pick
from bench.codecs.bases.received import check_length, only_stream
from bench.codecs.bases.residual import FullDepth
from bench.needs import Need

INFO = CodecInfo(
    kind="fixed",
    title="Lyra V2",
    licence="Apache-2.0",
    citation="@article{zeghidour2021soundstream, author={Zeghidour, Neil and Luebs, Alejandro and Omran, Ahmed and Skoglund, Jan and "
    "Tagliasacchi, Marco}, title={{SoundStream}: An End-to-End Neural Audio Codec}, journal={IEEE/ACM TASLP}, year={2021}}",
    url="https://github.com/google/lyra",
)
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {
    f"{kbps:g}kbps": OperatingPoint(f"{kbps:g}kbps", 50.0, n_q) for kbps, n_q in ((3.2, 16), (6, 30), (9.2, 46))
}
_HOP_LENGTH = 320
_MAX_N_Q = 46
_CODEBOOK_SIZE = 16
_NOT_SENT = -1  # what the dequantiser takes in place of a token

_REPOSITORY = "https://github.com/google/lyra/raw/9cc2231473202761b91e1159d6b8d423b337b685/lyra/model_coeffs"
_FILES = {
    "soundstream_encoder.tflite": "237da0b16226fb0a68d49551c81bebf614e42142af72764448359f68581e88f1",
    "quantizer.tflite": "841ee05989687d32d1f616a8ad1419fc7eda37599d3c05c7cf5a0d60ccf8ac5c",
    "lyragan.tflite": "50e7839cda4f30599a3a34cfaddcd9c98449b049eee884e1a74295780448ad06",
}


class Lyra:
    """The published networks as they are, on one thread: an utterance is too small to divide."""

    sample_rate = 16000
    hop_length = _HOP_LENGTH

    def __init__(self, paths: Sequence[Path]) -> None:
        self.encoder, self.quantizer, self.decoder = (path.read_bytes() for path in paths)
        self.parameters = sum(map(_count_constants, paths))
        self.weights_sha256 = hashlib.sha256("".join(map(files.sha256, paths)).encode()).hexdigest()

    def analyse(self, audio: Tensor) -> FullDepth:
        padded = fit_length(audio.numpy(), -(-len(audio) // _HOP_LENGTH) * _HOP_LENGTH)
        features_of, quantise = _start(self.encoder), _start(self.quantizer, "encode")
        frames = [features_of(input_audio=block[None])["output_0"] for block in padded.reshape(-1, _HOP_LENGTH)]
        tokens = [quantise(input_frames=frame, num_quantizers=np.int32(_MAX_N_Q))["output_0"].ravel() for frame in frames]
        return FullDepth(torch.from_numpy(np.stack(tokens, axis=1).astype(np.int64)), len(audio))

    def encode(self, latent: FullDepth, point: OperatingPoint) -> Encoded:
        return Encoded((Stream(latent.tokens[: point.n_q], (_CODEBOOK_SIZE,) * point.n_q),), latent.num_samples)

    def decode(self, encoded: Encoded) -> Tensor:
        stream = only_stream(encoded, (_CODEBOOK_SIZE,) * _MAX_N_Q)
        check_length(stream.num_frames, encoded.num_samples, _HOP_LENGTH)
        tokens = np.full((_MAX_N_Q, stream.num_frames), _NOT_SENT, np.int32)
        tokens[: len(stream.tokens)] = stream.tokens.numpy()
        dequantise, audio_of = _start(self.quantizer, "decode"), _start(self.decoder)
        features = [dequantise(encoding_indices=frame.reshape(_MAX_N_Q, 1, 1))["output_0"] for frame in tokens.T]
        blocks = [audio_of(input_audio=frame)["output_0"].ravel() for frame in features]
        return torch.from_numpy(np.concatenate(blocks)[: encoded.num_samples])


def _start(model: bytes, signature: str | None = None) -> Callable[..., dict[str, np.ndarray]]:
    """A function of the model, with no past.

    Encoder and decoder keep their past in variables that the interpreter's reset does not reach (a second utterance came out otherwise
    than the first), so each utterance gets interpreters of its own; that takes milliseconds.
    """
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=model, num_threads=1).get_signature_runner(signature)


def _count_constants(path: Path) -> int:
    """Values in the tensors that a TensorFlow Lite file stores: weights, and a few shapes and scales."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    tensors = {tensor.buffer: tensor for graph in model.subgraphs for tensor in graph.tensors}
    stored = [tensor for buffer, tensor in tensors.items() if model.buffers[buffer].data is not None]
    return sum(math.prod(map(int, tensor.shape)) for tensor in stored)


def point(**settings: float | str) -> OperatingPoint:
    return pick(POINTS, settings)


def needs(checkpoint: str | None) -> list[Need]:
    places = _places(checkpoint)
    runtime = Need("package", "ai-edge-litert", importlib.util.find_spec("ai_edge_litert") is not None, "pip install ai-edge-litert")
    found = tuple(path for place in places if (path := files.find(place, "lyra")) is not None)
    how = " && ".join(map(files.how_to_get, places))
    return [runtime, Need("weights", checkpoint or "lyra v2", len(found) == len(places), how, 3.6, "Apache-2.0", found)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    """The models of the repository, or of a folder that holds the three files of the same names; they run on the CPU."""
    return Lyra([files.resolve(place, "lyra") for place in _places(checkpoint)])


def _places(checkpoint: str | None) -> list[str]:
    if checkpoint is None:
        return [f"{_REPOSITORY}/{name}#sha256={digest}" for name, digest in _FILES.items()]
    return [str(Path(checkpoint) / name) for name in _FILES]
