"""Random models in NeMo's own format, written by NeMo's own save_to."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import torchaudio_guard
from tests.speech import CORPUS


def save_codec(
    folder: Path,
    n_q: int = 8,
    levels: Sequence[int] = (8, 7, 6, 6),
    strides: Sequence[int] = (2, 2, 4, 8, 8),
    sample_rate: int = 22050,
    causal: bool = False,
    mel: bool = False,
) -> Path:
    """An AudioCodecModel with LFSC's rates and quantiser, or those given, as lfsc.nemo.

    mel   its encoder takes a band of the mel spectrogram for each codebook, as `mel_codec_22050.yaml` of NeMo configures it
    """
    torchaudio_guard.install()
    pytest.importorskip("nemo.collections.tts", reason="needs nemo_toolkit[asr]")
    from nemo.collections.tts.models import AudioCodecModel
    from omegaconf import OmegaConf

    modules = "nemo.collections.tts.modules.audio_codec_modules."
    losses = "nemo.collections.tts.losses.audio_codec_loss."
    width, network = n_q * len(levels), "CausalHiFiGAN" if causal else "HiFiGAN"
    encoder = {"down_sample_rates": list(strides), "encoded_dim": width, "base_channels": 2, "resblock_dilation_sizes": [1]}
    audio_encoder: dict[str, Any] = {"_target_": f"{modules}HiFiGANEncoder", "activation": "lrelu", **encoder}
    if mel:
        hop_length = math.prod(strides)
        spectrogram = {"mel_dim": 10 * n_q, "sample_rate": sample_rate, "win_length": 4 * hop_length, "hop_length": hop_length}
        audio_encoder = {
            "_target_": f"{modules}MultiBandMelEncoder",
            "mel_bands": [[10 * band, 10 * band + 10] for band in range(n_q)],
            "out_channels": len(levels),
            "hidden_channels": 4,
            "filters": 8,
            "mel_processor": {"_target_": f"{modules}MelSpectrogramProcessor", **spectrogram},
        }
    decoder = {"up_sample_rates": list(strides)[::-1], "input_dim": width, "base_channels": 32, "output_activation": "tanh"}
    config = {
        "sample_rate": sample_rate,
        "samples_per_frame": math.prod(strides),
        "loss_resolutions": [[64, 16, 64]],
        "mel_loss_dims": [5],
        "commit_loss_scale": 0.0,
        "audio_encoder": audio_encoder,
        "audio_decoder": {"_target_": f"{modules}{network}Decoder", "activation": "lrelu", **decoder},
        "vector_quantizer": {"_target_": f"{modules}GroupFiniteScalarQuantizer", "num_groups": n_q, "num_levels_per_group": list(levels)},
        "generator_loss": {"_target_": f"{losses}GeneratorSquaredLoss"},
        "discriminator_loss": {"_target_": f"{losses}DiscriminatorSquaredLoss"},
    }
    torch.manual_seed(0)
    path = folder / "lfsc.nemo"
    AudioCodecModel(OmegaConf.create(config)).eval().save_to(str(path))
    return path


def save_recogniser(folder: Path) -> Path:
    """A random CTC model with a vocabulary trained on the bundled texts, written by NeMo's own save_to."""
    pytest.importorskip("nemo.collections.asr", reason="needs nemo_toolkit[asr]", exc_type=ImportError)
    from nemo.collections.asr.models import EncDecCTCModelBPE
    from omegaconf import OmegaConf

    asr = "nemo.collections.asr.modules."
    layer = {
        "filters": 16,
        "repeat": 1,
        "kernel": [11],
        "stride": [2],
        "dilation": [1],
        "dropout": 0.0,
        "residual": False,
        "separable": True,
    }
    config = {
        "sample_rate": 16000,
        "preprocessor": {
            "_target_": asr + "AudioToMelSpectrogramPreprocessor",
            "sample_rate": 16000,
            "features": 16,
            "dither": 0.0,
            "pad_to": 0,
        },
        "encoder": {"_target_": asr + "ConvASREncoder", "feat_in": 16, "activation": "relu", "conv_mask": True, "jasper": [layer]},
        "decoder": {"_target_": asr + "ConvASRDecoder", "feat_in": 16, "num_classes": -1, "vocabulary": []},
        "tokenizer": {"dir": str(_save_tokenizer(folder)), "type": "bpe"},
        "optim": {"name": "adam", "lr": 0.001},
    }
    torch.manual_seed(0)
    model = EncDecCTCModelBPE(OmegaConf.create(config)).eval()
    model.save_to(str(folder / "tiny.nemo"))
    return folder / "tiny.nemo"


def save_transducer(folder: Path) -> Path:
    """A random FastConformer transducer, with the parts of the papers' recogniser; what it emits hangs on what it hears."""
    pytest.importorskip("nemo.collections.asr", reason="needs nemo_toolkit[asr]", exc_type=ImportError)
    from nemo.collections.asr.models import EncDecRNNTBPEModel
    from omegaconf import OmegaConf

    asr = "nemo.collections.asr.modules."
    width = 16
    encoder = {"feat_in": 80, "d_model": width, "n_layers": 2, "n_heads": 2, "ff_expansion_factor": 2, "conv_kernel_size": 9}
    subsampling = {"subsampling": "dw_striding", "subsampling_factor": 8, "subsampling_conv_channels": 8, "causal_downsampling": False}
    prediction = {"pred_hidden": width, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.0}
    config = {
        "sample_rate": 16000,
        "model_defaults": {"enc_hidden": width, "pred_hidden": width, "joint_hidden": width},
        "preprocessor": {"_target_": asr + "AudioToMelSpectrogramPreprocessor", "sample_rate": 16000, "features": 80, "pad_to": 0},
        "encoder": {"_target_": asr + "ConformerEncoder", **encoder, **subsampling},
        "decoder": {"_target_": asr + "RNNTDecoder", "blank_as_pad": True, "prednet": prediction},
        "joint": {"_target_": asr + "RNNTJoint", "jointnet": {"joint_hidden": width, "activation": "relu", "dropout": 0.0}},
        "decoding": {"strategy": "greedy_batch", "greedy": {"max_symbols": 10}},
        "loss": {"loss_name": "default"},
        "tokenizer": {"dir": str(_save_tokenizer(folder)), "type": "bpe"},
        "optim": {"name": "adam", "lr": 0.001},
    }
    torch.manual_seed(0)
    model = EncDecRNNTBPEModel(OmegaConf.create(config)).eval()
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.joint.parameters()):
            if parameter.ndim > 1:
                parameter.normal_()
    model.save_to(str(folder / "tiny.nemo"))
    return folder / "tiny.nemo"


def _save_tokenizer(folder: Path) -> Path:
    """`folder` with a vocabulary trained on the bundled texts."""
    import sentencepiece

    texts = [json.loads(line)["text"].lower() for line in (CORPUS / "manifest.jsonl").open(encoding="utf-8")]
    (folder / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=64, model_type="bpe", character_coverage=1.0
    )
    (folder / "vocab.txt").write_text((folder / "tokenizer.vocab").read_text(encoding="utf-8"), encoding="utf-8")
    return folder
