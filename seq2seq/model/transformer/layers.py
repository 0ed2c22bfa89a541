"""Transformer layers (Vaswani 2017, section 3.1; pre-norm as in Wang 2019).

Shapes: b batch, n decoder rows, t positions, d hidden size, f feed-forward size.
"""

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput, Memory
from seq2seq.model.layered import Attend
from seq2seq.nn.dropout import Dropout


class FeedForward(nn.Module):
    """W₂ max(0, W₁ x + b₁) + b₂ (eq. 2)."""

    def __init__(self, size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, hidden_size)
        self.output = nn.Linear(hidden_size, size)

    def forward(self, x: Tensor) -> Tensor:
        """[.. d] -> [.. d]"""
        mapped: Tensor = self.output(torch.relu(self.hidden(x)))
        return mapped


class Residual(nn.Module):
    """What surrounds a sub-layer f: LN(x + f(x)) (Vaswani 2017), or x + f(LN(x)) with `pre` (Wang 2019, eq. 2)."""

    def __init__(self, size: int, dropout: Dropout, *, pre: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.dropout = dropout
        self.pre = pre

    def enter(self, x: Tensor) -> Tensor:
        """[b t d] -> what f reads."""
        return self.norm(x) if self.pre else x

    def leave(self, x: Tensor, y: Tensor) -> Tensor:
        """x, f's result [b t d] -> the sub-layer's output."""
        x = x + self.dropout(y)
        return x if self.pre else self.norm(x)


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network."""

    def __init__(self, attention: Attention, feed_forward: FeedForward, residuals: tuple[Residual, Residual]) -> None:
        """`residuals` surround the two sub-layers, in that order."""
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_residual, self.feed_forward_residual = residuals

    def forward(self, x: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
        """x [b t d], lengths [b], positions [b t] -> [b t d]."""
        y = self.attention_residual.enter(x)
        memory = self.attention.prepare(y, y, lengths)
        x = self.attention_residual.leave(x, self.attention(y, memory, positions, need_weights=False).context)
        return self.feed_forward_residual.leave(x, self.feed_forward(self.feed_forward_residual.enter(x)))


class DecoderLayer(nn.Module):
    """Causal self-attention, attention to the source unless it is None, then a feed-forward network."""

    def __init__(
        self,
        self_attention: Attention,
        attention: Attention | None,
        feed_forward: FeedForward,
        residuals: tuple[Residual, Residual, Residual],
    ) -> None:
        """`residuals` surround the sub-layers, in that order; the second one goes unused without `attention`."""
        super().__init__()
        self.self_attention = self_attention
        self.attention = attention
        self.feed_forward = feed_forward
        self.self_attention_residual, attention_residual, self.feed_forward_residual = residuals
        self.attention_residual = None if attention is None else attention_residual

    def initial(self, like: Tensor) -> Memory | None:
        """None: before the first step there is nothing to attend to."""
        return None

    def forward(
        self, x: Tensor, past: Memory | None, inputs: Tensor, positions: Tensor, attend: Attend
    ) -> tuple[Tensor, AttentionOutput | None, Memory]:
        """x [n t d], earlier positions, positions [n t] -> [n t d], what was attended to, all positions."""
        y = self.self_attention_residual.enter(x)
        lengths = torch.full((y.size(0),), y.size(1), device=y.device)
        first = 0 if past is None else past.size
        now = self.self_attention.prepare(y, y, lengths, causal=True, first=first)
        memory = now if past is None else past.append(now)
        seen = self.self_attention(y, memory, positions, need_weights=False)
        x, attended = self.self_attention_residual.leave(x, seen.context), None
        if self.attention is not None and self.attention_residual is not None:
            attended = attend(self.attention, self.attention_residual.enter(x))
            x = self.attention_residual.leave(x, attended.context)
        x = self.feed_forward_residual.leave(x, self.feed_forward(self.feed_forward_residual.enter(x)))
        return x, attended, memory
