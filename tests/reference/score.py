"""e = F(q, k) of one query and one key of one head, at source position i whose coverage so far is c."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from reference.parameters import Parameters

ScoreFunction = Callable[[Parameters, Tensor, Tensor, int, Tensor | None], Tensor]


def dot(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """qᵀk (Luong 2015, eq. 8); a key of another size is projected first."""
    return q @ _matched(p, k)


def scaled_dot(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """qᵀk / √d (Vaswani 2017, eq. 1)."""
    return q @ _matched(p, k) / math.sqrt(len(q))


def cosine(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """τ qᵀk / (‖q‖‖k‖) (Graves 2014, eq. 6), τ = exp ρ, or 1 where it is not learned; norms are at least 1e-6."""
    k = _matched(p, k)
    scale = p["log_scale"].squeeze().exp() if "log_scale" in p else 1
    return scale * (q @ k) / ((q @ q).clamp(min=1e-12).sqrt() * (k @ k).clamp(min=1e-12).sqrt())


def general(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """qᵀ W k (Luong 2015, eq. 8)."""
    return q @ (p["key.weight"] @ k)


def additive(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """vᵀ tanh(W q + U k + b) (Bahdanau 2015, A.1.2)."""
    return p["v"][0] @ _additive_hidden(p, q, k, c)


def normed_additive(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """(g v/‖v‖)ᵀ tanh(W q + U k + b) (Salimans & Kingma 2016, eq. 2)."""
    v = p["v"][0]
    return p["g"].squeeze() / (v @ v).sqrt() * (v @ _additive_hidden(p, q, k, c))


def concat(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """vᵀ tanh(W [q;k]) (Luong 2015, eq. 8)."""
    return p["v"][0] @ torch.tanh(p["weight"] @ torch.cat([q, k]) + _covered(p, c))


def linear(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """w₁·k + w₂·q, the "concatenation" of the tutorials."""
    return p["key.weight"][0] @ k + p["query.weight"][0] @ q


def key(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """w·k."""
    return p["key.weight"][0] @ k


def location(p: Parameters, q: Tensor, k: Tensor, i: int, c: Tensor | None) -> Tensor:
    """(W q)_i (Luong 2015, eq. 9); only ever asked for i < L."""
    return (p["query.weight"] @ q)[i]


SCORES: dict[str, ScoreFunction] = {
    "dot": dot,
    "scaled_dot": scaled_dot,
    "general": general,
    "additive": additive,
    "normed_additive": normed_additive,
    "concat": concat,
    "linear": linear,
    "key": key,
    "location": location,
    "cosine": cosine,
}


def _matched(p: Parameters, k: Tensor) -> Tensor:
    return p["match.weight"] @ k if "match.weight" in p else k


def _additive_hidden(p: Parameters, q: Tensor, k: Tensor, c: Tensor | None) -> Tensor:
    return torch.tanh(p["query.weight"] @ q + p["key.weight"] @ k + p["key.bias"] + _covered(p, c))


def _covered(p: Parameters, c: Tensor | None) -> Tensor | float:
    """u_c C_{t-1,i} (Tu 2016, eq. 9)."""
    return 0.0 if c is None else p["coverage"] * c
