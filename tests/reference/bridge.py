"""From the states of one sentence to the first state of each decoder layer."""

import torch
from torch import Tensor

from reference.normaliser import softmax
from reference.parameters import Parameters, under
from reference.recurrent import STATE_PARTS, LayerState, cell_parameters, gru
from seq2seq import config


def bridge(
    model: config.Model, p: Parameters, states: list[Tensor], embedded: list[Tensor]
) -> tuple[Tensor, list[LayerState]]:
    """The source's vector x, and of every layer h = tanh(W_l x) (Bahdanau 2015, A.2.2), c = U_l x."""
    parts = STATE_PARTS[model.decoder.cell]
    if model.bridge.name == "zero":
        zero = torch.zeros(model.hidden_size, dtype=states[0].dtype)
        return zero, [(zero,) * parts] * model.decoder_layers
    x = pool(model, under(p, "pooling"), states, embedded)
    first = []
    for layer in range(model.decoder_layers):
        h, *c = (p[f"maps.{layer}.{part}.weight"] @ x for part in range(parts))
        first.append((torch.tanh(h), *c))
    return x, first


def pool(model: config.Model, p: Parameters, states: list[Tensor], embedded: list[Tensor]) -> Tensor:
    """One vector of the source.

    Attention pooling: Σ_i softmax(u·h)_i h_i, with a learned u, or u = W r of the last state r of a layer over the
    embeddings.
    """
    if model.bridge.name == "mean":
        return sum(states) / len(states)
    if model.bridge.name == "attention":
        if model.bridge.query == "recurrent":
            read = (torch.zeros(len(states[0]), dtype=states[0].dtype),)
            for y in embedded:
                read = gru(cell_parameters(p, "layer"), y, read)
            u = p["query.weight"] @ read[0]
        else:
            u = p["query.weight"][0]
        alpha = softmax([u @ h for h in states])
        return sum(a * h for a, h in zip(alpha, states, strict=True))
    if model.bridge.name == "last":
        if not getattr(model.encoder, "bidirectional", False):
            return states[-1]
        half = len(states[0]) // 2
        return torch.cat([states[-1][:half], states[0][half:]])
    raise KeyError(model.bridge.name)
