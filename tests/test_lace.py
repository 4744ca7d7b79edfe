"""LACE: its bits and segments against the paper's figures, the base codec, definitions written out, and brute force."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.bitstream import Packer, pack, unpack
from bench.codec import Codec, Encoded, OperatingPoint, Stream, nominal_bitrate
from bench.codecs import tfc
from bench.codecs.nn import schedule
from bench.codecs.nn.segment import expand
from bench.codecs.series.lace import CODECS, LACE, LACEModule, Latent, Layer, aligned
from bench.conformance import check_codec
from bench.registry import codec_module
from tests import tiny_codecs
from tests.speech import at_rate, sentence
from tests.test_schedule import compositions, features_of, spread
from tests.tiny_codecs import noise

CPU = torch.device("cpu")
BASES = {
    "lace_dac_16k": lambda: tiny_codecs.dac(16000, (2, 4, 5, 8), 12),
    "lace_dac_24k": lambda: tiny_codecs.dac(24000, (2, 4, 5, 8), 32),
    "lace_dac_44k": lambda: tiny_codecs.dac(44100, (2, 4, 8, 8), 9),
    "lace_encodec_24k": tiny_codecs.encodec,
    "lace_tfc": None,  # shipped
}


def load(module: LACEModule, checkpoint: Path | None) -> LACE:
    codec = module.load(str(checkpoint) if checkpoint else None, CPU)
    assert isinstance(codec, LACE)
    return codec


@pytest.fixture(scope="module", params=BASES)
def loaded(request, tmp_path_factory) -> tuple[LACEModule, LACE, Codec]:
    """The module, its codec on a tiny model in the published format (TFC's is shipped), and the base codec of the same weights."""
    module, make, folder = CODECS[request.param], BASES[request.param], None
    if make:
        folder = tmp_path_factory.mktemp(request.param)
        make().save_pretrained(folder)
    return module, load(module, folder), module.module.load(str(folder) if folder else None, CPU)


@pytest.fixture(scope="module")
def trained() -> tuple[LACE, Latent]:
    """TFC-tiny, and a sentence of speech."""
    codec = load(CODECS["lace_tfc"], None)
    return codec, codec.analyse(torch.from_numpy(at_rate(sentence(), 16000)))


def point(name: str, **settings: Any) -> OperatingPoint:
    return CODECS[name].point(**settings)


def left_over(codec: LACE, latent: Latent, chosen: OperatingPoint) -> float:
    """Energy that the quantisers missed, over that of the features."""
    return float(codec.quantised(latent.features, chosen)[1].square().sum() / latent.features.square().sum())


def starts(durations: torch.Tensor) -> set[int]:
    return {0, *durations.cumsum(0).tolist()}


# --- bits ---------------------------------------------------------------------------------------------------------------------


def test_the_papers_bitrates_to_the_bit(tmp_path):
    """8.64 kbps: 32 layers of 22.5 segments of 10 + 2 bits. 8.69 kbps: 27 segments of 320 + 2 bits."""
    tiny_codecs.encodec().save_pretrained(tmp_path)
    codec, seconds = load(CODECS["lace_encodec_24k"], tmp_path), 2
    latent = codec.analyse(noise(seconds * 24000))
    lengths = 1 + 5 + 15 + 1  # own header; 48,000 of 16 bits without the first; no packets
    of_a_stream = 1 + 7 + 1  # 150 base frames as expected, segments among 38 to 150, whether they are even
    for settings, streams, segments, bitrate in (({}, 32, 45, 8640.0), ({"layers": "shared"}, 1, 54, 8694.0)):
        chosen = point("lace_encodec_24k", frame_rate=segments / seconds, n_q=32, **settings)
        encoded = codec.encode(latent, chosen)
        packed = Packer(codec).pack(encoded, chosen)
        assert len(encoded.streams) == streams
        assert nominal_bitrate(encoded, seconds) == bitrate
        assert packed.bits_tokens == 32 * segments * 10
        assert packed.bits_side == lengths + streams * (of_a_stream + segments * 2)
        assert packed.bits_counted == bitrate * seconds + lengths + streams * of_a_stream


def test_even_segments_pay_for_tokens_alone(trained):
    codec, latent = trained
    encoded = codec.encode(latent, point("lace_tfc", frame_rate=28.8, segmenter="uniform"))
    packed, (stream,) = pack(encoded), encoded.streams
    assert packed.bits_tokens == 8 * 10 * stream.num_frames
    assert packed.bits_side < 50


# --- segments and layers ------------------------------------------------------------------------------------------------------


def test_segments_of_one_frame_are_the_base_codec(loaded):
    module, codec, base = loaded
    samples = noise(codec.sample_rate // 2 + 7)
    rate = codec.sample_rate / codec.hop_length
    for settings in ({"segmenter": "uniform"}, {}, {"layers": "shared"}, {"layers": "aligned"}):
        encoded = codec.encode(codec.analyse(samples), module.point(frame_rate=rate, n_q=8, **settings))
        base_point = tfc.point(ratios="fine") if module.name == "lace_tfc" else OperatingPoint("8q", rate, 8)
        expected = base.encode(base.analyse(samples), base_point)
        assert torch.equal(torch.cat([stream.tokens for stream in encoded.streams]), expected.streams[0].tokens)
        assert len(expected.streams[0].tokens.unique()) > 5
        assert torch.equal(codec.decode(unpack(pack(encoded).data)), base.decode(expected))


@torch.inference_mode()
def test_what_is_left_is_what_the_decoder_misses(loaded):
    module, codec, _ = loaded
    latent = codec.analyse(torch.from_numpy(at_rate(sentence(), codec.sample_rate))[: codec.sample_rate])
    chosen = module.point(frame_rate=0.4 * module.base_rate, n_q=4)
    layers, rest = codec.quantised(latent.features, chosen)
    assert {len(layer.durations) for layer in layers} == {int(0.4 * latent.features.shape[1] + 1e-6)}
    assert max(int(layer.durations.max()) for layer in layers) <= 4
    decoded = sum(expand(codec.base.vectors_of(index, layer.tokens), layer.durations) for index, layer in enumerate(layers))
    assert torch.allclose(latent.features - decoded, rest, atol=1e-4 * float(latent.features.detach().abs().max()))


def test_every_layer_has_segments_of_its_own(trained):
    codec, latent = trained
    layers, _ = codec.quantised(latent.features, point("lace_tfc", frame_rate=24))
    assert len({tuple(layer.durations.tolist()) for layer in layers}) == 8
    common = [len(starts(one.durations) & starts(other.durations)) / len(one.durations) for one, other in itertools.pairwise(layers)]
    assert max(common) < 0.95
    assert np.mean(common) < 0.8


def test_fewer_layers_are_the_first_of_more(trained):
    codec, latent = trained
    more, fewer = (codec.encode(latent, point("lace_tfc", frame_rate=24, n_q=n_q)).streams for n_q in (8, 3))
    for ours, theirs in zip(fewer, more[:3], strict=True):
        assert torch.equal(ours.tokens, theirs.tokens)
        assert torch.equal(ours.durations, theirs.durations)


@pytest.mark.parametrize(("frame_rate", "share"), [(24, 0.97), (40, 0.98), (60, 1.0)])
def test_own_segments_leave_less_than_as_many_shared_ones_and_these_less_than_even_ones(trained, frame_rate, share):
    codec, latent = trained
    own, shared, even = (
        left_over(codec, latent, point("lace_tfc", frame_rate=frame_rate, **settings))
        for settings in ({}, {"layers": "shared"}, {"segmenter": "uniform"})
    )
    assert own < share * shared < share * 0.9 * even


class Scalars:
    """A base codec of 12 layers whose steps halve, so that quantising alone would miss next to nothing."""

    sample_rate, hop_length, num_codebooks, codebook_size = 8000, 80, 12, 2**16

    def quantise(self, layer: int, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = torch.round(frames * 2**layer) / 2**layer
        return torch.zeros(frames.shape[1], dtype=torch.int64), vectors


def test_shared_segments_leave_the_merging_error_of_the_first_layer_and_own_ones_do_not():
    """The paper's theorem 1 and lemma 5; its anchors lie between."""
    codec: Any = LACE(Scalars(), 0, "", CPU)  # type: ignore[arg-type]
    latent = Latent(torch.from_numpy(features_of("walk", 100, 4).T.copy()), 8000)
    chosen = CODECS["lace_dac_24k"].point
    shared, one, two, four, own = (
        chosen(frame_rate=37.5, n_q=12, **settings)
        for settings in ({"layers": "shared"}, {"anchor": 1}, {"anchor": 2}, {"anchor": 4}, {"anchor": 12})
    )
    durations = codec.quantised(latent.features, shared)[0][0].durations
    floor = spread(latent.features.T.numpy(), durations.tolist(), "squared") / float(latent.features.square().sum())
    errors = [left_over(codec, latent, each) for each in (shared, one, two, four, own)]
    assert errors[0] == pytest.approx(floor, rel=1e-3)
    assert errors[1] == pytest.approx(errors[0], rel=1e-6)
    assert errors[0] > 1.5 * errors[2] > 1.5 * errors[3]
    assert errors[4] < 0.1 * errors[0]


@pytest.mark.parametrize("segmenter", ["dp", "cosine"])
def test_later_layers_keep_to_the_boundaries_of_those_up_to_the_anchor(trained, segmenter):
    codec, latent = trained
    rate = {"frame_rate": 30} if segmenter == "dp" else {"threshold": 0.5}
    layers, _ = codec.quantised(latent.features, point("lace_tfc", segmenter=segmenter, anchor=2, **rate))
    free, _ = codec.quantised(latent.features, point("lace_tfc", segmenter=segmenter, **rate))
    known = starts(layers[0].durations) | starts(layers[1].durations)
    assert [layer.durations.tolist() for layer in layers[:2]] == [layer.durations.tolist() for layer in free[:2]]
    assert all(starts(layer.durations) <= known for layer in layers)
    assert not all(starts(layer.durations) <= known for layer in free)
    assert len({tuple(layer.durations.tolist()) for layer in layers}) == 8


def test_an_aligned_stream_is_cut_wherever_a_layer_is_and_sounds_the_same(trained):
    codec, latent = trained
    for settings in ({}, {"anchor": 2}):
        own = codec.encode(latent, point("lace_tfc", frame_rate=24, **settings))
        (stream,) = codec.encode(latent, point("lace_tfc", frame_rate=24, layers="aligned", **settings)).streams
        assert starts(stream.durations) == set().union(*(starts(each.durations) for each in own.streams))
        assert len(stream.durations) > max(each.num_frames for each in own.streams)
        assert torch.equal(codec.decode(Encoded((stream,), latent.num_samples)), codec.decode(own))


def test_alignment_splits_as_the_papers_figure():
    """Its figure 2: a boundary of the first layer splits the first segment of the second into two of the same code."""
    layers = [Layer(torch.tensor([7, 8]), torch.tensor([2, 3])), Layer(torch.tensor([5, 6]), torch.tensor([3, 2]))]
    first, second = aligned(layers)
    assert first.durations.tolist() == second.durations.tolist() == [2, 1, 2]
    assert first.tokens.tolist() == [7, 8, 8]
    assert second.tokens.tolist() == [5, 5, 6]


@pytest.mark.parametrize("segmenter", ["cosine", "density"])
def test_a_threshold_is_found_that_meets_the_mean_rate_of_all_layers(trained, segmenter):
    codec, latent = trained
    chosen = codec.tune([latent], point("lace_tfc", segmenter=segmenter, target_frame_rate=40))
    layers, _ = codec.quantised(latent.features, chosen)
    assert sum(len(layer.durations) for layer in layers) / 8 / (latent.num_samples / 16000) == pytest.approx(40, rel=0.01)
    assert len({len(layer.durations) for layer in layers}) > 1
    with pytest.raises(ValueError, match="no threshold yet"):
        codec.encode(latent, point("lace_tfc", segmenter=segmenter, target_frame_rate=40))


# --- segmenters ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["noise", "walk", "integers", "zeros"])
@pytest.mark.parametrize("seed", range(3))
def test_the_cheapest_segments_among_allowed_boundaries(kind, seed):
    features, allowed = features_of(kind, 10, 3, seed), np.ones(11, bool)
    allowed[[2, 5, 7]] = False
    found = schedule.schedfr(features, 5, 4, "squared", allowed)
    fitting = [each for each in compositions(10, 5, 4) if allowed[np.cumsum(each)].all()]
    assert allowed[np.cumsum(found)].all()
    assert spread(features, found, "squared") == pytest.approx(min(spread(features, each, "squared") for each in fitting), abs=1e-4)
    everywhere = schedule.schedfr(features, 5, 4, "squared", np.ones(11, bool))
    assert everywhere.tolist() == schedule.schedfr(features, 5, 4, "squared").tolist()


def test_groups_among_allowed_boundaries():
    rng = np.random.default_rng(0)
    for _ in range(50):
        similarity = rng.random(29).astype(np.float32)
        allowed = rng.random(31) < 0.6
        allowed[[0, *range(3, 30, 4), 30]] = True
        durations = schedule.group_within(similarity, 0.3, 4, allowed)
        cuts = set(np.cumsum(durations).tolist())
        wanted = {t + 1 for t in range(29) if similarity[t] <= np.float32(0.3) and allowed[t + 1]}
        assert durations.sum() == 30
        assert durations.max() <= 4
        assert wanted <= cuts <= set(np.flatnonzero(allowed).tolist())
        for before, after in itertools.pairwise(sorted(cuts | {0})):  # a cut that nothing asked for: the next place was too far
            if after not in wanted | {30}:
                assert not any(allowed[after + 1 : before + 5])
    similarity = rng.random(29).astype(np.float32)
    assert schedule.group_within(similarity, 0.3, 4, np.ones(31, bool)).tolist() == schedule.group(similarity, 0.3, 4).tolist()
    with pytest.raises(ValueError, match="no place to end a group of at most 4 frames after frame 0"):
        schedule.group_within(similarity, 0.3, 4, np.arange(31) == 30)


@pytest.mark.parametrize("threshold", [-10.0, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("num_frames", [1, 2, 40])
def test_density_peaks_equal_the_definition_written_out(num_frames, threshold):
    features = features_of("walk", num_frames, 6)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    near = (1 + unit @ unit.T) / 2
    dense = [np.mean(np.sort(np.delete(near[t], t))[::-1][:5]) if num_frames > 1 else 1.0 for t in range(num_frames)]
    away = [min((abs(t - u) for u in range(num_frames) if dense[u] > dense[t]), default=num_frames) for t in range(num_frames)]
    score = np.array(dense) * away
    owner = [-1] * num_frames
    for seed in sorted(range(num_frames), key=lambda t: -score[t]):
        if owner[seed] != -1:
            continue
        owner[seed] = seed
        for frames in (range(seed + 1, num_frames), range(seed - 1, -1, -1)):
            for t in frames:
                if owner[t] != -1 or owner.count(seed) == 4 or near[seed, t] - 0.2 * score[t] <= threshold:
                    break
                owner[t] = seed
    expected = [len(list(group)) for _, group in itertools.groupby(owner)]
    assert schedule.density_peaks(features, threshold).tolist() == expected


# --- points, damage, contract ---------------------------------------------------------------------------------------------------


def test_points_are_named_by_what_they_are():
    assert list(CODECS["lace_dac_24k"].POINTS) == ["22.5hz_32q", "27hz_32q_shared", "27hz_32q_uniform", "37.5hz_32q_aligned_anchor2"]
    assert list(CODECS["lace_tfc"].POINTS) == ["24hz_8q", "28.8hz_8q_shared", "28.8hz_8q_uniform", "40hz_8q_aligned_anchor2"]
    assert CODECS["lace_dac_24k"].POINTS["22.5hz_32q"].frame_rate == 720  # of all layers, as measured
    assert point("lace_tfc", target_frame_rate=24) == point("lace_tfc", frame_rate=24)
    assert point("lace_tfc", threshold=0.5, segmenter="density", max_duration=6).name == "threshold0.5_8q_density_max6"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "segmenter dp: give one of frame_rate and target_frame_rate"),
        ({"frame_rate": 24, "target_frame_rate": 24}, "give one of"),
        ({"threshold": 0.5}, "segmenter dp: give one of frame_rate"),
        ({"frame_rate": 24, "segmenter": "cosine"}, "segmenter cosine: give one of threshold and target_frame_rate"),
        ({"frame_rate": 24, "segmenter": "cosin"}, "did you mean 'cosine'"),
        ({"frame_rate": 24, "layers": "all"}, "layers 'all' unknown"),
        ({"frame_rate": 24, "segmenter": "uniform", "layers": "own"}, "uniform segments are the same in every layer"),
        ({"frame_rate": 81}, "frame_rate must be 20 to 80 Hz with max_duration 4, got 81"),
        ({"target_frame_rate": 19}, "target_frame_rate must be 20 to 80 Hz"),
        ({"frame_rate": float("nan")}, "frame_rate must be 20 to 80 Hz"),
        ({"frame_rate": 24, "n_q": 0}, "n_q must be 1 to 8, got 0"),
        ({"frame_rate": 24, "n_q": 9}, "n_q must be 1 to 8, got 9"),
        ({"frame_rate": 24, "max_duration": 1}, "max_duration must be 2 to 64, got 1; without merging, take the base codec"),
        ({"frame_rate": 24, "anchor": 9}, "anchor must be a layer, 1 to 8, got 9"),
        ({"frame_rate": 24, "anchor": 2, "layers": "shared"}, "anchor: only the segmenters dp and cosine"),
        ({"threshold": 0.5, "segmenter": "density", "anchor": 2}, "anchor: only the segmenters dp and cosine"),
        ({"threshold": float("nan"), "segmenter": "cosine"}, "threshold must be -10 to 1, got nan"),
        ({"frame_rate": 24, "base": 1}, "setting 'base' unknown"),
        ({"frame_rate": "24"}, "a setting must be a number here"),
    ],
    ids=str,
)
def test_settings_are_checked_in_one_line(settings, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        point("lace_tfc", **settings)
    assert "\n" not in str(caught.value)


def test_codecs_keep_the_contract(loaded):
    module, codec, _ = loaded
    speech = at_rate(sentence(), codec.sample_rate)
    points = list(module.POINTS.values())
    is_trained = module.name == "lace_tfc"
    if not is_trained:
        points = [module.point(frame_rate=0.3 * module.base_rate, n_q=3)]
    checks = check_codec(codec, points, speech, is_trained, longest_s=3.0)
    assert not [check for check in checks if not check.passed]


def test_weights_are_the_base_codecs(loaded):
    module, codec, base = loaded
    assert (codec.parameters, codec.weights_sha256) == (base.parameters, base.weights_sha256)
    assert module.needs("hf:me/mine@main") == module.module.needs("hf:me/mine@main")
    assert codec_module(module.name) is module


def test_damaged_streams_are_refused(trained):
    codec, latent = trained
    own = codec.encode(latent, point("lace_tfc", frame_rate=24)).streams
    (shared,) = codec.encode(latent, point("lace_tfc", frame_rate=24, layers="shared")).streams
    first = own[0]
    assert first.durations is not None
    shorter = Stream(first.tokens, first.codebook_sizes, first.durations.clone(), 4)
    assert shorter.durations is not None
    longest = int(shorter.durations.argmax())
    shorter.durations[longest] -= 1
    for streams, complaint in (
        ((*own, first), "9 streams"),
        ((), "0 streams"),
        ((shared, first), "codebooks have 1024, .* entries"),
        ((shorter, *own[1:]), "base frames are no multiple of 4"),
        ((Stream(first.tokens, (1024,)), *own[1:]), "durations of another kind"),
        ((Stream(first.tokens, (1024,), first.durations, 65),), "durations of another kind"),
        ((Stream(first.tokens, (1024,), first.durations, 4, nested=True),), "durations of another kind"),
    ):
        with pytest.raises(ValueError, match=complaint):
            codec.decode(Encoded(streams, latent.num_samples))
    with pytest.raises(ValueError, match="do not fit"):
        codec.decode(Encoded(own, latent.num_samples + 1000))


def test_layers_must_be_equally_long(tmp_path):
    """Where the base codec takes a frame more or less, each layer alone may be right."""
    tiny_codecs.encodec().save_pretrained(tmp_path)
    codec = load(CODECS["lace_encodec_24k"], tmp_path)
    streams = [Stream(torch.zeros(1, 25).long(), (1024,), torch.tensor([3] * 24 + [last]), 4) for last in (3, 2)]
    with pytest.raises(ValueError, match="not equally long"):
        codec.decode(Encoded(tuple(streams), 75 * 320))


@pytest.mark.parametrize("part", ["encoder", "codebook"])
def test_a_model_of_broken_weights_is_refused(part, tmp_path):
    model = tiny_codecs.encodec()
    with torch.no_grad():
        (model.encoder.layers[0].conv.bias if part == "encoder" else model.quantizer.layers[1].codebook.embed).fill_(float("nan"))
    model.save_pretrained(tmp_path)
    codec = load(CODECS["lace_encodec_24k"], tmp_path)
    with pytest.raises(ValueError, match="NaN or infinite"):
        codec.encode(codec.analyse(noise(3000)), point("lace_encodec_24k", frame_rate=27, segmenter="uniform"))
