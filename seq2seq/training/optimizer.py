"""Optimizers, and which weights decay."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, fused=True),
    "adadelta": partial(torch.optim.Adadelta, rho=0.95, eps=1e-6),
}

MOMENTS = {"adam": 2, "adamw": 2, "sgd": 0, "adadelta": 2}
"""Tensors of a weight's size that each optimizer keeps for every weight."""


def make_optimizer(name: str, model: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Of all weights of the model that are not frozen; only its matrices decay (see `is_matrix`)."""
    weights = [(key, weight) for key, weight in model.named_parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for key, weight in weights if is_matrix(key, weight)], "weight_decay": weight_decay},
        {"params": [weight for key, weight in weights if not is_matrix(key, weight)], "weight_decay": 0.0},
    ]
    return _OPTIMIZERS[name](groups, lr=learning_rate)


def is_matrix(name: str, weight: nn.Parameter) -> bool:
    """Whether a parameter multiplies what comes in, or is a table of embeddings: all but biases, vectors and scales.

    With n heads there are n of each, so their dimensions alone do not tell a bias from a matrix.
    """
    return name.rpartition(".")[2].startswith("weight") and weight.dim() > 1 and min(weight.shape[-2:]) > 1
