"""Convolutional encoder and decoder on one sentence."""

import math

import torch
from torch import Tensor

from reference.attention import AttentionOutput, attend, self_attend
from reference.layers import affine, convolution, glu
from reference.parameters import Parameters, under
from reference.positions import inputs
from seq2seq import config


def encode(model: config.Model, p: Parameters, embedded: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Keys and values.

    Gehring 2016, section 3.2: keys from CNN-a, values from CNN-c, or the same. Gehring 2017, section 3.3: keys z,
    values z + x of the blocks' inputs x, times √½ (section 3.5).
    Attention before the convolutions: x'_i = W [x_i ; Σ_j α_ij x_j]. After them: h_i = c_i + Σ_j α_ij c_j, with α from
    the keys (Yin 2016, ABCNN-1 and ABCNN-2, with a softmax in place of their sums).
    """
    options, where = model.encoder.attention, model.encoder.attention_placement
    xs = inputs(model, under(p, "inputs"), embedded, 1.0)
    if where == "before":
        seen = self_attend(model, options, under(p, "before.attention"), xs)
        xs = [p["before.map.weight"] @ torch.cat([x, a]) for x, a in zip(xs, seen, strict=True)]
    keys = _blocks(model, under(p, "blocks"), xs)
    values = _blocks(model, under(p, "values"), xs) if model.encoder.separate_values else keys
    if where == "after":
        part = under(p, "after.attention")
        similar = keys
        seen = self_attend(model, options, part, similar)
        seen_values = self_attend(model, options, part, similar, values=values)
        keys = [c + a for c, a in zip(keys, seen, strict=True)]
        values = [c + a for c, a in zip(values, seen_values, strict=True)]
    if model.encoder.activation == "glu" and not model.encoder.separate_values:
        values = [math.sqrt(0.5) * (z + x) for z, x in zip(values, xs, strict=True)]
    return keys, values


def _blocks(model: config.Model, p: Parameters, xs: list[Tensor]) -> list[Tensor]:
    """tanh(conv(x)) + x (Gehring 2016, section 3.1), or √½ (GLU(conv(x)) + x) (Gehring 2017, sections 3.2 and 3.5)."""
    width = model.encoder.kernel_size
    for number in range(model.encoder_layers):
        part = under(p, f"{number}.convolution.map")
        ys = [convolution(part, xs, i, width, width // 2) for i in range(len(xs))]
        if model.encoder.activation == "glu":
            xs = [math.sqrt(0.5) * (glu(y) + x) for x, y in zip(xs, ys, strict=True)]
        else:
            xs = [torch.tanh(y) + x for x, y in zip(xs, ys, strict=True)]
    return xs


def decode(
    model: config.Model,
    p: Parameters,
    embedded: list[Tensor],
    keys: list[Tensor],
    values: list[Tensor],
    vector: Tensor | None,
) -> tuple[list[Tensor], list[list[AttentionOutput]]]:
    """Features of each step, and of each layer and step what was attended to.

    z_t = GLU(conv(x_{t−k+1..t})), d_t = W z_t + b + g_t with g the first layer's input, a_t from the query d_t
    (Gehring 2017, eq. 1 and 2), and x'_t = √½ (√½ (z_t + V a_t + c) + x_t) (section 3.5; its factor √S on a_t, for
    weights that are all alike, is left out). Without attention to the source, its vector is added to g.
    """
    xs = inputs(model, under(p, "inputs"), embedded, 1.0)
    first = xs = xs if vector is None else [x + vector for x in xs]
    half, seen = math.sqrt(0.5), []
    for number in range(model.decoder_layers):
        layer, width = under(p, f"layers.{number}"), model.decoder.kernel_size
        zs = [glu(convolution(under(layer, "convolution.map"), xs, t, width, 0)) for t in range(len(xs))]
        if vector is None:
            queries = [affine(under(layer, "query"), z) + g for z, g in zip(zs, first, strict=True)]
            part = under(layer, "attention")
            seen.append([attend(model.attention, part, d, keys, t, values=values) for t, d in enumerate(queries)])
            contexts = [affine(under(layer, "context"), step.context) for step in seen[-1]]
            zs = [half * (z + a) for z, a in zip(zs, contexts, strict=True)]
        xs = [half * (z + x) for z, x in zip(zs, xs, strict=True)]
    return xs, seen
