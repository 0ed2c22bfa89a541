"""Parts of a module's parameters."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Parameters = Mapping[str, Tensor]


def parameters_of(module: nn.Module) -> Parameters:
    """All parameters by name; a shared one has all its names."""
    return dict(module.named_parameters(remove_duplicate=False))


def under(p: Parameters, prefix: str) -> Parameters:
    """The parameters of the part called `prefix`."""
    start = prefix + "."
    return {name.removeprefix(start): value for name, value in p.items() if name.startswith(start)}


def of_head(p: Parameters, j: int) -> Parameters:
    """The parameters of head j, of a part that has some for each."""
    return {name: value[j] for name, value in p.items()}


def widened(p: Parameters, weight: Tensor) -> Parameters:
    """A cell of input x as one of input [x ; a]: W [x ; a] with W = [W_x W_a]."""
    return {**p, "weight_ih_l0": torch.cat([p["weight_ih_l0"], weight], 1)}
