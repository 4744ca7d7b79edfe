"""Benchmark for fixed and dynamic frame-rate speech codecs."""

__version__ = "0.1.0"

from bench.torchaudio_guard import install as _guard_torchaudio

_guard_torchaudio()  # before anything imports transformers or NeMo, which a torchaudio that does not load would break
