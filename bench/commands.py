"""What the verbs of `bench` do with a terminal: they print, and answer with an exit code."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydantic import ValidationError
from rich.console import Console

from bench import __version__, audio, bitstream, needs
from bench.checkpoint import sha256
from bench.codec import Codec, Encoded, OperatingPoint, check_audio
from bench.datasets import published_samples
from bench.datasets.cells import json_of
from bench.datasets.specs import NAMES, open_dataset, parse_spec
from bench.errors import Unavailable, UserError, unknown
from bench.files import check_regular, plain_name, read_json, write_bytes, write_json, write_text
from bench.listeners import Columns, read_ratings, write_manifests
from bench.plugins import is_own
from bench.recordings import TABLES
from bench.registry import RECORDINGS, Registry, codec_module, codec_names, no_codec, take_metrics
from bench.run import preflight
from bench.run.failure import attempt
from bench.run.runner import failures
from bench.run.session import Options, score
from bench.run.store import RECORDS, read_run
from bench.run.tasks import Failed
from bench.suite import Suite, check_name, checkpoint_mistake, suite_of

if TYPE_CHECKING:
    import torch

R = TypeVar("R")
_SHOWN_FAILURES = 20
SHOWN = "shown.json"  # what the terminal showed of a run, and of which state of it
_TRACEBACK = re.compile(r"\[(errors/\w+\.txt)\]$")  # ends a reason: where the whole of it is kept
SCORED = ("mel_dac_train", "stoi", "pesq_wb", "dnsmos_ovrl")  # metrics of `bench score` where none are named
SCORED_TEXT = "wer_pocketsphinx"  # and, with transcripts, this
_LOG_WIDTH = 140  # characters, of what a CI's log keeps
_CODEC_FILE = b"SCF1"  # `bench encode`: this, the codec's name, checkpoint and its sha256 as JSON with its length, then the bitstream


def run_suite(suite: Suite, options: Options, verbose: bool = False, quiet: bool = False, as_json: bool = False) -> int:
    """`bench run`: 0 when all was scored, 1 when there are recorded failures, or nothing at all was scored.

    quiet      prints the failures alone; as_json: one JSON object with the table, the places of results and report, and the failures
    """
    console = Console(emoji=False)
    try:
        frame = score(suite, options, Console(quiet=True) if quiet or as_json else console)
    except KeyboardInterrupt:
        console.print("interrupted; what was scored is kept, and the same command goes on from there")
        return 130
    page = Path("reports") / options.out.name / "index.html"
    stamp = _stamp(options.out, console.width)
    known = _shown(options.out)
    if known.get("stamp") != stamp or not page.is_file():
        from bench.report.build import written

        known = {"stamp": stamp, "text": written(options.out, page.parent, console)}
        write_json(options.out / SHOWN, known)
    failed = failures(frame)
    if as_json:
        table = list(csv.DictReader(io.StringIO((options.out / "table.csv").read_text(encoding="utf-8"))))
        named = [dict(zip(("codec", "point", "utterance", "what", "reason"), each, strict=True)) for each in failed]
        told = {"results": str(options.out), "report": str(page), "table": table, "failures": named}
        print(json.dumps(told, ensure_ascii=False, indent=1))
    elif not quiet:
        print(known["text"], end="")
    if failed and not as_json:
        _show_failures(console, failed, options.out, verbose)
    scored = bool(frame[list(suite.metric_names)].notna().any(axis=None))
    if not scored and not as_json:
        console.print("nothing was scored", markup=False)
    return 0 if scored and not failed else 1


def folder_suite(
    reference: Path,
    generated: Sequence[Path],
    metrics: Sequence[str],
    names: Sequence[str] = (),
    text: Path | None = None,
    language: str = "",
    pair: str = "",
    bitrates_kbps: Sequence[float] = (),
    frame_rates_hz: Sequence[float] = (),
) -> Suite:
    """The suite of `bench score`: each of `generated` (folders, files, or manifests of recordings) against `reference`.

    names, bitrates_kbps, frame_rates_hz   none, one for all, or one for each
    """
    for name in names:
        try:
            check_name(name)
        except ValueError as error:
            raise UserError(f"--name {name!r}: {error}") from None
    data = {"folder": str(reference), **({"text": str(text)} if text else {}), **({"language": language} if language else {})}
    codecs = []
    for index, place in enumerate(generated):
        codec: dict[str, object] = {"codec": RECORDINGS}
        if place.is_file() and place.suffix.lower() in (".jsonl", ".ndjson", *TABLES):
            codec["manifest"] = str(place)
        else:
            codec |= {"folder": str(place), **({"pair": pair} if pair else {})}
        of_each = {"name": names, "bitrate_kbps": bitrates_kbps, "frame_rate_hz": frame_rates_hz}
        for key, values in of_each.items():
            if len(values) not in (0, 1, len(generated)):
                option = key.replace("_", "-")
                raise UserError(f"--{option}: {len(values)} of them for {len(generated)} folders; give one for all, or one for each")
            if values:
                codec[key] = values[0 if len(values) == 1 else index]
        codecs.append(codec)
    stems = "_".join(place.resolve().stem for place in (reference, *generated))
    name = plain_name(f"score_{stems}")
    suite = {"name": name, "datasets": [data], "codecs": codecs, "metrics": list(metrics)}
    return suite_of(suite, Path(), "bench score")


def _stamp(run: Path, width: int) -> str:
    """What the tables and the report of a run follow from: records, suite, and this program."""
    about = read_run(run)[1]
    facts = {name: about[name] for name in ("suite", "suite_text", "metrics", "codecs", "datasets")}
    content = [sha256(run / RECORDS), facts, __version__, width]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _shown(run: Path) -> dict[str, str]:
    try:
        return dict(read_json(run / SHOWN, ""))
    except (UserError, OSError):
        return {}


def _show_failures(console: Console, failed: Sequence[tuple[str, str, str, str, str]], run: Path, verbose: bool) -> None:
    console.print(f"\n{len(failed)} failure{'s' * (len(failed) != 1)}, each in records.parquet:", markup=False)
    for codec, point, utterance, what, reason in failed[:_SHOWN_FAILURES]:
        console.print(f"  {codec}@{point} {utterance}: {what}: {reason}", highlight=False, markup=False, soft_wrap=True)
    if len(failed) > _SHOWN_FAILURES:
        console.print(f"  and {len(failed) - _SHOWN_FAILURES} more")
    files = dict.fromkeys(found[1] for *_, reason in failed if (found := _TRACEBACK.search(reason)))
    for name in files if verbose else ():
        console.print(f"\n{run / name}", highlight=False, markup=False)
        console.print((run / name).read_text(encoding="utf-8"), highlight=False, markup=False)


def compare_run(folder: Path, baseline: str, as_json: bool) -> int:
    """`bench compare`."""
    from bench.report.comparison import render_json, render_terminal
    from bench.report.results import comparison_of

    comparison = comparison_of(folder, baseline)
    if as_json:
        print(render_json(comparison))
    else:
        console = Console(emoji=False)
        console.print(render_terminal(comparison, console.width))
    return 0


def follow_listeners(ratings: Path, columns: Columns, prepare: Path | None, language: str, run: Path | None) -> int:
    """`bench listeners`."""
    from bench.analysis.listeners import correlations
    from bench.report import listeners as report
    from bench.report.merge import merge

    rated = read_ratings(ratings, columns)
    if prepare is not None:
        write_manifests(rated, prepare, language)
        print(f"{len(rated)} rated items in {prepare}; score them with: bench run {prepare / 'ears.yaml'}")
    if run is not None:
        merged = merge([run])
        found = correlations(merged.records, merged.metrics, rated, merged.seed)
        report.write(found, run)
        Console(emoji=False).print(report.render_markdown(found), markup=False)
    if prepare is None and run is None:
        raise UserError("say what to do: --prepare FOLDER writes a suite over the rated audio, --run RESULTS correlates")
    return 0


def make_listening_test(
    runs: Sequence[Path],
    kind: str,
    systems: Sequence[str],
    utterances: int,
    seed: int,
    out: Path | None,
    match_level: bool,
    effect: float,
    power: float,
) -> int:
    """`bench listen`."""
    from bench.listening.design import Design, kind_of, make

    design = Design(kind_of(kind), tuple(systems), utterances, seed, match_level, effect, power)
    print(make(runs, design, out or Path("listening") / f"{runs[0].resolve().name}-{kind}"))
    return 0


def score_listening_test(paths: Sequence[Path], as_json: bool, ratings: Path | None) -> int:
    """`bench listen --score`."""
    from bench.listening.report import render
    from bench.listening.scoring import read_answers

    print(render(read_answers(paths), as_json, ratings), end="")
    return 0


def regress_checkpoint(suite: Suite, baseline: str, codec: str, checkpoint: str, options: Options, strict: bool) -> int:
    """`bench regress`: 1 when the candidate is worse; `strict`: or when anything is undecided."""
    from bench.regress.candidate import judge
    from bench.report import verdicts as render

    console = Console(emoji=False)
    if not console.is_terminal:
        console = Console(width=_LOG_WIDTH, emoji=False)
    regression = judge(suite, baseline, codec, checkpoint, options, console)
    markdown = render.render_markdown(regression, suite.name)
    files = {
        "regress.json": render.render_json(regression, strict),
        "junit.xml": render.render_junit(regression, suite.name, strict),
        "summary.md": markdown,
    }
    for name, text in files.items():
        write_text(options.out / name, text)
    if step_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(step_summary, "a", encoding="utf-8") as file:
            file.write(markdown)
    console.print(render.render_terminal(regression))
    console.print(f"{options.out}: {', '.join(files)}", highlight=False, markup=False, soft_wrap=True)
    return 0 if regression.passed(strict) else 1


def watch_folder(folder: Path, suite: Suite, codec: str, options: Options, match: str, every_s: float, once: bool) -> int:
    """`bench watch`: with `once`, 1 where a regression stands, or a checkpoint or all have no scores; else goes on until it is stopped."""
    from bench.regress.watch import HISTORY, look

    console = Console(emoji=False)
    while True:
        history = look(folder, suite, codec, options, match, console)
        if once:
            lacking = history.without_scores(folder)
            if lacking or not history.evaluations:
                names = f" of {', '.join(each.file for each in lacking)}: see {options.out / HISTORY}" if lacking else ""
                console.print(f"nothing was scored{names}", highlight=False, markup=False, soft_wrap=True)
            return 1 if history.regressions() or lacking or not history.evaluations else 0
        time.sleep(every_s)


def export_run(run: Path, target: str, out: Path) -> int:
    """`bench export`."""
    from bench.report.export import export

    print(export(run, target, out))
    return 0


def cite_run(folder: Path) -> int:
    """`bench cite`: every entry once, in the order of the suite."""
    _, about = read_run(folder)
    cited = [*about["codecs"].values(), *about["metrics"].values(), *about["datasets"]]
    print("\n\n".join(dict.fromkeys(facts["citation"].strip() for facts in cited if facts["citation"])))
    return 0


def doctor(suite: Suite | None) -> int:
    """`bench doctor`: 3 when something is missing."""
    from bench import catalogue

    if suite is None:
        rows = catalogue.everything()
    else:
        registry = Registry()
        take_metrics(registry, suite.metrics)
        rows = [catalogue.requirement_row(requirement) for requirement in preflight.requirements(suite, registry)]
    print(catalogue.as_text(rows))
    missing = sum(not row["here"] for row in rows)
    print(f"\n{missing} of {len(rows)} are not on this machine" if missing else "\nall of it is here")
    return 3 if missing else 0


def check_codec(name: str, checkpoint: str | None, device: str) -> int:
    """`bench check`: 1 when the codec breaks the contract."""
    import torch

    from bench.conformance import check

    name = known_codec(name)
    require(name, checkpoint)
    checks = check(name, checkpoint, torch.device(device))
    for result in checks:
        print(f"{'pass' if result.passed else 'FAIL'}  {result.name}: {result.detail}")
    broken = sum(not result.passed for result in checks)
    print(f"{Path(name).name}: {len(checks) - broken} of {len(checks)} checks passed")
    return 1 if broken else 0


def encode_file(
    source: Path, target: Path, name: str, checkpoint: str | None, point_name: str, settings: Sequence[str], device: str
) -> int:
    """`bench encode`: at a point by its name, or at one made of settings (`frame_rate=40`)."""
    import torch

    name = known_codec(name)
    module = codec_module(name)
    point = _point(name, point_name, settings)
    samples, sample_rate = _read_audio(source)
    require(name, checkpoint)
    codec = _tried(name, "load", module.load, checkpoint, torch.device(device))
    if not codec.sample_rate:
        raise UserError(f"codec '{name}' has no sample rate of its own, which a file needs; take another")
    with torch.inference_mode():
        given = check_audio(torch.from_numpy(audio.resample(samples, sample_rate, codec.sample_rate)))
        try:
            packed = _tried(name, "encode", _packed, codec, given, point)
        except ValueError as error:
            raise UserError(f"{source}: codec '{name}' at {point.name}: {error}") from None
    stated = Path(name).name if name.endswith(".py") else name  # where it lies is nobody else's business
    header = json.dumps({"codec": stated, "checkpoint": checkpoint, "sha256": codec.weights_sha256}).encode()
    data = _CODEC_FILE + len(header).to_bytes(4, "big") + header + packed.data
    write_bytes(target, data)
    seconds = len(samples) / sample_rate
    print(
        f"{target}: {packed.bits_counted / seconds / 1000:.3g} kbps over {seconds:.2f} s "
        f"({packed.bits_tokens} token bits, {packed.bits_side} side bits)"
    )
    return 0


def decode_file(source: Path, target: Path, codec_name: str | None, checkpoint: str | None, device: str) -> int:
    """`bench decode`: by the codec and checkpoint that the stream names, or those in their place. Code of one's own is never run on
    the word of a stream alone.
    """
    import torch

    _writable_audio(target)
    try:
        check_regular(source)
        data = source.read_bytes()
    except OSError as error:
        raise UserError(f"{source}: {error.strerror}") from None
    try:
        if not data.startswith(_CODEC_FILE):
            raise ValueError("not a file of `bench encode`")
        end = 8 + int.from_bytes(data[4:8], "big")
        header = json_of(data[8:end].decode())
        if not (isinstance(header, dict) and isinstance(header.get("codec"), str) and isinstance(header.get("checkpoint", 0), str | None)):
            raise ValueError("its header does not say which codec and checkpoint made it")
        encoded = bitstream.unpack(data[end:])
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None
    checkpoint = checkpoint or header["checkpoint"]
    if codec_name is None and is_own(header["codec"]):
        raise UserError(f"{source}: made by '{header['codec']}', a codec of somebody's own; if you trust it, name it: --codec PATH")
    try:
        name = known_codec(codec_name or header["codec"])
    except UserError as error:
        raise error if codec_name else UserError(f"{source}: {error}") from None
    require(name, checkpoint)
    codec = _tried(name, "load", codec_module(name).load, checkpoint, torch.device(device))
    if header.get("sha256", codec.weights_sha256) != codec.weights_sha256:
        raise UserError(
            f"{source}: made with another checkpoint than {checkpoint or 'the usual one'}: give the one of sha256 {header['sha256']}"
        )
    try:
        with torch.inference_mode():
            samples = _tried(name, "decode", _decoded, codec, encoded)
    except ValueError as error:
        raise UserError(f"{source}: codec '{header['codec']}': {error}") from None
    audio.write(target, samples, codec.sample_rate)
    print(f"{target}: {encoded.num_samples / codec.sample_rate:.2f} s at {codec.sample_rate} Hz")
    return 0


def _tried(name: str, stage: str, function: Callable[..., R], *arguments: object) -> R:
    """function(*arguments); what a codec of one's own raises there becomes a UserError with the line of its file."""
    if not is_own(name):
        return function(*arguments)
    found = attempt(function, *arguments, stage=stage, module=name)
    if isinstance(found, Failed):
        raise UserError(f"{name}: {found.reason}")
    return found


def _packed(codec: Codec, samples: torch.Tensor, point: OperatingPoint) -> bitstream.Packed:
    """ValueError where the stream does not come back as audio."""
    packed = bitstream.Packer(codec).pack(codec.encode(codec.analyse(samples), point), point)
    _decoded(codec, bitstream.unpack(packed.data))
    return packed


def _decoded(codec: Codec, encoded: Encoded) -> np.ndarray:
    """The audio float32 [T] of `encoded`; ValueError where it is none, as of weights that hold NaN."""
    samples = codec.decode(encoded).float().numpy()
    if samples.shape != (encoded.num_samples,):
        raise ValueError(f"decode gave the shape {list(samples.shape)}, the stream has [{encoded.num_samples}] samples")
    if not np.isfinite(samples).all():
        raise ValueError("decode gave NaN or infinite samples; is its checkpoint damaged?")
    return samples


def _writable_audio(target: Path) -> None:
    """UserError unless a file of audio can be written there, in the format of its suffix."""
    import soundfile

    formats = [name for name in soundfile.available_formats() if soundfile.check_format(name, "PCM_16")]
    if (suffix := target.suffix.lower().lstrip(".")).upper() not in formats:
        raise UserError(f"{target}: {unknown('suffix', suffix, (name.lower() for name in formats))}")
    if target.is_dir():
        raise UserError(f"{target}: is a folder")


def write_template(file: Path) -> int:
    """`bench init`."""
    if file.exists():
        raise UserError(f"{file}: is there already; name another file")
    write_text(file, (Path(__file__).parent / "template.yaml").read_text(encoding="utf-8").replace("NAME", plain_name(file.stem)))
    print(f"{file}: change it, then: bench run {file}")
    return 0


def train_recipe(recipe: str, data: Path | None, out: Path, smoke: bool, fresh: bool) -> int:
    """`bench train`."""
    from bench import catalogue

    try:
        import lightning  # noqa: F401
    except ImportError:
        raise Unavailable("training needs Lightning; get it with: pip install 'speech-codec-bench[train]'") from None
    from bench.codecs.training.train import train

    print(train(catalogue.find_recipe(recipe), out, smoke=smoke, resume=not fresh, data=data))
    return 0


def known_codec(name: str) -> str:
    """The name of a codec in codecs/ or of a module, or the absolute path of a file of one's own."""
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise UserError(f"codec '{name}': there is no such file")
        return str(Path(name).resolve())
    if Path(name).is_file():
        raise UserError(f"codec '{name}': is no Python file, such as my_codec.py")
    if is_own(name):
        return name
    if name not in codec_names():
        raise UserError(no_codec(name, "a file: my_codec.py"))
    return name


def _point(codec: str, name: str, settings: Sequence[str]) -> OperatingPoint:
    module = codec_module(codec)
    if settings:
        if name:
            raise UserError("--point and --set exclude each other")
        try:
            return module.point(**dict(map(_setting, settings)))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"--set {' --set '.join(settings)}: {error}") from None
    if not name and len(module.POINTS) == 1:
        return next(iter(module.POINTS.values()))
    if not name:
        raise UserError(f"--point: codec '{Path(codec).name}' has {len(module.POINTS)}; name one: {', '.join(module.POINTS)}")
    if name not in module.POINTS:
        raise UserError(unknown(f"point of {Path(codec).name}", name, module.POINTS))
    return module.POINTS[name]


def _setting(text: str) -> tuple[str, float | str]:
    key, equals, value = text.partition("=")
    if not (key.isidentifier() and equals and value):
        raise UserError(f"--set {text}: write it as key=value, such as frame_rate=40")
    try:
        return key, int(value) if value.lstrip("-").isdecimal() else float(value)
    except ValueError:
        return key, value


def require(codec: str, checkpoint: str | None) -> None:
    """Unavailable where the codec can not be loaded here, UserError where its checkpoint is none."""
    if checkpoint is not None and (mistake := checkpoint_mistake(codec_module(codec), codec, checkpoint, Path(checkpoint))):
        raise UserError(f"--checkpoint {checkpoint}: {mistake}")
    needs.require(f"codec '{codec}'", codec_module(codec).needs(checkpoint))


def _read_audio(path: Path):  # type: ignore[no-untyped-def]
    try:
        return audio.read(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def fetch(sets: Sequence[str], seed: int) -> int:
    """`bench fetch`: a set is a name, or what stands in a suite, as JSON; published samples go to a folder of that name here."""
    for text in sets:
        if text == published_samples.NAME:
            published_samples.fetch(Path(text))
            print(f"{text}: {len(published_samples.UTTERANCES)} utterances of {len(published_samples.SAMPLES)} points; bench run {text}")
            continue
        if not text.startswith("{") and text not in NAMES:
            raise UserError(unknown("data set", text, [*NAMES, published_samples.NAME]))
        try:
            spec = parse_spec(json.loads(text) if text.startswith("{") else text)
        except ValidationError as error:
            raise UserError("; ".join(f"{text}: {item['loc'][0]}: {item['msg']}" for item in error.errors())) from None
        except ValueError as error:
            raise UserError(f"{text}: {error}") from None
        found = open_dataset(spec, Path.cwd(), seed)
        print(f"{found.name}: {len(found.entries)} utterances, revision {found.revision}, in {found.entries[0].path.parent}")
    return 0
