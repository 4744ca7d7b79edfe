"""Runs a recipe to its end, from scratch or from where a killed run stopped, and writes the checkpoint that inference loads."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from bench import checkpoint as checkpoints
from bench.codecs.nn.spectral import SpectralDecoder
from bench.codecs.training.data import AudioStore, open_store
from bench.codecs.training.module import LOG_EVERY_STEPS, CodecTraining, Training
from bench.codecs.training.recipe import Recipe, read_recipe
from bench.codecs.training.recogniser import RecogniserTraining
from bench.errors import UserError
from bench.files import write_atomically

SMOKE_STEPS = 10
LICENCE = "Apache-2.0"


class Checkpoint(Callback):
    """Saves `path` every so many steps, complete or not at all (Lightning's own saves by time only under automatic optimisation)."""

    def __init__(self, path: Path, every_steps: int) -> None:
        self.path, self.every_steps = path, every_steps

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: object, batch: object, batch_index: int) -> None:
        assert isinstance(module, Training)
        if module.step % self.every_steps == 0:
            partial = self.path.with_suffix(".partial")
            trainer.save_checkpoint(partial)
            if trainer.is_global_zero:
                os.replace(partial, self.path)


class Export(Callback):
    """Writes the inference checkpoint after every validation, so that a training may be stopped at any time."""

    def __init__(self, path: Path, start_steps: int) -> None:
        self.path, self.start_steps = path, start_steps

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, Training)
        if trainer.is_global_zero:
            export(module, self.path, self.start_steps)


def export(module: Training, path: Path, start_steps: int) -> None:
    """The weights in float16, with the recipe's contrast, and with all that says where they come from as metadata.

    The scores of the validation are of the weights as they were trained.
    """
    from safetensors.torch import save_file

    recipe, model = module.recipe, module.model
    measured = {name: round(float(value), 4) for name, value in module.trainer.callback_metrics.items() if name.startswith("validation/")}
    metadata = {
        "codec": recipe.codec,
        "recipe": recipe.model_dump_json(),
        "seed": str(recipe.seed),
        "steps": str(module.step),
        "total_steps": str(start_steps + module.step),
        "sample_rate": str(recipe.data.sample_rate),
        "data": json.dumps(hours_by_corpus(module.store)),
        "licence": LICENCE,
        "validation": json.dumps(measured),
    }
    if model.config:
        metadata["config"] = model.config
    network = model.network
    if recipe.contrast:
        network = copy.deepcopy(network)
        for decoder in spectral_decoders(network):
            decoder.raise_contrast(recipe.contrast)
    tensors = {name: tensor.detach().half().contiguous().cpu() for name, tensor in network.state_dict().items()}
    write_atomically(path, lambda partial: save_file(tensors, partial, metadata=metadata))


def spectral_decoders(network: nn.Module) -> list[SpectralDecoder]:
    return [part for part in network.modules() if isinstance(part, SpectralDecoder)]


def hours_by_corpus(store: AudioStore) -> dict[str, float]:
    hours: dict[str, float] = {}
    for clip in store.clips:
        hours[clip.corpus] = hours.get(clip.corpus, 0.0) + (clip.stop - clip.start) / store.sample_rate / 3600
    return {corpus: round(value, 3) for corpus, value in hours.items()}


def train(
    recipe_path: Path, out: Path = Path("results/training"), smoke: bool = False, resume: bool = True, data: Path | None = None
) -> Path:
    """Trains `recipe_path` in the folder `out`/<its name> and returns the checkpoint that inference loads.

    data     a manifest, or a folder of audio, in place of what the recipe names
    smoke    ten steps of two crops on the CPU, in `out`/smoke: does it run at all
    resume   goes on from where a killed training of this recipe stopped; otherwise it starts anew
    """
    recipe = read_recipe(recipe_path)
    if data is not None:
        source = {"manifest": None, "folder": None, "hf": None, "folder" if data.is_dir() else "manifest": str(data.resolve())}
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=source)})
    cache = out / "cache"
    if smoke:
        recipe, out = shortened(recipe), out / "smoke"
    folder = out / recipe.name
    last, exported = folder / "last.ckpt", folder / f"{recipe.name}.safetensors"
    L.seed_everything(recipe.seed, workers=True, verbose=False)
    store = open_store(recipe.data, recipe_path.parent, cache)
    is_recogniser = recipe.model.family == "recogniser"
    module = RecogniserTraining(recipe, store, cache) if is_recogniser else CodecTraining(recipe, store, out)
    if recipe.contrast and not spectral_decoders(module.model.network):
        raise UserError(f"{recipe_path}: contrast: this model has no decoder that is an inverse STFT, which alone has it; leave it out")
    start_steps = load_start(module, recipe.start, out)
    steps = recipe.optimiser.last_step
    trainer = L.Trainer(
        **recipe.hardware.model_dump(),
        max_epochs=1,  # an epoch is the whole training: crops are drawn, not enumerated
        val_check_interval=recipe.validation.every_steps,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(folder, name="", version=""),
        callbacks=[Checkpoint(last, recipe.validation.checkpoint_steps), Export(exported, start_steps)],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=os.isatty(1),
        log_every_n_steps=min(LOG_EVERY_STEPS, steps),
    )
    trainer.fit(module, ckpt_path=str(last) if resume and last.exists() else None, weights_only=True)
    return exported


def shortened(recipe: Recipe) -> Recipe:
    optimiser = recipe.optimiser.model_copy(update={"steps": SMOKE_STEPS, "stop_after": None, "warmup_steps": 2})
    data = recipe.data.model_copy(update={"batch_size": 2, "held_out": 1, "workers": 0})
    hardware = recipe.hardware.model_copy(update={"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"})
    validation = recipe.validation.model_copy(update={"every_steps": SMOKE_STEPS})
    return recipe.model_copy(update={"optimiser": optimiser, "data": data, "hardware": hardware, "validation": validation})


def load_start(module: Training, start: str | None, out: Path) -> int:
    """Fills the model from what its recipe starts from; returns the steps that went into it.

    start   another recipe's name, whose result is taken from `out` or else from the shipped checkpoints; or a path
    """
    if start is None:
        return 0
    candidates = [out / start / f"{start}.safetensors", checkpoints.SHIPPED / f"{start}.safetensors", Path(start)]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        looked = ", ".join(str(path) for path in candidates)
        raise UserError(f"start: no checkpoint '{start}': looked for {looked}; train the recipe of that name first")
    tensors, metadata = checkpoints.load_safetensors(path)
    checkpoints.load_strictly(module.model.network, module.model.from_start(tensors), path)
    contrast = json.loads(metadata.get("recipe", "{}")).get("contrast", 0.0)
    for decoder in spectral_decoders(module.model.network):
        decoder.raise_contrast(1 / (1 + contrast) - 1)  # back to what was trained
    return int(metadata["total_steps"])
