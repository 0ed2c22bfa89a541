"""What attention reads of one sentence: a key and a value of each word."""

from typing import NamedTuple

import torch
from torch import Tensor

from reference import convolutional, transformer
from reference.parameters import Parameters
from reference.recurrent import CELLS, STATE_PARTS, cell_parameters
from seq2seq import config


class Encoded(NamedTuple):
    keys: list[Tensor]
    values: list[Tensor]


def encode(model: config.Model, p: Parameters, embedded: list[Tensor]) -> Encoded:
    """Encode a sentence's embeddings with any encoder."""
    if model.encoder.name == "convolutional":
        return Encoded(*convolutional.encode(model, p, embedded))
    states = {"recurrent": _recurrent, "transformer": transformer.encode}[model.encoder.name](model, p, embedded)
    return Encoded(states, states)


def _recurrent(model: config.Model, p: Parameters, embedded: list[Tensor]) -> list[Tensor]:
    """h_i = [forward h_i ; backward h_i] (Bahdanau 2015, section 3.2), layer upon layer."""
    x = embedded
    for layer in range(model.encoder_layers):
        forward = _run(model.encoder.cell, cell_parameters(p, f"layers.{layer}.0"), x)
        if model.encoder.bidirectional:
            backward = _run(model.encoder.cell, cell_parameters(p, f"layers.{layer}.1"), x[::-1])[::-1]
            states = [torch.cat(pair) for pair in zip(forward, backward, strict=True)]
        else:
            states = forward
        if model.encoder.residual and layer > 0:
            states = [h + given for h, given in zip(states, x, strict=True)]
        x = states
    return x


def _run(cell: str, p: Parameters, xs: list[Tensor]) -> list[Tensor]:
    zero = torch.zeros(p["weight_hh_l0"].size(1), dtype=xs[0].dtype)
    state = (zero,) * STATE_PARTS[cell]
    states = []
    for x in xs:
        state = CELLS[cell](p, x, state)
        states.append(state[0])
    return states
