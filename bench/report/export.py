"""A finished run for other tools: TensorBoard, Weights & Biases, and the Hugging Face hub's model cards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import needs
from bench.analysis.summary import Row, Table
from bench.errors import UserError, unknown
from bench.files import plain_name, write_text
from bench.report.merge import Merged, merge
from bench.report.results import table_of
from bench.report.table import render_markdown

_OURS = ".bench"  # ends the names of our event files: what training wrote beside them stays
HUB_TASK = "audio-to-audio"


def export(run: Path, target: str, out: Path) -> str:
    """Writes the means of `run` for one of TARGETS into the folder `out`; returns what to do next.

    UserError where nothing was scored, Unavailable where the target's package is not here.
    """
    if target not in TARGETS:
        raise UserError(unknown("--to", target, TARGETS))
    merged = merge([run])
    table = table_of(merged)
    if not any(_scores(row) for row in table.rows):
        raise UserError(f"{run}: nothing was scored, so nothing is exported")
    return TARGETS[target](merged, table, run, out)


def _scores(row: Row) -> dict[str, dict[str, float]]:
    """Metric -> mean, low and high (95 % interval), in the metric's unit; finite numbers alone."""
    found = {}
    for name, cell in row.cells.items():
        if math.isfinite(cell.mean):
            values = {"mean": cell.mean, "low": cell.low, "high": cell.high}
            found[name] = {key: value for key, value in values.items() if math.isfinite(value)}
    return found


def _rates(row: Row) -> dict[str, float]:
    values = {"bitrate_kbps": row.rates.bitrate / 1000, "frame_rate_hz": row.rates.frame_rate, "token_rate_hz": row.rates.token_rate}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _file_names(labels: Iterable[str]) -> dict[str, str]:
    """Label -> a name of a file of its own, also where two labels differ in what no name of a file can hold."""
    names: dict[str, str] = {}
    for label in labels:
        name, again = plain_name(label), 1
        while (f"{name}-{again}" if again > 1 else name) in names.values():
            again += 1
        names[label] = f"{name}-{again}" if again > 1 else name
    return names


def _to_tensorboard(merged: Merged, table: Table, run: Path, out: Path) -> str:
    """A curve a codec: METRIC/mean, METRIC/low and METRIC/high over the bitrate, which stands where training has its step (bit/s)."""
    needs.require("bench export --to tensorboard", [needs.package("tensorboard", "speech-codec-bench[train]")])
    from torch.utils.tensorboard import SummaryWriter

    for earlier in out.rglob(f"events.out.tfevents.*{_OURS}"):
        earlier.unlink()
    names = _file_names(dict.fromkeys(row.codec for row in table.rows))
    writers: dict[str, SummaryWriter] = {}
    for row in table.rows:
        if row.codec not in writers:
            writers[row.codec] = SummaryWriter(str(out / names[row.codec]), filename_suffix=_OURS)
        rates = _rates(row)
        step = round(1000 * rates.get("bitrate_kbps", 0.0))
        for name, value in rates.items():
            writers[row.codec].add_scalar(f"rates/{name}", value, step)
        for metric, values in _scores(row).items():
            for name, value in values.items():
                writers[row.codec].add_scalar(f"{metric}/{name}", value, step)
    for codec, writer in writers.items():
        if codec == table.rows[0].codec:
            writer.add_text("table", render_markdown(table))
        writer.close()
    return f"{out}: {len(writers)} codecs over their bitrates; look at it with: tensorboard --logdir {out}"


def _to_wandb(merged: Merged, table: Table, run: Path, out: Path) -> str:
    """One run of the project named as the suite: METRIC/CODEC@POINT in its summary, and rates and intervals in the table `points`."""
    needs.require("bench export --to wandb", [needs.package("wandb", "speech-codec-bench[wandb]")])
    import wandb

    out.mkdir(parents=True, exist_ok=True)
    about = merged.runs[0]
    config = {name: about[name] for name in ("suite", "versions", "git_commit", "resampler", "seed") if name in about}
    heads = ["codec", "point", "kind", "utterances", "bitrate_kbps", "frame_rate_hz", "token_rate_hz"]
    heads += [f"{metric}{part}" for metric in table.metrics for part in ("", ":low", ":high")]
    lines = []
    for row in table.rows:
        facts = {"codec": row.codec, "point": row.point, "kind": row.kind, "utterances": row.utterances, **_rates(row)}
        for metric, values in _scores(row).items():
            facts |= {metric if name == "mean" else f"{metric}:{name}": value for name, value in values.items()}
        lines.append([facts.get(head) for head in heads])
    try:
        logged = wandb.init(project=plain_name(about["suite"]["name"]), name=run.resolve().name, dir=str(out), config=config)
        logged.log({"points": wandb.Table(columns=[*heads], data=lines)})
        for row in table.rows:
            for metric, values in _scores(row).items():
                logged.summary[f"{metric}/{row.codec}@{row.point}"] = values["mean"]
        logged.finish()
    except wandb.errors.Error as error:
        raise UserError(f"wandb: {error}; log in with: wandb login; or set WANDB_MODE=offline") from None
    return f"{out}: {len(lines)} points in the table 'points'; an offline run is sent with: wandb sync {out}/wandb/offline-run-*"


def _to_hub(merged: Merged, table: Table, run: Path, out: Path) -> str:
    """CODEC.md for each codec: a model card whose metadata (model-index) have every score of every data set, with the table below."""
    by_dataset = table_of(merged, ("dataset",))
    revisions = {facts["name"]: facts["revision"] for about in merged.runs for facts in about["datasets"]}
    labels = list(dict.fromkeys(row.codec for row in table.rows if row.kind != "ceiling"))
    files = {label: out / f"{name}.md" for label, name in _file_names(labels).items()}
    written = [label for label in labels if _write_card(label, by_dataset, revisions, render_markdown(table), merged, files[label])]
    if not written:
        raise UserError(f"{run}: no codec was scored, so there is no card to write")
    return f"{out}: {len(written)} model cards; each head (`model-index`) goes into the README.md of its model on the hub"


def _write_card(label: str, table: Table, revisions: Mapping[str, str], text: str, merged: Merged, file: Path) -> bool:
    """False where no metric has a score of this codec."""
    from huggingface_hub import ModelCardData

    results = [result for row in table.rows if row.codec == label for result in _results(row, table, revisions)]
    if not results:
        return False
    name = merged.codecs.get(label, {}).get("title") or label
    data = ModelCardData(model_name=name, eval_results=results, tags=["speech-codec"], pipeline_tag=HUB_TASK)
    suite = merged.runs[0]["suite"]["name"]
    body = f"Scores of `{label}` in the suite `{suite}` of speech-codec-bench, beside those of the other codecs:"
    write_text(file, f"---\n{data.to_yaml()}\n---\n\n{body}\n\n{text}")
    return True


def _results(row: Row, table: Table, revisions: Mapping[str, str]) -> Iterator[Any]:
    from huggingface_hub import EvalResult

    dataset = row.group["dataset"]
    for metric, values in _scores(row).items():
        cell = row.cells[metric]
        interval = [values["low"], values["high"]] if {"low", "high"} <= set(values) else None
        facts = {"point": row.point, **_rates(row), "interval_95": interval, "utterances": cell.n, "failed": cell.failed}
        unit = f", {table.metrics[metric].unit}" if table.metrics[metric].unit else ""
        yield EvalResult(
            task_type=HUB_TASK,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_revision=revisions.get(dataset),
            metric_type=metric,
            metric_name=f"{metric} at {row.point}{unit}",
            metric_value=values["mean"],
            metric_args={name: value for name, value in facts.items() if value is not None},
        )


TARGETS = {"tensorboard": _to_tensorboard, "wandb": _to_wandb, "hf": _to_hub}
