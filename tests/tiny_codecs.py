"""Published codecs made small: their own classes with random weights, a few thousand values each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

SNAC_CONFIG: dict[str, Any] = {
    "sampling_rate": 24000,
    "encoder_dim": 2,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 32,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 64,
    "codebook_dim": 4,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}


def noise(num_samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(num_samples, generator=torch.Generator().manual_seed(seed))


def with_codebooks(model: Any) -> Any:
    """Codebooks start at zero in transformers; random ones give tokens that differ."""
    generator = torch.Generator().manual_seed(1)
    for name, buffer in model.named_buffers():
        if name.endswith(("embed", "embed_sum")):
            buffer.copy_(torch.randn(buffer.shape, generator=generator))
    return model.eval()


def encodec(**changes: Any) -> Any:
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"num_filters": 2, "hidden_size": 8, "codebook_dim": 8, "num_residual_layers": 1}
    return with_codebooks(EncodecModel(EncodecConfig(**sizes | changes)))


def mimi() -> Any:
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(0)
    config = MimiConfig(
        num_filters=2,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        codebook_dim=8,
        codebook_size=64,
        vector_quantization_hidden_dimension=8,
        upsample_groups=16,
    )
    return with_codebooks(MimiModel(config))


def dac(sample_rate: int, strides: tuple[int, ...], n_codebooks: int) -> Any:
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=32,
        n_codebooks=n_codebooks,
        codebook_size=64,
        codebook_dim=4,
        sampling_rate=sample_rate,
        downsampling_ratios=list(strides),
    )
    return DacModel(config).eval()


def snac() -> Any:
    import snac

    torch.manual_seed(0)
    return snac.SNAC(**SNAC_CONFIG).eval()


def save_snac(folder: Path) -> Path:
    """The model in the format of its hub repository."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(SNAC_CONFIG), encoding="utf-8")
    torch.save(snac().state_dict(), folder / "pytorch_model.bin")
    return folder


def xcodec2() -> Any:
    from transformers import Wav2Vec2BertConfig, Xcodec2Config, Xcodec2Model

    torch.manual_seed(0)
    small: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    semantic = Wav2Vec2BertConfig(hidden_size=16, output_hidden_size=16, conv_depthwise_kernel_size=3, **small)
    sizes: dict[str, Any] = {"hidden_size": 64, "head_dim": 8, "num_key_value_heads": 2, "encoder_hidden_size": 2, "quantization_dim": 80}
    return Xcodec2Model(Xcodec2Config(semantic_model_config=semantic, initializer_range=0.5, **sizes, **small)).eval()
