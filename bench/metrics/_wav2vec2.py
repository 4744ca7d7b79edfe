"""Names of wav2vec 2.0's parameters: in fairseq, from which published checkpoints have them, and in transformers."""

from __future__ import annotations

import re

# fairseq -> Wav2Vec2Model of transformers, the first that fits
_RENAMED = [
    (r"^mask_emb$", "masked_spec_embed"),
    (r"^feature_extractor\.conv_layers\.(\d)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (r"^feature_extractor\.conv_layers\.0\.2\.", "feature_extractor.conv_layers.0.layer_norm."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.weight_g$", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"^encoder\.pos_conv\.0\.weight_v$", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"^encoder\.pos_conv\.0\.", "encoder.pos_conv_embed.conv."),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
]


def transformers_name(name: str) -> str:
    """The name that transformers has for fairseq's `name`; as it stands where they agree."""
    for pattern, replacement in _RENAMED:
        renamed, found = re.subn(pattern, replacement, name)
        if found:
            return renamed
    return name
