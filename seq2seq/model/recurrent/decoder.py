"""The decoder: embeds its input, runs the placement step by step or all at once, and reads out.

Shapes: b batch, t target, e embedding, r readout size.
"""

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention, AttentionOutput, FixedVector, Memory
from seq2seq.model.protocol import State
from seq2seq.model.recurrent.layers import LayerState
from seq2seq.model.recurrent.placement import Placement, Step, StepMasks
from seq2seq.nn.dropout import Dropout, WordDropout
from seq2seq.nn.products import shared_gradients


class Decoder(nn.Module):
    """One loop for every attention: the kind of attention is nowhere asked for."""

    def __init__(
        self, embedding: nn.Embedding, placement: Placement, attention: Attention | FixedVector, *, dropout: float,
        variational: bool = False, word_dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embedding = embedding
        self.placement = placement
        self.attention = attention
        self.dropout = Dropout(dropout, variational=variational)
        self.word_dropout = WordDropout(word_dropout)

    def start(self, memory: Memory, layers: tuple[LayerState, ...]) -> State:
        """The state before the first step."""
        h = layers[0][0]
        feed = h.new_zeros(len(h), self.placement.feed_size) if self.placement.feed_size else None
        position = torch.zeros(len(h), dtype=torch.long, device=h.device)
        return State(layers, position, feed, self.attention.initial_coverage(memory))

    def forward(self, tokens: Tensor, memory: Memory, state: State) -> tuple[Tensor, AttentionOutput, State]:
        """Input tokens [b t] -> what the vocabulary is projected from [b t r], what was attended, the next state."""
        embedded = self.dropout(self.word_dropout(self.embedding(tokens), tokens))  # [b t e]
        inputs = self.placement.project_inputs(embedded)
        if self.placement.parallel and not self.attention.uses_coverage:
            outputs, attended, state = self._at_once(inputs, memory, state)
        else:
            outputs, attended, state = self._step_by_step(inputs, memory, state)
        return self.dropout(self.placement.readout(embedded, outputs, attended.context)), attended, state

    def step(self, tokens: Tensor, memory: Memory, state: State) -> tuple[Tensor, AttentionOutput, State]:
        """`forward` of one step without dropout: input tokens [b] -> [b r], what was attended, the next state."""
        if self.placement.parallel and not self.attention.uses_coverage:
            features, attended, state = self(tokens[:, None], memory, state)
            return features[:, 0], attended, state

        embedded = self.embedding(tokens)  # [b e]
        step, state = self._advance(self.placement.project_inputs(embedded), memory, state)
        features = self.placement.readout(embedded, step.output, step.attended.context[:, 0])
        return features, step.attended, state

    def _at_once(self, inputs: Tensor, memory: Memory, state: State) -> tuple[Tensor, AttentionOutput, State]:
        steps = torch.arange(inputs.size(1), device=inputs.device)

        def attend(query: Tensor) -> AttentionOutput:
            return self.attention(query, memory, state.position[:, None] + steps)

        outputs, layers, attended = self.placement.sequence(inputs, state.layers, attend)
        return outputs, attended, State(layers, state.position + inputs.size(1))

    def _step_by_step(self, inputs: Tensor, memory: Memory, state: State) -> tuple[Tensor, AttentionOutput, State]:
        outputs: list[Tensor] = []
        seen: list[AttentionOutput] = []
        masks = self.placement.masks(inputs)
        with shared_gradients():
            for x in inputs.unbind(1):
                step, state = self._advance(x, memory, state, masks)
                outputs.append(step.output)
                seen.append(step.attended)
        return torch.stack(outputs, 1), AttentionOutput.concatenate(seen), state

    def _advance(
        self, inputs: Tensor, memory: Memory, state: State, masks: StepMasks | None = None
    ) -> tuple[Step, State]:
        """One step of the placement, from prepared inputs [b g], and the state after it."""

        def attend(query: Tensor) -> AttentionOutput:
            return self.attention(query, memory, state.position[:, None], state.coverage)

        step = self.placement.step(inputs, state, attend, masks)
        return step, State(step.layers, state.position + 1, step.feed, step.attended.coverage)
