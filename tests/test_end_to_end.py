"""Whole suites with the real components: random weights in files of the real formats, given through the suite's own paths."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from bench.run import session
from bench.run.session import Options
from bench.suite import load_suite
from tests import toys

ROOT = Path(__file__).resolve().parent.parent


def run(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> pd.DataFrame:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    toys.run_in_this_process(monkeypatch)
    return session.score(load_suite(path, overrides), Options(folder / "results/run"), Console(quiet=True))


@pytest.mark.slow
def test_a_papers_suite_runs_on_local_files(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import save_file

    from bench.codecs import tfc
    from bench.codecs.nn.bigcodec import BigCodec, Sizes
    from tests import tiny_codecs

    tiny_codecs.encodec().save_pretrained(tmp_path / "encodec")
    tiny_codecs.save_snac(tmp_path / "snac")
    sizes = {"backbone": {"family": "dac", "encoder_channels": 4, "decoder_channels": 32, "latent_dim": 24}, "n_q": 4, "codebook_size": 64}
    torch.manual_seed(0)
    network = tfc.TFC(tfc.Config.from_json(json.dumps(sizes)))
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, tmp_path / "tfc.safetensors", {"config": json.dumps(sizes)})
    for variant in ("vq8k", "fsq18k"):
        baseline = BigCodec(
            variant, Sizes(encoder_channels=4, decoder_channels=64, latent_dim=16, codebook_size=32, strides=(2, 2, 4, 5, 5))
        )
        save_file(baseline.state_dict(), tmp_path / f"{variant}.safetensors", {"sample_rate": "16000"})
    golden = shared / "golden/codecslime"
    frame = run(
        ROOT / "suites/papers/codecslime_main.yaml",
        tmp_path,
        monkeypatch,
        "datasets=[{name: bundled, limit: 2}]",
        "metrics=[stoi, pesq_wb, mel_dac_train]",
        f"codecs.0.checkpoint={tmp_path / 'encodec'}",
        f"codecs.1.checkpoint={tmp_path / 'snac'}",
        f"codecs.2.checkpoint={tmp_path / 'tfc.safetensors'}",
        f"codecs.3.checkpoint={tmp_path / 'vq8k.safetensors'}",
        f"codecs.4.checkpoint={tmp_path / 'fsq18k.safetensors'}",
        f"codecs.5.checkpoint={golden / 'small_vq8k.safetensors'}",
        f"codecs.6.checkpoint={golden / 'small_fsq18k.safetensors'}",
    )
    assert frame.groupby(["codec", "point"]).size().to_dict() == dict.fromkeys(
        [
            ("reference", "original"),
            ("encodec_24k", "1.5kbps"),
            ("snac", "0.98kbps"),
            *(("tfc", point) for point in ("coarse_4q", "medium_2q", "fine_1q")),
            ("bigcodec_vq8k", "40hz"),
            ("bigcodec_fsq18k", "40hz"),
            ("codecslime_vq8k", "40hz"),
            ("codecslime_fsq18k", "40hz"),
        ],
        2,
    )
    assert frame["mel_dac_train"].notna().all()


SUITE = """
name: nemo
datasets: [{name: bundled, limit: 2, languages: en}]
codecs: [{codec: lfsc, checkpoint: lfsc.nemo}]
metrics: [stoi, {metric: wer_nemo, options: {checkpoint: tiny.nemo}}]
"""


@pytest.mark.slow
def test_nemos_codec_and_recogniser_run_in_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tiny_nemo import save_codec, save_recogniser

    save_codec(tmp_path)
    save_recogniser(tmp_path)
    (tmp_path / "suite.yaml").write_text(SUITE, encoding="utf-8")
    frame = run(tmp_path / "suite.yaml", tmp_path, monkeypatch)
    assert frame[frame.codec == "lfsc"]["frame_rate"].mean() == pytest.approx(22050 / 1024, rel=0.05)
    assert frame["wer_nemo"].notna().all()
    assert (frame["wer_nemo:words"] > 3).all()
    assert (frame["wer_nemo:hypothesis"] != "").any()


def test_a_target_rate_is_met_over_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner solves for FlexiCodec's threshold before it measures, and the record says which one it found."""
    from safetensors.torch import save_file

    from tests.test_flexicodec import tiny_config, tiny_network

    save_file(tiny_network().state_dict(), tmp_path / "tiny.safetensors", {"config": json.dumps(tiny_config())})
    sweep = "sweep: {target_frame_rate: [9, 6.5], n_q: [1]}"
    text = SUITE.replace("lfsc, checkpoint: lfsc.nemo", f"flexicodec, checkpoint: tiny.safetensors, {sweep}")
    (tmp_path / "suite.yaml").write_text(text.replace(", {metric: wer_nemo, options: {checkpoint: tiny.nemo}}", ""), encoding="utf-8")
    frame = run(tmp_path / "suite.yaml", tmp_path, monkeypatch, "datasets=[{name: bundled, limit: 3}]")
    points = json.loads((tmp_path / "results/run/run.json").read_text(encoding="utf-8"))["codecs"]["flexicodec"]["points"]
    assert len(points) == 2
    for name, facts in points.items():
        rows = frame[frame.point == name]
        assert 0 < facts["options"]["threshold"] < 1
        assert rows.token_frames.sum() / rows.duration_s.sum() == pytest.approx(facts["options"]["target_frame_rate"], rel=0.03)
        assert (rows.bits_side > 0).all()
