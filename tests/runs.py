"""Synthetic runs with known effects, for the tests of statistics and reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from bench import audio, bitstream
from bench.codec import Encoded, Stream
from bench.files import write_json, write_table
from bench.record import MetricInfo
from bench.run.store import POINTS, RECORDS, RUN, SCHEMA
from bench.run.tokens import TokenCounts

SAMPLE_RATE = 16000
HOP_LENGTH = 320
METRICS = {
    info.name: info
    for info in (
        MetricInfo("mel_dac_train", "", 1, 24000, False, "Sum over seven scales of log-mel distances.", "Kumar et al. 2023"),
        MetricInfo("pesq_wb", "MOS", 1, 16000, True, "Perceptual evaluation of speech quality, wide band.", "ITU-T P.862.2"),
        MetricInfo("stoi", "", 1, 16000, True, "Short-time objective intelligibility.", "Taal et al. 2011"),
        MetricInfo(
            "wer_pocketsphinx",
            "%",
            1,
            16000,
            False,
            "Errors over words of the corpus.",
            "pocketsphinx",
            languages=("en",),
            corpus_ratio=True,
        ),
        MetricInfo("delay_ms", "ms", 1, 16000, False, "Lag of the greatest cross-correlation.", "this project", diagnostic=True),
    )
}
Codecs = Mapping[str, tuple[str, Mapping[str, tuple[float, int]]]]  # codec -> kind, and frame rate (Hz) and codebooks of each point
CODECS: Codecs = {
    "reference": ("ceiling", {"original": (0.0, 0)}),
    "fixed_40": ("fixed", {"1q": (40.0, 1), "2q": (40.0, 2), "4q": (40.0, 4), "8q": (40.0, 8)}),
    "slime": ("dynamic", {"50hz": (50.0, 1), "100hz": (100.0, 1), "200hz": (200.0, 1)}),
    "opus": ("classical", {"6kbps": (50.0, 0), "12kbps": (50.0, 0)}),
}
TEXTS = {"en": 'she said "it\'s <b>fine</b>" & left', "he": "שלום עולם", "de": "guten Morgen"}


def synthetic_records(num_utterances: int = 24, num_speakers: int = 12, codecs: Codecs = CODECS, seed: int = 0) -> pd.DataFrame:
    """Records in which quality rises with bits; dynamic codecs do better at equal bits; speakers and utterances differ in difficulty.

    pesq_wb fails on every 7th utterance of the point "1q"; WER does not apply off English.
    """
    rng = np.random.default_rng(seed)
    speaker = rng.integers(0, num_speakers, num_utterances)
    hard = rng.normal(0, 0.15, num_speakers)[speaker] + rng.normal(0, 0.15, num_utterances)
    languages = np.array(["en", "en", "de", "he"])[np.arange(num_utterances) % 4]
    duration_s = np.round(rng.uniform(1.5, 3.0, num_utterances) * SAMPLE_RATE / HOP_LENGTH) * HOP_LENGTH / SAMPLE_RATE
    words = rng.integers(5, 30, num_utterances)
    english = languages == "en"
    blocks = []
    for codec, (kind, points) in codecs.items():
        for point, (frame_rate, n_q) in points.items():
            ceiling = kind == "ceiling"
            spread = rng.uniform(0.8, 1.2, num_utterances) if kind == "dynamic" else np.ones(num_utterances)
            token_frames = np.round(duration_s * frame_rate * spread).astype(int)
            kbps = {"6kbps": 6.0, "12kbps": 12.0}.get(point, frame_rate * max(n_q, 1) / 100)
            bits_tokens = np.round(duration_s * kbps * 1000 * spread).astype(int) * (not ceiling)
            bits_side = 2 * token_frames * (kind == "dynamic")
            quality = 4.6 if ceiling else 1.0 + 0.9 * np.log2(1 + kbps) + 0.4 * (kind == "dynamic")
            noise = rng.normal(0, 0.05, num_utterances)
            pesq = np.clip(quality - (0 if ceiling else 1) * hard + noise, 1.0, 4.64)
            pesq_failed = (np.arange(num_utterances) % 7 == 6) & (point == "1q")
            errors = np.where(english, rng.binomial(words, min(0.9, 0.02 + 0.3 / (1 + (10 if ceiling else kbps)))), 0)
            blocks.append(
                pd.DataFrame(
                    {
                        "key": [f"{codec}/{point}/{i}" for i in range(num_utterances)],
                        "codec": codec,
                        "module": codec,
                        "checkpoint": "",
                        "kind": kind,
                        "point": point,
                        "dataset": "bundled",
                        "language": languages,
                        "utterance": [f"utt/{i:05d}" for i in range(num_utterances)],
                        "speaker": [f"s{s}" for s in speaker],
                        "text": [TEXTS[language] for language in languages],
                        "duration_s": duration_s,
                        "sample_rate": SAMPLE_RATE,
                        "hop_length": HOP_LENGTH,
                        "token_frames": token_frames,
                        "frame_rate": token_frames / duration_s,
                        "token_rate": token_frames * max(n_q, 1) / duration_s,
                        "bits_tokens": bits_tokens,
                        "bits_side": bits_side,
                        "bits_total": (bits_tokens + bits_side + 64) * (not ceiling),
                        "bits_entropy": (bits_tokens * 0.9).astype(int),
                        "bitrate": (bits_tokens + bits_side) / duration_s,
                        "nominal_bitrate": bits_tokens / duration_s,
                        "encode_s": duration_s * 0.1,
                        "decode_s": duration_s * 0.05,
                        "peak_memory_mb": 300.0,
                        "length_error": 0,
                        "audio_file": "",
                        "stream_file": "",
                        "failures": np.where(pesq_failed, json.dumps({"pesq_wb": "no speech found"}), "{}"),
                        "not_applicable": np.where(english, "{}", json.dumps({"wer_pocketsphinx": "English only"})),
                        "mel_dac_train": np.abs((0.05 if ceiling else 3.0 / (1 + np.log2(1 + kbps))) + 0.2 * hard + noise),
                        "pesq_wb": np.where(pesq_failed, np.nan, pesq),
                        "stoi": np.clip(1 - np.exp(-quality) + 0.02 * noise, 0, 1),
                        "wer_pocketsphinx": np.where(english, 100.0 * errors / words, np.nan),
                        "wer_pocketsphinx:errors": np.where(english, errors, np.nan),
                        "wer_pocketsphinx:words": np.where(english, words, np.nan),
                        "wer_pocketsphinx:hypothesis": ["she said it's <i>fine</i>" if is_english else None for is_english in english],
                        "delay_ms": rng.normal(0, 0.1, num_utterances),
                    }
                )
            )
    return pd.concat(blocks, ignore_index=True)


def run_info(codecs: Codecs = CODECS) -> dict:
    """What run.json holds of a synthetic run."""
    return {
        "schema": SCHEMA,
        "suite": {"name": "synthetic", "seed": 0, "compare": {"baseline": "fixed_40@2q"}},
        "suite_text": "name: synthetic\ndatasets: [bundled]\n",
        "metrics": {name: asdict(info) for name, info in METRICS.items()},
        "codecs": {
            label: {
                "module": label,
                "checkpoint": "",
                "kind": kind,
                "title": label.title(),
                "licence": "Apache-2.0",
                "citation": f"@misc{{{label}, title={{{label}}}}}",
                "url": "https://example.org/codec",
                "parameters": 1_000_000,
                "weights_sha256": "ab" * 32,
                "points": {name: {"frame_rate": rate, "n_q": n_q, "options": {}} for name, (rate, n_q) in points.items()},
            }
            for label, (kind, points) in codecs.items()
        },
        "datasets": [{"name": "bundled", "revision": "r1", "licence": "CC0-1.0", "citation": "", "utterances": 24}],
        "versions": {"torch": "2.8.0", "speech-codec-bench": "0.1.0"},
        "git_commit": "0" * 40,
        "machine": {"cpu": "test"},
        "resampler": "soxr 1.0 VHQ",
        "seed": 0,
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
        "command": "bench run synthetic.yaml",
    }


def write_run(folder: Path, records: pd.DataFrame, info: dict | None = None, audio_utterances: int = 0, seed: int = 0) -> Path:
    """A finished run's folder; the first `audio_utterances` have decoded audio and, but for the reference, packed streams."""
    rng = np.random.default_rng(seed)
    records = records.copy()
    folder.mkdir(parents=True)
    counts: dict[str, TokenCounts] = {}
    kept = set(sorted(records["utterance"].unique())[:audio_utterances])
    for index, row in records[records["utterance"].isin(kept)].iterrows():
        name = f"{row.codec}/{row.point}/{row.dataset}/{str(row.utterance).replace('/', '_')}".replace("<", "_").replace(">", "_")
        num_samples = round(row.duration_s * SAMPLE_RATE)
        time_s = np.arange(num_samples) / SAMPLE_RATE
        wave = 0.3 * np.sin(2 * np.pi * (200 + 300 * time_s) * time_s) * (np.sin(2 * np.pi * 1.3 * time_s) > -0.4)
        audio.write(folder / f"audio/{name}.flac", wave + 0.02 * rng.normal(size=num_samples), SAMPLE_RATE)
        records.loc[index, "audio_file"] = f"audio/{name}.flac"
        if row.kind not in ("ceiling", "classical"):
            stream = _stream(num_samples // HOP_LENGTH, row.kind == "dynamic", rng)
            packed = bitstream.pack(Encoded((stream,), num_samples)).data
            counts.setdefault(f"{row.codec}@{row.point}", TokenCounts()).add(bitstream.unpack_arrays(packed))
            path = folder / f"streams/{name}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed)
            records.loc[index, "stream_file"] = f"streams/{name}.bin"
    write_table(folder / RECORDS, pa.Table.from_pandas(records))
    write_json(folder / RUN, info or run_info())
    write_json(folder / POINTS, {name: tokens.summary() for name, tokens in counts.items()})
    return folder


def _stream(num_frames: int, dynamic: bool, rng: np.random.Generator) -> Stream:
    durations = None
    if dynamic:
        drawn = rng.integers(1, 5, num_frames).cumsum()
        ends = np.append(drawn[drawn < num_frames], num_frames)
        durations = torch.from_numpy(np.diff(ends, prepend=0))
    frames = num_frames if durations is None else len(durations)
    return Stream(torch.from_numpy(rng.integers(0, 1024, (1, frames))), (1024,), durations, 4 if dynamic else 1)
