"""The Transformer encoder.

Shapes: b batch, s source, e embedding, d hidden size.
"""

import torch
from torch import Tensor, nn

from seq2seq.model.layered import PositionedInput
from seq2seq.model.protocol import Encoded, Encoder
from seq2seq.model.transformer.layers import EncoderLayer
from seq2seq.nn.module_list import ModuleList


class TransformerEncoder(Encoder):
    """Layers of self-attention and feed-forward networks (Vaswani 2017, section 3.1)."""

    def __init__(self, inputs: PositionedInput, layers: list[EncoderLayer], last: nn.Module) -> None:
        """`last` maps the top layer's output to the states: the final normalisation of pre-norm layers."""
        super().__init__()
        self.inputs = inputs
        self.layers: ModuleList[EncoderLayer] = ModuleList(layers)
        self.last = last

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        positions = torch.arange(embedded.size(1), device=embedded.device).expand(embedded.shape[:2])  # [b s]
        x = self.inputs(embedded, positions)  # [b s d]
        for layer in self.layers:
            x = layer(x, lengths, positions)
        states = self.last(x)
        return Encoded(states, states)
