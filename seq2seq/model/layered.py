"""Decoders whose layers run for all steps at once, and what their kinds share.

Shapes: b sentences, n decoder rows, t positions, e embedding, d hidden size, m encoder state.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput, FixedVector
from seq2seq.model.protocol import Decoded, Decoder, DecoderState, Encoded, Source
from seq2seq.nn.dropout import Dropout
from seq2seq.nn.module_list import ModuleList

Attend = Callable[[Attention, Tensor], AttentionOutput]
"""A layer's attention, queries [n t d] -> what was attended to in the source."""


class PositionedInput(nn.Module):
    """What the first layer reads: W dropout(c y + p), of embeddings y and positions p; W where e and d differ."""

    def __init__(
        self, embedding_size: int, size: int, positions: nn.Module | None, *, scale: float, dropout: Dropout
    ) -> None:
        """`scale` is c; `positions` adds p to embeddings [b t e] at positions [b t]."""
        super().__init__()
        self.positions = positions
        self.scale = scale
        self.dropout = dropout
        self.projection = nn.Linear(embedding_size, size) if embedding_size != size else nn.Identity()

    def forward(self, embedded: Tensor, positions: Tensor) -> Tensor:
        """embedded [b t e], positions [b t] -> [b t d]."""
        x = self.scale * embedded if self.scale != 1 else embedded
        x = x if self.positions is None else self.positions(x, positions)
        mapped: Tensor = self.projection(self.dropout(x))
        return mapped


class SourceVector(nn.Module):
    """W x with x pooled from the source: all that a decoder without attention knows of it."""

    def __init__(self, pooling: nn.Module, memory_size: int, size: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.map = nn.Linear(memory_size, size, bias=False)

    def forward(self, states: Tensor, lengths: Tensor, embedded: Tensor) -> Tensor:
        """states [b s m], lengths [b], embeddings [b s e] -> [b d]."""
        vector: Tensor = self.map(self.pooling(states, lengths, embedded))
        return vector


@dataclass(frozen=True)
class LayeredState(DecoderState):
    """What decoder layers carry from step to step."""

    layers: tuple[Any, ...]
    """What each layer keeps of the steps so far: a memory of their keys and values, or the last inputs of a
    convolution [n k d]."""


class DecoderLayer(Protocol):
    """What `LayeredDecoder` asks of a layer."""

    attention: Attention | None

    def initial(self, like: Tensor) -> Any:
        """What the layer keeps before the first step; `like` [n ..] has its number of rows, type and device."""

    def __call__(
        self, x: Tensor, past: Any, inputs: Tensor, positions: Tensor, attend: Attend
    ) -> tuple[Tensor, AttentionOutput | None, Any]:
        """x [n t d], what it kept, the first layer's inputs [n t d], positions [n t] -> x, attended, kept now."""


class LayeredDecoder(Decoder):
    """Layers that run for whole sequences as for single steps, each with an attention to the source or none."""

    def __init__(
        self,
        embedding: nn.Embedding,
        inputs: PositionedInput,
        layers: list[nn.Module],
        last: nn.Module,
        bridge: SourceVector | None,
        *,
        alignment_layer: int,
    ) -> None:
        """`last` maps the top layer's output to the features. `bridge` is for layers without attention.

        `alignment_layer`: the layer whose attention alignments are read from, from 0.
        """
        super().__init__()
        self.bridge = bridge
        self.embedding = embedding
        self.inputs = inputs
        self.layers: ModuleList[Any] = ModuleList(layers)
        self.last = last
        self.alignment_layer = alignment_layer

    @property
    def aligning_attention(self) -> Attention | None:
        attention: Attention | None = self.layers[self.alignment_layer].attention
        return attention

    @property
    def attention_layers(self) -> int:
        return sum(layer.attention is not None for layer in self.layers)

    def start(self, encoded: Encoded, lengths: Tensor) -> tuple[Source, LayeredState]:
        rows = encoded.keys.new_zeros(lengths.size(0), 0)
        state = LayeredState(torch.zeros_like(lengths), tuple(layer.initial(rows) for layer in self.layers))
        if self.bridge is not None:
            vector = encoded.read_by(self.bridge, lengths)[:, None]  # [b 1 d]
            return Source((FixedVector().prepare(vector, vector, lengths),)), state
        memories = (layer.attention.prepare(encoded.keys, encoded.values, lengths) for layer in self.layers)
        return Source(tuple(memories)), state

    def forward(self, tokens: Tensor, source: Source, state: DecoderState, *, need_weights: bool = True) -> Decoded:
        assert isinstance(state, LayeredState)
        positions = state.position[:, None] + torch.arange(tokens.size(1), device=tokens.device)  # [n t]
        x = inputs = self.inputs(self.embedding(tokens), positions)  # [n t d]
        aligned = AttentionOutput(x)
        if self.bridge is not None:
            aligned = source.attend(FixedVector(), x, positions)
            x = inputs = x + aligned.context
        kept = []
        for number, (layer, past) in enumerate(zip(self.layers, state.layers, strict=True)):
            weights = need_weights and number == self.alignment_layer
            attend = partial(source.attend, positions=positions, layer=number, need_weights=weights)
            x, attended, now = layer(x, past, inputs, positions, attend)
            kept.append(now)
            aligned = attended if number == self.alignment_layer and attended is not None else aligned
        return Decoded(self.last(x), aligned, LayeredState(state.position + tokens.size(1), tuple(kept)))
