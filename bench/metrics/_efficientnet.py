"""EfficientNetV2-S (Tan and Le 2021) up to its last feature map, with TensorFlow's padding, under the tensor names of `timm`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 1280
_STEM = 24
# kind of block, how many, stride of the first, expansion, channels
_STAGES = (
    ("plain", 2, 1, 1, 24),
    ("fused", 4, 2, 4, 48),
    ("fused", 4, 2, 4, 64),
    ("separable", 6, 2, 4, 128),
    ("separable", 9, 1, 6, 160),
    ("separable", 15, 2, 6, 256),
)


class EfficientNet(nn.Module):
    """[B, 3, H, W] to [B, FEATURES, H / 32, W / 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _Conv(3, _STEM, 3, stride=2)
        self.bn1 = _norm(_STEM)
        stages, width = [], _STEM
        for kind, count, stride, expansion, channels in _STAGES:
            blocks = []
            for number in range(count):
                blocks.append(_KINDS[kind](width, channels, stride if number == 0 else 1, expansion))
                width = channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = _Conv(width, FEATURES, 1)
        self.bn2 = _norm(FEATURES)

    def forward(self, image: Tensor) -> Tensor:
        x = self.blocks(F.silu(self.bn1(self.conv_stem(image))))
        return F.silu(self.bn2(self.conv_head(x)))


class _Conv(nn.Conv2d):
    """Without a bias; an odd number of padded rows or columns has the larger half at the end, as in TensorFlow."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        rows, columns = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:])
        return super().forward(F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class _Block(nn.Module):
    """Adds its input where the shape stays."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels

    def transform(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return x + self.transform(x) if self.residual else self.transform(x)


class _Plain(_Block):
    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.conv = _Conv(in_channels, out_channels, 3, stride)
        self.bn1 = _norm(out_channels)

    def transform(self, x: Tensor) -> Tensor:
        return F.silu(self.bn1(self.conv(x)))


class _Fused(_Block):
    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.conv_exp = _Conv(in_channels, in_channels * expansion, 3, stride)
        self.bn1 = _norm(in_channels * expansion)
        self.conv_pwl = _Conv(in_channels * expansion, out_channels, 1)
        self.bn2 = _norm(out_channels)

    def transform(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv_pwl(F.silu(self.bn1(self.conv_exp(x)))))


class _SqueezeExcite(nn.Module):
    """Scales each channel by a gate that is computed from the means of all."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.conv_expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_expand(F.silu(self.conv_reduce(x.mean((2, 3), keepdim=True)))).sigmoid()


class _Separable(_Block):
    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__(in_channels, out_channels, stride)
        width = in_channels * expansion
        self.conv_pw = _Conv(in_channels, width, 1)
        self.bn1 = _norm(width)
        self.conv_dw = _Conv(width, width, 3, stride, groups=width)
        self.bn2 = _norm(width)
        self.se = _SqueezeExcite(width, in_channels // 4)
        self.conv_pwl = _Conv(width, out_channels, 1)
        self.bn3 = _norm(out_channels)

    def transform(self, x: Tensor) -> Tensor:
        x = F.silu(self.bn2(self.conv_dw(F.silu(self.bn1(self.conv_pw(x))))))
        return self.bn3(self.conv_pwl(self.se(x)))


_KINDS: dict[str, type[_Plain] | type[_Fused] | type[_Separable]] = {"plain": _Plain, "fused": _Fused, "separable": _Separable}
