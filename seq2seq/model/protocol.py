"""What the model asks of encoders and decoders, of any architecture, and the values they exchange.

Shapes: b sentences, s source, t target, n decoder rows, k places per sentence, m encoder state, r features.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput, FixedVector, Memory
from seq2seq.nn.rows import reorder, select


@dataclass(frozen=True)
class Encoded:
    """What an encoder makes of the source."""

    keys: Tensor
    """[b s m]"""
    values: Tensor
    """[b s m]: the same tensor as the keys for most encoders."""
    read_order: Tensor | None = None
    """[b s]: where the words stand that the encoder read one after the other; None: in the order of `keys`."""
    embedded: Tensor | None = None
    """[b s e]: the embeddings of the words, in the order in which the encoder read them."""

    def reorder(self, positions: Tensor) -> "Encoded":
        """Move keys and values to the order of the text: what stands at these positions [b s]."""
        keys = reorder(self.keys, positions)
        values = keys if self.values is self.keys else reorder(self.values, positions)
        return replace(self, keys=keys, values=values, read_order=positions)

    def first(self, sentences: int, words: int) -> "Encoded":
        """Take the first sentences alone, and their first words."""
        given = {name: value[:sentences, :words] for name, value in vars(self).items() if value is not None}
        same = self.values is self.keys
        return Encoded(**{**given, "values": given["keys"]} if same else given)

    def plus(self, context: Tensor) -> "Encoded":
        """Add the context [b s m] of each state."""
        keys = self.keys + context
        return replace(self, keys=keys, values=keys if self.values is self.keys else self.values + context)

    def read_by(self, bridge: nn.Module, lengths: Tensor) -> Any:
        """What a bridge makes of the states and embeddings, in the order in which the encoder read the words."""
        keys = self.keys if self.read_order is None else reorder(self.keys, self.read_order)  # its own inverse
        return bridge(keys, lengths, self.embedded)


@dataclass(frozen=True)
class Readers:
    """Maps n decoder rows (beam hypotheses) to b source sentences, so that hypotheses share one memory.

    Rows fill a [b k] grid, as steps of a sequence do; places may be empty.
    """

    sentences: Tensor
    """[n]: the sentence that each row reads."""
    places: Tensor | None
    """[n]: each row's place in the flattened grid; None: the rows fill it in order."""
    shape: tuple[int, int]
    """b, k"""

    def spread(self, x: Tensor) -> Tensor:
        """[n 1 ..] -> [b k ..], 0 at empty places."""
        if self.places is not None:
            grid = x.new_zeros(self.shape[0] * self.shape[1], *x.shape[1:])
            x = grid.index_copy_(0, self.places, x)
        return x.view(*self.shape, *x.shape[2:])

    def collect(self, x: Tensor) -> Tensor:
        """[b k ..] -> [n 1 ..]"""
        flat = x.flatten(0, 1)
        return (flat if self.places is None else flat.index_select(0, self.places))[:, None]


@dataclass(frozen=True)
class Pointer:
    """A source position for each of n decoder rows, which an attending layer reads whatever its weights are."""

    layer: int
    positions: Tensor
    """[n]"""


@dataclass(frozen=True)
class Focus:
    """Weights for each of n decoder rows, with which all heads of an attending layer read in place of their own."""

    layer: int
    weights: Tensor
    """[n s]"""


@dataclass(frozen=True)
class Source:
    """The source sentences as a decoder reads them."""

    memories: tuple[Memory, ...]
    """One per attending layer."""
    readers: Readers | None = None
    """Which decoder rows read which sentence; None: one row per sentence, in order."""
    pointer: Pointer | Focus | None = None
    """What one of the layers reads in place of its context, in a single step; with a Pointer it has no weights."""

    @property
    def lengths(self) -> Tensor:
        """Words of each sentence [b], EOS included."""
        return self.memories[0].lengths

    @property
    def size(self) -> int:
        """Words of the longest sentence, as padded."""
        return self.memories[0].size

    def select(self, sentences: Tensor) -> "Source":
        """Take these sentences, in that order, with one row each."""
        return Source(select(self.memories, sentences))

    def attend(
        self,
        attention: Attention | FixedVector,
        query: Tensor,
        positions: Tensor,
        *,
        layer: int = 0,
        coverage: Tensor | None = None,
        need_weights: bool = True,
    ) -> AttentionOutput:
        """Let an attending layer's queries [n t q] read its memory. Where rows share memories, t is 1."""
        memory, readers = self.memories[layer], self.readers
        if self.pointer is not None and self.pointer.layer == layer:
            assert isinstance(attention, Attention)
            rows = readers.sentences if readers is not None else torch.arange(query.size(0), device=query.device)
            if isinstance(self.pointer, Pointer):
                return AttentionOutput(attention.read_position(memory, rows, self.pointer.positions))
            return attention.read_weighted(memory, rows, self.pointer.weights, coverage)
        if readers is None or coverage is not None:
            memory = memory if readers is None else memory.select(readers.sentences)  # coverage is each row's own
            output: AttentionOutput = attention(query, memory, positions, coverage=coverage, need_weights=need_weights)
            return output
        grid = attention(readers.spread(query), memory, readers.spread(positions), need_weights=need_weights)
        return AttentionOutput(
            readers.collect(grid.context),
            None if grid.weights is None else readers.collect(grid.weights.transpose(1, 2)).transpose(1, 2),
            None if grid.index is None else readers.collect(grid.index),
            centre=None if grid.centre is None else readers.collect(grid.centre),
        )


@dataclass(frozen=True)
class DecoderState:
    """Everything a decoder carries from one step to the next: one immutable value that search can reorder."""

    position: Tensor
    """[n]: steps done so far, which is t of the next step."""

    def select(self, rows: Tensor) -> Self:
        """Take these rows [m], in that order."""
        return select(self, rows)


@dataclass(frozen=True)
class Decoded:
    """What a decoder makes of t target tokens."""

    features: Tensor
    """[n t r], of a single step [n r]: what the vocabulary is projected from."""
    attended: AttentionOutput
    """What the layer attended to that alignments are read from."""
    state: DecoderState
    """After these tokens."""


@dataclass(frozen=True)
class Pointed:
    """What a decoder makes of t target tokens if a step reads one source position alone: m such pairs, in order."""

    features: Tensor
    """[m r]: what the vocabulary is projected from."""
    rows: Tensor
    """[m]: the decoder row of each."""
    steps: Tensor
    """[m]: its target position."""
    log_weights: Tensor
    """[m]: the logarithm of its attention weight."""
    attended: AttentionOutput
    """What all positions together would have given."""


class Encoder(nn.Module, ABC):
    """Source embeddings to the states h_1..h_S that attention reads."""

    @abstractmethod
    def forward(self, embedded: Tensor, lengths: Tensor) -> Encoded:
        """embedded [b s e], lengths [b] -> states."""


class Decoder(nn.Module, ABC):
    """Target tokens to the features of the next ones."""

    embedding: nn.Embedding
    bridge: nn.Module | None
    """Computes the first state from the encoder's states; None: the decoder has no such part."""
    alignment_layer: int = 0
    """Layer whose attention alignments, pictures and reports read, from 0; a decoder with one attention has no other"""

    @property
    def attention_layers(self) -> int:
        """Number of layers that attend to the source."""
        return int(self.aligning_attention is not None)

    @property
    @abstractmethod
    def aligning_attention(self) -> Attention | None:
        """The attention that alignments, pictures and reports read; None: the decoder attends to nothing."""

    @abstractmethod
    def start(self, encoded: Encoded, lengths: Tensor) -> tuple[Source, DecoderState]:
        """Prepare what is read of the source, and the state before the first step."""

    @abstractmethod
    def forward(self, tokens: Tensor, source: Source, state: DecoderState, *, need_weights: bool = True) -> Decoded:
        """Decode whole sequences or parts of them: input tokens [n t]."""

    def point(self, tokens: Tensor, source: Source, state: DecoderState, least: float) -> Pointed:
        """Read each source position alone that has this attention weight or more: input tokens [n t].

        Raises TypeError unless no step's context reaches another step.
        """
        raise TypeError(f"{type(self).__name__}: what a step reads reaches the others")

    def step(self, tokens: Tensor, source: Source, state: DecoderState, *, need_weights: bool = True) -> Decoded:
        """`forward` of one step: input tokens [n] -> features [n r]."""
        decoded: Decoded = self(tokens[:, None], source, state, need_weights=need_weights)
        return replace(decoded, features=decoded.features[:, 0])
