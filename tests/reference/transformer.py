"""The Transformer on one sentence."""

import math

from torch import Tensor

from reference.attention import AttentionOutput, attend, self_attend
from reference.layers import feed_forward, layer_norm, sub_layer
from reference.parameters import Parameters, under
from reference.positions import inputs
from seq2seq import config


def encode(model: config.Model, p: Parameters, embedded: list[Tensor]) -> list[Tensor]:
    """Self-attention and a feed-forward network in each layer (Vaswani 2017, section 3.1).

    Embeddings are multiplied by √d (section 3.4). Pre-norm layers have one more norm at the end (Wang 2019, section 2).
    """
    norm, options = model.encoder.norm, model.encoder.attention
    xs = inputs(model, under(p, "inputs"), embedded, math.sqrt(model.embedding_size))
    for number in range(model.encoder_layers):
        layer = under(p, f"layers.{number}")

        def attention(ys: list[Tensor], layer: Parameters = layer) -> list[Tensor]:
            return self_attend(model, options, under(layer, "attention"), ys, project=True)

        xs = sub_layer(norm, under(layer, "attention_residual"), xs, attention)
        xs = _feed_forward(norm, layer, xs)
    return _last(norm, p, xs)


def decode(
    model: config.Model,
    p: Parameters,
    embedded: list[Tensor],
    keys: list[Tensor],
    values: list[Tensor],
    vector: Tensor | None,
) -> tuple[list[Tensor], list[list[AttentionOutput]]]:
    """Features of each step, and of each layer and step what was attended to.

    Self-attention sees the positions up to its own (section 3.1, "masking"). Without attention to the source, its
    vector is added to the first layer's inputs.
    """
    norm, options = model.decoder.norm, model.decoder.attention
    xs = inputs(model, under(p, "inputs"), embedded, math.sqrt(model.embedding_size))
    xs = xs if vector is None else [x + vector for x in xs]
    seen: list[list[AttentionOutput]] = []
    for number in range(model.decoder_layers):
        layer = under(p, f"layers.{number}")

        def earlier(ys: list[Tensor], layer: Parameters = layer) -> list[Tensor]:
            return self_attend(model, options, under(layer, "self_attention"), ys, project=True, causal=True)

        def source(ys: list[Tensor], layer: Parameters = layer) -> list[Tensor]:
            part = under(layer, "attention")
            seen.append(
                [attend(model.attention, part, y, keys, t, values=values, project=True) for t, y in enumerate(ys)]
            )
            return [step.context for step in seen[-1]]

        xs = sub_layer(norm, under(layer, "self_attention_residual"), xs, earlier)
        if vector is None:
            xs = sub_layer(norm, under(layer, "attention_residual"), xs, source)
        xs = _feed_forward(norm, layer, xs)
    return _last(norm, p, xs), seen


def _feed_forward(norm: str, layer: Parameters, xs: list[Tensor]) -> list[Tensor]:
    part = under(layer, "feed_forward")
    return sub_layer(norm, under(layer, "feed_forward_residual"), xs, lambda ys: [feed_forward(part, y) for y in ys])


def _last(norm: str, p: Parameters, xs: list[Tensor]) -> list[Tensor]:
    return [layer_norm(under(p, "last"), x) for x in xs] if norm == "pre" else xs
