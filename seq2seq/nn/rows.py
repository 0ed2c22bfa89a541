"""Choosing and reordering: rows of a batch, positions of each sequence."""

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def select(value: T, rows: Tensor) -> T:
    """Take these rows [n] of every tensor in a tensor, a tuple or a dataclass; rows may repeat or be left out.

    Whatever holds no tensor (None, flags, numbers) stays as it is.
    """
    chosen: Any = value
    if isinstance(value, Tensor):
        chosen = value[rows]
    elif isinstance(value, tuple):
        chosen = tuple(select(part, rows) for part in value)
    elif is_dataclass(value) and not isinstance(value, type):
        chosen = replace(value, **{field.name: select(getattr(value, field.name), rows) for field in fields(value)})
    return chosen


def reversal(lengths: Tensor, size: int) -> Tensor:
    """Positions that reverse each sequence and leave its padding in place: lengths [b] -> [b s]. Its own inverse."""
    positions = torch.arange(size, device=lengths.device)
    reversed_positions = lengths[:, None] - 1 - positions
    return torch.where(reversed_positions >= 0, reversed_positions, positions)


def reorder(x: Tensor, positions: Tensor) -> Tensor:
    """Gather x [b s ..] at these positions [b s]."""
    return x.gather(1, positions[..., None].expand_as(x))
