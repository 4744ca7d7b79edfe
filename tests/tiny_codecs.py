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


def with_codebooks(model: Any, scale: float = 1.0) -> Any:
    """Codebooks start at zero in transformers; random ones give tokens that differ."""
    generator = torch.Generator().manual_seed(1)
    for name, buffer in model.named_buffers():
        if name.endswith(("embed", "embed_sum")):
            buffer.copy_(scale * torch.randn(buffer.shape, generator=generator))
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


def encodec_48k() -> Any:
    stereo: dict[str, Any] = {"sampling_rate": 48000, "audio_channels": 2, "normalize": True, "chunk_length_s": 1.0, "overlap": 0.01}
    return encodec(num_filters=4, use_causal_conv=False, norm_type="time_group_norm", target_bandwidths=[3.0, 6.0, 12.0, 24.0], **stereo)


def wavtokenizer() -> Any:
    from transformers import WavTokenizerConfig, WavTokenizerModel

    torch.manual_seed(0)
    decoder: dict[str, Any] = {"decoder_hidden_size": 16, "decoder_intermediate_size": 16, "decoder_num_layers": 1}
    encoder: dict[str, Any] = {"num_filters": 2, "hidden_size": 8, "codebook_dim": 8, "codebook_size": 64}
    model = WavTokenizerModel(WavTokenizerConfig(decoder_attention_num_groups=4, **encoder, **decoder)).eval()
    with torch.no_grad():  # one codebook leaves no residual: its entries are where the features are
        features = model.encoder_model.encoder(noise(64 * 600)[None, None])[0].T
        model.encoder_model.quantizer.codebook.embed.copy_(features)
    return model


_SPEECH_MODEL: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_HUBERT: dict[str, Any] = {"model_type": "hubert", "conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, **_SPEECH_MODEL}


def xcodec() -> Any:
    from transformers import XcodecConfig, XcodecModel

    torch.manual_seed(0)
    dac_sizes = {"model_type": "dac", "encoder_hidden_size": 4, "decoder_hidden_size": 32, "hidden_size": 8}
    config = XcodecConfig(codebook_size=1024, acoustic_model_config=dac_sizes, semantic_model_config=_HUBERT)
    return with_codebooks(XcodecModel(config))


def higgs_v2() -> Any:
    from transformers import HiggsAudioV2TokenizerConfig, HiggsAudioV2TokenizerModel

    torch.manual_seed(0)
    dac_sizes = {"model_type": "dac", "encoder_hidden_size": 4, "decoder_hidden_size": 64, "hidden_size": 8}
    strides = {"downsampling_ratios": [8, 5, 4, 2, 3], "upsampling_ratios": [8, 5, 4, 2, 3]}
    config = HiggsAudioV2TokenizerConfig(
        acoustic_model_config=dac_sizes | strides, semantic_model_config=_HUBERT, codebook_dim=8, target_bandwidths=[0.5, 1, 1.5, 2]
    )
    return with_codebooks(HiggsAudioV2TokenizerModel(config), scale=0.1)


def neucodec() -> Any:
    from transformers import NeuCodecConfig, NeuCodecModel

    torch.manual_seed(0)
    small: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    semantic = {"model_type": "wav2vec2-bert", "hidden_size": 16, "output_hidden_size": 16, "conv_depthwise_kernel_size": 3, **small}
    sizes: dict[str, Any] = {"hidden_size": 64, "head_dim": 8, "num_key_value_heads": 2, "encoder_hidden_size": 2, "quantization_dim": 80}
    return NeuCodecModel(NeuCodecConfig(semantic_model_config=semantic, initializer_range=0.5, **sizes, **small)).eval()
