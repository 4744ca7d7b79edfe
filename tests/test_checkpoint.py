"""Checkpoints in the forms in which people have them: the same audio, or one line that says what to do."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import checkpoint
from bench.cli import app
from bench.errors import Unavailable, UserError
from bench.registry import codec_module
from tests import tiny_codecs as tiny
from tests.test_residual_codecs import ReleasedDAC

CPU = torch.device("cpu")
SHIPPED = {"fixed": "tiny_80hz", "codecslime": "tiny", "tfc": "tiny", "flexicodec": "tiny"}


def codec_file(name: str) -> Any:
    return codec_module(name)


def shipped(codec: str) -> Path:
    path = checkpoint.find(SHIPPED[codec], codec)
    assert path is not None
    return path


def tensors_and_metadata(codec: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    return checkpoint.load_safetensors(shipped(codec))


def one_line(error: pytest.ExceptionInfo[Any], path: Path) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def decoded(codec: Any, point: Any) -> torch.Tensor:
    samples = tiny.noise(codec.sample_rate // 4)
    with torch.inference_mode():
        return codec.decode(codec.encode(codec.analyse(samples), point))


# --- half precision -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("codec", SHIPPED)
def test_a_file_in_half_precision_runs_in_float32(codec, dtype, tmp_path):
    tensors, metadata = tensors_and_metadata(codec)
    narrow = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    save_file(narrow, tmp_path / "half.safetensors", metadata)
    save_file({name: t.float() if t.is_floating_point() else t for name, t in narrow.items()}, tmp_path / "float.safetensors", metadata)
    half, full = (codec_file(codec).load(str(tmp_path / f"{name}.safetensors"), CPU) for name in ("half", "float"))
    floats = [parameter for parameter in half.network.parameters() if parameter.is_floating_point()]
    assert {parameter.dtype for parameter in floats} == {torch.float32}
    for ours, theirs in zip(half.network.state_dict().values(), full.network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


ENCODEC = ("1.5kbps", "encodec_24k", tiny.encodec)
MIMI = ("8q", "mimi", tiny.mimi)


@pytest.mark.parametrize(("point", "name", "make"), [ENCODEC, MIMI], ids=["encodec", "mimi"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_hub_model_in_half_precision_runs_in_float32(point, name, make, dtype, tmp_path):
    make().to(dtype).save_pretrained(tmp_path)
    codec = codec_file(name).load(str(tmp_path), CPU)
    assert {parameter.dtype for parameter in codec.model.parameters()} == {torch.float32}
    assert decoded(codec, codec_file(name).POINTS[point]).dtype == torch.float32


# --- several files, pickles ---------------------------------------------------------------------------------------------------


def save_in_parts(tensors: dict[str, torch.Tensor], metadata: dict[str, str], folder: Path) -> Path:
    """Three parts with an index, as the hub's libraries write them."""
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for index, (name, tensor) in enumerate(sorted(tensors.items())):
        parts.setdefault(f"model-0000{index % 3 + 1}-of-00003.safetensors", {})[name] = tensor
    folder.mkdir(exist_ok=True)
    for part, content in parts.items():
        save_file(content, folder / part, metadata)
    weight_map = {name: part for part, content in parts.items() for name in content}
    index_file = folder / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}), encoding="utf-8")
    return index_file


@pytest.mark.parametrize("form", ["index", "folder"])
def test_a_checkpoint_in_parts_is_the_checkpoint(form, tmp_path):
    index = save_in_parts(*tensors_and_metadata("codecslime"), tmp_path / "parts")
    whole, parts = (codec_file("codecslime").load(place, CPU) for place in (None, str(index if form == "index" else index.parent)))
    assert torch.equal(decoded(whole, codec_file("codecslime").POINTS["40hz"]), decoded(parts, codec_file("codecslime").POINTS["40hz"]))


@pytest.mark.parametrize(("point", "name", "make"), [ENCODEC, MIMI], ids=["encodec", "mimi"])
def test_a_hub_folder_in_parts_or_with_a_pickle_is_the_same_model(point, name, make, tmp_path):
    make().save_pretrained(tmp_path / "whole")
    make().save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    make().save_pretrained(tmp_path / "pickle")
    (tmp_path / "pickle/model.safetensors").unlink()
    torch.save(load_file(tmp_path / "whole/model.safetensors"), tmp_path / "pickle/pytorch_model.bin")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    codecs = [codec_file(name).load(str(tmp_path / form), CPU) for form in ("whole", "parts", "pickle")]
    assert all(need.available for form in ("whole", "parts", "pickle") for need in codec_file(name).needs(str(tmp_path / form)))
    outputs = [decoded(codec, codec_file(name).POINTS[point]) for codec in codecs]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert len({codec.weights_sha256 for codec in codecs}) == 3


class Runs:
    def __reduce__(self):
        return exec, ("raise SystemExit('code in a checkpoint ran')",)


def test_code_in_a_pickle_does_not_run(tmp_path):
    tiny.encodec().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weight": Runs()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="not a readable checkpoint of plain tensors") as error:
        codec_file("encodec_24k").load(str(tmp_path), CPU)
    one_line(error, tmp_path / "pytorch_model.bin")
    torch.save(Runs(), tmp_path / "release.pth")
    with pytest.raises(UserError, match="not a readable checkpoint of plain tensors"):
        codec_file("dac_16k").load(str(tmp_path / "release.pth"), CPU)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not the index"),
        ("[]", "not the index"),
        ('{"weight_map": 3}', "no map of names to files"),
        ('{"weight_map": {"a": "../elsewhere.safetensors"}}', "does not lie beside it"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors, which it lists, is not there"),
    ],
)
def test_an_index_that_lies_is_refused(content, complaint, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=complaint) as error:
        codec_file("fixed").load(str(index), CPU)
    one_line(error, index)


def test_a_tensor_that_is_in_no_part_is_named(tmp_path):
    index = save_in_parts(*tensors_and_metadata("fixed"), tmp_path)
    content = json.loads(index.read_text(encoding="utf-8"))
    content["weight_map"]["extra.weight"] = "model-00001-of-00003.safetensors"
    index.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=r"1 tensors that it lists are in no part \(first: extra.weight\)"):
        codec_file("fixed").load(str(index), CPU)


# --- DAC's release files ------------------------------------------------------------------------------------------------------


def release(path: Path, tensors: dict[str, torch.Tensor], **metadata: Any) -> str:
    torch.save({"state_dict": tensors, "metadata": {"kwargs": ReleasedDAC().kwargs, **metadata}}, path)
    return str(path)


def under_newer_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    newer = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {name.replace("weight_g", newer["weight_g"]).replace("weight_v", newer["weight_v"]): t for name, t in tensors.items()}


def test_dacs_release_files_are_read_in_the_forms_that_people_have(tmp_path):
    dac, old = codec_file("dac_16k"), ReleasedDAC().released_state_dict()
    expected = decoded(dac.load(release(tmp_path / "old.pth", old), CPU), dac.point(n_q=2))
    numbers = {"val/loss": np.float64(1.5), "step": np.int64(3), "curve": np.arange(4.0), "flag": np.bool_(True)}
    forms = {
        "newer names": release(tmp_path / "newer.pth", under_newer_names(old)),
        "NumPy numbers": release(tmp_path / "numpy.pth", old, logs=numbers),
    }
    for path in forms.values():
        assert torch.equal(decoded(dac.load(path, CPU), dac.point(n_q=2)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_dacs_release_file_in_half_precision_runs_in_float32(dtype, tmp_path):
    dac, narrow = codec_file("dac_16k"), {name: t.to(dtype) for name, t in ReleasedDAC().released_state_dict().items()}
    half = dac.load(release(tmp_path / "half.pth", narrow), CPU)
    full = dac.load(release(tmp_path / "full.pth", {name: tensor.float() for name, tensor in narrow.items()}), CPU)
    assert torch.equal(decoded(half, dac.point(n_q=2)), decoded(full, dac.point(n_q=2)))


def test_pickles_of_numpy_before_2_are_read(tmp_path):
    """They name numpy.core where NumPy 2 names numpy._core."""
    path = tmp_path / "numbers.pth"
    torch.save({"loss": np.float64(1.5)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert checkpoint.load_torch(path) == {"loss": 1.5}


# --- prefixes -----------------------------------------------------------------------------------------------------------------

PREFIXES = [
    ("module.", lambda name: f"module.{name}"),
    ("_orig_mod.", lambda name: f"_orig_mod.{name}"),
    ("_orig_mod.", lambda name: f"module._orig_mod.{name}"),
    ("_orig_mod.", lambda name: name.replace(".", "._orig_mod.", 1)),
]


def told_command(error: pytest.ExceptionInfo[Any]) -> list[str]:
    return shlex.split(str(error.value).partition("strip it with: bench ")[2])


def bench(*arguments: str) -> str:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(("prefix", "named"), PREFIXES, ids=["DDP", "compiled", "both", "a compiled part"])
@pytest.mark.parametrize("codec", SHIPPED)
def test_prefixes_are_told_with_the_command_that_strips_them(codec, prefix, named, tmp_path):
    tensors, metadata = tensors_and_metadata(codec)
    path = tmp_path / "of a training.safetensors"
    save_file({named(name): tensor for name, tensor in tensors.items()}, path, metadata)
    with pytest.raises(UserError, match=prefix) as error:
        codec_file(codec).load(str(path), CPU)
    command = told_command(error)
    assert f"{len([name for name in tensors if named(name) != name])} names changed" in bench(*command)
    assert load_file(command[-1]).keys() == tensors.keys()
    assert codec_file(codec).load(command[-1], CPU).parameters > 0


@pytest.mark.parametrize(("prefix", "named"), PREFIXES[:3], ids=["DDP", "compiled", "both"])
def test_prefixes_in_a_release_file_are_told_and_stripped(prefix, named, tmp_path):
    dac, old = codec_file("dac_16k"), ReleasedDAC().released_state_dict()
    path = release(tmp_path / "trained.pth", {named(name): tensor for name, tensor in old.items()}, loss=np.float64(1.5))
    with pytest.raises(UserError, match=prefix) as error:
        dac.load(path, CPU)
    command = told_command(error)
    bench(*command)
    expected = decoded(dac.load(release(tmp_path / "old.pth", old), CPU), dac.point(n_q=2))
    assert torch.equal(decoded(dac.load(command[-1], CPU), dac.point(n_q=2)), expected)


def test_a_pickle_in_place_of_safetensors_is_told_with_the_command_that_converts_it(tmp_path):
    tensors, _ = tensors_and_metadata("codecslime")
    path = tmp_path / "model.pt"
    torch.save(tensors, path)
    with pytest.raises(UserError, match="it looks like a pickle") as error:
        codec_file("codecslime").load(str(path), CPU)
    command = shlex.split(str(error.value).partition("convert it with: bench ")[2].partition(")")[0])
    bench(*command)
    assert load_file(command[-1]).keys() == tensors.keys()


def test_strip_overwrites_nothing_and_names_what_it_can_not_read(tmp_path):
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    with pytest.raises(UserError, match="is there already"):
        checkpoint.strip(shipped("fixed"), tmp_path / "there.safetensors")
    with pytest.raises(UserError, match="is not there"):
        checkpoint.strip(tmp_path / "gone.pt", tmp_path / "new.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match="not a file of named tensors"):
        checkpoint.strip(tmp_path / "list.pt", tmp_path / "new.pt")
    path = release(tmp_path / "release.pth", {"module.weight": torch.zeros(1)})
    assert checkpoint.strip(Path(path), tmp_path / "release.safetensors") == 1
    assert not list(tmp_path.glob("new*"))


# --- what is no checkpoint ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", SHIPPED)
def test_a_folder_is_told_in_one_line(codec, tmp_path):
    with pytest.raises(UserError) as error:
        codec_file(codec).load(str(tmp_path), CPU)
    one_line(error, tmp_path)


@pytest.mark.parametrize("codec", ["bigcodec", "lfsc"])
def test_a_folder_in_place_of_a_pickle_is_told_in_one_line(codec, tmp_path):
    if codec == "lfsc":
        pytest.importorskip("nemo", reason="needs nemo_toolkit")
    with pytest.raises(UserError) as error:
        codec_file(codec).load(str(tmp_path), CPU)
    one_line(error, tmp_path)


@pytest.mark.parametrize("config", ["{bad", "[1]", '"text"', "3", "NaN", "{}", '{"family": "spectral"}', '{"family": 3, "sizes": 3}'])
@pytest.mark.parametrize("codec", SHIPPED)
def test_bad_metadata_are_told_in_one_line(codec, config, tmp_path):
    tensors, metadata = tensors_and_metadata(codec)
    path = tmp_path / "bad.safetensors"
    save_file(tensors, path, {**metadata, "config": config})
    with pytest.raises(UserError) as error:
        codec_file(codec).load(str(path), CPU)
    one_line(error, path)


@pytest.mark.parametrize("sample_rate", ["", "16 kHz", "1e4"])
def test_a_sample_rate_that_is_no_number_is_told_in_one_line(sample_rate, tmp_path):
    tensors, metadata = tensors_and_metadata("fixed")
    path = tmp_path / "bad.safetensors"
    save_file(tensors, path, {**metadata, "sample_rate": sample_rate})
    with pytest.raises(UserError) as error:
        codec_file("fixed").load(str(path), CPU)
    one_line(error, path)


def test_metadata_that_are_nested_without_end_and_what_is_no_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="config in the metadata"):
        checkpoint.config_of({"config": "[" * 100_000}, tmp_path / "a.safetensors")
    for name in ("a.safetensors", "a.pt"):
        os.mkfifo(tmp_path / name)
        for read in (checkpoint.load_weights, checkpoint.sha256):
            with pytest.raises(UserError, match="is no regular file"):
                read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 8, b"\x08\0\0\0\0\0\0\0{garbage", b"\x02\0\0\0\0\0\0\0[]"])
@pytest.mark.parametrize("codec", SHIPPED)
def test_a_damaged_file_is_told_in_one_line(codec, content, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    for call in (codec_file(codec).load, lambda name, _: codec_file(codec).needs(name)):
        if codec != "flexicodec" and call is not codec_file(codec).load:
            continue  # the others do not open the file before they load it
        with pytest.raises(UserError) as error:
            call(str(path), CPU)
        one_line(error, path)


def test_a_hub_configuration_that_is_none_is_told_in_one_line(tmp_path):
    tiny.encodec().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{bad", encoding="utf-8")
    with pytest.raises(UserError, match="not a configuration") as error:
        codec_file("encodec_24k").load(str(tmp_path), CPU)
    one_line(error, tmp_path)
    snac = tiny.save_snac(tmp_path / "snac")
    (snac / "config.json").write_text("{bad", encoding="utf-8")
    with pytest.raises(UserError, match="not a configuration of SNAC") as error:
        codec_file("snac").load(str(snac), CPU)
    one_line(error, snac)


@pytest.mark.parametrize(
    "place",
    [
        "hf:../..",
        "hf:../../x@main",
        "hf:..",
        "hf:owner/repo/../../secret@main",
        "hf:owner/repo/x@../y",
        "hf:-/-/x@main",
        "hf:a b/c/x@main",
        "x\0y",
    ],
)
@pytest.mark.parametrize("codec", ["fixed", "encodec_24k", "bigcodec"])
def test_an_address_that_leaves_the_repository_is_refused_in_one_line(codec, place):
    for call in (codec_file(codec).needs, lambda name: codec_file(codec).load(name, CPU)):
        message, needs = "", []
        try:
            needs = call(place)
        except (UserError, Unavailable) as error:
            message = str(error)
        assert "\n" not in message
        assert message or not any(need.available for need in needs if need.kind == "weights")
