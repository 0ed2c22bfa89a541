"""One decoder step: where the context enters. Each takes y_t, the layers' states, h̃_{t-1}, and `attend`: q -> a_t.

Each returns what the vocabulary is projected from, the new states, and the vector to feed back.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from reference.parameters import Parameters, under, widened
from reference.recurrent import CELLS, LayerState, cell_parameters, run_layers
from seq2seq import config

Attend = Callable[[Tensor], Tensor]


class Step(NamedTuple):
    readout: Tensor
    layers: list[LayerState]
    feed: Tensor | None = None


def before(
    model: config.Model, p: Parameters, y: Tensor, layers: list[LayerState], feed: Tensor | None, attend: Attend
) -> Step:
    """a_t from s_{t-1}; s_t = RNN([y_t ; a_t], s_{t-1}) (Bahdanau 2015, A.2.2). `bottom`: Wu 2016, section 3."""
    bottom = model.attention.placement.attend_from == "bottom"
    a = attend(layers[0][0] if bottom else layers[-1][0])
    stack = _stack(model, p)
    for layer in range(len(stack) if bottom else 1):
        stack[layer] = widened(stack[layer], p[f"context_gates.{layer}.weight"])
    s, new = run_layers(
        model.decoder.cell,
        stack,
        torch.cat([y, a]),
        layers,
        residual=model.decoder.residual,
        context=a if bottom else None,
    )
    if model.attention.placement.readout_state == "previous":
        s = layers[-1][0]  # A.2.2: t̃_i = U_o s_{i-1} + V_o E y_{i-1} + C_o c_i
    return Step(readout(model.attention.placement.readout, under(p, "read"), s, y, a), new)


def after(
    model: config.Model, p: Parameters, y: Tensor, layers: list[LayerState], feed: Tensor | None, attend: Attend
) -> Step:
    """s_t = RNN(y_t, s_{t-1}); a_t from s_t; h̃_t = tanh(W_c [a_t ; s_t]) (Luong 2015, eq. 5).

    With input feeding s_t = RNN([y_t ; h̃_{t-1}], s_{t-1}) (section 3.3), h̃_0 = 0.
    """
    stack, x = _stack(model, p), y
    if model.attention.placement.input_feeding:
        fed = torch.zeros(model.hidden_size, dtype=y.dtype) if feed is None else feed
        stack[0] = widened(stack[0], p["feed_gates.weight"])
        x = torch.cat([y, fed])
    s, new = run_layers(model.decoder.cell, stack, x, layers, residual=model.decoder.residual)
    a = attend(new[-1][0])
    attentional = torch.tanh(p["combine.weight"] @ torch.cat([a, s]))
    return Step(attentional, new, attentional)


def between(
    model: config.Model, p: Parameters, y: Tensor, layers: list[LayerState], feed: Tensor | None, attend: Attend
) -> Step:
    """s'_t = RNN₁(y_t, s_{t-1}); a_t from s'_t; s_t = RNN₂(a_t, s'_t) (Firat & Cho 2016)."""
    proposal = CELLS[model.decoder.cell](cell_parameters(p, "first"), y, layers[0])
    a = attend(proposal[0])
    s, new = run_layers(
        model.decoder.cell, _stack(model, p), a, [proposal, *layers[1:]], residual=model.decoder.residual
    )
    return Step(readout(model.attention.placement.readout, under(p, "read"), s, y, a), new)


def none(
    model: config.Model, p: Parameters, y: Tensor, layers: list[LayerState], feed: Tensor | None, attend: Attend
) -> Step:
    """s_t = RNN(y_t, s_{t-1}) (Sutskever 2014), or RNN([y_t ; c], s_{t-1}) with c in the readout too (Cho 2014)."""
    c = attend(y)
    fed = model.attention.placement.feed_source
    x = torch.cat([y, c]) if fed else y
    s, new = run_layers(model.decoder.cell, _stack(model, p), x, layers, residual=model.decoder.residual)
    return Step(readout(model.attention.placement.readout, under(p, "read"), s, y, c if fed else None), new)


PLACEMENTS = {"before": before, "after": after, "between": between, "none": none}


def readout(kind: str, p: Parameters, s: Tensor, y: Tensor, a: Tensor | None) -> Tensor:
    """t̃ = U s_t + V y_t + C a_t; the greater of each pair (Bahdanau 2015, A.2.2), or tanh."""
    mixed = p["hidden.weight"] @ s + p["hidden.bias"] + p["embedded.weight"] @ y
    if a is not None:
        mixed = mixed + p["context.weight"] @ a
    if kind == "tanh":
        return torch.tanh(mixed)
    return torch.stack([torch.maximum(mixed[2 * i], mixed[2 * i + 1]) for i in range(len(mixed) // 2)])


def _stack(model: config.Model, p: Parameters) -> list[Parameters]:
    return [cell_parameters(p, f"stack.layers.{layer}") for layer in range(model.decoder_layers)]
