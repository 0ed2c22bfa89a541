"""One step of a recurrent cell, gate by gate."""

import torch
from torch import Tensor

from reference.parameters import Parameters

LayerState = tuple[Tensor, ...]


def gru(p: Parameters, x: Tensor, state: LayerState) -> LayerState:
    """Cho 2014, eq. 5 to 8, with r after the product U h, as cuDNN has it; z keeps the old state."""
    (h,) = state
    w, u = p["weight_ih_l0"].chunk(3), p["weight_hh_l0"].chunk(3)
    b, c = p["bias_ih_l0"].chunk(3), p["bias_hh_l0"].chunk(3)
    r = torch.sigmoid(w[0] @ x + b[0] + u[0] @ h + c[0])
    z = torch.sigmoid(w[1] @ x + b[1] + u[1] @ h + c[1])
    n = torch.tanh(w[2] @ x + b[2] + r * (u[2] @ h + c[2]))
    return ((1 - z) * n + z * h,)


def lstm(p: Parameters, x: Tensor, state: LayerState) -> LayerState:
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers 2000."""
    h, c = state
    w, u = p["weight_ih_l0"].chunk(4), p["weight_hh_l0"].chunk(4)
    b, d = p["bias_ih_l0"].chunk(4), p["bias_hh_l0"].chunk(4)
    i, f, g, o = (w[gate] @ x + b[gate] + u[gate] @ h + d[gate] for gate in range(4))
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


CELLS = {"gru": gru, "lstm": lstm}
STATE_PARTS = {"gru": 1, "lstm": 2}


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
