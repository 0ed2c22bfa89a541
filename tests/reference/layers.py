"""Maps of one vector, and a convolution of one sentence."""

from collections.abc import Callable

import torch
from torch import Tensor

from reference.parameters import Parameters, under


def affine(p: Parameters, x: Tensor) -> Tensor:
    """W x + b."""
    return p["weight"] @ x + p["bias"]


def layer_norm(p: Parameters, a: Tensor) -> Tensor:
    """Ba 2016, eq. 4; torch adds 1e-5 to the variance."""
    mean = sum(a) / len(a)
    variance = sum((x - mean) ** 2 for x in a) / len(a)
    return p["weight"] * (a - mean) / torch.sqrt(variance + 1e-5) + p["bias"]


def feed_forward(p: Parameters, x: Tensor) -> Tensor:
    """max(0, x W₁ + b₁) W₂ + b₂ (Vaswani 2017, eq. 2)."""
    hidden = affine(under(p, "hidden"), x)
    return affine(under(p, "output"), torch.maximum(hidden, torch.zeros_like(hidden)))


def sub_layer(norm: str, p: Parameters, xs: list[Tensor], f: Callable[[list[Tensor]], list[Tensor]]) -> list[Tensor]:
    """LN(x + f(x)) (Vaswani 2017, section 3.1), or x + f(LN(x)) with norm `pre` (Wang 2019, eq. 2)."""
    if norm == "pre":
        ys = f([layer_norm(under(p, "norm"), x) for x in xs])
        return [x + y for x, y in zip(xs, ys, strict=True)]
    return [layer_norm(under(p, "norm"), x + y) for x, y in zip(xs, f(xs), strict=True)]


def convolution(p: Parameters, xs: list[Tensor], i: int, width: int, ahead: int) -> Tensor:
    """W [x_j ; .. ; x_{j+k−1}] + b of the k = `width` positions up to i + `ahead`, with zeros outside the sentence."""
    last = i + ahead
    read = [xs[j] if 0 <= j < len(xs) else torch.zeros_like(xs[0]) for j in range(last - width + 1, last + 1)]
    return affine(p, torch.cat(read))


def glu(y: Tensor) -> Tensor:
    """v([A B]) = A ⊗ σ(B) (Gehring 2017, section 3.2)."""
    size = len(y) // 2
    return y[:size] * torch.sigmoid(y[size:])
