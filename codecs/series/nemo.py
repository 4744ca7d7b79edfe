"""Codecs of NVIDIA NeMo's AudioCodecModel with grouped FSQ: LFSC (Casanova et al., 2024), the nano codecs, the audio and mel codecs.

A checkpoint has one frame rate and one number of codebooks, which its name tells; another model of the class is any of these with its
own rates: {codec: lfsc, name: mine, sweep: {frame_rate: 12.5, n_q: 13}, checkpoint: mine.nemo}
"""

from __future__ import annotations

import importlib.util
import math
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
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
from bench.codecs.bases.settings import Number, Settings, Whole, read_settings
from bench.errors import UserError
from bench.needs import Need, weights

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


class PointSettings(Settings):
    frame_rate: Number
    n_q: Whole


@dataclass(frozen=True)
class NeMoModule:
    """One published checkpoint: a `CodecModule`.

    frame_rate   Hz; with n_q codebooks what the checkpoint has, as `own_point`
    repo         of the hub; its file has its name
    licence      of the weights
    """

    name: str
    title: str
    own_point: str
    frame_rate: float
    n_q: int
    repo: str
    licence: str
    size_mb: float | None = None
    revision: str = "main"  # where no commit of the hub is known to us: the file's sha256 stands in every result
    citation: str = ""

    VERSION = 1

    @property
    def INFO(self) -> CodecInfo:  # noqa: N802 - the names of CodecModule
        return CodecInfo("fixed", self.title, self.licence, self.citation, f"https://huggingface.co/nvidia/{self.repo}")

    @property
    def POINTS(self) -> Mapping[str, OperatingPoint]:  # noqa: N802
        return {self.own_point: OperatingPoint(self.own_point, self.frame_rate, self.n_q)}

    def point(self, **settings: float | str) -> OperatingPoint:
        """The checkpoint's own rates, or the `frame_rate` and `n_q` of another one."""
        read = read_settings(PointSettings, {"frame_rate": self.frame_rate, "n_q": self.n_q, **settings})
        return OperatingPoint(f"{read.frame_rate:.4g}hz_{read.n_q}q", read.frame_rate, read.n_q)

    def needs(self, checkpoint: str | None) -> list[Need]:
        nemo = Need("package", "nemo_toolkit", importlib.util.find_spec("nemo") is not None, "pip install 'speech-codec-bench[nemo]'")
        size_mb = self.size_mb if checkpoint is None else None
        return [nemo, weights(self.name, checkpoint or self._file, size_mb, self.licence, name=checkpoint or self._file)]

    def load(self, checkpoint: str | None, device: torch.device) -> Codec:
        """A .nemo file: None for the published one, a path, or what else bench/checkpoint.py resolves."""
        path = files.resolve(checkpoint or self._file, self.name)
        return NeMoCodec(_restore(path), path, device)

    @property
    def _file(self) -> str:
        return f"hf:nvidia/{self.repo}/{self.repo}.nemo@{self.revision}"


_LFSC = (
    "@article{casanova2024lfsc, author={Casanova, Edresson and Langman, Ryan and Neekhara, Paarth and Hussain, Shehzeen and "
    "Li, Jason and Ghosh, Subhankar and Jukić, Ante and Lee, Sang-gil}, title={Low Frame-rate Speech Codec: A Codec Designed for "
    "Fast High-quality Speech {LLM} Training and Inference}, journal={arXiv:2409.12117}, year={2024}}"
)
_NON_COMMERCIAL = "NSCLv1 (NVIDIA source code licence: non-commercial)"


def _nano(name: str, kbps: str, fps: str, frame_rate: float, n_q: int, revision: str = "main") -> NeMoModule:
    repo = f"nemo-nano-codec-22khz-{kbps}kbps-{fps}fps"
    title = f"NanoCodec {kbps} kbps"
    return NeMoModule(name, title, f"{kbps}kbps", frame_rate, n_q, repo, "NVIDIA Open Model License", revision=revision)


def _classic(what: str, khz: int, hop_length: int, size_mb: float) -> NeMoModule:
    """NeMo's first codecs, 8 codebooks of 1000 at 86.1 Hz; the encoder of a mel codec takes mel spectrograms of bands."""
    rate = khz * 1000 + (50 if khz == 22 else 100)
    title, repo = f"NeMo {what} codec {rate / 1000:g} kHz", f"{what}-codec-{khz}khz"
    return NeMoModule(f"nemo_{what}_{khz}k", title, "6.9kbps", rate / hop_length, 8, repo, "see the model's card", size_mb)


CODECS: Mapping[str, NeMoModule] = {
    module.name: module
    for module in (
        NeMoModule("lfsc", "LFSC", "1.89kbps", 22050 / 1024, 8, "low-frame-rate-speech-codec-22khz", _NON_COMMERCIAL, 619, citation=_LFSC),
        _nano("nano_1890bps", "1.89", "21.5", 22050 / 1024, 8),
        _nano("nano_1780bps", "1.78", "12.5", 12.5, 13, "c4ab84a92c8d36a8b5a79eaea807cfaf7f03ed86"),
        _nano("nano_600bps", "0.6", "12.5", 12.5, 4),
        _classic("audio", 22, 256, 416),
        _classic("audio", 44, 512, 427),
        _classic("mel", 22, 256, 416),
        _classic("mel", 44, 512, 427),
    )
}


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
