"""SCOREQ with random weights under the published names, against a forward pass written with torch functions alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.dataset import Utterance
from bench.errors import Unavailable, UserError
from bench.metric import MetricFailure
from bench.metrics import scoreq
from tests.speech import coarse, sentence
from tests.wav2vec2 import Tensors, features

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Random tensors, by the names and shapes of fixed_nmr_telephone.pt."""
    tensors = Tensors()
    tensors.add_wav2vec2("ssl_model.")
    tensors.add_linear("embedding_layer.1", 768, 256)
    return dict(tensors)


@pytest.fixture(scope="module")
def checkpoint(published: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scoreq") / "fixed.pt"
    torch.save(published, path)
    return path


def distance(weights: dict[str, Tensor], reference: np.ndarray, degraded: np.ndarray) -> float:
    embeddings = []
    for audio in (reference, degraded):
        padded = np.pad(audio, (0, -len(audio) % 320))
        embeddings.append(F.normalize(features(weights, "ssl_model.", torch.tensor(padded)).mean(0), dim=0))
    return float((embeddings[0] - embeddings[1]).norm())


def test_score_equals_the_model_written_out(published, checkpoint):
    (metric,) = scoreq.load(["scoreq_ref"], CPU, {"checkpoint": str(checkpoint)})
    reference = sentence().audio[8000:24100]
    degraded = coarse(reference, 16)
    prepared = metric.prepare(Utterance("u", reference, 16000), reference)
    with torch.inference_mode():
        expected = distance(published, reference, degraded)
    assert expected > 0
    assert metric.score(prepared, degraded)["scoreq_ref"].value == pytest.approx(expected, abs=1e-4)
    assert metric.score(prepared, reference)["scoreq_ref"].value == 0
    assert scoreq.needs(["scoreq_ref"], {"checkpoint": str(checkpoint)})[-1].files == (checkpoint,)
    with pytest.raises(MetricFailure, match="silent"):
        metric.score(prepared, np.zeros(16000, np.float32))


def test_a_checkpoint_that_lacks_weights_is_refused(published, tmp_path):
    torch.save({name: tensor for name, tensor in published.items() if "encoder.layers.3." not in name}, tmp_path / "part.pt")
    with pytest.raises(UserError, match=r"part\.pt: does not fit Network: 16 keys missing"):
        scoreq.load(["scoreq_ref"], CPU, {"checkpoint": str(tmp_path / "part.pt")})


def test_what_is_missing_is_named_with_its_address():
    need = scoreq.needs(["scoreq_ref"], {})[-1]
    assert not need.available
    assert "zenodo.org" in need.how
    with pytest.raises(Unavailable, match="zenodo"):
        scoreq.load(["scoreq_ref"], CPU, {})
