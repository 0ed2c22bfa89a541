"""Convolutions over positions, their blocks, and the layers of the convolutional decoder.

Shapes: b batch, n decoder rows, t positions, k width of a convolution, d hidden size.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput
from seq2seq.model.layered import Attend
from seq2seq.nn.dropout import Dropout

HALF = math.sqrt(0.5)
"""Factor that keeps the variance of a sum of two terms (Gehring 2017, section 3.5)."""


class Convolution(nn.Module):
    """W [x_i ; .. ; x_{i+k−1}] + b at each place where k positions fit."""

    def __init__(self, size: int, output_size: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.map = nn.Linear(width * size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        """[b t+k−1 d] -> [b t o]"""
        windows = x.unfold(1, self.width, 1).transpose(2, 3).flatten(2)  # [b t k·d]
        mapped: Tensor = self.map(windows)
        return mapped


class EncoderBlock(nn.Module):
    """A convolution around each position and a residual connection.

    `glu`: √½ (x + GLU(conv(x))) (Gehring 2017, section 3.3). Otherwise x + tanh(conv(x)) (Gehring 2016, section 3.1).
    """

    def __init__(self, size: int, width: int, dropout: Dropout, *, glu: bool) -> None:
        super().__init__()
        self.convolution = Convolution(size, 2 * size if glu else size, width)
        self.dropout = dropout
        self.glu = glu

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x [b s d], True at real positions [b s 1] -> [b s d]."""
        margin = self.convolution.width // 2
        y = self.convolution(F.pad(self.dropout(x) * real, (0, 0, margin, margin)))
        return HALF * (x + F.glu(y)) if self.glu else x + torch.tanh(y)


class DecoderBlock(nn.Module):
    """A causal convolution with a gated linear unit, then an attention to the source (Gehring 2017, section 3.3).

    z = GLU(conv(x)), d = W z + b + y, a from the query d, x' = √½ (√½ (z + V a + c) + x), with y the first layer's
    input.
    """

    def __init__(self, attention: Attention | None, size: int, memory_size: int, width: int, dropout: Dropout) -> None:
        super().__init__()
        self.size = size
        self.convolution = Convolution(size, 2 * size, width)
        self.attention = attention
        self.query = None if attention is None else nn.Linear(size, size)
        self.context = None if attention is None else nn.Linear(memory_size, size)
        self.dropout = dropout

    def initial(self, like: Tensor) -> Tensor:
        """Zeros before the first position."""
        return like.new_zeros(like.size(0), self.convolution.width - 1, self.size)

    def forward(
        self, x: Tensor, past: Tensor, inputs: Tensor, positions: Tensor, attend: Attend
    ) -> tuple[Tensor, AttentionOutput | None, Tensor]:
        """x [n t d], what was read before [n k−1 d], the first layer's inputs [n t d] -> x, attended, last read."""
        read = torch.cat([past, self.dropout(x).to(past.dtype)], 1)  # [n k−1+t d]
        z, attended = F.glu(self.convolution(read)), None
        if self.attention is not None and self.query is not None and self.context is not None:
            attended = attend(self.attention, self.query(z) + inputs)
            z = HALF * (z + self.context(attended.context))
        return HALF * (z + x), attended, read[:, x.size(1) :]
