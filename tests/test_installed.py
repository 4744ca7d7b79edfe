"""What a wheel holds: suites, recipes, corpus and checkpoints; an installed `bench` needs no clone."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import UserError
from bench.suite import load_suite
from tests import reader

ROOT = Path(__file__).resolve().parent.parent


def test_init_writes_a_suite_that_is_good(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["init", "ours.yaml"]).exit_code == 0
    assert load_suite(tmp_path / "ours.yaml").name == "ours"
    assert isinstance(CliRunner().invoke(app, ["init", "ours.yaml"]).exception, UserError)


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
    assert "opus" in shell("bench run low_rate --limit 1 --set 'metrics=[stoi]'")
    assert (empty / "reports" / "low_rate" / "index.html").is_file()
    reader.write_files(empty, reader.TOUR)
    for command in reader.commands(reader.TOUR):
        shell(command)
    assert "codecslime" in shell("python notebook.py")
