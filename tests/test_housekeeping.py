"""What is said of the project in several places is the same in all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


def steps(job: str) -> list[str]:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    return [step["run"] for step in workflow["jobs"][job]["steps"] if "run" in step]


def test_pre_commit_runs_what_the_workflow_runs_with_the_versions_of_dev() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert all(repository["repo"] == "local" for repository in repositories)  # no version of its own
    assert all(hook["language"] == "system" for hook in hooks)
    assert [hook["entry"] for hook in hooks] == [step for step in steps("lint") if not step.startswith("pip")]


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_the_tools_that_judge_code_have_one_version(tool: str) -> None:
    """Another version formats and finds differently: it would fail a commit that changed nothing."""
    assert re.search(rf'^    "{tool}==[\d.]+",$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert tested == ["3.10", "3.11", "3.12", "3.13"]
    assert re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project) == tested
    assert f'requires-python = ">={tested[0]}"' in project
    assert f"Python {tested[0]} or later" in (ROOT / "README.md").read_text(encoding="utf-8")
    image = re.search(r"FROM python:(3\.\d+) ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert image is not None
    assert image[1] in tested


def test_the_image_is_built_from_what_the_package_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert all((ROOT / name).exists() for name in kept)
    links = {(ROOT / "bench" / name).resolve().relative_to(ROOT).parts[0] for name in ("codecs", "suites")}
    assert links <= set(kept)  # bench/ links to them: without them a link would lead nowhere
    torch = re.search(r"'(torch.+?)'", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert torch is not None
    assert f'"{torch[1]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
