"""FlexiCodec-tiny's speech recogniser: a small SenseVoice encoder that learns to spell the transcripts by CTC."""

from __future__ import annotations

import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from bench.codecs.nn.fbank import MEL_BINS, FilterBank, fbank, stack_frames
from bench.codecs.nn.sensevoice import SenseVoice
from bench.codecs.training.data import AudioStore, Clip, FromStep, split, vary
from bench.codecs.training.merging import generator
from bench.codecs.training.models import Reconstruction, Trainable
from bench.codecs.training.module import Training
from bench.codecs.training.recipe import Recipe, RecogniserModel
from bench.errors import UserError

LETTERS = "-abcdefghijklmnopqrstuvwxyz' "  # the first is CTC's blank
LETTERS_A_FRAME = 3  # speech spells about as many letters a second as there are frames (16.67): CTC needs room between equal ones
CMVN_CLIPS = 200
# SpecAugment (Park et al. 2019, arXiv 1904.08779): masks of each kind an utterance, and their widest. Nothing is warped.
MASKS, WIDEST_BAND, WIDEST_TIME = 2, 20, 8  # of 80 mel bands; in frames of 60 ms


def spell(text: str) -> list[int]:
    """Indices into LETTERS; what is no letter is left out."""
    return [LETTERS.index(letter) for letter in text.lower() if letter in LETTERS[1:]]


def read(logits: Tensor) -> str:
    """Most probable letters of `logits` [F, classes], repetitions joined and blanks left out."""
    best = torch.unique_consecutive(logits.argmax(-1))
    return "".join(LETTERS[int(letter)] for letter in best if letter)


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
    """Audio [B, T] to logits [B, F * LETTERS_A_FRAME, classes]."""

    network: SenseVoice

    def __init__(self, model: RecogniserModel, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        sizes = {**model.config, "vocabulary_size": LETTERS_A_FRAME * len(LETTERS)}
        self.network = SenseVoice(**sizes)
        self.front_end = FilterBank(shift, scale)
        self.config = json.dumps({"semantic_model": sizes, "cmvn": {"shift": shift.tolist(), "scale": scale.tolist()}})

    def forward(self, audio: Tensor, step: int | None) -> Reconstruction:
        raise NotImplementedError("a recogniser makes no audio")

    def logits(self, audio: Tensor, num_samples: Tensor, random: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Logits, and how many of their frames each item has; with `random`, of augmented features."""
        frames = -((1 + (num_samples - 400) // 160) // -6)
        features = self.front_end(audio)
        logits = self.network.logits(features if random is None else augment(features, random), frames)
        return logits.unflatten(-1, (LETTERS_A_FRAME, -1)).flatten(1, 2), frames * LETTERS_A_FRAME


class RecogniserTraining(Training):
    """Whole utterances with transcripts, CTC; validated by the character error rate of the held-out speakers."""

    model: Recogniser

    def __init__(self, recipe: Recipe, store: AudioStore) -> None:
        assert isinstance(recipe.model, RecogniserModel)
        spoken = AudioStore(store.samples, tuple(clip for clip in store.clips if clip.text), store.sample_rate)
        if not spoken.clips:
            raise UserError("data: no clip has a transcript: a recogniser can not be trained on it")
        clips, _ = split(spoken, recipe.data.held_out)
        super().__init__(recipe, spoken, Recogniser(recipe.model, *statistics(spoken, clips[:: max(1, len(clips) // CMVN_CLIPS)])))

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor, Tensor, Tensor]]:
        size, world = self.recipe.data.batch_size, self.trainer.world_size
        numbers = range(self.recipe.optimiser.last_step * size)
        sampler = FromStep(self.step * size, len(numbers), self.global_rank, world)
        return DataLoader(numbers, batch_size=size // world, sampler=sampler, collate_fn=self.batch)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[int]:
        return DataLoader(range(len(self.validation_clips)), batch_size=None)  # type: ignore[arg-type]

    def batch(self, numbers: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Audio [B, T], samples of each item [B], letters [B, S], letters of each item [B]; utterance i depends on seed and i alone."""
        randoms = [np.random.default_rng((self.recipe.seed, number)) for number in numbers]
        clips = [self.training_clips[int(random.integers(len(self.training_clips)))] for random in randoms]
        audio = [torch.from_numpy(vary(self.store.audio(clip), self.recipe.data, random)) for clip, random in zip(clips, randoms, strict=True)]
        letters = [torch.tensor(spell(clip.text or "")) for clip in clips]
        pad = torch.nn.utils.rnn.pad_sequence
        lengths = torch.tensor([len(row) for row in audio]), torch.tensor([len(row) for row in letters])
        return pad(audio, batch_first=True), lengths[0], pad(letters, batch_first=True), lengths[1]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], batch_index: int) -> None:
        audio, num_samples, letters, num_letters = batch
        logits, frames = self.model.logits(audio, num_samples, generator(self.recipe.seed, self.step))
        log_probabilities = logits.float().log_softmax(-1).transpose(0, 1)
        loss = F.ctc_loss(log_probabilities, letters, frames, num_letters, zero_infinity=True)
        norm = self.update(0, loss)
        self.finish_step({"ctc": loss, "gradient_norm": norm})

    def on_validation_epoch_start(self) -> None:
        self.read: list[str] = []
        self.spoken: list[str] = []

    def validation_step(self, number: int, batch_index: int) -> None:
        clip = self.validation_clips[number]
        audio = torch.from_numpy(self.store.audio(clip))[None].to(self.device)
        assert isinstance(self.model, Recogniser)
        logits, _ = self.model.logits(audio, torch.tensor([audio.shape[-1]], device=self.device))
        self.read.append(read(logits[0]))
        self.spoken.append("".join(LETTERS[letter] for letter in spell(clip.text or "")))

    def on_validation_epoch_end(self) -> None:
        import jiwer

        self.log("validation/character_error_rate", float(jiwer.cer(self.spoken, self.read)), rank_zero_only=True)
