"""The fixed-rate codec: the contract, its refusals, and the shipped checkpoints on real speech."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from bench import audio
from bench.checkpoint import load_safetensors
from bench.codec import CodecModule
from bench.codecs import fixed
from bench.codecs.nn.bigcodec import BigCodec, Sizes
from bench.codecs.nn.spectral import SpectralCodec
from bench.codecs.training import models
from bench.codecs.training import train as training
from bench.codecs.training.recipe import BigCodecModel, read_recipe
from bench.errors import UserError

CPU = torch.device("cpu")
PAPER_RECIPES = sorted((Path(training.__file__).parent / "recipes").glob("codecslime_*_fixed_*.yaml"))
BASELINES = [path for path in PAPER_RECIPES if path.stem.endswith("hz")]
TWINS = [path for path in PAPER_RECIPES if path.stem.endswith("bps")]  # at equal total bits; test_twins.py says that they are


def write_checkpoint(path: Path, stride: int = 1, **metadata: str) -> Path:
    config: dict[str, Any] = {"width": 16, "hidden": 24, "encoder_blocks": 1, "decoder_blocks": 1, "latent_dim": 8}
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


def test_a_rate_that_is_no_whole_number_may_be_given_to_a_hundredth(tmp_path: Path) -> None:
    config: dict[str, Any] = {"width": 16, "hidden": 24, "encoder_blocks": 1, "decoder_blocks": 1, "latent_dim": 8}
    config |= {"family": "spectral", "n_fft": 640, "hop_length": 266, "stride": 1, "levels": [5, 3, 3]}
    metadata = {"config": json.dumps(config), "sample_rate": "16000"}
    save_file(SpectralCodec(config).state_dict(), tmp_path / "toy.safetensors", metadata=metadata)
    codec = fixed.load(str(tmp_path / "toy.safetensors"), CPU)
    for num_samples in (1, 265, 266, 267, 12345):
        encoded = codec.encode(codec.analyse(torch.zeros(num_samples)), fixed.point(frame_rate=60.15))
        assert encoded.streams[0].num_frames == -(-num_samples // 266)
        assert codec.decode(encoded).shape == (num_samples,)
    with pytest.raises(ValueError, match=r"has 60\.1504 Hz, not 60: each rate"):
        codec.encode(codec.analyse(torch.zeros(400)), fixed.point(frame_rate=60))


def test_bad_audio_points_and_files_are_refused(tmp_path: Path) -> None:
    codec = fixed.load(str(write_checkpoint(tmp_path / "toy.safetensors")), CPU)
    for bad in (torch.zeros(0), torch.tensor([0.0, float("nan")])):
        with pytest.raises(ValueError, match="audio"):
            codec.analyse(bad)
    with pytest.raises(ValueError, match="frame_rate"):
        fixed.point(frame_rat=40)
    with pytest.raises(ValueError, match="must be a number here, got '40'"):
        fixed.point(frame_rate="40")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not a checkpoint of `bench train`"):
        fixed.load(str(tmp_path / "other.safetensors"), CPU)


# --- the baselines of CodecSlime's own backbone ---------------------------------------------------------------------------------


@pytest.fixture
def small_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes build the paper's network with a few channels in place of 160 million parameters."""
    monkeypatch.setattr(models, "Sizes", functools.partial(Sizes, encoder_channels=2, decoder_channels=64, latent_dim=8))


def strides_of(path: Path) -> list[int]:
    model = read_recipe(path).model
    assert isinstance(model, BigCodecModel)
    return model.strides


def test_each_backbone_has_a_recipe_at_each_rate_of_the_paper() -> None:
    rates = {(path.stem.split("_")[1], path.stem.split("_")[3]): 16000 / np.prod(strides_of(path)) for path in PAPER_RECIPES}
    for variant in ("fsq18k", "vq8k"):
        for name, rate in (("40hz", 40.0), ("50hz", 50.0), ("67hz", 66.67)):
            assert rates[variant, name] == pytest.approx(rate, abs=0.01)


@pytest.mark.parametrize("path", TWINS, ids=lambda path: path.stem)
def test_twins_differ_from_the_baseline_of_their_rate_in_the_codebook_and_the_steps_alone(path: Path) -> None:
    ours, baseline = (yaml.safe_load(each.read_text()) for each in (path, path.with_stem(path.stem.rpartition("_")[0])))
    del ours["model"]["levels" if "fsq18k" in path.stem else "codebook_size"], ours["optimiser"]["steps"], ours["name"]
    del baseline["optimiser"]["steps"], baseline["name"]
    assert ours == baseline


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_baselines_differ_from_the_backbone_in_the_strides_alone(path: Path) -> None:
    ours, backbone = (yaml.safe_load(each.read_text()) for each in (path, path.with_stem(path.stem.split("_fixed")[0] + "_backbone")))
    del ours["model"]["strides"], ours["name"], backbone["name"]
    assert (ours.pop("codec"), backbone.pop("codec")) == ("fixed", "codecslime")
    assert ours == backbone
    with torch.device("meta"):
        networks = [BigCodec("fsq18k", Sizes(strides=strides)) for strides in (Sizes().strides, tuple(strides_of(path)))]
    shapes = [{name: tensor.shape[:2] for name, tensor in network.state_dict().items()} for network in networks]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    "strides", [(2, 2, 2, 5, 5), (2, 2, 4, 5, 5), (2, 2, 4, 4, 5), (2, 2, 3, 4, 5)], ids=lambda strides: str(np.prod(strides))
)
def test_every_stride_gives_its_rate_and_the_length_back(strides: tuple[int, ...]) -> None:
    hop_length = int(np.prod(strides))
    network = BigCodec("vq8k", Sizes(2, 64, 8, 16, strides)).eval()
    with torch.inference_mode():
        for frames in (1, 2, 7):
            latents = network.encoder(torch.zeros(1, frames * hop_length))
            assert latents.shape == (1, 8, frames)
            assert network.decoder(latents).shape == (1, frames * hop_length)


@pytest.mark.parametrize("path", PAPER_RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_trains_runs_at_its_rate(path: Path, small_backbone: None, tmp_path: Path) -> None:
    """The recipe itself, ten steps without discriminators, on a few clips; then its file, which tells the strides by its tensors."""
    random = np.random.default_rng(0)
    for speaker in range(3):
        audio.write(tmp_path / f"speech/s{speaker}/a.wav", (0.1 * random.standard_normal(50000)).astype(np.float32), 16000)
    recipe = yaml.safe_load(path.read_text())
    recipe["data"] = {"folder": str(tmp_path / "speech"), "crop_s": recipe["data"]["crop_s"]}
    recipe["losses"] |= {"adversarial": 0, "feature_matching": 0}
    written = tmp_path / path.name
    written.write_text(yaml.safe_dump(recipe))
    result = training.train(written, tmp_path / "out", smoke=True)

    codec = fixed.load(str(result), CPU)
    hop_length = int(np.prod(strides_of(path)))
    assert codec.hop_length == hop_length
    (point,) = (each for each in fixed.POINTS.values() if each.frame_rate == 16000 / hop_length)
    samples = torch.from_numpy(0.1 * random.standard_normal(12345).astype(np.float32))
    encoded = codec.encode(codec.analyse(samples), point)
    (stream,) = encoded.streams
    assert stream.num_frames == -(-12345 // hop_length)
    model = read_recipe(path).model
    assert isinstance(model, BigCodecModel)
    assert stream.codebook_sizes == (model.codebook_size if "vq8k" in path.stem else np.prod(model.levels),)
    trained = models.build(read_recipe(written), tmp_path)
    tensors, _ = load_safetensors(result)
    trained.network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    with torch.inference_mode():
        torch.testing.assert_close(codec.decode(encoded), trained.eval()(samples[None], None).audio[0])
