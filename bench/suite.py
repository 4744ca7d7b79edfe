"""A YAML file read once into a frozen Suite; every mistake in it is named, with its line, before a model loads."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.codec import Kind, OperatingPoint
from bench.datasets.specs import DatasetSpec, parse_spec
from bench.errors import UserError, unknown
from bench.published import Published, read_published
from bench.recordings import read_systems
from bench.registry import RECORDINGS, codec_module, codec_names, metric_infos

REFERENCE = "reference"  # always scored: the ceiling of every metric
SPENT = ("bitrate", "frame_rate", "encode_rtf", "decode_rtf")  # what `bench regress` checks beside the metrics
_Path = tuple[str | int, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Strict):
    """`{from: 40, to: 80, step: 10}`: 40, 50, 60, 70, 80."""

    start: float = Field(alias="from")
    stop: float = Field(alias="to")
    step: float = Field(gt=0)

    def values(self) -> list[float]:
        count = int((self.stop - self.start) / self.step + 1e-9) + 1
        return [round(self.start + i * self.step, 9) for i in range(count)]


class CodecSpec(_Strict):
    """One codec with the points to run it at: named `points`, or a `sweep` whose every combination is a point, or both.

    codec   a file in codecs/, `recordings`, or a file of one's own, relative to the suite: my_codec.py
    """

    codec: str
    name: str | None = None  # its label in tables, where one codec runs with several checkpoints
    checkpoint: str | None = None
    points: tuple[str, ...] = ()
    sweep: Mapping[str, tuple[float | str, ...] | Range] = {}
    manifest: str | None = None  # of `recordings`
    family: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")  # the curve that its points lie on, with others of that family

    @field_validator("sweep", mode="before")
    @classmethod
    def _scalars_are_lists_of_one(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: item if isinstance(item, (list, tuple, Mapping)) else [item] for key, item in value.items()}
        return value


class MetricSpec(_Strict):
    """A column; options (an ASR checkpoint, say) are handed to the metric."""

    metric: str
    options: Mapping[str, str] = {}


class CompareSpec(_Strict):
    baseline: str  # CODEC@POINT


class RegressSpec(_Strict):
    """Margins of `bench regress`: metric, or one of SPENT -> the loss in its unit (or "2%" of the baseline's mean) that still passes."""

    margins: Mapping[str, float | str] = {}
    alpha: float = Field(default=0.05, gt=0, lt=0.5)

    @field_validator("margins")
    @classmethod
    def _are_losses(cls, value: Mapping[str, float | str]) -> Mapping[str, float | str]:
        for name, loss in value.items():
            if not (re.fullmatch(r"\d+(\.\d+)?%", loss) if isinstance(loss, str) else loss > 0):
                raise ValueError(f"{name}: a margin is a number above 0 in the metric's unit, or a share of the baseline's mean such as 2%")
        return value


class SuiteFile(_Strict):
    """The YAML, key by key."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    datasets: tuple[Any, ...] = Field(min_length=1)
    codecs: tuple[CodecSpec, ...] = Field(min_length=1)
    metrics: tuple[MetricSpec, ...] = Field(min_length=1)
    compare: CompareSpec | None = None
    regress: RegressSpec = RegressSpec()
    length_tolerance_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    seed: int = 0

    @field_validator("metrics", mode="before")
    @classmethod
    def _names_are_metrics(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return [{"metric": item} if isinstance(item, str) else item for item in value]

    @field_validator("datasets", "codecs", mode="before")
    @classmethod
    def _single_items_are_lists(cls, value: Any) -> Any:
        return [value] if isinstance(value, (str, Mapping)) else value


@dataclass(frozen=True)
class Entry:
    """A codec of the suite with its points resolved.

    label       unique in the suite: what tables call it
    module      what `registry.codec_module` loads
    manifest    of `recordings`, absolute
    family      the curve that it shares with others; "" for one of its own
    system      of `recordings`: whose they are, by the manifest, and of which kind
    length_tolerance_s   of `recordings`: by how much one may be longer or shorter than its reference; None for 100 ms or 1 %
    """

    label: str
    module: str
    checkpoint: str | None
    points: tuple[OperatingPoint, ...]
    manifest: Path | None = None
    family: str = ""
    system: str = ""
    kind: Kind = "recordings"
    length_tolerance_s: float | None = None


@dataclass(frozen=True)
class Suite:
    """A checked suite: everything named in it exists."""

    name: str
    datasets: tuple[DatasetSpec, ...]
    entries: tuple[Entry, ...]
    metrics: tuple[MetricSpec, ...]
    base_dir: Path
    regress: RegressSpec = field(default_factory=RegressSpec)
    seed: int = 0
    text: str = ""
    source: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    published: tuple[Published, ...] = ()  # of SUITE.published.csv, beside SUITE.yaml

    @property
    def metric_names(self) -> tuple[str, ...]:
        return tuple(spec.metric for spec in self.metrics)


def load_suite(path: Path, overrides: Sequence[str] = ()) -> Suite:
    """The suite at `path` with `key=value` overrides applied. UserError lists every mistake as file:line: field: what, and the choices."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    try:
        data, lines = _read_yaml(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: {error.problem or error}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}:1: a suite is a mapping with the keys {', '.join(SuiteFile.model_fields)}")
    for override in overrides:
        _apply(data, override, lines)
    mistakes = _Mistakes(path, lines)
    try:
        file = SuiteFile.model_validate(data)
    except ValidationError as error:
        for item in error.errors():
            mistakes.add(_yaml_path(item["loc"]), _explain(item))
        raise mistakes.error() from None
    suite = _resolve(file, path, text, data, mistakes)
    if mistakes.found:
        raise mistakes.error()
    return suite


def _resolve(file: SuiteFile, path: Path, text: str, data: Mapping[str, Any], mistakes: _Mistakes) -> Suite:
    base_dir = path.parent.resolve()
    datasets = []
    for index, raw in enumerate(file.datasets):
        try:
            datasets.append(parse_spec(raw))
        except ValidationError as error:
            for item in error.errors():
                mistakes.add(("datasets", index, *_yaml_path(item["loc"])), _explain(item))
        except ValueError as error:
            mistakes.add(("datasets", index), str(error))
    infos = metric_infos()
    for index, metric in enumerate(file.metrics):
        if metric.metric not in infos:
            mistakes.add(("metrics", index), unknown("metric", metric.metric, infos))
        elif metric in file.metrics[:index]:
            mistakes.add(("metrics", index), f"metric '{metric.metric}' comes twice")
    entries: list[Entry] = []
    for index, spec in enumerate(file.codecs):
        module = spec.codec
        if module.endswith(".py"):
            module = str((base_dir / module).resolve())
            if not Path(module).is_file():
                mistakes.add(("codecs", index, "codec"), f"no file {module}")
                continue
        elif module != RECORDINGS and module not in codec_names():
            mistakes.add(("codecs", index, "codec"), unknown("codec", module, [*codec_names(), RECORDINGS, "a file: my_codec.py"]))
            continue
        where = ("codecs", index)
        label = spec.name or Path(module).stem
        if module == RECORDINGS:
            found = _recorded(spec, file, base_dir, where, mistakes)
        else:
            found = [_entry(spec, label, module, base_dir, where, mistakes)]
        for entry in found:
            if entry.label in (known.label for known in entries):
                mistakes.add(where, f"'{entry.label}' comes twice; give one of them another `name:`")
            else:
                entries.append(entry)
    if REFERENCE not in (entry.module for entry in entries):
        entries.insert(0, Entry(REFERENCE, REFERENCE, None, tuple(codec_module(REFERENCE).POINTS.values())))
    for index, spec in enumerate(file.codecs):
        if spec.family in (entry.label for entry in entries if entry.family != spec.family):
            mistakes.add(("codecs", index, "family"), f"'{spec.family}' is the name of a codec that is not of this family")
    if file.compare is not None:
        known = [f"{entry.label}@{point.name}" for entry in entries for point in entry.points]
        if file.compare.baseline not in known:
            mistakes.add(("compare", "baseline"), unknown("baseline", file.compare.baseline, known))
    for name in file.regress.margins:
        if name not in (*infos, *SPENT):
            mistakes.add(("regress", "margins", name), unknown("metric", name, (*infos, *SPENT)))
    return Suite(
        file.name,
        tuple(datasets),
        tuple(entries),
        tuple(_with_absolute_paths(metric, base_dir) for metric in file.metrics),
        base_dir,
        file.regress,
        file.seed,
        text,
        str(path),
        data,
        read_published(path.with_suffix(".published.csv")),
    )


def _entry(spec: CodecSpec, label: str, module: str, base_dir: Path, where: _Path, mistakes: _Mistakes) -> Entry:
    checkpoint = spec.checkpoint
    if checkpoint is not None and (base_dir / checkpoint).exists():
        checkpoint = str((base_dir / checkpoint).resolve())
    if spec.manifest is not None:
        mistakes.add((*where, "manifest"), f"only `codec: {RECORDINGS}` takes a manifest")
    known = dict(codec_module(module).POINTS)
    points: dict[str, OperatingPoint] = {}
    for index, name in enumerate(spec.points):
        if name in known:
            points[name] = known[name]
        else:
            mistakes.add((*where, "points", index), unknown(f"point of {label}", name, known))
    for settings in _combinations(spec.sweep):
        try:
            point = codec_module(module).point(**settings)
            points[point.name] = point
        except (ValueError, TypeError) as error:
            mistakes.add((*where, "sweep"), f"{', '.join(f'{k}={v}' for k, v in settings.items())}: {error}")
            break
    if not spec.points and not spec.sweep:
        points = known
    return Entry(label, module, checkpoint, tuple(points.values()), family=spec.family)


def _recorded(spec: CodecSpec, file: SuiteFile, base_dir: Path, where: _Path, mistakes: _Mistakes) -> list[Entry]:
    """An entry for each system of the manifest of `recordings`."""
    if spec.manifest is None:
        keys = "id, variant, path, system, kind, family, reference, frame_rate_hz, bitrate_kbps"
        mistakes.add(where, f"recordings need a `manifest:` (JSONL: {keys})")
        return []
    manifest = (base_dir / spec.manifest).resolve()
    try:
        systems = read_systems(manifest)
    except UserError as error:
        mistakes.add((*where, "manifest"), str(error))
        return []
    if spec.sweep or spec.checkpoint:
        mistakes.add((*where, "sweep" if spec.sweep else "checkpoint"), "recordings have none: what is in the manifest is scored")
    if spec.name and len(systems) > 1:
        mistakes.add((*where, "name"), f"the manifest names {len(systems)} systems, each a codec of its own name: {', '.join(systems)}")
    every_point = {name: point for system in systems.values() for name, point in system.operating_points().items()}
    for index, name in enumerate(spec.points):
        if name not in every_point:
            mistakes.add((*where, "points", index), unknown("point of the recordings", name, every_point))
    entries = []
    for system in systems.values():
        points = tuple(point for name, point in system.operating_points().items() if name in (spec.points or every_point))
        label, family = spec.name or system.name or RECORDINGS, system.family or spec.family
        if points:
            entries.append(Entry(label, RECORDINGS, None, points, manifest, family, system.name, system.kind, file.length_tolerance_s))
    return entries


def _with_absolute_paths(metric: MetricSpec, base_dir: Path) -> MetricSpec:
    options = {key: str((base_dir / value).resolve()) if (base_dir / value).exists() else value for key, value in metric.options.items()}
    return MetricSpec(metric=metric.metric, options=options)


def _combinations(sweep: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if sweep:
        lists = [value.values() if isinstance(value, Range) else value for value in sweep.values()]
        for values in itertools.product(*lists):
            yield dict(zip(sweep, values, strict=True))


class _Mistakes:
    """Collected, then told all at once."""

    def __init__(self, path: Path, lines: Mapping[_Path, int | str]) -> None:
        self.path, self.lines = path, lines
        self.found: list[tuple[int, str]] = []

    def add(self, where: _Path, what: str) -> None:
        nearest = next(where[:end] for end in range(len(where), -1, -1) if where[:end] in self.lines or end == 0)
        line = self.lines.get(nearest, 1)
        field_name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        place = f"{self.path}:{line}" if isinstance(line, int) else line
        self.found.append((line if isinstance(line, int) else 0, f"{place}: {field_name}: {what}"))

    def error(self) -> UserError:
        return UserError("\n".join(text for _, text in sorted(self.found)))


def _explain(item: Any) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        *parents, name = [part for part in item["loc"] if isinstance(part, str)]
        models: dict[str, type[BaseModel]] = {"codecs": CodecSpec, "metrics": MetricSpec, "compare": CompareSpec, "regress": RegressSpec}
        return unknown("key", name, models.get(parents[0] if parents else "", SuiteFile).model_fields)
    if kind == "missing":
        return "is missing"
    return f"{item['msg']} (got {item['input']!r})"


def _yaml_path(location: Sequence[str | int]) -> _Path:
    """pydantic names the branch of a union inside the path; YAML has no such step."""
    branches = {"Range", "float", "str"}
    return tuple(part for part in location if isinstance(part, int) or not ("[" in part or part in branches))


def _read_yaml(text: str) -> tuple[Any, dict[_Path, int | str]]:
    """The data, and the line of every key and item."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines: dict[_Path, int | str] = {}
    if root is None:
        return None, lines

    def walk(node: yaml.Node, path: _Path) -> None:
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, key.value)
                if here in lines:
                    raise yaml.MarkedYAMLError(problem=f"key '{key.value}' comes twice", problem_mark=key.start_mark)
                lines[here] = key.start_mark.line + 1
                walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                walk(value, (*path, index))

    walk(root, ())
    return yaml.safe_load(text), lines


def _apply(data: dict[str, Any], override: str, lines: dict[_Path, int | str]) -> None:
    """`metrics=[stoi]`, `compare.baseline=a@b`, `datasets.0.limit=4`: the value is YAML."""
    key, separator, value = override.partition("=")
    if not separator:
        raise UserError(f"--set {override}: write it as key=value, such as metrics=[stoi]")
    path: _Path = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    node: Any = data
    try:
        for part in path[:-1]:
            node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
        node[path[-1]] = yaml.safe_load(value)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise UserError(f"--set {override}: there is no '{key}' in the suite to set") from None
    except yaml.YAMLError as error:
        raise UserError(f"--set {override}: the value is no YAML: {error}") from None
    for known in [known for known in lines if known[: len(path)] == path]:
        del lines[known]
    lines[path] = f"--set {override}"
