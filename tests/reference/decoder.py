"""The whole model on one pair of sentences."""

from typing import NamedTuple

import torch
from torch import Tensor

from reference.attention import attend
from reference.bridge import bridge
from reference.encoder import encode
from reference.parameters import Parameters, under
from reference.placement import PLACEMENTS
from seq2seq import config


class Translated(NamedTuple):
    """Of one pair."""

    logits: list[Tensor]
    """Of each step, over the vocabulary."""
    weights: list[list[Tensor]]
    """Of each step and head, over the positions of the source; empty without attention."""


def translate(model: config.Model, p: Parameters, source: list[int], inputs: list[int]) -> Translated:
    """Source tokens and decoder inputs (BOS first), neither padded -> what is predicted at each step."""
    states = encode(model, under(p, "encoder"), [p["source_embedding.weight"][token] for token in source])
    summary, layers = bridge(model, under(p, "bridge"), states)
    decoder = under(p, "decoder")
    placement = PLACEMENTS[model.attention.placement.name]
    feed, coverage = None, None
    if model.attention.heads is not None:
        coverage = [torch.zeros(len(states), dtype=summary.dtype)] * model.attention.heads
    logits, weights = [], []
    for t, token in enumerate(inputs):
        seen = []

        def context(q: Tensor, t: int = t, coverage: list[Tensor] | None = coverage, seen: list = seen) -> Tensor:
            if coverage is None:
                return summary
            seen.append(attend(model.attention, under(decoder, "attention"), q, states, t, coverage=coverage))
            return seen[-1].context

        y = decoder["embedding.weight"][token]
        step = placement(model, under(decoder, "placement"), y, layers, feed, context)
        layers, feed = step.layers, step.feed
        if seen:
            coverage = seen[-1].coverage
            weights.append(seen[-1].weights)
        logits.append(_output(under(p, "output"), step.readout))
    return Translated(logits, weights)


def _output(p: Parameters, x: Tensor) -> Tensor:
    """W P x + b; P only where W is an embedding of another size (Press & Wolf 2017)."""
    return p["weight"] @ (p["tied_projection.weight"] @ x if "tied_projection.weight" in p else x) + p["bias"]
