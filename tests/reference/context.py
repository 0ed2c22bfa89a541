"""The states of a sentence in its context (Miculicich 2018, section 2): a loop over positions, sentences and words."""

from collections.abc import Sequence

import torch

from reference.attention import attend
from reference.encoder import Encoded, encode
from reference.parameters import Parameters, under
from seq2seq import config


def in_context(model: config.Model, p: Parameters, encoded: Encoded, before: Sequence[list[int]]) -> Encoded:
    """h̃_i = λ_i h_i + (1 − λ_i)(h_i + c_i), λ_i = σ(W [h_i ; c_i] + b); `before` are tokens, nearest sentence first.

    Separate values are changed by the same (1 − λ_i) c_i as the keys.
    """
    if not before:
        return encoded
    read = [encode(model, under(p, "encoder"), [p["source_embedding.weight"][token] for token in s]) for s in before]
    words, sentences = under(p, "context.words"), under(p, "context.sentences")
    weight, bias = p["context.gate.weight"], p["context.gate.bias"]
    keys, values = [], []
    for i, (h, v) in enumerate(zip(*encoded, strict=True)):
        of_words = [
            attend(model.context.words, words, h, one.keys, i, values=one.values, project=True).context for one in read
        ]
        c = attend(model.context.sentences, sentences, h, of_words, 0, project=True).context
        gate = torch.sigmoid(weight @ torch.cat([h, c]) + bias)
        keys.append(gate * h + (1 - gate) * (h + c))
        values.append(gate * v + (1 - gate) * (v + c))
    return Encoded(keys, values)
