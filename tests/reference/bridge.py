"""From the states of one sentence to the first state of each decoder layer."""

import torch
from torch import Tensor

from reference.normaliser import softmax
from reference.parameters import Parameters
from reference.recurrent import STATE_PARTS, LayerState
from seq2seq import config


def bridge(model: config.Model, p: Parameters, states: list[Tensor]) -> tuple[Tensor, list[LayerState]]:
    """The source's vector x, and of every layer h = tanh(W_l x) (Bahdanau 2015, A.2.2), c = U_l x."""
    parts = STATE_PARTS[model.decoder.cell]
    if model.bridge.name == "zero":
        zero = torch.zeros(model.hidden_size, dtype=states[0].dtype)
        return zero, [(zero,) * parts] * model.decoder_layers
    x = _pool(model, p, states)
    first = []
    for layer in range(model.decoder_layers):
        h, *c = (p[f"maps.{layer}.{part}.weight"] @ x for part in range(parts))
        first.append((torch.tanh(h), *c))
    return x, first


def _pool(model: config.Model, p: Parameters, states: list[Tensor]) -> Tensor:
    if model.bridge.name == "mean":
        return sum(states) / len(states)
    if model.bridge.name == "attention":
        alpha = softmax([p["pooling.query.weight"][0] @ h for h in states])
        return sum(a * h for a, h in zip(alpha, states, strict=True))
    if model.bridge.name == "last":
        if not model.encoder.bidirectional:
            return states[-1]
        half = len(states[0]) // 2
        return torch.cat([states[-1][:half], states[0][half:]])
    raise KeyError(model.bridge.name)
