"""Adapters of published codecs: their real loading code on tiny checkpoints of the real formats, and real speech where weights are here."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from pystoi import stoi
from safetensors.torch import load_file, save_file

from bench import audio, bitstream, registry
from bench.codec import Codec, check_audio
from bench.codecs.adapters import published
from bench.codecs.adapters.points import pick
from bench.codecs.nn.dac import DACDecoder, DACEncoder
from bench.conformance import check_codec
from bench.errors import Unavailable, UserError

CPU = torch.device("cpu")
CLASSICAL = ("pcm", "opus", "speex", "amr_nb", "codec2")


def module(name: str) -> ModuleType:
    return importlib.import_module(f"bench.codecs.{name}")


def noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))


def skip_unless_available(name: str) -> None:
    for need in module(name).needs(None):
        if not need.available:
            pytest.skip(f"needs {need.name}: {need.how}")


# --- tiny checkpoints ----------------------------------------------------------------------------------------------------------


def randomise(model: torch.nn.Module) -> torch.nn.Module:
    """Codebooks start at zero in transformers; random ones give tokens that differ."""
    generator = torch.Generator().manual_seed(1)
    for name, buffer in model.named_buffers():
        if name.endswith(("embed", "embed_sum")):
            buffer.copy_(torch.randn(buffer.shape, generator=generator))
    return model.eval()


def tiny_encodec(**changes: Any) -> Any:
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_filters": 2, "hidden_size": 8, "codebook_dim": 8, "num_residual_layers": 1} | changes
    return randomise(EncodecModel(EncodecConfig(**sizes)))


def tiny_mimi() -> Any:
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(0)
    config = MimiConfig(
        num_filters=2,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        codebook_dim=8,
        codebook_size=64,
        vector_quantization_hidden_dimension=8,
        upsample_groups=16,
    )
    return randomise(MimiModel(config))


def tiny_dac(sample_rate: int, strides: tuple[int, ...], n_codebooks: int) -> Any:
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=32,
        n_codebooks=n_codebooks,
        codebook_size=64,
        codebook_dim=4,
        sampling_rate=sample_rate,
        downsampling_ratios=list(strides),
        upsampling_ratios=list(strides[::-1]),
    )
    return DacModel(config).eval()


def tiny_snac() -> Any:
    import snac

    torch.manual_seed(0)
    return snac.SNAC(**SNAC_CONFIG).eval()


SNAC_CONFIG: dict[str, Any] = {
    "sampling_rate": 24000,
    "encoder_dim": 2,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 32,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 64,
    "codebook_dim": 4,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}


@dataclass(frozen=True)
class Tiny:
    """One residual codec: how to make a small model of its class, and its class's own way from audio to tokens and back."""

    name: str
    make: Callable[[], Any]
    tokens_of: Callable[[Any, torch.Tensor, int], torch.Tensor]
    audio_of: Callable[[Any, torch.Tensor], torch.Tensor]


def dac_tokens(model: Any, x: torch.Tensor, n_q: int) -> torch.Tensor:
    return model.encode(torch.nn.functional.pad(x, (0, -x.shape[-1] % model.config.hop_length)), n_quantizers=n_q).audio_codes


def dac_audio(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    return model.decode(audio_codes=tokens).audio_values


RESIDUAL = (
    Tiny(
        "encodec_24k",
        tiny_encodec,
        lambda model, x, n_q: model.encode(x, None, bandwidth=n_q * 0.75).audio_codes[0],
        lambda model, tokens: model.decode(tokens[None], [None])[0],
    ),
    Tiny(
        "mimi",
        tiny_mimi,
        lambda model, x, n_q: model.encode(x, num_quantizers=n_q).audio_codes,
        lambda model, tokens: model.decode(tokens)[0],
    ),
    Tiny("dac_16k", lambda: tiny_dac(16000, (2, 4, 5, 8), 12), dac_tokens, dac_audio),
    Tiny("dac_24k", lambda: tiny_dac(24000, (2, 4, 5, 8), 32), dac_tokens, dac_audio),
    Tiny("dac_44k", lambda: tiny_dac(44100, (2, 4, 8, 8), 9), dac_tokens, dac_audio),
)


@pytest.fixture(scope="module", params=RESIDUAL, ids=lambda tiny: tiny.name)
def residual(request, tmp_path_factory) -> tuple[Tiny, Any, Path, Codec]:
    """A tiny model, the folder that it was saved to, and the adapter's codec loaded from there."""
    tiny: Tiny = request.param
    model, folder = tiny.make(), tmp_path_factory.mktemp(tiny.name)
    model.save_pretrained(folder)
    return tiny, model, folder, module(tiny.name).load(str(folder), CPU)


@torch.inference_mode()
def test_points_equal_the_model_asked_for_as_many_codebooks(residual):
    tiny, model, _, codec = residual
    samples = noise(2 * codec.sample_rate // 3 + 1)
    latent = codec.analyse(samples)
    for point in module(tiny.name).POINTS.values():
        encoded = codec.encode(latent, point)
        tokens = tiny.tokens_of(model, samples[None, None], point.n_q)
        assert torch.equal(encoded.streams[0].tokens, tokens[0])
        assert encoded.streams[0].num_frames == -(-len(samples) // codec.hop_length)
        expected = tiny.audio_of(model, tokens).flatten()[: len(samples)]
        decoded = codec.decode(encoded)
        assert torch.equal(decoded[: len(expected)], expected)
        assert not decoded[len(expected) :].any()
        assert len(decoded) - len(expected) <= 8  # DAC's transposed convolutions of stride 5 end early


def test_residual_codecs_conform(residual):
    tiny, _, _, codec = residual
    points = list(module(tiny.name).POINTS.values())
    checks = check_codec(codec, [points[0], points[-1]], noise(2 * codec.sample_rate, seed=2).numpy(), is_trained=False, longest_s=3.0)
    assert not [check for check in checks if not check.passed]


@pytest.mark.slow
def test_residual_codecs_take_a_minute(residual):
    tiny, _, _, codec = residual
    points = list(module(tiny.name).POINTS.values())
    checks = check_codec(codec, points, noise(2 * codec.sample_rate, seed=2).numpy(), is_trained=False)
    assert not [check for check in checks if not check.passed]


def test_rates_are_the_models_own(residual):
    tiny, model, folder, codec = residual
    for point in module(tiny.name).POINTS.values():
        assert point.frame_rate == pytest.approx(codec.sample_rate / codec.hop_length, rel=1e-9)
    assert codec.parameters == sum(parameter.numel() for parameter in model.parameters())
    before = codec.weights_sha256
    (folder / "README.md").write_text("no weight", encoding="utf-8")
    assert module(tiny.name).load(str(folder), CPU).weights_sha256 == before != ""


def test_a_checkpoint_must_fit_tensor_by_tensor(residual, tmp_path):
    tiny, _, folder, _ = residual
    tensors = load_file(folder / "model.safetensors")
    name = sorted(name for name in tensors if name.startswith("decoder"))[0]
    for changed, complaint in (
        ({key: value for key, value in tensors.items() if key != name}, "1 tensors missing"),
        (tensors | {"bottleneck.extra": torch.zeros(1)}, "1 tensors unknown"),
        (tensors | {name: torch.zeros(3, 3)}, "1 tensors of another shape"),
    ):
        shutil.copy(folder / "config.json", tmp_path / "config.json")
        save_file(changed, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(UserError, match=complaint):
            module(tiny.name).load(str(tmp_path), CPU)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04not a safetensors file")
    with pytest.raises(UserError, match="safetensors"):
        module(tiny.name).load(str(tmp_path), CPU)


def test_a_model_at_another_rate_is_refused(residual, tmp_path):
    tiny, _, folder, _ = residual
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"sampling_rate": 11025}), encoding="utf-8")
    shutil.copy(folder / "model.safetensors", tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="sampling_rate is 11025"):
        module(tiny.name).load(str(tmp_path), CPU)


def test_encodec_reads_the_names_of_the_published_file(tmp_path):
    """facebook/encodec_24khz was saved when torch called a weight's two parts weight_g and weight_v."""
    tiny_encodec().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    codec = module("encodec_24k").load(str(tmp_path), CPU)
    older = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
    renamed = {}
    for name, tensor in tensors.items():
        for new, old in older.items():
            name = name.replace(new, old)
        renamed[name] = tensor
    assert any(name.endswith("weight_g") for name in renamed)
    save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again = module("encodec_24k").load(str(tmp_path), CPU)
    assert torch.equal(codec.analyse(noise(4000)).tokens, again.analyse(noise(4000)).tokens)


def test_encodec_at_48_khz_is_another_codec(tmp_path):
    tiny_encodec(sampling_rate=48000, audio_channels=2, normalize=True, chunk_length_s=1.0, overlap=0.01).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="sampling_rate is 48000, this codec takes 24000"):
        module("encodec_24k").load(str(tmp_path), CPU)


# --- DAC's release files -------------------------------------------------------------------------------------------------------


class ReleasedDAC(torch.nn.Module):
    """DAC under the names of its release files, from our own encoder and decoder and a quantiser written from the paper."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        strides = [2, 4, 5, 8]
        self.kwargs = {"encoder_dim": 4, "encoder_rates": strides, "decoder_dim": 32, "decoder_rates": strides[::-1]}
        self.kwargs |= {"n_codebooks": 3, "codebook_size": 32, "codebook_dim": 4, "sample_rate": 16000, "quantizer_dropout": 0.5}
        self.encoder, self.decoder = DACEncoder(4, strides), DACDecoder(64, 32, strides[::-1])
        self.quantizer = torch.nn.Module()
        self.quantizer.quantizers = torch.nn.ModuleList(Codebook() for _ in range(3))
        for name, tensor in self.named_parameters():
            if name.endswith(("weight_g", "alpha")):  # so that a norm or an activation that is dropped or swapped shows
                tensor.data *= 0.7 + 0.6 * torch.rand(tensor.shape)

    @torch.inference_mode()
    def round_trip(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [1, 3, F] and audio [T'] of samples [T]."""
        residual = self.encoder(torch.nn.functional.pad(samples, (0, -len(samples) % 320))[None])
        total, rows = torch.zeros_like(residual), []
        for codebook in self.quantizer.quantizers:
            chosen, tokens = codebook(residual)
            residual, total = residual - chosen, total + chosen
            rows.append(tokens)
        return torch.stack(rows, dim=1), self.decoder(total)[0]


class Codebook(torch.nn.Module):
    """Nearest entry by direction in a narrow space (Kumar et al., 2023, section 3.3)."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj, self.out_proj = Projection(64, 4), Projection(4, 64)
        self.codebook = torch.nn.Embedding(32, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        narrow = torch.nn.functional.normalize(self.in_proj(x), dim=1)
        entries = torch.nn.functional.normalize(self.codebook.weight, dim=1)
        tokens = torch.einsum("bdf,kd->bkf", narrow, entries).argmax(dim=1)
        return self.out_proj(self.codebook(tokens).mT), tokens


class Projection(torch.nn.Module):
    """A weight-normed convolution of width 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight_v = torch.nn.Parameter(torch.randn(outputs, inputs, 1))
        self.weight_g = torch.nn.Parameter(torch.rand(outputs, 1, 1))
        self.bias = torch.nn.Parameter(torch.randn(outputs) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.weight_v.square().sum(dim=(1, 2), keepdim=True).sqrt()
        return torch.nn.functional.conv1d(x, self.weight_g * self.weight_v / norm, self.bias)


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> tuple[ReleasedDAC, Path]:
    model = ReleasedDAC()
    path = tmp_path_factory.mktemp("release") / "weights_16khz.pth"
    torch.save({"state_dict": model.state_dict(), "metadata": {"kwargs": model.kwargs}}, path)
    return model, path


def test_dac_reads_the_authors_release_file(released):
    model, path = released
    codec = module("dac_16k").load(str(path), CPU)
    samples = noise(8000, seed=3)
    tokens, expected = model.round_trip(samples)
    encoded = codec.encode(codec.analyse(samples), pick_n_q("dac_16k", 2).__class__("3q", 50.0, 3))
    assert torch.equal(encoded.streams[0].tokens, tokens[0])
    assert len(encoded.streams[0].tokens.unique()) > 10
    torch.testing.assert_close(codec.decode(encoded)[: len(expected)], expected[: len(samples)], rtol=1e-4, atol=1e-5)
    assert codec.parameters > 0


def test_a_release_file_must_be_one(released, tmp_path):
    model, path = released
    with pytest.raises(UserError, match="runs at 16000 Hz, this codec at 24000"):
        module("dac_24k").load(str(path), CPU)
    other = tmp_path / "other.pth"
    torch.save({"state_dict": model.state_dict()}, other)
    with pytest.raises(UserError, match="'metadata' is missing"):
        module("dac_16k").load(str(other), CPU)
    lacking = {name: tensor for name, tensor in model.state_dict().items() if name != "decoder.model.0.bias"}
    torch.save({"state_dict": lacking, "metadata": {"kwargs": model.kwargs}}, other)
    with pytest.raises(UserError, match=r"1 keys missing \(first: decoder.conv1.bias\)"):
        module("dac_16k").load(str(other), CPU)
    torch.save({"state_dict": Path("a picklable that is no tensor")}, other)
    with pytest.raises(UserError, match="not a readable checkpoint of plain tensors"):
        module("dac_16k").load(str(other), CPU)


def pick_n_q(name: str, n_q: int) -> Any:
    return module(name).point(n_q=n_q)


# --- SNAC ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def snac_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("snac")
    (folder / "config.json").write_text(json.dumps(SNAC_CONFIG), encoding="utf-8")
    torch.save(tiny_snac().state_dict(), folder / "pytorch_model.bin")
    return folder


def test_snac_gives_three_streams_at_three_rates(snac_folder):
    codec, (point,) = module("snac").load(str(snac_folder), CPU), module("snac").POINTS.values()
    samples = noise(24000)
    encoded = codec.encode(codec.analyse(samples), point)
    assert [stream.num_frames for stream in encoded.streams] == [12, 24, 48]
    with torch.inference_mode():
        expected = tiny_snac().encode(samples[None, None])
    assert all(torch.equal(stream.tokens, tokens) for stream, tokens in zip(encoded.streams, expected, strict=True))
    per_second = sum(stream.num_frames for stream in encoded.streams) * 2048 * 12 / 24576  # of the padded second, 24,576 samples
    assert point.frame_rate == pytest.approx(per_second / 1.0 * 24000 / 24576 * 24576 / 24576, rel=0.03)


def test_snac_conforms_although_its_decoder_is_random(snac_folder):
    codec, points = module("snac").load(str(snac_folder), CPU), list(module("snac").POINTS.values())
    checks = check_codec(codec, points, noise(48000).numpy(), is_trained=False, longest_s=3.0)
    assert not [check for check in checks if not check.passed]
    state = torch.random.get_rng_state()
    codec.decode(codec.encode(codec.analyse(noise(2000)), points[0]))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_snac_of_another_kind_is_refused(snac_folder, tmp_path):
    shutil.copytree(snac_folder, tmp_path, dirs_exist_ok=True)
    for change, complaint in (({"sampling_rate": 44100}, "44100 Hz"), ({"vq_strides": [8, 4, 2, 1]}, "strides"), ({"width": 1}, "width")):
        (tmp_path / "config.json").write_text(json.dumps(SNAC_CONFIG | change), encoding="utf-8")
        with pytest.raises(UserError, match=complaint):
            module("snac").load(str(tmp_path), CPU)


# --- where weights come from ---------------------------------------------------------------------------------------------------

DOWNLOADED = ("encodec_24k", "mimi", "dac_16k", "dac_24k", "dac_44k", "snac")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch) -> Path:
    """A hub cache and a download cache with nothing in them, and no network asked for."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "bench"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "hub"


@pytest.mark.parametrize("name", DOWNLOADED)
def test_missing_weights_are_named_with_the_command_that_gets_them(name, empty_cache):
    weights = module(name).WEIGHTS
    (need,) = module(name).needs(None)
    assert not need.available
    assert need.how == f"hf download {weights.repo} {' '.join(weights.files)} --revision {weights.revision}"
    assert len(weights.revision) == 40
    assert need.size_mb > 50
    assert need.licence
    with pytest.raises(Unavailable, match=f"hf download {weights.repo}"):
        module(name).load(None, CPU)


def test_the_hubs_cache_is_found(empty_cache):
    encodec = module("encodec_24k")
    snapshot = empty_cache / "models--facebook--encodec_24khz" / "snapshots" / encodec.WEIGHTS.revision
    snapshot.mkdir(parents=True)
    model = tiny_encodec()
    model.save_pretrained(snapshot)
    for checkpoint in (None, "facebook/encodec_24khz"):
        assert encodec.needs(checkpoint)[0].available
        assert encodec.load(checkpoint, CPU).parameters == sum(parameter.numel() for parameter in model.parameters())
    other = "hf:me/finetuned@" + "0" * 40
    assert encodec.needs(other)[0].how == f"hf download me/finetuned config.json model.safetensors --revision {'0' * 40}"
    with pytest.raises(Unavailable, match="hf download me/finetuned"):
        encodec.load(other, CPU)


def test_a_folder_without_weights_says_what_it_lacks(tmp_path):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert module("mimi").needs(str(tmp_path))[0].how == f"put config.json and model.safetensors into {tmp_path}"
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        module("mimi").load(str(tmp_path), CPU)


def test_a_dac_release_by_url_is_pinned_by_hash(empty_cache):
    url = "https://github.com/descriptinc/descript-audio-codec/releases/download/0.0.5/weights_16khz.pth#sha256=" + "a" * 64
    (need,) = module("dac_16k").needs(url)
    assert not need.available
    assert need.how.startswith("curl ")
    with pytest.raises(Unavailable, match="weights_16khz"):
        module("dac_16k").load(url, CPU)


def test_published_takes_no_repository_without_a_revision():
    weights = published.Published("me/model", "main", ("a", "b"), 1, "MIT")
    assert weights.need("hf:me/other").kind == "weights"
    assert not weights.need("hf:me/other").available  # read as a folder of that name


# --- points --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "point"),
    [
        ("opus", {"bitrate": 12000}, "12kbps"),
        ("amr_nb", {"bitrate": 4750}, "4.75kbps"),
        ("speex", {"quality": 0}, "4kbps"),
        ("pcm", {"bits": 16, "frame_rate": 8000}, "16bit_8khz"),
        ("encodec_24k", {"n_q": 8}, "6kbps"),
        ("dac_44k", {"n_q": 9, "frame_rate": 86.13}, "9q"),
        ("lyra", {"n_q": 46}, "9.2kbps"),
    ],
)
def test_a_sweep_finds_its_point(name, settings, point):
    assert module(name).point(**settings) is module(name).POINTS[point]


def test_a_sweep_that_fits_no_point_hears_the_choices():
    opus, pcm = module("opus"), module("pcm")
    with pytest.raises(ValueError, match="bitrate 7000 is not a choice; bitrate is one of 6000, 8000, 12000, 16000, 24000"):
        opus.point(bitrate=7000)
    with pytest.raises(ValueError, match="setting 'bitrat' unknown; did you mean 'bitrate'"):
        opus.point(bitrat=6000)
    with pytest.raises(ValueError, match="3 points have these settings: 16bit_24khz, 16bit_16khz, 16bit_8khz"):
        pcm.point(bits=16)
    with pytest.raises(ValueError, match="5 points"):
        pick(opus.POINTS, {})


# --- classical coders on real speech -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(shared) -> list[np.ndarray]:
    """Four real utterances, float32 at 16 kHz, of speakers that differ."""
    lines = (shared / "data/eval_en/manifest.jsonl").read_text(encoding="utf-8").splitlines()[::60][:4]
    paths = [shared / "data/eval_en" / json.loads(line)["path"] for line in lines]
    return [audio.resample(*audio.read(path), 16000) for path in paths]


def mean_stoi(codec: Codec, point: Any, clips: list[np.ndarray]) -> tuple[float, float]:
    """STOI at the codec's rate or 16 kHz, whichever is less, and measured kbps."""
    rate = min(codec.sample_rate, 16000)
    scores, bits, seconds = [], 0, 0.0
    for clip in clips:
        samples = check_audio(torch.from_numpy(audio.resample(clip, 16000, codec.sample_rate)))
        packed = bitstream.pack(codec.encode(codec.analyse(samples), point))
        decoded = codec.decode(bitstream.unpack(packed.data)).numpy()
        degraded = audio.fit_length(audio.resample(decoded, codec.sample_rate, rate), len(audio.resample(clip, 16000, rate)))
        scores.append(stoi(audio.resample(clip, 16000, rate), degraded, rate))
        bits, seconds = bits + packed.bits_tokens, seconds + len(clip) / 16000
    return float(np.mean(scores)), bits / seconds / 1000


@pytest.mark.parametrize(
    ("name", "points", "least"),
    [
        ("opus", ["6kbps", "12kbps", "24kbps"], [0.89, 0.96, 0.985]),
        ("speex", ["6kbps", "10kbps", "16.8kbps"], [0.85, 0.92, 0.96]),
        ("amr_nb", ["4.75kbps", "7.4kbps", "12.2kbps"], [0.89, 0.93, 0.96]),
        ("codec2", ["0.7kbps", "1.2kbps", "3.2kbps"], [0.68, 0.74, 0.80]),
        ("pcm", ["8bit_24khz", "12bit_24khz"], [0.97, 0.999]),
    ],
)
def test_more_bits_sound_better(name, points, least, clips):
    skip_unless_available(name)
    codec = module(name).load(None, CPU)
    scores = [mean_stoi(codec, module(name).POINTS[point], clips) for point in points]
    assert [score for score, _ in scores] == sorted(score for score, _ in scores)
    assert all(score > bound for (score, _), bound in zip(scores, least, strict=True)), scores
    if name != "pcm":
        for (_, kbps), point in zip(scores, points, strict=True):
            assert kbps == pytest.approx(float(point.removesuffix("kbps")), rel=0.13), point  # Opus aims at its rate, AMR rounds to bytes


@pytest.mark.parametrize("name", ["reference", *CLASSICAL])
def test_coders_without_weights_conform(name):
    skip_unless_available(name)
    codec = module(name).load(None, CPU)
    rate = codec.sample_rate or 16000
    points = list(module(name).POINTS.values())
    corpus = Path(registry.__file__).parent / "corpus/audio"
    speech = np.concatenate([audio.resample(*audio.read(corpus / f"{clip}.flac"), rate) for clip in ("en-01", "en-05")])
    checks = check_codec(codec, points[:2] + points[-1:], speech, longest_s=5.0)
    assert not [check for check in checks if not check.passed]


def test_pcm_noise_is_what_its_bits_say(clips):
    """Uniform rounding of b bits leaves noise of step^2 / 12: 6.02 dB a bit."""
    pcm, samples = module("pcm"), torch.from_numpy(audio.resample(clips[0], 16000, 24000))
    codec = pcm.load(None, CPU)
    for bits in (8, 12):
        encoded = codec.encode(samples, pcm.POINTS[f"{bits}bit_24khz"])
        assert bitstream.pack(encoded).bits_tokens == bits * len(samples) + 8
        error = codec.decode(encoded) - samples
        assert 10 * np.log10(float(error.square().mean())) == pytest.approx(20 * np.log10(2.0 ** (1 - bits)) - 10 * np.log10(12), abs=0.5)


def test_opus_packets_are_opus(clips):
    """The first byte of each tells 20 ms, mono (RFC 6716, section 3.1)."""
    codec = module("opus").load(None, CPU)
    encoded = codec.encode(torch.from_numpy(audio.resample(clips[0], 16000, 24000)), module("opus").POINTS["12kbps"])
    durations_ms = {configuration: (10, 20, 40, 60)[configuration % 4] for configuration in range(12)}
    durations_ms |= {configuration: (10, 20)[configuration % 2] for configuration in range(12, 16)}
    for packet in encoded.packets:
        configuration, is_stereo, code = packet[0] >> 3, packet[0] >> 2 & 1, packet[0] & 3
        assert (durations_ms[configuration], is_stereo, code) == (20, 0, 0)


def test_amr_frames_hold_the_speech_bits_and_no_more(clips):
    codec = module("amr_nb").load(None, CPU)
    for point in module("amr_nb").POINTS.values():
        encoded = codec.encode(torch.from_numpy(audio.resample(clips[0], 16000, 8000)), point)
        assert {len(packet) for packet in encoded.packets} == {-(-int(point.options["bitrate"]) // 50 // 8) if False else int(np.ceil(point.options["bitrate"] / 50 / 8))}


def test_a_missing_encoder_is_named(monkeypatch):
    monkeypatch.setattr("av.codecs_available", {"opus"})
    (need,) = module("speex").needs(None)
    assert not need.available
    assert "av<17" in need.how


# --- Lyra: the real weights ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lyra(shared) -> Codec:
    pytest.importorskip("ai_edge_litert", reason="Lyra runs on ai-edge-litert")
    return module("lyra").load(str(shared / "data/weights/lyra"), CPU)


def test_lyra_on_real_speech(lyra, clips):
    points = module("lyra").POINTS
    scores = [mean_stoi(lyra, point, clips) for point in points.values()]
    assert [score for score, _ in scores] == sorted(score for score, _ in scores)
    assert scores[0][0] > 0.85
    for (_, kbps), point in zip(scores, points, strict=True):
        assert kbps == pytest.approx(float(point.removesuffix("kbps")), rel=0.01)
    assert 1e6 < lyra.parameters < 2e6


def test_lyra_conforms(lyra, clips):
    checks = check_codec(lyra, list(module("lyra").POINTS.values()), np.concatenate(clips[:1]), longest_s=3.0)
    assert not [check for check in checks if not check.passed]


def test_lyra_tokens_are_the_quantisers_for_fewer_codebooks(lyra, clips, shared):
    """The quantiser, asked for 16 codebooks, gives the first 16 of all 46."""
    from ai_edge_litert.interpreter import Interpreter

    weights = shared / "data/weights/lyra"
    encoder = Interpreter(str(weights / "soundstream_encoder.tflite"), num_threads=1).get_signature_runner()
    quantiser = Interpreter(str(weights / "quantizer.tflite"), num_threads=1).get_signature_runner("encode")
    tokens = lyra.analyse(torch.from_numpy(clips[0][:3200])).tokens.numpy()
    for frame, block in enumerate(clips[0][:3200].reshape(10, 1, 320)):
        features = encoder(input_audio=block)["output_0"]
        few = quantiser(input_frames=features, num_quantizers=np.int32(16))["output_0"].ravel()
        assert np.array_equal(few[:16], tokens[:16, frame])
        assert (few[16:] == -1).all()


def test_lyra_says_where_its_weights_are(empty_cache):
    needs = module("lyra").needs(None)
    assert not needs[1].available
    assert needs[1].how.count("curl ") == 3
    with pytest.raises(Unavailable, match="soundstream_encoder"):
        module("lyra").load(None, CPU)


# --- NeMo ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nemo_file(tmp_path_factory) -> Path:
    """A tiny LFSC, written by NeMo's own save_to."""
    from bench import torchaudio_guard

    torchaudio_guard.install()
    pytest.importorskip("nemo.collections.tts", reason="needs nemo_toolkit[asr]")
    from nemo.collections.tts.models import AudioCodecModel
    from omegaconf import OmegaConf

    modules = "nemo.collections.tts.modules.audio_codec_modules."
    losses = "nemo.collections.tts.losses.audio_codec_loss."
    hifigan = {"activation": "lrelu"}
    config = {
        "sample_rate": 22050,
        "samples_per_frame": 1024,
        "loss_resolutions": [[64, 16, 64]],
        "mel_loss_dims": [5],
        "commit_loss_scale": 0.0,
        "audio_encoder": hifigan
        | {"_target_": f"{modules}HiFiGANEncoder", "down_sample_rates": [2, 2, 4, 8, 8], "encoded_dim": 32, "base_channels": 2}
        | {"resblock_dilation_sizes": [1]},
        "audio_decoder": hifigan
        | {"_target_": f"{modules}HiFiGANDecoder", "up_sample_rates": [8, 8, 4, 2, 2], "input_dim": 32, "base_channels": 32}
        | {"output_activation": "tanh"},
        "vector_quantizer": {"_target_": f"{modules}GroupFiniteScalarQuantizer", "num_groups": 8, "num_levels_per_group": [8, 7, 6, 6]},
        "generator_loss": {"_target_": f"{losses}GeneratorSquaredLoss"},
        "discriminator_loss": {"_target_": f"{losses}DiscriminatorSquaredLoss"},
    }
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("nemo") / "lfsc.nemo"
    AudioCodecModel(OmegaConf.create(config)).eval().save_to(str(path))
    return path


@pytest.mark.slow
def test_lfsc_equals_nemos_own_restore(nemo_file):
    from nemo.collections.tts.models import AudioCodecModel

    lfsc = module("lfsc")
    codec, theirs = lfsc.load(str(nemo_file), CPU), AudioCodecModel.restore_from(str(nemo_file), map_location="cpu").eval()
    samples = noise(30000)
    encoded = codec.encode(codec.analyse(samples), lfsc.POINTS["1.89kbps"])
    with torch.inference_mode():
        tokens, length = theirs.encode(audio=samples[None], audio_len=torch.tensor([len(samples)]))
        expected, _ = theirs.decode(tokens=tokens, tokens_len=length)
    assert torch.equal(encoded.streams[0].tokens, tokens[0].long())
    assert torch.equal(codec.decode(encoded), expected[0, : len(samples)])
    assert encoded.streams[0].codebook_sizes == (2016,) * 8
    assert bitstream.pack(encoded).bits_tokens == pytest.approx(8 * 30 * np.log2(2016), abs=8)
    checks = check_codec(codec, list(lfsc.POINTS.values()), noise(44100).numpy(), is_trained=False, longest_s=3.0)
    assert not [check for check in checks if not check.passed]


@pytest.mark.slow
def test_lfsc_needs_no_discriminator_and_takes_no_gap(nemo_file, tmp_path):
    """The published file's configuration names a WavLM discriminator, which NeMo would fetch; and NeMo passes over missing tensors."""
    import tarfile

    import yaml

    with tarfile.open(nemo_file) as archive:
        archive.extractall(tmp_path, filter="data")
    config = yaml.safe_load((tmp_path / "model_config.yaml").read_text(encoding="utf-8"))
    config["discriminator"] = {"_target_": "nemo.collections.tts.modules.audio_codec_modules.SLMDiscriminator"}
    config["use_scl_loss"] = True
    (tmp_path / "model_config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def packed(name: str) -> Path:
        with tarfile.open(tmp_path / name, "w") as archive:
            for member in ("model_config.yaml", "model_weights.ckpt"):
                archive.add(tmp_path / member, arcname=f"./{member}")
        return tmp_path / name

    lfsc, samples = module("lfsc"), noise(9000)
    ours = lfsc.load(str(packed("whole.nemo")), CPU).analyse(samples).tokens
    assert torch.equal(ours, lfsc.load(str(nemo_file), CPU).analyse(samples).tokens)
    tensors = torch.load(tmp_path / "model_weights.ckpt", weights_only=True)
    torch.save({name: tensor for name, tensor in tensors.items() if not name.startswith("audio_decoder")}, tmp_path / "model_weights.ckpt")
    with pytest.raises(UserError, match="keys missing"):
        lfsc.load(str(packed("gap.nemo")), CPU)


def test_lfsc_takes_its_siblings_by_their_rates():
    lfsc = module("lfsc")
    sibling = lfsc.point(frame_rate=12.5, n_q=4)
    assert (sibling.name, sibling.frame_rate, sibling.n_q) == ("12.5hz_4q", 12.5, 4)
    with pytest.raises(ValueError, match="setting 'bandwidth' unknown"):
        lfsc.point(bandwidth=1)


def test_a_file_that_is_no_nemo_archive_is_refused(tmp_path):
    path = tmp_path / "x.nemo"
    path.write_bytes(b"nothing like it")
    with pytest.raises(UserError, match="not a .nemo file"):
        module("lfsc")._read(path)
