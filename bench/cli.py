"""The command `bench`: one verb, one function; each calls one thing below. Heavy imports wait until a verb needs them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import __version__, completion
from bench.errors import Unavailable, UserError
from bench.files import full_disk

app = typer.Typer(
    name="bench",
    help="Compares fixed and dynamic frame-rate speech codecs.",
    epilog="First: bench run low_rate, then open reports/low_rate/index.html. Exit codes: 0 done; 1 something failed or is worse; "
    "2 a mistake in what was asked; 3 something needed is not on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

baseline_app = typer.Typer(no_args_is_help=True, help="Keeps the scores that `bench regress` compares with.")
app.add_typer(baseline_app, name="baseline")

EXAMPLE = "Example: "  # begins the last line of a command's help
SuitePath = Annotated[
    str, typer.Argument(metavar="SUITE", help="a file, or a name of `bench list suites`", autocompletion=completion.suites)
]
Set = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="replaces a key of the suite: metrics=[stoi]; may be repeated")]
Device = Annotated[str, typer.Option(help="cpu; cuda, for a run every visible GPU; or cuda:1")]
Checkpoint = Annotated[str | None, typer.Option(help="a shipped name, a path, a hub file or a URL", show_default=False)]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="processes on the CPU, by default one for each core; 1: none but this", show_default=False)
]
PerDevice = Annotated[int, typer.Option("--per-device", min=1, help="workers on each GPU")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="seconds that one call of a codec or metric may take")]
Out = Annotated[Path | None, typer.Option(help="folder of the results; by default results/<suite>", show_default=False)]


@app.command(epilog=EXAMPLE + "bench run low_rate --limit 4 --metrics stoi,pesq_wb --out results/try")
def run(
    suite: SuitePath,
    out: Out = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    engine: Annotated[
        str, typer.Option(help="local, or ray: the tasks go to a Ray cluster", autocompletion=completion.of("local", "ray"))
    ] = "local",
    limit: Annotated[
        int | None, typer.Option(min=1, help="utterances of each data set at most, drawn by the suite's seed", show_default=False)
    ] = None,
    skip_unavailable: Annotated[bool, typer.Option("--skip-unavailable", help="leave out what can not run here, and name it")] = False,
    per_device: PerDevice = 1,
    timeout: Timeout = 600.0,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="a recording that is missing is left out, not a failure")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="print the whole traceback of every failure")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print failures alone")] = False,
    json_: Annotated[bool, typer.Option("--json", help="print table and failures as JSON")] = False,
    codecs: Annotated[str | None, typer.Option(help="only these of the suite, by label, with commas between", show_default=False)] = None,
    metrics: Annotated[
        str | None, typer.Option(help="only these of the suite, with commas between", show_default=False, autocompletion=completion.metrics)
    ] = None,
    set_: Set = [],  # noqa: B006
) -> None:
    """Runs a suite, prints its table, writes results and report.

    What was scored before is kept: a run that was stopped goes on, and what is added to a suite costs no more than itself.

    A suite runs the code of the codec and metric files that it names (`codec: my_codec.py`): run only suites that you trust.
    """
    from bench.commands import run_suite
    from bench.run.session import Options
    from bench.suite import selected

    _one_of("--engine", engine, ("local", "ray"))
    loaded = selected(_load(suite, set_), _names("--codecs", codecs), _names("--metrics", metrics))
    folder = _folder(out or Path("results") / loaded.name)
    options = Options(folder, _device(device), jobs, engine, limit, skip_unavailable, _command(), per_device, allow_missing, timeout)
    raise typer.Exit(run_suite(loaded, options, verbose, quiet, json_))


@app.command(epilog=EXAMPLE + "bench score originals outputs --text transcripts.csv --language en --bitrate-kbps 1.5")
def score(
    reference: Annotated[Path, typer.Argument(metavar="REF", help="the originals: a folder, or one file")],
    generated: Annotated[list[Path], typer.Argument(metavar="GEN...", help="the outputs: folders or files; or a JSONL or CSV manifest")],
    metrics: Annotated[
        str | None,
        typer.Option(
            help="names or files of your own, with commas between; by default four, and WER with --text",
            show_default=False,
            autocompletion=completion.metrics,
        ),
    ] = None,
    text: Annotated[Path | None, typer.Option(help="transcripts, for WER: a folder or a file", show_default=False)] = None,
    language: Annotated[str, typer.Option(help="of the speech: en, de ...; WER needs it")] = "",
    pair: Annotated[
        str,
        typer.Option(metavar="path|stem|REGEX", help="what two files of a pair share; by default the most of the path", show_default=False),
    ] = "",
    name: Annotated[list[str], typer.Option(help="of the codec; one for all, or one for each GEN", show_default=False)] = [],  # noqa: B006
    bitrate_kbps: Annotated[list[float], typer.Option(help="as stated; one for all, or one for each GEN", show_default=False)] = [],  # noqa: B006
    frame_rate_hz: Annotated[list[float], typer.Option(help="as stated; one for all, or one for each GEN", show_default=False)] = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="folder of the results; by default results/score_<folders>", show_default=False)] = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="an original without an output is left out, not a failure")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="print the whole traceback of every failure")] = False,
) -> None:
    """Scores folders of decoded audio; needs no suite.

    Files belong together by their path; suffix, sample rate, channels and folders above may differ. Each GEN is a codec of its own, or,
    with one --name, a point of the same.
    """
    from bench.commands import SCORED, SCORED_TEXT, folder_suite, run_suite
    from bench.run.session import Options

    chosen = _names("--metrics", metrics) or [*SCORED, *([SCORED_TEXT] if text else [])]
    suite = folder_suite(reference, generated, chosen, name, text, language, pair, bitrate_kbps, frame_rate_hz)
    folder = _folder(out or Path("results") / suite.name)
    options = Options(folder, _device(device), jobs, command=_command(), allow_missing=allow_missing)
    raise typer.Exit(run_suite(suite, options, verbose))


@app.command(epilog=EXAMPLE + "bench report results/low_rate results/mine --out reports/both")
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="folders of finished runs")],
    out: Annotated[Path | None, typer.Option(help="by default reports/<run>", show_default=False)] = None,
    figures: Annotated[bool, typer.Option("--figures", help="also of each metric alone, and against tokens and frames a second")] = False,
) -> None:
    """Writes the report of one run, or of several as one.

    The page (index.html, which opens from the file system), tables as Markdown, CSV and LaTeX, figures as SVG, PDF and PNG.
    """
    # Products of matrices are many and small here: threads of a library would wait for each other longer than they work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from bench.report.build import build

    print(build(runs, out or Path("reports") / runs[0].name, figures))


@app.command(epilog=EXAMPLE + "bench compare results/low_rate --baseline opus@6kbps")
def compare(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a finished run")],
    baseline: Annotated[
        str, typer.Option(metavar="CODEC@POINT", help="by default the suite's compare.baseline, else the first point", show_default=False)
    ] = "",
    json_: Annotated[bool, typer.Option("--json", help="print as JSON")] = False,
) -> None:
    """Differences from a baseline, BD-rate, Pareto front.

    Differences are paired by utterance, with 95 % intervals and tests over speakers; the end holds dynamic against fixed at equal bits.
    """
    from bench.commands import compare_run

    raise typer.Exit(compare_run(run_folder, baseline, json_))


@app.command(epilog=EXAMPLE + "bench regress my_suite.yaml --baseline my_suite --codec codecslime --checkpoint new.safetensors")
def regress(
    suite: SuitePath,
    baseline: Annotated[str, typer.Option(metavar="RUN|FILE|NAME", help="folder of a run, or what `bench baseline save` kept")],
    codec: Annotated[str, typer.Option(metavar="NAME", help="of the suite; its weights are replaced")],
    checkpoint: Annotated[str, typer.Option(help="the candidate: a path, a shipped name, a hub file or a URL")],
    out: Annotated[
        Path | None, typer.Option(help="by default results/regress/<suite>-<codec>-<hash of the checkpoint>", show_default=False)
    ] = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    strict: Annotated[bool, typer.Option("--strict", help="end with 1 where anything is undecided, too")] = False,
    set_: Set = [],  # noqa: B006
) -> None:
    """Tests whether a checkpoint is worse than a baseline.

    Scores the candidate alone, pairs it with the baseline by utterance, and ends with 1 where anything is worse. Writes regress.json,
    junit.xml and summary.md into the output folder.
    """
    from bench.commands import regress_checkpoint
    from bench.regress.candidate import default_out
    from bench.run.session import Options

    loaded = _load(suite, set_)
    options = Options(_folder(out or default_out(loaded, codec, checkpoint)), _device(device), jobs, command=_command())
    raise typer.Exit(regress_checkpoint(loaded, baseline, codec, checkpoint, options, strict))


@baseline_app.command(name="save", epilog=EXAMPLE + "bench baseline save results/my_suite my_suite")
def save_baseline(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a finished run")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the file: results/baselines/NAME.parquet")],
    codec: Annotated[list[str], typer.Option(help="only this codec of the run; may be repeated", show_default=False)] = [],  # noqa: B006
) -> None:
    """Keeps the scores of a run in a small file, to be committed."""
    from bench.regress.baseline import save_baseline as save

    print(save(run_folder, name, codec))


@app.command(epilog=EXAMPLE + "bench watch checkpoints --suite my_suite.yaml --codec codecslime --once")
def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="where training writes its checkpoints")],
    suite: Annotated[str, typer.Option(metavar="SUITE", help="what to score them on", autocompletion=completion.suites)],
    codec: Annotated[str, typer.Option(metavar="NAME", help="of the suite; its weights are replaced")],
    out: Annotated[Path | None, typer.Option(help="by default results/watch/<suite>-<codec>", show_default=False)] = None,
    match: Annotated[
        str, typer.Option(metavar="GLOB", help="by default all that end with .safetensors, .pt or .ckpt", show_default=False)
    ] = "",
    every: Annotated[float, typer.Option(min=0.1, help="seconds between two looks")] = 60.0,
    once: Annotated[
        bool, typer.Option("--once", help="look once; exit code 1 where a regression stands, or a checkpoint has no scores")
    ] = False,
    device: Device = "cpu",
    jobs: Jobs = None,
    set_: Set = [],  # noqa: B006
) -> None:
    """Scores every checkpoint that appears in a folder.

    Draws each metric over the steps (history.svg) and marks where it became worse; goes on until it is stopped.
    """
    from bench.commands import watch_folder
    from bench.run.session import Options

    loaded = _load(suite, set_)
    options = Options(_folder(out or Path("results/watch") / f"{loaded.name}-{codec}"), _device(device), jobs, command=_command())
    raise typer.Exit(watch_folder(folder, loaded, codec, options, match, every, once))


@app.command(epilog=EXAMPLE + "bench export results/low_rate --to tensorboard")
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a finished run")],
    to: Annotated[
        str,
        typer.Option(
            metavar="tensorboard|wandb|hf",
            help="hf: model cards of the Hugging Face hub",
            autocompletion=completion.of("tensorboard", "wandb", "hf"),
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="by default reports/<run>/<to>", show_default=False)] = None,
) -> None:
    """Writes a run for TensorBoard, Weights & Biases or the hub.

    TensorBoard shows each metric over the bitrate (bit/s in place of the step), a curve a codec. Weights & Biases gets one run with the
    table of all points; WANDB_MODE=offline works. The hub's cards have the scores as `model-index`, a file for each codec.
    """
    from bench.commands import export_run

    raise typer.Exit(export_run(run_folder, to, _folder(out or Path("reports") / run_folder.resolve().name / to)))


@app.command(epilog=EXAMPLE + "bench cite results/low_rate")
def cite(run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a finished run")]) -> None:
    """BibTeX of the codecs, metrics and data that a run used."""
    from bench.commands import cite_run

    raise typer.Exit(cite_run(run_folder))


@app.command(name="list", epilog=EXAMPLE + "bench list points codecslime")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT", help="codecs, points, metrics, suites, recipes, datasets or corpora", autocompletion=completion.lists
        ),
    ],
    codec: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODEC]", help="with points: only those of this codec", show_default=False, autocompletion=completion.codecs
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="print as JSON")] = False,
) -> None:
    """What there is, and whether it can run here now."""
    from bench import catalogue

    _one_of("bench list", what, tuple(catalogue.LISTS))
    if codec is None:
        rows = catalogue.LISTS[what]()
    else:
        from bench.commands import known_codec

        _one_of("bench list ... CODEC", what, ("points",))
        rows = catalogue.points_of(known_codec(codec))
    print(json.dumps(rows, ensure_ascii=False, indent=1) if json_ else catalogue.as_text(rows))


@app.command(epilog=EXAMPLE + "bench fetch libritts/test-clean")
def fetch(
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="SET...", help="a name of `bench list datasets`, or a suite's entry as JSON", autocompletion=completion.datasets
        ),
    ],
    seed: Annotated[int, typer.Option(help="of the suite: it draws the utterances of a `limit`")] = 0,
) -> None:
    """Fetches data sets, so that runs need no network."""
    from bench.commands import fetch as get

    raise typer.Exit(get(sets, seed))


@app.command(epilog=EXAMPLE + "bench init my_suite.yaml")
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="to be written")] = Path("my_suite.yaml"),
) -> None:
    """Writes a suite with a comment on every key, to be changed."""
    from bench.commands import write_template

    raise typer.Exit(write_template(file))


@app.command(epilog=EXAMPLE + "bench doctor papers/codecslime_main")
def doctor(
    suite: Annotated[
        str | None,
        typer.Argument(
            metavar="[SUITE]", help="whose needs; by default those of everything", show_default=False, autocompletion=completion.suites
        ),
    ] = None,
    set_: Set = [],  # noqa: B006
) -> None:
    """What is here, what is missing, and how to get it."""
    from bench.commands import doctor as examine

    raise typer.Exit(examine(_load(suite, set_) if suite else None))


@app.command(epilog=EXAMPLE + "bench check my_codec.py --checkpoint my.pt")
def check(
    codec: Annotated[
        str, typer.Argument(metavar="CODEC", help="a name, my_codec.py or my_package.codec", autocompletion=completion.codecs)
    ],
    checkpoint: Checkpoint = None,
    device: Device = "cpu",
) -> None:
    """Checks that a codec keeps the contract.

    Lengths, determinism, counted bits, delay, level, odd input, and that its streams decode in another process. Exit code 1 where it fails.
    """
    from bench.commands import check_codec

    raise typer.Exit(check_codec(codec, checkpoint, _device(device)))


@app.command(epilog=EXAMPLE + "bench listen results/low_rate --test abx --codecs fixed_40@40hz,codecslime@40hz")
def listen(
    places: Annotated[list[Path], typer.Argument(metavar="RUN...|FILES...", help="finished runs; with --score, results with their key")],
    test: Annotated[
        str,
        typer.Option(
            metavar="abx|mushra|preference",
            help="the kind of test",
            show_default=False,
            autocompletion=completion.of("abx", "mushra", "preference"),
        ),
    ] = "",
    codecs: Annotated[
        str | None, typer.Option(help="CODEC@POINT, with commas; one alone is heard against the original", show_default=False)
    ] = None,
    utterances: Annotated[
        int | None, typer.Option(min=1, help="sentences, drawn by the seed; by default 8, or all there are", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the sentences and all orders")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="by default listening/<run>-<test>", show_default=False)] = None,
    match_level: Annotated[bool, typer.Option("--match-level", help="bring all to the RMS level of the original")] = False,
    effect: Annotated[float, typer.Option(min=0.51, max=0.99, help="share of answers to be found, of chance's 0.5")] = 0.75,
    power: Annotated[float, typer.Option(min=0.5, max=0.999, help="probability of finding it")] = 0.8,
    score_: Annotated[bool, typer.Option("--score", help="what listeners answered")] = False,
    ratings: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="with --score: MUSHRA's, for `bench listeners`")] = None,
    json_: Annotated[bool, typer.Option("--json", help="with --score: for machines")] = False,
) -> None:
    """Makes a listening test of a run's audio, or scores one.

    `bench listen RUN --test mushra --codecs a@x,b@y` writes a folder for listeners and a key for you; `bench listen --score FOLDER` reads
    the key and the results that listeners sent.
    """
    from bench.commands import make_listening_test, score_listening_test

    if score_:
        raise typer.Exit(score_listening_test(places, json_, ratings))
    raise typer.Exit(make_listening_test(places, test, _names("--codecs", codecs), utterances or 0, seed, out, match_level, effect, power))


@app.command(epilog=EXAMPLE + "bench listeners ratings.csv --item utterance --system codec --score rating --run results/low_rate")
def listeners(
    ratings: Annotated[Path, typer.Argument(metavar="RATINGS.csv", help="a row for each rated item, or for each rating")],
    item: Annotated[str, typer.Option(help="column: the utterance")] = "item",
    system: Annotated[str, typer.Option(help="column: CODEC or CODEC@POINT")] = "system",
    score: Annotated[str, typer.Option(help="column: what listeners gave")] = "score",
    path: Annotated[str, typer.Option(help="column: file of the rated audio, from the CSV's folder")] = "",
    reference: Annotated[str, typer.Option(help="column: file of the original audio")] = "",
    prepare: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="write the suite `ears` over the rated audio", show_default=False)
    ] = None,
    language: Annotated[str, typer.Option(help="of what is said, for the manifests: en, de ...")] = "",
    run: Annotated[Path | None, typer.Option(metavar="RESULTS", help="correlate the metrics of this run", show_default=False)] = None,
) -> None:
    """How metrics follow public listening scores."""
    from bench.commands import follow_listeners
    from bench.listeners import Columns

    raise typer.Exit(follow_listeners(ratings, Columns(item, system, score, path, reference), prepare, language, run))


@app.command(epilog=EXAMPLE + "bench encode my.wav my.scb --codec codecslime --checkpoint tiny --set frame_rate=40")
def encode(
    source: Annotated[Path, typer.Argument(metavar="IN.wav", help="audio of any format that is read")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="the bitstream")],
    codec: Annotated[
        str, typer.Option(help="a name of `bench list codecs`, my_codec.py or my_package.codec", autocompletion=completion.codecs)
    ],
    point: Annotated[str, typer.Option(help="a name of `bench list points CODEC`; not needed where there is one", show_default=False)] = "",
    checkpoint: Checkpoint = None,
    device: Device = "cpu",
    set_: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="a setting, in place of a point: frame_rate=40")] = [],  # noqa: B006
) -> None:
    """Encodes one audio file to a bitstream."""
    from bench.commands import encode_file

    raise typer.Exit(encode_file(source, target, codec, checkpoint, point, set_, _device(device)))


@app.command(epilog=EXAMPLE + "bench decode my.scb decoded.wav")
def decode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="what `bench encode` wrote")],
    target: Annotated[Path, typer.Argument(metavar="OUT.wav", help="its suffix is the format: .wav, .flac, .ogg ...")],
    codec: Annotated[str | None, typer.Option(help="in place of what IN names; needed for a codec of your own", show_default=False)] = None,
    checkpoint: Checkpoint = None,
    device: Device = "cpu",
) -> None:
    """Decodes a bitstream of `bench encode`."""
    from bench.commands import decode_file

    raise typer.Exit(decode_file(source, target, codec, checkpoint, _device(device)))


@app.command(epilog=EXAMPLE + "bench strip last.ckpt last.safetensors")
def strip(
    source: Annotated[Path, typer.Argument(metavar="IN", help="a checkpoint: safetensors, or what torch.save wrote")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="a new file; .safetensors makes it one")],
) -> None:
    """Removes the name prefixes of DDP and torch.compile.

    They stand before the names of a checkpoint's tensors, which no codec then finds.
    """
    from bench.checkpoint import strip as strip_prefixes

    print(f"{target}: {strip_prefixes(source, target)} names changed")


@app.command(epilog=EXAMPLE + "bench train fixed_tiny_backbone --data my_wavs --smoke")
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="a file, or a name of `bench list recipes`", autocompletion=completion.recipes)
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="MANIFEST|FOLDER", help="speech, in place of what the recipe names", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="where checkpoints and TensorBoard logs go")] = Path("results/training"),
    smoke: Annotated[bool, typer.Option("--smoke", help="ten steps, to see that it runs")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="start again instead of going on from the last checkpoint")] = False,
) -> None:
    """Trains an in-repo codec; a second call goes on with it."""
    from bench.commands import train_recipe

    raise typer.Exit(train_recipe(recipe, data, out, smoke, fresh))


def main() -> None:
    """Exit codes: 0 done; 1 some failures, all recorded; 2 a mistake of the caller; 3 something needed is not on this machine."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        app()
    except UserError as error:
        _complain(error, 2)
    except Unavailable as error:
        _complain(error, 3)
    except OSError as error:
        if (told := full_disk(error)) is None:
            raise
        _complain(told, 2)
    except KeyboardInterrupt:
        _complain("interrupted; what was done is kept, and the same command goes on from there", 130)


def _complain(error: object, code: int) -> None:
    print(error, file=sys.stderr)
    sys.exit(code)


def _names(option: str, text: str | None) -> list[str]:
    """The names in `text`; none where the option is not given."""
    names = [each.strip() for each in (text or "").split(",") if each.strip()]
    if text is not None and not names:
        raise UserError(f"{option} {text!r}: names nothing; leave it out, or name some with commas between")
    return names


def _load(suite: str, overrides: list[str]) -> Any:
    from bench.suite import find_suite, load_suite

    return load_suite(find_suite(suite), overrides)


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    from bench.errors import unknown

    if value not in choices:
        raise UserError(unknown(what, value, choices))


def _device(name: str) -> str:
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device '{name}' unknown; known: cpu, cuda, cuda:0, ...") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Unavailable("--device cuda: PyTorch sees no CUDA device here; leave --device out to run on the CPU")
    return str(device)


def _folder(out: Path) -> Path:
    """`out`, which a run can write to. UserError where a file is in its place, or nobody may write there."""
    if "\0" in str(out) or any(len(os.fsencode(part)) > 255 for part in out.parts):
        raise UserError(f"--out {str(out)!r}: no folder can have this name")
    there = next(path for path in (out, *out.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise UserError(f"--out {out}: a file is in its place; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"--out {out}: may not be written to")
    return out


def _command() -> str:
    return shlex.join(["bench", *sys.argv[1:]])


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    pass
