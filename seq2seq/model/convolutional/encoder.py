"""The convolutional encoder, with attention before or after its convolutions or none.

Shapes: b batch, s source, e embedding, d hidden size.
"""

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention
from seq2seq.model.convolutional.layers import HALF, EncoderBlock
from seq2seq.model.layered import PositionedInput
from seq2seq.model.protocol import Encoded, Encoder
from seq2seq.nn.module_list import ModuleList


class AttentionBefore(nn.Module):
    """x'_i = W [x_i ; Σ_j α_ij x_j], which enters the convolutions (after ABCNN-1, Yin 2016)."""

    def __init__(self, attention: Attention, size: int) -> None:
        super().__init__()
        self.attention = attention
        self.map = nn.Linear(2 * size, size, bias=False)

    def forward(self, x: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
        """x [b s d], lengths [b], positions [b s] -> [b s d]."""
        memory = self.attention.prepare(x, x, lengths)
        seen = self.attention(x, memory, positions, need_weights=False).context
        mapped: Tensor = self.map(torch.cat([x, seen], -1))
        return mapped


class AttentionAfter(nn.Module):
    """h_i = c_i + Σ_j α_ij c_j of the convolutions' outputs (after ABCNN-2, Yin 2016)."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, keys: Tensor, values: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
        """α from keys [b s d], values [b s d], lengths [b], positions [b s] -> [b s d]."""
        memory = self.attention.prepare(keys, values, lengths)
        return values + self.attention(keys, memory, positions, need_weights=False).context


class ConvolutionalEncoder(Encoder):
    """Blocks of convolutions over embeddings with positions.

    The values are the keys; with `values` a stack of blocks of their own (CNN-c, Gehring 2016, section 3.2); with
    `add_inputs` √½ (z + x) of keys z and the blocks' inputs x (Gehring 2017, section 3.3).
    """

    def __init__(
        self,
        inputs: PositionedInput,
        blocks: list[EncoderBlock],
        values: list[EncoderBlock] | None,
        before: AttentionBefore | None,
        after: AttentionAfter | None,
        *,
        add_inputs: bool,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.before, self.after = before, after
        self.blocks: ModuleList[EncoderBlock] = ModuleList(blocks)
        self.values: ModuleList[EncoderBlock] | None = None if values is None else ModuleList(values)
        self.add_inputs = add_inputs

    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        positions = torch.arange(embedded.size(1), device=embedded.device).expand(embedded.shape[:2])  # [b s]
        real = (positions < lengths[:, None])[..., None]  # [b s 1]
        x = self.inputs(embedded, positions)
        x = x if self.before is None else self.before(x, lengths, positions)
        keys = _run(self.blocks, x, real)
        values = keys if self.values is None else _run(self.values, x, real)
        if self.after is not None:
            attended = self.after(keys, keys, lengths, positions)
            values = attended if values is keys else self.after(keys, values, lengths, positions)
            keys = attended
        return Encoded(keys, HALF * (values + x) if self.add_inputs else values)


def _run(blocks: ModuleList[EncoderBlock], x: Tensor, real: Tensor) -> Tensor:
    for block in blocks:
        x = block(x, real)
    return x
