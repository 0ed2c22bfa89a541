"""vᵀ tanh(q + k) of every query with every key, a few sentences at a time.

The hidden layer is by far the largest tensor of an additive attention: kept for all steps it would take up most of a
training's memory. So it is recomputed for the gradient, which costs less than a fiftieth of the time.

Shapes: b batch, h heads, t target, s source, a size of the hidden layer, r some of the batch.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_HIDDEN = 1 << 18
"""Elements of the hidden layer computed at a time: few enough to stay in a core's cache."""


def tanh_energies(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    """Doubled queries [b h t a], doubled keys [b h s a], v [h 1 a] -> vᵀ tanh(q + k) [b h t s].

    tanh(x) = 2 σ(2x) − 1, and σ is several times faster on a CPU; digits lost near 0 would be lost in the sum anyway.
    """
    if not torch.is_grad_enabled():
        return _energies(query, keys, v)
    energies: Tensor = _TanhEnergies.apply(query, keys, v)  # type: ignore[no-untyped-call]
    return energies


def _energies(query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    parts = [_dot(_hidden(query[rows], keys[rows]), 2 * v) for rows in _rows(query, keys)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts)) - v.sum(-1, keepdim=True)


class _TanhEnergies(torch.autograd.Function):
    """With x the hidden layer's input, e = Σ_a v_a tanh(x_a/2): ∂e/∂x_a = 2 v_a σ(x_a)(1 − σ(x_a))."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(query, keys, v)
        return _energies(query, keys, v)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, keys, v = ctx.saved_tensors
        grad_query, grad_keys = torch.empty_like(query), torch.empty_like(keys)
        grad_v = -gradient.sum((0, 2, 3))[:, None, None].expand_as(v)
        for rows in _rows(query, keys):
            hidden = _hidden(query[rows], keys[rows])  # [r h t s a]
            grad_v = grad_v + 2 * _sum(gradient[rows], hidden)
            grad_hidden = gradient[rows][..., None] * (2 * v)[:, None]
            grad_input = torch.ops.aten.sigmoid_backward(grad_hidden, hidden)
            torch.sum(grad_input, 3, out=grad_query[rows])
            torch.sum(grad_input, 2, out=grad_keys[rows])
        return grad_query, grad_keys, grad_v


def _rows(query: Tensor, keys: Tensor) -> Iterator[slice]:
    """Split the batch into parts; their size matters on a CPU only."""
    if torch.compiler.is_exporting():  # a graph serves any number of sentences
        yield slice(None)
        return
    each = query.size(1) * query.size(2) * keys.size(2) * keys.size(3)
    size = max(_HIDDEN // max(each, 1), 1) if query.device.type == "cpu" else len(query)
    for start in range(0, len(query), size):
        yield slice(start, start + size)


def _hidden(query: Tensor, keys: Tensor) -> Tensor:
    """[r h t a], [r h s a] -> σ of all sums [r h t s a]"""
    return (query[:, :, :, None] + keys[:, :, None]).sigmoid_()


def _dot(hidden: Tensor, v: Tensor) -> Tensor:
    """[r h t s a], v [h 1 a] -> [r h t s]"""
    return hidden @ v[0, 0] if len(v) == 1 else torch.einsum("rhtsa,hza->rhts", hidden, v)


def _sum(gradient: Tensor, hidden: Tensor) -> Tensor:
    """gradient [r h t s], hidden [r h t s a] -> Σ gradient · hidden [h 1 a]"""
    if hidden.size(1) == 1:
        return torch.mv(hidden.flatten(0, 3).T, gradient.flatten())[None, None]
    return torch.einsum("rhts,rhtsa->ha", gradient, hidden)[:, None]
