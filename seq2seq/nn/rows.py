"""Choosing and reordering: rows of a batch, positions of each sequence."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def map_tensors(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """Change every tensor in a tensor, a tuple or a dataclass, in order.

    Whatever holds no tensor (None, flags, numbers) stays as it is.
    """
    changed: Any = value
    if isinstance(value, Tensor):
        changed = change(value)
    elif isinstance(value, tuple):
        changed = tuple(map_tensors(part, change) for part in value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: map_tensors(getattr(value, field.name), change) for field in fields(value)}
        changed = replace(value, **parts)
    return changed


def select(value: T, rows: Tensor) -> T:
    """Take these rows [n] of every tensor in a value, as `map_tensors` finds them; rows may repeat or be left out."""
    return map_tensors(value, lambda tensor: _take(tensor, rows))


def _take(tensor: Tensor, rows: Tensor) -> Tensor:
    """Take rows by the fastest operation whose gradient is deterministic."""
    repeatable = tensor.device.type == "cpu" or not (tensor.requires_grad and torch.is_grad_enabled())
    return tensor.index_select(0, rows) if repeatable else tensor[rows]


def reversal(lengths: Tensor, size: int) -> Tensor:
    """Positions that reverse each sequence and leave its padding in place: lengths [b] -> [b s]. Its own inverse."""
    positions = torch.arange(size, device=lengths.device)
    reversed_positions = lengths[:, None] - 1 - positions
    return torch.where(reversed_positions >= 0, reversed_positions, positions)


def reorder(x: Tensor, positions: Tensor) -> Tensor:
    """Gather x [b s ..] at these positions [b s]."""
    return x.gather(1, positions[..., None].expand_as(x))
