"""wav2vec 2.0 base with random weights under fairseq's names, and its forward pass written with torch functions alone."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Tensors(dict[str, Tensor]):
    """Random tensors by name, as large as trained ones."""

    def __init__(self) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(0)

    def add(self, name: str, *shape: int, scale: float | None = None) -> None:
        spread = scale if scale is not None else float(np.prod(shape[1:])) ** -0.5
        self[name] = spread * torch.randn(shape, generator=self._generator)

    def add_norm(self, name: str, width: int) -> None:
        self[f"{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=self._generator)
        self.add(f"{name}.bias", width, scale=0.1)

    def add_linear(self, name: str, width_in: int, width_out: int) -> None:
        self.add(f"{name}.weight", width_out, width_in)
        self.add(f"{name}.bias", width_out, scale=0.1)

    def add_wav2vec2(self, prefix: str) -> None:
        self.add(f"{prefix}mask_emb", 768, scale=0.1)
        for i, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
            self.add(f"{prefix}feature_extractor.conv_layers.{i}.0.weight", 512, 512 if i else 1, kernel)
        self.add_norm(f"{prefix}feature_extractor.conv_layers.0.2", 512)
        self.add_norm(f"{prefix}layer_norm", 512)
        self.add_linear(f"{prefix}post_extract_proj", 512, 768)
        self.add(f"{prefix}encoder.pos_conv.0.bias", 768, scale=0.1)
        self.add(f"{prefix}encoder.pos_conv.0.weight_g", 1, 1, 128, scale=0.5)
        self.add(f"{prefix}encoder.pos_conv.0.weight_v", 768, 48, 128)
        self.add_norm(f"{prefix}encoder.layer_norm", 768)
        for i in range(12):
            layer = f"{prefix}encoder.layers.{i}"
            for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
                self.add_linear(f"{layer}.self_attn.{part}", 768, 768)
            self.add_linear(f"{layer}.fc1", 768, 3072)
            self.add_linear(f"{layer}.fc2", 3072, 768)
            self.add_norm(f"{layer}.self_attn_layer_norm", 768)
            self.add_norm(f"{layer}.final_layer_norm", 768)


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def features(weights: dict[str, Tensor], prefix: str, audio: Tensor) -> Tensor:
    """What the last layer gives of `audio` [T], step by step: [F, 768]."""

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = audio[None, None]
    for i, stride in enumerate((5, 2, 2, 2, 2, 2, 2)):
        x = F.conv1d(x, weights[f"{prefix}feature_extractor.conv_layers.{i}.0.weight"], stride=stride)
        if i == 0:
            group = f"{prefix}feature_extractor.conv_layers.0.2"
            x = F.group_norm(x, 512, weights[f"{group}.weight"], weights[f"{group}.bias"])
        x = F.gelu(x)
    x = linear(weights, f"{prefix}post_extract_proj", norm(f"{prefix}layer_norm", x.transpose(1, 2)))[0]  # [F, 768]
    gain, direction = (weights[f"{prefix}encoder.pos_conv.0.weight_{part}"] for part in "gv")
    kernel = gain * direction / direction.square().sum((0, 1), keepdim=True).sqrt()
    position = F.conv1d(x.T[None], kernel, weights[f"{prefix}encoder.pos_conv.0.bias"], padding=64, groups=16)[0, :, :-1]
    x = norm(f"{prefix}encoder.layer_norm", x + F.gelu(position.T))
    for i in range(12):
        layer = f"{prefix}encoder.layers.{i}"
        query, key, value = (linear(weights, f"{layer}.self_attn.{p}_proj", x).unflatten(-1, (12, 64)).transpose(0, 1) for p in "qkv")
        attended = torch.softmax(query @ key.transpose(1, 2) / 8, dim=-1) @ value
        mixed = linear(weights, f"{layer}.self_attn.out_proj", attended.transpose(0, 1).flatten(1))
        x = norm(f"{layer}.self_attn_layer_norm", x + mixed)
        x = norm(f"{layer}.final_layer_norm", x + linear(weights, f"{layer}.fc2", F.gelu(linear(weights, f"{layer}.fc1", x))))
    return x
