"""The ConvNeXt block on [B, C, F], under the tensor names of FlexiCodec and DualCodec."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvNeXtBlock(nn.Module):
    """x + W2 gelu(W1 norm(depthwise convolution of 7)): no layer scale, unlike the block of codecs/nn/spectral.py."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, hidden)
        self.pwconv2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pwconv2(F.gelu(self.pwconv1(self.norm(self.dwconv(x).mT)))).mT
