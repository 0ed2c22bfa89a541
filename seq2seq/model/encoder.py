"""The encoder: source embeddings to the states h_1..h_S that attention reads.

Shapes: b batch, s source, e embedding, d size of one direction's hidden state, m of all directions together.
"""

import torch
from torch import Tensor, nn

from seq2seq.model.recurrent import CELLS, Recurrent


class Encoder(nn.Module):
    """Stacked layers, each of one direction or of two (Schuster & Paliwal 1997; Bahdanau 2015, A.2.1).

    Each direction runs over a padded batch without packing: forward, what follows a sentence can't reach it;
    backward, each sentence is turned around within its own length.
    """

    def __init__(
        self,
        cell: str,
        embedding_size: int,
        hidden_size: int,
        layers: int,
        *,
        bidirectional: bool,
        residual: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        self.output_size = directions * hidden_size
        self.layers = nn.ModuleList(
            nn.ModuleList(
                CELLS[cell](embedding_size if layer == 0 else self.output_size, hidden_size) for _ in range(directions)
            )
            for layer in range(layers)
        )
        self.residual = residual
        self.dropout = nn.Dropout(dropout)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """embedded [b s e], lengths [b] -> states [b s m]."""
        backwards = _reversal(lengths, embedded.size(1))
        x = embedded
        for number, directions in enumerate(self.layers):
            assert isinstance(directions, nn.ModuleList)
            states = [self._run(layer, self.dropout(x) if number else x, backwards if turned else None)
                      for turned, layer in enumerate(directions)]  # fmt: skip
            output = torch.cat(states, -1)  # [b s m]
            x = output + x if number and self.residual else output
        return x

    @staticmethod
    def _run(layer: nn.Module, x: Tensor, reversal: Tensor | None) -> Tensor:
        assert isinstance(layer, Recurrent)
        if reversal is None:
            return layer.sequence(x)[0]
        return _reorder(layer.sequence(_reorder(x, reversal))[0], reversal)


def _reversal(lengths: Tensor, size: int) -> Tensor:
    """Positions that turn each sentence around and leave its padding: lengths [b] -> [b s]; its own inverse."""
    positions = torch.arange(size, device=lengths.device)
    turned = lengths[:, None] - 1 - positions
    return torch.where(turned >= 0, turned, positions)


def _reorder(x: Tensor, positions: Tensor) -> Tensor:
    return x.gather(1, positions[..., None].expand_as(x))
