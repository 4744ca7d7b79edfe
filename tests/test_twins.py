"""Fixed-rate twins: as many bits a second as their dynamic codec, durations counted, in as many steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.codecs import codecslime, flexicodec
from bench.codecs.nn.spectral import SpectralCodec
from bench.codecs.training import train as training
from bench.codecs.training.models import lengthened
from bench.codecs.training.recipe import BigCodecModel, FlexiCodecModel, Recipe, SpectralModel, read_recipe
from tests.test_flexicodec import tiny_config

RECIPES = Path(training.__file__).parent / "recipes"
# twin, its dynamic codec, and the frame rate at which that is compared with it
TWINS = [
    ("fixed_tiny_40hz_649bps", "codecslime_tiny", 40),
    ("fixed_tiny_50hz_811bps", "codecslime_tiny", 50),
    ("fixed_tiny_60hz_976bps", "codecslime_tiny", 60),
    *(
        (f"codecslime_{variant}_fixed_{name}bps", f"codecslime_{variant}", rate)
        for variant, names in (("fsq18k", ("40hz_649", "50hz_811", "67hz_1082")), ("vq8k", ("40hz_600", "50hz_750", "67hz_1000")))
        for name, rate in zip(names, (40, 50, 200 / 3), strict=True)
    ),
    ("flexicodec_tiny_8hz_733bps", "flexicodec_tiny", 8.3),
    ("flexicodec_tiny_6hz_550bps", "flexicodec_tiny", 6.25),
    ("flexicodec_paper_8hz", "flexicodec_paper", 8.3),
    ("flexicodec_paper_6hz", "flexicodec_paper", 6.25),
]


def read(name: str) -> Recipe:
    return read_recipe(RECIPES / f"{name}.yaml")


def steps_in_all(recipe: Recipe) -> int:
    return recipe.optimiser.last_step + (steps_in_all(read(recipe.start)) if recipe.start else 0)


def frame_rate(recipe: Recipe) -> float:
    """Hz, of the frames that the recipe's network makes before any merging."""
    model = recipe.model
    if isinstance(model, SpectralModel):
        return 16000 / (model.hop_length * model.stride)
    if isinstance(model, BigCodecModel):
        return 16000 / math.prod(model.strides)
    assert isinstance(model, FlexiCodecModel)
    backbone = model.config.get("backbone")
    return 16000 / (backbone["hop_length"] * backbone["stride"] if backbone else math.prod(model.config.get("strides", flexicodec.STRIDES)))


def codebooks(recipe: Recipe, n_q: int) -> list[int]:
    """Entries of each of the first `n_q` codebooks."""
    model = recipe.model
    if isinstance(model, SpectralModel):
        return [math.prod(model.levels)]
    if isinstance(model, BigCodecModel):
        return [model.codebook_size if model.variant == "vq8k" else math.prod(model.levels)]
    assert isinstance(model, FlexiCodecModel)
    sizes = vars(flexicodec.Sizes()) | model.config.get("sizes", model.config)
    return [math.prod(sizes["fsq_levels"]), *[sizes["codebook_size"]] * (n_q - 1)]


def bits_a_frame(recipe: Recipe, n_q: int) -> float:
    return sum(map(math.log2, codebooks(recipe, n_q)))


@pytest.mark.parametrize(("twin", "dynamic", "rate"), TWINS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_twin_has_the_bits_a_second_of_its_dynamic_codec_and_as_many_steps(twin: str, dynamic: str, rate: float) -> None:
    fixed, merged = read(twin), read(dynamic)
    max_duration = flexicodec.MAX_DURATION if merged.codec == "flexicodec" else codecslime.MAX_DURATION
    assert frame_rate(merged) > rate * 1.1
    assert frame_rate(fixed) == pytest.approx(rate, rel=0.02)
    for n_q in (8, 1) if merged.codec == "flexicodec" else (1,):
        bitrate = rate * (bits_a_frame(merged, n_q) + math.log2(max_duration))
        assert frame_rate(fixed) * bits_a_frame(fixed, n_q) == pytest.approx(bitrate, rel=0.02)
    if twin.endswith("bps"):
        stated = float(twin.rpartition("_")[2].removesuffix("bps"))
        assert frame_rate(fixed) * bits_a_frame(fixed, 8) == pytest.approx(stated, abs=0.6)
    assert steps_in_all(fixed) == steps_in_all(merged)


def test_every_dynamic_point_of_the_default_suite_below_its_own_rate_has_a_twin() -> None:
    """Those that are solved for a rate: where nothing is merged there is nothing to be a twin of."""
    assert {(dynamic, rate) for _, dynamic, rate in TWINS} >= {
        *(("codecslime_tiny", rate) for rate in (60, 50, 40)),
        *(("flexicodec_tiny", rate) for rate in (8.3, 6.25)),
    }


@pytest.mark.parametrize("hop_length", [266, 267])
def test_frames_of_any_even_distance_from_the_window_cover_the_audio(hop_length: int) -> None:
    """60 Hz is no whole number of samples: 266 keeps the length, an odd one would lose a frame and is not what the twin has."""
    config = {"width": 16, "hidden": 24, "encoder_blocks": 1, "decoder_blocks": 1, "latent_dim": 8, "n_fft": 640, "levels": [5, 3, 3]}
    network = SpectralCodec({**config, "hop_length": hop_length, "stride": 1}).eval()
    with torch.inference_mode():
        latents = network.encoder(torch.zeros(1, 7 * hop_length))
    assert (latents.shape[-1] == 7) == (hop_length == 266)


def test_a_twin_starts_as_its_dynamic_codec_drawn_out_and_its_new_dimensions_count_for_nothing() -> None:
    config = tiny_config()
    source: Any = flexicodec.tiny_network(config).eval()
    stride, levels = config["backbone"]["stride"], config["sizes"]["fsq_levels"]
    longer = {
        **config,
        "backbone": {**config["backbone"], "stride": 2 * stride},
        "sizes": {**config["sizes"], "fsq_levels": [*levels, 8]},
    }
    twin: Any = flexicodec.tiny_network(longer).eval()
    twin.load_state_dict(dict(lengthened(source.state_dict(), twin.state_dict())))
    with torch.inference_mode():
        x = torch.randn(1, config["sizes"]["convnext_width"], 5, generator=torch.Generator().manual_seed(0))
        ours, theirs = twin.semantic_vq.fsq(x), source.semantic_vq.fsq(x)
        torch.testing.assert_close(ours.features, theirs.features)
        assert torch.equal(ours.tokens % math.prod(levels), theirs.tokens)
        # what stands still is heard the same: frames twice as long of the same sound have the same latent
        width = config["backbone"]["width"]
        still = torch.randn(1, 1, width, generator=torch.Generator().manual_seed(1))
        short = source.dac.encoder.project(still.expand(-1, stride, -1).reshape(1, -1))
        long = twin.dac.encoder.project(still.expand(-1, 2 * stride, -1).reshape(1, -1))
        torch.testing.assert_close(long, short, atol=1e-5, rtol=1e-4)
        latent = torch.randn(1, config["sizes"]["latent_dim"], generator=torch.Generator().manual_seed(2))
        drawn = torch.nn.functional.interpolate(source.dac.decoder.embed(latent).view(1, stride, width).mT, 2 * stride, mode="linear").mT
        torch.testing.assert_close(twin.dac.decoder.embed(latent).view(1, 2 * stride, width), drawn, atol=1e-5, rtol=1e-4)


def test_the_papers_flexicodec_twin_has_its_rate_its_codebook_and_its_length() -> None:
    """At the released sizes, without values."""
    model = read("flexicodec_paper_8hz").model
    assert isinstance(model, FlexiCodecModel)
    with torch.device("meta"):
        network = flexicodec.released_network(lambda audio: audio, **model.config)
    assert network.hop_length == 1920
    assert network.codebook_sizes[:2] == (8**6, 4096)
    with torch.device("meta"):
        audio = network.dac.decoder(torch.zeros(1, 512, 4))
    assert 4 * 1920 - 40 < audio.shape[-1] <= 4 * 1920
