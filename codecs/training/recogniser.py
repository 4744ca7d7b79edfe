"""FlexiCodec-tiny's speech recogniser: a small SenseVoice encoder that learns which phone is heard, 50 times a second.

Its targets are forced alignments of the transcripts (bench/alignment.py). CTC over the letters, as SenseVoice was
trained, did not get beyond the letters' frequencies on two hours of speech.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from bench.alignment import PHONES, SAMPLE_RATE
from bench.codecs.nn.fbank import MEL_BINS, FilterBank, fbank, stack_frames
from bench.codecs.nn.sensevoice import SenseVoice
from bench.codecs.training.alignment import align_store
from bench.codecs.training.data import AudioStore, Clip, FromStep, split, vary
from bench.codecs.training.merging import generator
from bench.codecs.training.models import Reconstruction, Trainable
from bench.codecs.training.module import Training
from bench.codecs.training.recipe import Recipe, RecogniserModel
from bench.errors import UserError

LABELS_A_FRAME = 3  # one every 20 ms
IGNORED = -100
CMVN_CLIPS = 200
# SpecAugment (Park et al. 2019, arXiv 1904.08779): masks of each kind an utterance, and their widest. Nothing is warped.
MASKS, WIDEST_BAND, WIDEST_TIME = 2, 20, 8  # of 80 mel bands; in frames of 60 ms


def statistics(store: AudioStore, clips: list[Clip]) -> tuple[Tensor, Tensor]:
    """Shift and scale, float32 [560] each, that give the stacked filter bank a mean of 0 and a variance of 1 over `clips`."""
    features = torch.cat([stack_frames(fbank(torch.from_numpy(store.audio(clip))[None]))[0] for clip in clips])
    return -features.mean(0), 1 / features.std(0).clamp(min=1e-3)


def augment(features: Tensor, random: np.random.Generator) -> Tensor:
    """Stacked filter banks `features` [B, F, 560] with random bands and stretches of time set to their mean, 0."""
    batch, frames, size = features.shape
    bands = torch.ones(batch, 1, MEL_BINS)
    times = torch.ones(batch, frames, 1)
    for item in range(batch):
        for mask, widest in ((bands[item, 0], WIDEST_BAND), (times[item, :, 0], WIDEST_TIME)):
            for _ in range(MASKS):
                start, width = random.integers(len(mask)), random.integers(widest + 1)
                mask[start : start + width] = 0
    return features * times.to(features) * bands.repeat(1, 1, size // MEL_BINS).to(features)


class Recogniser(Trainable):
    """Audio [B, T] to logits [B, F, LABELS_A_FRAME, phones]."""

    network: SenseVoice

    def __init__(self, model: RecogniserModel, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        sizes = {**model.config, "vocabulary_size": LABELS_A_FRAME * len(PHONES)}
        self.network = SenseVoice(**sizes)
        self.front_end = FilterBank(shift, scale)
        self.config = json.dumps({"semantic_model": sizes, "cmvn": {"shift": shift.tolist(), "scale": scale.tolist()}})

    def forward(self, audio: Tensor, step: int | None) -> Reconstruction:
        raise NotImplementedError("a recogniser makes no audio")

    def logits(self, audio: Tensor, num_samples: Tensor, random: np.random.Generator | None = None) -> Tensor:
        """Logits of a batch whose items are `num_samples` long; with `random`, of augmented features."""
        features = self.front_end(audio)
        logits = self.network.logits(features if random is None else augment(features, random), num_frames(num_samples))
        return logits.unflatten(-1, (LABELS_A_FRAME, -1))


def num_frames(num_samples: Tensor) -> Tensor:
    """Stacked filter-bank frames of audio of so many samples."""
    return -((1 + (num_samples - 400) // 160) // -6)


def labels(phones: Tensor, frames: int) -> Tensor:
    """int64 [frames, LABELS_A_FRAME] of `phones`, indices into PHONES every 10 ms: each stacked frame is centred on every sixth of them."""
    nearest = 6 * torch.arange(frames)[:, None] + 2 * torch.arange(LABELS_A_FRAME) - 2
    return phones[nearest.clamp(0, len(phones) - 1)]


class RecogniserTraining(Training):
    """Whole utterances with transcripts; validated by how many of the held-out speakers' labels are not the most probable phone."""

    model: Recogniser

    def __init__(self, recipe: Recipe, store: AudioStore, cache: Path) -> None:
        assert isinstance(recipe.model, RecogniserModel)
        if store.sample_rate != SAMPLE_RATE:
            raise UserError(f"data.sample_rate: a recogniser hears {SAMPLE_RATE} Hz, got {store.sample_rate}")
        self.phones = align_store(store, cache)
        spoken = AudioStore(store.samples, tuple(clip for clip in store.clips if clip.start in self.phones), store.sample_rate)
        if not spoken.clips:
            raise UserError("data: no clip has a transcript that it can be aligned with: a recogniser can not be trained on it")
        clips, _ = split(spoken, recipe.data.held_out)
        super().__init__(recipe, spoken, Recogniser(recipe.model, *statistics(spoken, clips[:: max(1, len(clips) // CMVN_CLIPS)])))

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
        size, world = self.recipe.data.batch_size, self.trainer.world_size
        numbers = range(self.recipe.optimiser.last_step * size)
        sampler = FromStep(self.step * size, len(numbers), self.global_rank, world)
        return DataLoader(numbers, batch_size=size // world, sampler=sampler, collate_fn=self.batch)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[int]:
        return DataLoader(range(len(self.validation_clips)), batch_size=None)  # type: ignore[arg-type]

    def batch(self, numbers: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Audio [B, T], samples of each item [B], labels [B, F, LABELS_A_FRAME]; utterance i depends on seed and i alone."""
        randoms = [np.random.default_rng((self.recipe.seed, number)) for number in numbers]
        clips = [self.training_clips[int(random.integers(len(self.training_clips)))] for random in randoms]
        varied = (vary(self.store.audio(clip), self.recipe.data, random) for clip, random in zip(clips, randoms, strict=True))
        audio = [torch.from_numpy(samples) for samples in varied]
        lengths = torch.tensor([len(row) for row in audio])
        spoken = [labels(self.phones[clip.start], frames) for clip, frames in zip(clips, num_frames(lengths).tolist(), strict=True)]
        return pad_sequence(audio, batch_first=True), lengths, pad_sequence(spoken, batch_first=True, padding_value=IGNORED)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_index: int) -> None:
        audio, num_samples, spoken = batch
        logits = self.model.logits(audio, num_samples, generator(self.recipe.seed, self.step))
        loss = F.cross_entropy(logits.float().flatten(0, 2), spoken.flatten(), ignore_index=IGNORED)
        norm = self.update(0, loss)
        self.finish_step({"cross_entropy": loss, "gradient_norm": norm})

    def on_validation_epoch_start(self) -> None:
        self.wrong: list[Tensor] = []

    def validation_step(self, number: int, batch_index: int) -> None:
        clip = self.validation_clips[number]
        audio = torch.from_numpy(self.store.audio(clip))[None].to(self.device)
        logits = self.model.logits(audio, torch.tensor([audio.shape[-1]], device=self.device))[0].cpu()
        self.wrong.append((logits.argmax(-1) != labels(self.phones[clip.start], len(logits))).flatten())

    def on_validation_epoch_end(self) -> None:
        self.log("validation/frame_error_rate", float(torch.cat(self.wrong).float().mean()), rank_zero_only=True)
