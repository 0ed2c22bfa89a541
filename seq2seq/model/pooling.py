"""Poolings: one vector of the encoder's states. One class per row of the table of names.

Shapes: b batch, s source, e embedding, m encoder state.
"""

import torch
from torch import Tensor, nn

from seq2seq.model.recurrent.layers import Recurrent


class Last(nn.Module):
    """[forward state at the last real token ; backward state at token 0] of the top layer (Sutskever 2014)."""

    def __init__(self, directions: int) -> None:
        super().__init__()
        self.directions = directions

    def forward(self, states: Tensor, lengths: Tensor, embedded: Tensor) -> Tensor:
        """states [b s m], lengths [b], embeddings [b s e] -> x [b m]."""
        last = states[torch.arange(lengths.size(0), device=states.device), lengths - 1]  # [b m]
        if self.directions == 1:
            return last
        half = states.size(-1) // 2
        return torch.cat([last[:, :half], states[:, 0, half:]], -1)  # [b m]


class Mean(nn.Module):
    """The mean over the real positions."""

    def forward(self, states: Tensor, lengths: Tensor, embedded: Tensor) -> Tensor:
        real = _real(states, lengths)[..., None]
        return (states * real).sum(1) / lengths[:, None]


class AttentionPooling(nn.Module):
    """Σ_i softmax(u·h)_i h_i over the real positions, with a learned u."""

    def __init__(self, memory_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(memory_size, 1, bias=False)

    def forward(self, states: Tensor, lengths: Tensor, embedded: Tensor) -> Tensor:
        return _attend(self.query(states).squeeze(-1), states, lengths)


class RecurrentPooling(nn.Module):
    """Σ_i softmax(uᵀ h)_i h_i over the real positions, with u = W r of the last state r of a layer over the embeddings.

    r is the sentence's vector that queries the matrix of features, as in the tutorials' "CNN + attention".
    """

    def __init__(self, layer: Recurrent, memory_size: int) -> None:
        super().__init__()
        self.layer = layer
        self.query = nn.Linear(layer.hidden_size, memory_size, bias=False)

    def forward(self, states: Tensor, lengths: Tensor, embedded: Tensor) -> Tensor:
        read, _ = self.layer.sequence(embedded)
        last = read[torch.arange(lengths.size(0), device=read.device), lengths - 1]  # [b d]
        return _attend((states @ self.query(last).to(states.dtype)[..., None]).squeeze(-1), states, lengths)


def _attend(energies: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
    """energies [b s] -> the mean of the states [b s m] under their softmax [b m]."""
    energies = energies.masked_fill(~_real(states, lengths), -torch.inf)
    return (energies.softmax(-1)[:, None].to(states.dtype) @ states).squeeze(1)


def _real(states: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(states.size(1), device=states.device) < lengths[:, None]
