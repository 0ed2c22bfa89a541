"""The recurrent encoder.

Shapes: b batch, s source, e embedding, d size of one direction's hidden state, m of all directions together.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from seq2seq.model.protocol import Encoded, Encoder
from seq2seq.model.recurrent.layers import Recurrent, run_together
from seq2seq.nn.dropout import Dropout
from seq2seq.nn.module_list import ModuleList
from seq2seq.nn.rows import reorder, reversal


class RecurrentEncoder(Encoder):
    """Stacked layers, each of one direction or of two (Schuster & Paliwal 1997; Bahdanau 2015, A.2.1).

    Each direction runs over a padded batch without packing. Forward, what follows a sentence can't reach it; backward,
    each sentence is reversed within its own length.
    """

    def __init__(
        self,
        make_layer: Callable[[int], Recurrent],
        embedding_size: int,
        layers: int,
        *,
        directions: int,
        residual: bool,
        dropout: Dropout,
    ) -> None:
        """`make_layer` takes the input's size. `dropout` is applied to each layer's input and to the states."""
        super().__init__()
        self.layers: ModuleList[ModuleList[Recurrent]] = ModuleList()
        size = embedding_size
        for _ in range(layers):
            self.layers.append(ModuleList(make_layer(size) for _ in range(directions)))
            size = directions * self.layers[-1][0].hidden_size
        self.residual = residual
        self.dropout = dropout

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        backwards = reversal(lengths, embedded.size(1))
        x = self.dropout(embedded)
        for number, directions in enumerate(self.layers):
            output = self._run(directions, x if number == 0 else self.dropout(x), backwards)  # [b s m]
            x = output + x if number and self.residual else output
        states = self.dropout(x)
        return Encoded(states, states)

    @staticmethod
    def _run(layers: ModuleList[Recurrent], x: Tensor, backwards: Tensor) -> Tensor:
        """Run one layer's directions: [b s e] or [b s m] -> [b s m]."""
        inputs = [reorder(x, backwards) if direction else x for direction in range(len(layers))]
        states = run_together(list(layers), inputs)
        return torch.cat([reorder(h, backwards) if direction else h for direction, h in enumerate(states)], -1)
