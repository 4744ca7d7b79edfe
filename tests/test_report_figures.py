"""Figures for papers, and the drawings of one utterance."""

from __future__ import annotations

import base64
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bench import audio, bitstream
from bench.analysis.comparison import pareto_points, resampled_curves
from bench.analysis.grid import grid
from bench.analysis.summary import summary
from bench.codec import Encoded, Stream
from bench.report import media, plot
from bench.report.style import COLOURS, looks
from tests.runs import METRICS, Codecs, synthetic_records


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return synthetic_records().replace({"codec": {"opus": "_cost in $ and $"}})


def drawn(records: pd.DataFrame, names: list[str], folder: Path) -> bytes:
    metrics = {name: METRICS[name] for name in names}
    figure = plot.plot_metrics(summary(records, metrics), resampled_curves(grid(records, metrics), seed=0), metrics, "bitrate")
    plot.save(figure, folder, "figure")
    return (folder / "figure.svg").read_bytes()


def test_a_figure_is_whole_in_three_formats_and_the_same_twice(records: pd.DataFrame, tmp_path: Path) -> None:
    first = drawn(records, ["pesq_wb"], tmp_path / "a")
    assert first == drawn(records, ["pesq_wb"], tmp_path / "b")
    assert (tmp_path / "a/figure.pdf").read_bytes() == (tmp_path / "b/figure.pdf").read_bytes()
    assert (tmp_path / "a/figure.png").read_bytes().startswith(b"\x89PNG")
    texts = [node.text or "" for node in ElementTree.fromstring(first).iter("{http://www.w3.org/2000/svg}text")]
    assert "pesq_wb (MOS) ↑" in texts
    assert {"fixed_40", "slime"} <= set(texts)
    assert any("_cost in $ and $" in text for text in texts)  # no formula, and not hidden


def test_the_family_is_a_line_and_the_classical_codecs_are_left_out_of_fixed_and_dynamic() -> None:
    codecs: Codecs = {
        "low": ("fixed", {"p": (20.0, 1)}),
        "weak": ("fixed", {"p": (60.0, 1)}),
        "high": ("fixed", {"p": (80.0, 1)}),
        "slime": ("dynamic", {"p": (40.0, 1)}),
        "opus": ("classical", {"6kbps": (50.0, 0)}),
    }
    records = synthetic_records(codecs=codecs)
    records["family"] = records["codec"].map(dict.fromkeys(("low", "weak", "high"), "fixed")).fillna("")
    records.loc[records["codec"] == "weak", "stoi"] -= 0.5
    metrics = {"stoi": METRICS["stoi"]}
    table = plot.fixed_and_dynamic(summary(records, metrics))
    assert [row.codec for row in table.rows] == ["low", "weak", "high", "slime"]
    (panel,) = plot.plot_metrics(table, resampled_curves(grid(records, metrics), seed=0), metrics, "bitrate").axes
    (line,) = (line for line in panel.lines if line.get_label() == "family fixed")
    assert np.asarray(line.get_xdata()) == pytest.approx([plot.rate_of(row, "bitrate") for row in table.rows[:3:2]])
    alone = summary(records[records["codec"] != "slime"], metrics)
    assert not plot.fixed_and_dynamic(alone).rows


def test_colours_are_those_of_the_page(records: pd.DataFrame, tmp_path: Path) -> None:
    picture = drawn(records, ["pesq_wb", "stoi"], tmp_path).decode()
    style = looks({"fixed_40": "fixed", "slime": "dynamic"})
    assert style["fixed_40"].colour in picture
    assert style["slime"].colour in picture


def test_of_many_codecs_those_on_the_front_are_named_and_the_others_counted(tmp_path: Path) -> None:
    codecs: Codecs = {
        "reference": ("ceiling", {"original": (0.0, 0)}),
        **{f"codec_{n}": (("fixed", "dynamic")[n % 2], {"1q": (12.5 + n, 1)}) for n in range(40)},
    }
    records = synthetic_records(codecs=codecs)
    metrics = {name: METRICS[name] for name in ("pesq_wb", "stoi")}
    curves = resampled_curves(grid(records, metrics), seed=0)
    figure = plot.plot_metrics(summary(records, metrics), curves, metrics, "bitrate")
    plot.save(figure, tmp_path, "figure")
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert len(labels) <= plot.MAX_CODECS + 2
    assert "reference" in labels
    assert any(label.endswith(" others") for label in labels)
    named = {label for label in labels if label.startswith("codec_")}
    front = pareto_points(curves, METRICS["pesq_wb"], "bitrate", [codec for codec in codecs if codec != "reference"])
    assert named & {codec for codec, _ in front}
    many = {f"metric_{n}": replace(METRICS["pesq_wb"], name="pesq_wb") for n in range(40)}
    drawn_axes = plot.plot_metrics(summary(records, metrics), curves, many, "bitrate").axes
    assert len(drawn_axes) == plot.MAX_PANELS


def test_looks_tell_kinds_apart_without_colour_and_never_run_out() -> None:
    kinds = {f"codec{n}": ("fixed", "dynamic")[n % 2] for n in range(25)}
    shared = looks(kinds, {codec: f"family{number % 5}" for number, codec in enumerate(kinds)})
    assert shared["codec0"].colour == shared["codec5"].colour != shared["codec1"].colour  # as the page has them: more codecs than colours
    style = looks({f"codec{n}": ("fixed", "dynamic")[n % 2] for n in range(25)})
    assert style["codec0"].marker != style["codec1"].marker
    assert style["codec0"].dashes != style["codec1"].dashes
    assert style["codec0"].colour == style["codec10"].colour == COLOURS[0]


def test_names_that_no_installed_font_has_are_written_as_code_points(records: pd.DataFrame, tmp_path: Path) -> None:
    named = records.replace({"codec": {"slime": "模型 slime"}})
    has_it = set(map(ord, "模型")) <= set().union(*(plot._characters(name) for name in plot.fonts_for("模型")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = drawn(named, ["pesq_wb"], tmp_path).decode()
    assert ("模型 slime" in picture) == has_it
    assert ("U+6A21 U+578B slime" in " ".join(picture.split())) == (not has_it)


def levels(drawing: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(drawing["mel"]), np.uint8).reshape(media.BANDS, drawing["hops"])


@pytest.mark.parametrize("frequency", [300.0, 1000.0, 6000.0])
@pytest.mark.parametrize("sample_rate", [16000, 24000])
def test_a_sine_stands_in_its_band_at_its_level(frequency: float, sample_rate: int, tmp_path: Path) -> None:
    time_s = np.arange(sample_rate) / sample_rate
    audio.write(tmp_path / "sine.flac", 0.5 * np.sin(2 * np.pi * frequency * time_s), sample_rate)
    drawing = media.drawing(tmp_path / "sine.flac")
    assert drawing["seconds"] == 1.0
    middle = levels(drawing)[::-1][:, 20:80]  # lowest band first
    top_mel = 2595 * np.log10(1 + media.SAMPLE_RATE / 2 / 700)
    band = 2595 * np.log10(1 + frequency / 700) / top_mel * media.BANDS
    assert abs(int(np.median(middle.argmax(axis=0))) + 0.5 - band) <= 1.5
    level_db = media.FLOOR_DB * (1 - np.median(middle.max(axis=0)) / 255)
    assert level_db == pytest.approx(-6.0, abs=1.7)  # a window's scalloping loss at most
    peaks = np.frombuffer(base64.b64decode(drawing["peaks"]), np.int8).reshape(-1, 2) / 127
    assert peaks.max() == pytest.approx(0.5, abs=0.02)


def test_silence_is_black(tmp_path: Path) -> None:
    audio.write(tmp_path / "silence.flac", np.zeros(16000, np.float32), 16000)
    assert levels(media.drawing(tmp_path / "silence.flac")).max() == 0


def test_frames_are_told_once_for_each_time_axis(tmp_path: Path) -> None:
    def stream(frames: int, codebooks: int, durations: list[int] | None = None) -> Stream:
        tokens = torch.zeros((codebooks, frames), dtype=torch.int64)
        return Stream(tokens, (16,) * codebooks, None if durations is None else torch.tensor(durations), 4)

    dynamic = [1, 2, 4, 1]
    encoded = Encoded((stream(4, 1, dynamic), stream(4, 7, dynamic), stream(8, 1), stream(2, 1)), num_samples=8 * 320 - 5)
    (tmp_path / "stream.bin").write_bytes(bitstream.pack(encoded).data)
    axes = media.frames(tmp_path / "stream.bin", 16000, 320)
    assert [(axis["codebooks"], axis["dynamic"], axis["durations"]) for axis in axes] == [
        (8, True, dynamic),
        (1, False, [1] * 8),
        (1, False, [4] * 2),
    ]
    assert axes[0]["base_s"] == pytest.approx(0.02)
