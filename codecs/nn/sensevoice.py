"""The encoder of SenseVoice-small (FunAudioLLM 2024): self-attention with a memory of the values (SAN-M); released tensor names."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Rows of the embedding table put before the audio: language "auto", event, emotion, and text "without inverse normalisation".
PROMPT = (0, 1, 2, 15)
NUM_PROMPTS = 16


class _SANM(nn.Module):
    """Multi-head attention plus a depthwise convolution over the values (the "memory")."""

    def __init__(self, in_width: int, width: int, num_heads: int, kernel_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.linear_q_k_v = nn.Linear(in_width, 3 * width)
        self.fsmn_block = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2, groups=width, bias=False)
        self.linear_out = nn.Linear(width, width)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        query, key, value = self.linear_q_k_v(x).chunk(3, dim=-1)
        known = value if valid is None else value * valid[..., None]
        memory = self.fsmn_block(known.mT).mT + known
        if valid is not None:
            memory = memory * valid[..., None]
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in (query, key, value))
        mask = None if valid is None else valid[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.linear_out(mixed.transpose(1, 2).flatten(-2)) + memory


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(F.relu(self.w_1(x)))


class _Block(nn.Module):
    def __init__(self, in_width: int, width: int, hidden: int, num_heads: int, kernel_size: int) -> None:
        super().__init__()
        self.changes_width = in_width != width
        self.norm1 = nn.LayerNorm(in_width)
        self.self_attn = _SANM(in_width, width, num_heads, kernel_size)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = _FeedForward(width, hidden)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        attended = self.self_attn(self.norm1(x), valid)
        x = attended if self.changes_width else x + attended
        return x + self.feed_forward(self.norm2(x))


class _Encoder(nn.Module):
    def __init__(
        self, in_width: int, width: int, hidden: int, num_heads: int, num_blocks: int, num_tp_blocks: int, kernel_size: int
    ) -> None:
        super().__init__()
        self.encoders0 = nn.ModuleList([_Block(in_width, width, hidden, num_heads, kernel_size)])
        self.encoders = nn.ModuleList(_Block(width, width, hidden, num_heads, kernel_size) for _ in range(num_blocks - 1))
        self.after_norm = nn.LayerNorm(width)
        self.tp_encoders = nn.ModuleList(_Block(width, width, hidden, num_heads, kernel_size) for _ in range(num_tp_blocks))
        self.tp_norm = nn.LayerNorm(width)


class _CTC(nn.Module):
    def __init__(self, width: int, vocabulary_size: int) -> None:
        super().__init__()
        self.ctc_lo = nn.Linear(width, vocabulary_size)


class SenseVoice(nn.Module):
    """Front-end features float32 [B, F, in_width] to the hidden state of the last block before the "tp" blocks, [B, F, width].

    The defaults are SenseVoice-small's. `logits` goes on through the tp blocks to CTC logits; a codec stops before them.
    """

    def __init__(
        self,
        in_width: int = 560,
        width: int = 512,
        hidden: int = 2048,
        num_heads: int = 4,
        num_blocks: int = 50,
        num_tp_blocks: int = 20,
        vocabulary_size: int = 25055,
        kernel_size: int = 11,
    ) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Embedding(NUM_PROMPTS, in_width)
        self.encoder = _Encoder(in_width, width, hidden, num_heads, num_blocks, num_tp_blocks, kernel_size)
        self.ctc = _CTC(width, vocabulary_size)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """lengths   int64 [B], frames of each item; None: all of them"""
        return self._hidden(features, self._valid(features, lengths))[:, len(PROMPT) :]

    def logits(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """CTC logits float32 [B, F, vocabulary_size]; the blank is 0."""
        valid = self._valid(features, lengths)
        x = self._hidden(features, valid)
        for block in self.encoder.tp_encoders:
            x = block(x, valid)
        return self.ctc.ctc_lo(self.encoder.tp_norm(x))[:, len(PROMPT) :]

    def _hidden(self, features: Tensor, valid: Tensor | None) -> Tensor:
        """Prompts included: float32 [B, len(PROMPT) + F, width]."""
        prompt = self.embed.weight[list(PROMPT)].expand(len(features), -1, -1)
        x = torch.cat([prompt, features], dim=1) * math.sqrt(self.width)
        x = x + sinusoids(x.shape[1], x.shape[2], x.device)
        for block in (*self.encoder.encoders0, *self.encoder.encoders):
            x = block(x, valid)
        return self.encoder.after_norm(x)

    @staticmethod
    def _valid(features: Tensor, lengths: Tensor | None) -> Tensor | None:
        if lengths is None:
            return None
        return torch.arange(len(PROMPT) + features.shape[1], device=features.device) < lengths[:, None] + len(PROMPT)


def sinusoids(num_positions: int, width: int, device: torch.device) -> Tensor:
    """Position codes float32 [num_positions, width], sines then cosines; the first position is 1."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / (half - 1)))
    angles = torch.arange(1, num_positions + 1, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
