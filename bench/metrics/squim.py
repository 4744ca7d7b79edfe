"""TorchAudio-SQUIM: MOS against a clean reference (LFSC's model card), and STOI, PESQ and SI-SDR estimated without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench import torchaudio_guard
from bench.checkpoint import load_strictly, load_torch, resolve
from bench.dataset import Utterance
from bench.errors import Unavailable
from bench.metric import Audio, Metric, MetricEntry, entries, loader
from bench.metrics._checks import check_options, check_signal
from bench.metrics._citations import cite
from bench.needs import Need, package, weights
from bench.record import MetricInfo, Score

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_SAMPLE_RATE = 16000
_MIN_DURATION_S = 0.5
_URL = "https://download.pytorch.org/torchaudio/models/"
_OBJECTIVE = f"{_URL}squim_objective_dns2020.pth#sha256=2c54586fea83fb5eb5394d710038ee89f55cab7011a5bf730bebed4c8777e828"
_HOW_SUBJECTIVE = f"curl -L -O {_URL}squim_subjective_bvcc_daps.pth, and name the file as the metric's option `checkpoint`"
_ESTIMATES = ("squim_stoi", "squim_pesq", "squim_si_sdr")  # in the order of the model's outputs


def _objective(names: tuple[str, ...], device: torch.device, options: Mapping[str, str]) -> Metric:
    return Objective(names, options.get("checkpoint", _OBJECTIVE), device)


def _subjective(names: tuple[str, ...], device: torch.device, options: Mapping[str, str]) -> Metric:
    if "checkpoint" not in options:
        raise Unavailable(f"squim_mos: {_HOW_SUBJECTIVE}")
    return Subjective(options["checkpoint"], device)


METRICS: Mapping[str, MetricEntry] = {
    **entries(
        _subjective,
        MetricInfo(
            name="squim_mos",
            unit="MOS",
            version=1,
            sample_rate=_SAMPLE_RATE,
            higher_is_better=True,
            accelerated=True,
            definition="MOS predicted by comparison with clean speech, here the reference itself.",
            source="torchaudio SQUIM_SUBJECTIVE (squim_subjective_bvcc_daps.pth)",
            licence="BSD-2-Clause (torchaudio); CC BY-NC 4.0 (weights)",
            citation=cite("kumar2023squim"),
        ),
    ),
    **entries(
        _objective,
        *(
            MetricInfo(
                name=name,
                unit=unit,
                version=1,
                sample_rate=_SAMPLE_RATE,
                higher_is_better=True,
                accelerated=True,
                definition=f"{what} estimated from the degraded signal alone; not {what} itself.",
                source="torchaudio SQUIM_OBJECTIVE (squim_objective_dns2020.pth)",
                licence="BSD-2-Clause (torchaudio); CC BY 4.0 (weights)",
                citation=cite("kumar2023squim"),
            )
            for name, unit, what in (("squim_stoi", "", "STOI"), ("squim_pesq", "MOS", "Wide-band PESQ"), ("squim_si_sdr", "dB", "SI-SDR"))
        ),
    ),
}


def needs(names: Sequence[str], options: Mapping[str, str]) -> list[Need]:
    check_options(options, ["checkpoint"])
    listed = [package("torchaudio", "torchaudio>=2.8", "BSD-2-Clause")]
    checkpoint = options.get("checkpoint")
    if any(name in _ESTIMATES for name in names):
        listed.append(weights("squim", checkpoint or _OBJECTIVE, size_mb=30, licence="CC BY 4.0"))
    if "squim_mos" in names:
        # no hash of this file is published that we could pin
        unnamed = Need("weights", "squim_mos squim_subjective_bvcc_daps.pth", False, _HOW_SUBJECTIVE, 378, "CC BY-NC 4.0")
        listed.append(weights("squim_mos", checkpoint, licence="CC BY-NC 4.0") if checkpoint else unnamed)
    return listed


load = loader(METRICS)


class Objective:
    """STOI, PESQ and SI-SDR from one pass."""

    sample_rate = _SAMPLE_RATE

    def __init__(self, names: tuple[str, ...], checkpoint: str, device: torch.device) -> None:
        torchaudio_guard.install()
        from torchaudio.models import squim_objective_base

        path = resolve(checkpoint, "squim")
        self.names = names
        self._device = device
        self._model = squim_objective_base()
        load_strictly(self._model, load_torch(path), path)
        self._model.eval().to(device)

    def prepare(self, reference: Utterance, audio: Audio) -> None:
        return None

    def score(self, prepared: None, degraded: Audio) -> Mapping[str, Score]:
        import torch

        check_signal(degraded, "the degraded signal", _MIN_DURATION_S, _SAMPLE_RATE)
        with torch.inference_mode():
            estimates = self._model(torch.tensor(degraded, device=self._device)[None])
        values = dict(zip(_ESTIMATES, estimates, strict=True))
        return {name: Score(float(values[name])) for name in self.names}


class Subjective:
    names = ("squim_mos",)
    sample_rate = _SAMPLE_RATE

    def __init__(self, checkpoint: str, device: torch.device) -> None:
        torchaudio_guard.install()
        from torchaudio.models import squim_subjective_base

        path = resolve(checkpoint, "squim_mos")
        self._device = device
        self._model = squim_subjective_base()
        load_strictly(self._model, load_torch(path), path)
        self._model.eval().to(device)

    def prepare(self, reference: Utterance, audio: Audio) -> Tensor:
        import torch

        check_signal(audio, "the reference", _MIN_DURATION_S, _SAMPLE_RATE)
        return torch.tensor(audio, device=self._device)[None]

    def score(self, prepared: Tensor, degraded: Audio) -> Mapping[str, Score]:
        import torch

        check_signal(degraded, "the degraded signal")
        with torch.inference_mode():
            return {"squim_mos": Score(float(self._model(torch.tensor(degraded, device=self._device)[None], prepared)))}
