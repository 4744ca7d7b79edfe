"""Finite scalar quantisation: every token reachable and its own inverse, golden tokens, gradients."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from safetensors.torch import load_file

from bench.codecs.nn.fsq import FSQ

LEVELS = {"codecslime": (5, 5, 3, 3, 3, 3, 3, 3), "flexicodec": (8, 8, 8, 8, 8), "lfsc": (8, 7, 6, 6), "binary": (2, 2, 3)}
levels_and_bounds = pytest.mark.parametrize(("levels", "bound"), list(itertools.product(LEVELS.values(), ("centred", "paper"))))


def plain(levels, bound) -> FSQ:
    """Projections that do nothing: D = len(levels)."""
    fsq = FSQ(len(levels), levels, bound)
    with torch.no_grad():
        for layer in (fsq.project_in, fsq.project_out):
            layer.weight.copy_(torch.eye(len(levels)))
            layer.bias.zero_()
    return fsq


@levels_and_bounds
@torch.inference_mode()
def test_every_token_decodes_to_its_own_point_of_the_grid(levels, bound):
    fsq = plain(levels, bound)
    tokens = torch.arange(fsq.codebook_size)
    digits = fsq.digits(tokens)
    assert fsq.codebook_size == math.prod(levels)
    expected = torch.tensor(list(itertools.product(*(range(level) for level in reversed(levels))))).flip(1)  # the first varies fastest
    assert torch.equal(digits, expected)
    half = torch.tensor([level // 2 for level in levels])
    torch.testing.assert_close(fsq.decode(tokens[None, None])[0].mT, (digits - half) / half)


@levels_and_bounds
@torch.inference_mode()
def test_every_token_is_reached_and_nothing_outside(levels, bound):
    fsq = plain(levels, bound)
    z = torch.linspace(-30, 30, 20001)[:, None].expand(-1, len(levels))
    rounded = fsq.confine(z).round()
    for dimension, level in enumerate(levels):
        assert rounded[:, dimension].unique().tolist() == [*range(-(level // 2), (level + 1) // 2)]


@torch.inference_mode()
def test_bounds_follow_their_formulas():
    z = torch.linspace(-3, 3, 101, dtype=torch.float64)[:, None]
    even = math.atanh(0.5 / (7 * 1.001 / 2))
    torch.testing.assert_close(plain((8,), "centred").confine(z), torch.tanh(z + even) * 7 * 1.001 / 2 - 0.5, check_dtype=False)
    even = math.tan(0.5 / (7 * 0.999 / 2))
    torch.testing.assert_close(plain((8,), "paper").confine(z), torch.tanh(z + even) * 7 * 0.999 / 2 - 0.5, check_dtype=False)
    torch.testing.assert_close(plain((5,), "centred").confine(z), torch.tanh(z) * 2.002, check_dtype=False)
    assert abs(float(plain((8,), "centred").confine(torch.zeros(1)))) < 1e-6  # what "centred" means


def test_codes_are_rounded_half_to_even_and_divided_by_half_the_levels():
    fsq = plain((5,), "centred")
    z = torch.atanh(torch.tensor([0.5, 1.5, -0.5, 0.49, 1.51]) / 2.002)
    assert fsq(z[None, None]).features.flatten().tolist() == pytest.approx([0.0, 1.0, 0.0, 0.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_forward_and_decode_agree_and_a_batch_equals_its_items(levels):
    torch.manual_seed(0)
    fsq, x = FSQ(12, levels), 5 * torch.randn(3, 12, 40, generator=torch.Generator().manual_seed(1))
    found = fsq(x)
    assert found.tokens.shape == (3, 1, 40)
    assert 0 <= int(found.tokens.min()) <= int(found.tokens.max()) < fsq.codebook_size
    torch.testing.assert_close(fsq.decode(found.tokens), found.features)
    assert torch.equal(fsq(x[1:2]).tokens, found.tokens[1:2])
    assert not found.commitment_loss.any()
    assert not found.codebook_loss.any()


def test_gradient_is_that_of_the_smooth_part():
    fsq, x = FSQ(6, (8, 5)), torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    smooth = fsq.project_out(fsq.confine(fsq.project_in(x.mT)) / torch.tensor([4, 2])).mT
    direction = torch.randn(1, 6, 9, generator=torch.Generator().manual_seed(2))
    expected = torch.autograd.grad((smooth * direction).sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad((fsq(x).features * direction).sum(), x)[0], expected)


def test_tokens_do_not_suffer_under_autocast():
    fsq, x = plain((5, 5, 3, 3, 3, 3, 3, 3), "centred"), torch.randn(1, 8, 500, generator=torch.Generator().manual_seed(0))
    x = x.bfloat16().float()  # what the first layer would round away anyway
    with torch.autocast("cpu", torch.bfloat16):
        found = fsq(x)
    assert torch.equal(found.tokens, fsq(x).tokens)


def test_a_checkpoint_holds_the_projections_alone_and_one_level_is_no_choice():
    assert list(FSQ(4, (3, 3)).state_dict()) == ["project_in.weight", "project_in.bias", "project_out.weight", "project_out.bias"]
    with pytest.raises(ValueError, match="2 or more"):
        FSQ(4, (5, 1))


@torch.inference_mode()
def test_paper_bound_gives_the_tokens_of_flexicodec(shared):
    golden = load_file(shared / "golden/flexicodec/units.safetensors")
    fsq = FSQ(12, (8,) * 5, "paper")
    fsq.load_state_dict({name: golden[f"fsq/w/fsq.{name}"] for name in fsq.state_dict()})
    torch.testing.assert_close(fsq.project_in(golden["fsq/x"].mT), golden["fsq/projected"])
    found = fsq(golden["fsq/x"])
    assert torch.equal(found.tokens, golden["fsq/indices"])
    torch.testing.assert_close(found.features, golden["fsq/zq"])
    torch.testing.assert_close(fsq.decode(golden["fsq/indices"]), golden["fsq/zq_from_codes"])
