"""FlexiCodec-tiny's speech recogniser: a small SenseVoice encoder that learns to spell the transcripts by CTC."""

from __future__ import annotations

import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from bench.codecs.nn.fbank import FilterBank, fbank, stack_frames
from bench.codecs.nn.sensevoice import SenseVoice
from bench.codecs.training.data import AudioStore, Clip, FromStep, split
from bench.codecs.training.models import Reconstruction, Trainable
from bench.codecs.training.module import Training
from bench.codecs.training.recipe import Recipe, RecogniserModel
from bench.errors import UserError

LETTERS = "-abcdefghijklmnopqrstuvwxyz' "  # the first is CTC's blank
LETTERS_A_FRAME = 3  # speech spells about as many letters a second as there are frames (16.67): CTC needs room between equal ones
CMVN_CLIPS = 200


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

    def logits(self, audio: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and how many of their frames each item has."""
        frames = -((1 + (num_samples - 400) // 160) // -6)
        logits = self.network.logits(self.front_end(audio), frames)
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
        draws = [int(np.random.default_rng((self.recipe.seed, number)).integers(len(self.training_clips))) for number in numbers]
        clips = [self.training_clips[draw] for draw in draws]
        audio = [torch.from_numpy(self.store.audio(clip)) for clip in clips]
        letters = [torch.tensor(spell(clip.text or "")) for clip in clips]
        pad = torch.nn.utils.rnn.pad_sequence
        lengths = torch.tensor([len(row) for row in audio]), torch.tensor([len(row) for row in letters])
        return pad(audio, batch_first=True), lengths[0], pad(letters, batch_first=True), lengths[1]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], batch_index: int) -> None:
        audio, num_samples, letters, num_letters = batch
        logits, frames = self.model.logits(audio, num_samples)
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
