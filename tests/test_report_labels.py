"""Names of points in plain words."""

from __future__ import annotations

import pytest

from bench.report.labels import point_label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("target12.5hz_q8", "about 12.5 Hz, 8 codebooks"),
        ("fixed12.5hz_q1", "fixed 12.5 Hz, 1 codebook"),
        ("threshold0.91_q8", "threshold 0.91, 8 codebooks"),
        ("40hz_uniform", "40 Hz, uniform"),
        ("80hz", "80 Hz"),
        ("4.75kbps", "4.75 kbps"),
        ("8q", "8 codebooks"),
        ("original", "original"),
        ("my_best_model", "my_best_model"),
        ("", ""),
    ],
)
def test_points_are_named_in_plain_words(name: str, label: str) -> None:
    assert point_label(name) == label
