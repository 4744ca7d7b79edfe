"""The published codecs of transformers, and SNAC: their real loading code on tiny checkpoints of the real formats."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from bench import torchaudio_guard
from bench.audio import resample
from bench.bitstream import pack
from bench.codec import Codec, OperatingPoint
from bench.codecs.nn.dac import DACDecoder, DACEncoder
from bench.conformance import check_codec
from bench.errors import Unavailable, UserError
from bench.registry import codec_module
from tests import tiny_codecs
from tests.tiny_codecs import SNAC_CONFIG, noise

CPU = torch.device("cpu")


def codec_file(name: str) -> Any:
    return codec_module(name)


def broken_rules(codec: Codec, points: list[Any], longest_s: float = 3.0) -> list[Any]:
    """What a codec of random weights does not keep of the contract."""
    speech = noise(2 * codec.sample_rate, seed=2).numpy()
    return [check for check in check_codec(codec, points, speech, is_trained=False, longest_s=longest_s) if not check.passed]


# --- through transformers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """A residual codec: a tiny model of its class, and the class's own way to n_q codebooks and back."""

    name: str
    make: Callable[[], Any]
    tokens_of: Callable[[Any, torch.Tensor, int], torch.Tensor]
    audio_of: Callable[[Any, torch.Tensor], torch.Tensor]
    rate_field: str = "sampling_rate"


def semantic_family(name: str, make: Callable[[], Any]) -> Family:
    def tokens_of(model: Any, x: torch.Tensor, n_q: int) -> torch.Tensor:
        whole = F.pad(x, (0, -x.shape[-1] % model.config.hop_length))
        return model.quantizer.encode(embeddings_of(model, whole))[:n_q].transpose(0, 1)

    def embeddings_of(model: Any, x: torch.Tensor) -> torch.Tensor:
        meaning = model.encoder_semantic(model._extract_semantic_features(x).transpose(1, 2))
        sound = model.acoustic_encoder(x)
        if sound.shape[2] != meaning.shape[2]:
            sound = model.acoustic_encoder(F.pad(x, (model.pad, model.pad)))
        return model.fc(torch.cat([sound, meaning], dim=1).transpose(1, 2)).transpose(1, 2)

    return Family(name, make, tokens_of, lambda model, tokens: model.decode(tokens).audio_values, "sample_rate")


def dac_family(name: str, sample_rate: int, strides: tuple[int, ...], n_codebooks: int) -> Family:
    def tokens_of(model: Any, x: torch.Tensor, n_q: int) -> torch.Tensor:
        return model.encode(F.pad(x, (0, -x.shape[-1] % model.config.hop_length)), n_quantizers=n_q).audio_codes

    def make() -> Any:
        return tiny_codecs.dac(sample_rate, strides, n_codebooks)

    return Family(name, make, tokens_of, lambda model, tokens: model.decode(audio_codes=tokens).audio_values)


FAMILIES = (
    Family(
        "encodec_24k",
        tiny_codecs.encodec,
        lambda model, x, n_q: model.encode(x, None, bandwidth=0.75 * n_q).audio_codes[0],
        lambda model, tokens: model.decode(tokens[None], [None])[0],
    ),
    Family(
        "mimi",
        tiny_codecs.mimi,
        lambda model, x, n_q: model.encode(x, num_quantizers=n_q).audio_codes,
        lambda model, tokens: model.decode(tokens)[0],
    ),
    dac_family("dac_16k", 16000, (2, 4, 5, 8), 12),
    dac_family("dac_24k", 24000, (2, 4, 5, 8), 32),
    dac_family("dac_44k", 44100, (2, 4, 8, 8), 9),
    Family(
        "wavtokenizer",
        tiny_codecs.wavtokenizer,
        lambda model, x, n_q: model.encode(x).audio_codes,
        lambda model, tokens: model.decode(tokens).audio_values,
    ),
    semantic_family("xcodec", tiny_codecs.xcodec),
    semantic_family("higgs_v2", tiny_codecs.higgs_v2),
)


def own_points(codec: Codec, name: str) -> list[OperatingPoint]:
    """Those at the frame rate of the checkpoint."""
    rate = codec.sample_rate / codec.hop_length
    return [point for point in codec_file(name).POINTS.values() if point.frame_rate == pytest.approx(rate, rel=1e-9)]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def residual(request, tmp_path_factory) -> tuple[Family, Any, Path, Codec]:
    """A tiny model, the folder that it was saved to, and the codec that was loaded from there."""
    family: Family = request.param
    if family.name == "higgs_v2":
        torchaudio_guard.install()
        pytest.importorskip("torchaudio", reason="the model of Higgs Audio resamples with torchaudio")
    model, folder = family.make(), tmp_path_factory.mktemp(family.name)
    model.save_pretrained(folder)
    return family, model, folder, codec_file(family.name).load(str(folder), CPU)


@torch.inference_mode()
def test_each_point_is_the_model_asked_for_as_many_codebooks(residual):
    family, model, _, codec = residual
    samples = noise(2 * codec.sample_rate // 3 + 1)
    latent = codec.analyse(samples)
    assert len(latent.tokens.unique()) > 5
    for point in own_points(codec, family.name):
        encoded = codec.encode(latent, point)
        tokens = family.tokens_of(model, samples[None, None], point.n_q)
        assert torch.equal(encoded.streams[0].tokens, tokens[0])
        assert encoded.streams[0].num_frames == -(-len(samples) // codec.hop_length)
        expected = family.audio_of(model, tokens).flatten()[: len(samples)]
        decoded = codec.decode(encoded)
        assert torch.equal(decoded[: len(expected)], expected)
        assert not decoded[len(expected) :].any()
        assert len(decoded) - len(expected) <= 8  # DAC's transposed convolutions of stride 5 end early


def test_codecs_keep_the_contract(residual):
    family, _, _, codec = residual
    points = own_points(codec, family.name)
    assert not broken_rules(codec, points[:: max(1, len(points) - 1)])


@torch.inference_mode()
def test_a_batch_is_its_signals_one_by_one(residual):
    """Of equal lengths, which need no padding: what a padded batch makes of the shorter ones is each model's own affair."""
    family, model, _, codec = residual
    signals = [10 * noise(codec.sample_rate // 2 + 3, seed) for seed in (3, 4, 5)]
    most = len(codec.analyse(signals[0]).tokens)
    together = family.tokens_of(model, torch.stack(signals)[:, None], most)
    alone = [codec.analyse(signal).tokens for signal in signals]
    assert not torch.equal(alone[0], alone[1])
    assert all(torch.equal(tokens, one) for tokens, one in zip(together, alone, strict=True))
    heard = family.audio_of(model, together).reshape(3, -1)
    for audio, tokens in zip(heard, alone, strict=True):
        one = family.audio_of(model, tokens[None]).flatten()
        assert float((audio - one).abs().max()) < 1e-4 * float(one.abs().max())


@pytest.mark.slow
def test_codecs_keep_the_contract_at_every_point_and_for_a_minute(residual):
    family, _, _, codec = residual
    assert not broken_rules(codec, own_points(codec, family.name), longest_s=60.0)


def test_facts_are_the_models_own(residual):
    family, model, folder, codec = residual
    assert own_points(codec, family.name)
    assert codec.parameters == sum(parameter.numel() for parameter in model.parameters())
    (folder / "README.md").write_text("no weights", encoding="utf-8")
    assert codec_file(family.name).load(str(folder), CPU).weights_sha256 == codec.weights_sha256 != ""


def test_weights_must_fit_tensor_by_tensor(residual, tmp_path):
    family, _, folder, _ = residual
    tensors = load_file(folder / "model.safetensors")
    name = min(name for name in tensors if name.endswith("bias"))
    shutil.copy(folder / "config.json", tmp_path / "config.json")
    for changed, complaint in (
        ({key: value for key, value in tensors.items() if key != name}, "1 tensors missing"),
        (tensors | {"bottleneck.extra": torch.zeros(1)}, "1 tensors unknown"),
        (tensors | {name: torch.zeros(3, 3)}, "1 tensors of another shape"),
    ):
        save_file(changed, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(UserError, match=complaint):
            codec_file(family.name).load(str(tmp_path), CPU)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04not a safetensors file")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        codec_file(family.name).load(str(tmp_path), CPU)


def test_a_model_at_another_rate_is_refused(residual, tmp_path):
    family, _, folder, _ = residual
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {family.rate_field: 11025}), encoding="utf-8")
    shutil.copy(folder / "model.safetensors", tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=f"{family.rate_field} is 11025, this codec takes"):
        codec_file(family.name).load(str(tmp_path), CPU)


def test_encodec_reads_the_older_names_of_weight_norm(tmp_path):
    """Files from before torch's parametrisations say weight_g and weight_v."""
    tiny_codecs.encodec().save_pretrained(tmp_path)
    before = codec_file("encodec_24k").load(str(tmp_path), CPU).analyse(noise(4000)).tokens
    older = {
        name.replace("parametrizations.weight.original0", "weight_g").replace("parametrizations.weight.original1", "weight_v"): tensor
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    assert "encoder.layers.0.conv.weight_g" in older
    save_file(older, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(codec_file("encodec_24k").load(str(tmp_path), CPU).analyse(noise(4000)).tokens, before)


def test_a_checkpoint_of_wavtokenizer_has_one_frame_rate(tmp_path):
    tiny_codecs.wavtokenizer().save_pretrained(tmp_path)
    wavtokenizer = codec_file("wavtokenizer")
    codec = wavtokenizer.load(str(tmp_path), CPU)
    with pytest.raises(ValueError, match=r"40 frames/s, not 75"):
        codec.encode(codec.analyse(noise(4000)), wavtokenizer.POINTS["0.9kbps"])


@pytest.fixture(scope="module")
def encodec_48k(tmp_path_factory) -> tuple[Any, Path, Codec]:
    model, folder = tiny_codecs.encodec_48k(), tmp_path_factory.mktemp("encodec_48k")
    model.save_pretrained(folder)
    return model, folder, codec_file("encodec_48k").load(str(folder), CPU)


@torch.inference_mode()
def test_encodec_48k_is_the_stereo_model_fed_the_same_on_both_channels(encodec_48k):
    model, _, codec = encodec_48k
    samples = noise(2 * 47520 + 20001)  # three chunks, the last one short
    stereo, latent = samples.expand(1, 2, -1), codec.analyse(samples)
    for name, point in codec_file("encodec_48k").POINTS.items():
        codes, scales, short_by = model.encode(stereo, bandwidth=float(name.removesuffix("kbps")), return_dict=False)
        encoded = codec.encode(latent, point)
        sent = torch.cat(list(codes[:, 0]), dim=1)
        assert torch.equal(encoded.streams[0].tokens, sent[:, : sent.shape[1] - short_by])
        assert [round(struct.unpack("<f", packet)[0], 6) for packet in encoded.packets] == [round(float(scale), 6) for scale in scales]
        expected = model.decode(codes, scales, last_frame_pad_length=short_by)[0][0].mean(dim=0)[: len(samples)]
        assert torch.allclose(codec.decode(encoded), expected, atol=1e-5)


@torch.inference_mode()
def test_encodec_48k_has_the_tokens_of_a_batch_of_the_model(encodec_48k):
    model, _, codec = encodec_48k
    signals = [noise(2 * 47520 + 480, seed) for seed in (3, 4, 5)]  # two whole chunks; the model starts a third for what they cover
    codes, scales, _ = model.encode(torch.stack(signals)[:, None].expand(-1, 2, -1), bandwidth=24.0, return_dict=False)
    for number, signal in enumerate(signals):
        alone = codec.analyse(signal)
        assert torch.equal(alone.tokens, torch.cat(list(codes[:2, number]), dim=1))
        assert alone.scales == pytest.approx([float(scale[number]) for scale in scales[:2]], rel=1e-5)
    assert not torch.equal(codes[:, 0], codes[:, 1])


def test_encodec_48k_counts_the_loudness_of_each_second(encodec_48k):
    *_, codec = encodec_48k
    point = codec_file("encodec_48k").POINTS["3kbps"]
    packed = pack(codec.encode(codec.analyse(noise(48000)), point))
    assert packed.bits_tokens == 2 * 150 * 10 + 32


# the model's own encode() fails at 2 * 47520 + 100: it starts a third chunk for what the second has covered
@pytest.mark.parametrize(("num_samples", "chunks"), [(1, 1), (48000, 1), (48001, 2), (2 * 47520 + 100, 2), (2 * 47520 + 481, 3)])
def test_encodec_48k_starts_no_chunk_for_what_is_covered(encodec_48k, num_samples, chunks):
    *_, codec = encodec_48k
    encoded = codec.encode(codec.analyse(noise(num_samples)), codec_file("encodec_48k").POINTS["3kbps"])
    assert len(encoded.packets) == chunks
    assert torch.isfinite(codec.decode(encoded)).all()
    with pytest.raises(ValueError, match="do not fit"):
        codec.decode(replace(encoded, packets=(*encoded.packets, b"1234")))


def test_encodec_48k_keeps_the_contract(encodec_48k):
    *_, codec = encodec_48k
    points = list(codec_file("encodec_48k").POINTS.values())
    assert not broken_rules(codec, [points[0], points[-1]])


def test_the_two_encodecs_are_two_codecs(encodec_48k, tmp_path):
    _, folder, _ = encodec_48k
    with pytest.raises(UserError, match="sampling_rate is 48000, this codec takes 24000"):
        codec_file("encodec_24k").load(str(folder), CPU)
    tiny_codecs.encodec().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="sampling_rate is 24000, this codec takes 48000"):
        codec_file("encodec_48k").load(str(tmp_path), CPU)


def test_neucodec_hears_16_khz_and_speaks_24(tmp_path):
    torchaudio_guard.install()
    pytest.importorskip("torchaudio", reason="NeuCodec's feature extractor needs torchaudio")
    from transformers import NeuCodecFeatureExtractor

    model = tiny_codecs.neucodec()
    model.save_pretrained(tmp_path)
    neucodec = codec_file("neucodec")
    codec, (point,), samples = neucodec.load(str(tmp_path), CPU), neucodec.POINTS.values(), noise(20 * 480)
    heard = [resample(noise(20 * 480, seed).numpy(), 24000, 16000) for seed in (0, 1)]
    with torch.inference_mode():
        inputs = NeuCodecFeatureExtractor()(heard, sampling_rate=16000, return_tensors="pt")
        tokens = model.encode(**inputs).audio_codes
        expected = model.decode(tokens[:1]).audio_values.flatten()
    encoded = codec.encode(codec.analyse(samples), point)
    assert torch.equal(encoded.streams[0].tokens, tokens[0].long())
    assert torch.equal(codec.analyse(noise(20 * 480, 1)).tokens, tokens[1].long())  # a batch is its signals one by one
    assert encoded.streams[0].codebook_sizes == (65536,)
    assert torch.allclose(codec.decode(encoded), expected, atol=1e-6)
    assert not broken_rules(codec, [point])


def test_x_codec_2_equals_the_model_fed_by_its_own_extractor(tmp_path):
    torchaudio_guard.install()
    pytest.importorskip("torchaudio", reason="X-Codec 2's feature extractor needs torchaudio")
    from transformers import Xcodec2FeatureExtractor

    model = tiny_codecs.xcodec2()
    model.save_pretrained(tmp_path)
    xcodec2 = codec_file("xcodec2")
    codec, (point,), samples = xcodec2.load(str(tmp_path), CPU), xcodec2.POINTS.values(), noise(9001)
    with torch.inference_mode():
        inputs = Xcodec2FeatureExtractor()(samples.numpy(), sampling_rate=16000, return_tensors="pt")
        tokens = model.encode(**inputs).audio_codes
        expected = model.decode(tokens).audio_values.flatten()[: len(samples)]
    encoded = codec.encode(codec.analyse(samples), point)
    assert torch.equal(encoded.streams[0].tokens, tokens[0].long())
    assert encoded.streams[0].codebook_sizes == (65536,)
    assert torch.equal(codec.decode(encoded), expected)
    assert not broken_rules(codec, [point])


# --- DAC's release files -------------------------------------------------------------------------------------------------------


class ReleasedDAC(torch.nn.Module):
    """DAC under the names of its release files: our encoder and decoder, proven against the original, and a quantiser from the paper."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        strides = [2, 4, 5, 8]
        self.kwargs = {"encoder_dim": 4, "encoder_rates": strides, "decoder_dim": 32, "decoder_rates": strides[::-1]}
        self.kwargs |= {"n_codebooks": 3, "codebook_size": 32, "codebook_dim": 4, "sample_rate": 16000, "quantizer_dropout": 0.5}
        self.encoder, self.decoder = DACEncoder(4, strides), DACDecoder(64, 32, strides[::-1])
        self.codebooks = torch.nn.ModuleList(Codebook() for _ in range(3))
        for name, parameter in self.named_parameters():
            if name.endswith(("weight_g", "alpha")):  # so that a norm or an activation that is dropped or swapped shows
                parameter.data *= 1.0 + torch.rand(parameter.shape)

    def released_state_dict(self) -> dict[str, torch.Tensor]:
        return {name.replace("codebooks.", "quantizer.quantizers."): tensor for name, tensor in self.state_dict().items()}

    @torch.inference_mode()
    def round_trip(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [3, F] and audio [T'] of samples [T]."""
        residual = self.encoder(F.pad(samples, (0, -len(samples) % 320))[None])
        total, rows = torch.zeros_like(residual), []
        for codebook in self.codebooks:
            chosen, tokens = codebook(residual)
            residual, total = residual - chosen, total + chosen
            rows.append(tokens[0])
        return torch.stack(rows), self.decoder(total)[0]


class Codebook(torch.nn.Module):
    """Nearest entry by direction in a narrow space (Kumar et al., 2023, section 3.3)."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj, self.out_proj = Projection(64, 4), Projection(4, 64)
        self.codebook = torch.nn.Embedding(32, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        entries = F.normalize(self.codebook.weight, dim=1)
        tokens = torch.einsum("bdf,kd->bkf", F.normalize(self.in_proj(x), dim=1), entries).argmax(dim=1)
        return self.out_proj(self.codebook(tokens).mT), tokens


class Projection(torch.nn.Module):
    """A weight-normed convolution of width 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight_v = torch.nn.Parameter(torch.randn(outputs, inputs, 1))
        self.weight_g = torch.nn.Parameter(torch.rand(outputs, 1, 1))
        self.bias = torch.nn.Parameter(torch.randn(outputs) * 0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.weight_v.square().sum(dim=(1, 2), keepdim=True).sqrt()
        return F.conv1d(x, self.weight_g * self.weight_v / norm, self.bias)


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> tuple[ReleasedDAC, Path]:
    model = ReleasedDAC()
    path = tmp_path_factory.mktemp("release") / "weights_16khz.pth"
    torch.save({"state_dict": model.released_state_dict(), "metadata": {"kwargs": model.kwargs}}, path)
    return model, path


def test_dac_reads_the_authors_release_file(released):
    model, path = released
    codec, samples = codec_file("dac_16k").load(str(path), CPU), 10 * noise(16000, seed=3)
    tokens, expected = model.round_trip(samples)
    encoded = codec.encode(codec.analyse(samples), codec_file("dac_16k").point(n_q=3))
    assert torch.equal(encoded.streams[0].tokens, tokens)
    assert len(tokens.unique()) > 10
    error = codec.decode(encoded)[: len(expected)] - expected[: len(samples)]
    assert float(error.abs().max()) < 1e-3 * float(expected.abs().max())


def test_a_release_file_must_be_one(released, tmp_path):
    model, path = released
    with pytest.raises(UserError, match="runs at 16000 Hz, this codec at 24000"):
        codec_file("dac_24k").load(str(path), CPU)
    other, dac = tmp_path / "other.pth", codec_file("dac_16k")
    torch.save({"state_dict": model.released_state_dict()}, other)
    with pytest.raises(UserError, match="'metadata' is missing"):
        dac.load(str(other), CPU)
    lacking = {name: tensor for name, tensor in model.released_state_dict().items() if name != "decoder.model.0.bias"}
    torch.save({"state_dict": lacking, "metadata": {"kwargs": model.kwargs}}, other)
    with pytest.raises(UserError, match=r"1 keys missing \(first: decoder.conv1.bias\)"):
        dac.load(str(other), CPU)
    torch.save({"state_dict": Path("picklable, but no tensor")}, other)
    with pytest.raises(UserError, match="not a readable checkpoint of plain tensors"):
        dac.load(str(other), CPU)


# --- SNAC ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def snac_folder(tmp_path_factory) -> Path:
    return tiny_codecs.save_snac(tmp_path_factory.mktemp("snac"))


def test_snac_sends_three_streams_at_three_rates(snac_folder):
    snac = codec_file("snac")
    codec, (point,), samples = snac.load(str(snac_folder), CPU), snac.POINTS.values(), noise(10 * 24000)
    encoded = codec.encode(codec.analyse(samples), point)
    with torch.inference_mode():
        expected = tiny_codecs.snac().encode(samples[None, None])
    assert [stream.num_frames for stream in encoded.streams] == [118, 236, 472]
    assert all(torch.equal(stream.tokens, tokens) for stream, tokens in zip(encoded.streams, expected, strict=True))
    assert sum(stream.num_frames for stream in encoded.streams) / 10 == pytest.approx(point.frame_rate, rel=0.01)


def test_snac_keeps_the_contract_although_its_decoder_is_random(snac_folder):
    codec, points = codec_file("snac").load(str(snac_folder), CPU), list(codec_file("snac").POINTS.values())
    assert not broken_rules(codec, points)
    state = torch.random.get_rng_state()
    codec.decode(codec.encode(codec.analyse(noise(2000)), points[0]))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_snac_of_another_shape_is_refused(snac_folder, tmp_path):
    shutil.copytree(snac_folder, tmp_path, dirs_exist_ok=True)
    for change, complaint in (({"sampling_rate": 44100}, "44100 Hz"), ({"vq_strides": [8, 4, 2, 1]}, "strides"), ({"width": 1}, "width")):
        (tmp_path / "config.json").write_text(json.dumps(SNAC_CONFIG | change), encoding="utf-8")
        with pytest.raises(UserError, match=complaint):
            codec_file("snac").load(str(tmp_path), CPU)


# --- where weights come from ---------------------------------------------------------------------------------------------------


@pytest.fixture
def empty_cache(tmp_path, monkeypatch) -> Path:
    """A hub cache with nothing in it, no downloads yet, and no network asked for."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "bench"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub"


@pytest.mark.parametrize("name", [*(family.name for family in FAMILIES), "encodec_48k", "neucodec", "snac", "xcodec2"])
def test_missing_weights_are_named_with_the_command_that_gets_them(name, empty_cache):
    weights = codec_file(name).weights if name.startswith("dac") else codec_file(name).WEIGHTS
    need = codec_file(name).needs(None)[-1]
    assert not need.available
    assert need.how == f"hf download {weights.repo} {' '.join(weights.files)} --revision {weights.revision}"
    assert len(weights.revision) == 40 or weights.revision == "main"  # where no commit of the hub is known to us
    assert need.size_mb > 50
    assert need.licence
    with pytest.raises(Unavailable, match=f"hf download {weights.repo}"):
        weights.folder(None, name)


def test_the_hubs_cache_is_found(empty_cache):
    encodec, model = codec_file("encodec_24k"), tiny_codecs.encodec()
    model.save_pretrained(empty_cache / "models--facebook--encodec_24khz" / "snapshots" / encodec.WEIGHTS.revision)
    for checkpoint in (None, "facebook/encodec_24khz"):
        assert encodec.needs(checkpoint)[0].available
        assert encodec.load(checkpoint, CPU).parameters == sum(parameter.numel() for parameter in model.parameters())


def test_another_repository_is_named_with_its_revision(empty_cache):
    encodec, checkpoint = codec_file("encodec_24k"), "hf:me/finetuned@" + "0" * 40
    assert encodec.needs(checkpoint)[0].how == f"hf download me/finetuned config.json model.safetensors --revision {'0' * 40}"
    with pytest.raises(Unavailable, match="hf download me/finetuned"):
        encodec.load(checkpoint, CPU)


def test_a_folder_without_weights_says_what_it_lacks(tmp_path):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert codec_file("mimi").needs(str(tmp_path))[0].how == f"put config.json and model.safetensors into {tmp_path}"
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        codec_file("mimi").load(str(tmp_path), CPU)


def test_a_release_by_url_is_pinned_by_its_hash(empty_cache):
    url = "https://github.com/descriptinc/descript-audio-codec/releases/download/0.0.5/weights_16khz.pth#sha256=" + "a" * 64
    (need,) = codec_file("dac_16k").needs(url)
    assert not need.available
    assert need.how.startswith("curl ")
    with pytest.raises(Unavailable, match="weights_16khz"):
        codec_file("dac_16k").load(url, CPU)
