"""Matrix products of the time steps, and one product for the gradient of what all steps multiply with.

Back-propagation through T steps gives a matrix W that each step multiplies with T gradients and adds them up:
∂L/∂W = Σ_t g_tᵀ x_t. Stacked along their rows that is one large product, [g_1; ..; g_T]ᵀ [x_1; ..; x_T], which runs
nearer to the machine's limit, writes W's size once and rounds once.

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
"""Outputs from which on stacking pays."""

_shared: "ContextVar[dict[Any, tuple[Tensor, Tensor, _Shared]] | None]" = ContextVar("shared", default=None)
"""Of each matrix in use: itself, the result that its steps depend on, and what they share."""


@contextmanager
def shared_gradients() -> Iterator[None]:
    """Within it, `linear` leaves the gradient of each of its matrices to one product; results differ by rounding."""
    token = _shared.set({} if torch.is_grad_enabled() else None)
    try:
        yield
    finally:
        _shared.reset(token)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b: x [.. m i], weight [o i], bias [o] -> [.. m o], in autocast's precision.

    Or with a matrix for each batch item, weight [.. o i], in that weight's own precision: so small a product would
    lose more in conversions than it gains.
    """
    shared = _shared.get()
    if shared is None or (weight.dim() == 2 and len(weight) < _WORTH_STACKING):
        return _product(x, weight, bias)
    key = _place(weight), None if bias is None else _place(bias)
    if key not in shared:
        of = _Shared(weight, bias)
        gate = _Gradient.apply(weight, bias, of)  # type: ignore[no-untyped-call]
        shared[key] = weight, gate, of  # with the weight, so that nothing else can take its place in memory
    _, gate, of = shared[key]
    y: Tensor = _Step.apply(x.to(of.weight.dtype), gate, of)  # type: ignore[no-untyped-call]
    return y


class StepLinear(nn.Linear):
    """`torch.nn.Linear` for use within a time step."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    with without_autocast(weight.device.type):
        return x.to(weight.dtype) @ weight.transpose(-1, -2)


def without_autocast(device: str) -> AbstractContextManager[object]:
    """A context of this kind of device; where nothing is cast anyway, one that costs nothing."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _place(x: Tensor) -> tuple[object, ...]:
    """Equal for two views of the same memory."""
    return x.untyped_storage().data_ptr(), x.storage_offset(), x.shape, x.stride()


class _Shared:
    """A matrix, its bias, and what backward leaves here for their gradients."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        device = weight.device.type
        cast = weight.dim() == 2 and torch.is_autocast_enabled(device)
        precision = torch.get_autocast_dtype(device) if cast else weight.dtype
        self.weight = weight.detach().to(precision)
        self.bias = None if bias is None else bias.detach().to(precision)
        self.steps = 0
        self.left: dict[int, tuple[Tensor, Tensor]] = {}
        """Of each step that backward has seen, x and the gradient of y; seen again, it replaces what it left."""


class _Step(torch.autograd.Function):
    """y = x Wᵀ + b; backward gives the gradient of x alone, and leaves x and the gradient of y for `_Gradient`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, of: _Shared) -> Tensor:
        if ctx.needs_input_grad[1]:  # else the matrix and its bias are fixed
            ctx.save_for_backward(x)
        ctx.of, ctx.number = of, of.steps
        of.steps += 1
        return _product(x, of.weight, of.bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, None, None]:
        (gradient,) = grad_outputs
        of: _Shared = ctx.of
        if ctx.needs_input_grad[1]:
            (x,) = ctx.saved_tensors
            of.left[ctx.number] = x, gradient
        return gradient @ of.weight if ctx.needs_input_grad[0] else None, None, None


class _Gradient(torch.autograd.Function):
    """Every step depends on its result, so backward comes to it when all steps are done."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, of: _Shared) -> Tensor:
        ctx.of, ctx.dtype = of, weight.dtype
        ctx.set_materialize_grads(False)
        return weight.new_empty(0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        of: _Shared = ctx.of
        inputs, gradients = (_stacked(steps, of.weight) for steps in zip(*of.left.values(), strict=True))
        of.left.clear()  # inputs [.. n i], gradients [.. n o]
        bias = gradients.sum(0, dtype=ctx.dtype) if ctx.needs_input_grad[1] else None
        weight = (gradients.transpose(-1, -2) @ inputs).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        return weight, bias, None


def _stacked(steps: Sequence[Tensor], weight: Tensor) -> Tensor:
    """The steps' rows, one below the other."""
    return torch.cat([step.flatten(0, -2) for step in steps] if weight.dim() == 2 else list(steps), -2)
