"""A YAML file read once into a frozen Suite; every mistake in it is named, with its line, before a model loads."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from bench.checkpoint import how_to_get, shipped
from bench.codec import CodecModule, Kind, OperatingPoint
from bench.datasets.cells import no_switch
from bench.datasets.manifest import resolved
from bench.datasets.specs import DatasetSpec, FolderSet, ManifestSet, parse_spec
from bench.errors import UserError, unknown
from bench.folders import audio_files
from bench.needs import GIVE_CHECKPOINT
from bench.plugins import is_own
from bench.published import Published, read_published
from bench.recordings import RecordedFolder, read_systems
from bench.registry import RECORDINGS, Registry

REFERENCE = "reference"  # always scored: the ceiling of every metric
PACKAGED = Path(__file__).parent / "suites"
SPENT = ("bitrate", "frame_rate", "encode_rtf", "decode_rtf")  # what `bench regress` checks beside the metrics
_WEIGHTS = re.compile(r"(?!hf:|https?:).*\.(pt|pth|ckpt|bin|safetensors|nemo|onnx|th|npz)")  # what can only be the name of a file
_WORD = re.compile(r"[\w.-]+")  # neither a path nor an address
MAX_POINTS = 1000  # of one codec; a sweep beyond that is a slip
_MAX_BYTES = 1_000_000  # of a suite; those of this project have 2,000
_MAX_NODES = 20_000  # keys and items, each as often as it is used
_MAX_DIGITS = 300  # of an integer; a float holds no more
_MAX_DEPTH = 20  # a suite needs 5
_OTHER_FORMS = frozenset({"model_type", "tuple_type", "int_type", "float_type"})  # pydantic's words for what else a value might have been
_SHOWN = 80  # characters of a value in a message
_MAX_LABEL = 80  # characters: labels become names of folders
_NO_NAME = re.compile(r"[,\x00-\x1f\x7f]|^\s|\s$|^$")  # --codecs takes names with commas between, and spaces around them
_OF_A_FOLDER = ("folder", "pair", "bitrate_kbps", "frame_rate_hz", "kind")  # keys of recordings
_WORDS = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_Path = tuple[str | int, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any) -> Any:
        """No key here is a switch, and `yes` would be taken for 1."""
        no_switch(value)
        for item in value.values() if isinstance(value, Mapping) else ():
            no_switch(item)
        return value


class Range(_Strict):
    """`{from: 40, to: 80, step: 10}`: 40, 50, 60, 70, 80."""

    start: int | float = Field(alias="from", allow_inf_nan=False)
    stop: int | float = Field(alias="to", allow_inf_nan=False)
    step: int | float = Field(gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _goes_up(self) -> Range:
        if self.stop < self.start:
            raise ValueError(f"goes backwards, from {self.start:g} to {self.stop:g}; write the smaller first")
        if self._steps() >= MAX_POINTS:
            raise ValueError(f"has more than {MAX_POINTS} values; take a larger step")
        return self

    def values(self) -> list[int | float]:
        """Integers where all three are."""
        return [_whole(round(self.start + i * self.step, 9), self) for i in range(int(self._steps()) + 1)]

    def _steps(self) -> float:
        return (self.stop - self.start) / self.step + 1e-9


def _whole(value: float, among: Range) -> int | float:
    return int(value) if all(isinstance(each, int) for each in (among.start, among.stop, among.step)) else value


def check_name(name: str) -> str:
    """A codec's label or a point's name, that options such as `--codecs a@x,b@y` can name; ValueError where they cannot."""
    if _NO_NAME.search(name):
        raise ValueError("a name holds anything but commas, control characters and spaces at its ends, which --codecs could not name")
    return name


Label = Annotated[str, Field(min_length=1, max_length=_MAX_LABEL), AfterValidator(check_name)]


class CodecSpec(_Strict):
    """One codec with the points to run it at: named `points`, or a `sweep` whose every combination is a point, or both.

    codec   a file in codecs/, `recordings`, a file of one's own, relative to the suite: my_codec.py, or a module: my_package.codec
    """

    codec: str
    name: Label | None = None  # its label in tables, where one codec runs with several checkpoints
    checkpoint: str | None = None
    points: tuple[str, ...] = ()
    sweep: Mapping[str, Annotated[tuple[int | float | str, ...], Field(min_length=1)] | Range] = {}
    manifest: str | None = None  # of `recordings`: JSONL, CSV or TSV
    folder: str | None = None  # of `recordings`: a folder whose name is the point, or one file
    pair: str = ""  # of a folder's files with utterances: path, stem or a regular expression
    bitrate_kbps: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # of a folder
    frame_rate_hz: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # of a folder
    kind: Literal["fixed", "dynamic", "classical", "recordings"] = "recordings"  # of a folder
    family: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")  # the curve that its points lie on, with others of that family

    @field_validator("points", mode="before")
    @classmethod
    def _a_name_is_a_list_of_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("sweep", mode="before")
    @classmethod
    def _scalars_are_lists_of_one(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: item if isinstance(item, (list, tuple, Mapping)) else [item] for key, item in value.items()}
        return value

    @field_validator("sweep")
    @classmethod
    def _is_finite_and_short(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, items in value.items():
            if not isinstance(items, Range) and any(isinstance(item, float) and not math.isfinite(item) for item in items):
                raise ValueError(f"{name}: a setting is a finite number")
        count = math.prod(len(items.values() if isinstance(items, Range) else items) for items in value.values())
        if count > MAX_POINTS:
            raise ValueError(f"has {count} combinations, more than {MAX_POINTS}")
        return value


class MetricSpec(_Strict):
    """A column; options (an ASR checkpoint, say) are handed to the metric.

    metric    its name; or a file of one's own, relative to the suite, or a module, for all of its columns
    source    the file or module where `metric` is one column of it
    """

    metric: str
    source: str = ""
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
            if not (re.fullmatch(r"(?!0+(\.0+)?%)\d+(\.\d+)?%", loss) if isinstance(loss, str) else 0 < loss < math.inf):
                raise ValueError(f"{name}: a margin is a number above 0 in the metric's unit, or a share of the baseline's mean such as 2%")
        return value


class SuiteFile(_Strict):
    """The YAML, key by key."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=_MAX_LABEL)
    description: str = ""
    datasets: tuple[Any, ...] = Field(min_length=1)
    codecs: tuple[CodecSpec, ...] = Field(min_length=1)
    metrics: tuple[MetricSpec, ...] = Field(min_length=1)
    get_with: str = ""  # the command that makes or fetches the manifests it names; told where one is not there
    compare: CompareSpec | None = None
    regress: RegressSpec = RegressSpec()
    length_tolerance_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("datasets", "codecs", "metrics", mode="before")
    @classmethod
    def _names_are_items(cls, value: Any, field: ValidationInfo) -> Any:
        """`codecs: opus` and `codecs: [opus]` are `codecs: [{codec: opus}]`, and metrics alike."""
        items = [value] if isinstance(value, (str, Mapping)) else value
        key = {"codecs": "codec", "metrics": "metric"}.get(field.field_name or "")
        if key is None or not isinstance(items, (list, tuple)):
            return items
        return [{key: item} if isinstance(item, str) else item for item in items]


@dataclass(frozen=True)
class Entry:
    """A codec of the suite with its points resolved.

    label       unique in the suite: what tables call it
    module      what `registry.codec_module` loads
    manifest    of `recordings`, absolute; folders: in its place
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
    folders: tuple[RecordedFolder, ...] = ()


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
    places: tuple[str, ...] = ()  # of the data sets, as messages name them

    @property
    def metric_names(self) -> tuple[str, ...]:
        return tuple(spec.metric for spec in self.metrics)


def selected(suite: Suite, codecs: Sequence[str], metrics: Sequence[str]) -> Suite:
    """`suite` with only the codecs (by label) and the metrics that are named; all of them where none are. The original stays."""
    labels = [entry.label for entry in suite.entries]
    for what, names, known in (("codec", codecs, labels), ("metric", metrics, suite.metric_names)):
        if wrong := [name for name in names if name not in known]:
            raise UserError(f"{suite.source}: {unknown(f'{what} of the suite', wrong[0], known)}")
    entries = tuple(entry for entry in suite.entries if not codecs or entry.label in (*codecs, REFERENCE))
    return replace(suite, entries=entries, metrics=tuple(spec for spec in suite.metrics if not metrics or spec.metric in metrics))


def find_suite(name: str) -> Path:
    """The file of a suite: a path, or the name of one that comes with the package (`low_rate`, `papers/lfsc`)."""
    path = Path(name)
    packaged = PACKAGED / f"{name.removesuffix('.yaml').removeprefix('suites/')}.yaml"
    if path.is_file() or not packaged.is_file():
        if not path.is_file() and path.suffix not in (".yaml", ".yml"):
            raise UserError(unknown("suite", name, [*packaged_suites(), "a file: my_suite.yaml"]))
        if path.is_file() and path.suffix.lower() not in (".yaml", ".yml", ".json"):
            raise UserError(f"{name}: is no suite, which is a .yaml file: `bench init` writes one; it names codecs, metrics and data")
        return path
    return packaged


def packaged_suites() -> dict[str, Path]:
    """Name -> file of the suites that come with the package."""
    return {path.relative_to(PACKAGED).with_suffix("").as_posix(): path for path in sorted(PACKAGED.rglob("*.yaml"))}


def load_suite(path: Path, overrides: Sequence[str] = ()) -> Suite:
    """The suite at `path` with `key=value` overrides applied. UserError lists every mistake as file:line: field: what, and the choices.

    Relative paths start at the suite's folder; those of one that comes with the package, as if it lay in ./suites, for nobody puts files
    into an installed package. What an override names starts at the working folder, unless it lies beside the suite alone.
    """
    text = _read_text(path)
    try:
        data, lines = _read_yaml(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: {error.problem or error}") from None
    except (yaml.YAMLError, ValueError) as error:  # a date or a number that is none
        raise UserError(f"{path}:1: is no YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise UserError(f"{path}:1: is nested deeper than {_MAX_DEPTH} levels") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}:1: a suite is a mapping with the keys {', '.join(SuiteFile.model_fields)}")
    base_dir = Path("suites") / path.parent.relative_to(PACKAGED) if path.is_relative_to(PACKAGED) else path.parent
    for override in overrides:
        _apply(data, override, lines, base_dir)
    suite = _checked(data, base_dir, text, _Mistakes(path, lines), Registry())
    return replace(suite, source=str(path), published=read_published(path.with_suffix(".published.csv")))


def suite_of(data: Mapping[str, Any], base_dir: Path, source: str) -> Suite:
    """The suite with the keys and values of a YAML file. Relative paths start at `base_dir`; messages call it `source`."""
    text = yaml.safe_dump(data, sort_keys=False)
    return replace(_checked(data, base_dir, text, _Mistakes(Path(source), {(): source}), Registry()), source=source)


def _checked(data: Mapping[str, Any], base_dir: Path, text: str, mistakes: _Mistakes, registry: Registry) -> Suite:
    try:
        file = SuiteFile.model_validate(data)
    except ValidationError as error:
        mistakes.add_all((), error)
        raise mistakes.error() from None
    suite = _resolve(file, base_dir.resolve(), text, data, mistakes, registry)
    if mistakes.found:
        raise mistakes.error()
    return suite


def _resolve(file: SuiteFile, base_dir: Path, text: str, data: Mapping[str, Any], mistakes: _Mistakes, registry: Registry) -> Suite:
    datasets = []
    for index, raw in enumerate(file.datasets):
        try:
            datasets.append(parse_spec(raw))
            if (missing := _missing(datasets[-1], base_dir)) is not None:
                mistakes.add(("datasets", index, missing[0]), missing[1] + _hint(file))
        except ValidationError as error:
            mistakes.add_all(("datasets", index), error)
        except ValueError as error:
            mistakes.add(("datasets", index), str(error))
    metrics: list[MetricSpec] = []
    for index, metric in enumerate(file.metrics):
        for column in _columns(metric, base_dir, ("metrics", index), mistakes, registry):
            if column.metric in [known.metric for known in metrics if known == column or column.source]:
                mistakes.add(("metrics", index), f"metric '{column.metric}' comes twice")
            metrics.append(column)
    infos = registry.metric_infos()
    entries: list[Entry] = []
    told, all_known = len(mistakes.found), True
    for index, spec in enumerate(file.codecs):
        module = spec.codec
        if is_own(module):
            try:
                module = _own(base_dir, module)
                registry.codec_module(module)
            except UserError as error:
                mistakes.add(("codecs", index, "codec"), str(error))
                continue
        elif module != RECORDINGS and module not in registry.codec_names():
            mistakes.add(("codecs", index, "codec"), registry.no_codec(module, RECORDINGS, "a file: my_codec.py"))
            continue
        where = ("codecs", index)
        label = spec.name or (Path(module).stem if module.endswith(".py") else module)
        if module == RECORDINGS:
            found = _recorded(spec, file, base_dir, where, mistakes)
        else:
            found = [_entry(spec, label, module, base_dir, where, mistakes, registry)]
        all_known &= bool(found)
        for entry in found:
            for name in (entry.label, *(point.name for point in entry.points)):
                try:
                    check_name(name)
                except ValueError as error:
                    mistakes.add(where, f"{error} (got {name!r})")
            if entry.label == REFERENCE and entry.module != REFERENCE:
                mistakes.add(where, f"'{REFERENCE}' is what the originals are called; give it another name (`name:`, or --name)")
                continue
            if _with_points_of(entries, entry):
                continue
            if entry.label in (known.label for known in entries):
                mistakes.add(where, f"'{entry.label}' comes twice; give one of them another `name:`")
            else:
                entries.append(entry)
    if REFERENCE not in (entry.module for entry in entries):
        entries.insert(0, Entry(REFERENCE, REFERENCE, None, tuple(registry.codec_module(REFERENCE).POINTS.values())))
    for index, spec in enumerate(file.codecs):
        if spec.family in (entry.label for entry in entries if entry.family != spec.family):
            mistakes.add(("codecs", index, "family"), f"'{spec.family}' is the name of a codec that is not of this family")
    if file.compare is not None and all_known and len(mistakes.found) == told:  # of codecs that are not known it may be any
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
        tuple(metrics),
        base_dir,
        file.regress,
        file.seed,
        text,
        data=data,
        places=tuple(mistakes.place(("datasets", index)) for index in range(len(file.datasets))),
    )


def checkpoint_mistake(codec: CodecModule, name: str, checkpoint: str, place: Path) -> str:
    """What is wrong with a checkpoint that no need of the codec tells; "" where nothing is.

    place   where it would be, as a file
    """
    if is_own(name):  # which need not say in needs() that it reads one
        return f"no file {place}" if _WEIGHTS.fullmatch(checkpoint) and not _exists(place) else ""
    needs = codec.needs(checkpoint)
    of_weights = [need for need in needs if need.kind == "weights"]
    is_file = bool(_WEIGHTS.fullmatch(checkpoint)) or _exists(place)
    if (
        not is_file
        and any(need.how == how_to_get(checkpoint) and not need.available for need in of_weights)
        and _WORD.fullmatch(checkpoint)
    ):
        return f"{unknown('checkpoint', checkpoint, shipped(name))}; a file is written with its suffix, such as my.safetensors"
    return f"codec '{name}' takes no checkpoint" if not of_weights or (is_file and needs == codec.needs(None)) else ""


def _entry(spec: CodecSpec, label: str, module: str, base_dir: Path, where: _Path, mistakes: _Mistakes, registry: Registry) -> Entry:
    checkpoint = spec.checkpoint
    stated = _place(base_dir, checkpoint or "")
    if checkpoint is not None and (_WEIGHTS.fullmatch(checkpoint) or _exists(stated)):
        checkpoint = str(stated)
    if checkpoint is not None and (mistake := checkpoint_mistake(registry.codec_module(module), module, checkpoint, stated)):
        mistakes.add((*where, "checkpoint"), mistake)
    if checkpoint is None and any(need.how == GIVE_CHECKPOINT for need in registry.codec_module(module).needs(None)):
        mistakes.add(where, f"codec '{label}' needs a checkpoint: {GIVE_CHECKPOINT}")
    for key in ("manifest", *_OF_A_FOLDER):
        if key in spec.model_fields_set and getattr(spec, key) is not None:
            mistakes.add((*where, key), f"only `codec: {RECORDINGS}` takes a {key}")
    known = dict(registry.codec_module(module).POINTS)
    points: dict[str, OperatingPoint] = {}
    for index, name in enumerate(spec.points):
        if name in known:
            points[name] = known[name]
        else:
            mistakes.add((*where, "points", index), unknown(f"point of {label}", name, known))
    for settings in _combinations(spec.sweep):
        try:
            point = registry.codec_module(module).point(**settings)
            points[point.name] = point
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            mistakes.add((*where, "sweep"), f"{', '.join(f'{k}={v}' for k, v in settings.items())}: {error}")
            break
    if not spec.points and not spec.sweep:
        points = known
    return Entry(label, module, checkpoint, tuple(points.values()), family=spec.family)


def _folder(spec: CodecSpec, file: SuiteFile, base_dir: Path, where: _Path, mistakes: _Mistakes) -> list[Entry]:
    """The entry of one folder of recordings, whose name is the point."""
    place = _place(base_dir, str(spec.folder))
    for key in ("manifest", "checkpoint", "sweep", "points"):
        if getattr(spec, key):
            mistakes.add((*where, key), f"`folder:` and `{key}:` exclude each other")
    try:
        if not _exists(place):
            raise UserError(f"{place}: is not there")
        audio_files(place)
    except UserError as error:
        mistakes.add((*where, "folder"), str(error))
        return []
    name = place.resolve().name if place.is_dir() else place.stem
    folder = RecordedFolder(place, name, spec.pair, spec.frame_rate_hz, 1000 * spec.bitrate_kbps)
    points = (OperatingPoint(name, spec.frame_rate_hz, 0),)
    label = spec.name or name
    return [Entry(label, RECORDINGS, None, points, None, spec.family, label, spec.kind, file.length_tolerance_s, (folder,))]


def _with_points_of(entries: list[Entry], entry: Entry) -> bool:
    """Adds the folders of `entry` to the codec of that name, if there is one of folders: each is a point of it."""
    for index, known in enumerate(entries):
        new = not {point.name for point in known.points} & {point.name for point in entry.points}
        if known.label == entry.label and known.folders and entry.folders and new:
            entries[index] = replace(known, points=(*known.points, *entry.points), folders=(*known.folders, *entry.folders))
            return True
    return False


def _recorded(spec: CodecSpec, file: SuiteFile, base_dir: Path, where: _Path, mistakes: _Mistakes) -> list[Entry]:
    """An entry for each system of the manifest of `recordings`."""
    if spec.folder is not None:
        return _folder(spec, file, base_dir, where, mistakes)
    if spec.manifest is None:
        keys = "id, variant, path, system, kind, family, reference, frame_rate_hz, bitrate_kbps"
        mistakes.add(where, f"recordings need a `folder:` or a `manifest:` (JSONL or CSV: {keys})")
        return []
    manifest = _place(base_dir, spec.manifest)
    try:
        if not _exists(manifest):
            if file.get_with and any(told.endswith(_hint(file)) for _, told in mistakes.found):
                return []  # one command gets both
            raise UserError(f"{manifest}: is not there{_hint(file)}")
        systems = read_systems(manifest)
    except UserError as error:
        mistakes.add((*where, "manifest"), str(error))
        return []
    for key in _OF_A_FOLDER:
        if key in spec.model_fields_set and getattr(spec, key) is not None:
            mistakes.add((*where, key), f"only recordings of a `folder:` take a {key}; a manifest states its own")
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


def _columns(metric: MetricSpec, base_dir: Path, where: _Path, mistakes: _Mistakes, registry: Registry) -> list[MetricSpec]:
    """The columns that an item of `metrics:` asks for, with absolute paths."""
    options = {key: str(place) if _exists(place := _place(base_dir, value)) else value for key, value in metric.options.items()}
    stated = metric.source or (metric.metric if is_own(metric.metric) else "")
    source, found = "", tuple(registry.metric_infos())
    if stated:
        try:
            source = _own(base_dir, stated)
            found = registry.add_metrics(source)
        except UserError as error:
            mistakes.add(where, str(error))
            return []
        if not metric.source:
            return _with_known_options(
                [MetricSpec(metric=column, source=source, options=options) for column in found], where, mistakes, registry
            )
    if metric.metric not in found:
        told = unknown("metric", metric.metric, found) if source else registry.no_metric(metric.metric, "a file: my_metric.py")
        mistakes.add(where, told)
        return []
    return _with_known_options([MetricSpec(metric=metric.metric, source=source, options=options)], where, mistakes, registry)


def _with_known_options(specs: list[MetricSpec], where: _Path, mistakes: _Mistakes, registry: Registry) -> list[MetricSpec]:
    """`specs`; what their metric says of options that it does not know is a mistake."""
    for spec in specs if specs[0].options else ():
        try:
            registry.metric_modules()[spec.metric].needs([spec.metric], spec.options)
        except UserError as error:
            mistakes.add((*where, "options"), f"{spec.metric}: {error}")
            break
    return specs


def _own(base_dir: Path, stated: str) -> str:
    """The absolute path of a file of one's own, or the path of a module."""
    if not stated.endswith(".py"):
        return stated
    place = _place(base_dir, stated)
    if not (_exists(place) and place.is_file()):
        raise UserError(f"no file {place}")
    return str(place)


def _place(base_dir: Path, stated: str) -> Path:
    """The path that a suite states, from its folder; with the backslashes of Windows too."""
    path = resolved(base_dir, stated)
    return path if "\\" not in stated or _exists(path) else resolved(base_dir, stated.replace("\\", "/"))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # longer than a name can be, or a NUL
        return False


def _is_folder(path: Path) -> bool:
    return _exists(path) and path.is_dir()


def _missing(spec: DatasetSpec, base_dir: Path) -> tuple[str, str] | None:
    """The key of a data set whose file or folder is not there, and what to say of it."""
    if isinstance(spec, FolderSet) and not _exists(place := resolved(base_dir, spec.folder)):
        return "folder", f"{place}: is no folder"
    if isinstance(spec, FolderSet) and spec.text is not None and not _exists(place := resolved(base_dir, spec.text)):
        return "text", f"{place}: is not there"
    if isinstance(spec, ManifestSet) and not _exists(resolved(base_dir, spec.manifest)):
        return "manifest", f"{resolved(base_dir, spec.manifest)}: is not there"
    if spec.ids is not None and not _exists(resolved(base_dir, spec.ids)):
        return "ids", f"{resolved(base_dir, spec.ids)}: is not there"
    return None


def _hint(file: SuiteFile) -> str:
    return f"; get it with: {file.get_with}" if file.get_with else ""


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
        line = self._line(where)
        self.found.append((line if isinstance(line, int) else 0, " ".join(f"{self.place(where)}: {what}".splitlines())))

    def place(self, where: _Path) -> str:
        """file:line: field"""
        line = self._line(where)
        field_name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
        return f"{self.path}:{line}: {field_name}" if isinstance(line, int) else f"{line}: {field_name}"

    def _line(self, where: _Path) -> int | str:
        nearest = next(where[:end] for end in range(len(where), -1, -1) if where[:end] in self.lines or end == 0)
        return self.lines.get(nearest, 1)

    def add_all(self, where: _Path, error: ValidationError) -> None:
        """What pydantic found, less what only follows: that a list lacks the item that is wrong, and what else a value might have been."""
        items = [(_yaml_path(item["loc"]), item) for item in error.errors()]
        kept = [item for index, item in enumerate(items) if not self._follows(index, items)]
        for place, item in kept or items:
            self.add((*where, *place), _explain(item))

    def _follows(self, index: int, items: Sequence[tuple[_Path, Any]]) -> bool:
        place, item = items[index]
        beside = [other for number, (other, _) in enumerate(items) if number != index and other[: len(place)] == place]
        inside = any(len(other) > len(place) for other in beside)
        return bool(item["type"] in _OTHER_FORMS and beside) or (item["type"] == "too_short" and inside)

    def error(self) -> UserError:
        return UserError("\n".join(dict.fromkeys(text for _, text in sorted(self.found))))


def _explain(item: Any) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        *parents, name = [part for part in item["loc"] if isinstance(part, str)]
        models: dict[str, type[BaseModel]] = {"codecs": CodecSpec, "metrics": MetricSpec, "compare": CompareSpec, "regress": RegressSpec}
        return unknown("key", name, models.get(parents[0] if parents else "", SuiteFile).model_fields)
    if kind == "missing":
        return "is missing"
    if kind == "too_short":
        return "is empty; it needs one item at least"
    got = repr(item["input"])
    if kind == "string_type" and isinstance(item["input"], (int, float, date)) and len(got) < _SHOWN:
        return f"is text; put it in quotes (got {got})"
    return f"{item['msg'].removeprefix('Value error, ')} (got {got if len(got) <= _SHOWN else got[:_SHOWN] + ' ...'})"


def _yaml_path(location: Sequence[str | int]) -> _Path:
    """pydantic names the branch of a union inside the path; YAML has no such step."""
    branches = {"Range", "int", "float", "str"}
    return tuple(part for part in location if isinstance(part, int) or not ("[" in part or part in branches))


def _read_text(path: Path) -> str:
    """The suite's text: UTF-8, with or without a byte order mark, of a length that a suite can have."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > _MAX_BYTES:
        raise UserError(f"{path}: has more than {_MAX_BYTES} bytes; is it a suite?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    if (at := yaml.reader.Reader.NON_PRINTABLE.search(text)) is not None:
        line = text.count("\n", 0, at.start()) + 1
        raise UserError(f"{path}:{line}: holds the character U+{ord(at.group()):04X}, which no YAML file may hold; save it as UTF-8 text")
    return text


def _read_yaml(text: str) -> tuple[Any, dict[_Path, int | str]]:
    """The data, and the line of every key and item. An anchor's value counts wherever it is used, and none may be within itself."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines: dict[_Path, int | str] = {}
    if root is None:
        return None, lines

    def walk(node: yaml.Node, path: _Path, around: tuple[yaml.Node, ...] = ()) -> None:
        lines.setdefault(path, node.start_mark.line + 1)
        if any(node is each for each in around):
            raise yaml.MarkedYAMLError(problem="an anchor is used within itself", problem_mark=node.start_mark)
        if len(path) > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"is nested deeper than {_MAX_DEPTH} levels", problem_mark=node.start_mark)
        if len(lines) > _MAX_NODES:
            raise yaml.MarkedYAMLError(problem=f"has more than {_MAX_NODES} keys and items", problem_mark=node.start_mark)
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":int") and len(node.value) > _MAX_DIGITS:
            raise yaml.MarkedYAMLError(problem=f"a number has more than {_MAX_DIGITS} digits", problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key is a word, not a list or a mapping", problem_mark=key.start_mark)
                if key.tag not in _WORDS:
                    problem = f"key '{key.value}' is read as a {key.tag.rpartition(':')[2]}; put it in quotes"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
                here = (*path, key.value)
                if here in lines:
                    raise yaml.MarkedYAMLError(problem=f"key '{key.value}' comes twice", problem_mark=key.start_mark)
                lines[here] = key.start_mark.line + 1
                walk(value, here, (*around, node))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                walk(value, (*path, index), (*around, node))

    walk(root, ())
    return yaml.safe_load(text), lines


def _apply(data: dict[str, Any], override: str, lines: dict[_Path, int | str], base_dir: Path) -> None:
    """`metrics=[stoi]`, `compare.baseline=a@b`, `datasets.0.limit=4`: the value is YAML, its paths start at the working folder."""
    key, separator, value = override.partition("=")
    if not separator:
        raise UserError(f"--set {override}: write it as key=value, such as metrics=[stoi]")
    path: _Path = tuple(int(part) if part.isdecimal() and len(part) < 5 else part for part in key.split("."))
    node: Any = data
    try:
        for part in path[:-1]:
            node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
        node[path[-1]] = _from_here(_read_yaml(value)[0], path[-1], base_dir)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise UserError(f"--set {override}: there is no '{key}' in the suite to set") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"--set {override[:_SHOWN]!r}: the value is no YAML: {reason}") from None
    for known in [known for known in lines if known[: len(path)] == path]:
        del lines[known]
    lines[path] = f"--set {override}"


def _from_here(value: Any, key: str | int, base_dir: Path) -> Any:
    """`value` with the paths in it absolute, from the working folder, unless they lie beside the suite alone."""
    if isinstance(value, dict):
        return {name: _from_here(item, name, base_dir) for name, item in value.items()}
    if isinstance(value, list):
        return [_from_here(item, key, base_dir) for item in value]
    if not isinstance(value, str) or base_dir.resolve() == Path.cwd():
        return value
    here, beside = _place(Path(), value), _exists(_place(base_dir, value))
    is_path = key in ("folder", "manifest", "path") or value.endswith(".py") or (key == "checkpoint" and _WEIGHTS.fullmatch(value))
    may_be = key in ("checkpoint", "text", "ids", "data_files") and _exists(here)
    return str(here) if (is_path and (_exists(here) or not beside)) or may_be else value
