"""The fixed-rate codec: the contract, its refusals, and the shipped checkpoints on real speech."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench import audio
from bench.checkpoint import find
from bench.codec import CodecModule
from bench.codecs import fixed
from bench.codecs.nn.spectral import SpectralCodec
from bench.errors import UserError

CPU = torch.device("cpu")


def write_checkpoint(path: Path, stride: int = 1, **metadata: str) -> Path:
    config = {"width": 16, "hidden": 24, "encoder_blocks": 1, "decoder_blocks": 1, "latent_dim": 8}
    config |= {"family": "spectral", "n_fft": 640, "hop_length": 200, "stride": stride, "levels": [5, 3, 3]}
    torch.manual_seed(0)
    tensors = {name: tensor.half() for name, tensor in SpectralCodec(config).state_dict().items()}
    save_file(tensors, path, metadata={"config": json.dumps(config), "sample_rate": "16000", **metadata})
    return path


def test_the_module_keeps_the_contract() -> None:
    _: CodecModule = fixed
    assert {"80hz", "40hz", "20hz"} <= set(fixed.POINTS)


@pytest.mark.parametrize(("stride", "name"), [(1, "80hz"), (2, "40hz"), (4, "20hz")])
@pytest.mark.parametrize("num_samples", [1, 199, 12345])
def test_round_trip_keeps_the_length(tmp_path: Path, stride: int, name: str, num_samples: int) -> None:
    codec = fixed.load(str(write_checkpoint(tmp_path / "toy.safetensors", stride)), CPU)
    samples = torch.randn(num_samples, generator=torch.Generator().manual_seed(0)) / 10
    encoded = codec.encode(codec.analyse(samples), fixed.POINTS[name])
    (stream,) = encoded.streams
    assert stream.codebook_sizes == (45,)
    assert stream.num_frames == -(-num_samples // (200 * stride))
    assert stream.durations is None
    decoded = codec.decode(encoded)
    assert decoded.shape == (num_samples,)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, codec.decode(encoded))


def test_another_rate_than_the_checkpoints_is_refused(tmp_path: Path) -> None:
    codec = fixed.load(str(write_checkpoint(tmp_path / "toy.safetensors")), CPU)
    with pytest.raises(ValueError, match="has 80 Hz, not 40"):
        codec.encode(codec.analyse(torch.zeros(400)), fixed.POINTS["40hz"])


def test_bad_audio_points_and_files_are_refused(tmp_path: Path) -> None:
    codec = fixed.load(str(write_checkpoint(tmp_path / "toy.safetensors")), CPU)
    for bad in (torch.zeros(0), torch.tensor([0.0, float("nan")])):
        with pytest.raises(ValueError, match="audio"):
            codec.analyse(bad)
    with pytest.raises(ValueError, match="frame_rate"):
        fixed.point(frame_rat=40)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not a checkpoint of `bench train`"):
        fixed.load(str(tmp_path / "other.safetensors"), CPU)


def test_shipped_checkpoints_are_intelligible_and_better_at_higher_rates(shared: Path) -> None:
    """Real speech of speakers that were not trained on."""
    from pystoi import stoi

    names = [name for name in ("tiny_20hz", "tiny_40hz", "tiny_80hz") if find(name, "fixed")]
    if not names:
        pytest.skip("no checkpoint is shipped")
    folder = shared / "data" / "eval_en"
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()][::50]
    means = []
    for name in names:
        codec = fixed.load(name, CPU)
        scores = []
        for row in rows:
            reference = audio.resample(*audio.read(folder / row["path"]), 16000)
            encoded = codec.encode(codec.analyse(torch.from_numpy(reference)), fixed.POINTS[name.removeprefix("tiny_")])
            scores.append(stoi(reference, codec.decode(encoded).numpy(), 16000))
        means.append(float(np.mean(scores)))
    assert means == sorted(means)
    assert means[0] > 0.5
