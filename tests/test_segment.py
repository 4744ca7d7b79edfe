"""Merging and expanding against loops, in batches and in gradients."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.nn.segment import expand, merge

DURATIONS = torch.tensor([3, 1, 4, 2, 2])


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0))


def test_merge_is_the_mean_of_each_segment(features):
    merged = merge(features, DURATIONS)
    expected = torch.stack([segment.mean(-1) for segment in features.split(DURATIONS.tolist(), dim=-1)], dim=-1)
    torch.testing.assert_close(merged, expected)
    torch.testing.assert_close(merge(features[0, 0], DURATIONS), expected[0, 0])  # any number of leading axes


def test_segments_of_one_frame_change_no_bit(features):
    ones = torch.ones(12, dtype=torch.int64)
    assert torch.equal(merge(features, ones), features)
    assert torch.equal(expand(features, ones), features)


def test_expand_repeats_and_merge_undoes_it():
    segments = torch.arange(10.0).view(2, 5)
    expanded = expand(segments, DURATIONS)
    assert expanded[0].tolist() == [0, 0, 0, 1, 2, 2, 2, 2, 3, 3, 4, 4]
    assert torch.equal(merge(expanded, DURATIONS), segments)


def test_a_batch_gives_the_bits_of_its_items(features):
    durations = torch.tensor([[3, 1, 4, 2, 2], [4, 4, 2, 0, 0]])  # the second is shorter, in frames and in segments
    merged = merge(features, durations)
    expanded = expand(merged, durations)
    assert torch.equal(merged[0], merge(features[0], durations[0]))
    assert torch.equal(merged[1, :, :3], merge(features[1], durations[1, :3]))
    assert not merged[1, :, 3:].any()
    assert torch.equal(expanded[0], expand(merged[0], durations[0]))
    assert torch.equal(expanded[1, :, :10], expand(merged[1, :, :3], durations[1, :3]))
    assert not expanded[1, :, 10:].any()


def test_expand_keeps_integers():
    assert expand(DURATIONS, DURATIONS).tolist() == [3, 3, 3, 1, 4, 4, 4, 4, 2, 2, 2, 2]
    assert expand(torch.tensor([[5, 7]]), torch.tensor([[1, 2]])).tolist() == [[5, 7, 7]]


def test_gradients_are_shared_within_a_segment(features):
    features.requires_grad_()
    (merge(features, DURATIONS) * torch.arange(5.0)).sum().backward()
    assert features.grad is not None
    expected = (torch.arange(5.0) / DURATIONS).repeat_interleave(DURATIONS).expand_as(features)
    torch.testing.assert_close(features.grad, expected)


def test_durations_that_do_not_fit_are_refused(features):
    with pytest.raises(ValueError, match="last 13 frames, the features have 12"):
        merge(features, torch.tensor([12, 1]))
    with pytest.raises(ValueError, match="12 segments, 5 durations"):
        expand(features, DURATIONS)
