"""The processes that train one model together, as the training loop sees them.

Each batch is split into shares (`Batch.split`), and share n draws from a seed of its own wherever it is worked on: so
it is the same update, to rounding, whether forked processes (workers.py) or those of torch.distributed (ranks.py)
share it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from seq2seq.text.batches import Batch
from seq2seq.training.loss import Loss


class ProcessLost(RuntimeError):
    """Another process of the training ended, or does not answer."""


Own = Callable[[int], Loss]
"""Works on the share of this number in this process: its loss, and in the model's parameters its gradient."""
Message = Callable[[int], Any]
"""What another process has to be told to work on the share of this number; plain values and arrays."""


class Team:
    """A single process; and what the loop asks of several.

    Some processes run the loop themselves and are counted by `ranks`; others only work for one that does.
    """

    rank: int = 0
    """Of this process; 0 is the one that writes files and logs."""
    ranks: int = 1
    """Processes that run the loop. All of them have to call each of the methods, in the same order."""

    @property
    def shares(self) -> int:
        """Of a batch, as long as it has as many pairs."""
        return 1

    def gradient(self, model: nn.Module, shares: Sequence[Batch], own: Own, message: Message) -> list[Loss]:
        """Work on all shares; afterwards the model's parameters have the sum of their gradients.

        Gives losses that make up the one of the batch. Raises ProcessLost if another process failed.
        """
        return [own(number) for number in range(len(shares))]

    def adopt(self, model: nn.Module) -> None:
        """Take the first rank's weights: the same seed may draw others on another kind of processor."""

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value added up over the ranks."""
        return list(values)

    def greatest(self, values: Sequence[float]) -> list[float]:
        """Of each value the greatest over the ranks."""
        return list(values)

    def texts(self, text: str) -> list[str]:
        """What each rank has given, in their order."""
        return [text]

    @contextmanager
    def first(self) -> Iterator[None]:
        """What rank 0 does within it is done before the others begin to."""
        yield
