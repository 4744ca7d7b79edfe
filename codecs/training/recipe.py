"""A training recipe: one YAML file, checked in full before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import UserError

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Levels = Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]  # of an FSQ, one number a dimension


class Section(BaseModel):
    """Unknown keys are errors everywhere in a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- model: what is trained ---------------------------------------------------------------------------------------------------


class SpectralModel(Section):
    """The tiny family's network (codecs/nn/spectral.py); `stride` base frames make one frame at the bottleneck."""

    family: Literal["spectral"]
    width: Positive
    hidden: Positive
    encoder_blocks: Positive
    decoder_blocks: Positive
    latent_dim: Positive
    n_fft: Positive = 640
    hop_length: Positive = 200
    stride: Positive = 1
    levels: Levels = [5, 5, 3, 3, 3, 3, 3, 3]


class BigCodecModel(Section):
    """CodecSlime's own backbone at full size; other `strides` make the fixed-rate baselines, and larger codebooks their twins.

    codebook_size   of vq8k
    levels          of fsq18k
    """

    family: Literal["bigcodec"]
    variant: Literal["vq8k", "fsq18k"]
    strides: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=5, max_length=5)] = [2, 2, 2, 5, 5]
    codebook_size: Positive = 8192
    levels: Levels = [5, 5, 3, 3, 3, 3, 3, 3]

    @model_validator(mode="after")
    def _codebook_of_the_variant(self) -> BigCodecModel:
        other = "levels" if self.variant == "vq8k" else "codebook_size"
        if other in self.model_fields_set:
            raise ValueError(f"{other}: {self.variant} has none")
        return self


class TFCModel(Section):
    """TFC around any of its backbones; `config` is `bench.codecs.tfc.Config`, {} being the paper's."""

    family: Literal["tfc"]
    config: dict[str, Any] = {}


class FlexiCodecModel(Section):
    """FlexiCodec: the released network (`config` empty), a fixed-rate twin of it, or one of `bench.codecs.flexicodec.tiny_network`.

    config       {"strides": [5 numbers], "fsq_levels": [...]} for a twin of the released network
    recogniser   checkpoint of the speech recogniser whose features decide what is merged: SenseVoice-small's model.pt, what a recipe of
                 the family "recogniser" made, or a FlexiCodec of ours, which holds one; a path, a recipe's name or a shipped file's
    cmvn         am.mvn of SenseVoice-small; a recogniser of ours holds its own
    """

    family: Literal["flexicodec"]
    recogniser: str
    cmvn: str | None = None
    config: dict[str, Any] = {}


class RecogniserModel(Section):
    """The small recogniser of FlexiCodec-tiny: a SenseVoice encoder that tells the phones of the transcripts."""

    family: Literal["recogniser"]
    config: dict[str, int]


Model = Annotated[SpectralModel | BigCodecModel | TFCModel | FlexiCodecModel | RecogniserModel, Field(discriminator="family")]


# --- merging: what happens to its frames in training --------------------------------------------------------------------------


class Melt(Section):
    """CodecSlime's post-training on random segments: Dirichlet shares that grow with the steps."""

    kind: Literal["melt"]
    target_shares: list[Weight] = [0.1, 0.45, 0.25, 0.2]  # of segments of 1, 2, 3, ... frames
    curriculum_steps: Positive
    concentration: Annotated[float, Field(gt=0)] = 30.0
    skip_probability: Probability = 0.5


class Cool(Section):
    """CodecSlime's fine-tuning with ScheDFR in the loop."""

    kind: Literal["cool"]
    compression: Annotated[float, Field(ge=1)] = 2.0  # base frames a segment, on average
    max_duration: Positive = 4
    skip_probability: Probability = 0.3


class Ratios(Section):
    """TFC's shares of fine, medium and coarse time: the paper's for some items, random ones (all corners included) for the others."""

    kind: Literal["ratios"]
    shares: tuple[Weight, Weight, Weight] = (0.4, 0.3, 0.3)
    random_probability: Probability = 0.5
    codebook_dropout: Probability = 0.5  # share of the items that use a random number of codebooks

    @model_validator(mode="after")
    def _shares_of_one(self) -> Ratios:
        if abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"shares must sum to 1, got {sum(self.shares):g}")
        return self


class Thresholds(Section):
    """FlexiCodec's similarity threshold, one draw a step; 1 to 1 merges nothing, which is the first of its two stages."""

    kind: Literal["thresholds"]
    lowest: float = 0.7
    highest: float = 1.0
    unmerged: Probability = 0.0  # share of the steps that merge nothing, whatever the range
    semantic_only: Probability = 0.125  # share of the steps without any acoustic codebook


Merging = Annotated[Melt | Cool | Ratios | Thresholds, Field(discriminator="kind")]


# --- how -----------------------------------------------------------------------------------------------------------------------


class Data(Section):
    """Where the training audio comes from: exactly one of `manifest`, `folder` and `hf`.

    batch_size  crops a step over all devices together
    workers     processes that cut crops; 0: the training itself does
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
    hf_revision: str | None = None
    hf_text: str = "text"
    sample_rate: Positive = 16000
    crop_s: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Positive = 16
    workers: Annotated[int, Field(ge=0)] = 0
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
    muon_learning_rate   above 0, Muon (Jordan et al. 2024; needs torch 2.9) trains the matrices of repeated blocks, on the same curve
    """

    steps: Positive
    stop_after: Positive | None = None
    learning_rate: Annotated[float, Field(gt=0)]
    final_learning_rate: Weight = 0.0
    muon_learning_rate: Weight = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["cosine", "linear", "exponential", "trapezoid"] = "cosine"
    decay_share: Annotated[float, Field(gt=0, le=1)] = 0.35
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: Weight = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _exponential_never_reaches_zero(self) -> Optimiser:
        if self.schedule == "exponential" and not self.final_learning_rate:
            raise ValueError("an exponential schedule needs a final_learning_rate above 0")
        return self

    @property
    def last_step(self) -> int:
        return min(self.steps, self.stop_after or self.steps)


class Losses(Section):
    """Weights of the generator's losses, by the names that they have in the log.

    mel_turns        above 1, each step takes one part in so many of the mel scales
    energy           above 0, wide bands keep their energy, which the mel loss alone lets sink
    adversarial      above 0 there are discriminators: DAC's or BigCodec's
    distillation, repa   of FlexiCodec alone
    """

    mel: Weight = 15.0
    mel_turns: Positive = 1
    energy: Weight = 0.0
    stft: Weight = 0.0
    adversarial: Weight = 0.0
    feature_matching: Weight = 0.0
    discriminators: Literal["dac", "bigcodec"] = "dac"
    commitment: Weight = 0.25
    codebook: Weight = 1.0
    distillation: Weight = 0.0
    repa: Weight = 0.0


class Validation(Section):
    """On the held-out clips every so many steps; a killed training loses no more than `checkpoint_steps`."""

    every_steps: Positive = 1000
    checkpoint_steps: Positive = 250


class Hardware(Section):
    """Lightning's own switches, passed on to its Trainer. (Not "16-mixed": gradients would be clipped while they are still scaled.)"""

    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: Positive = 1
    strategy: str = "auto"
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"


class Recipe(Section):
    """One training.

    codec    the file in codecs/ that runs the result
    start    what it starts from: another recipe's name, whose result is taken, or a path; nothing: from scratch
    freeze   parts of the network that are not trained, by their names ("encoder")
    align_codebooks   before the first step, the projections of a residual VQ are fitted to some crops: where a trained encoder meets
                      an untrained quantiser, whose codes are then of the right size
    contrast what comes out has its level: the written decoder's spectra stand out by this share more than the trained one's
             (`SpectralDecoder.raise_contrast`)
    """

    name: str
    codec: str
    seed: int = 0
    start: str | None = None
    freeze: list[str] = []
    align_codebooks: bool = False
    contrast: Weight = 0.0
    model: Model
    merging: Merging | None = None
    data: Data
    optimiser: Optimiser
    losses: Losses = Losses()
    validation: Validation = Validation()
    hardware: Hardware = Hardware()

    @model_validator(mode="after")
    def _end_is_validated(self) -> Recipe:
        if self.optimiser.last_step % self.validation.every_steps:
            raise ValueError(f"validation.every_steps: {self.validation.every_steps} does not divide the {self.optimiser.last_step} steps")
        return self

    @model_validator(mode="after")
    def _codebooks_can_be_aligned(self) -> Recipe:
        if self.align_codebooks and self.model.family not in ("tfc", "flexicodec"):
            raise ValueError(
                f"align_codebooks: a model of the family '{self.model.family}' has no residual VQ; tfc and flexicodec have one"
            )
        return self

    @model_validator(mode="after")
    def _merging_fits_model(self) -> Recipe:
        needed = {"spectral": (None, "melt", "cool"), "bigcodec": (None, "melt", "cool"), "tfc": ("ratios",), "flexicodec": ("thresholds",)}
        kind = self.merging.kind if self.merging else None
        choices = needed.get(self.model.family, (None,))
        if kind not in choices:
            raise ValueError(f"merging of kind '{kind}' does not fit a model of the family '{self.model.family}': {choices}")
        return self


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
        problems = [f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise UserError(f"{path}: " + "; ".join(problems)) from error
