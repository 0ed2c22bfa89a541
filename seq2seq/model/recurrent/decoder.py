"""The recurrent decoder: embeds its input, runs the placement step by step or all at once, and reads out.

Shapes: n decoder rows, t target, e embedding, g gates, r readout size.
"""

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput, FixedVector
from seq2seq.model.protocol import Decoded, Decoder, DecoderState, Encoded, Source
from seq2seq.model.recurrent.placement import Attend, Placement, RecurrentState, Step, StepMasks
from seq2seq.nn.dropout import Dropout, WordDropout
from seq2seq.nn.products import shared_gradients


class RecurrentDecoder(Decoder):
    """One time loop for every attention."""

    def __init__(
        self,
        embedding: nn.Embedding,
        placement: Placement,
        attention: Attention | FixedVector,
        bridge: nn.Module,
        *,
        dropout: Dropout,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.bridge: nn.Module = bridge
        self.embedding = embedding
        self.placement = placement
        self.attention = attention
        self.dropout = dropout
        self.word_dropout = WordDropout(word_dropout)

    @property
    def aligning_attention(self) -> Attention | None:
        return self.attention if isinstance(self.attention, Attention) else None

    @property
    def _parallel(self) -> bool:
        """Whether no step waits for the one before it, except within the recurrent layers."""
        return self.placement.parallel and not self.attention.uses_coverage

    def start(self, encoded: Encoded, lengths: Tensor) -> tuple[Source, RecurrentState]:
        summary, layers = self.bridge(encoded.keys if encoded.as_read is None else encoded.as_read, lengths)
        keys, values = self.placement.attended_to(encoded, summary)
        memory = self.attention.prepare(keys, values, lengths)
        h = layers[0][0]
        position = torch.zeros(len(h), dtype=torch.long, device=h.device)
        size = self.placement.input_feed_size
        input_feed = h.new_zeros(len(h), size) if size else None
        state = RecurrentState(position, layers, input_feed, self.attention.initial_coverage(memory))
        return Source((memory,)), state

    def forward(self, tokens: Tensor, source: Source, state: DecoderState, *, need_weights: bool = True) -> Decoded:
        assert isinstance(state, RecurrentState)
        embedded = self.dropout(self.word_dropout(self.embedding(tokens), tokens))  # [n t e]
        inputs = self.placement.project_inputs(embedded)
        run = self._at_once if self._parallel else self._step_by_step
        outputs, attended, state = run(inputs, source, state, need_weights)
        features = self.dropout(self.placement.readout(embedded, outputs, attended.context))
        return Decoded(features, attended, state)

    def step(self, tokens: Tensor, source: Source, state: DecoderState, *, need_weights: bool = True) -> Decoded:
        """`forward` of one step, without dropout: input tokens [n] -> features [n r]."""
        if self._parallel:
            return super().step(tokens, source, state, need_weights=need_weights)
        assert isinstance(state, RecurrentState)
        embedded = self.embedding(tokens)  # [n e]
        step, state = self._advance(self.placement.project_inputs(embedded), source, state, need_weights)
        features = self.placement.readout(embedded, step.output, step.attended.context[:, 0])
        return Decoded(features, step.attended, state)

    def _attend(self, source: Source, positions: Tensor, coverage: Tensor | None, need_weights: bool) -> Attend:
        def attend(query: Tensor) -> AttentionOutput:
            return source.attend(self.attention, query, positions, coverage=coverage, need_weights=need_weights)

        return attend

    def _at_once(
        self, inputs: Tensor, source: Source, state: RecurrentState, need_weights: bool
    ) -> tuple[Tensor, AttentionOutput, RecurrentState]:
        positions = state.position[:, None] + torch.arange(inputs.size(1), device=inputs.device)
        attend = self._attend(source, positions, None, need_weights)
        outputs, layers, attended = self.placement.sequence(inputs, state.layers, attend)
        return outputs, attended, RecurrentState(state.position + inputs.size(1), layers)

    def _step_by_step(
        self, inputs: Tensor, source: Source, state: RecurrentState, need_weights: bool
    ) -> tuple[Tensor, AttentionOutput, RecurrentState]:
        outputs: list[Tensor] = []
        attended: list[AttentionOutput] = []
        masks = self.placement.masks(inputs)
        with shared_gradients():
            for x in inputs.unbind(1):
                step, state = self._advance(x, source, state, need_weights, masks)
                outputs.append(step.output)
                attended.append(step.attended)
        return torch.stack(outputs, 1), AttentionOutput.concatenate(attended), state

    def _advance(
        self, inputs: Tensor, source: Source, state: RecurrentState, need_weights: bool, masks: StepMasks | None = None
    ) -> tuple[Step, RecurrentState]:
        """Run one step of the placement on prepared inputs [n g]; return it and the state after it."""
        attend = self._attend(source, state.position[:, None], state.coverage, need_weights)
        step = self.placement.step(inputs, state, attend, masks)
        return step, RecurrentState(state.position + 1, step.layers, step.input_feed, step.attended.coverage)
