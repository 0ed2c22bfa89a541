"""The best columns of many, found by blocks.

A maximum over a block of columns takes a fraction of the time of an arg max or of the k largest. So the blocks' maxima
are computed first, and then only the best blocks are searched. Of equal columns the first is taken.

Shapes: n rows, v columns, m blocks, w columns of a block.
"""

import torch
from torch import Tensor

_WIDTH = 64
_MANY = 1 << 17
"""Number of elements from which blocks are faster."""


def worth_blocking(x: Tensor) -> bool:
    """Whether blocks are faster: on a CPU, with many elements. Other devices would wait for each call."""
    return x.numel() >= _MANY and x.device.type == "cpu"


def block_maxima(x: Tensor) -> Tensor:
    """x [n v] -> the maximum of each block [n m]; the last block may be shorter."""
    whole = x.size(1) // _WIDTH
    blocks = x[:, : whole * _WIDTH].view(len(x), whole, _WIDTH).amax(-1)
    rest = x[:, whole * _WIDTH :]
    return torch.cat([blocks, rest.amax(-1, keepdim=True)], 1) if rest.size(1) else blocks


def within_blocks(x: Tensor, rows: Tensor, blocks: Tensor) -> tuple[Tensor, Tensor]:
    """x [n v], rows and their blocks [..] -> values and columns [.. w]; −∞ beyond the last column."""
    columns = blocks[..., None] * _WIDTH + torch.arange(_WIDTH, device=x.device)  # [.. w]
    inside = columns.clamp(max=x.size(1) - 1)
    values = x[rows[..., None], inside]
    return values.masked_fill(columns != inside, -torch.inf), inside


def largest(x: Tensor) -> tuple[Tensor, Tensor]:
    """x [n v] -> each row's maximum and its column, each [n]."""
    if not worth_blocking(x):
        return torch.max(x, -1)
    rows = torch.arange(len(x), device=x.device)
    values, columns = within_blocks(x, rows, block_maxima(x).argmax(-1))
    best, places = values.max(-1)
    return best, columns[rows, places]
