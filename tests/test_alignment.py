"""Forced alignment on the bundled corpus, whose texts are what is said."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import bench
from bench import audio
from bench.alignment import PHONES, Aligner
from bench.codecs.training.alignment import align_store
from bench.codecs.training.data import AudioStore, Clip
from bench.codecs.training.recogniser import LABELS_A_FRAME, labels

CORPUS = Path(bench.__file__).parent / "corpus"
VOWELS = {index for index, phone in enumerate(PHONES) if phone[0] in "AEIOU"}


@pytest.fixture(scope="module")
def spoken() -> tuple[np.ndarray, str]:
    row = next(row for row in map(json.loads, (CORPUS / "manifest.jsonl").read_text().splitlines()) if row["id"] == "en-02")
    samples, sample_rate = audio.read(CORPUS / row["path"])
    return audio.resample(samples, sample_rate, 16000), row["text"]


@pytest.fixture(scope="module")
def phones(spoken) -> list[int]:
    found = Aligner().align(*spoken)
    assert found is not None
    return found


def test_phones_are_those_of_the_words_in_their_order(phones):
    said = " ".join(PHONES[index] for index, _ in itertools.groupby(phones) if index)
    for word in ("B R EH D", "B AA T AH L", "M IH L K"):
        assert word in said
    assert said.index("B R EH D") < said.index("M IH L K")


def test_phones_lie_where_the_sound_is(spoken, phones):
    samples, _ = spoken
    assert len(phones) == pytest.approx(len(samples) / 160, abs=3)
    power = np.array([np.mean(samples[160 * i : 160 * i + 400] ** 2) + 1e-10 for i in range(len(phones))])
    level_db, labelled = 10 * np.log10(power), np.array(phones)
    vowel, silent = np.isin(labelled, list(VOWELS)), labelled == 0
    assert silent.sum() > 10
    assert np.median(level_db[vowel]) > np.median(level_db[silent]) + 15


def test_words_that_are_not_in_the_dictionary_give_nothing(spoken):
    aligner = Aligner()
    assert aligner.align(spoken[0], "xyzzyq plugh") is None
    assert aligner.align(*spoken) is not None  # and leave the aligner usable


def test_a_store_is_aligned_once(spoken, tmp_path, monkeypatch):
    samples, text = spoken
    stored = (samples * 32768).astype(np.int16)
    texts = (None, text, "plugh")
    starts = range(0, 3 * len(stored), len(stored))
    clips = tuple(Clip("same name", start, start + len(stored), "", "", said) for start, said in zip(starts, texts, strict=True))
    store = AudioStore(np.tile(stored, 3), clips, 16000)
    first = align_store(store, tmp_path)
    assert list(first) == [len(stored)]
    monkeypatch.delattr(Aligner, "align")
    again = align_store(store, tmp_path)
    assert torch.equal(again[len(stored)], first[len(stored)])


def test_labels_are_the_phones_at_the_middle_of_each_20_ms():
    assert labels(torch.arange(30), 4).tolist() == [[0, 0, 2], [4, 6, 8], [10, 12, 14], [16, 18, 20]]
    assert labels(torch.arange(14), 4)[-1].tolist() == [13] * LABELS_A_FRAME
