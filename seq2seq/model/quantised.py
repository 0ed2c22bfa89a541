"""Copies of a model, for decoding, whose matrix products use fewer bits.

With few rows of activations a product takes as long as reading its weights. What lies between the products (gates,
attention, softmax) keeps its precision, and so do products with a single vector.

Shapes: n any rows, i input, o output, u some outputs, b batch, t time, g gates, d hidden.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.score import HeadLinear
from seq2seq.errors import ConfigError
from seq2seq.model.recurrent.layers import GRU, LSTM, LayerState, Recurrent
from seq2seq.model.translation import Output, TranslationModel

_TINY = 1e-30
"""Replaces the largest element of a row of zeros."""
_ZERO = 128
"""The unsigned byte that stands for 0"""
LEAST_BYTES = 1 << 18
"""Number of weights from which int8 is faster: with fewer, rounding takes longer than reading them in fp32."""


class Bf16Product(nn.Module):
    """x Wᵀ + b with W, b and x rounded to bf16; the result, rounded too, has x's own type."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight [o i], bias [o]."""
        super().__init__()
        self.weight = weight.detach().bfloat16()
        self.bias = None if bias is None else bias.detach().bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """x [.. i] -> [.. o]"""
        rows = x.reshape(-1, x.size(-1)).bfloat16()  # with other shapes torch may run a product per batch item
        return F.linear(rows, self.weight, self.bias).to(x.dtype).view(*x.shape[:-1], -1)

    def restricted_to(self, outputs: Tensor) -> "Bf16Product":
        """The product for these outputs [u] alone."""
        part = copy.copy(self)
        part.weight, part.bias = self.weight[outputs], None if self.bias is None else self.bias[outputs]
        return part


class Int8Product(nn.Module):
    """y_no = s_n c_o Σ_i X_ni W_oi + b_o, with X and W signed bytes and an exact sum.

    c_o = max_i |w_oi| / m is the scale of an output, computed once. s_n = max_i |x_ni| / 127 is the scale of a row,
    computed each time, so that a row's result does not depend on the rows beside it. m is 127 or 63: see
    `largest_weight`.
    |y − (x Wᵀ + b)| ≤ (c_o Σ_i |x_ni| + s_n Σ_i |w_oi|)/2 + i s_n c_o/4, and roundings of y.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight [o i], bias [o]."""
        super().__init__()
        weight, most = weight.detach(), largest_weight()
        largest = _largest(weight)
        rounded = torch.div(weight, largest / most).round_().to(torch.int8)
        self.most, self.middle = weight.new_tensor(127), weight.new_tensor(_ZERO + 0.5)
        self.weight = _by_columns(rounded)
        self.scale = largest.squeeze(1) / (most * 127)
        self.packed = _pack(rounded, self.scale.float()) if _can_pack() else None
        self.bias = largest.new_zeros(len(weight)) if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """x [.. i] -> [.. o]"""
        rows = x.reshape(-1, x.size(-1))
        largest = _largest(rows)
        # Contiguous: `to` alone may keep strides of x that `_int_mm` would misread.
        bytes_ = torch.addcmul(self.middle, rows, self.most / largest).to(
            torch.uint8, memory_format=torch.contiguous_format
        )
        if self.packed is None:
            sums = torch._int_mm(bytes_.bitwise_xor_(_ZERO).view(torch.int8), self.weight)  # [n o]
            scaled = sums.to(x.dtype).mul_(self.scale)
        else:
            scaled = self.packed(bytes_).to(x.dtype)
        # In place: for the whole vocabulary, a second matrix of this size would not fit into the cache.
        return scaled.mul_(largest).add_(self.bias).view(*x.shape[:-1], -1)

    def restricted_to(self, outputs: Tensor) -> "Int8Product":
        """The product for these outputs [u] alone, for too short a time to pack their weights."""
        part = copy.copy(self)
        part.weight, part.packed = _by_columns(self.weight.T[outputs]), None
        part.scale, part.bias = self.scale[outputs], self.bias[outputs]
        return part


def _largest(x: Tensor) -> Tensor:
    """x [n i] -> the size of each row's largest element [n 1]."""
    return x.abs().amax(-1, keepdim=True).clamp_(min=_TINY)


def _by_columns(weight: Tensor) -> Tensor:
    """[o i] -> [i o] in the same memory, which is fast for few rows; `view` fixes the strides of a single column."""
    return weight.T if weight.size(1) > 1 else weight.view(1, -1)


def _pack(weight: Tensor, scale: Tensor) -> Callable[[Tensor], Tensor]:
    """Return c_o Σ_i (X_ni − 128) W_oi in fp32: of bytes X [n i], with W [o i], packed for oneDNN, and c [o]."""
    packed, zeros = torch.ops.onednn.qlinear_prepack(weight, None), torch.zeros(len(weight), dtype=torch.int32)
    product = torch.ops.onednn.qlinear_pointwise.default
    return lambda x: product(x, 1.0, _ZERO, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], "")


@functools.cache
def _can_pack() -> bool:
    """Whether torch has oneDNN's products of bytes here, and they are exact."""
    x, weight = torch.arange(64, dtype=torch.uint8).repeat(3, 1) * 4, torch.full((5, 64), largest_weight()).char()
    try:
        scale = torch.full((len(weight),), 0.1)
        return torch.equal(_pack(weight, scale)(x), (x.float() - _ZERO) @ weight.float().T * scale)
    except (AttributeError, RuntimeError):
        return False


@functools.cache
def largest_weight() -> int:
    """127; on CPUs that add two products of bytes in 16 bits (those without VNNI) 63, since larger ones saturate."""
    bytes_ = torch.full((16, 64), 127, dtype=torch.int8)
    return 127 if (torch._int_mm(bytes_, bytes_.T) == 127 * 127 * 64).all() else 63


Product = type[Bf16Product] | type[Int8Product]

_PRODUCTS: dict[str, Product] = {"bf16": Bf16Product, "int8": Int8Product}


class _QuantisedLayer(Recurrent):
    """A recurrent layer whose products are modules. Whole sequences run step by step."""

    def __init__(self, layer: Recurrent, product: Product) -> None:
        nn.Module.__init__(self)
        for name, child in layer.named_children():
            setattr(self, name, child)
        self.from_input, self.from_state = (product(*matrix_and_bias) for matrix_and_bias in layer.products)

    def gates(self, x: Tensor) -> Tensor:
        return self.from_input(x)

    def recurrent_gates(self, h: Tensor) -> Tensor:
        return self.from_state(h)

    def fused(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        return self.step_by_step(x, state)


_LAYERS: dict[type, Any] = {
    kind: type(f"Quantised{kind.__name__}", (_QuantisedLayer, kind), {}) for kind in (GRU, LSTM)
}
"""Layer class -> its quantised subclass, which keeps its `step`."""


class _QuantisedOutput(Output):
    def __init__(self, output: Output, product: Product) -> None:
        nn.Module.__init__(self)
        self.tied_projection, self.weight, self.bias = output.tied_projection, output.weight, output.bias
        self.projection = product(output.weight, output.bias)

    def logits(self, features: Tensor) -> Tensor:
        return self.projection(features)

    def restricted_to(self, tokens: Tensor) -> Callable[[Tensor], Tensor]:
        return self.projection.restricted_to(tokens)


def quantise(model: TranslationModel, precision: str) -> TranslationModel:
    """Copy a model with products in this precision; other weights are shared. For fp32 return the model itself.

    Raises ConfigError for int8 on a device other than a CPU.
    """
    if precision == "fp32":
        return model
    check_quantisation(precision, model.output.bias.device)
    twin = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    _quantise_parts(twin, _PRODUCTS[precision])
    return twin.eval()


def check_quantisation(precision: str, device: torch.device) -> None:
    """Raise ConfigError for int8 on a device other than a CPU."""
    if precision == "int8" and device.type != "cpu":
        raise ConfigError(
            f"precision=int8 and device={device.type}: int8 needs a CPU. Use precision=bf16, or device=cpu."
        )


def _quantise_parts(module: nn.Module, product: Product) -> None:
    for name, child in module.named_children():
        setattr(module, name, child := _replacement(child, product))
        _quantise_parts(child, product)


def _replacement(module: nn.Module, product: Product) -> nn.Module:
    match module:
        case nn.Linear() if module.out_features > 1 and _pays(product, module.weight):
            return product(module.weight, module.bias)
        case HeadLinear() if len(module.weight) == 1 < module.weight.size(1) and _pays(product, module.weight):
            return product(module.weight[0], None if module.bias is None else module.bias[0])
        # The product with the state counts: in fp32, that with the input runs for a whole sequence at once.
        case Recurrent() if type(module) in _LAYERS and _pays(product, module.products[1][0]):
            layer: nn.Module = _LAYERS[type(module)](module, product)
            return layer
        case Output() if _pays(product, module.weight):
            return _QuantisedOutput(module, product)
    return module


def _pays(product: Product, weight: Tensor) -> bool:
    return product is not Int8Product or weight.numel() >= LEAST_BYTES


class QuantisedModels:
    """The copies of a model made so far; each is remade when the model's weights have changed."""

    def __init__(self, model: TranslationModel) -> None:
        self.model = model
        self._made: dict[str, tuple[list[int], TranslationModel]] = {}

    def of_view(self, model: TranslationModel) -> Self:
        """Return the same copies for a model that shares the weights of this one."""
        other = copy.copy(self)
        other.model = model
        return other

    def at(self, precision: str) -> TranslationModel:
        """`quantise` the model, or return the copy of an earlier call; it reads the model's own aligning layer."""
        if precision == "fp32":
            return self.model
        versions = [0 if weight.is_inference() else weight._version for weight in self.model.parameters()]
        before, made = self._made.get(precision, (None, self.model))
        if before != versions:
            made = quantise(self.model, precision)
            self._made[precision] = versions, made
        layer = self.model.decoder.alignment_layer
        if made.decoder.alignment_layer == layer:
            return made
        view = made.with_own_decoder()
        view.decoder.alignment_layer = layer
        return view
