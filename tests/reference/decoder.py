"""The whole model on one pair of sentences."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reference import convolutional, transformer
from reference.attention import attend
from reference.bridge import bridge, pool
from reference.context import in_context
from reference.encoder import Encoded, encode
from reference.parameters import Parameters, under
from reference.placement import PLACEMENTS
from seq2seq import config


class Translated(NamedTuple):
    """Of one pair."""

    logits: list[Tensor]
    """Of each step, over the vocabulary."""
    weights: list[list[Tensor]]
    """Of each step and head, over the positions of the source; empty without attention."""


def translate(
    model: config.Model, p: Parameters, source: list[int], inputs: list[int], before: Sequence[list[int]] = ()
) -> Translated:
    """Source tokens and decoder inputs (BOS first), neither padded -> what is predicted at each step.

    `before` are the sentences before, nearest first, for a context-aware model.
    """
    source_embedded = [p["source_embedding.weight"][token] for token in source]
    encoded = encode(model, under(p, "encoder"), source_embedded)
    if model.context.name == "hierarchical":
        encoded = in_context(model, p, encoded, before)
    embedded = [p["decoder.embedding.weight"][token] for token in inputs]
    decode = _recurrent if model.decoder.name == "recurrent" else _layered
    features, weights = decode(model, p, source_embedded, encoded, embedded)
    return Translated([_output(under(p, "output"), x) for x in features], weights)


def _recurrent(
    model: config.Model, p: Parameters, source_embedded: list[Tensor], encoded: Encoded, embedded: list[Tensor]
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Features of each step, and the weights of each step and head."""
    keys, values = encoded
    summary, layers = bridge(model, under(p, "bridge"), keys, source_embedded)
    decoder = under(p, "decoder")
    placement = PLACEMENTS[model.attention.placement.name]
    feed, coverage = None, None
    if model.attention.heads is not None:
        coverage = [torch.zeros(len(keys), dtype=summary.dtype)] * model.attention.heads
    features, weights = [], []
    for t, y in enumerate(embedded):
        seen = []

        def context(q: Tensor, t: int = t, coverage: list[Tensor] | None = coverage, seen: list = seen) -> Tensor:
            if coverage is None:
                return summary
            part = under(decoder, "attention")
            seen.append(attend(model.attention, part, q, keys, t, values=values, coverage=coverage))
            return seen[-1].context

        step = placement(model, under(decoder, "placement"), y, layers, feed, context)
        layers, feed = step.layers, step.feed
        if seen:
            coverage = seen[-1].coverage
            weights.append(seen[-1].weights)
        features.append(
            torch.cat([step.readout, _lexical(decoder, weights[t][0], source_embedded)])
            if model.decoder.lexical_model
            else step.readout
        )
    return features, weights


def _lexical(p: Parameters, weights: Tensor, words: list[Tensor]) -> Tensor:
    """Nguyen & Chiang 2018, section 4."""
    word = torch.tanh(sum((a * f for a, f in zip(weights, words, strict=True)), torch.zeros_like(words[0])))
    return torch.tanh(p["lexical.map.weight"] @ word) + word


def _layered(
    model: config.Model, p: Parameters, source_embedded: list[Tensor], encoded: Encoded, embedded: list[Tensor]
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Features and weights, as `_recurrent` gives them: those of the alignment layer, by default the last but one."""
    vector = None
    if model.attention.placement.name == "none":
        part = under(p, "bridge")
        vector = part["map.weight"] @ pool(model, under(part, "pooling"), encoded.keys, source_embedded)
    decode = {"transformer": transformer.decode, "convolutional": convolutional.decode}[model.decoder.name]
    features, seen = decode(model, under(p, "decoder"), embedded, *encoded, vector)
    if not seen:
        return features, []
    aligning = model.decoder.alignment_layer or max(1, model.decoder_layers - 1)
    return features, [step.weights for step in seen[aligning - 1]]


def _output(p: Parameters, x: Tensor) -> Tensor:
    """W P x + b; P only where W is an embedding of another size (Press & Wolf 2017)."""
    return p["weight"] @ (p["tied_projection.weight"] @ x if "tied_projection.weight" in p else x) + p["bias"]
