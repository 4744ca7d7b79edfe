"""UTMOSv2 with random weights under the published names, against what the original's own code makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.errors import UserError
from bench.mel import mel_filterbank
from bench.metric import MetricFailure
from bench.metrics import _utmosv2_network, utmosv2
from bench.metrics._efficientnet import EfficientNet
from tests.speech import sentence

CPU = torch.device("cpu")


def published_shapes() -> dict[str, torch.Size]:
    """Of fold0_s42_best_model.pth, sorted by name."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in _utmosv2_network.Network().state_dict().items()}
    renamed = (
        ("ssl.attention.", "ssl.attn.0."),
        ("spec_long.attention.", "spec_long.attn."),
        ("ssl.encoder.", "ssl.encoder.model."),
    )
    for ours, theirs in renamed:
        shapes = {name.replace(ours, theirs, 1) if name.startswith(ours) else name: shape for name, shape in shapes.items()}
    return dict(sorted(shapes.items()))


def random_weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for name, shape in published_shapes().items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.zeros(shape, dtype=torch.int64)
        elif "running_var" in name:
            tensors[name] = 1 + 0.2 * torch.rand(shape, generator=generator)
        elif len(shape) == 1:
            tensors[name] = float("weight" in name) + 0.1 * torch.randn(shape, generator=generator)
        else:
            tensors[name] = 1.3 * float(np.prod(shape[1:])) ** -0.5 * torch.randn(shape, generator=generator)
        if name.endswith(("bn2.weight", "bn3.weight")):
            tensors[name] *= 0.3
    return tensors


def test_the_network_has_the_tensors_of_the_published_file() -> None:
    """That file has 818,531,314 bytes; 0.17 % of it are the pickle's names and the archive's headers."""
    shapes = published_shapes()
    integers = sum(name.endswith("num_batches_tracked") for name in shapes)
    values = sum(int(np.prod(shape)) for shape in shapes.values()) - integers
    assert len(shapes) == 3343
    assert 4 * values + 8 * integers == 817_166_976
    assert shapes["fc.weight"] == (1, 2 * 768 + 2 * 2560 + 3 * 10)
    assert shapes["spec_long.backbones.3.blocks.5.14.se.conv_reduce.weight"] == (64, 1536, 1, 1)


@pytest.mark.slow
def test_score_is_the_originals_and_does_not_change(tmp_path: Path) -> None:
    """4.287551: hyperion-utmosv2 1.3.1 (the original's code) and timm 1.0.31 with these weights, after np.random.seed(0)."""
    torch.save(random_weights(), tmp_path / "random.pth")
    (metric,) = utmosv2.load(["utmosv2"], CPU, {"checkpoint": str(tmp_path / "random.pth")})
    audio = sentence().audio[8000:24000]
    np.random.seed(5)  # the process's own generator is neither read nor moved
    scores = [metric.score(None, audio)["utmosv2"].value for _ in range(2)]
    assert scores[0] == scores[1] == pytest.approx(4.287551, abs=1e-4)
    assert np.random.randint(1000) == np.random.RandomState(5).randint(1000)
    with pytest.raises(MetricFailure, match="silent"):
        metric.score(None, np.zeros(16000, np.float32))


@pytest.mark.parametrize("seconds", [0.6, 4.7])
def test_what_is_looked_at_is_the_originals(seconds: float) -> None:
    librosa = pytest.importorskip("librosa", reason="needs the package librosa")
    audio = np.resize(sentence().audio, round(16000 * seconds))
    speech, images = _utmosv2_network.looked_at(torch.tensor(audio), np.random.RandomState(3), mel_filterbank(16000, 4096, 512))
    assert images.shape == (8, 512, 512)

    random = np.random.RandomState(3)

    def excerpt(length: int) -> np.ndarray:
        longer = np.tile(audio, length // len(audio) + 1) if len(audio) <= length else audio
        start = random.randint(0, len(longer) - length)
        return longer[start : start + length]

    def image(part: np.ndarray, window: int) -> np.ndarray:
        power = librosa.feature.melspectrogram(y=part, sr=16000, n_fft=4096, hop_length=32, win_length=window, n_mels=512)
        return librosa.power_to_db(power, ref=np.max) / 80 + 1

    np.testing.assert_array_equal(speech, excerpt(48000))
    for frame in range(2):
        first = excerpt(22400)
        for number, window in enumerate((4096, 2048, 1024, 512)):
            second, share = excerpt(22400), random.beta(0.4, 0.4)
            mixed = share * image(first, window) + (1 - share) * image(second, window)
            assert mixed.shape == (512, 701)
            # 701 columns to 512: each new one is a triangle-weighted mean around its place
            places = (np.arange(512) + 0.5) * 701 / 512 - 0.5
            triangles = np.maximum(0, 1 - np.abs(np.arange(701) - places[:, None]) * 512 / 701)
            expected = mixed @ (triangles / triangles.sum(1, keepdims=True)).T
            np.testing.assert_allclose(images[4 * frame + number], expected, atol=1e-4)


def test_images_of_odd_sizes_are_padded_at_the_end() -> None:
    """TensorFlow's rule: a stride of 2 over an even length starts at the first pixel."""
    network = EfficientNet().eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 65, 96)).shape == (1, 1280, 3, 3)
        torch.nn.init.zeros_(network.conv_stem.weight)
        network.conv_stem.weight[:, :, 0, 0] = 1
        image = torch.arange(36.0).reshape(1, 1, 6, 6).expand(1, 3, 6, 6)
        torch.testing.assert_close(network.conv_stem(image)[0, 0], 3 * image[0, 0, ::2, ::2])


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1, 6686), "judge_emb": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: does not fit Network: 3342 keys missing .* 1 keys unknown"):
        utmosv2.load(["utmosv2"], CPU, {"checkpoint": str(tmp_path / "other.pth")})


def test_what_is_missing_is_named_with_its_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    need = utmosv2.needs(["utmosv2"], {})[-1]
    assert not need.available
    assert need.size_mb == 819
    assert "sarulab-speech/UTMOSv2/resolve/506474f2b33dc77c234d668cc419be1861899cad" in need.how
