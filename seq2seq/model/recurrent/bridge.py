"""Bridges: from the encoder's states to the first state of a recurrent decoder.

A pooling makes one vector x of the source. Every decoder layer l starts at h_l = tanh(W_l x) (an LSTM's cell also at
c_l = U_l x), so encoder and decoder may differ in depth and size.

Shapes: b batch, s source, m encoder state, d decoder state.
"""

import torch
from torch import Tensor, nn

from seq2seq.model.recurrent.layers import CELLS, LayerState
from seq2seq.nn.module_list import ModuleList


class Bridge(nn.Module):
    """h_l = tanh(W_l x), c_l = U_l x, with x pooled from the source."""

    def __init__(self, pooling: nn.Module, cell: str, memory_size: int, hidden_size: int, layers: int) -> None:
        super().__init__()
        self.pooling = pooling
        parts = CELLS[cell].state_parts
        self.maps: ModuleList[ModuleList[nn.Linear]] = ModuleList(
            ModuleList(nn.Linear(memory_size, hidden_size, bias=False) for _ in range(parts)) for _ in range(layers)
        )

    def forward(self, states: Tensor, lengths: Tensor, embedded: Tensor) -> tuple[Tensor, tuple[LayerState, ...]]:
        """states [b s m], lengths [b], embeddings [b s e] -> x [b m] and the first state of each decoder layer."""
        x: Tensor = self.pooling(states, lengths, embedded)
        first: list[LayerState] = []
        for maps in self.maps:
            h, *c = (part(x) for part in maps)
            first.append((torch.tanh(h), *c))
        return x, tuple(first)


class Zero(nn.Module):
    """A first state of zeros: the decoder sees the source through attention alone."""

    def __init__(self, cell: str, hidden_size: int, layers: int) -> None:
        super().__init__()
        self.shape = (layers, CELLS[cell].state_parts, hidden_size)

    def forward(self, states: Tensor, lengths: Tensor, embedded: Tensor) -> tuple[Tensor, tuple[LayerState, ...]]:
        """states [b s m], lengths [b] -> zeros, as `Bridge.forward`."""
        layers, parts, size = self.shape
        zero = states.new_zeros(lengths.size(0), size)
        return zero, ((zero,) * parts,) * layers
