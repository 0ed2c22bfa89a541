"""Encodings of positions, for layers that do not know the order of what they read. One class per row of the table.

Positions count from 0. Shapes: b batch, h heads, t positions, e embedding, d size of a head.
"""

import torch
from torch import Tensor, nn

_LONGEST = 10_000.0
"""Ratio of the longest wavelength to the shortest, 2π."""


class Sinusoidal(nn.Module):
    """x + p, with p_{2i} = sin(pos / 10000^{2i/e}) and p_{2i+1} = cos of the same (Vaswani 2017, section 3.5)."""

    def forward(self, embedded: Tensor, positions: Tensor) -> Tensor:
        """embedded [b t e], positions [b t] or [t] -> [b t e]."""
        angle = angles(positions, embedded)  # [.. t e/2]
        waves = torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[..., : embedded.size(-1)]
        return embedded + waves.to(embedded.dtype)


class Learned(nn.Module):
    """x + p with a learned vector p for each of `max_length` positions; later ones share the last (Gehring 2017)."""

    def __init__(self, max_length: int, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(max_length, size)
        nn.init.normal_(self.embedding.weight, std=size**-0.5)

    def forward(self, embedded: Tensor, positions: Tensor) -> Tensor:
        """embedded [b t e], positions [b t] or [t] -> [b t e]."""
        vectors: Tensor = self.embedding(positions.clamp(max=self.embedding.num_embeddings - 1))
        return embedded + vectors


class Rotary(nn.Module):
    """Turns each pair (x_i, x_{i+d/2}) by the angle pos / 10000^{2i/d} (Su 2021, eq. 34, of neighbours in the paper).

    The product of a query and a key then depends on the distance of their positions.
    """

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """x [b h t d], d even; positions broadcast to [b h t] -> [b h t d]."""
        angle = angles(positions, x)  # [.. t d/2]
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def angles(positions: Tensor, like: Tensor) -> Tensor:
    """positions [..], a tensor [.. e] -> pos / 10000^{2i/e} for each 2i below e [.. e/2], in fp32 at least."""
    precision = torch.promote_types(like.dtype, torch.float32)
    exponent = torch.arange(0, like.size(-1), 2, device=positions.device, dtype=precision) / like.size(-1)
    return positions[..., None] * _LONGEST**-exponent
