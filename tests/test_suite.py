"""A suite is read once, and every mistake in it is told before anything loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.suite import load_suite
from tests import toys

ROOT = Path(__file__).resolve().parent.parent

GOOD = """\
name: good
datasets: [bundled]
codecs:
  - codec: opus
    points: [6kbps, 24kbps]
metrics: [stoi, pesq_wb]
"""


def load(folder: Path, text: str, *overrides: str):
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return load_suite(path, overrides)


def mistakes(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(folder, text, *overrides)
    return str(caught.value).splitlines()


def test_a_good_suite_is_resolved(tmp_path) -> None:
    suite = load(tmp_path, GOOD)
    assert [entry.label for entry in suite.entries] == ["reference", "opus"]
    assert [point.name for point in suite.entries[1].points] == ["6kbps", "24kbps"]
    assert suite.metric_names == ("stoi", "pesq_wb")


def test_every_mistake_is_told_at_once_with_its_line_and_the_nearest_choice(tmp_path) -> None:
    text = GOOD.replace("pesq_wb", "peqs_wb").replace("codec: opus", "codec: opsu").replace("[bundled]", "[bundeld]")
    told = mistakes(tmp_path, text)
    assert [line.split(":")[1] for line in told] == ["2", "4", "6"]
    assert "did you mean 'bundled'?" in told[0]
    assert "codecs[0].codec: codec 'opsu' unknown; did you mean 'opus'?" in told[1]
    assert "metrics[1]: metric 'peqs_wb' unknown; did you mean 'pesq_wb'?" in told[2]


@pytest.mark.parametrize(
    ("change", "line", "told"),
    [
        (("24kbps", "25kbps"), 5, "codecs[0].points[1]: point of opus '25kbps' unknown; did you mean '24kbps'?"),
        (("metrics:", "metric:"), 6, "key 'metric' unknown; did you mean 'metrics'?"),
        (("points:", "point:"), 5, "key 'point' unknown; did you mean 'points'?"),
        (("name: good", "name: ../bad"), 1, "name:"),
        (("codec: opus", "codec: my_codec.py"), 4, "no file"),
        (("stoi, pesq_wb", "stoi, stoi"), 6, "metric 'stoi' comes twice"),
    ],
    ids=["point", "key", "nested key", "name", "file", "twice"],
)
def test_a_mistake_names_its_line(change, line, told, tmp_path) -> None:
    found = mistakes(tmp_path, GOOD.replace(*change))
    assert any(text.startswith(f"{tmp_path}/suite.yaml:{line}: ") and told in text for text in found), found


def test_broken_yaml_and_doubled_keys_name_their_line(tmp_path) -> None:
    assert mistakes(tmp_path, GOOD + "seed: [1\n")[0].startswith(f"{tmp_path}/suite.yaml:")
    assert "key 'seed' comes twice" in mistakes(tmp_path, GOOD + "seed: 1\nseed: 2\n")[0]
    assert "suite.yaml:8:" in mistakes(tmp_path, GOOD + "seed: 1\nseed: 2\n")[0]


def test_a_sweep_is_the_product_of_its_lists_and_ranges(tmp_path, monkeypatch) -> None:
    toys.install(monkeypatch, {"toy": toys.codec_module(toys.ToyCodec())}, [toys.metric_module(toys.ToyMetric())])
    text = "name: s\ndatasets: [bundled]\ncodecs: [{codec: toy, sweep: {levels: {from: 16, to: 64, step: 16}}}]\nmetrics: [distance]\n"
    points = load(tmp_path, text).entries[1].points
    assert [point.options["levels"] for point in points] == [16, 32, 48, 64]


def test_a_setting_that_a_codec_refuses_names_the_setting(tmp_path) -> None:
    text = GOOD.replace("points: [6kbps, 24kbps]", "sweep: {frame_rat: [40]}")
    assert "frame_rat" in mistakes(tmp_path, text)[0]


def test_overrides_replace_what_the_file_says(tmp_path) -> None:
    suite = load(tmp_path, GOOD, "metrics=[estoi]", "seed=3", "datasets.0={name: bundled, limit: 2}")
    assert suite.metric_names == ("estoi",)
    assert suite.seed == 3
    assert suite.datasets[0].limit == 2
    assert "--set metrics=[stio]: metrics[0]: metric 'stio' unknown" in mistakes(tmp_path, GOOD, "metrics=[stio]")[0]
    assert "key=value" in mistakes(tmp_path, GOOD, "metrics")[0]


def test_a_baseline_must_be_a_point_of_the_suite(tmp_path) -> None:
    told = mistakes(tmp_path, GOOD + "compare: {baseline: opus@12kbps}\n")
    assert "suite.yaml:7: compare.baseline: baseline 'opus@12kbps' unknown; did you mean" in told[0]


def test_a_codec_of_ones_own_is_a_file_beside_the_suite(tmp_path) -> None:
    (tmp_path / "mine.py").write_text("from bench.codecs.opus import INFO, POINTS, VERSION, load, needs, point\n")
    suite = load(tmp_path, GOOD.replace("codec: opus", "codec: mine.py"))
    assert suite.entries[1].label == "mine"
    assert suite.entries[1].module == str(tmp_path / "mine.py")
    (tmp_path / "half.py").write_text("VERSION = 1\n")
    assert "a codec module needs `INFO`" in mistakes(tmp_path, GOOD.replace("codec: opus", "codec: half.py"))[0]


@pytest.mark.parametrize("path", sorted((ROOT / "suites").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_of_the_project_is_good(path) -> None:
    assert load_suite(path).entries
