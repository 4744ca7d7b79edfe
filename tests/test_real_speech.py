"""Real speech, through the whole program: what the published samples score, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from bench.run import session
from bench.run.session import Options
from bench.suite import load_suite
from tests import toys

SUITE = """
name: recordings
datasets: [{{manifest: {shared}/data/eval_en/manifest.jsonl, ids: {ids}}}]
codecs: [{{codec: recordings, manifest: {shared}/data/recon/manifest.jsonl}}]
metrics: [pesq_wb, pesq_nb16, stoi]
"""

# systems/flexicodec.md section 11, measured with bare pesq and pystoi: PESQ-WB, PESQ-NB fed with 16 kHz, STOI
EXPECTED = {
    "flexicodec_12hz__1q": (1.129, 1.302, 0.623),
    "flexicodec_12hz__8q": (2.855, 3.367, 0.948),
    "flexicodec_8hz__1q": (1.126, 1.295, 0.622),
    "flexicodec_8hz__8q": (2.586, 3.137, 0.935),
    "flexicodec_6hz__1q": (1.125, 1.277, 0.613),
    "flexicodec_6hz__8q": (2.395, 2.938, 0.922),
    "official_encodec__2q": (1.533, 1.900, 0.851),
    "official_encodec__8q": (2.721, 3.129, 0.943),
    "official_mimi__2q": (1.260, 1.498, 0.777),
    "official_mimi__8q": (2.293, 2.823, 0.917),
}


@pytest.mark.slow
def test_published_reconstructions_score_as_published(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    toys.run_in_this_process(monkeypatch)
    manifest = shared / "data/recon/manifest.jsonl"
    ids = {json.loads(line)["id"] for line in manifest.read_text(encoding="utf-8").splitlines()}
    (tmp_path / "ids.txt").write_text("\n".join(sorted(ids)) + "\n")
    (tmp_path / "suite.yaml").write_text(SUITE.format(shared=shared.resolve(), ids=tmp_path / "ids.txt"))
    frame = session.score(load_suite(tmp_path / "suite.yaml"), Options(tmp_path / "results/recordings"), Console(quiet=True))
    assert set(frame.codec) == {"reference", "FlexiCodec", "EnCodec", "Mimi"}  # a system is a codec of its own
    frame = frame[frame.codec != "reference"]
    assert (frame.groupby("point").size() == 15).all()
    means = frame.groupby("point")[["pesq_wb", "pesq_nb16", "stoi"]].mean()
    assert set(means.index) == set(EXPECTED)
    for point, values in EXPECTED.items():
        assert means.loc[point].tolist() == pytest.approx(values, abs=0.01), point
    for better, worse in [
        ("official_encodec__8q", "official_encodec__2q"),
        ("flexicodec_12hz__8q", "flexicodec_8hz__8q"),
        ("flexicodec_8hz__8q", "flexicodec_6hz__8q"),
    ]:
        assert (means.loc[better] > means.loc[worse]).all()
