"""A training recipe: one YAML file, checked in full before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import UserError

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """Unknown keys are errors everywhere in a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SpectralModel(Section):
    """The tiny backbone (codecs/nn/spectral.py) with an FSQ bottleneck."""

    family: Literal["spectral"]
    width: Positive = 256
    hidden: Positive = 640
    encoder_blocks: Positive = 3
    decoder_blocks: Positive = 5
    latent_dim: Positive = 64
    n_fft: Positive = 800
    hop_length: Positive = 200
    stride: Positive = 1
    levels: list[Positive] = [5, 5, 3, 3, 3, 3, 3, 3]


class Data(Section):
    """Where the training audio comes from: exactly one of `manifest`, `folder` and `hf`.

    batch_size  crops a step over all devices together
    weights     how often each corpus of a manifest is drawn, relative to its hours; 1 where it is not named
    held_out    clips, each of another speaker, kept for validation; their speakers are not trained on
    gain_db     each crop is scaled by a uniform draw from -gain_db..gain_db
    noise_dbfs  half of the crops get a steady coloured noise of a level drawn from this range: what is trained on is often cleaned
                or lossily coded, and a codec that never met a noise floor invents one
    """

    manifest: str | None = None
    folder: str | None = None
    hf: str | None = None
    hf_config: str | None = None
    hf_split: str = "train"
    sample_rate: Positive = 16000
    crop_s: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Positive = 16
    weights: dict[str, Weight] = {}
    held_out: Positive = 16
    gain_db: Weight = 0.0
    noise_dbfs: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if sum(source is not None for source in (self.manifest, self.folder, self.hf)) != 1:
            raise ValueError("give exactly one of manifest, folder, hf")
        return self


class Optimiser(Section):
    """AdamW; the learning rate rises over `warmup_steps`, then falls to `final_learning_rate` at the last step.

    schedule        "trapezoid" stays at its peak and falls in a straight line over the last `decay_share` of the steps
    stop_after      ends the training early, at a learning rate that is still high: for a stage that others start from
    average_decay   of the moving average of the weights, which is what is validated and shipped; 0: none
    """

    steps: Positive
    stop_after: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: Weight = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["cosine", "linear", "exponential", "trapezoid"] = "cosine"
    decay_share: Annotated[float, Field(gt=0, le=1)] = 0.35
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: Weight = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Losses(Section):
    """Weights of the generator's losses; the discriminators exist where `adversarial` is above 0."""

    mel: Weight = 15.0
    mel_turns: Positive = 1  # above 1, each step takes one part in so many of the mel scales
    stft: Weight = 0.0
    adversarial: Weight = 0.0
    feature_matching: Weight = 0.0


class Melt(Section):
    """CodecSlime's post-training on random segments (paper, section 3.3 and its page): Dirichlet shares that grow with the steps."""

    kind: Literal["melt"]
    target_shares: list[Weight] = [0.1, 0.45, 0.25, 0.2]  # of segments of 1, 2, 3, ... frames
    curriculum_steps: Positive
    concentration: Annotated[float, Field(gt=0)] = 30.0
    skip_probability: Annotated[float, Field(ge=0, le=1)] = 0.5


class Cool(Section):
    """CodecSlime's fine-tuning with ScheDFR in the loop; the encoder is frozen."""

    kind: Literal["cool"]
    compression: Annotated[float, Field(ge=1)] = 2.0  # base frames a segment, on average
    max_duration: Positive = 4
    skip_probability: Annotated[float, Field(ge=0, le=1)] = 0.3


class Validation(Section):
    every_steps: Positive = 1000
    checkpoint_steps: Positive = 250  # a killed training loses no more than these


class Hardware(Section):
    """Lightning's own switches, passed on to its Trainer."""

    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: Positive = 1
    strategy: str = "auto"
    precision: str = "bf16-mixed"


class Recipe(Section):
    """One training: from `start` (a checkpoint, or nothing) to codecs/checkpoints-like safetensors."""

    name: str
    codec: str
    seed: int = 0
    model: SpectralModel
    start: str | None = None
    data: Data
    optimiser: Optimiser
    losses: Losses = Losses()
    merging: Annotated[Melt | Cool, Field(discriminator="kind")] | None = None
    validation: Validation = Validation()
    hardware: Hardware = Hardware()


def read_recipe(path: Path) -> Recipe:
    """The recipe in `path`; UserError names the file, the field and what is wrong with it."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors()]
        raise UserError(f"{path}: " + "; ".join(problems)) from error
