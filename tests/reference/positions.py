"""How one vector at position i, from 0, learns where it stands."""

import math

import torch
from torch import Tensor

from reference.layers import affine
from reference.parameters import Parameters, under
from seq2seq import config


def positioned(options: config.Positions, p: Parameters, y: Tensor, i: int) -> Tensor:
    """y + p_i; no p_i for `none`, nor for `rotary`, which acts within self-attention."""
    if options.name == "sinusoidal":
        return y + sinusoid(i, len(y))
    if options.name == "learned":
        return y + p["embedding.weight"][min(i, options.max_length - 1)]
    assert options.name in ("none", "rotary")
    return y


def sinusoid(i: int, size: int) -> Tensor:
    """PE(i, 2j) = sin(i / 10000^{2j/d}), PE(i, 2j+1) = cos(i / 10000^{2j/d}) (Vaswani 2017, section 3.5)."""
    waves = []
    for number in range(size):
        angle = i / 10000 ** (2 * (number // 2) / size)
        waves.append(math.cos(angle) if number % 2 else math.sin(angle))
    return torch.tensor(waves, dtype=torch.float64)


def rotated(x: Tensor, i: int) -> Tensor:
    """R_i x (Su 2021, eq. 34), with θ_j = 10000^{−2j/d}, j from 0.

    The paper turns neighbours; here they are x_j and x_{j+d/2}, which is the same but for the order of the numbers.
    """
    half = len(x) // 2
    first, second = [], []
    for j in range(half):
        angle = i * 10000 ** (-2 * j / len(x))
        first.append(x[j] * math.cos(angle) - x[j + half] * math.sin(angle))
        second.append(x[j + half] * math.cos(angle) + x[j] * math.sin(angle))
    return torch.stack(first + second)


def inputs(model: config.Model, p: Parameters, embedded: list[Tensor], scale: float) -> list[Tensor]:
    """What the first layer reads of a sentence: W (c y_i + p_i) + b, with W and b only where the sizes differ."""
    xs = [positioned(model.positions, under(p, "positions"), scale * y, i) for i, y in enumerate(embedded)]
    if model.embedding_size == model.hidden_size:
        return xs
    return [affine(under(p, "projection"), x) for x in xs]
