"""Benchmark for fixed and dynamic frame-rate speech codecs."""

__version__ = "0.1.0"

from bench.api import compare, load_codec, load_metric, load_run, run, score_pair
from bench.torchaudio_guard import install as _guard_torchaudio

__all__ = ["compare", "load_codec", "load_metric", "load_run", "run", "score_pair"]

_guard_torchaudio()  # before anything imports transformers or NeMo, which a torchaudio that does not load would break
