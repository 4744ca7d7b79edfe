"""What a wheel holds: suites, recipes, corpus and checkpoints; an installed `bench` needs no clone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from bench.cli import app
from bench.datasets.specs import FolderSet, Selection, parse_spec
from bench.errors import UserError
from bench.registry import Registry, metric_infos, take_metrics
from bench.run.preflight import requirements
from bench.suite import CodecSpec, CompareSpec, MetricSpec, RegressSpec, SuiteFile, find_suite, load_suite, packaged_suites
from tests import reader

METRIC = """from bench.simple import metric

@metric(higher_is_better=False)
def gap(reference, degraded, sample_rate):
    return 0.0
"""
ROOT = Path(__file__).resolve().parent.parent


def test_init_writes_a_suite_that_is_good(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "ours.yaml"]).exit_code == 0
    assert load_suite(tmp_path / "ours.yaml").name == "ours"
    assert isinstance(CliRunner().invoke(app, ["init", "ours.yaml"]).exception, UserError)


def test_the_suite_that_init_writes_has_every_key_and_its_commented_lines_are_good(tmp_path, monkeypatch) -> None:
    text = (ROOT / "bench/template.yaml").read_text(encoding="utf-8")
    for model in (SuiteFile, CodecSpec, MetricSpec, CompareSpec, RegressSpec, Selection):
        lacking = [key for key in model.model_fields if key != "source" and not re.search(rf"\b{key}:", text)]
        assert not lacking, model
    data = yaml.safe_load(
        re.sub(r"^( *)# -", r"\1-", text, flags=re.MULTILINE).replace("metrics: [mel_dac_train, stoi, pesq_wb]", "metrics:")
    )
    assert len(data["datasets"]) == 7
    assert [parse_spec(each) for each in data["datasets"]]
    assert [CodecSpec.model_validate(each) for each in data["codecs"]]
    assert data["metrics"][0]["metric"] in metric_infos()


@pytest.mark.parametrize("name", packaged_suites())
def test_a_suite_of_the_package_starts_in_an_empty_folder_or_says_what_to_do(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        suite = load_suite(find_suite(name))
    except UserError as error:
        (line,) = str(error).splitlines()
        assert re.search(rf": {tmp_path}/\w+/\w+\.jsonl: is not there; get it with: bench (fetch|listeners) ", line), line
        return
    registry = Registry()
    take_metrics(registry, suite.metrics)
    for requirement in requirements(suite, registry):
        if not requirement.need.available:
            assert requirement.need.how
            assert "../" not in requirement.need.how
            assert not re.search(rf"put the file at (?!{tmp_path})", requirement.need.how)


def test_files_that_an_override_names_start_at_the_working_folder(tmp_path, monkeypatch) -> None:
    (tmp_path / "here/wavs").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "here/my_metric.py").write_text(METRIC, encoding="utf-8")
    (tmp_path / "here/my.safetensors").write_bytes(b"")
    monkeypatch.chdir(tmp_path / "here")
    overrides = ["datasets=[{folder: wavs}]", "metrics=[my_metric.py, stoi]", "codecs=[{codec: tfc, checkpoint: my.safetensors}]"]
    suites = [load_suite(find_suite("low_rate"), [*overrides, "compare=null"])]
    (tmp_path / "there/s.yaml").write_text("name: s\ndatasets: [bundled]\ncodecs: opus\nmetrics: [stoi]\n", encoding="utf-8")
    suites.append(load_suite(Path("../there/s.yaml"), overrides))
    for suite in suites:
        assert isinstance(suite.datasets[0], FolderSet)
        assert suite.datasets[0].folder == str(tmp_path / "here/wavs")
        assert suite.metrics[0].source == str(tmp_path / "here/my_metric.py")
        assert suite.entries[1].checkpoint == str(tmp_path / "here/my.safetensors")
    (tmp_path / "there/only_there").mkdir()
    assert load_suite(Path("../there/s.yaml"), ["datasets=[{folder: only_there}]"]).base_dir == tmp_path / "there"
    with pytest.raises(UserError, match=f"datasets\\[0\\].folder: {tmp_path}/here/nowhere: is no folder"):
        load_suite(find_suite("low_rate"), ["datasets=[{folder: nowhere}]"])


def test_lists_hold_what_comes_with_the_package(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "papers/codecslime_main" in CliRunner().invoke(app, ["list", "suites"]).output
    assert "fixed_tiny_backbone" in CliRunner().invoke(app, ["list", "recipes"]).output


@pytest.mark.slow
def test_a_wheel_in_a_fresh_environment_runs_in_an_empty_folder_and_so_does_the_tour_of_the_readme(tmp_path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    recipe = "codecs/training/recipes/fixed_tiny_backbone.yaml"
    for name in ("suites/low_rate.yaml", "suites/papers/lfsc.published.csv", recipe, "template.yaml"):
        assert f"bench/{name}" in names
    venv.create(tmp_path / "env", with_pip=True, system_site_packages=False)
    libraries = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    # The dependencies are those of this environment, without its own (editable) installation of the project.
    (libraries / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")), encoding="utf-8")
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--no-deps", "-q", "--force-reinstall", str(wheel)], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    environment["PATH"] = f"{tmp_path / 'env/bin'}{os.pathsep}{environment['PATH']}"

    def shell(line: str) -> str:
        ran = subprocess.run(line, shell=True, cwd=empty, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    where = [python, "-c", "import bench; print(bench.__file__)"]
    assert str(libraries) in subprocess.run(where, cwd=empty, env=environment, capture_output=True, text=True).stdout
    assert "low_rate" in shell("bench list suites")
    for name in packaged_suites():  # a wheel lacks no file that it names without a word of where to get it
        ran = subprocess.run(["bench", "doctor", name], cwd=empty, env=environment, capture_output=True, text=True)
        assert ran.returncode in (0, 3) or (ran.returncode == 2 and "get it with: bench " in ran.stderr), (
            f"{name}\n{ran.stdout}{ran.stderr}"
        )
    assert "opus" in shell("bench run low_rate --limit 1 --set 'metrics=[stoi]'")
    assert (empty / "reports" / "low_rate" / "index.html").is_file()
    reader.write_files(empty, reader.TOUR)
    for command in reader.commands(reader.TOUR):
        shell(command)
    assert "codecslime" in shell("python notebook.py")
