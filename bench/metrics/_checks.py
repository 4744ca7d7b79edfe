"""What metrics ask before they work: are their packages and models here, are the options theirs, is there a signal to judge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import Unavailable, UserError, unknown
from bench.metric import Audio, MetricFailure
from bench.needs import Need

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
SILENCE_DB = -80.0  # dB relative to a full-scale square wave; 16-bit dither lies near -96


def pretrained(metric: str, checkpoint: str, size_mb: float | None = None, licence: str = "") -> Need:
    """A model folder of the `transformers` library: a path, or owner/repo@revision on the hub."""
    repo, revision = split_revision(checkpoint)
    on_hub = _HUB_ID.fullmatch(repo) and not Path(repo).is_dir()
    how = f"hf download {repo} --revision {revision}" if on_hub else f"put the model's folder at {repo}"
    files = weight_files(checkpoint)
    return Need("weights", f"{metric} {checkpoint}", bool(files), how, size_mb, licence, files)


def weight_files(checkpoint: str) -> tuple[Path, ...]:
    """The files that hold the weights of a `transformers` model, in the first format that it would read; none where they are not here."""
    from huggingface_hub import try_to_load_from_cache

    repo, revision = split_revision(checkpoint)
    folder = Path(repo)
    if not folder.is_dir() and _HUB_ID.fullmatch(repo):
        config = try_to_load_from_cache(repo, "config.json", revision=revision)
        folder = Path(config).parent if isinstance(config, str) else folder
    formats = ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin")
    return next((tuple(found) for names in formats if (found := sorted(folder.glob(names)))), ())


def load_pretrained(model_class: Any, checkpoint: str) -> Any:
    """The model in eval mode. A file that lacks weights is refused, where transformers would make them up and warn."""
    repo, revision = split_revision(checkpoint)
    try:
        model, report = model_class.from_pretrained(repo, revision=revision, output_loading_info=True)
    except OSError as error:
        raise Unavailable(f"{checkpoint}: {str(error).splitlines()[0]}; get it with: hf download {repo} --revision {revision}") from error
    lacking = [name for name in report["missing_keys"] if not name.endswith("masked_spec_embed")]  # only training reads that one
    lacking += [str(mismatch[0]) for mismatch in report["mismatched_keys"]]
    if lacking:
        raise UserError(f"{checkpoint}: does not fit {model_class.__name__}: {len(lacking)} weights missing, first {sorted(lacking)[0]}")
    return model.eval()


def split_revision(checkpoint: str) -> tuple[str, str]:
    """Repository and revision of owner/repo@revision; the path of a folder as it stands."""
    if Path(checkpoint).is_dir():
        return checkpoint, "main"
    repo, _, revision = checkpoint.partition("@")
    return repo, revision or "main"


def check_options(options: Mapping[str, str], known: Iterable[str] = ()) -> None:
    """Raises UserError on an option that the metric does not have."""
    choices = list(known)
    for option in options:
        if option not in choices:
            raise UserError(unknown("metric option", option, choices) if choices else f"metric option '{option}': the metric has none")


def check_signal(audio: Audio, what: str, min_duration_s: float = 0.0, sample_rate: int = 16000) -> None:
    """Raises MetricFailure where there is nothing to judge: silence, or less than `min_duration_s`."""
    if len(audio) < min_duration_s * sample_rate:
        raise MetricFailure(f"{what} lasts {len(audio) / sample_rate:.2f} s, less than {min_duration_s:g} s")
    rms = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0
    if rms < 10 ** (SILENCE_DB / 20):
        raise MetricFailure(f"{what} is silent")
