"""A suite is read once, and every mistake in it is told before anything loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.codec import OperatingPoint
from bench.errors import UserError
from bench.suite import load_suite, selected
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


def test_a_codec_alone_may_be_its_name(tmp_path) -> None:
    for codecs in ("opus", "[opus]"):
        assert load(tmp_path, GOOD, f"codecs={codecs}", "compare=null").entries[1].module == "opus"


def test_a_checkpoint_that_is_neither_a_name_nor_a_file_is_told_the_names(tmp_path) -> None:
    (told,) = mistakes(tmp_path, GOOD, "codecs=[{codec: codecslime, checkpoint: tinny}]", "compare=null")
    assert "codecs[0].checkpoint: checkpoint 'tinny' unknown; did you mean 'tiny'?" in told


def test_a_manifest_of_recordings_that_is_not_there_is_the_only_mistake(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    codecs = "codecs=[{codec: recordings, manifest: r.jsonl}]"
    (told,) = mistakes(tmp_path, GOOD, codecs, "get_with=bench fetch it", "compare.baseline=a@b")
    assert told == f"--set {codecs}: codecs[0].manifest: {tmp_path}/r.jsonl: is not there; get it with: bench fetch it"


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
    assert "a codec needs `INFO`" in mistakes(tmp_path, GOOD.replace("codec: opus", "codec: half.py"))[0]


@pytest.mark.parametrize("path", sorted((ROOT / "suites").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_of_the_project_is_good(path) -> None:
    if path.stem in ("ears", "published_samples"):  # of audio that is prepared or fetched first, as they say
        with pytest.raises(UserError, match=r"manifest.jsonl: is not there"):
            load_suite(path)
    else:
        assert load_suite(path).entries


SWEEP = GOOD.replace("points: [6kbps, 24kbps]", "sweep: {bitrate_kbps: X}")
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        (GOOD + "description: a\0b\n", 7, "U+0000"),
        (GOOD.encode("utf-16"), 1, "is not UTF-8"),
        ((GOOD + "description: ü\n").encode("latin-1"), 7, "is not UTF-8"),
        (GOOD + "description: &a [*a]\n", 7, "within itself"),
        ("&a\nname: *a\n", 1, "within itself"),
        ("name: " + "[" * 3000 + "]" * 3000, 1, "nested deeper"),
        (GOOD + "? [a]\n: b\n", 7, "a key is a word"),
        (LAUGHS, 1, "more than 20000 keys"),
        (SWEEP.replace("X", "{from: 1, to: .inf, step: 1}"), 5, "codecs[0].sweep.bitrate_kbps.to: Input should be a finite number"),
        (SWEEP.replace("X", "[.inf]"), 5, "finite"),
        (SWEEP.replace("X", "[]"), 5, "codecs[0].sweep.bitrate_kbps: is empty"),
        (SWEEP.replace("X", "{from: 9, to: 1, step: 1}"), 5, "codecs[0].sweep.bitrate_kbps: goes backwards"),
        (SWEEP.replace("X", "{from: 1, to: 1000000000, step: 1}"), 5, "more than 1000 values"),
        (SWEEP.replace("X", "{from: 1, to: 999, step: 1}, other: [1, 2]"), 5, "combinations"),
        (GOOD + "seed: -1\n", 7, "seed: Input should be greater than or equal to 0"),
        (GOOD + "seed: " + "9" * 5000, 7, "digits"),
        (SWEEP.replace("X", "{from: 1, to: " + "9" * 400 + ", step: 1}"), 5, "digits"),
        (SWEEP.replace("X", "[yes]"), 5, "codecs[0].sweep: is read as true or false"),
        (GOOD + "seed: yes\n", 7, "seed: is read as true or false"),
        (GOOD + "length_tolerance_s: on\n", 7, "length_tolerance_s: is read as true or false"),
        (GOOD + "description: 2026-01-01\n", 7, "description: is text; put it in quotes"),
        (GOOD + "no: 1\n", 7, "key 'no' is read as a bool; put it in quotes"),
        (GOOD.replace("[bundled]", "[{name: bundled, limit: yes}]"), 2, "datasets[0].limit: is read as true or false"),
        (GOOD.replace("codec: opus", "codec: opus\n    name: reference"), 4, "'reference' is what the originals are called"),
        (GOOD.replace("codec: opus", "codec: opus\n    bitrate_kbps: 5"), 5, "only `codec: recordings` takes a bitrate_kbps"),
        (GOOD + "regress: {margins: {stoi: 0%}}\n", 7, "margin"),
        (GOOD.replace("codec: opus", "codec: opus\n    name: " + "x" * 300), 5, "at most 80 characters"),
        (GOOD.replace("[bundled]", "[{folder: nosuch}]"), 2, "datasets[0].folder: "),
        (GOOD.replace("[bundled]", "[{manifest: nosuch.jsonl}]"), 2, "datasets[0].manifest: "),
        (GOOD.replace("[bundled]", "[{folder: " + "x" * 5000 + "}]"), 2, "is no folder"),
        (GOOD.replace("codec: opus", "codec: opus\n    pts: 1").replace("points: [6kbps, 24kbps]", "family: a"), 5, "key 'pts' unknown"),
        (GOOD + "description: 2026-99-99\n", 1, "month"),
        (GOOD + "description: !!python/object:os.system x\n", 7, "tag"),
        (GOOD + "regress: {margins: {stoi: .inf}}\n", 7, "margin"),
    ],
    ids=lambda value: ascii(value)[-30:],
)  # fmt: skip
def test_hostile_and_slipped_suites_are_refused_in_one_line_that_names_it(content, line, told, tmp_path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        load_suite(path)
    (text,) = str(caught.value).splitlines()
    assert text.startswith(f"{path}:{line}: ")
    assert told in text
    assert len(text) < 600 + 5000 * ("xxxxx" in text)


def test_what_follows_from_a_mistake_is_not_told_before_it(tmp_path) -> None:
    text = GOOD.replace("    points: [6kbps, 24kbps]\n", "    pionts: [6kbps]\n")
    (only,) = mistakes(tmp_path, text)
    assert "did you mean 'points'" in only
    (only,) = mistakes(tmp_path, SWEEP.replace("X", "[null]"))
    assert "sweep.bitrate_kbps[0]" in only


def test_one_metric_and_one_point_need_no_list(tmp_path) -> None:
    suite = load(tmp_path, GOOD.replace("[stoi, pesq_wb]", "stoi").replace("[6kbps, 24kbps]", "6kbps"))
    assert suite.metric_names == ("stoi",)
    assert [point.name for point in suite.entries[1].points] == ["6kbps"]
    assert load(tmp_path, GOOD.replace("[stoi, pesq_wb]", "{metric: stoi}")).metric_names == ("stoi",)


def test_whole_numbers_of_a_sweep_stay_whole(tmp_path, monkeypatch) -> None:
    module = toys.codec_module(toys.ToyCodec())
    seen = []
    plain = module.point

    def point(**settings: Any) -> OperatingPoint:
        seen.append(settings["levels"])
        return plain(**settings)

    module.point = point
    toys.install(monkeypatch, {"toy": module}, [toys.metric_module(toys.ToyMetric())])
    text = "name: s\ndatasets: [bundled]\ncodecs: [{codec: toy, sweep: {levels: X}}]\nmetrics: [distance]\n"
    for sweep, values in (("[16, 32]", [16, 32]), ("{from: 16, to: 48, step: 16}", [16, 32, 48]), ("[16.5]", [16.5]), ("16", [16])):
        seen.clear()
        load(tmp_path, text.replace("X", sweep))
        assert [(type(value), value) for value in seen] == [(type(value), value) for value in values]


@pytest.mark.parametrize(
    ("code", "line", "told"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError"),
        ("\nimport no_such_package\n", 2, "ModuleNotFoundError: No module named 'no_such_package'"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit"),
        ("x = 1\ndef f():\n    raise ValueError('two\\nlines')\nf()\n", 3, "ValueError: two lines"),
        ("x = '\udcff'\n", 1, "SyntaxError"),
    ],
    ids=["syntax", "import", "exit", "raises", "not UTF-8"],
)
def test_a_codec_file_that_does_not_import_is_told_by_its_own_line(code, line, told, tmp_path) -> None:
    (tmp_path / "mine.py").write_bytes(code.encode("utf-8", "surrogateescape"))
    (text,) = mistakes(tmp_path, GOOD.replace("codec: opus", "codec: mine.py"))
    assert text.startswith(f"{tmp_path}/suite.yaml:4: codecs[0].codec: {tmp_path}/mine.py:{line}: ")
    assert told in text


def test_a_checkpoint_that_is_not_there_is_told_though_the_codec_needs_nothing(tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "from bench.codecs.opus import INFO, POINTS, VERSION, load, point\ndef needs(checkpoint): return []\n"
    )
    text = GOOD.replace("codec: opus", "codec: mine.py\n    checkpoint: ours/best.pt")
    (told,) = mistakes(tmp_path, text)
    assert "suite.yaml:5: codecs[0].checkpoint: no file" in told
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/best.pt").touch()
    assert load(tmp_path, text).entries[1].checkpoint == str(tmp_path / "ours/best.pt")
    assert load(tmp_path, text.replace("/", "\\")).entries[1].checkpoint == str(tmp_path / "ours/best.pt")  # as Windows writes it
    assert load(tmp_path, text.replace("ours/best.pt", "a_name_that_load_knows")).entries


@pytest.mark.parametrize("checkpoint", ["no_such.pt", "tiny", "here.pt"])
@pytest.mark.parametrize("codec", ["opus", "pcm"])
def test_a_codec_without_weights_takes_no_checkpoint(codec, checkpoint, tmp_path) -> None:
    (tmp_path / "here.pt").touch()
    text = f"name: s\ndatasets: [bundled]\ncodecs: [{{codec: {codec}, checkpoint: {checkpoint}}}]\nmetrics: [stoi]\n"
    (told,) = mistakes(tmp_path, text)
    assert told == f"{tmp_path}/suite.yaml:3: codecs[0].checkpoint: codec '{codec}' takes no checkpoint"


@pytest.mark.parametrize(
    "override", ["metrics=" + "[" * 5000, "name=[*a]", "seed=" + "9" * 9000, "datasets.²=1", "name=&a [*a]"], ids=ascii
)
def test_an_override_that_is_no_yaml_is_told_in_one_line(override, tmp_path) -> None:
    (told,) = mistakes(tmp_path, GOOD, override)
    assert told.startswith("--set ")


def test_codecs_and_metrics_of_a_suite_are_chosen_by_name(tmp_path) -> None:
    (tmp_path / "suite.yaml").write_text(GOOD, encoding="utf-8")
    suite = load_suite(tmp_path / "suite.yaml")
    labels, metrics = [entry.label for entry in suite.entries], suite.metric_names
    fewer = selected(suite, [labels[-1]], [metrics[0]])
    assert [entry.label for entry in fewer.entries] == ["reference", labels[-1]]
    assert fewer.metric_names == metrics[:1]
    assert selected(suite, [], []) == suite
    with pytest.raises(UserError, match="codec of the suite 'nosuch' unknown"):
        selected(suite, ["nosuch"], [])
