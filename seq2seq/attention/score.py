"""Scores: e = F(key, query), before any window or normaliser. One class per row of the table of names.

A score works in two parts: `prepare` computes once what depends on the keys alone; `forward` does the rest at every
step. Both treat the heads as separate scores with parameters of their own.

Shapes: b batch, h heads, t target, s source, q query size, k key size, a size of the attention's hidden layer.
"""

import logging
import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.tanh_energies import tanh_energies
from seq2seq.nn.products import linear, without_autocast

logger = logging.getLogger(__name__)


class HeadLinear(nn.Module):
    """One linear map per head: [b h t i] -> [b h t o]."""

    def __init__(self, heads: int, input_size: int, output_size: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, output_size, input_size))
        self.bias = nn.Parameter(torch.zeros(heads, output_size)) if bias else None
        for weight in self.weight:
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor) -> Tensor:
        return head_linear(x, self.weight, self.bias)


def head_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [b h t i], weight [h o i], bias [h o] -> [b h t o]."""
    if weight.size(0) == 1:
        return linear(x, weight[0], None if bias is None else bias[0])
    y = torch.einsum("bhti,hoi->bhto", x, weight)
    return y if bias is None else y + bias[:, None]


class Score(nn.Module, ABC):
    """Base of the scores."""

    max_position: int | None = None
    """The number of positions a score can tell apart; None: any number."""

    def prepare(self, keys: Tensor, first: int = 0) -> Tensor:
        """keys [b h s k], the absolute position of the first -> what `forward` takes as keys [b h s a]; done once.

        In fp32 at least: single steps read the keys elementwise, which is slower in 16 bits. A score whose steps are
        one large product may decide otherwise.
        """
        return full_precision(self.project(keys))

    def project(self, keys: Tensor) -> Tensor:
        """keys [b h s k] -> [b h s a], for `prepare`."""
        return keys

    @abstractmethod
    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        """query [b h t q], prepared keys [b h s a], coverage [b h s] -> energies [b h t s]."""


def full_precision(x: Tensor) -> Tensor:
    """Convert 16-bit numbers to fp32."""
    return x.float() if x.dtype.itemsize == 2 else x


class ProductScore(Score):
    """Base of the scores that are one product of a mapped query with a prepared key."""

    @abstractmethod
    def map_query(self, query: Tensor) -> Tensor:
        """query [b h t q] -> what the keys are multiplied with [b h t a]."""

    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        return linear(self.map_query(query), keys)


class Dot(ProductScore):
    """e = qᵀk (Luong 2015, eq. 8). Keys of another size than the query are projected to it, without bias."""

    def __init__(self, heads: int, query_size: int, key_size: int) -> None:
        super().__init__()
        self.match: HeadLinear | None = None
        if query_size != key_size:
            self.match = HeadLinear(heads, key_size, query_size)
            logger.info("%s: keys of size %d are projected to %d", type(self).__name__, key_size, query_size)

    def project(self, keys: Tensor) -> Tensor:
        return keys if self.match is None else self.match(keys)

    def map_query(self, query: Tensor) -> Tensor:
        return query


class ScaledDot(Dot):
    """e = qᵀk / √d (Vaswani 2017, eq. 1), d the size of one head's query."""

    def map_query(self, query: Tensor) -> Tensor:
        return query / math.sqrt(query.size(-1))


class Cosine(Dot):
    """e = τ qᵀk / (‖q‖‖k‖) (Graves 2014, eq. 6), τ = exp ρ learned from ρ₀ = ln 10, or τ = 1; norms at least 1e-6."""

    def __init__(self, heads: int, query_size: int, key_size: int, *, learned_scale: bool) -> None:
        super().__init__(heads, query_size, key_size)
        self.log_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10.0))) if learned_scale else None

    def project(self, keys: Tensor) -> Tensor:
        return F.normalize(super().project(keys), dim=-1, eps=1e-6)

    def map_query(self, query: Tensor) -> Tensor:
        direction = F.normalize(query, dim=-1, eps=1e-6)
        return direction if self.log_scale is None else self.log_scale.exp() * direction

    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        cosine = linear(F.normalize(query, dim=-1, eps=1e-6), keys)
        return cosine if self.log_scale is None else self.log_scale.exp() * cosine


class General(ProductScore):
    """e = qᵀ W k (Luong 2015, eq. 8); also called multiplicative or bilinear. W k is computed once per sentence."""

    def __init__(self, heads: int, query_size: int, key_size: int) -> None:
        super().__init__()
        self.key = HeadLinear(heads, key_size, query_size)

    def project(self, keys: Tensor) -> Tensor:
        return self.key(keys)

    def map_query(self, query: Tensor) -> Tensor:
        return query


class Additive(Score):
    """e = vᵀ tanh(W q + U k + b) (Bahdanau 2015, A.1.2).

    With coverage (Tu 2016, eq. 9) e = vᵀ tanh(W q + U k + b + u_c C_{t-1,i}), C the weights summed over earlier steps.
    """

    def __init__(self, heads: int, query_size: int, key_size: int, hidden_size: int, *, coverage: bool) -> None:
        super().__init__()
        self.query = HeadLinear(heads, query_size, hidden_size)
        self.key = HeadLinear(heads, key_size, hidden_size, bias=True)
        self.v = nn.Parameter(_small(heads, 1, hidden_size))
        self.coverage = nn.Parameter(_small(heads, hidden_size)) if coverage else None

    def project(self, keys: Tensor) -> Tensor:
        """keys -> 2 (U k + b); `tanh_energies` takes them doubled."""
        return 2 * self.key(keys)

    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        return _tanh_energies(self.query(query), keys, self.v, self.coverage, coverage)


class NormedAdditive(Additive):
    """e = (g v/‖v‖)ᵀ tanh(W q + U k + b): additive with a weight-normalised v (Salimans & Kingma 2016, eq. 2)."""

    def __init__(self, heads: int, query_size: int, key_size: int, hidden_size: int, *, coverage: bool) -> None:
        super().__init__(heads, query_size, key_size, hidden_size, coverage=coverage)
        self.g = nn.Parameter(torch.full((heads, 1, 1), hidden_size**-0.5))

    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        v = self.g * self.v / self.v.norm(dim=-1, keepdim=True)
        return _tanh_energies(self.query(query), keys, v, self.coverage, coverage)


class Concat(Score):
    """e = vᵀ tanh(W [q;k]) (Luong 2015, eq. 8): `additive` at b = 0 with W split into its two halves."""

    def __init__(self, heads: int, query_size: int, key_size: int, hidden_size: int, *, coverage: bool) -> None:
        super().__init__()
        self.query_size = query_size
        self.weight = HeadLinear(heads, query_size + key_size, hidden_size).weight
        self.v = nn.Parameter(_small(heads, 1, hidden_size))
        self.coverage = nn.Parameter(_small(heads, hidden_size)) if coverage else None

    def project(self, keys: Tensor) -> Tensor:
        """keys -> 2 U k; `tanh_energies` takes them doubled."""
        return 2 * head_linear(keys, self.weight[..., self.query_size :])

    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        hidden = head_linear(query, self.weight[..., : self.query_size])
        return _tanh_energies(hidden, keys, self.v, self.coverage, coverage)


class LinearScore(Score):
    """e = w₁·k + w₂·q = W [q;k], the "concatenation" of the tutorials.

    w₂·q is the same at every position, so every normaliser ignores it and w₂ gets no gradient: the score learns what
    `key` learns. It is here because many tutorials write it.
    """

    def __init__(self, heads: int, query_size: int, key_size: int) -> None:
        super().__init__()
        self.query = HeadLinear(heads, query_size, 1)
        self.key = HeadLinear(heads, key_size, 1)

    def project(self, keys: Tensor) -> Tensor:
        return self.key(keys)

    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        return self.query(query) + keys.transpose(-1, -2)


class Key(Score):
    """e = w·k: the content of the source alone; the query is ignored."""

    def __init__(self, heads: int, key_size: int) -> None:
        super().__init__()
        self.key = HeadLinear(heads, key_size, 1)

    def project(self, keys: Tensor) -> Tensor:
        return self.key(keys)

    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        return keys.transpose(-1, -2).expand(-1, -1, query.size(2), -1)


class Location(Score):
    """e_i = (W q)_i for i < L (Luong 2015, eq. 9): the position alone, whatever the words.

    A prepared key is its absolute position. Positions from L = `max_length` on are out of reach.
    """

    def __init__(self, heads: int, query_size: int, *, max_length: int) -> None:
        super().__init__()
        self.max_position: int = max_length
        self.query = HeadLinear(heads, query_size, max_length)

    def prepare(self, keys: Tensor, first: int = 0) -> Tensor:
        positions = torch.arange(first, first + keys.size(2), device=keys.device)
        return positions[:, None].expand(*keys.shape[:3], 1)

    def forward(self, query: Tensor, keys: Tensor, coverage: Tensor | None = None) -> Tensor:
        positions = keys.transpose(-1, -2).expand(-1, -1, query.size(2), -1)  # [b h t s]
        energies = self.query(query).gather(-1, positions.clamp(max=self.max_position - 1))
        return energies.masked_fill(positions >= self.max_position, -math.inf)


def _small(*shape: int) -> Tensor:
    """Draw from the uniform distribution on ±1/√a, a the last size."""
    bound = shape[-1] ** -0.5
    return torch.empty(shape).uniform_(-bound, bound)


def _tanh_energies(
    query: Tensor, keys: Tensor, v: Tensor, coverage_weight: Tensor | None, coverage: Tensor | None
) -> Tensor:
    """query [b h t a], doubled keys [b h s a], v [h 1 a], u_c [h a], coverage [b h s] -> vᵀ tanh(...) [b h t s]."""
    if coverage_weight is not None and coverage is not None:
        keys = keys + coverage[..., None] * (2 * coverage_weight)[:, None]
    with without_autocast(keys.device.type):
        return tanh_energies((2 * query).to(keys.dtype), keys, v)
