"""The recurrent decoder: embeds its input, runs the placement step by step or all at once, and reads out.

Shapes: n decoder rows, t target, e embedding, g gates, r readout size.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput, FixedVector
from seq2seq.model.protocol import Decoded, Decoder, DecoderState, Encoded, Pointed, Source
from seq2seq.model.recurrent.lexical import LexicalModel
from seq2seq.model.recurrent.placement import After, Placement, RecurrentState, Step, StepMasks
from seq2seq.nn.dropout import Dropout
from seq2seq.nn.products import shared_gradients

Read = Callable[..., AttentionOutput]
"""`Source.attend` of the decoder's attention: takes the query, `positions` and `coverage`."""
Run = tuple[Tensor, AttentionOutput, RecurrentState]
"""Outputs [n t d], what was attended, the next state."""


class RecurrentDecoder(Decoder):
    """One time loop for every attention."""

    def __init__(
        self,
        embedding: nn.Embedding,
        placement: Placement,
        attention: Attention | FixedVector,
        bridge: nn.Module,
        lexical: LexicalModel | None = None,
        *,
        dropout: Dropout,
    ) -> None:
        super().__init__()
        self.bridge: nn.Module = bridge
        self.embedding = embedding
        self.placement = placement
        self.attention = attention
        self.lexical = lexical
        self.dropout = dropout

    @property
    def aligning_attention(self) -> Attention | None:
        return self.attention if isinstance(self.attention, Attention) else None

    @property
    def _parallel(self) -> bool:
        """Whether no step waits for the one before it, except within the recurrent layers."""
        return self.placement.parallel and not self.attention.uses_coverage

    def start(self, encoded: Encoded, lengths: Tensor) -> tuple[Source, RecurrentState]:
        summary, layers = encoded.read_by(self.bridge, lengths)
        keys, values = self.placement.attended_to(encoded, summary)
        values = values if self.lexical is None else self.lexical.beside(values, encoded)
        memory = self.attention.prepare(keys, values, lengths)
        h = layers[0][0]
        position = torch.zeros(h.size(0), dtype=torch.long, device=h.device)
        size = self.placement.input_feed_size
        input_feed = h.new_zeros(h.size(0), size) if size else None
        state = RecurrentState(position, layers, input_feed, self.attention.initial_coverage(memory))
        return Source((memory,)), state

    def forward(self, tokens: Tensor, source: Source, state: DecoderState, *, need_weights: bool = True) -> Decoded:
        assert isinstance(state, RecurrentState)
        read = partial(self._attend, source, need_weights=need_weights)
        embedded = self.dropout(self.embedding(tokens))  # [n t e]
        inputs = self.placement.project_inputs(embedded)
        run = self._at_once if self._parallel else self._step_by_step
        outputs, attended, state = run(inputs, state, read)
        features = self.placement.readout(embedded, outputs, attended.context)
        return Decoded(self.dropout(self._with_words(features, attended.words)), attended, state)

    def point(self, tokens: Tensor, source: Source, state: DecoderState, least: float) -> Pointed:
        assert isinstance(state, RecurrentState)
        if not (isinstance(self.placement, After) and isinstance(self.attention, Attention) and self._parallel):
            return super().point(tokens, source, state, least)
        embedded = self.dropout(self.embedding(tokens))
        inputs = self.placement.project_inputs(embedded)
        attend = partial(self._attend, source, positions=_positions(inputs, state))
        outputs, attended = self.placement.before_reading(inputs, state.layers, attend)
        weights = attended.to_dense(source.size)
        assert weights is not None
        mean = weights.mean(1)  # [n t s]
        rows, steps, positions = (mean >= torch.clamp(mean.amax(-1, keepdim=True), max=least)).nonzero(as_tuple=True)
        alone = self._apart(AttentionOutput(self.attention.read_position(source.memories[0], rows, positions)))
        features = self.placement.combined(alone.context, outputs[rows, steps][:, None])
        features = self._with_words(features, alone.words)[:, 0]
        # One draw for all positions of a token: they are summed as the same network's.
        kept = self.dropout(features.new_ones(*tokens.shape, features.size(-1)))[rows, steps]
        return Pointed(features * kept, rows, steps, mean[rows, steps, positions].log(), attended)

    def step(self, tokens: Tensor, source: Source, state: DecoderState, *, need_weights: bool = True) -> Decoded:
        """`forward` of one step, without dropout: input tokens [n] -> features [n r]."""
        if self._parallel:
            return super().step(tokens, source, state, need_weights=need_weights)
        assert isinstance(state, RecurrentState)
        read = partial(self._attend, source, need_weights=need_weights)
        embedded = self.embedding(tokens)  # [n e]
        step, state = self._advance(self.placement.project_inputs(embedded), state, read)
        features = self.placement.readout(embedded, step.output, step.attended.context[:, 0])
        words = step.attended.words
        return Decoded(self._with_words(features, words if words is None else words[:, 0]), step.attended, state)

    def _attend(self, source: Source, query: Tensor, positions: Tensor, **options: Any) -> AttentionOutput:
        return self._apart(source.attend(self.attention, query, positions, **options))

    def _apart(self, attended: AttentionOutput) -> AttentionOutput:
        return attended if self.lexical is None else self.lexical.apart(attended)

    def _with_words(self, readout: Tensor, words: Tensor | None) -> Tensor:
        return readout if self.lexical is None else self.lexical(readout, words)

    def _at_once(self, inputs: Tensor, state: RecurrentState, read: Read) -> Run:
        attend = partial(read, positions=_positions(inputs, state))
        outputs, layers, attended = self.placement.sequence(inputs, state.layers, attend)
        return outputs, attended, RecurrentState(state.position + inputs.size(1), layers)

    def _step_by_step(self, inputs: Tensor, state: RecurrentState, read: Read) -> Run:
        outputs: list[Tensor] = []
        attended: list[AttentionOutput] = []
        masks = self.placement.masks(inputs)
        with shared_gradients():
            for x in inputs.unbind(1):
                step, state = self._advance(x, state, read, masks)
                outputs.append(step.output)
                attended.append(step.attended)
        return torch.stack(outputs, 1), AttentionOutput.concatenate(attended), state

    def _advance(
        self, inputs: Tensor, state: RecurrentState, read: Read, masks: StepMasks | None = None
    ) -> tuple[Step, RecurrentState]:
        """Run one step of the placement on prepared inputs [n g]; return it and the state after it."""
        attend = partial(read, positions=state.position[:, None], coverage=state.coverage)
        step = self.placement.step(inputs, state, attend, masks)
        return step, RecurrentState(state.position + 1, step.layers, step.input_feed, step.attended.coverage)


def _positions(inputs: Tensor, state: RecurrentState) -> Tensor:
    """Return the target positions [n t] of the next inputs [n t g]."""
    return state.position[:, None] + torch.arange(inputs.size(1), device=inputs.device)
