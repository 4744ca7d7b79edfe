"""Training audio from a data set of the `datasets` library, on parquet files of this machine."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from bench import audio
from bench.checkpoint import load_safetensors
from bench.codecs.training.data import AudioStore, open_store
from bench.codecs.training.recipe import Data
from bench.errors import Unavailable, UserError
from tests.hub_server import encoded, write_parquet


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def rows(first: int, number: int, seconds: float = 0.5) -> list[dict[str, Any]]:
    """Columns as LibriSpeech has them on the hub; of each speaker a WAV and a FLAC, of two sample rates."""
    formats = [("WAV", 24_000), ("FLAC", 16_000)]
    found = []
    for index in range(first, first + number):
        kind, sample_rate = formats[index % 2]
        name = f"{index}.{kind.lower()}"
        content = encoded(int(seconds * sample_rate), sample_rate, index, kind)
        row = {"file": name, "audio": {"bytes": content, "path": name}, "text": f"WELL {index}", "speaker_id": index // 2}
        found.append({**row, "chapter_id": 7, "id": f"utterance-{index}"})
    return found


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    folder = tmp_path / "librispeech"
    write_parquet(folder / "train-00000-of-00002.parquet", rows(0, 5), rows_per_group=2)
    write_parquet(folder / "train-00001-of-00002.parquet", rows(5, 3))
    write_parquet(folder / "test-00000-of-00001.parquet", rows(8, 2))
    return folder


def store(tmp_path: Path, **data: Any) -> AudioStore:
    return open_store(Data(**data), tmp_path, tmp_path / "cache")


def test_the_split_becomes_a_store_once(parquet, tmp_path, monkeypatch):
    found = store(tmp_path, hf=str(parquet))
    assert [(clip.id, clip.speaker, clip.corpus, clip.text) for clip in found.clips] == [
        (f"utterance-{i}", str(i // 2), str(parquet), f"WELL {i}") for i in range(8)
    ]
    for clip, row in zip(found.clips, rows(0, 8), strict=True):
        samples, sample_rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        assert np.abs(found.audio(clip) - audio.resample(samples, sample_rate, 16_000)).max() <= 0.5 / 32768
    monkeypatch.setattr("datasets.load_dataset", None)
    assert store(tmp_path, hf=str(parquet)).clips == found.clips


def test_splits_are_named_and_joined(parquet, tmp_path):
    assert [clip.id for clip in store(tmp_path, hf=str(parquet), hf_split="test").clips] == ["utterance-8", "utterance-9"]
    assert len(store(tmp_path, hf=str(parquet), hf_split="train+test").clips) == 10


def test_what_a_set_does_not_say_stays_unknown(tmp_path):
    bare = [{"audio": row["audio"], "speaker_id": None, "transcript": "HELLO"} for row in rows(0, 3)]
    write_parquet(tmp_path / "bare/train.parquet", bare)
    clips = store(tmp_path, hf=str(tmp_path / "bare"), hf_text="transcript").clips
    assert [(clip.id, clip.speaker, clip.text) for clip in clips] == [(str(i), "", "HELLO") for i in range(3)]
    assert {clip.text for clip in store(tmp_path, hf=str(tmp_path / "bare"), sample_rate=8000).clips} == {None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hf_split": "tset"}, "(?:Unknown|unknown) split .tset."),
        ({"hf_config": "clan"}, "'clan' not found"),
        ({"hf_text": "txet"}, "column 'txet' unknown; did you mean 'text'"),
    ],
    ids=["split", "config", "text"],
)
def test_mistakes_name_the_choices(parquet, tmp_path, change, message):
    with pytest.raises(UserError, match=f"data.hf: {parquet}: .*{message}"):
        store(tmp_path, hf=str(parquet), **change)


def test_a_row_without_audio_is_named(tmp_path):
    write_parquet(tmp_path / "gap/train.parquet", [*rows(0, 2), {**rows(2, 1)[0], "audio": None}])
    with pytest.raises(UserError, match=r"row 2 \(utterance-2\) holds no audio"):
        store(tmp_path, hf=str(tmp_path / "gap"))


def test_a_set_that_is_not_there_is_unavailable(tmp_path):
    with pytest.raises(Unavailable, match=r"data.hf: .*nowhere is not on this machine \("):
        store(tmp_path, hf=str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match=r"data.hf: some/set is not on this machine \("):
        store(tmp_path, hf="some/set")


def test_a_codec_trains_on_it(tmp_path):
    pytest.importorskip("lightning")
    from bench.codecs.training.train import train

    write_parquet(tmp_path / "speech/train.parquet", rows(0, 12, seconds=3.5), rows_per_group=4)
    recipe = {
        "name": "toy",
        "codec": "fixed",
        "model": {"family": "spectral", "width": 16, "hidden": 16, "encoder_blocks": 1, "decoder_blocks": 1, "latent_dim": 8},
        "data": {"hf": str(tmp_path / "speech"), "crop_s": 0.25, "batch_size": 2, "held_out": 1},
        "optimiser": {"steps": 2, "learning_rate": 1e-3},
        "losses": {"mel": 15},
        "validation": {"every_steps": 2, "checkpoint_steps": 2},
        "hardware": {"accelerator": "cpu", "devices": 1},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(recipe))
    tensors, _ = load_safetensors(train(tmp_path / "toy.yaml", tmp_path / "out"))
    assert all(np.isfinite(tensor.numpy()).all() for tensor in tensors.values())
