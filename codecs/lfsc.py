"""LFSC, the Low Frame-rate Speech Codec (Casanova et al., 2024), and its siblings: any AudioCodecModel of NeMo with grouped FSQ.

A sibling is LFSC with another checkpoint, and with the frame rate and codebooks that it has:
    {codec: lfsc, name: nano_12hz, sweep: {frame_rate: 12.5, n_q: 13}, checkpoint: "hf:nvidia/nemo-nano-codec-22khz-1.78kbps-12.5fps/\
nemo-nano-codec-22khz-1.78kbps-12.5fps.nemo@c4ab84a92c8d36a8b5a79eaea807cfaf7f03ed86"}
"""

from __future__ import annotations

import importlib.util
import math
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import checkpoint as files
from bench import torchaudio_guard
from bench.codec import Codec, CodecInfo, Encoded, OperatingPoint, Stream
from bench.codecs.bases.received import check_length, only_stream
from bench.codecs.bases.residual import FullDepth
from bench.errors import UserError, unknown
from bench.needs import Need, weights

INFO = CodecInfo(
    kind="fixed",
    title="LFSC",
    licence="NSCLv1 (NVIDIA source code licence: non-commercial)",
    citation="@article{casanova2024lfsc, author={Casanova, Edresson and Langman, Ryan and Neekhara, Paarth and Hussain, Shehzeen and "
    "Li, Jason and Ghosh, Subhankar and Jukić, Ante and Lee, Sang-gil}, title={Low Frame-rate Speech Codec: A Codec Designed for "
    "Fast High-quality Speech {LLM} Training and Inference}, journal={arXiv:2409.12117}, year={2024}}",
    url="https://huggingface.co/nvidia/low-frame-rate-speech-codec-22khz",
)
VERSION = 1
POINTS: Mapping[str, OperatingPoint] = {"1.89kbps": OperatingPoint("1.89kbps", 22050 / 1024, 8)}
# No commit of the hub is known to us: the file's sha256 stands in every result.
CHECKPOINT = "hf:nvidia/low-frame-rate-speech-codec-22khz/low-frame-rate-speech-codec-22khz.nemo@main"
SIZE_MB = 619

# What computes tokens and audio; the rest of a checkpoint (discriminators, losses) served the training.
_PARTS = ("audio_encoder", "vector_quantizer", "audio_decoder")
_FOR_TRAINING = ("discriminator", "train_ds", "validation_ds", "test_ds", "optim")

_MIN_FRAMES = 4  # the networks' first and last layers reflect three frames at the edges


class NeMoCodec:
    """Groups of FSQ levels are not residual: all codebooks or none, so the checkpoint has one operating point."""

    def __init__(self, model: Any, weights: Path, device: torch.device) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.sample_rate, self.hop_length = int(model.sample_rate), int(model.samples_per_frame)
        self.n_q, self.codebook_size = int(model.num_codebooks), int(model.codebook_size)
        self.parameters = sum(parameter.numel() for part in _PARTS for parameter in getattr(model, part).parameters())
        self.weights_sha256 = files.sha256(weights)

    @torch.inference_mode()
    def analyse(self, audio: Tensor) -> FullDepth:
        padded = F.pad(audio, (0, max(0, _MIN_FRAMES * self.hop_length - len(audio)))).to(self.device)
        tokens, _ = self.model.encode(audio=padded[None], audio_len=torch.tensor([len(padded)], device=self.device))
        return FullDepth(tokens[0].cpu().to(torch.int64), len(audio))

    def encode(self, latent: FullDepth, point: OperatingPoint) -> Encoded:
        frame_rate = self.sample_rate / self.hop_length
        if point.n_q != self.n_q or not math.isclose(point.frame_rate, frame_rate, rel_tol=2e-3):
            raise ValueError(f"this checkpoint has {self.n_q} codebooks at {frame_rate:.4g} Hz, not {point.n_q} at {point.frame_rate:.4g}")
        return Encoded((Stream(latent.tokens, (self.codebook_size,) * self.n_q),), latent.num_samples)

    @torch.inference_mode()
    def decode(self, encoded: Encoded) -> Tensor:
        stream = only_stream(encoded, (self.codebook_size,) * self.n_q)
        check_length(stream.num_frames, max(encoded.num_samples, _MIN_FRAMES * self.hop_length), self.hop_length, more=1)
        if len(stream.codebook_sizes) != self.n_q:
            raise ValueError(f"the stream is not this codec's: it has {len(stream.codebook_sizes)} codebooks, not {self.n_q}")
        tokens, length = stream.tokens.to(self.device)[None], torch.tensor([stream.num_frames], device=self.device)
        audio, _ = self.model.decode(tokens=tokens, tokens_len=length)
        audio = audio.flatten().cpu()
        return F.pad(audio, (0, encoded.num_samples - len(audio)))  # cuts where the pad is negative


def point(**settings: float | str) -> OperatingPoint:
    """LFSC's own point, or the `frame_rate` and `n_q` of a sibling."""
    for name in settings:
        if name not in ("frame_rate", "n_q"):
            raise ValueError(unknown("setting", name, ["frame_rate", "n_q"]))
    own = POINTS["1.89kbps"]
    frame_rate, n_q = float(settings.get("frame_rate", own.frame_rate)), int(settings.get("n_q", own.n_q))
    return OperatingPoint(f"{frame_rate:.4g}hz_{n_q}q", frame_rate, n_q)


def needs(checkpoint: str | None) -> list[Need]:
    place = checkpoint or CHECKPOINT
    nemo = Need("package", "nemo_toolkit", importlib.util.find_spec("nemo") is not None, "pip install 'speech-codec-bench[nemo]'")
    size_mb = SIZE_MB if checkpoint is None else None
    return [nemo, weights("lfsc", place, size_mb, "NSCLv1", name=place)]


def load(checkpoint: str | None, device: torch.device) -> Codec:
    """A .nemo file: None for the published one, a path, or what else bench/checkpoint.py resolves."""
    path = files.resolve(checkpoint or CHECKPOINT, "lfsc")
    return NeMoCodec(_restore(path), path, device)


def _restore(path: Path) -> Any:
    """NeMo's model with the file's weights. Its own restore would fetch the discriminators' models and pass over missing tensors."""
    torchaudio_guard.install()
    from nemo.collections.tts.models import AudioCodecModel
    from nemo.utils import logging
    from omegaconf import OmegaConf

    config, tensors = _read(path)
    config = {name: value for name, value in config.items() if name not in _FOR_TRAINING} | {"use_scl_loss": False}
    with logging.temp_verbosity(logging.ERROR):
        model = AudioCodecModel(OmegaConf.create(config))
    for part in _PARTS:
        prefix = f"{part}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        files.load_strictly(getattr(model, part), own, path)
    return model


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of a .nemo file, which is a tar archive of the two."""
    import yaml

    try:
        with tarfile.open(path) as archive, tempfile.TemporaryDirectory() as folder:
            members = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}
            config = yaml.safe_load(archive.extractfile(members["model_config.yaml"]))  # type: ignore[arg-type]
            weights = Path(folder) / "model_weights.ckpt"
            weights.write_bytes(archive.extractfile(members["model_weights.ckpt"]).read())  # type: ignore[union-attr]
            return config, files.load_torch(weights)
    except (tarfile.TarError, KeyError) as error:
        raise UserError(f"{path}: not a .nemo file: {error}") from None
