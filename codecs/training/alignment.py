"""Phones of a training set, aligned once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from bench.alignment import Aligner
from bench.codecs.training.data import AudioStore
from bench.files import write_atomically


def align_store(store: AudioStore, cache: Path) -> dict[int, Tensor]:
    """Phones int64 [100 a second] of the clips that have a transcript which fits, by the start of each in the store; kept in `cache`."""
    spoken = [clip for clip in store.clips if clip.text]
    key = hashlib.sha256(json.dumps([(clip.id, clip.start, clip.stop, clip.text) for clip in spoken]).encode()).hexdigest()[:16]
    path = cache / f"{key}.phones.json"
    if not path.exists():
        aligner = Aligner()
        found = {clip.start: aligner.align(store.audio(clip), clip.text or "") for clip in spoken}
        write_atomically(path, lambda partial: partial.write_text(json.dumps(found)))
    return {int(start): torch.tensor(phones) for start, phones in json.loads(path.read_text()).items() if phones}
