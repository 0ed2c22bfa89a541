"""The encoder: source embeddings to the states h_1..h_S that attention reads.

Shapes: b batch, s source, e embedding, d size of one direction's hidden state, m of all directions together.
"""

import torch
from torch import Tensor, nn

from seq2seq.model.recurrent.layers import Recurrent, recurrent_layer, run_together
from seq2seq.nn.dropout import Dropout


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
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        self.output_size = directions * hidden_size
        self.layers = nn.ModuleList(
            nn.ModuleList(
                recurrent_layer(
                    cell,
                    self.output_size if layer else embedding_size,
                    hidden_size,
                    recurrent_dropout=recurrent_dropout,
                    layer_norm=layer_norm,
                )
                for _ in range(directions)
            )
            for layer in range(layers)
        )
        self.residual = residual
        self.dropout = Dropout(dropout, variational=variational)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """embedded [b s e], lengths [b] -> states [b s m]."""
        backwards = reversal(lengths, embedded.size(1))
        x = embedded
        for number, directions in enumerate(self.layers):
            assert isinstance(directions, nn.ModuleList)
            output = self._run(directions, self.dropout(x) if number else x, backwards)  # [b s m]
            x = output + x if number and self.residual else output
        return x

    @staticmethod
    def _run(directions: nn.ModuleList, x: Tensor, reversal: Tensor) -> Tensor:
        """One layer, [b s e] or [b s m] -> [b s m]."""
        layers = [layer for layer in directions if isinstance(layer, Recurrent)]
        inputs = [reorder(x, reversal) if turned else x for turned in range(len(layers))]
        states = run_together(layers, inputs)
        return torch.cat([reorder(h, reversal) if turned else h for turned, h in enumerate(states)], -1)


def reversal(lengths: Tensor, size: int) -> Tensor:
    """Positions that turn each sentence around and leave its padding: lengths [b] -> [b s]; its own inverse."""
    positions = torch.arange(size, device=lengths.device)
    turned = lengths[:, None] - 1 - positions
    return torch.where(turned >= 0, turned, positions)


def reorder(x: Tensor, positions: Tensor) -> Tensor:
    """x [b s ..] with what stands at these positions [b s]."""
    return x.gather(1, positions[..., None].expand_as(x))
