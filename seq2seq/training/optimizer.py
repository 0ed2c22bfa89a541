"""Optimizers, weight decay and learning-rate schedules."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, fused=True),
    "adadelta": partial(torch.optim.Adadelta, rho=0.95, eps=1e-6),
}

MOMENTS = {"adam": 2, "adamw": 2, "sgd": 0, "adadelta": 2}
"""Number of tensors of a weight's size that each optimizer keeps per weight."""


def make_optimizer(name: str, model: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Make an optimizer of all weights that are not frozen; only matrices decay (see `is_matrix`)."""
    weights = [(key, weight) for key, weight in model.named_parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for key, weight in weights if is_matrix(key, weight)], "weight_decay": weight_decay},
        {"params": [weight for key, weight in weights if not is_matrix(key, weight)], "weight_decay": 0.0},
    ]
    return _OPTIMIZERS[name](groups, lr=learning_rate)


def is_matrix(name: str, weight: nn.Parameter) -> bool:
    """Whether a parameter is a matrix or a table of embeddings, and not a bias, vector or scale.

    Parameters of n heads have a dimension more, so the number of dimensions does not tell a bias from a matrix.
    """
    return name.rpartition(".")[2].startswith("weight") and weight.dim() > 1 and min(weight.shape[-2:]) > 1


class Halving(NamedTuple):
    """Epochs of the schedule `halving`."""

    start: float = math.inf
    """Epochs at the base rate."""
    every: float = 1.0
    """Epochs at each later rate."""
    updates_per_epoch: int = 1


@dataclass
class Schedule:
    """The learning rate of every update, counted from 1; warm-up grows linearly to the base rate."""

    name: str
    base: float
    warmup_updates: int
    plateau_factor: float
    plateau_patience: int
    total_updates: int
    halving: Halving = field(default_factory=Halving)

    def __post_init__(self) -> None:
        self.factor = 1.0  # what plateaus have multiplied the rate by
        self.waited = 0  # validations since the last one with progress or the last plateau

    def rate(self, update: int, time_used: float = 0.0) -> float:
        """Return the learning rate of this update; `time_used` is the share of the training time that has passed.

        A schedule with an end reaches it with the last update, or when the time is up if that comes first.
        """
        if update <= self.warmup_updates:
            return self.base * update / self.warmup_updates
        if self.name == "inverse_sqrt":
            return self.base * math.sqrt(max(self.warmup_updates, 1) / update)
        if self.name == "cosine":
            reached = max(update, time_used * self.total_updates)
            done = (reached - self.warmup_updates) / max(self.total_updates - self.warmup_updates, 1)
            return self.base * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
        if self.name == "halving":
            epochs = (update - 1) / self.halving.updates_per_epoch - self.halving.start
            return self.base * 0.5 ** max(math.floor(epochs / self.halving.every) + 1, 0)
        return self.base * self.factor

    def validated(self, improved: bool) -> None:
        """Record a validation: `plateau` lowers the rate after too many without progress."""
        if self.name != "plateau":
            return
        self.waited = 0 if improved else self.waited + 1
        if self.waited > self.plateau_patience:
            self.factor *= self.plateau_factor
            self.waited = 0
