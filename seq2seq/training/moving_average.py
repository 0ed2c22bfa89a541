"""An exponential moving average of the weights, which translates better than the last of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

PREFIX = "weights."
"""Of the names that weights have in a training state."""


class MovingAverage:
    """w̄ ← d w̄ + (1 − d) w after every update n, d = min(decay, (1 + n) / (10 + n)), as Marian and TensorFlow do it.

    Early averages forget faster, so that the random weights of the beginning are soon gone.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = dict(model.named_parameters())
        self._averages = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, number: int) -> None:
        """Take in the weights after this update, counted from 1."""
        decay = min(self.decay, (1 + number) / (10 + number))
        torch._foreach_lerp_(list(self._averages.values()), list(self._weights.values()), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[dict[str, Tensor]]:
        """Within it the model has the averages for weights; gives the weights, for the training state.

        They change places by copying, for other processes may share the memory of the model.
        """
        self._exchange()
        try:
            yield {f"{PREFIX}{name}": weight for name, weight in self._averages.items()}
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, weight in self._weights.items():
            average = self._averages[name].clone()
            self._averages[name].copy_(weight)
            weight.copy_(average)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take the model's weights as averages, and give it those of a training state."""
        for name, weight in self._weights.items():
            self._averages[name].copy_(weight)
            weight.copy_(state[f"{PREFIX}{name}"])
