"""The rotary transformer and the query aggregator against the original's vectors, and their invariances."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from bench.codecs.nn.transformer import QueryAggregator, Transformer, interleave, rotary_angles, rotate


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@torch.inference_mode()
def test_two_layers_match_the_original(shared):
    units = load_file(shared / "golden/flexicodec/units.safetensors")
    transformer = Transformer(dim=12, width=16, hidden=32, num_heads=2, num_layers=2)
    transformer.load_state_dict(under(units, "tr/w/"))
    assert relative_error(transformer(units["tr/x"]), units["tr/y"]) < 1e-5


@pytest.mark.parametrize("name", ["semantic", "acoustic"])
@torch.inference_mode()
def test_aggregators_match_the_original(shared, name):
    golden = load_file(shared / "golden/flexicodec/small_codec.safetensors")
    tap = name[0] + "agg"
    dim = golden[f"t0.9_q5/{tap}_out"].shape[1]
    aggregator = QueryAggregator(dim, width=32, hidden=64, num_heads=4, num_layers=2)
    aggregator.load_state_dict(under(golden, f"w/{name}_aggregator."))
    if name == "semantic":
        half = torch.nn.functional.interpolate(golden["semantic_repr_16p67hz"], 37, mode="linear")
    else:
        half = golden["t0.9_q5/acoustic_features"][..., :37]
    for case in ("t0.9_q5", "t1.0_q7", "t0.8_q1"):
        assert relative_error(aggregator(half, golden[f"{case}/token_lengths"]), golden[f"{case}/{tap}_out"]) < 1e-4, case


def test_interleave_puts_each_query_behind_its_group():
    frames, queries = interleave(torch.tensor([[2, 1, 3], [4, 2, 0]]))
    assert frames.tolist() == [[0, 1, 3, 5, 6, 7], [0, 1, 2, 3, 5, 6]]
    assert queries.tolist() == [[2, 4, 8], [4, 7, 8]]


@torch.inference_mode()
def test_an_item_of_fewer_groups_is_not_changed_by_its_batch():
    torch.manual_seed(0)
    aggregator = QueryAggregator(dim=16, width=16, hidden=32, num_heads=2, num_layers=3)
    for name, parameter in aggregator.named_parameters():
        if name.endswith("layer_scale_1.scale"):
            parameter.fill_(0.5)  # so that attention counts
    features = torch.randn(2, 16, 6)
    batch = aggregator(features, torch.tensor([[1, 1, 1, 1, 1, 1], [4, 2, 0, 0, 0, 0]]))
    alone = aggregator(features[1:], torch.tensor([[4, 2]]))
    assert relative_error(batch[1:, :, :2], alone) < 1e-5
    assert not batch[1, :, 2:].any()


def test_rotation_depends_on_distance_only():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn((2, 8), generator=generator)
    turns = rotary_angles(50, 8, torch.device("cpu"))
    products = [float(rotate(query[None], turns[p : p + 1]) @ rotate(key[None], turns[p + 7 : p + 8]).T) for p in (0, 5, 40)]
    assert products[0] == pytest.approx(products[1], abs=1e-5)
    assert products[0] == pytest.approx(products[2], abs=1e-5)
    assert products[0] != pytest.approx(float(query @ key), abs=1e-2)
