"""Benchmark for fixed and dynamic frame-rate speech codecs."""

__version__ = "0.1.0"
