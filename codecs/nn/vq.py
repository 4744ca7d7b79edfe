"""Vector quantisers: factorised VQ under both families of released tensor names, and residual VQ with codebook dropout.

Factorised VQ (Yu et al. 2022; DAC, Kumar et al. 2023, section 3.2): the vector is projected to a few dimensions, looked up there by
cosine, and the raw codebook row is projected back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.codecs.nn.conv import WNConv1d, WNPointwise

# Frames compared with a codebook at once: bounds the distance table at 128 MiB for 8192 entries, whatever the audio's length.
FRAMES_PER_LOOKUP = 4096


@dataclass(frozen=True)
class Quantised:
    """What a quantiser makes of float32 [B, D, F].

    features         float32 [B, D, F], dequantised; gradients pass straight through to the input
    tokens           int64 [B, N_q, F]
    commitment_loss  float32 [B], mean square, pulls the encoder to the codebook; summed over the codebooks in use; unweighted
    codebook_loss    float32 [B], likewise, pulls the codebook to the encoder
    """

    features: Tensor
    tokens: Tensor
    commitment_loss: Tensor
    codebook_loss: Tensor


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """int64 [N]: for each row of `vectors` [N, d] the row of `codebook` [V, d] nearest in direction."""
    with torch.autocast(vectors.device.type, enabled=False):  # a half-precision product would flip close calls
        codebook = F.normalize(codebook.float())
        lengths = codebook.square().sum(1)
        found = []
        for chunk in F.normalize(vectors.float()).split(FRAMES_PER_LOOKUP):
            # lengths are 1 but for rounding; the full distance is kept so that close calls fall as in the released codecs
            distance = chunk.square().sum(1, keepdim=True) - 2 * chunk @ codebook.T + lengths
            found.append(distance.argmin(1))
        return torch.cat(found)


class _Factorised(nn.Module):
    """The algorithm; the subclasses give `in_proj`, `out_proj` and the codebook the names and shapes of released files."""

    in_proj: nn.Module  # [B, D, F] -> [B, d, F]
    out_proj: nn.Module  # [B, d, F] -> [B, D, F]

    def codewords(self) -> Tensor:
        """float32 [V, d]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Quantised:
        """Quantises `x` float32 [B, D, F]; tokens are [B, 1, F]."""
        projected = self.in_proj(x)
        tokens = nearest(projected.detach().mT.flatten(0, 1), self.codewords().detach()).view(x.shape[0], 1, x.shape[2])
        codes = self._rows(tokens)
        # e + (c - e) rather than c: its rounding enters the next stage's residual, so released tokens need it at inference too
        straight_through = projected + (codes - projected).detach()
        return Quantised(
            features=self.out_proj(straight_through),
            tokens=tokens,
            commitment_loss=(projected - codes.detach()).square().mean((1, 2)),
            codebook_loss=(codes - projected.detach()).square().mean((1, 2)),
        )

    def decode(self, tokens: Tensor) -> Tensor:
        """float32 [B, D, F] of `tokens` int64 [B, 1, F]."""
        return self.out_proj(self._rows(tokens))

    def _rows(self, tokens: Tensor) -> Tensor:
        """Raw codebook rows, float32 [B, d, F]."""
        return F.embedding(tokens[:, 0], self.codewords()).mT


class FactorizedVQ(_Factorised):
    """Factorised VQ as DAC stores it: projections are 1x1 convolutions.

    dim  D, width of the input; codebook_dim  d, width of the lookup
    """

    def __init__(self, dim: int, codebook_size: int = 1024, codebook_dim: int = 8) -> None:
        super().__init__()
        self.in_proj = WNConv1d(dim, codebook_dim, 1)
        self.out_proj = WNConv1d(codebook_dim, dim, 1)
        self.codebook = nn.Embedding(codebook_size, codebook_dim)

    def codewords(self) -> Tensor:
        return self.codebook.weight

    @torch.no_grad()
    def align(self, vectors: Tensor, scale: float) -> None:
        """Projects onto the principal directions of `vectors` [N, D] divided by `scale`, and back; the codebook gets their variances.

        Small directions are not blown up: what grows in them as an encoder trains would run away from the codebook.
        """
        mean = vectors.mean(0)
        _, values, directions = torch.linalg.svd(vectors - mean, full_matrices=False)
        directions = directions[: self.codebook.embedding_dim]
        self.in_proj.load_state_dict(_pointwise(directions / scale, -directions @ mean / scale))
        self.out_proj.load_state_dict(_pointwise(directions.T * scale, mean))
        deviations = values[: len(directions)] / (len(vectors) ** 0.5 * scale)
        self.codebook.weight.copy_(self.codebook.weight / self.codebook.weight.std() * deviations)


def _pointwise(weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The state of a WNConv1d that is `weight` [C_out, C_in]."""
    return {"weight_v": weight[..., None], "weight_g": weight.norm(dim=1)[:, None, None], "bias": bias}


class LinearFactorizedVQ(_Factorised):
    """Factorised VQ as BigCodec and CodecSlime store it: projections are linear layers, the codebook is called `_codebook`."""

    def __init__(self, dim: int, codebook_size: int = 8192, codebook_dim: int = 8) -> None:
        super().__init__()
        self.in_proj = WNPointwise(dim, codebook_dim)
        self.out_proj = WNPointwise(codebook_dim, dim)
        self._codebook = nn.Embedding(codebook_size, codebook_dim)

    def codewords(self) -> Tensor:
        return self._codebook.weight


class ResidualVQ(nn.Module):
    """N_q factorised quantisers, each of what the ones before left over (DAC); the first n tokens are the tokens at n codebooks."""

    def __init__(self, dim: int, n_q: int, codebook_size: int = 1024, codebook_dim: int = 8) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(FactorizedVQ(dim, codebook_size, codebook_dim) for _ in range(n_q))

    def forward(self, x: Tensor, n_q: int | Tensor | None = None) -> Quantised:
        """Quantises `x` float32 [B, D, F] with the first `n_q` codebooks (0 gives zeros; None: all).

        n_q     an int; or int64 [B], one count per item (codebook dropout, `sample_n_q`): tokens then hold max(n_q) rows, and an item's
                rows from its own count on enter neither its features nor its losses
        """
        if n_q is None:
            n_q = len(self.quantizers)
        counts = n_q.to(x.device) if isinstance(n_q, Tensor) else torch.full((x.shape[0],), n_q, device=x.device)
        stages = int(counts.max())
        if not 0 <= stages <= len(self.quantizers):
            raise ValueError(f"n_q {stages} outside 0..{len(self.quantizers)}")

        residual, features = x, torch.zeros_like(x)
        tokens = torch.zeros((x.shape[0], stages, x.shape[2]), dtype=torch.int64, device=x.device)
        commitment = codebook = torch.zeros(x.shape[0], device=x.device)
        for stage in range(stages):
            found = self.quantizers[stage](residual)
            used = (stage < counts).to(x.dtype)
            features = features + found.features * used[:, None, None]
            residual = residual - found.features
            tokens[:, stage] = found.tokens[:, 0]
            commitment = commitment + found.commitment_loss * used
            codebook = codebook + found.codebook_loss * used
        return Quantised(features, tokens, commitment, codebook)

    @torch.no_grad()
    def align(self, x: Tensor) -> None:
        """Fits every stage's projections to what the stages before it leave over of `x` [B, D, F]: a start for a training."""
        residual = x.float()
        scale = float(residual.mT.flatten(0, 1).std(0).mean())
        for quantizer in self.quantizers:
            quantizer.align(residual.mT.flatten(0, 1), scale)  # type: ignore[operator]
            residual = residual - quantizer(residual).features

    def decode(self, tokens: Tensor) -> Tensor:
        """float32 [B, D, F] of `tokens` int64 [B, n, F], n in 1..N_q: the sum over the first n codebooks."""
        features = self.quantizers[0].decode(tokens[:, :1])  # type: ignore[operator]
        for q in range(1, tokens.shape[1]):
            features = features + self.quantizers[q].decode(tokens[:, q : q + 1])  # type: ignore[operator]
        return features


def sample_n_q(batch_size: int, n_q: int, dropout: float, random: np.random.Generator) -> Tensor:
    """Codebooks in use per item of a training batch, int64 [batch_size] on the CPU: codebook dropout (DAC, section 3.2).

    dropout  probability that an item gets a count drawn uniformly from 1..n_q; the others get all of them
    """
    counts = torch.full((batch_size,), n_q)
    dropped = random.random(batch_size) < dropout
    counts[torch.from_numpy(dropped)] = torch.from_numpy(random.integers(1, n_q + 1, int(dropped.sum())))
    return counts
