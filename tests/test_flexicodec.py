"""FlexiCodec against the original's vectors, its released tensor names, and the contract of a codec."""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import math

import numpy as np
import pytest
import scipy.fft
import soundfile
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from bench.bitstream import pack, unpack
from bench.codec import CodecModule, Encoded, Stream, TunableCodec, nominal_bitrate
from bench.codecs import flexicodec
from bench.codecs.flexicodec import HOP_LENGTH, MAX_DURATION, POINTS, STRIDES, FlexiCodec, Network, Sizes, TransformerSizes, point
from bench.codecs.nn.dac import DACDecoder, DACEncoder
from bench.codecs.nn.fbank import FilterBank
from bench.codecs.nn.fsq import FSQ
from bench.codecs.nn.schedule import greedy_merge, group, neighbour_similarity
from bench.codecs.nn.sensevoice import SenseVoice
from bench.errors import Unavailable, UserError

_: CodecModule = flexicodec

DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.gpu))
CASES = {"t0.9_q5": (0.9, 5), "t1.0_q7": (1.0, 7), "t0.8_q1": (0.8, 1)}  # name: threshold, n_q


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(autouse=True)
def full_precision():
    """Convolutions on CUDA round to 10 bits unless told otherwise, which moves tokens."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


# --- the original's vectors


@pytest.fixture(scope="module")
def golden(shared):
    return load_file(shared / "golden/flexicodec/small_codec.safetensors")


@pytest.fixture(scope="module")
def small(golden) -> Network:
    """The original's small copy; its recogniser's features were fed directly."""
    transformer = TransformerSizes(width=32, hidden=64, num_heads=4, num_layers=2)
    sizes = Sizes(
        latent_dim=32, rvq_codebooks=6, codebook_size=32, convnext_width=24, convnext_blocks=2, aggregator=transformer, unmerger=transformer
    )
    network = Network(
        front_end=lambda audio: golden["semantic_repr_16p67hz"].mT.to(audio.device),
        semantic_model=nn.Identity(),
        encoder=DACEncoder(4, STRIDES, latent_dim=32),
        decoder=DACDecoder(32, 64, STRIDES[::-1]),
        sizes=sizes,
    )
    network.load_state_dict({name.removeprefix("w/"): tensor for name, tensor in golden.items() if name.startswith("w/")})
    return network.eval()


def test_grouping_matches_all_180_cases_of_the_original(shared):
    folder = shared / "golden/flexicodec"
    sequences = load_file(folder / "merge_cases.safetensors")
    cases = json.loads((folder / "merge_cases.json").read_text())
    assert len(cases) == 180
    for case in cases:
        features = sequences[f"seq/{case['seq']}"]
        max_duration = case["max_tokens_per_group"] or features.shape[1]
        for item, expected in enumerate(case["group_lengths"]):
            length = case["x_lens"][item] if case["x_lens"] else features.shape[1]
            similarity = neighbour_similarity(features[item])
            similarity[max(length - 1, 0) :] = 0.0  # the original compares frames beyond an item's end as if they were unlike
            durations = group(similarity, case["threshold"], max_duration).tolist()
            assert durations == [d for d in expected if d], case["key"]
            if length == features.shape[1]:
                assert durations == greedy_merge(features[item], case["threshold"], max_duration).tolist(), case["key"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_small_codec_matches_the_original_from_audio_to_audio(golden, small, case, device):
    threshold, n_q = CASES[case]
    network = copy.deepcopy(small).to(device)
    taps = {name.removeprefix(f"{case}/"): tensor.to(device) for name, tensor in golden.items() if name.startswith(f"{case}/")}
    semantic, acoustic = network.analyse(golden["audio"][:, 0].to(device))
    assert (semantic.shape, acoustic.shape) == ((2, 512, 37), (2, 32, 37))
    durations = pad_sequence([greedy_merge(item.T, threshold, MAX_DURATION) for item in semantic], batch_first=True)
    assert torch.equal(durations, taps["token_lengths"])
    merged = network.quantise(semantic, acoustic, durations, n_q)
    assert torch.equal(merged.tokens[:, :1], taps["semantic_codes"].long())
    if n_q > 1:
        assert torch.equal(merged.tokens[:, 1:], taps["acoustic_codes"])
        assert relative_error(merged.features - merged.semantic, taps["rvq_zq"]) < 1e-4
    assert relative_error(merged.semantic, taps["semantic_decoded"]) < 1e-4
    for features in (merged.features, network.dequantise(merged.tokens)):
        assert relative_error(network.synthesise(features, durations), taps["audio_out"][:, 0]) < 1e-4


@torch.inference_mode()
def test_padded_batch_of_the_original_matches_stage_by_stage(golden, small):
    """In the original an item sees its batch's padding; every stage is fed the original's own input to it."""
    case = "t0.9_q5_lens"
    taps = {name.removeprefix(f"{case}/"): tensor for name, tensor in golden.items() if name.startswith(f"{case}/")}
    semantic, _ = small.analyse(golden["audio"][:, 0])
    for item, recogniser_frames in enumerate((50, 33)):
        length = int(recogniser_frames / flexicodec.SEMANTIC_DOWNSAMPLE)
        similarity = neighbour_similarity(semantic[item].T)
        similarity[length - 1 :] = 0.0
        assert group(similarity, 0.9).tolist() == [d for d in taps["token_lengths"][item].tolist() if d]
    assert relative_error(small.semantic_aggregator.transformer(taps["sagg_interleaved"]), taps["sagg_tr_out"]) < 1e-4
    fsq = small.semantic_vq.fsq(small.convnext_encoder(taps["sagg_out"]))
    assert torch.equal(fsq.tokens, taps["semantic_codes"].long())
    assert relative_error(small.convnext_decoder(fsq.features), taps["semantic_decoded"]) < 1e-4
    rvq = small.dac.quantizer(taps["rvq_input"], 4)
    assert torch.equal(rvq.tokens, taps["acoustic_codes"])
    features = taps["semantic_decoded"] + rvq.features
    assert relative_error(small.synthesise(features, taps["token_lengths"]), taps["audio_out"][:, 0]) < 1e-4


@torch.inference_mode()
def test_fsq_matches_the_original(shared):
    units = load_file(shared / "golden/flexicodec/units.safetensors")
    fsq = FSQ(12, (8, 8, 8, 8, 8), bound="paper")
    fsq.load_state_dict({name.removeprefix("fsq/w/fsq."): tensor for name, tensor in units.items() if name.startswith("fsq/w/")})
    found = fsq(units["fsq/x"])
    assert torch.equal(found.tokens, units["fsq/indices"])
    assert relative_error(found.features, units["fsq/zq"]) < 1e-5
    assert relative_error(fsq.decode(units["fsq/indices"]), units["fsq/zq_from_codes"]) < 1e-5


# --- released names, and loading


@pytest.fixture(scope="module")
def released_shapes(shared) -> dict[str, tuple[int, ...]]:
    with (shared / "systems/flexicodec_state_dict.tsv").open() as file:
        return {row["name"]: tuple(map(int, row["shape"].split("x"))) for row in csv.DictReader(file, delimiter="\t")}


def test_names_and_shapes_are_the_released_ones(released_shapes):
    with torch.device("meta"):
        network = flexicodec.released_network(lambda audio: audio)
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == released_shapes
    parameters = {name: part.numel() for name, part in network.named_parameters()}
    assert sum(n for name, n in parameters.items() if not name.startswith("semantic_model.")) == 214_943_223


@pytest.mark.slow
def test_full_size_file_loads_strictly_and_has_the_published_shapes(shared, released_shapes, tmp_path):
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(shape, generator=generator) * 0.02 for name, shape in released_shapes.items()}
    save_file(tensors, tmp_path / "full.safetensors")
    del tensors
    codec = flexicodec.load_official(tmp_path / "full.safetensors", cmvn_path=shared / "golden/flexicodec/am.mvn")
    assert codec.parameters == 214_943_223 + 233_999_167
    audio = torch.randn(48000, generator=generator) * 0.1
    latent = codec.analyse(audio)
    assert latent.semantic.shape == latent.acoustic.shape == (512, 37)
    encoded = codec.encode(latent, point(threshold=1.0, n_q=25))
    assert encoded.streams[0].codebook_sizes == (32768, *[4096] * 24)
    decoded = codec.decode(encoded)
    assert decoded.shape == (48000,)
    assert decoded[47343] != 0
    assert not decoded[47344:].any()  # the network's output ends 16 samples before 37 frames


def tiny_config() -> dict:
    transformer = {"width": 16, "hidden": 32, "num_heads": 2, "num_layers": 2}
    sizes = Sizes(24, 16, (4, 3, 2), 3, 16, 4, 12, 24, 1, TransformerSizes(**transformer), TransformerSizes(**transformer))
    return {
        "backbone": {"width": 16, "hidden": 32, "encoder_blocks": 1, "decoder_blocks": 1, "n_fft": 640, "hop_length": 320, "stride": 4},
        "semantic_model": {"width": 24, "hidden": 32, "num_heads": 2, "num_blocks": 2, "num_tp_blocks": 0, "vocabulary_size": 30},
        "cmvn": {"shift": [-12.0] * 560, "scale": [0.2] * 560},
        "sizes": dataclasses.asdict(sizes),
    }


def tiny_network() -> Network:
    torch.manual_seed(0)
    network = flexicodec.tiny_network(tiny_config())
    for parameter in network.dac.quantizer.parameters():
        nn.init.normal_(parameter)
    return network


@pytest.fixture(scope="module")
def codec() -> FlexiCodec:
    return FlexiCodec(tiny_network(), "", torch.device("cpu"))


def test_our_own_checkpoint_is_built_from_its_config(codec, tmp_path):
    path = tmp_path / "own.safetensors"
    save_file(codec.network.state_dict(), path, {"config": json.dumps(tiny_config())})
    loaded = flexicodec.load(str(path), torch.device("cpu"))
    latent = codec.analyse(noise(20000))
    assert torch.equal(loaded.analyse(noise(20000)).semantic, latent.semantic)
    assert loaded.weights_sha256
    assert [need.available for need in flexicodec.needs(str(path))] == [True]
    save_file(codec.network.state_dict() | {"more": torch.zeros(1)}, path, {"config": json.dumps(tiny_config())})
    with pytest.raises(UserError, match="more"):
        flexicodec.load(str(path), torch.device("cpu"))


def small_released(front_end) -> Network:
    """Parts of the released kinds, of sizes for a test."""
    sizes = Sizes(24, 16, (4, 3, 2), 3, 16, 4, 12, 24, 1, TransformerSizes(16, 32, 2, 1), TransformerSizes(16, 32, 2, 1))
    recogniser = SenseVoice(width=24, hidden=32, num_heads=2, num_blocks=2, num_tp_blocks=1, vocabulary_size=30)
    return Network(front_end, recogniser, DACEncoder(2, STRIDES, 16), DACDecoder(16, 64, STRIDES[::-1]), sizes)


@pytest.fixture
def official(monkeypatch, shared, tmp_path):
    """A folder as a user has it: the codec in half precision and without the recogniser, which lies beside it with its statistics."""
    monkeypatch.setattr(flexicodec, "released_network", small_released)
    torch.manual_seed(0)
    tensors = small_released(lambda audio: audio).state_dict()
    asr = {name.removeprefix("semantic_model."): tensor for name, tensor in tensors.items() if name.startswith("semantic_model.")}
    rest = {name: tensor.half() for name, tensor in tensors.items() if not name.startswith("semantic_model.")}
    save_file(rest | {"repa_mlp.0.weight": torch.zeros(2, 2)}, tmp_path / "released.safetensors")
    torch.save(asr, tmp_path / "model.pt")
    (tmp_path / "am.mvn").write_bytes((shared / "golden/flexicodec/am.mvn").read_bytes())
    return tmp_path


def test_recogniser_and_statistics_are_taken_from_beside_the_file(official):
    path = official / "released.safetensors"
    assert [need.available for need in flexicodec.needs(str(path))] == [True, True, True]
    loaded = flexicodec.load(str(path), torch.device("cpu"))
    assert isinstance(loaded.network.front_end, FilterBank)
    assert float(loaded.network.front_end.shift[0]) == pytest.approx(-8.311879)
    tensors, state = load_file(path), loaded.network.state_dict()
    assert torch.equal(state["semantic_model.embed.weight"], torch.load(official / "model.pt")["embed.weight"])
    assert torch.equal(state["dac.encoder.block.0.weight_v"], tensors["dac.encoder.block.0.weight_v"].float())
    assert loaded.decode(loaded.encode(loaded.analyse(noise(20000)), point(threshold=0.9, n_q=4))).dtype == torch.float32

    elsewhere = official / "elsewhere"
    elsewhere.mkdir()
    for name in ("model.pt", "am.mvn"):
        (official / name).rename(elsewhere / name)
    again = flexicodec.load_official(path, asr_path=elsewhere / "model.pt", cmvn_path=elsewhere / "am.mvn")
    assert again.weights_sha256 == loaded.weights_sha256
    assert [need.available for need in flexicodec.needs(str(path))] == [True, False, False]
    with pytest.raises(Unavailable, match=r"am\.mvn is not there"):
        flexicodec.load_official(path, asr_path=elsewhere / "model.pt")


def test_a_tensor_too_many_or_too_few_is_refused(official):
    path = official / "released.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"dac.more": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"dac\.more"):
        flexicodec.load_official(path)
    tensors.pop("semantic_vq.fsq.project_in.bias")
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"semantic_vq\.fsq\.project_in\.bias"):
        flexicodec.load_official(path)


def test_a_file_of_another_kind_is_named(tmp_path):
    torch.save({}, tmp_path / "weights.pt")
    for call in (flexicodec.needs, lambda path: flexicodec.load(path, torch.device("cpu"))):
        with pytest.raises(UserError, match=r"weights\.pt: not a readable safetensors file"):
            call(str(tmp_path / "weights.pt"))


def test_missing_released_weights_say_how_to_get_them():
    with pytest.raises(Unavailable, match="jiaqili3/flexicodec"):
        flexicodec.load("12hz_v1_half", torch.device("cpu"))
    (need,) = flexicodec.needs("12hz_v1_half")
    assert not need.available
    assert "SenseVoiceSmall" in need.how


# --- the contract


def noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    """Noise whose level and colour wander, so that some frames are alike and some are not."""
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(num_samples, generator=generator)
    envelope = torch.nn.functional.interpolate(torch.rand(1, 1, 2 + num_samples // 3000, generator=generator), num_samples, mode="linear")
    return 0.3 * audio * envelope[0, 0]


@pytest.mark.parametrize("num_samples", [1, 399, 1279, 1280, 1281, 1359, 1360, 2560, 47999, 142640])
def test_any_length_comes_back_through_the_bitstream(codec, num_samples):
    audio = noise(num_samples)
    for name in ("12.5hz_q1", "6.25hz_q8"):
        encoded = codec.encode(codec.analyse(audio), dataclasses.replace(POINTS[name], n_q=min(POINTS[name].n_q, 4)))
        received = unpack(pack(encoded).data)
        (stream,) = encoded.streams
        assert torch.equal(received.streams[0].tokens, stream.tokens)
        assert int(stream.durations.sum()) == frames_of(num_samples)
        decoded = codec.decode(received)
        assert decoded.shape == (num_samples,)
        assert torch.equal(decoded, codec.decode(encoded))


def frames_of(num_samples: int) -> int:
    """The published rule (section 3.9 of the specification); short audio is first padded."""
    num_samples = max(num_samples, 1360)
    fbank_frames = 1 + (num_samples - 400) // 160
    return min(math.ceil(num_samples / HOP_LENGTH), int(math.ceil(fbank_frames / 6) / 1.33333))


def test_frames_of_a_demo_file():
    assert frames_of(142640) == 111


@pytest.mark.parametrize("device", DEVICES)
@torch.inference_mode()
def test_batch_equals_its_items(device):
    network = tiny_network().eval().to(device)
    audio = torch.stack([noise(48000, seed) for seed in range(3)]).to(device)
    semantic, acoustic = network.analyse(audio)
    threshold = float(np.median([neighbour_similarity(item.T) for item in semantic]))
    rows = [greedy_merge(item.T, threshold, MAX_DURATION) for item in semantic]
    assert len({len(row) for row in rows}) > 1
    batch = network.quantise(semantic, acoustic, pad_sequence(rows, batch_first=True), 4)
    for item, row in enumerate(rows):
        alone = network.quantise(*network.analyse(audio[item : item + 1]), row[None], 4)
        assert torch.equal(batch.tokens[item, :, : len(row)], alone.tokens[0])
        torch.testing.assert_close(batch.features[item, :, : len(row)], alone.features[0], rtol=1e-4, atol=1e-5)


def test_fewer_codebooks_are_a_prefix_and_points_do_not_disturb_each_other(codec):
    latent = codec.analyse(noise(60000))
    points = [point(threshold=threshold, n_q=n_q) for threshold in (1.0, 0.9) for n_q in (4, 2, 1)]
    first = [codec.encode(latent, each).streams[0] for each in points]
    again = [codec.encode(latent, each).streams[0] for each in reversed(points)][::-1]
    for stream, repeated in zip(first, again, strict=True):
        assert torch.equal(stream.tokens, repeated.tokens)
        assert torch.equal(stream.durations, repeated.durations)
    for full, fewer in ((0, 1), (0, 2), (3, 4), (3, 5)):
        assert torch.equal(first[full].tokens[: len(first[fewer].tokens)], first[fewer].tokens)


@torch.inference_mode()
def test_threshold_one_gives_the_tokens_of_the_backbone_without_a_scheduler(codec):
    latent = codec.analyse(noise(60000))
    stream = codec.encode(latent, point(threshold=1.0, n_q=4)).streams[0]
    ones = torch.ones(1, latent.semantic.shape[1], dtype=torch.int64)
    unmerged = codec.network.quantise(latent.semantic[None], latent.acoustic[None], ones, 4)
    assert torch.equal(stream.tokens, unmerged.tokens[0])
    assert torch.equal(stream.durations, ones[0])
    assert torch.equal(stream.tokens, codec.encode(latent, point(target_frame_rate=12.5, n_q=4, scheduler="uniform")).streams[0].tokens)


@pytest.mark.parametrize("target", [12.5, 8.3, 6.25, 3.0])
def test_tuning_meets_the_target_over_all_utterances_together(codec, target):
    tunable: TunableCodec = codec
    latents = [codec.analyse(noise(48000 + 5000 * seed, seed)) for seed in range(4)]
    tuned = tunable.tune(iter(latents), point(target_frame_rate=target, n_q=1))
    assert tuned.options["target_frame_rate"] == target
    streams = [codec.encode(latent, tuned).streams[0] for latent in latents]
    frames, seconds = sum(stream.num_frames for stream in streams), sum(latent.num_samples for latent in latents) / 16000
    available = sum(latent.semantic.shape[1] for latent in latents)
    # one more or one fewer group a threshold, and at 12.5 Hz the frames that the encoders drop at the end
    assert abs(frames - min(available, target * seconds)) <= 1


@pytest.mark.parametrize("scheduler", [*flexicodec.CONTROLS, "oracle"])
def test_controls_meet_the_rate_in_every_utterance(codec, scheduler):
    latent = codec.analyse(noise(80000))
    stream = codec.encode(latent, point(target_frame_rate=6.25, n_q=1, scheduler=scheduler)).streams[0]
    assert stream.num_frames == round(latent.semantic.shape[1] / 2)
    assert int(stream.durations.sum()) == latent.semantic.shape[1]


def test_cepstra_are_the_transform_of_the_filter_bank_and_decide_on_request(codec):
    audio = noise(80000)
    latent = codec.analyse(audio)
    stacked = codec.network.front_end(audio[None])[0].numpy()
    cepstra = scipy.fft.dct(stacked[:, 240:320], type=2)[:, :13] / 2
    frames = latent.semantic.shape[1]
    expected = torch.nn.functional.interpolate(torch.from_numpy(cepstra.T)[None], int(len(stacked) / 1.33333), mode="linear")[0, :, :frames]
    torch.testing.assert_close(latent.cepstra, expected, rtol=1e-4, atol=1e-4)
    asked = point(target_frame_rate=6.25, n_q=1, similarity="mfcc")
    durations = codec.encode(latent, codec.tune([latent], asked)).streams[0].durations
    threshold = codec.tune([latent], asked).options["threshold"]
    assert torch.equal(durations, greedy_merge(latent.cepstra.T, threshold, MAX_DURATION))
    assert len(durations) == pytest.approx(6.25 * len(audio) / 16000, abs=1)


@pytest.mark.parametrize(("stride", "rate"), [(6, 25 / 3), (8, 6.25)])
@pytest.mark.parametrize("num_samples", [1, 2319, 2320, 47999])
def test_fixed_rate_twin_sends_no_durations(stride, rate, num_samples):
    torch.manual_seed(0)
    config = tiny_config()
    config["backbone"]["stride"] = stride
    twin = FlexiCodec(flexicodec.tiny_network(config), "", torch.device("cpu"))
    encoded = twin.encode(twin.analyse(noise(num_samples)), point(frame_rate=rate, n_q=4))
    assert encoded.streams[0].durations is None
    # the recogniser's last window may not reach the last base frame
    assert 0 <= math.ceil(num_samples / (320 * stride)) - encoded.streams[0].num_frames <= 1
    received = unpack(pack(encoded).data)
    assert twin.decode(received).shape == (num_samples,)
    with pytest.raises(ValueError, match=f"checkpoint's frames are {rate:.4g} Hz"):
        twin.encode(twin.analyse(noise(num_samples)), point(frame_rate=12.5, n_q=4))


def test_an_untuned_target_and_too_many_codebooks_are_refused(codec):
    latent = codec.analyse(noise(20000))
    with pytest.raises(ValueError, match="tune"):
        codec.encode(latent, point(target_frame_rate=8.3, n_q=1))
    with pytest.raises(ValueError, match="1 to 4, got 5"):
        codec.encode(latent, point(threshold=0.9, n_q=5))


def test_durations_that_do_not_fit_the_length_are_refused(codec):
    encoded = codec.encode(codec.analyse(noise(20000)), point(threshold=1.0, n_q=1))
    with pytest.raises(ValueError, match="15 base frames do not fit 50000 samples"):
        codec.decode(dataclasses.replace(encoded, num_samples=50000))


def test_real_speech_keeps_its_durations_in_range(codec, shared):
    audio, _ = soundfile.read(shared / "data/eval_en/audio/1089-134686-0002.flac", dtype="float32")
    latents = [codec.analyse(torch.from_numpy(audio))]
    stream = codec.encode(latents[0], codec.tune(latents, point(target_frame_rate=6.25, n_q=4))).streams[0]
    assert 1 <= int(stream.durations.min()) <= int(stream.durations.max()) <= MAX_DURATION
    assert stream.num_frames / (len(audio) / 16000) == pytest.approx(6.25, abs=0.1)


# --- operating points


@pytest.mark.parametrize(
    ("name", "expected"),
    [("12.5hz_q8", 1275), ("8.3hz_q8", 846.6), ("6.25hz_q8", 637.5), ("12.5hz_q1", 225), ("8.3hz_q1", 149.4), ("6.25hz_q1", 112.5)],
)
def test_nominal_bitrates_are_the_published_ones(name, expected):
    each, seconds = POINTS[name], 400
    frames = round(each.frame_rate * seconds)
    sizes = (32768, *[4096] * 24)[: each.n_q]
    stream = Stream(torch.zeros(each.n_q, frames, dtype=torch.int64), sizes, torch.ones(frames, dtype=torch.int64), MAX_DURATION)
    assert nominal_bitrate(Encoded((stream,), seconds * 16000), seconds) == pytest.approx(expected)


def test_points_have_unique_names_and_the_published_thresholds():
    assert {name: each.name for name, each in POINTS.items()} == {name: name for name in POINTS}
    assert POINTS["8.3hz_q8"].options == {"threshold": 0.91}
    assert point(threshold=0.867).frame_rate == 6.25
    assert point(threshold=0.905).frame_rate == pytest.approx(8.1)
    assert point(threshold=0.2).frame_rate == 3.0
    assert point(target_frame_rate=8.3, n_q=1).name == "target8.3hz_q1"
    assert point(target_frame_rate=8, scheduler="random", seed=3).name == "random3_8hz_q8"
    assert point(target_frame_rate=8, similarity="mfcc").name == "mfcc8hz_q8"
    assert point(frame_rate=25 / 3, n_q=1).name == "fixed8.33hz_q1"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"treshold": 0.9}, "did you mean 'threshold'"),
        ({}, "one of threshold, target_frame_rate, frame_rate"),
        ({"threshold": 0.9, "target_frame_rate": 8}, "one of threshold, target_frame_rate, frame_rate"),
        ({"threshold": 1.5}, "-1 to 1"),
        ({"threshold": 0.9, "n_q": 26}, "1 to 25"),
        ({"threshold": 0.9, "n_q": 1.5}, "whole number"),
        ({"target_frame_rate": 13}, r"1\.5625 to 12\.5"),
        ({"target_frame_rate": 1}, r"1\.5625 to 12\.5"),
        ({"target_frame_rate": 8, "scheduler": "none"}, "density, oracle, ple, random, schedfr, .*uniform"),
        ({"threshold": 0.9, "scheduler": "uniform"}, "needs target_frame_rate"),
        ({"target_frame_rate": 8, "seed": 1}, "only the scheduler 'random'"),
        ({"threshold": "high"}, "must be a number"),
        ({"frame_rate": 8.33, "scheduler": "uniform"}, "needs target_frame_rate"),
        ({"frame_rate": 25}, "up to 12.5 Hz"),
        ({"target_frame_rate": 8, "similarity": "mel"}, "similarity: is mfcc"),
        ({"threshold": 0.9, "similarity": "mfcc"}, "with a target_frame_rate"),
    ],
    ids=str,
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        point(**settings)


# --- training


def test_training_pass_reaches_all_parts_but_the_recogniser():
    network = copy.deepcopy(tiny_network()).train()
    audio = torch.stack([noise(32000, seed) for seed in range(2)])
    decoded, merged = network(audio, threshold=0.9, n_q=torch.tensor([4, 2]))
    assert decoded.shape == audio.shape
    loss = (decoded - audio).square().mean() + merged.commitment_loss.mean() + merged.codebook_loss.mean()
    loss.backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    assert {name.split(".")[0] for name in without} == {"semantic_model"}
