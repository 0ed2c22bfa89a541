"""Copies of a model for decoding whose matrix products take fewer bits.

For a few rows of activations a product takes as long as its weights take to be read. What lies between the products
(gates, attention, softmax) stays as it is, and so do products with a single vector.

Shapes: n any rows, i input, o output, u some outputs, b batch, t time, g gates, d hidden.
"""

import copy
import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.score import HeadLinear
from seq2seq.errors import ConfigError
from seq2seq.model.recurrent.layers import GRU, LSTM, LayerState, Recurrent
from seq2seq.model.translation import Output, TranslationModel

_TINY = 1e-30
"""Instead of the largest element of a row of zeros."""


class Bf16Product(nn.Module):
    """x Wᵀ + b with W, b and x rounded to bf16; the result, rounded too, comes in x's own type."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight [o i], bias [o]."""
        super().__init__()
        self.weight = weight.detach().bfloat16()
        self.bias = None if bias is None else bias.detach().bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        """x [.. i] -> [.. o]"""
        rows = x.reshape(-1, x.size(-1)).bfloat16()  # of other shapes torch may make a product for each batch item
        return F.linear(rows, self.weight, self.bias).to(x.dtype).view(*x.shape[:-1], -1)

    def restricted_to(self, outputs: Tensor) -> "Bf16Product":
        """Of these outputs alone [u]."""
        part = copy.copy(self)
        part.weight, part.bias = self.weight[outputs], None if self.bias is None else self.bias[outputs]
        return part


class Int8Product(nn.Module):
    """y_no = s_n c_o Σ_i X_ni W_oi + b_o, X and W signed bytes, their sum exact.

    c_o = max_i |w_oi| / m is an output's scale, found once; s_n = max_i |x_ni| / 127 is a row's, found each time, so
    that what a row gives does not depend on the rows beside it. m is 127, or 63: see `largest_weight`.
    |y − (x Wᵀ + b)| ≤ (c_o Σ_i |x_ni| + s_n Σ_i |w_oi|)/2 + i s_n c_o/4, and roundings of y.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight [o i], bias [o]."""
        super().__init__()
        self.most = weight.new_tensor(127)
        most = weight.new_tensor(largest_weight())
        rounded, largest = _rounded(weight.detach(), most)
        self.weight = _by_columns(rounded)
        self.scale = largest.squeeze(1) / (most * self.most)
        self.bias = largest.new_zeros(len(weight)) if bias is None else bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """x [.. i] -> [.. o]"""
        rounded, largest = _rounded(x.reshape(-1, x.size(-1)), self.most)
        sums = torch._int_mm(rounded, self.weight)  # [n o]
        return torch.addcmul(self.bias, sums.to(x.dtype).mul_(largest), self.scale).view(*x.shape[:-1], -1)

    def restricted_to(self, outputs: Tensor) -> "Int8Product":
        """Of these outputs alone [u]."""
        part = copy.copy(self)
        part.weight = _by_columns(self.weight.T[outputs])
        part.scale, part.bias = self.scale[outputs], self.bias[outputs]
        return part


def _rounded(x: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
    """x [n i] -> signed bytes [n i], ±most for the largest element of each row, and the size of those [n 1]."""
    largest = x.abs().amax(-1, keepdim=True).clamp_(min=_TINY)
    rounded = torch.div(x, largest / most).round_()
    # In contiguous format: `to` alone may keep strides of x that `_int_mm` would misread.
    return rounded.to(torch.int8, memory_format=torch.contiguous_format), largest


def _by_columns(weight: Tensor) -> Tensor:
    """[o i] -> [i o], the same memory, which is fast for few rows. Of a single row one must see how it is laid out."""
    return weight.T if weight.size(1) > 1 else weight.view(1, -1)


@functools.cache
def largest_weight() -> int:
    """127; 63 on CPUs that add two products of bytes in 16 bits (those without VNNI), where larger ones saturate."""
    bytes_ = torch.full((16, 64), 127, dtype=torch.int8)
    return 127 if (torch._int_mm(bytes_, bytes_.T) == 127 * 127 * 64).all() else 63


Product = type[Bf16Product] | type[Int8Product]

_PRODUCTS: dict[str, Product] = {"bf16": Bf16Product, "int8": Int8Product}


class _ConvertedLayer(Recurrent):
    """A recurrent layer whose products are modules. A whole sequence, too, goes step by step."""

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


class _ConvertedGRU(_ConvertedLayer, GRU):
    pass


class _ConvertedLSTM(_ConvertedLayer, LSTM):
    pass


class _ConvertedOutput(Output):
    def __init__(self, output: Output, product: Product) -> None:
        nn.Module.__init__(self)
        self.tied_projection, self.weight, self.bias = output.tied_projection, output.weight, output.bias
        self.projection = product(output.weight, output.bias)

    def logits(self, features: Tensor) -> Tensor:
        return self.projection(features)

    def restricted_to(self, tokens: Tensor) -> Callable[[Tensor], Tensor]:
        return self.projection.restricted_to(tokens)


def quantise(model: TranslationModel, precision: str) -> TranslationModel:
    """A copy with products in this precision that shares the rest of its weights with the model; fp32: the model.

    Raises ConfigError for int8 on another device than a CPU.
    """
    if precision == "fp32":
        return model
    check_quantisation(precision, model.output.bias.device)
    twin = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    _convert(twin, _PRODUCTS[precision])
    return twin.eval()


def check_quantisation(precision: str, device: torch.device) -> None:
    """Raises ConfigError for int8 on another device than a CPU."""
    if precision == "int8" and device.type != "cpu":
        raise ConfigError(
            f"precision=int8 and device={device.type}: int8 is for CPUs. Take precision=bf16, or device=cpu."
        )


def _convert(module: nn.Module, product: Product) -> None:
    for name, child in module.named_children():
        setattr(module, name, child := _in_place_of(child, product))
        _convert(child, product)


def _in_place_of(module: nn.Module, product: Product) -> nn.Module:
    match module:
        case nn.Linear() if module.out_features > 1:
            return product(module.weight, module.bias)
        case HeadLinear() if len(module.weight) == 1 and module.weight.size(1) > 1:
            return product(module.weight[0], None if module.bias is None else module.bias[0])
        case GRU():
            return _ConvertedGRU(module, product)
        case LSTM():
            return _ConvertedLSTM(module, product)
        case Output():
            return _ConvertedOutput(module, product)
    return module


class QuantisedModels:
    """The copies of a model that were asked for. What its weights have left behind is made again."""

    def __init__(self, model: TranslationModel) -> None:
        self.model = model
        self._made: dict[str, tuple[list[int], TranslationModel]] = {}

    def at(self, precision: str) -> TranslationModel:
        """`converted`, or what an earlier call got."""
        changes = [0 if weight.is_inference() else weight._version for weight in self.model.parameters()]
        before, made = self._made.get(precision, (None, self.model))
        if before != changes:
            made = quantise(self.model, precision)
            self._made[precision] = changes, made
        return made
