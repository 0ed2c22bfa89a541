"""One step of a recurrent cell, gate by gate."""

import torch
from torch import Tensor

from reference.layers import layer_norm
from reference.parameters import Parameters, under

LayerState = tuple[Tensor, ...]


def gru(p: Parameters, x: Tensor, state: LayerState) -> LayerState:
    """Cho 2014, eq. 5 to 8, with r after the product U h, as cuDNN has it; z keeps the old state.

    Transitions follow, each a GRU whose input is 0 (Barone 2017, eq. 3).
    """
    (h,) = _layer_norm_gru(p, x, state[0]) if "input_norm.parts.0.weight" in p else _gru(p, x, state[0])
    number = 0
    while t := under(p, f"transitions.{number}"):
        b, c = t["given"], t.get("recurrent.bias", torch.zeros_like(t["given"]))
        u = t["recurrent.weight"]
        if "norm.parts.0.weight" in t:
            rz, n = (_normed(t, f"norm.parts.{part}", (u @ h)[rows]) for part, rows in enumerate(_gates(len(h))))
        else:
            rz, n = ((u @ h + c)[rows] for rows in _gates(len(h)))
        r, z = torch.sigmoid(b[: 2 * len(h)] + rz).chunk(2)
        h = (1 - z) * torch.tanh(b[2 * len(h) :] + r * n) + z * h
        number += 1
    return (h,)


def _gates(d: int) -> tuple[slice, slice]:
    """The rows of r and z, and those of n."""
    return slice(2 * d), slice(2 * d, None)


def _gru(p: Parameters, x: Tensor, h: Tensor) -> LayerState:
    w, u = p["weight_ih_l0"].chunk(3), p["weight_hh_l0"].chunk(3)
    b, c = p["bias_ih_l0"].chunk(3), p["bias_hh_l0"].chunk(3)
    r = torch.sigmoid(w[0] @ x + b[0] + u[0] @ h + c[0])
    z = torch.sigmoid(w[1] @ x + b[1] + u[1] @ h + c[1])
    n = torch.tanh(w[2] @ x + b[2] + r * (u[2] @ h + c[2]))
    return ((1 - z) * n + z * h,)


def lstm(p: Parameters, x: Tensor, state: LayerState) -> LayerState:
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers 2000."""
    h, c = state
    if "input_norm.parts.0.weight" in p:
        return _layer_norm_lstm(p, x, h, c)
    w, u = p["weight_ih_l0"].chunk(4), p["weight_hh_l0"].chunk(4)
    b, d = p["bias_ih_l0"].chunk(4), p["bias_hh_l0"].chunk(4)
    i, f, g, o = (w[gate] @ x + b[gate] + u[gate] @ h + d[gate] for gate in range(4))
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _layer_norm_gru(p: Parameters, x: Tensor, h: Tensor) -> LayerState:
    """Ba 2016, supplement, there with z for the new state."""
    d = len(h)
    a, b = p["weight_ih_l0"] @ x, p["weight_hh_l0"] @ h
    rz = _normed(p, "input_norm.parts.0", a[: 2 * d]) + _normed(p, "recurrent_norm.parts.0", b[: 2 * d])
    r, z = torch.sigmoid(rz[:d]), torch.sigmoid(rz[d:])
    n = torch.tanh(_normed(p, "input_norm.parts.1", a[2 * d :]) + r * _normed(p, "recurrent_norm.parts.1", b[2 * d :]))
    return ((1 - z) * n + z * h,)


def _layer_norm_lstm(p: Parameters, x: Tensor, h: Tensor, c: Tensor) -> LayerState:
    """Ba 2016, supplement."""
    a = _normed(p, "input_norm.parts.0", p["weight_ih_l0"] @ x)
    i, f, g, o = (a + _normed(p, "recurrent_norm.parts.0", p["weight_hh_l0"] @ h)).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(_normed(p, "cell_norm", c)), c


def _normed(p: Parameters, name: str, a: Tensor) -> Tensor:
    return layer_norm(under(p, name), a)


def cell_parameters(p: Parameters, layer: str) -> Parameters:
    """Of the layer called so: torch's names, and those of the norms where it has any."""
    own = under(p, layer)
    kept = ("input_norm", "recurrent_norm", "cell_norm", "transitions")
    return {**under(own, "rnn"), **{name: value for name, value in own.items() if name.startswith(kept)}}


CELLS = {"gru": gru, "lstm": lstm}
STATE_PARTS = {"gru": 1, "lstm": 2}


def run_sentences(cell: str, each: list[Parameters], x: Tensor, state: LayerState) -> list[Tensor]:
    """A cell over inputs [b t i], each sentence alone and with parameters of its own, from states [b d].

    -> the hidden states [b t d], and each part of the last state [b d].
    """
    hidden, last = [], []
    for b, p in enumerate(each):
        now, sentence = tuple(part[b] for part in state), []
        for step in x[b]:
            now = CELLS[cell](p, step, now)
            sentence.append(now[0])
        hidden.append(torch.stack(sentence))
        last.append(now)
    return [torch.stack(hidden), *(torch.stack(part) for part in zip(*last, strict=True))]


def run_layers(
    cell: str,
    layers: list[Parameters],
    x: Tensor,
    states: list[LayerState],
    *,
    residual: bool,
    context: Tensor | None = None,
) -> tuple[Tensor, list[LayerState]]:
    """One step of layers one above the other -> the output of the highest, and all new states.

    With `residual`, a layer adds its input to its output, from the second on (Wu 2016, eq. 6). A `context` joins the
    input of the layers above the first: [x ; a].
    """
    new = []
    for number, (p, state) in enumerate(zip(layers, states, strict=True)):
        given = x if number == 0 or context is None else torch.cat([x, context])
        new.append(CELLS[cell](p, given, state))
        h = new[-1][0]
        x = h + x if residual and number > 0 else h
    return x, new
