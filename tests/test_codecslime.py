"""CodecSlime against the original's golden vectors and released tensor names, and what its operating points promise."""

from __future__ import annotations

import csv
import itertools
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from bench import checkpoint as checkpoints
from bench.bitstream import pack, unpack
from bench.codec import CodecModule, Encoded, Stream, nominal_bitrate
from bench.codecs import codecslime
from bench.codecs.codecslime import POINTS, CodecSlime, load, load_official, needs, point
from bench.codecs.nn.bigcodec import BigCodec, Sizes, sizes_of
from bench.codecs.training.models import MergingCodec
from bench.codecs.training.recipe import SpectralModel
from bench.errors import Unavailable, UserError

CPU = torch.device("cpu")
VARIANTS = ("vq8k", "fsq18k")
DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))


def relative_error(found: torch.Tensor, expected: np.ndarray) -> float:
    assert tuple(found.shape) == expected.shape
    return float(np.abs(found.cpu().numpy() - expected).max() / np.abs(expected).max())


def speech_like(num_samples: int) -> torch.Tensor:
    """Gliding harmonics with pauses, so that schedules are not uniform."""
    time = torch.arange(num_samples) / 16000
    pitch = torch.cumsum(2 * torch.pi * (120 + 40 * torch.sin(4 * time)) / 16000, 0)
    noise = torch.randn(num_samples, generator=torch.Generator().manual_seed(0))
    return (0.2 * sum(torch.sin(k * pitch) / k for k in range(1, 12)) * torch.sin(9 * time).clamp(min=0) + 0.003 * noise).clamp(-1, 1)


@pytest.fixture(scope="module")
def small(shared) -> CodecSlime:
    """The original's small copy of vq8k, on the CPU."""
    return load_official(shared / "golden/codecslime/small_vq8k.safetensors", "vq8k")


# --- the original's numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_small_copy_gives_the_features_tokens_and_audio_of_the_original(shared, variant, device):
    golden = np.load(shared / f"golden/codecslime/small_{variant}.npz")
    codec = load_official(shared / f"golden/codecslime/small_{variant}.safetensors", variant, device)
    assert isinstance(codec.network, BigCodec)
    taps: list[torch.Tensor] = []
    for layer in codec.network.encoder.block:
        layer.register_forward_hook(lambda _module, _args, output: taps.append(output[0]))
    # cuDNN rounds the factors of a convolution to 10 bits unless told not to
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        latent = codec.analyse(torch.from_numpy(golden["wav"]))
        assert relative_error(latent.features, golden["features"]) < 1e-4
        assert len(taps) == 9
        for index, tap in enumerate(taps):
            assert relative_error(tap, golden[f"enc_tap{index}"]) < 1e-4, f"encoder.block.{index}"
        for rate in (36, 40, 50, 67, 80):
            encoded = codec.encode(latent, POINTS[f"{rate}hz"])
            (stream,) = encoded.streams
            durations = torch.ones(80, dtype=torch.int64) if stream.durations is None else stream.durations
            assert durations.tolist() == golden[f"dur_{rate}"].tolist()
            assert stream.tokens.T.tolist() == golden[f"codes_{rate}"].tolist()
            assert relative_error(codec.decode(encoded), golden[f"out_{rate}"]) < 1e-4


# --- released files -----------------------------------------------------------------------------------------------------------


def released_shapes(shared: Path, variant: str) -> dict[str, tuple[int, ...]]:
    with (shared / f"systems/codecslime_state_dict_{variant}.tsv").open() as file:
        return {row["name"]: tuple(map(int, row["shape"].split("x"))) for row in csv.DictReader(file, delimiter="\t")}


@pytest.mark.parametrize(("variant", "parameters"), [("vq8k", 159_436_290), ("fsq18k", 159_369_722)])
def test_names_shapes_and_sizes_are_the_released_ones(shared, variant, parameters):
    with torch.device("meta"):
        network = BigCodec(variant, Sizes())
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == released_shapes(shared, variant)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def write_full_size(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of float16 tensors: a few random values each, the rest a hole in the file, which takes no disk."""
    ends = np.cumsum([0, *(2 * int(np.prod(shape)) for shape in shapes.values())]).tolist()
    offsets = dict(zip(shapes, itertools.pairwise(ends), strict=True))
    text = json.dumps({name: {"dtype": "F16", "shape": shapes[name], "data_offsets": offsets[name]} for name in shapes}).encode()
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            file.seek(8 + len(text) + offsets[name][0])
            file.write(random.standard_normal(min(int(np.prod(shape)), 64)).astype("<f2").tobytes())
        file.truncate(8 + len(text) + ends[-1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_of_the_released_size_loads_with_no_key_left_over(shared, tmp_path, variant):
    path = tmp_path / "released.safetensors"
    write_full_size(path, released_shapes(shared, variant))
    codec = load(str(path), CPU)
    loaded = codec.network.state_dict()
    for name, tensor in load_file(path).items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name].flatten()[:64], tensor.flatten()[:64].float()), name


def test_sizes_of_a_smaller_copy_are_told_by_its_tensors(small):
    assert sizes_of(small.network.state_dict()) == Sizes(4, 128, 32, 256, (2, 2, 2, 5, 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("decoder.model.3.block.1.weight_g"), "1 keys missing (first: decoder.model.3.block.1.weight_g)"),
        (lambda tensors: tensors.pop("encoder.block.8.bias"), "1 keys missing (first: encoder.block.8.bias)"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "1 keys unknown (first: extra)"),
        (lambda tensors: tensors.update({"decoder.model.8.bias": torch.zeros(2)}), "1 shapes differ (first: decoder.model.8.bias)"),
    ],
    ids=["less", "less-of-those-that-tell-sizes", "more", "other-shape"],
)
def test_a_key_too_few_or_too_many_is_named_in_one_line(shared, tmp_path, change, message):
    tensors = load_file(shared / "golden/codecslime/small_vq8k.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "changed.safetensors")
    with pytest.raises(UserError) as caught:
        load_official(tmp_path / "changed.safetensors", "vq8k")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_the_other_variant_and_an_unknown_variant_are_refused(shared):
    path = shared / "golden/codecslime/small_fsq18k.safetensors"
    with pytest.raises(UserError, match=r"decoder\.quantizer"):
        load_official(path, "vq8k")
    with pytest.raises(ValueError, match="variant 'fsq' unknown; did you mean 'fsq18k'"):
        load_official(path, "fsq")  # type: ignore[arg-type]


def test_released_weights_that_are_not_here_say_how_to_give_them(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    with pytest.raises(Unavailable, match=r"vq8k.*\.safetensors"):
        load("vq8k", CPU)
    (need,) = needs("vq8k")
    assert not need.available
    (tmp_path / "codecslime_vq8k.safetensors").symlink_to(shared / "golden/codecslime/small_vq8k.safetensors")
    assert needs("vq8k")[0].available
    assert load("vq8k", CPU).network.quantizer.codebook_size == 256


# --- tiny ---------------------------------------------------------------------------------------------------------------------


def test_tiny_loads_what_training_exports_and_computes_the_same(tmp_path, monkeypatch):
    torch.manual_seed(0)
    config = SpectralModel(family="spectral", width=16, hidden=24, encoder_blocks=1, decoder_blocks=2, latent_dim=8, levels=[5, 4])
    trained = MergingCodec(config, None).eval()
    path = tmp_path / "codecslime_tiny.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in trained.network.state_dict().items()}, path, {"config": trained.config})
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path)
    codec, audio = load(None, CPU), speech_like(4000)
    with torch.inference_mode():
        expected = trained(audio[None], None).audio[0]
    encoded = codec.encode(codec.analyse(audio), POINTS["80hz"])
    torch.testing.assert_close(codec.decode(encoded), expected)
    assert encoded.streams[0].codebook_sizes == (20,)
    assert codec.parameters == sum(parameter.numel() for parameter in trained.parameters())
    assert codec.weights_sha256 == checkpoints.sha256(path)


@pytest.mark.parametrize("family", ["spectral", "bigcodec"])
def test_a_backbone_of_another_rate_is_refused(tmp_path, family):
    config = SpectralModel(family="spectral", width=8, hidden=8, encoder_blocks=1, decoder_blocks=1, latent_dim=4, stride=2)
    path = tmp_path / "fixed_40hz.safetensors"
    if family == "spectral":
        save_file(MergingCodec(config, None).network.state_dict(), path, {"config": config.model_dump_json()})
    else:
        save_file(BigCodec("fsq18k", Sizes(2, 64, 8, strides=(2, 2, 4, 5, 5))).state_dict(), path)
    with pytest.raises(UserError, match="40 Hz; codecslime needs a backbone of 80 Hz"):
        load(str(path), CPU)


# --- operating points ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", [*codecslime.SCHEDULERS, "oracle"])
@pytest.mark.parametrize("rate", [36, 50, 79])
def test_every_scheduler_meets_the_rate_and_covers_every_frame(small, scheduler, rate):
    latent = small.analyse(speech_like(24001))
    (stream,) = small.encode(latent, point(frame_rate=rate, scheduler=scheduler)).streams
    assert stream.num_frames == round(121 * rate / 80)
    assert int(stream.durations.sum()) == 121
    assert stream.max_duration == 4


def test_schedulers_differ_and_the_random_one_by_its_seed(small):
    latent = small.analyse(speech_like(32000))
    points = [point(frame_rate=40, scheduler=name) for name in (*codecslime.SCHEDULERS, "oracle")]
    points.append(point(frame_rate=40, scheduler="random", seed=1))
    schedules = [tuple(small.encode(latent, each).streams[0].durations.tolist()) for each in points]
    assert len(set(schedules)) == 9
    assert schedules[list(codecslime.SCHEDULERS).index("uniform")] == (2,) * 80


@pytest.mark.parametrize("variant", VARIANTS)
def test_at_80_hz_the_tokens_are_the_backbones_and_no_duration_is_sent(shared, variant):
    codec = load_official(shared / f"golden/codecslime/small_{variant}.safetensors", variant)
    audio = speech_like(16000)
    encoded = codec.encode(codec.analyse(audio), POINTS["80hz"])
    with torch.inference_mode():
        backbone = codec.network.quantizer(codec.network.encoder(audio[None]))
        assert torch.equal(encoded.streams[0].tokens, backbone.tokens[0])
        assert torch.equal(codec.decode(encoded), codec.network.decoder(codec.network.quantizer.decode(backbone.tokens))[0])
    assert pack(encoded).bits_side == 1 + 5 + 13 + 1 + 1  # the length alone


def test_bits_are_those_of_the_paper(shared):
    codec = load_official(shared / "golden/codecslime/small_fsq18k.safetensors", "fsq18k")
    encoded = codec.encode(codec.analyse(speech_like(32000)), POINTS["40hz"])
    assert nominal_bitrate(encoded, 2.0) == pytest.approx(646.1, abs=0.1)
    packed = pack(encoded)
    assert packed.bits_side == 2 * 80 + 1 + 5 + 14 + 1 + 7 + 1 + 1  # and the lengths: 80 segments of 160 frames
    assert torch.equal(codec.decode(unpack(packed.data)), codec.decode(encoded))


@pytest.mark.parametrize("num_samples", [1, 199, 200, 201, 1000, 12345])
@pytest.mark.parametrize("rate", [36, 80])
def test_audio_comes_back_as_long_as_it_was(small, num_samples, rate):
    audio = speech_like(num_samples)
    encoded = small.encode(small.analyse(audio), point(frame_rate=rate))
    assert encoded.num_samples == num_samples
    assert small.decode(encoded).shape == (num_samples,)


def test_a_point_leaves_no_trace_on_the_next(small):
    latent = small.analyse(speech_like(8000))
    first = small.encode(latent, POINTS["40hz"]).streams[0].tokens
    small.encode(latent, point(frame_rate=60, scheduler="random"))
    assert torch.equal(small.encode(latent, POINTS["40hz"]).streams[0].tokens, first)


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_gives_the_tokens_of_its_items(shared, device):
    codec = load_official(shared / "golden/codecslime/small_fsq18k.safetensors", "fsq18k", device)
    batch = torch.stack([speech_like(8000), speech_like(16000)[8000:], speech_like(8000).flip(0)]).to(device)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        together = codec.network.quantizer(codec.network.encoder(batch)).tokens
        for item, audio in zip(together, batch, strict=True):
            assert torch.equal(codec.encode(codec.analyse(audio), POINTS["80hz"]).streams[0].tokens, item.cpu())


def test_real_speech_spends_its_segments_unevenly(shared, small):
    path = sorted((shared / "data/eval_en").rglob("*.flac")) + sorted((shared / "data/eval_en").rglob("*.wav"))
    audio, sample_rate = soundfile.read(path[0], dtype="float32")
    assert sample_rate == 16000
    (stream,) = small.encode(small.analyse(torch.from_numpy(audio)), POINTS["40hz"]).streams
    assert stream.durations.unique().tolist() == [1, 2, 3, 4]


def test_unusable_audio_and_damaged_streams_are_refused(small):
    with pytest.raises(ValueError, match="empty"):
        small.analyse(torch.zeros(0))
    with pytest.raises(ValueError, match="infinite"):
        small.analyse(torch.tensor([0.0, float("nan")]))
    tokens = torch.zeros(1, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="4 base frames do not fit 1000 samples"):
        small.decode(Encoded((Stream(tokens, (256,), torch.tensor([1, 2, 1]), 4),), 1000))


def test_point_names_are_told_by_their_settings():
    _: CodecModule = codecslime
    assert list(POINTS) == [each.name for each in POINTS.values()]
    assert point(frame_rate=40) == point(target_frame_rate=40.0) == POINTS["40hz"]
    assert point(frame_rate=40, scheduler="schedfr") == POINTS["40hz"]
    assert point(frame_rate=44.5, scheduler="uniform").name == "44.5hz_uniform"
    assert point(frame_rate=40, scheduler="random", seed=3).name == "40hz_random_seed3"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frame_rate": 35.9}, "36 to 80 Hz, got 35.9"),
        ({"frame_rate": 81}, "36 to 80 Hz, got 81"),
        ({"frame_rate": float("nan")}, "36 to 80 Hz, got nan"),
        ({"frame_rate": "fast"}, "must be a number here, got 'fast'"),
        ({}, "one number"),
        ({"frame_rate": 40, "target_frame_rate": 40}, "one number"),
        ({"frame_rate": 40, "n_q": 2}, "setting 'n_q' unknown"),
        ({"frame_rate": 40, "scheduler": "shedfr"}, "did you mean 'schedfr'"),
        ({"frame_rate": 40, "scheduler": "random", "seed": 0.5}, "seed: input should be a valid integer.*, got 0.5"),
        ({"frame_rate": 40, "seed": 1}, "only the scheduler 'random' has one"),
    ],
)
def test_wrong_settings_name_the_choices(settings, message):
    with pytest.raises(ValueError, match=message):
        point(**settings)
