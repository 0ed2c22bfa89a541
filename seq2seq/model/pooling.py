"""Bridges: from the encoder's states to the decoder's first state.

A pooling makes one vector x of the source, and every decoder layer l starts at h_l = tanh(W_l x) (of an LSTM also
c_l = U_l x), so that encoder and decoder may differ in depth and size. One class per row of the table of names.

Shapes: b batch, s source, m encoder state, d decoder state.
"""

import torch
from torch import Tensor, nn

from seq2seq.model.recurrent.layers import CELLS, LayerState


class Last(nn.Module):
    """[forward state at the last real token ; backward state at token 0] of the top layer (Sutskever 2014)."""

    def __init__(self, directions: int) -> None:
        super().__init__()
        self.directions = directions

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states [b s m], lengths [b] -> x [b m]."""
        last = states[torch.arange(len(lengths), device=states.device), lengths - 1]  # [b m]
        if self.directions == 1:
            return last
        half = states.size(-1) // 2
        return torch.cat([last[:, :half], states[:, 0, half:]], -1)  # [b m]


class Mean(nn.Module):
    """The mean of the real positions."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        real = _real(states, lengths)[..., None]
        return (states * real).sum(1) / lengths[:, None]


class AttentionPooling(nn.Module):
    """Σ_i softmax(u·h)_i h_i over the real positions, u learned."""

    def __init__(self, memory_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(memory_size, 1, bias=False)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        energies = self.query(states).squeeze(-1).masked_fill(~_real(states, lengths), -torch.inf)  # [b s]
        return (energies.softmax(-1)[:, None].to(states.dtype) @ states).squeeze(1)


def _real(states: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(states.size(1), device=states.device) < lengths[:, None]


class Bridge(nn.Module):
    """h_l = tanh(W_l x), c_l = U_l x, with x pooled from the source."""

    def __init__(self, pooling: nn.Module, cell: str, memory_size: int, hidden_size: int, layers: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.maps = nn.ModuleList(
            nn.ModuleList(nn.Linear(memory_size, hidden_size, bias=False) for _ in range(CELLS[cell].state_parts))
            for _ in range(layers)
        )

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[LayerState, ...]]:
        """states [b s m], lengths [b] -> x [b m] and the first state of each decoder layer."""
        x: Tensor = self.pooling(states, lengths)
        first: list[LayerState] = []
        for maps in self.maps:
            assert isinstance(maps, nn.ModuleList)
            h, *c = (part(x) for part in maps)
            first.append((torch.tanh(h), *c))
        return x, tuple(first)


class Zero(nn.Module):
    """A decoder that starts at zero; only attention tells it of the source."""

    def __init__(self, cell: str, hidden_size: int, layers: int) -> None:
        super().__init__()
        self.shape = (layers, CELLS[cell].state_parts, hidden_size)

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, tuple[LayerState, ...]]:
        layers, parts, size = self.shape
        zero = states.new_zeros(len(lengths), size)
        return zero, ((zero,) * parts,) * layers
