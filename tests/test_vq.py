"""Vector quantisers: golden tokens, an independent search, gradients, codebook dropout."""

from __future__ import annotations

import csv
import itertools
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bench.codecs.nn import vq
from bench.codecs.nn.vq import FactorizedVQ, LinearFactorizedVQ, ResidualVQ, nearest, sample_n_q

Module = TypeVar("Module", bound=nn.Module)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(module: Module) -> Module:
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(noise(*parameter.shape, seed=i))
    return module


def names_and_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def released(path, prefix: str) -> dict[str, tuple[int, ...]]:
    with path.open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["name"].startswith(prefix)]
    return {row["name"].removeprefix(prefix): tuple(map(int, row["shape"].split("x"))) for row in rows}


@pytest.mark.parametrize("kind", [FactorizedVQ, LinearFactorizedVQ])
def test_lookup_projects_finds_the_nearest_in_direction_and_projects_back(kind):
    quantiser, x = randomised(kind(6, 50, 4)), noise(2, 6, 30)
    found = quantiser(x)
    with torch.no_grad():
        projected = quantiser.in_proj(x)
        cosines = nn.functional.cosine_similarity(projected.mT[:, :, None].double(), quantiser.codewords().double(), dim=-1)
        assert torch.equal(found.tokens[:, 0], cosines.argmax(-1))
        rows = quantiser.codewords()[found.tokens[:, 0]].mT  # as they are, not normalised
        torch.testing.assert_close(found.features, quantiser.out_proj(rows))
        torch.testing.assert_close(quantiser.decode(found.tokens), found.features)
        torch.testing.assert_close(found.commitment_loss, (projected - rows).square().mean((1, 2)))
        torch.testing.assert_close(found.codebook_loss, found.commitment_loss)


def test_both_kinds_of_projection_compute_the_same():
    convolutional = randomised(FactorizedVQ(6, 50, 4))
    linear = LinearFactorizedVQ(6, 50, 4)
    tensors = {name.replace("codebook", "_codebook"): tensor for name, tensor in convolutional.state_dict().items()}
    linear.load_state_dict({name: tensor.reshape(linear.state_dict()[name].shape) for name, tensor in tensors.items()})
    x = noise(2, 6, 30)
    assert torch.equal(linear(x).tokens, convolutional(x).tokens)
    torch.testing.assert_close(linear(x).features, convolutional(x).features)


def test_search_in_pieces_and_under_autocast_finds_the_same(monkeypatch):
    vectors, codebook = noise(100, 8), noise(512, 8, seed=1)
    whole = nearest(vectors, codebook)
    monkeypatch.setattr(vq, "FRAMES_PER_LOOKUP", 7)
    assert torch.equal(nearest(vectors, codebook), whole)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(vectors, codebook), whole)


def test_gradient_passes_straight_through_and_each_loss_trains_its_own_side():
    quantiser, x = randomised(FactorizedVQ(6, 50, 4)), noise(1, 6, 9).requires_grad_()
    direction = noise(1, 6, 9, seed=5)
    through = torch.autograd.grad((quantiser(x).features * direction).sum(), x)[0]
    without = torch.autograd.grad((quantiser.out_proj(quantiser.in_proj(x)) * direction).sum(), x)[0]
    torch.testing.assert_close(through, without)

    def gradients(loss: torch.Tensor) -> tuple[bool, bool]:
        encoder, codebook = torch.autograd.grad(loss.sum(), [x, quantiser.codebook.weight], allow_unused=True)
        return encoder is not None, codebook is not None

    assert gradients(quantiser(x).commitment_loss) == (True, False)
    assert gradients(quantiser(x).codebook_loss) == (False, True)


def test_fewer_codebooks_are_a_prefix_and_leave_a_larger_error():
    quantiser, x = randomised(ResidualVQ(6, 5, 256, 6)), noise(2, 6, 40)
    with torch.no_grad():  # each stage hands on what it can represent, scaled: errors then shrink
        for name, parameter in quantiser.named_parameters():
            if "_proj" in name:
                parameter.copy_(torch.eye(6)[..., None] if "weight_v" in name else torch.full_like(parameter, float("weight_g" in name)))
    whole = quantiser(x)
    for n in range(1, 6):
        part = quantiser(x, n)
        assert torch.equal(part.tokens, whole.tokens[:, :n])
        torch.testing.assert_close(quantiser.decode(part.tokens), part.features)
    residual = x - quantiser(x, 2).features
    torch.testing.assert_close(quantiser(x, 3).features - quantiser(x, 2).features, quantiser.quantizers[2](residual).features)
    assert torch.equal(quantiser(x, 3).tokens[:, 2:], quantiser.quantizers[2](residual).tokens)


def test_codebook_dropout_treats_each_item_as_if_alone():
    quantiser, x = randomised(ResidualVQ(6, 4, 32, 4)), noise(3, 6, 11)
    mixed = quantiser(x, torch.tensor([1, 3, 2]))
    assert mixed.tokens.shape == (3, 3, 11)
    for item, n in enumerate((1, 3, 2)):
        alone = quantiser(x[item : item + 1], n)
        assert torch.equal(mixed.tokens[item, :n], alone.tokens[0])
        torch.testing.assert_close(mixed.features[item], alone.features[0])
        torch.testing.assert_close(mixed.commitment_loss[item], alone.commitment_loss[0])
        torch.testing.assert_close(mixed.codebook_loss[item], alone.codebook_loss[0])


def test_no_codebook_gives_zeros_and_too_many_are_refused():
    quantiser, x = ResidualVQ(6, 2, 8, 4), noise(2, 6, 5)
    nothing = quantiser(x, 0)
    assert nothing.tokens.shape == (2, 0, 5)
    assert not nothing.features.any()
    with pytest.raises(ValueError, match=r"n_q 3 outside 0\.\.2"):
        quantiser(x, 3)


def test_aligned_stages_each_take_away_of_what_the_ones_before_left():
    mixed = torch.logspace(1, -1, 32)[:, None] * noise(32, 32, seed=1)
    x = (mixed @ noise(4, 32, 300)) + 5.0
    quantiser = ResidualVQ(32, 4, 256, 8)
    quantiser.align(x)
    quantiser.requires_grad_(False)
    left = [float((x - quantiser(x, n_q).features).square().mean() / x.var()) for n_q in range(1, 5)]
    assert left[0] < 0.7
    assert all(after < 0.9 * before for before, after in itertools.pairwise(left))
    first: Any = quantiser.quantizers[0]
    projected = first.in_proj(x)
    torch.testing.assert_close(projected.mean((0, 2)), torch.zeros(8), rtol=0, atol=1e-3)
    torch.testing.assert_close(projected.std((0, 2)), first.codebook.weight.std(0), rtol=0.25, atol=0)


def test_sampled_counts_drop_the_asked_share_uniformly_and_repeat():
    counts = sample_n_q(10000, 8, 0.5, np.random.default_rng(0))
    drawn = counts.bincount(minlength=9)
    assert drawn[0] == 0
    assert 520 < drawn[1:8].min() <= drawn[1:8].max() < 730  # 625 expected, standard deviation 24
    assert 5400 < drawn[8] < 5850  # 5000 that keep all, and 625
    assert torch.equal(counts, sample_n_q(10000, 8, 0.5, np.random.default_rng(0)))
    assert sample_n_q(3, 8, 0.0, np.random.default_rng(0)).tolist() == [8, 8, 8]


def test_names_and_shapes_are_the_released_ones(shared):
    with torch.device("meta"):
        residual, single = ResidualVQ(512, 24, 4096, 8), LinearFactorizedVQ(1024, 8192, 8)
    assert names_and_shapes(residual) == released(shared / "systems/flexicodec_state_dict.tsv", "dac.quantizer.")
    assert names_and_shapes(single) == released(shared / "systems/codecslime_state_dict_vq8k.tsv", "decoder.quantizer.layers.0.")


@torch.inference_mode()
def test_residual_vq_gives_the_tokens_of_the_original(shared):
    golden = load_file(shared / "golden/flexicodec/small_codec.safetensors")
    weights = {name.removeprefix("w/dac.quantizer."): tensor for name, tensor in golden.items() if name.startswith("w/dac.quantizer.")}
    codebook_size, codebook_dim = weights["quantizers.0.codebook.weight"].shape
    n_q = sum(name.endswith("codebook.weight") for name in weights)
    quantiser = ResidualVQ(golden["t0.9_q5/rvq_input"].shape[1], n_q, codebook_size, codebook_dim)
    quantiser.load_state_dict(weights)
    for case, used in (("t0.9_q5", 4), ("t0.9_q5_lens", 4)):
        found = quantiser(golden[f"{case}/rvq_input"], used)
        assert torch.equal(found.tokens, golden[f"{case}/acoustic_codes"])
        torch.testing.assert_close(found.features, golden[f"{case}/rvq_zq"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(quantiser.decode(found.tokens), golden[f"{case}/rvq_zq"], rtol=1e-4, atol=1e-5)
