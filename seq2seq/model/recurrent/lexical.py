"""The lexical model: what the attended words themselves say about the next word, beside their encoder states.

Shapes: b batch, s source, t target, m context, e embedding.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import AttentionOutput
from seq2seq.model.protocol import Encoded
from seq2seq.nn.rows import reorder


class LexicalModel(nn.Module):
    """l̃_t = tanh(W l_t) + l_t, l_t = tanh(Σ_i α_{t,i} f_i) with source embeddings f (Nguyen & Chiang 2018, section 4).

    The output maps l̃_t to the vocabulary beside the readout. The weights α are those of the decoder's attention: the
    embeddings stand beside the values that it sums.
    """

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.map = nn.Linear(embedding_size, embedding_size, bias=False)

    def beside(self, values: Tensor, encoded: Encoded) -> Tensor:
        """values [b s m], and the source they come from -> [b s m+e]."""
        words = encoded.embedded
        assert words is not None
        return torch.cat([values, words if encoded.read_order is None else reorder(words, encoded.read_order)], -1)

    def apart(self, attended: AttentionOutput) -> AttentionOutput:
        """Take the sum of the embeddings out of the context [b t m+e]."""
        context, size = attended.context, self.embedding_size
        return replace(attended, context=context[..., :-size], words=context[..., -size:])

    def forward(self, readout: Tensor, words: Tensor) -> Tensor:
        """readout [b t r], sum of the embeddings [b t e] -> [b t r+e]."""
        attended = torch.tanh(words)
        return torch.cat([readout, torch.tanh(self.map(attended)) + attended], -1)
