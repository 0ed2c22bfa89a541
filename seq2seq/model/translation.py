"""The whole model: source tokens in, features of the next target token out, and from them the vocabulary.

Shapes: b batch, s source, t target, r readout size, n any rows, v vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput, Memory
from seq2seq.model.protocol import State
from seq2seq.model.recurrent.decoder import Decoder
from seq2seq.model.recurrent.encoder import Encoder, reorder, reversal
from seq2seq.nn.dropout import Dropout, WordDropout


class Output(nn.Module):
    """logits = W P x + b. The projection P to the embeddings' size is there only where W is tied to them."""

    def __init__(self, readout_size: int, vocab_size: int, tied: nn.Embedding | None) -> None:
        super().__init__()
        self.tied_projection: nn.Linear | None = None
        self.weight: Tensor = nn.Parameter(torch.empty(vocab_size, readout_size)) if tied is None else tied.weight
        if tied is None:
            nn.init.xavier_uniform_(self.weight)
        elif tied.embedding_dim != readout_size:
            self.tied_projection = nn.Linear(readout_size, tied.embedding_dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def features(self, x: Tensor) -> Tensor:
        """[.. r] -> what `weight` is multiplied with."""
        return x if self.tied_projection is None else self.tied_projection(x)

    def logits(self, features: Tensor) -> Tensor:
        """[.. r] -> [.. v]"""
        return F.linear(features, self.weight, self.bias)

    def restricted_to(self, tokens: Tensor) -> Callable[[Tensor], Tensor]:
        """`logits` of these tokens [u] alone: [.. r] -> [.. u]"""
        weight, bias = self.weight[tokens], self.bias[tokens]
        return lambda features: F.linear(features, weight, bias)


@dataclass(frozen=True)
class Decoded:
    """What the model makes of a batch of pairs."""

    features: Tensor
    """[b t r]: what the vocabulary is projected from"""
    attended: AttentionOutput


class TranslationModel(nn.Module):
    """Encoder, bridge, decoder and the projection to the vocabulary, which is done once, outside the time loop.

    With `reverse_source` the encoder reads each source from its last word to its first (Sutskever 2014, section 3.3),
    its EOS still at the end. Its states go back to their words' places before anything attends to them: windows,
    `location`, alignments and pictures know the order of the text alone.
    """

    def __init__(
        self, source_embedding: nn.Embedding, encoder: Encoder, bridge: nn.Module, decoder: Decoder, output: Output,
        *, dropout: float, variational: bool = False, word_dropout: float = 0.0, reverse_source: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.source_embedding = source_embedding
        self.encoder = encoder
        self.bridge = bridge
        self.decoder = decoder
        self.output = output
        self.dropout = Dropout(dropout, variational=variational)
        self.word_dropout = WordDropout(word_dropout)
        self.reverse_source = reverse_source

    @property
    def attends(self) -> bool:
        """Whether the decoder attends to the source, rather than reading one vector of it."""
        return isinstance(self.decoder.attention, Attention)

    @property
    def max_position(self) -> int | None:
        """How many source positions the attention can reach; None: all."""
        attention = self.decoder.attention
        return attention.score.reach if isinstance(attention, Attention) else None

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory, State]:
        """source tokens [b s], lengths [b] -> what the decoder reads, and its first state."""
        turned = reversal(lengths - 1, source.size(1)) if self.reverse_source else None  # [b s], EOS where it was
        source = source if turned is None else source.gather(1, turned)
        embedded = self.dropout(self.word_dropout(self.source_embedding(source), source))  # [b s e]
        states = self.dropout(self.encoder(embedded, lengths))  # [b s m]
        summary, layers = self.bridge(states, lengths)
        states = states if turned is None else reorder(states, turned)
        memory = self.decoder.attention.prepare(states, lengths, summary)
        return memory, self.decoder.start(memory, layers)

    def forward(self, source: Tensor, lengths: Tensor, inputs: Tensor) -> Decoded:
        """source [b s], lengths [b], target inputs (BOS first) [b t] -> features of each next token."""
        memory, state = self.encode(source, lengths)
        features, attended, _ = self.decoder(inputs, memory, state)
        return Decoded(self.output.features(features), attended)

    def step(
        self, tokens: Tensor, memory: Memory, state: State, project: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, AttentionOutput, State]:
        """The previous tokens [b] -> log-probabilities of the next [b v], what was attended, the next state.

        `project` gives the logits in place of `output.logits`.
        """
        features, attended, state = self.decoder.step(tokens, memory, state)
        logits = (project or self.output.logits)(self.output.features(features))
        logits = logits.float() if logits.dtype.itemsize == 2 else logits
        return logits.log_softmax(-1), attended, state
