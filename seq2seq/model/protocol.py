"""The decoder's state: one immutable value that search can reorder."""

from dataclasses import dataclass

from torch import Tensor

from seq2seq.model.recurrent.layers import LayerState


@dataclass(frozen=True)
class State:
    """Everything a decoder carries from one step to the next. b batch, h heads, s source, d hidden size."""

    layers: tuple[LayerState, ...]
    """Of each layer, (h,) or (h, c), each [b d]."""
    position: Tensor
    """[b]: the number of steps done, t of the next one."""
    feed: Tensor | None = None
    """[b d]: the vector that input feeding hands to the next step."""
    coverage: Tensor | None = None
    """[b h s]: attention weights summed over the steps so far."""

    def select(self, rows: Tensor) -> "State":
        """The state of the given rows of the batch, in that order."""
        return State(
            tuple(tuple(part[rows] for part in layer) for layer in self.layers),
            self.position[rows],
            None if self.feed is None else self.feed[rows],
            None if self.coverage is None else self.coverage[rows],
        )
