"""The decoder: embeds its input, runs the placement step by step or all at once, and reads out.

Shapes: b batch, t target, e embedding, r readout size.
"""

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attended, Attention, FixedVector, Memory
from seq2seq.model.placement import Placement
from seq2seq.model.recurrent import LayerState
from seq2seq.model.state import State


class Decoder(nn.Module):
    """One loop for every attention: the kind of attention is nowhere asked for."""

    def __init__(
        self, embedding: nn.Embedding, placement: Placement, attention: Attention | FixedVector, *, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.placement = placement
        self.attention = attention
        self.dropout = nn.Dropout(dropout)

    def start(self, memory: Memory, layers: tuple[LayerState, ...]) -> State:
        """The state before the first step."""
        h = layers[0][0]
        feed = h.new_zeros(len(h), self.placement.feed_size) if self.placement.feed_size else None
        position = torch.zeros(len(h), dtype=torch.long, device=h.device)
        return State(layers, position, feed, self.attention.no_coverage(memory))

    def forward(self, tokens: Tensor, memory: Memory, state: State) -> tuple[Tensor, Attended, State]:
        """Input tokens [b t] -> what the vocabulary is projected from [b t r], what was attended, the next state."""
        embedded = self.dropout(self.embedding(tokens))  # [b t e]
        inputs = self.placement.prepare(embedded)
        if self.placement.parallel and not self.attention.uses_coverage:
            outputs, attended, state = self._at_once(inputs, memory, state)
        else:
            outputs, attended, state = self._step_by_step(inputs, memory, state)
        return self.dropout(self.placement.readout(embedded, outputs, attended.context)), attended, state

    def _at_once(self, inputs: Tensor, memory: Memory, state: State) -> tuple[Tensor, Attended, State]:
        steps = torch.arange(inputs.size(1), device=inputs.device)

        def attend(query: Tensor) -> Attended:
            return self.attention(query, memory, state.position[:, None] + steps)

        outputs, layers, attended = self.placement.sequence(inputs, state.layers, attend)
        return outputs, attended, State(layers, state.position + inputs.size(1))

    def _step_by_step(self, inputs: Tensor, memory: Memory, state: State) -> tuple[Tensor, Attended, State]:
        outputs: list[Tensor] = []
        seen: list[Attended] = []
        for x in inputs.unbind(1):

            def attend(query: Tensor, now: State = state) -> Attended:
                return self.attention(query, memory, now.position[:, None], now.coverage)

            step = self.placement.step(x, state.layers, state.feed, attend)
            outputs.append(step.output)
            seen.append(step.attended)
            state = State(step.layers, state.position + 1, step.feed, step.attended.coverage)
        return torch.stack(outputs, 1), Attended.concatenate(seen), state
