"""Training: recipes are checked, crops are reproducible, a killed run resumes onto the same curve, and every stage runs."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bench import audio
from bench.checkpoint import load_safetensors
from bench.codecs.training import discriminators, losses, module
from bench.codecs.training import train as training
from bench.codecs.training.data import Crops, coloured_noise, open_store, split
from bench.codecs.training.merging import DirichletSegments, ScheduledSegments, draw_ratios
from bench.codecs.training.models import build
from bench.codecs.training.module import CROPS_TO_ALIGN, CodecTraining, align_codebooks, learning_rate
from bench.codecs.training.recipe import Cool, Data, Melt, Optimiser, Ratios, read_recipe
from bench.codecs.training.recogniser import RecogniserTraining, augment
from bench.errors import UserError

RECIPES = sorted((Path(training.__file__).parent / "recipes").glob("*.yaml"))


@pytest.fixture
def speech_folder(tmp_path: Path) -> Path:
    """Six speakers of one 4 s clip each: harmonics with a slow envelope."""
    random = np.random.default_rng(0)
    time_s = np.arange(4 * 16000) / 16000
    for speaker in range(6):
        pitch = 100 + 20 * speaker
        voice = sum(np.sin(2 * np.pi * pitch * k * time_s) / k for k in range(1, 8)) * (1 + np.sin(2 * np.pi * 3 * time_s))
        noisy = 0.1 * voice + 0.001 * random.standard_normal(len(voice))
        audio.write(tmp_path / "speech" / f"s{speaker}" / f"clip{speaker}.wav", noisy.astype(np.float32), 16000)
    return tmp_path / "speech"


@pytest.fixture
def recipe(speech_folder: Path, tmp_path: Path) -> dict:
    """A training of seconds, to be written to a file by `save`."""
    return {
        "name": "toy",
        "codec": "fixed",
        "model": {"family": "spectral", "width": 16, "hidden": 16, "encoder_blocks": 1, "decoder_blocks": 1, "latent_dim": 8},
        "data": {"folder": str(speech_folder), "crop_s": 0.25, "batch_size": 4, "held_out": 2, "gain_db": 6, "noise_dbfs": [-80, -50]},
        "optimiser": {"steps": 12, "learning_rate": 1e-3, "warmup_steps": 2},
        "losses": {"mel": 15, "mel_turns": 2},
        "validation": {"every_steps": 12, "checkpoint_steps": 5},
        "hardware": {"accelerator": "cpu", "devices": 1},
    }


def save(recipe: dict, folder: Path) -> Path:
    path = folder / f"{recipe['name']}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_killed_training_resumes_onto_the_same_curve(recipe: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe["optimiser"]["muon_learning_rate"] = 0.02
    path = save(recipe, tmp_path)
    losses: dict[int, list[float]] = {}
    training_step = CodecTraining.training_step

    def recorded(self: CodecTraining, batch: torch.Tensor, index: int) -> None:
        losses.setdefault(self.step, []).append(float(self.mel(self.model(batch, self.step).audio, batch).detach()))
        training_step(self, batch, index)

    monkeypatch.setattr(CodecTraining, "training_step", recorded)
    unbroken, _ = load_safetensors(training.train(path, tmp_path / "unbroken"))

    def killed(self: CodecTraining, batch: torch.Tensor, index: int) -> None:
        if self.step == 8:
            raise KeyboardInterrupt
        recorded(self, batch, index)

    monkeypatch.setattr(CodecTraining, "training_step", killed)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        training.train(path, tmp_path / "broken")
    assert (tmp_path / "broken" / "toy" / "last.ckpt").exists()
    monkeypatch.setattr(CodecTraining, "training_step", recorded)
    resumed, metadata = load_safetensors(training.train(path, tmp_path / "broken"))

    assert metadata["steps"] == "12"
    assert [len(losses[step]) for step in range(12)] == [2] * 5 + [3] * 3 + [2] * 4  # steps 5 to 7 were lost and are run again
    for values in losses.values():
        assert values == [values[0]] * len(values)
    for name, tensor in unbroken.items():
        assert torch.equal(tensor, resumed[name]), name


def test_muon_turns_the_matrices_of_the_blocks_and_nothing_else(recipe: dict, tmp_path: Path) -> None:
    recipe["optimiser"] |= {"steps": 1, "warmup_steps": 0, "weight_decay": 0, "muon_learning_rate": 0.5}
    recipe["optimiser"] |= {"schedule": "linear"}
    recipe["validation"] = {"every_steps": 1}
    before: dict[str, torch.Tensor] = {}

    class Recorded(CodecTraining):
        def on_train_start(self) -> None:
            before.update({name: tensor.clone() for name, tensor in self.model.network.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CodecTraining", Recorded)
        after, _ = load_safetensors(training.train(save(recipe, tmp_path), tmp_path / "out"))
    for name, tensor in before.items():
        change = after[name].float() - tensor
        if ".blocks." in name and tensor.ndim == 2:
            # an orthogonal matrix times the learning rate, but for directions in which there is hardly any gradient
            strengths = torch.linalg.svdvals(change / 0.5)
            assert strengths[0] < 1.3, name
            assert strengths[3] > 0.6, name
        else:
            assert change.abs().max() < 5e-3, name  # AdamW: no more than its own learning rate, and float16


def test_a_stage_starts_from_another_ones_result_and_counts_its_steps(recipe: dict, tmp_path: Path) -> None:
    backbone, _ = load_safetensors(training.train(save(recipe, tmp_path), tmp_path / "out", smoke=True))
    cool = {**recipe, "name": "cooled", "start": "toy", "freeze": ["encoder"], "merging": {"kind": "cool"}}
    cooled, metadata = load_safetensors(training.train(save(cool, tmp_path), tmp_path / "out", smoke=True))
    assert metadata["total_steps"] == "20"
    for name, tensor in backbone.items():
        assert torch.equal(tensor, cooled[name]) == name.startswith("encoder."), name


def test_a_finished_training_is_not_repeated(recipe: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = {**recipe, "validation": {"every_steps": 12, "checkpoint_steps": 6}}
    first, _ = load_safetensors(training.train(save(toy, tmp_path), tmp_path / "out"))
    monkeypatch.setattr(CodecTraining, "training_step", lambda *_: pytest.fail("a step was run"))
    again, metadata = load_safetensors(training.train(save(toy, tmp_path), tmp_path / "out"))
    assert metadata["steps"] == "12"
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_widening_to_a_stride_averages_and_repeats(recipe: dict, tmp_path: Path) -> None:
    tensors, _ = load_safetensors(training.train(save(recipe, tmp_path), tmp_path / "out", smoke=True))
    narrow = read_recipe(save(recipe, tmp_path))
    wide = narrow.model_copy(update={"model": narrow.model.model_copy(update={"stride": 2})})
    first, second = build(narrow, tmp_path), build(wide, tmp_path)
    one: Any = first.network
    two: Any = second.network
    one.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    two.load_state_dict({name: tensor.float() for name, tensor in second.from_start(tensors).items()})
    audio_in = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) / 10
    latents = one.encoder(audio_in)
    means = latents.unflatten(-1, (-1, 2)).mean(-1)
    assert torch.allclose(two.encoder(audio_in), means, atol=1e-5)
    assert torch.allclose(two.decoder(means), one.decoder(means.repeat_interleave(2, dim=-1)), atol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("optimiser", {"steps": 0, "learning_rate": 1e-3}, "optimiser.steps"),
        ("optimiser", {"steps": 9, "learning_rate": 1e-3, "schedule": "exponential"}, "final_learning_rate"),
        ("data", {"batch_size": 4}, "exactly one of manifest, folder, hf"),
        ("losses", {"mle": 15}, "losses.mle"),
        ("merging", {"kind": "ratios"}, "does not fit a model of the family 'spectral'"),
        ("merging", {"kind": "freeze"}, "merging"),
        ("model", {"family": "dac"}, "model"),
        ("validation", {"every_steps": 5}, "does not divide the 12 steps"),
        ("start", "no_such_recipe", "no checkpoint 'no_such_recipe'"),
        ("align_codebooks", True, "'spectral' has no residual VQ"),
        ("contrast", -0.1, "contrast"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_clear_line(recipe: dict, tmp_path: Path, field: str, value: object, words: str) -> None:
    with pytest.raises(UserError) as caught:
        training.train(save({**recipe, field: value}, tmp_path), tmp_path / "out")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_learning_rates_rise_and_fall_as_the_recipe_says() -> None:
    settings: dict[str, Any] = {"steps": 1000, "learning_rate": 1e-3, "final_learning_rate": 1e-5, "warmup_steps": 100}
    for schedule in ("cosine", "linear", "exponential", "trapezoid"):
        curve = [learning_rate(Optimiser(**settings, schedule=schedule), step) for step in range(1001)]
        assert curve[0] == pytest.approx(1e-5)
        assert curve[100] == pytest.approx(1e-3)
        assert curve[1000] == pytest.approx(1e-5)
        assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(curve[100:]))
    flat = Optimiser(**settings, schedule="trapezoid", decay_share=0.2)
    assert learning_rate(flat, 800) == pytest.approx(1e-3)
    assert learning_rate(flat, 900) == pytest.approx(5.05e-4)


def test_crops_depend_on_seed_and_number_alone_and_spare_the_held_out_speakers(recipe: dict, tmp_path: Path) -> None:
    data = Data(**recipe["data"])
    store = open_store(data, tmp_path, tmp_path / "cache")
    trained, held_out = split(store, 2)
    assert len(held_out) == 2
    assert not {clip.speaker for clip in held_out} & {clip.speaker for clip in trained}
    recorded, _ = audio.read(tmp_path / "speech" / trained[0].speaker / f"{trained[0].id}.wav")
    assert np.abs(store.audio(trained[0]) - recorded).max() < 1e-4
    one, other = Crops(store, trained, data, 0, 100), Crops(store, trained, data, 0, 50)
    assert torch.equal(one[17], other[17])
    assert not torch.equal(one[17], one[18])
    assert not torch.equal(one[17], Crops(store, trained, data, 1, 100)[17])
    assert one[3].dtype == torch.float32
    assert one[3].shape == (4000,)


def test_coloured_noise_has_its_level() -> None:
    noise = coloured_noise(16000, -50.0, np.random.default_rng(0))
    assert 20 * np.log10(np.sqrt(np.mean(noise**2))) == pytest.approx(-50, abs=1e-3)


def durations_of(merging: Any, latents: torch.Tensor, step: int | None) -> torch.Tensor:
    durations = merging.durations(latents, step)
    assert durations is not None
    return durations


def test_melt_begins_without_merging_and_reaches_its_target() -> None:
    melt = DirichletSegments(Melt(kind="melt", curriculum_steps=100, skip_probability=0.0), seed=0)
    latents = torch.zeros(64, 4, 80)
    assert bool((durations_of(melt, latents, 0) <= 1).all())
    shares = np.mean([melt.shares(100, np.random.default_rng(seed)) for seed in range(2000)], axis=0)
    assert np.allclose(shares, [0.1, 0.45, 0.25, 0.2], atol=0.02)
    for step in (30, 100, 250):
        durations = durations_of(melt, latents, step)
        assert bool((durations.sum(1) == 80).all())
        assert 0 <= int(durations.min())
        assert int(durations.max()) <= 4
    skipping = DirichletSegments(Melt(kind="melt", curriculum_steps=100, skip_probability=0.5), seed=0)
    assert 0.4 < np.mean([skipping.durations(latents[:1], step) is None for step in range(500)]) < 0.6


def test_cool_merges_by_schedfr_and_lets_some_items_escape() -> None:
    cool = ScheduledSegments(Cool(kind="cool", skip_probability=0.3), seed=0)
    latents = torch.randn(200, 4, 80, generator=torch.Generator().manual_seed(0))
    exact = durations_of(cool, latents, None)
    assert exact.shape == (200, 40)
    assert bool((exact.sum(1) == 80).all())
    durations = durations_of(cool, latents, 7)
    escaped = (durations == 1).all(1)
    assert 0.2 < float(escaped.double().mean()) < 0.4
    assert torch.equal(durations[~escaped][:, :40], exact[~escaped])


def test_ratios_cover_the_papers_shares_the_corners_and_what_lies_between() -> None:
    rows = draw_ratios(Ratios(kind="ratios"), 2000, np.random.default_rng(0))
    assert all(min(row) >= 0 and sum(row) == pytest.approx(1) for row in rows)
    literal = np.mean([row == pytest.approx((0.4, 0.3, 0.3)) for row in rows])
    corners = {row.index(1.0) for row in rows if max(row) == 1.0}
    assert 0.45 < literal < 0.55
    assert corners == {0, 1, 2}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_its_start_exists(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    assert recipe.start is None or recipe.start in {other.stem for other in RECIPES}


def test_every_tiny_recipe_runs_from_what_it_starts_from(speech_folder: Path, tmp_path: Path) -> None:
    """On other audio, else as they are: the whole family in the order of its stages."""
    for path in speech_folder.rglob("*.wav"):
        path.with_suffix(".txt").write_text("a toy")
    waiting = [path for path in RECIPES if "tiny" in path.stem or path.stem == "flexicodec_recogniser"]
    done: set[str] = set()
    while waiting:
        path = waiting.pop(0)
        content = yaml.safe_load(path.read_text())
        if not {content.get("start"), content["model"].get("recogniser")} - {None} <= done:
            waiting.append(path)
            continue
        content["data"]["folder"] = str(speech_folder)
        del content["data"]["manifest"]
        result = training.train(save(content, tmp_path), tmp_path / "out", smoke=True)
        done.add(path.stem)
        if content["model"]["family"] != "recogniser":
            importlib.import_module(f"bench.codecs.{content['codec']}").load(str(result), torch.device("cpu"))
    assert len(done) >= 8


def toy_model(family: str, recogniser: Path) -> dict:
    """The `codec`, `model` and `merging` of a recipe of seconds."""
    stft = {"width": 16, "hidden": 24, "encoder_blocks": 1, "decoder_blocks": 1, "n_fft": 640}
    if family == "tfc":
        backbone = {"family": "spectral", "latent_dim": 8, "hop_length": 200, **stft}
        config = {"backbone": backbone, "sample_rate": 16000, "n_q": 3, "codebook_size": 16, "codebook_dim": 4}
        return {"codec": "tfc", "model": {"family": "tfc", "config": config}, "merging": {"kind": "ratios"}}
    transformer = {"width": 16, "hidden": 32, "num_heads": 2, "num_layers": 1}
    sizes = {"semantic_dim": 16, "latent_dim": 16, "fsq_levels": [4, 3], "rvq_codebooks": 2, "codebook_size": 16, "codebook_dim": 4}
    sizes |= {"convnext_width": 12, "convnext_hidden": 24, "convnext_blocks": 1, "aggregator": transformer, "unmerger": transformer}
    config = {"backbone": {"hop_length": 160, "stride": 8, **stft}, "sizes": sizes}
    model = {"family": "flexicodec", "recogniser": str(recogniser), "config": config}
    return {"codec": "flexicodec", "model": model, "merging": {"kind": "thresholds", "lowest": 0.5}}


@pytest.fixture
def recogniser(recipe: dict, speech_folder: Path, tmp_path: Path) -> Path:
    """A recogniser of ten steps, on clips that are all said to be "a toy"."""
    for path in speech_folder.rglob("*.wav"):
        path.with_suffix(".txt").write_text("a toy")
    sizes = {"width": 16, "hidden": 16, "num_heads": 2, "num_blocks": 2, "num_tp_blocks": 1, "kernel_size": 3}
    toy = {**recipe, "name": "recogniser", "codec": "flexicodec", "model": {"family": "recogniser", "config": sizes}}
    toy["hardware"] = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    return training.train(save(toy, tmp_path), tmp_path / "out", smoke=True)


@pytest.mark.parametrize("family", ["tfc", "flexicodec"])
def test_the_other_codecs_train_and_their_results_load(family: str, recipe: dict, recogniser: Path, tmp_path: Path) -> None:
    toy = {**recipe, **toy_model(family, recogniser), "data": {**recipe["data"], "crop_s": 1.28}}
    module = importlib.import_module(f"bench.codecs.{toy['codec']}")
    codec = module.load(str(training.train(save(toy, tmp_path), tmp_path / "out", smoke=True)), torch.device("cpu"))
    point = module.point(ratios="training", n_q=2) if family == "tfc" else module.point(threshold=0.9, n_q=2)
    encoded = codec.encode(codec.analyse(torch.randn(20000, generator=torch.Generator().manual_seed(0)) / 10), point)
    assert codec.decode(encoded).shape == (20000,)


def test_flexicodec_starts_from_a_fixed_models_blocks(recipe: dict, recogniser: Path, tmp_path: Path) -> None:
    toy = {**recipe, **toy_model("flexicodec", recogniser)}
    model = build(read_recipe(save(toy, tmp_path)), tmp_path)
    fixed = {**recipe["model"], "hidden": 24, "latent_dim": 16, "n_fft": 640, "hop_length": 200, "stride": 1, "encoder_blocks": 2}
    start = build(read_recipe(save({**recipe, "model": fixed}, tmp_path)), tmp_path).network.state_dict()
    filled = model.from_start(start)
    own = model.network.state_dict()
    assert {name: tensor.shape for name, tensor in filled.items()} == {name: tensor.shape for name, tensor in own.items()}
    assert torch.equal(filled["dac.decoder.blocks.0.expand.weight"], start["decoder.blocks.0.expand.weight"])
    assert torch.equal(filled["dac.encoder.embed.weight"], start["encoder.embed.weight"])
    assert torch.equal(filled["dac.encoder.project.weight"], own["dac.encoder.project.weight"])  # another stride
    assert all(model.from_start(own)[name] is tensor for name, tensor in own.items())


def test_aligned_codebooks_fit_what_the_encoder_gives_and_a_resumed_training_keeps_its_own(
    recipe: dict, recogniser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = {**recipe, **toy_model("flexicodec", recogniser), "data": {**recipe["data"], "crop_s": 1.28}, "align_codebooks": True}
    model = build(read_recipe(save(toy, tmp_path)), tmp_path)
    audio = 0.1 * torch.randn(8, 20480, generator=torch.Generator().manual_seed(0))
    left: list[float] = []
    network: Any = model.eval().network
    quantiser = network.dac.quantizer
    quantiser.register_forward_hook(lambda part, given, made: left.append(float((given[0] - made.features).var() / given[0].var())))
    with torch.no_grad():
        model(audio, None)
        align_codebooks(model, audio)
        model(audio, None)
    assert left[-1] < 0.6 < left[0]

    aligned: list[int] = []
    monkeypatch.setattr(module, "align_codebooks", lambda model, audio: aligned.append(len(audio)))
    toy["optimiser"] = {**recipe["optimiser"], "stop_after": 6}
    toy["validation"] = {"every_steps": 6, "checkpoint_steps": 6}
    training.train(save(toy, tmp_path), tmp_path / "out")
    assert aligned == [CROPS_TO_ALIGN]
    toy["optimiser"] = recipe["optimiser"]
    training.train(save(toy, tmp_path), tmp_path / "out")
    assert aligned == [CROPS_TO_ALIGN]


def test_with_discriminators_both_sides_learn(recipe: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small() -> discriminators.Discriminators:
        return discriminators.Discriminators([discriminators.PeriodDiscriminator(2, (4, 4)), discriminators.BandDiscriminator(512, 4)])

    monkeypatch.setattr(discriminators, "dac_discriminators", small)
    seen: list[CodecTraining] = []
    monkeypatch.setattr(CodecTraining, "on_fit_end", lambda self: seen.append(self))
    toy = {**recipe, "losses": {"mel": 15, "stft": 1, "adversarial": 1, "feature_matching": 2}}
    training.train(save(toy, tmp_path), tmp_path / "out", smoke=True)
    judge, judges_start = seen[0].discriminators, seen[0].optimizers()
    assert judge is not None
    assert isinstance(judges_start, list)
    assert [len(optimiser.state) > 0 for optimiser in judges_start] == [True, True]
    assert seen[0].step == 10


def test_augmentation_masks_whole_bands_and_stretches_of_time_and_nothing_else() -> None:
    features = torch.randn(32, 60, 560, generator=torch.Generator().manual_seed(0))
    masked = augment(features, np.random.default_rng(0))
    assert torch.equal(masked, augment(features, np.random.default_rng(0)))
    kept = masked != 0
    assert torch.equal(masked[kept], features[kept])
    kept = kept.unflatten(-1, (7, 80))
    bands, times = kept.any(dim=(1, 2)), kept.any(dim=(2, 3))
    assert torch.equal(kept, (bands[:, None, None, :] & times[:, :, None, None]).expand_as(kept))
    for mask, widest in ((bands, 20), (times, 8)):
        silent = (~mask).sum(dim=1)
        assert int(silent.max()) <= 2 * widest
        assert float(silent.float().mean()) == pytest.approx(widest, rel=0.3)  # two masks of half of the widest on average, cut at the edge


def test_a_recogniser_of_another_sample_rate_is_refused(recipe: dict, speech_folder: Path, tmp_path: Path) -> None:
    toy = {**recipe, "model": {"family": "recogniser", "config": {}}, "data": {**recipe["data"], "sample_rate": 8000}}
    with pytest.raises(UserError, match=r"data\.sample_rate: a recogniser hears 16000 Hz, got 8000"):
        training.train(save(toy, tmp_path), tmp_path / "out")


def test_utterances_of_the_recogniser_vary_in_level_as_the_recipe_says(recipe: dict, speech_folder: Path, tmp_path: Path) -> None:
    sizes = {"width": 16, "hidden": 16, "num_heads": 2, "num_blocks": 1, "num_tp_blocks": 0, "kernel_size": 3}
    for path in speech_folder.rglob("*.wav"):
        path.with_suffix(".txt").write_text("a toy")
    toy = {**recipe, "codec": "flexicodec", "model": {"family": "recogniser", "config": sizes}}
    levels = {}
    for gain_db in (0.0, 12.0):
        toy["data"] = {**recipe["data"], "gain_db": gain_db, "noise_dbfs": None}
        read = read_recipe(save(toy, tmp_path))
        training_module = RecogniserTraining(read, open_store(read.data, tmp_path, tmp_path / "cache"), tmp_path)
        levels[gain_db] = [float(training_module.batch([number])[0].square().mean().sqrt()) for number in range(24)]
    ratios_db = 20 * np.log10(np.array(levels[12.0]) / np.array(levels[0.0]))
    assert np.abs(ratios_db).max() <= 12.01
    assert np.std(ratios_db) > 3


def test_a_recipes_contrast_is_in_the_head_of_what_is_written_alone(recipe: dict, tmp_path: Path) -> None:
    weights = {}
    for contrast in (0.0, 0.5):
        exported = training.train(save({**recipe, "contrast": contrast}, tmp_path), tmp_path / str(contrast), smoke=True)
        weights[contrast], metadata = load_safetensors(exported)
        assert json.loads(metadata["recipe"])["contrast"] == contrast
    head = weights[0.0]["decoder.head.weight"][:321].float()
    raised = head + 0.5 * (head - head.mean(0))
    assert torch.allclose(weights[0.5]["decoder.head.weight"][:321].float(), raised, atol=2e-3)
    different = {name for name, tensor in weights[0.0].items() if not torch.equal(tensor, weights[0.5][name])}
    assert different == {"decoder.head.weight", "decoder.head.bias"}


def test_a_training_starts_from_the_weights_before_their_contrast(recipe: dict, tmp_path: Path) -> None:
    heads = {}
    for contrast in (0.0, 0.5):
        training.train(save({**recipe, "contrast": contrast}, tmp_path), tmp_path / str(contrast), smoke=True)
        module = CodecTraining(
            read := read_recipe(save({**recipe, "start": recipe["name"]}, tmp_path)), open_store(read.data, tmp_path, tmp_path), tmp_path
        )
        assert training.load_start(module, read.start, tmp_path / str(contrast) / "smoke") == 10
        network: Any = module.model.network
        heads[contrast] = network.decoder.head.weight.detach()
    assert torch.allclose(heads[0.5], heads[0.0], atol=2e-3)


def test_contrast_is_refused_where_no_inverse_stft_has_it(recipe: dict, tmp_path: Path) -> None:
    other = {**recipe, "contrast": 0.1, "model": {"family": "bigcodec", "variant": "fsq18k"}}
    with pytest.raises(UserError, match="contrast: this model has no decoder"):
        training.train(save(other, tmp_path), tmp_path / "out", smoke=True)


def test_a_quantiser_of_other_levels_starts_anew_and_the_rest_as_it_was(recipe: dict, tmp_path: Path) -> None:
    tensors, _ = load_safetensors(training.train(save(recipe, tmp_path), tmp_path / "out", smoke=True))
    other = read_recipe(save({**recipe, "model": {**recipe["model"], "levels": [8, 8, 5]}}, tmp_path))
    model = build(other, tmp_path)
    own = model.network.state_dict()
    filled = model.from_start(tensors)
    assert {name: tensor.shape for name, tensor in filled.items()} == {name: tensor.shape for name, tensor in own.items()}
    for name in filled:
        mine = name.startswith("quantizer.") and name != "quantizer.project_out.bias"
        assert torch.equal(filled[name].float(), (own if mine else tensors)[name].float()), name


def test_the_energy_loss_asks_for_peaks_that_the_mel_loss_lets_sink() -> None:
    """Noise whose level is a guess: in dB its median is best bin by bin, its mean power in whole bands."""
    random = torch.Generator().manual_seed(0)
    levels = 10 ** (torch.randn(8, 64, 1, generator=random) * 8 / 20)  # dB, a new one every 1024 samples
    spread = (torch.randn(8, 64, 1024, generator=random) * 0.02 * levels).flatten(1)
    steady = torch.randn(8, 64 * 1024, generator=random) * 0.02
    gains_db = torch.arange(-4.0, 16.0)
    power = 10 * torch.log10(spread.square().mean() / steady.square().mean())
    best = {}
    for name, loss in (("mel", losses.MelLoss(16000)), ("energy", losses.EnergyLoss(16000, window=8192))):
        best[name] = gains_db[torch.stack([loss(steady * 10 ** (gain / 20), spread) for gain in gains_db]).argmin()]
    assert power > 6
    assert best["mel"] < 2
    assert best["energy"] > best["mel"] + 2
    assert float(losses.EnergyLoss(16000)(spread, spread)) == 0
    assert float(losses.EnergyLoss(16000)(2 * spread, spread)) == pytest.approx(np.log10(2), abs=1e-4)
    assert losses.EnergyLoss(16000).members.sum(1).eq(1).all()


def test_a_recipes_energy_term_is_trained_and_logged(recipe: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[set[str]] = []

    def finish_step(self: CodecTraining, terms: dict[str, torch.Tensor]) -> None:
        logged.append(set(terms))
        self.step += 1

    monkeypatch.setattr(CodecTraining, "finish_step", finish_step)
    training.train(save({**recipe, "losses": {"mel": 15, "energy": 15}}, tmp_path), tmp_path / "out", smoke=True)
    assert all("energy" in terms for terms in logged)


def test_a_share_of_flexicodecs_steps_merges_nothing(recipe: dict, recogniser: Path, tmp_path: Path) -> None:
    toy = {**recipe, **toy_model("flexicodec", recogniser)}
    toy["merging"] |= {"lowest": -1.0, "highest": -0.9, "unmerged": 0.5}
    model = build(read_recipe(save(toy, tmp_path)), tmp_path)
    groups: list[int] = []
    network: Any = model.network
    network.dac.quantizer.register_forward_pre_hook(lambda part, given: groups.append(given[0].shape[-1]))
    with torch.no_grad():
        for step in range(40):
            model(torch.zeros(1, 20480), step)
    assert set(groups) == {2, 15}  # eight frames to a group, or one
    assert 10 <= groups.count(15) <= 30


def test_a_recogniser_is_taken_from_a_codec_that_holds_one(recipe: dict, recogniser: Path, tmp_path: Path) -> None:
    first = {**recipe, **toy_model("flexicodec", recogniser), "name": "first"}
    result = training.train(save(first, tmp_path), tmp_path / "out", smoke=True)
    second = {**recipe, **toy_model("flexicodec", result)}
    network: Any = build(read_recipe(save(second, tmp_path)), tmp_path).network
    own = network.semantic_model.state_dict()
    held, _ = load_safetensors(result)
    assert all(torch.equal(tensor.half(), held[f"semantic_model.{name}"]) for name, tensor in own.items())
