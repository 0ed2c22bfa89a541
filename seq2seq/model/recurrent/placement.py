"""Placements: where the context enters the decoder. One class per row of the table of names.

A placement owns the decoder's recurrent layers. What does not wait for the previous step is computed for all steps at
once: `project_inputs` before the time loop, `readout` after it. In between runs either `step` once per token or, where
nothing is fed back (`parallel`), `sequence` once.

y_t is the embedding of the decoder's input at step t, s_t its state, a_t the context. A product with a concatenation,
W [y_t ; a_t], is computed as W_y y_t + W_a a_t: the first term for all steps at once.

Shapes: b batch, t target, e embedding, d hidden, m context, g gates, r readout size.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import AttentionOutput
from seq2seq.model.protocol import DecoderState, Encoded
from seq2seq.model.recurrent.layers import LayerState, Masks, Recurrent, Stack
from seq2seq.nn.dropout import masked
from seq2seq.nn.module_list import ModuleList
from seq2seq.nn.products import StepLinear

Attend = Callable[[Tensor], AttentionOutput]
"""Queries [b t d] -> what was attended; closes over the memory and the position."""


@dataclass(frozen=True)
class RecurrentState(DecoderState):
    """What a recurrent decoder carries from step to step. b decoder rows, h heads, s source, d hidden size."""

    layers: tuple[LayerState, ...]
    """State of each layer: (h,) or (h, c), each [b d]."""
    input_feed: Tensor | None = None
    """[b d]: the vector that input feeding hands to the next step."""
    coverage: Tensor | None = None
    """[b h s]: attention weights summed over the steps so far."""


class StepMasks(NamedTuple):
    """What dropout drew for all steps of a sequence. The context needs no mask: the encoder's states have theirs."""

    stack: Masks
    input_feed: Tensor | None = None
    """For the vector fed back [b d]."""
    first_cell: Tensor | None = None
    """For the previous state of the cell below the context [b d]."""


class Step(NamedTuple):
    """What a step gives: the output [b d], the layers' next states, what was attended, the vector to feed [b d]."""

    output: Tensor
    layers: tuple[LayerState, ...]
    attended: AttentionOutput
    input_feed: Tensor | None = None


class Readout(nn.Module):
    """t̃ = U s_t + V y_t + C a_t, then maxout over pairs (Bahdanau 2015, A.2.2) or tanh."""

    def __init__(self, kind: str, hidden_size: int, embedding_size: int, context_size: int, size: int) -> None:
        super().__init__()
        self.maxout = kind == "maxout"
        width = 2 * size if self.maxout else size
        self.hidden = StepLinear(hidden_size, width)
        self.embedded = StepLinear(embedding_size, width, bias=False)
        self.context = StepLinear(context_size, width, bias=False) if context_size else None

    def forward(self, embedded: Tensor, output: Tensor, context: Tensor) -> Tensor:
        """embedded [b t e], output [b t d], context [b t m] -> [b t r]."""
        mixed = self.hidden(output) + self.embedded(embedded)
        if self.context is not None:
            mixed = mixed + self.context(context)
        if self.maxout:
            return mixed.unflatten(-1, (-1, 2)).amax(-1)
        return torch.tanh(mixed)


class Placement(nn.Module, ABC):
    """Base of the placements."""

    parallel = False
    """Whether `sequence` runs all steps at once."""
    input_feed_size = 0
    """Size of the vector that is fed back; 0: none is."""
    stack: Stack
    read: Readout

    def attended_to(self, encoded: Encoded, summary: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of what `attend` reads; summary [b m] is the bridge's vector of the source."""
        return encoded.keys, encoded.values

    @abstractmethod
    def project_inputs(self, embedded: Tensor) -> Tensor:
        """embedded [b t e] -> what `step` and `sequence` take as inputs [b t g]."""

    def masks(self, inputs: Tensor) -> StepMasks:
        """Draw what the `step`s of a sequence need: inputs [b t g]."""
        return StepMasks(self.stack.masks(inputs))

    def step(self, inputs: Tensor, state: RecurrentState, attend: Attend, masks: StepMasks | None = None) -> Step:
        """inputs [b g], the state before the step, what `masks` drew -> the step's results."""
        raise TypeError(f"{type(self).__name__} only runs all steps at once")

    def sequence(
        self, inputs: Tensor, layers: tuple[LayerState, ...], attend: Attend
    ) -> tuple[Tensor, tuple[LayerState, ...], AttentionOutput]:
        """inputs [b t g], the layers' states -> outputs [b t d], the last states, what was attended."""
        raise TypeError(f"{type(self).__name__} does not run in parallel")

    def readout(self, embedded: Tensor, output: Tensor, context: Tensor) -> Tensor:
        """embedded [b t e], output [b t d], context [b t m] -> what the vocabulary is projected from [b t r]."""
        features: Tensor = self.read(embedded, output, context)
        return features


class Before(Placement):
    """a_t from s_{t-1}; s_t = RNN([y_t ; a_t], s_{t-1}) (Bahdanau 2015, A.2.2).

    `bottom` asks with the lowest layer's state and gives the context to every layer (GNMT, Wu 2016, eq. 4). With
    `readout_state=previous` the readout takes s_{t-1} of the highest layer in place of s_t, as the paper does.
    """

    def __init__(
        self, stack: Stack, readout: Readout, context_size: int, *, attend_from: str, readout_state: str = "current"
    ) -> None:
        super().__init__()
        self.reads_previous = readout_state == "previous"
        self.stack, self.read = stack, readout
        self.query_layer = 0 if attend_from == "bottom" else -1
        receiving = list(stack.layers) if attend_from == "bottom" else [stack.first]
        self.context_gates: ModuleList[StepLinear] = ModuleList(
            StepLinear(context_size, layer.gate_size, bias=False) for layer in receiving
        )

    def project_inputs(self, embedded: Tensor) -> Tensor:
        return self.stack.first.gates(embedded)

    def step(self, inputs: Tensor, state: RecurrentState, attend: Attend, masks: StepMasks | None = None) -> Step:
        attended = attend(state.layers[self.query_layer][0][:, None])
        context = attended.context[:, 0]
        lowest, *upper = (gates(context) for gates in self.context_gates)
        output, new = self.stack.step(inputs + lowest, state.layers, upper, masks and masks.stack)
        return Step(state.layers[-1][0] if self.reads_previous else output, new, attended)


class After(Placement):
    """s_t = RNN(y_t, s_{t-1}); a_t from s_t; h̃_t = tanh(W_c [a_t ; s_t]) (Luong 2015, eq. 5).

    With input feeding the input is [y_t ; h̃_{t-1}], h̃_0 = 0 (section 3.3).
    """

    def __init__(self, stack: Stack, hidden_size: int, context_size: int, *, input_feeding: bool) -> None:
        super().__init__()
        self.stack = stack
        self.combine = StepLinear(context_size + hidden_size, hidden_size, bias=False)
        self.parallel = not input_feeding
        self.input_feed_size = hidden_size if input_feeding else 0
        self.feed_gates = StepLinear(hidden_size, stack.first.gate_size, bias=False) if input_feeding else None

    def project_inputs(self, embedded: Tensor) -> Tensor:
        return embedded if self.parallel else self.stack.first.gates(embedded)

    def masks(self, inputs: Tensor) -> StepMasks:
        return StepMasks(self.stack.masks(inputs), input_feed=None if self.parallel else self.stack.input_mask(inputs))

    def step(self, inputs: Tensor, state: RecurrentState, attend: Attend, masks: StepMasks | None = None) -> Step:
        if self.feed_gates is None:
            gates = self.stack.first.gates(inputs)
        else:
            assert state.input_feed is not None
            gates = inputs + self.feed_gates(masked(state.input_feed, masks and masks.input_feed))
        output, new = self.stack.step(gates, state.layers, masks=masks and masks.stack)
        attended = attend(new[-1][0][:, None])
        attentional = self.combined(attended.context[:, 0], output)
        return Step(attentional, new, attended, None if self.parallel else attentional)

    def sequence(
        self, inputs: Tensor, layers: tuple[LayerState, ...], attend: Attend
    ) -> tuple[Tensor, tuple[LayerState, ...], AttentionOutput]:
        outputs, hidden, new = self.stack.sequence(inputs, layers)
        attended = attend(hidden)
        return self.combined(attended.context, outputs), new, attended

    def before_reading(
        self, inputs: Tensor, layers: tuple[LayerState, ...], attend: Attend
    ) -> tuple[Tensor, AttentionOutput]:
        """Run `sequence` up to the outputs [b t d] that `combined` joins with what is read; return them and that."""
        outputs, hidden, _ = self.stack.sequence(inputs, layers)
        return outputs, attend(hidden)

    def combined(self, context: Tensor, output: Tensor) -> Tensor:
        """h̃ = tanh(W_c [a ; s]): context [.. m], output [.. d] -> [.. d]."""
        return torch.tanh(self.combine(torch.cat([context, output], -1)))

    def readout(self, embedded: Tensor, output: Tensor, context: Tensor) -> Tensor:
        return output


class Between(Placement):
    """s'_t = RNN₁(y_t, s_{t-1}); a_t from s'_t; s_t = RNN₂(a_t, s'_t) (conditional GRU, Firat & Cho 2016).

    The two together are layer 1; the layers above are ordinary.
    """

    def __init__(self, stack: Stack, first: Recurrent, readout: Readout) -> None:
        super().__init__()
        self.first, self.stack, self.read = first, stack, readout

    def project_inputs(self, embedded: Tensor) -> Tensor:
        return self.first.gates(embedded)

    def masks(self, inputs: Tensor) -> StepMasks:
        return StepMasks(self.stack.masks(inputs), first_cell=self.first.state_mask(inputs))

    def step(self, inputs: Tensor, state: RecurrentState, attend: Attend, masks: StepMasks | None = None) -> Step:
        first = self.first.step(inputs, state.layers[0], masks and masks.first_cell)
        attended = attend(first[0][:, None])
        gates = self.stack.first.gates(attended.context[:, 0])
        output, new = self.stack.step(gates, (first, *state.layers[1:]), masks=masks and masks.stack)
        return Step(output, new, attended)


class NoAttention(Placement):
    """The bridge's vector c alone: as first state (Sutskever 2014), or also in every step and the readout (Cho 2014).

    c does not depend on the step, so the whole target runs at once.
    """

    parallel = True

    def __init__(self, stack: Stack, readout: Readout, *, feed_source: bool) -> None:
        super().__init__()
        self.stack, self.read, self.feed_source = stack, readout, feed_source

    def attended_to(self, encoded: Encoded, summary: Tensor) -> tuple[Tensor, Tensor]:
        return summary[:, None], summary[:, None]

    def project_inputs(self, embedded: Tensor) -> Tensor:
        return embedded

    def sequence(
        self, inputs: Tensor, layers: tuple[LayerState, ...], attend: Attend
    ) -> tuple[Tensor, tuple[LayerState, ...], AttentionOutput]:
        source = attend(inputs)
        if self.feed_source:
            inputs = torch.cat([inputs, source.context.to(inputs.dtype)], -1)
        outputs, _, new = self.stack.sequence(inputs, layers)
        return outputs, new, source
