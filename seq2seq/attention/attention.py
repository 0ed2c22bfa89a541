"""Attention: a score within a window, normalised, over one or several heads.

    e_{t,i} = F(k_i, q_t)        score
    α_t     = softmax(e_t)       normaliser, over the positions the window leaves visible
    a_t     = Σ_i α_{t,i} v_i    context

Shapes: b batch, h heads, t target, s source, w positions of a window, q query, k key, v value size, a prepared key.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.attention.normaliser import Normalised, Softmax
from seq2seq.attention.positions import Rotary
from seq2seq.attention.score import ProductScore, Score, full_precision
from seq2seq.attention.window import LocalP, WindowView, nearest, reachable
from seq2seq.nn.products import StepLinear, linear, without_autocast
from seq2seq.nn.rows import select

_SHORT = 600
"""Source positions up to which separate products of oneDNN are faster than torch's fused call of them."""


@dataclass(frozen=True)
class Memory:
    """Positions that can be attended to, prepared once: source words, or earlier target words (`causal`)."""

    keys: Tensor
    """[b h s a]: what the score keeps of each position."""
    values: Tensor
    """[b h s v]"""
    lengths: Tensor
    """[b]: number of real positions."""
    causal: bool = False
    """True: a step sees the positions up to its own. False: it sees all."""

    @property
    def size(self) -> int:
        """Number of positions, padding included."""
        return self.values.size(2)

    def append(self, new: "Memory") -> "Memory":
        """Add the positions that follow; `new` is prepared with this memory's size as `first`."""
        keys, values = torch.cat([self.keys, new.keys], 2), torch.cat([self.values, new.values], 2)
        return replace(self, keys=keys, values=values, lengths=self.lengths + new.lengths)

    def select(self, rows: Tensor) -> "Memory":
        """Take these rows of the batch [n], in that order."""
        return select(self, rows)

    def extent(self, positions: Tensor) -> Tensor:
        """How many of the first positions each step sees: absolute positions of the steps [b t] -> [b t]."""
        lengths = self.lengths[:, None].expand_as(positions)
        return torch.minimum(lengths, positions + 1) if self.causal else lengths


@dataclass(frozen=True)
class AttentionOutput:
    """What attention gives for the queries of t steps."""

    context: Tensor
    """[b t v]"""
    weights: Tensor | None = None
    """[b h t w]; None where nobody needs them, or there is no attention."""
    index: Tensor | None = None
    """[b t w]: the source positions of `weights`; None: all of them in order."""
    log_prob: Tensor | None = None
    """[b t]: see Normalised."""
    entropy: Tensor | None = None
    """[b t]: see Normalised."""
    coverage: Tensor | None = None
    """[b h s]: the weights summed over all steps so far, for scores that use it."""
    centre: Tensor | None = None
    """[b t]: p_t of a local window."""
    words: Tensor | None = None
    """[b t e]: the source embeddings summed with the weights, for a lexical model."""

    def to_dense(self, source_size: int) -> Tensor | None:
        """Spread the weights over all source positions: [b h t s]."""
        if self.index is None or self.weights is None:
            return self.weights
        index = self.index[:, None].expand_as(self.weights)
        # Positions outside a sentence are clamped onto real ones with weight 0: add, don't overwrite.
        full = self.weights.new_zeros(*self.weights.shape[:-1], source_size)
        return full.scatter_add(-1, index, self.weights)

    @staticmethod
    def concatenate(steps: "Sequence[AttentionOutput]") -> "AttentionOutput":
        """Join steps along t; the coverage is that of the last."""

        def join(name: str, dim: int = 1) -> Tensor | None:
            parts = [getattr(step, name) for step in steps]
            return None if parts[0] is None else torch.cat(parts, dim)

        context = torch.cat([step.context for step in steps], 1)
        rows = {name: join(name) for name in ("index", "log_prob", "entropy", "centre", "words")}
        return AttentionOutput(context, join("weights", 2), coverage=steps[-1].coverage, **rows)


class LocalSpans(NamedTuple):
    """The local window of each step, in source positions."""

    first: Tensor
    """[b t]"""
    last: Tensor
    """[b t], inclusive."""
    centre: Tensor
    """[b t]: p_t, real-valued under `local_p`."""


class WindowPart(Protocol):
    """What Attention asks of a window."""

    half_width: int | None
    """D of a local window, which sees 2D+1 positions at most; None: the window is global."""

    def __call__(
        self, query: Tensor, positions: Tensor, extent: Tensor, size: int, *, at_once: bool = False
    ) -> WindowView: ...


class NormaliserPart(Protocol):
    """What Attention asks of a normaliser."""

    hard: bool

    def __call__(self, energies: Tensor) -> Normalised: ...


class Heads(nn.Module):
    """q_j = Q_j q, k_j = K_j k, v_j = V_j v of size 1/n for each of n heads, and a = W_o [a_j]_j (Vaswani 2017).

    Without `project`, one head is the paper's equation exactly: queries, keys and values stay as they are.
    """

    def __init__(
        self, heads: int, query_size: int, key_size: int, value_size: int, *, project: bool, output_size: int
    ) -> None:
        super().__init__()
        assert project or (heads == 1 and output_size == value_size)
        self.heads = heads
        self.project = project
        self.query_size = key_size // heads if project else query_size
        self.key_size = key_size // heads
        if project:
            self.query = StepLinear(query_size, key_size, bias=False)
            self.key = StepLinear(key_size, key_size, bias=False)
            self.value = StepLinear(value_size, value_size, bias=False)
            self.output = StepLinear(value_size, output_size, bias=False)

    def split(self, x: Tensor) -> Tensor:
        """[b t d] -> [b h t d/h]"""
        b, t, d = x.shape
        return x.view(b, t, self.heads, d // self.heads).transpose(1, 2)  # [b h t d/h]

    def split_query(self, query: Tensor) -> Tensor:
        """[b t q] -> [b h t q/h]"""
        return self.split(self.query(query) if self.project else query)

    def split_memory(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """keys [b s k], values [b s v] -> [b h s k/h], [b h s v/h]"""
        if self.project:
            keys, values = self.key(keys), self.value(values)
        return self.split(keys), self.split(values)

    def merge(self, context: Tensor) -> Tensor:
        """[b h t v/h] -> [b t o]"""
        merged = context.transpose(1, 2).flatten(2)  # [b t v]
        return self.output(merged) if self.project else merged


class Attention(nn.Module):
    """score x window x normaliser x heads."""

    def __init__(
        self,
        heads: Heads,
        score: Score,
        window: WindowPart,
        normaliser: NormaliserPart,
        *,
        rotary: Rotary | None = None,
        parallel: bool = False,
    ) -> None:
        """`rotary` turns queries and keys by their positions.

        `parallel`: in training, the queries of all steps come at once, so that one fused call pays.
        """
        super().__init__()
        self.heads = heads
        self.score = score
        self.window = window
        self.normaliser = normaliser
        self.rotary = rotary
        weighted_sum = (
            not isinstance(window, LocalP) and isinstance(normaliser, Softmax) and isinstance(score, ProductScore)
        )
        self._fusable = parallel and weighted_sum

    @property
    def uses_coverage(self) -> bool:
        """Whether each step has to know what the steps before it attended to."""
        return getattr(self.score, "coverage", None) is not None

    def prepare(self, keys: Tensor, values: Tensor, lengths: Tensor, *, causal: bool = False, first: int = 0) -> Memory:
        """Project what is attended to, once: keys [b s k] from position `first` on, values [b s v], lengths [b]."""
        keys, values = self.heads.split_memory(keys, values)  # [b h s k], [b h s v]
        if self.rotary is not None:
            keys = self.rotary(keys, torch.arange(first, first + keys.size(2), device=keys.device))
        if self._fusable:
            return Memory(self.score.project(keys), values, lengths, causal)
        return Memory(self.score.prepare(keys, first), full_precision(values), lengths, causal)

    def initial_coverage(self, memory: Memory) -> Tensor | None:
        """The coverage before the first step [b h s]; None for scores that don't use it."""
        return memory.values.new_zeros(memory.values.shape[:3]) if self.uses_coverage else None

    def forward(
        self,
        query: Tensor,
        memory: Memory,
        positions: Tensor,
        *,
        coverage: Tensor | None = None,
        need_weights: bool = True,
    ) -> AttentionOutput:
        """query [b t q], absolute positions of the steps [b t] -> context [b t v], and weights if they are needed.

        Coverage [b h s] is that before the step, so t is 1 where it is used. How the context is computed is decided
        here alone: only callers that need weights rely on their being computed at all.
        """
        at_once = query.size(1) > 1 and isinstance(self.score, ProductScore)
        view: WindowView = self.window(query, positions, memory.extent(positions), memory.size, at_once=at_once)
        queries = self.heads.split_query(query)  # [b h t q]
        if self.rotary is not None:
            queries = self.rotary(queries, positions[:, None])
        if self._fusable and at_once and not need_weights and view.index is None and _worth_fusing(memory.keys):
            assert isinstance(self.score, ProductScore)
            factor, mask = self.score.map_query(queries), view.visible[:, None]
            return AttentionOutput(self.heads.merge(_fused(factor, memory.keys, memory.values, mask)))
        keys, values, seen = memory.keys, memory.values, coverage
        fold, unfold = _unchanged, _unchanged
        if view.index is not None:  # each step sees a few positions of its own: fold the steps into the batch
            fold, unfold = _fold, partial(_unfold, query.size(0))
            keys, values = _gather(keys, view.index), _gather(values, view.index)  # [b·t h w k]
            seen = None if coverage is None else _gather(coverage[..., None], view.index).squeeze(-1)

        energies = unfold(self.score(fold(queries), keys, seen))  # [b h t w]
        energies = energies.masked_fill(~view.visible[:, None], -math.inf)
        if view.log_gain is not None and self.normaliser.hard:
            energies = energies + view.log_gain[:, None]
        weights, log_prob, entropy = self.normaliser(energies)
        if view.log_gain is not None and not self.normaliser.hard:
            weights = weights * view.log_gain[:, None].exp()
        context = self.heads.merge(unfold(linear(fold(weights), values.transpose(-1, -2))))  # [b t v]

        output = AttentionOutput(context, weights, view.index, log_prob, entropy, centre=view.centre)
        if coverage is not None:
            spent = output.to_dense(memory.size)
            assert spent is not None
            output = replace(output, coverage=coverage + spent.sum(2))
        return output if need_weights else replace(output, weights=None)

    def read_position(self, memory: Memory, sentences: Tensor, positions: Tensor) -> Tensor:
        """The context [n 1 m] if all weight of each head were on one position [n] of these sentences [n]."""
        return self.heads.merge(memory.values[sentences, :, positions][:, :, None])  # of [n h 1 v]

    def read_weighted(
        self, memory: Memory, sentences: Tensor, weights: Tensor, coverage: Tensor | None = None
    ) -> AttentionOutput:
        """What a step gives if all heads have these weights [n s] over these sentences [n]; coverage [n h s]."""
        given = weights.to(memory.values.dtype)[:, None, None].expand(-1, memory.values.size(1), -1, -1)  # [n h 1 s]
        context = self.heads.merge(given @ memory.values[sentences])  # of [n h 1 v]
        return AttentionOutput(context, given, coverage=None if coverage is None else coverage + given[:, :, 0])

    def spans(self, output: AttentionOutput, lengths: Tensor) -> LocalSpans | None:
        """Where the local windows of these steps stood in sentences of these lengths [b]; None for a global window."""
        half_width = self.window.half_width
        if output.centre is None or half_width is None:
            return None
        middle = nearest(output.centre)
        end = reachable(lengths, self.score.max_position)[:, None] - 1
        return LocalSpans((middle - half_width).clamp(min=0), torch.minimum(middle + half_width, end), output.centre)


class FixedVector(nn.Module):
    """What attention replaces: the same vector of the whole source at every step, whatever the query."""

    uses_coverage = False

    def prepare(self, keys: Tensor, values: Tensor, lengths: Tensor) -> Memory:
        """The vector as the only position: keys and values [b 1 m]."""
        return Memory(keys[:, None], values[:, None], lengths)

    def initial_coverage(self, memory: Memory) -> Tensor | None:
        """None: nothing is attended to."""
        return None

    def forward(self, query: Tensor, memory: Memory, positions: Tensor, **options: object) -> AttentionOutput:
        """query [b t q] -> the vector at each step [b t m]."""
        return AttentionOutput(memory.values[:, 0].expand(-1, query.size(1), -1))


def _worth_fusing(keys: Tensor) -> bool:
    """Whether `_fused` is faster: keys [b h s k]. Under oneDNN's fp32 products on CPUs, it is for long sources alone.

    There (`seq2seq.device.fastest_fp32_products`), torch's call prepares each of its small products anew.
    """
    slow = keys.device.type == "cpu" and torch.get_float32_matmul_precision() != "highest"
    return not slow or keys.size(-2) > _SHORT


def _fused(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention in one operation: query [b h t k], keys [b h s k], values [b h s v], mask [b 1 t s] -> context.

    On CPUs always in fp32: torch's kernel for bf16 took 5 to 12 times as long for up to 100 positions.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, keys, values, mask, scale=1.0)
    query, keys, values = (full_precision(part) for part in (query, keys, values))
    with without_autocast("cpu"):
        return F.scaled_dot_product_attention(query, keys, values, mask, scale=1.0)


def _unchanged(x: Tensor) -> Tensor:
    return x


def _fold(x: Tensor) -> Tensor:
    """[b h t d] -> [b·t h 1 d]"""
    return x.transpose(1, 2).flatten(0, 1).unsqueeze(2)


def _unfold(b: int, x: Tensor) -> Tensor:
    """[b·t h 1 d] -> [b h t d]"""
    return x.squeeze(2).unflatten(0, (b, -1)).transpose(1, 2)  # type: ignore[no-untyped-call]


def _gather(memory: Tensor, index: Tensor) -> Tensor:
    """memory [b h s d] at index [b t w] -> [b·t h w d]."""
    b, t, w = index.shape
    h, d = memory.size(1), memory.size(3)
    flat = index.reshape(b, 1, t * w, 1).expand(b, h, t * w, d)
    return memory.gather(2, flat).view(b, h, t, w, d).transpose(1, 2).flatten(0, 1)
