"""TFC: schedule, tokens and decoder against the paper's formulas, rates and bits against its numbers, checkpoints, training pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from bench.bitstream import pack, unpack
from bench.codec import CodecModule, Encoded, OperatingPoint, Stream
from bench.codecs import tfc
from bench.codecs.nn.dac import DACEncoder
from bench.codecs.nn.schedule import temporal_entropy
from bench.codecs.nn.vq import ResidualVQ
from bench.errors import UserError

_: CodecModule = tfc

DAC = tfc.Config(tfc.DACBackbone(encoder_channels=4, decoder_channels=32, latent_dim=24), n_q=4, codebook_size=64)
SPECTRAL_CONFIG = {
    "backbone": {
        "family": "spectral",
        "width": 16,
        "hidden": 24,
        "encoder_blocks": 1,
        "decoder_blocks": 1,
        "latent_dim": 12,
        "n_fft": 800,
        "hop_length": 200,
    },
    "sample_rate": 16000,
    "n_q": 8,
}
SPECTRAL = tfc.Config.from_json(json.dumps(SPECTRAL_CONFIG))
CONFIGS = {"dac": DAC, "spectral": SPECTRAL, "separate": replace(SPECTRAL, separate_quantizers=True)}


def build(config: tfc.Config, device: str = "cpu") -> tfc.TFCCodec:
    torch.manual_seed(0)
    network = tfc.TFC(config)
    for name, parameter in network.named_parameters():
        if "codebook" not in name and "alpha" not in name:  # biases too, so that nothing hides behind a zero
            parameter.data += 0.05 * torch.randn_like(parameter)
    return tfc.TFCCodec(network, "", torch.device(device))


@pytest.fixture(scope="module", params=CONFIGS)
def codec(request) -> tfc.TFCCodec:
    return build(CONFIGS[request.param])


def noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    """float32 [T], with its level and so its entropy moving."""
    rng = np.random.default_rng(seed)
    level = np.interp(np.arange(num_samples) / 4000, np.arange(200), rng.uniform(0.001, 0.3, 200))
    return torch.from_numpy((level * rng.standard_normal(num_samples)).astype(np.float32))


def point(**settings: float | str) -> OperatingPoint:
    return tfc.point(**{"n_q": 4, **settings})


# --- the network


@pytest.mark.parametrize("num_blocks", [0, 1, 2], ids=["fine", "medium", "coarse"])
def test_receptive_fields_are_as_wide_as_the_entropy_windows(num_blocks):
    """Which samples a frame depends on, by gradient."""
    for config in (DAC, SPECTRAL):
        network, backbone = build(config).network, config.backbone
        audio = noise(40 * backbone.hop_length).requires_grad_()
        frames = network.encode_levels(audio[None])[num_blocks]
        frames[0, :, frames.shape[-1] // 2].sum().backward()
        assert audio.grad is not None
        touched = audio.grad.nonzero()
        window = backbone.receptive_field + (2**num_blocks - 1) * backbone.hop_length
        # A Hann window's first weight is 0, and a transform of real samples hides no other.
        assert int(touched.max() - touched.min()) + 1 in ((window,) if config is DAC else (window, window - 1))
    assert tfc.Config().backbone.receptive_field == 5314


def test_entropies_have_windows_that_grow_by_the_strides():
    audio = noise(24000)
    medium, coarse = build(DAC).network.entropies(audio)
    # W + s and W + 3 s of the paper, W = 5314 and s = 320 samples
    assert np.array_equal(medium, temporal_entropy(audio.numpy(), 5634, 640, 65, 1 / 64))
    assert np.array_equal(coarse, temporal_entropy(audio.numpy(), 6274, 1280, 65, 1 / 64))


def test_entropies_are_measured_on_the_audio_and_not_on_its_padding(codec):
    hop = codec.hop_length
    audio = 0.3 * noise(4 * hop * 9 + 1).sign()  # one sample into the tenth coarse frame
    medium, coarse = codec.network.entropies(audio)
    assert (len(medium), len(coarse)) == (20, 10)
    assert medium[19] == medium[18]
    np.testing.assert_allclose(medium, medium[0], atol=0.02)  # two equally likely amplitudes everywhere, no silence at the end
    np.testing.assert_allclose(coarse, coarse[0], atol=0.02)


def test_decoder_is_the_papers_formula(codec):
    network, dim = codec.network, codec.network.config.backbone.latent_dim
    span = torch.tensor([[4, 4, 4, 4, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2]])
    quantised = torch.randn(1, dim, 16, generator=torch.Generator().manual_seed(1))
    b_f, b_m = (span == 1).float(), (span == 2).float()[:, ::2]
    heard = []
    handle = network.decoder.register_forward_hook(lambda _module, inputs, _output: heard.append(inputs[0]))
    with torch.inference_mode():
        audio = network.synthesise(quantised, span)
        y_c = quantised.unflatten(-1, (4, 4)).mean(-1)
        y_m = network.up[0](y_c) + quantised.unflatten(-1, (8, 2)).mean(-1) * b_m
        y_f = network.up[1](y_m) + quantised * b_f
    handle.remove()
    torch.testing.assert_close(heard[0], y_f)
    assert audio.shape == (1, 16 * codec.hop_length)


def test_the_24_khz_backbone_has_dacs_tensor_names():
    names = set(build(DAC).network.state_dict())
    assert {"encoder.block.0.weight_g", "encoder.block.4.block.4.weight_v", "encoder.block.6.bias"} <= names
    assert {"decoder.model.1.block.1.weight_g", "decoder.model.6.weight_v", "quantizer.quantizers.3.codebook.weight"} <= names
    assert {name.split(".")[0] for name in names} == {"encoder", "decoder", "quantizer", "down", "up"}


# --- tokens


@pytest.mark.parametrize("num_samples", [1, 319, 1280, 12801])
def test_pure_fine_gives_the_tokens_of_the_backbone_alone(num_samples):
    codec, audio = build(DAC), noise(num_samples)
    encoder, quantizer = DACEncoder(4, (2, 4, 5, 8), 24), ResidualVQ(24, 4, 64)
    encoder.load_state_dict(codec.network.encoder.state_dict())
    quantizer.load_state_dict(codec.network.quantizer.state_dict())
    (stream,) = codec.encode(codec.analyse(audio), point(ratios="fine")).streams
    with torch.inference_mode():
        expected = quantizer(encoder(F.pad(audio, (0, -num_samples % 1280))[None])).tokens[0]
    assert torch.equal(stream.tokens, expected)
    assert stream.durations is not None
    assert set(stream.durations.tolist()) == {1}


def test_each_frame_is_quantised_at_its_own_rate(codec):
    latent = codec.analyse(noise(codec.hop_length * 60))
    (stream,) = codec.encode(latent, point(ratios="training")).streams
    assert stream.durations is not None
    starts = stream.durations.cumsum(0) - stream.durations
    quantizers = codec.network.quantizers
    assert (quantizers[0] is quantizers[2]) == (not codec.network.config.separate_quantizers)
    for frame, (start, duration) in enumerate(zip(starts.tolist(), stream.durations.tolist(), strict=True)):
        level = (1, 2, 4).index(duration)
        vector = latent.levels[level][..., start // duration].unsqueeze(-1)
        with torch.inference_mode():
            assert quantizers[level](vector, 4).tokens[0, :, 0].tolist() == stream.tokens[:, frame].tolist()


def test_fewer_codebooks_are_a_prefix(codec):
    latent = codec.analyse(noise(20000))
    full, two = (codec.encode(latent, point(ratios="mixed", n_q=n_q)).streams[0] for n_q in (4, 2))
    assert torch.equal(full.tokens[:2], two.tokens)
    with pytest.raises(ValueError, match="n_q must be 1 to"):
        codec.encode(latent, point(ratios="mixed", n_q=33))


def test_calm_audio_is_coarse_and_speech_is_fine(shared):
    import soundfile

    speech, sample_rate = soundfile.read(shared / "data/eval_en/audio/1089-134686-0000.flac", dtype="float32")
    assert sample_rate == 16000
    speech = speech[: 4 * sample_rate]
    audio = torch.from_numpy(np.concatenate([speech, np.zeros(2 * sample_rate, np.float32), speech]))
    codec = build(SPECTRAL)
    (stream,) = codec.encode(codec.analyse(audio), tfc.point(r_f=0.8, r_m=0.05, r_c=0.15)).streams
    assert stream.durations is not None
    span = stream.durations.repeat_interleave(stream.durations)
    # Windows of 125 ms at either end of the pause hold speech.
    inside = span[int(4.2 * 80) : int(5.8 * 80)]
    assert (inside == 4).float().mean() > 0.7
    assert (span[: 4 * 80] == 1).float().mean() > 0.8


# --- decoding


@pytest.mark.parametrize("num_samples", [1, 199, 1281, 20003])
def test_the_bitstream_decodes_to_the_length_of_the_input(codec, num_samples):
    encoded = codec.encode(codec.analyse(noise(num_samples)), point(ratios="training"))
    audio = codec.decode(unpack(pack(encoded).data))
    assert audio.shape == (num_samples,)
    assert audio.dtype == torch.float32
    assert torch.equal(audio, codec.decode(encoded))


@pytest.mark.parametrize("ratios", list(tfc.RATIOS))
def test_the_training_pass_hears_what_the_bitstream_says(codec, ratios):
    if codec.network.config.separate_quantizers and ratios not in ("fine", "training"):
        pytest.skip("one pure and one mixed schedule tell")
    audio = noise(codec.hop_length * 47)
    with torch.inference_mode():
        passed = codec.network(audio[None], [tfc.RATIOS[ratios]], 4)
    decoded = codec.decode(codec.encode(codec.analyse(audio), point(ratios=ratios)))
    torch.testing.assert_close(passed.audio[0], decoded, rtol=1e-4, atol=1e-5)


def test_what_was_not_encoded_here_is_refused():
    codec = build(SPECTRAL)

    def decode(durations: list[int], num_samples: int) -> None:
        tokens = torch.zeros((1, len(durations)), dtype=torch.int64)
        codec.decode(Encoded((Stream(tokens, (1024,), torch.tensor(durations), 4, nested=True),), num_samples))

    decode([4, 2, 1, 1], 1600)
    with pytest.raises(ValueError, match="multiples of themselves"):
        decode([1, 2, 1, 4], 1600)
    with pytest.raises(ValueError, match="multiple of 4"):
        decode([2, 4], 1200)
    with pytest.raises(ValueError, match="8 base frames do not fit 1601 samples"):
        decode([4, 2, 1, 1], 1601)
    for bad in (torch.empty(0), torch.tensor([0.1, float("nan")])):
        with pytest.raises(ValueError, match=r"empty|infinite"):
            codec.analyse(bad)


# --- rates and bits

# Of the paper's backbone at 75 Hz: shares, frames and bits of conditional flags a second (none where a rate is absent or alone).
TABLE = [
    ((1, 0, 0), 75, 0),
    ((0, 1, 0), 37.5, 0),
    ((0, 0, 1), 18.75, 0),
    ((0.4, 0.3, 0.3), 46.875, 45.0),
    ((0.1, 0.7, 0.2), 37.5, 48.75),
    ((0.5, 0.5, 0), 56.25, 37.5),
]


@pytest.mark.parametrize(("ratios", "frame_rate", "flags"), TABLE, ids=lambda value: str(value))
def test_rates_and_bits_are_those_of_the_shares(ratios, frame_rate, flags):
    config = replace(SPECTRAL, sample_rate=24000, backbone=tfc.SpectralBackbone(16, 24, 1, 1, 12, n_fft=1280, hop_length=320))
    codec, seconds = build(config), 16
    operating_point = tfc.point(ratios="/".join(map(str, ratios)), n_q=8)
    encoded = codec.encode(codec.analyse(noise(seconds * 24000)), operating_point)
    packed = pack(encoded)
    assert operating_point.frame_rate == pytest.approx(frame_rate)
    assert encoded.streams[0].num_frames / seconds == pytest.approx(frame_rate, rel=0.002)
    lengths = 1 + 5 + 18 + 1 + 3 + 1  # of 384,000 samples, their frames and no packets; and which durations occur
    assert (packed.bits_side - lengths) / seconds == pytest.approx(flags, rel=0.002)
    assert packed.bits_tokens / seconds == pytest.approx(80 * frame_rate, rel=0.002)


def test_a_point_of_shares_has_the_frame_rate_of_the_checkpoint():
    codec = build(SPECTRAL)  # 80 Hz, where the paper has 75
    settings = ({"ratios": "fine"}, {"ratios": "mixed"}, {"frame_rate": 50})
    fine, mixed, met = (codec.at_own_rate(point(**each)) for each in settings)
    assert (fine.frame_rate, mixed.frame_rate, met.frame_rate) == (80.0, 40.0, 50.0)
    assert fine == replace(point(ratios="fine"), frame_rate=80.0)


@pytest.mark.parametrize("frame_rate", [80, 79, 61.7, 40, 33.3, 20])
def test_a_frame_rate_is_met_to_the_slot(frame_rate):
    codec, seconds = build(SPECTRAL), 20
    latent = codec.analyse(noise(seconds * 16000))
    for setting in ("frame_rate", "target_frame_rate"):
        operating_point = point(**{setting: frame_rate})
        assert operating_point.frame_rate == frame_rate
        (stream,) = codec.encode(latent, operating_point).streams
        assert abs(stream.num_frames - frame_rate * seconds) <= 2  # rounding moves each count by half a slot at most
    for outside in (81, 19):
        with pytest.raises(ValueError, match="frame_rate must be 20 to 80 Hz"):
            codec.encode(latent, point(frame_rate=outside))


def test_shares_for_a_rate_reach_from_pure_coarse_to_pure_fine():
    assert tfc.ratios_for(75, 75) == (1, 0, 0)
    assert tfc.ratios_for(18.75, 75) == (0, 0, 1)
    r_f, r_m, r_c = tfc.ratios_for(37.5, 75)
    assert r_c == pytest.approx(2 * r_f)
    for frame_rate in np.linspace(18.75, 75, 30):
        r_f, r_m, r_c = tfc.ratios_for(frame_rate, 75)
        assert min(r_f, r_m, r_c) >= 0
        assert r_f + r_m + r_c == pytest.approx(1)
        assert 75 * (r_f + r_m / 2 + r_c / 4) == pytest.approx(frame_rate)


def test_points_are_named_by_what_they_are():
    assert tfc.POINTS["medium_8q"] == OperatingPoint("medium_8q", 37.5, 8, {"r_f": 0, "r_m": 1, "r_c": 0})
    assert len(tfc.POINTS) == 8
    assert tfc.point(ratios="0.2/0.7/0.1", n_q=2).name == "0.2-0.7-0.1_2q"
    assert tfc.point(r_f=0.2, r_m=0.7, r_c=0.1, n_q=2) == tfc.point(ratios="0.2/0.7/0.1", n_q=2)
    assert tfc.point(ratios="mixed", rule="threshold").options["rule"] == "threshold"
    assert tfc.point(frame_rate=37.5) == OperatingPoint("37.5hz_8q", 37.5, 8, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": "fine"}, "setting 'ratio' unknown; did you mean 'ratios'"),
        ({"ratios": "fien"}, "ratios 'fien' unknown; did you mean 'fine'"),
        ({"ratios": "0.5/0.5/0.5"}, "three shares that sum to 1"),
        ({"r_f": 0.5, "r_m": 0.5}, "give ratios, or r_f, r_m and r_c"),
        ({"ratios": "fine", "frame_rate": 40}, "give ratios, or r_f, r_m and r_c"),
        ({"n_q": 3}, "got none"),
        ({"ratios": "fine", "n_q": 0}, "n_q must be a whole number from 1 on, got 0"),
        ({"ratios": "fine", "n_q": 1.5}, "n_q must be a whole number from 1 on, got 1.5"),
        ({"frame_rate": -3}, "frame_rate must be above 0 Hz"),
        ({"ratios": "fine", "rule": "quantile"}, "rule 'quantile' unknown"),
    ],
)
def test_a_mistaken_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        tfc.point(**settings)


# --- checkpoints


def save(codec: tfc.TFCCodec, path: Path, config: dict | None) -> Path:
    tensors = {name: tensor.half() for name, tensor in codec.network.state_dict().items()}
    save_file(tensors, path, metadata={"config": json.dumps(config)} if config else None)
    return path


def test_a_checkpoint_brings_its_own_network(tmp_path):
    path = save(build(SPECTRAL), tmp_path / "tfc.safetensors", SPECTRAL_CONFIG)
    (need,) = tfc.needs(str(path))
    assert need.available
    codec = tfc.load(str(path), torch.device("cpu"))
    assert (codec.sample_rate, codec.hop_length) == (16000, 200)
    assert len(codec.weights_sha256) == 64
    audio = noise(9000)
    assert codec.decode(codec.encode(codec.analyse(audio), tfc.POINTS["mixed_8q"])).shape == audio.shape


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "hold no 'config'"),
        ({**SPECTRAL_CONFIG, "levels": [5]}, "unexpected keyword argument 'levels'"),
        ({**SPECTRAL_CONFIG, "backbone": {"family": "spectra"}}, "did you mean 'spectral'"),
        ({**SPECTRAL_CONFIG, "n_q": 9}, "7 keys missing"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, config, message):
    path = save(build(SPECTRAL), tmp_path / "tfc.safetensors", config)
    with pytest.raises(UserError, match=message):
        tfc.load(str(path), torch.device("cpu"))


# --- training


def test_gradients_reach_every_parameter_that_a_pass_used(codec):
    network = codec.network
    network.zero_grad()
    audio = torch.stack([noise(codec.hop_length * 24, seed) for seed in range(3)])
    passed = network(audio, [(0.4, 0.3, 0.3), (1, 0, 0), (0, 0.5, 0.5)], torch.tensor([4, 1, 2]))
    assert passed.audio.shape == audio.shape
    assert passed.commitment_loss.shape == passed.codebook_loss.shape == (3,)
    (passed.audio.square().sum() + passed.commitment_loss.sum() + passed.codebook_loss.sum()).backward()
    for name, parameter in network.named_parameters():
        in_use = "quantizers." not in name or int(name.split("quantizers.")[1].split(".")[0]) < 4
        assert (parameter.grad is not None and bool(parameter.grad.isfinite().all()) and bool(parameter.grad.any())) == in_use, name


def test_each_item_of_a_batch_is_scheduled_alone(codec):
    audio = torch.stack([noise(codec.hop_length * 40, seed) for seed in range(2)])
    shares = [(0.4, 0.3, 0.3), (0.0, 0.5, 0.5)]
    with torch.inference_mode():
        batch = codec.network(audio, shares, torch.tensor([4, 2]))
        for item in range(2):
            single = codec.network(audio[item, None], shares[item : item + 1], (4, 2)[item])
            torch.testing.assert_close(batch.audio[item], single.audio[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(batch.commitment_loss[item], single.commitment_loss[0])


@pytest.mark.gpu
def test_a_gpu_gives_the_schedule_of_the_cpu_and_a_batch_that_of_its_items():
    audio = noise(24000)
    cpu, gpu = build(DAC), build(DAC, "cuda")
    expected, encoded = (each.encode(each.analyse(audio), point(ratios="training")).streams[0] for each in (cpu, gpu))
    assert expected.durations is not None
    assert encoded.durations is not None
    assert torch.equal(expected.durations, encoded.durations)
    assert (expected.tokens == encoded.tokens).float().mean() > 0.98  # other kernels round otherwise; close calls may flip
    decoded = gpu.decode(Encoded((expected,), len(audio)))
    torch.testing.assert_close(decoded, cpu.decode(Encoded((expected,), len(audio))), rtol=1e-3, atol=1e-4)
    with torch.inference_mode():
        levels = gpu.network.encode_levels(torch.stack([audio, noise(24000, 1)]).cuda())
        singles = gpu.network.encode_levels(audio[None].cuda())
        for batch, single in zip(levels, singles, strict=True):
            tokens = gpu.network.quantizer(batch).tokens[0], gpu.network.quantizer(single).tokens[0]
            assert torch.equal(*tokens)
