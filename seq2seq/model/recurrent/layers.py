"""Recurrent layers that run one step or a whole sequence with the same weights, and stacks of them.

Shapes: b batch, t time, i input, d hidden size, g size of the gates (3d for a GRU, 4d for an LSTM), n layers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from seq2seq.nn.dropout import Dropout, masked
from seq2seq.nn.module_list import ModuleList
from seq2seq.nn.products import StepLinear, linear, shared_gradients, without_autocast

LayerState = tuple[Tensor, ...]
"""(h,) of a GRU, (h, c) of an LSTM, each [b d]."""


class Recurrent(nn.Module, ABC):
    """Base of the layers. The input's part of the gates is separate, so that it can be computed for all steps at once.

    With `layer_norm` (Ba 2016) the layer runs step by step, and biases are those of the normalisation.
    """

    state_parts: int
    gate_parts: int
    rnn: nn.GRU | nn.LSTM

    def __init__(self, rnn: nn.GRU | nn.LSTM, recurrent_dropout: float, norm_sizes: Sequence[int]) -> None:
        """`norm_sizes` are the sizes of the parts of the gates that are normalised together; empty: none are."""
        super().__init__()
        self.rnn = rnn
        self.recurrent_dropout = Dropout(recurrent_dropout)
        input_weight, recurrent_weight, *biases = rnn.all_weights[0]
        for gate in input_weight.chunk(self.gate_parts):
            nn.init.xavier_uniform_(gate)
        for gate in recurrent_weight.chunk(self.gate_parts):
            nn.init.orthogonal_(gate)
        for bias in biases:
            nn.init.zeros_(bias)
        self.input_norm = GateNorm(*norm_sizes) if norm_sizes else nn.Identity()
        self.recurrent_norm = GateNorm(*norm_sizes) if norm_sizes else nn.Identity()

    @property
    def hidden_size(self) -> int:
        """d"""
        return self.rnn.hidden_size

    @property
    def gate_size(self) -> int:
        """g"""
        return self.gate_parts * self.rnn.hidden_size

    @property
    def products(self) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """Matrix and bias for the input, and for the state."""
        weight, recurrent_weight, *biases = self.rnn.all_weights[0]
        bias, recurrent_bias = biases or (None, None)
        return (weight, bias), (recurrent_weight, recurrent_bias)

    def gates(self, x: Tensor) -> Tensor:
        """The input's part of the gates: [.. i] -> [.. g]."""
        return linear(x, *self.products[0])

    def recurrent_gates(self, h: Tensor) -> Tensor:
        """The previous state's part of the gates: [b d] -> [b g]."""
        return linear(h, *self.products[1])

    def state_mask(self, x: Tensor) -> Tensor | None:
        """Draw dropout of the previous state, one mask for the whole of each sequence of x [b ..]: [b d]; None: none.

        Gal & Ghahramani 2016, eq. 7, with one mask for all gates. It affects the product with the state alone: what
        the cell itself carries on, c or z ∘ h, stays whole.
        """
        return self.recurrent_dropout.mask(x, x.size(0), self.hidden_size)

    @abstractmethod
    def step(self, gates: Tensor, state: LayerState, mask: Tensor | None = None) -> LayerState:
        """gates [b g], state, its mask [b d] -> the next state."""

    @abstractmethod
    def fused(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        """`sequence` in one call, without dropout or layer normalisation."""

    def sequence(self, x: Tensor, state: LayerState | None = None) -> tuple[Tensor, LayerState]:
        """x [b t i] -> hidden states [b t d] and the last state; fused where nothing is dropped or normalised."""
        if torch.compiler.is_exporting():
            return self._scan(x, state)
        mask = self.state_mask(x)
        if mask is None and isinstance(self.input_norm, nn.Identity):
            return self.fused(x, state)
        return self.step_by_step(x, state, mask)

    def step_by_step(
        self, x: Tensor, state: LayerState | None, mask: Tensor | None = None
    ) -> tuple[Tensor, LayerState]:
        """`sequence`, one step after the other, with a mask for the state [b d]."""
        gates = self.gates(x)
        state = self._zeros(gates) if state is None else state
        hidden = []
        with shared_gradients():
            for step_gates in gates.unbind(1):
                state = self.step(step_gates, state, mask)
                hidden.append(state[0])
        return torch.stack(hidden, 1), state

    def _zeros(self, gates: Tensor) -> LayerState:
        return tuple(gates.new_zeros(gates.size(0), self.hidden_size) for _ in range(self.state_parts))

    def _scan(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        """`sequence` as one operation of an exported graph, for any number of steps."""

        def step(state: list[Tensor], gates: Tensor) -> tuple[list[Tensor], Tensor]:
            new = self.step(gates, tuple(state))
            return [part.clone() for part in new], new[0].clone()  # scan refuses results that share memory

        gates = self.gates(x)
        last, hidden = scan(step, list(state or self._zeros(gates)), gates.transpose(0, 1))
        return hidden.transpose(0, 1), tuple(last)


class GateNorm(nn.Module):
    """LN(a) = g ∘ (a − μ) / σ + β of each of several parts of the gates (Ba 2016, eq. 4)."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.parts = nn.ModuleList(nn.LayerNorm(size) for size in sizes)

    def forward(self, gates: Tensor) -> Tensor:
        """[.. g] -> [.. g]"""
        split = gates.split_with_sizes(self.sizes, -1)
        return torch.cat([part(x) for part, x in zip(self.parts, split, strict=True)], -1)


class Transition(nn.Module):
    """A GRU without input: what a deep transition adds to a step (Pascanu 2014; Barone 2017, eq. 3)."""

    def __init__(self, hidden_size: int, *, layer_norm: bool) -> None:
        super().__init__()
        self.recurrent = StepLinear(hidden_size, 3 * hidden_size, bias=not layer_norm)
        for gate in self.recurrent.weight.chunk(3):
            nn.init.orthogonal_(gate)
        self.norm = GateNorm(2 * hidden_size, hidden_size) if layer_norm else nn.Identity()
        self.given = nn.Parameter(torch.zeros(3 * hidden_size))
        """[g]: the input's part of the gates, a bias alone."""

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """h [b d], its mask -> h' [b d]."""
        recurrent = self.norm(self.recurrent(masked(h, mask)))
        return GRU.cell(self.given.to(recurrent.dtype), recurrent, h)


class GRU(Recurrent):
    """r, z = σ(W x + U h), n = tanh(W x + r ∘ (U h)), h' = (1 − z) ∘ n + z ∘ h.

    Cho 2014 with the reset gate after the product with U, as in cuDNN, so that all of U h is one product. With layer
    normalisation W x and U h become LN(W x) and LN(U h), r and z normalised together and n by itself (Ba 2016,
    supplement). What joins the input's part of the gates does so before LN. With `transitions`, so many cells follow
    each other in a step; the second and later ones have no input.
    """

    state_parts = 1
    gate_parts = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent_dropout: float = 0.0,
        layer_norm: bool = False,
        transitions: int = 1,
    ) -> None:
        rnn = nn.GRU(input_size, hidden_size, bias=not layer_norm, batch_first=True)
        super().__init__(rnn, recurrent_dropout, (2 * hidden_size, hidden_size) if layer_norm else ())
        self.transitions: ModuleList[Transition] = ModuleList(
            Transition(hidden_size, layer_norm=layer_norm) for _ in range(1, transitions)
        )

    def step(self, gates: Tensor, state: LayerState, mask: Tensor | None = None) -> LayerState:
        recurrent = self.recurrent_gates(masked(state[0], mask))
        h = self.cell(self.input_norm(gates), self.recurrent_norm(recurrent), state[0])
        for transition in self.transitions:
            h = transition(h, mask)
        return (h,)

    @staticmethod
    def cell(gates: Tensor, recurrent: Tensor, h: Tensor) -> Tensor:
        """The two parts of the gates [.. g], h [.. d] -> h'."""
        sizes = 2 * h.size(-1), h.size(-1)
        (given, new), (remembered, old) = gates.split_with_sizes(sizes, -1), recurrent.split_with_sizes(sizes, -1)
        r, z = torch.sigmoid(given + remembered).chunk(2, -1)
        n = torch.tanh(new + r * old)
        return torch.lerp(n, h.to(n.dtype), z)

    def fused(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        if self.transitions:
            return self.step_by_step(x, state)
        output, h = self.rnn(x, None if state is None else state[0][None].contiguous())
        return output, (h[0],)

    @classmethod
    def together(cls, layers: "Sequence[GRU]", inputs: Sequence[Tensor]) -> list[Tensor]:
        """`sequence` of several layers of one size, step by step: each one's x [b t i] -> its states [b t d].

        On a CPU, where torch has no fused GRU, one loop over all of them, with one product for the gradients of their
        weights, is faster than one call for each.
        """
        gates = torch.stack([layer.gates(x) for layer, x in zip(layers, inputs, strict=True)])  # [n b t g]
        weight = torch.stack([layer.rnn.all_weights[0][1] for layer in layers]).to(gates.dtype)  # [n g d]
        bias = torch.stack([layer.rnn.all_weights[0][3] for layer in layers]).to(gates.dtype)[:, None]  # [n 1 g]
        h = gates.new_zeros(*gates.shape[:2], weight.size(-1))
        masks = [mask for layer in layers if (mask := layer.state_mask(gates[0])) is not None]
        mask = torch.stack(masks) if masks else None  # [n b d]
        states = []
        with shared_gradients():
            for x in gates.unbind(2):
                h = cls.cell(x, linear(masked(h, mask), weight) + bias, h)
                states.append(h)
        return list(torch.stack(states, 2).unbind())


class LSTM(Recurrent):
    """i, f, o = σ(W x + U h), c' = f ∘ c + i ∘ tanh(W x + U h), h = o ∘ tanh(c').

    Hochreiter & Schmidhuber 1997; Gers 2000. With layer normalisation LN(W x) + LN(U h), all four gates normalised
    together, and h = o ∘ tanh(LN(c')) (Ba 2016, supplement).
    """

    state_parts = 2
    gate_parts = 4

    def __init__(
        self, input_size: int, hidden_size: int, *, recurrent_dropout: float = 0.0, layer_norm: bool = False
    ) -> None:
        rnn = nn.LSTM(input_size, hidden_size, bias=not layer_norm, batch_first=True)
        super().__init__(rnn, recurrent_dropout, (4 * hidden_size,) if layer_norm else ())
        self.cell_norm = nn.LayerNorm(hidden_size) if layer_norm else nn.Identity()
        bias = self.input_norm.get_parameter("parts.0.bias") if layer_norm else rnn.all_weights[0][2]
        nn.init.ones_(bias[hidden_size : 2 * hidden_size])  # a forget gate that starts open (Jozefowicz 2015)

    def step(self, gates: Tensor, state: LayerState, mask: Tensor | None = None) -> LayerState:
        h, c = state
        recurrent = self.recurrent_gates(masked(h, mask))
        i, f, g, o = (self.input_norm(gates) + self.recurrent_norm(recurrent)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return (torch.sigmoid(o) * torch.tanh(self.cell_norm(c)), c)

    def fused(self, x: Tensor, state: LayerState | None) -> tuple[Tensor, LayerState]:
        initial = None if state is None else (state[0][None].contiguous(), state[1][None].contiguous())
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not _bf16_is_supported():
            with without_autocast("cpu"):
                output, (h, c) = self.rnn(x.float(), initial and (initial[0].float(), initial[1].float()))
        else:
            output, (h, c) = self.rnn(x, initial)
        return output, (h[0], c[0])


def _bf16_is_supported() -> bool:
    """Whether oneDNN has a fused LSTM in bf16 for this CPU: without AVX-512 it has none, and raises."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


CELLS: dict[str, type[GRU] | type[LSTM]] = {"gru": GRU, "lstm": LSTM}


def run_together(layers: Sequence[Recurrent], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Run layers of one kind and size, each on its x [b t i], from zero: states [b t d] of each."""
    plain = [
        layer
        for layer in layers
        if isinstance(layer, GRU) and isinstance(layer.input_norm, nn.Identity) and not layer.transitions
    ]
    if len(plain) == len(layers) and inputs[0].device.type == "cpu" and torch.is_grad_enabled():
        return GRU.together(plain, inputs)
    return [layer.sequence(x)[0] for layer, x in zip(layers, inputs, strict=True)]


class Masks(NamedTuple):
    """What dropout drew for whole sequences, as factors; None where nothing is dropped, or it is drawn at each step."""

    states: tuple[Tensor | None, ...]
    """For each layer's previous state [b d]."""
    inputs: tuple[Tensor | None, ...]
    """For the inputs of the second layer and those above [b d]."""


class Stack(nn.Module):
    """Layers of a decoder, one above the other, with dropout between them.

    With `residual`, a layer's output is its hidden state plus its input, from the second layer on.
    """

    def __init__(
        self, make_layer: Callable[[int], Recurrent], input_size: int, layers: int, *, residual: bool, dropout: Dropout
    ) -> None:
        """`make_layer` takes the input's size."""
        super().__init__()
        self.layers: ModuleList[Recurrent] = ModuleList([make_layer(input_size)])
        self.hidden_size = self.first.hidden_size
        self.layers.extend(make_layer(self.hidden_size) for _ in range(1, layers))
        self.residual = residual
        self.dropout = dropout

    @property
    def first(self) -> Recurrent:
        """The lowest layer."""
        return self.layers[0]

    def input_mask(self, x: Tensor) -> Tensor | None:
        """Draw variational dropout of an input of the hidden size for the sequences of x [b ..]: [b d]; None: none."""
        return self.dropout.mask(x, x.size(0), self.hidden_size) if self.dropout.variational else None

    def masks(self, x: Tensor) -> Masks:
        """Draw what `step` needs for the sequences of x [b ..]."""
        states = tuple(layer.state_mask(x) for layer in self.layers)
        return Masks(states, tuple(self.input_mask(x) for _ in states[1:]))

    def step(
        self,
        gates: Tensor,
        states: Sequence[LayerState],
        upper_gates: Sequence[Tensor] = (),
        masks: Masks | None = None,
    ) -> tuple[Tensor, tuple[LayerState, ...]]:
        """gates of the first layer [b g], states, what `masks` drew -> output [b d], next states.

        `upper_gates` are added to the gates of the second layer and those above.
        """
        masks = masks or Masks((None,) * len(states), (None,) * (len(states) - 1))
        new: list[LayerState] = []
        x = torch.empty(0)
        for number, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            if number:
                mask = masks.inputs[number - 1]
                gates = layer.gates(self.dropout(x) if mask is None else x * mask)
                gates = gates + upper_gates[number - 1] if upper_gates else gates
            new.append(layer.step(gates, state, masks.states[number]))
            x = new[-1][0] + x if number and self.residual else new[-1][0]
        return x, tuple(new)

    def sequence(self, x: Tensor, states: Sequence[LayerState]) -> tuple[Tensor, Tensor, tuple[LayerState, ...]]:
        """x [b t i], states -> outputs [b t d], the top layer's hidden states [b t d], last states."""
        new: list[LayerState] = []
        hidden = x
        for number, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            hidden, last = layer.sequence(self.dropout(x) if number else x, state)
            new.append(last)
            x = hidden + x if number and self.residual else hidden
        return x, hidden, tuple(new)
