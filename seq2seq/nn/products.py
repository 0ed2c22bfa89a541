"""Matrix products of the time steps, with one product for the gradient of a matrix that all steps share.

Back-propagation through T steps computes T gradients of a shared matrix W and adds them up: ∂L/∂W = Σ_t g_tᵀ x_t.
Stacked along their rows they are one large product, [g_1; ..; g_T]ᵀ [x_1; ..; x_T], which runs nearer to the machine's
limit, writes W's size once and rounds once.

Shapes: m rows of a step, n rows of all steps, i input, o output.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WORTH_STACKING = 16
"""Smallest number of outputs for which stacking is faster."""

_shared: "ContextVar[dict[Any, tuple[Tensor, Tensor, _Shared]] | None]" = ContextVar("shared", default=None)
"""For each matrix in use: the matrix, the gate its steps depend on, and what they share."""


@contextmanager
def shared_gradients() -> Iterator[None]:
    """A context in which `linear` computes each matrix's gradient in one product; results differ by rounding."""
    token = _shared.set({} if torch.is_grad_enabled() else None)
    try:
        yield
    finally:
        _shared.reset(token)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b: x [.. m i], weight [o i], bias [o] -> [.. m o], in autocast's precision.

    A weight [.. o i] has one matrix per batch item; such small products stay in the weight's own precision, since
    converting would cost more than it saves.
    """
    shared = None if torch.compiler.is_compiling() else _shared.get()
    if shared is None or (weight.dim() == 2 and len(weight) < _WORTH_STACKING):
        return _product(x, weight, bias)
    key = _place(weight), None if bias is None else _place(bias)
    if key not in shared:
        matrix = _Shared(weight, bias)
        gate = _Gradient.apply(weight, bias, matrix)  # type: ignore[no-untyped-call]
        shared[key] = weight, gate, matrix  # keeping the weight, so that nothing else takes its place in memory
    _, gate, matrix = shared[key]
    y: Tensor = _Step.apply(x.to(matrix.weight.dtype), gate, matrix)  # type: ignore[no-untyped-call]
    return y


class StepLinear(nn.Linear):
    """`torch.nn.Linear` for use within time steps."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    with without_autocast(weight.device.type):
        return x.to(weight.dtype) @ weight.transpose(-1, -2)


def without_autocast(device: str) -> AbstractContextManager[object]:
    """Switch autocast off on this kind of device; free where it is off already."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def precision_of_products(x: Tensor) -> torch.dtype:
    """The precision of x in a matrix product: autocast's, where that is on and x is not float64, or its own."""
    device = x.device.type
    casts = torch.is_autocast_enabled(device) and x.dtype is not torch.float64
    return torch.get_autocast_dtype(device) if casts else x.dtype


def _place(x: Tensor) -> tuple[object, ...]:
    """A key that is equal for two views of the same memory."""
    return x.untyped_storage().data_ptr(), x.storage_offset(), x.shape, x.stride()


class _Shared:
    """A matrix, its bias, and what backward records here for their gradients."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        precision = precision_of_products(weight) if weight.dim() == 2 else weight.dtype
        self.weight = weight.detach().to(precision)
        self.bias = None if bias is None else bias.detach().to(precision)
        self.steps = 0
        self.records: dict[int, tuple[Tensor, Tensor]] = {}
        """Per step, (x, dL/dy) recorded by backward; a second backward overwrites it."""


class _Step(torch.autograd.Function):
    """y = x Wᵀ + b. Backward returns the gradient of x alone, and records x and dL/dy for `_Gradient`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, matrix: _Shared) -> Tensor:
        if ctx.needs_input_grad[1]:  # otherwise the matrix and its bias are frozen
            ctx.save_for_backward(x)
        ctx.matrix, ctx.number = matrix, matrix.steps
        matrix.steps += 1
        return _product(x, matrix.weight, matrix.bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, None, None]:
        (gradient,) = grad_outputs
        matrix: _Shared = ctx.matrix
        if ctx.needs_input_grad[1]:
            (x,) = ctx.saved_tensors
            matrix.records[ctx.number] = x, gradient
        return gradient @ matrix.weight if ctx.needs_input_grad[0] else None, None, None


class _Gradient(torch.autograd.Function):
    """The gate that every step depends on, so that its backward runs when all steps are done."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, matrix: _Shared) -> Tensor:
        ctx.matrix, ctx.dtype = matrix, weight.dtype
        ctx.set_materialize_grads(False)
        return weight.new_empty(0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        matrix: _Shared = ctx.matrix
        inputs, gradients = (_stacked(steps, matrix.weight) for steps in zip(*matrix.records.values(), strict=True))
        matrix.records.clear()  # inputs [.. n i], gradients [.. n o]
        bias = gradients.sum(0, dtype=ctx.dtype) if ctx.needs_input_grad[1] else None
        weight = (gradients.transpose(-1, -2) @ inputs).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        return weight, bias, None


def _stacked(steps: Sequence[Tensor], weight: Tensor) -> Tensor:
    """Stack the rows of all steps."""
    return torch.cat([step.flatten(0, -2) for step in steps] if weight.dim() == 2 else list(steps), -2)
