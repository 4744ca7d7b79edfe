"""What there is, and whether it can run here now: the rows behind `bench list` and `bench doctor`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.checkpoint import shipped
from bench.datasets import published_samples
from bench.datasets.corpora import LAYOUTS
from bench.datasets.known import KNOWN_SETS
from bench.datasets.specs import BUNDLED, parse_spec
from bench.datasets.specs import needs as dataset_needs
from bench.errors import UserError, unknown
from bench.needs import Need, Requirement
from bench.registry import Registry, codec_module, codec_names, metric_infos, metric_modules
from bench.suite import packaged_suites

Row = dict[str, Any]
_RECIPES = Path(__file__).parent / "codecs" / "training" / "recipes"


def codecs() -> list[Row]:
    rows, registry = [], Registry()
    for name in registry.codec_names():
        module = registry.codec_module(name)
        checkpoints = shipped(name)
        lacking = registry.codec_lacks(name)
        rows.append(
            {
                "codec": name,
                "kind": module.INFO.kind,
                "title": module.INFO.title,
                "points": len(module.POINTS),
                "shipped checkpoints": ", ".join(checkpoints),
                "licence": module.INFO.licence,
                "here": not lacking,
                "get it with": _how(lacking),
            }
        )
    return rows


def points() -> list[Row]:
    return [row for name in codec_names() for row in points_of(name)]


def points_of(codec: str) -> list[Row]:
    return [
        {"codec": Path(codec).name, "point": point.name, "Hz": point.frame_rate, "codebooks": point.n_q, "options": dict(point.options)}
        for point in codec_module(codec).POINTS.values()
    ]


def metrics() -> list[Row]:
    rows, registry = [], Registry()
    for name, info in registry.metric_infos().items():
        lacking = registry.metric_lacks(name)
        rows.append(
            {
                "metric": name,
                "better": "-" if info.diagnostic else "higher" if info.higher_is_better else "lower",
                "unit": info.unit,
                "Hz": info.sample_rate,
                "definition": info.definition,
                "source": info.source,
                "here": not lacking,
                "get it with": _how(lacking),
            }
        )
    return rows


def suites() -> list[Row]:
    import yaml

    rows = []
    for name, path in {**packaged_suites(), **{str(path): path for path in sorted(Path().glob("*.yaml"))}}.items():
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8"))
            codecs = [codec["codec"] for codec in data.get("codecs", [])]
        except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError):
            continue  # a file of this folder that is no suite
        if codecs:
            rows.append({"suite": name, "description": data.get("description", ""), "codecs": ", ".join(dict.fromkeys(codecs))})
    return rows


def recipes() -> list[Row]:
    return [{"recipe": path.stem, "codec": path.stem.split("_")[0]} for path in sorted(_RECIPES.glob("*.yaml"))]


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or the name of one that comes with the package."""
    path, packaged = Path(name), _RECIPES / f"{Path(name).stem}.yaml"
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return path if path.is_file() or not packaged.is_file() else packaged
    if not packaged.is_file():
        raise UserError(unknown("recipe", name, [row["recipe"] for row in recipes()]))
    return packaged


def datasets() -> list[Row]:
    rows = []
    for name in (BUNDLED, *KNOWN_SETS):
        lacking = [need for need in dataset_needs(parse_spec(name), Path()) if not need.available]
        licence = KNOWN_SETS[name].licence if name in KNOWN_SETS else "see bench/corpus/README.md"
        rows.append({"data set": name, "licence": licence, "here": not lacking, "get it with": _how(lacking)})
    here = Path(published_samples.NAME, "recordings.jsonl").is_file()
    how = "" if here else f"bench fetch {published_samples.NAME}"
    rows.append({"data set": published_samples.NAME, "licence": "that of each demo page", "here": here, "get it with": how})
    return rows


def corpora() -> list[Row]:
    """The layouts in which a folder is recognised, or is read by `{corpus: NAME, path: ...}`."""
    return [{"corpus": name, "layout": (layout.__doc__ or "").splitlines()[0]} for name, layout in LAYOUTS.items()]


LISTS: dict[str, Callable[[], list[Row]]] = {
    "codecs": codecs,
    "points": points,
    "metrics": metrics,
    "suites": suites,
    "recipes": recipes,
    "datasets": datasets,
    "corpora": corpora,
}


def everything() -> list[Row]:
    """Every need of every codec and metric."""
    found = [Requirement("codec", name, need) for name in codec_names() for need in codec_module(name).needs(None)]
    for name in metric_infos():
        found += [Requirement("metric", name, need) for need in metric_modules()[name].needs([name], {})]
    return [requirement_row(requirement) for requirement in found]


def requirement_row(requirement: Requirement) -> Row:
    need = requirement.need
    return {
        "for": f"{requirement.kind} {requirement.owner}",
        "needs": need.name,
        "MB": "" if need.size_mb is None else round(need.size_mb),
        "licence": need.licence,
        "here": need.available,
        "get it with": "" if need.available else need.how,
    }


def as_text(rows: Sequence[Row]) -> str:
    """The rows as a plain table, as wide as its texts need."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(_told(value) for value in row.values()))
    console = Console(file=io.StringIO(), width=10_000, color_system=None, markup=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value)


def _how(lacking: Sequence[Need]) -> str:
    return "; ".join(dict.fromkeys(need.how for need in lacking))
