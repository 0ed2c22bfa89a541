"""Attention: a score within a window, normalised, over one or several heads.

    e_{t,i} = F(h_i, q_t)        score
    α_t     = softmax(e_t)       normaliser, over the positions the window leaves visible
    a_t     = Σ_i α_{t,i} h_i    context

Shapes: b batch, h heads, t target, s source, w positions of a window, q query, m memory, k key, v value size.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from seq2seq.attention.normaliser import Normalised
from seq2seq.attention.score import Score
from seq2seq.attention.window import WindowView
from seq2seq.nn.products import Linear, linear


@dataclass(frozen=True)
class Readers:
    """n rows that read the memories of b sentences, each row one: they have places in a grid [b k], some may be empty.

    So the rows of a sentence share its memory, as the steps of a sequence do, and it is not copied for each.
    """

    sentences: Tensor
    """[n]: whose memory each row reads"""
    places: Tensor | None
    """[n] of b k; None: all of them in order"""
    shape: tuple[int, int]
    """b, k"""

    def spread(self, x: Tensor) -> Tensor:
        """[n 1 ..] -> [b k ..], 0 at empty places."""
        if self.places is not None:
            grid = x.new_zeros(self.shape[0] * self.shape[1], *x.shape[1:])
            x = grid.index_copy_(0, self.places, x)
        return x.view(*self.shape, *x.shape[2:])

    def collect(self, x: Tensor) -> Tensor:
        """[b k ..] -> [n 1 ..]"""
        flat = x.flatten(0, 1)
        return (flat if self.places is None else flat.index_select(0, self.places))[:, None]


@dataclass(frozen=True)
class Memory:
    """What the decoder reads of the source; computed once per sentence."""

    values: Tensor
    """[b h s v]"""
    keys: Tensor
    """[b h s a]: what the score keeps of each position"""
    lengths: Tensor
    """[b]"""
    readers: Readers | None = None
    """The rows that attend; None: one for each sentence, in order"""

    def select(self, sentences: Tensor) -> "Memory":
        """A memory of these sentences, in that order, with one reader each."""
        return Memory(self.values[sentences], self.keys[sentences], self.lengths[sentences])


@dataclass(frozen=True)
class AttentionOutput:
    """What attention gives for the queries of t steps."""

    context: Tensor
    """[b t v]"""
    weights: Tensor | None = None
    """[b h t w]; None where there is no attention"""
    index: Tensor | None = None
    """[b t w]: the source positions of `weights`; None: all of them in order"""
    log_prob: Tensor | None = None
    """[b t]: see Normalised"""
    entropy: Tensor | None = None
    """[b t]: see Normalised"""
    coverage: Tensor | None = None
    """[b h s]: the weights summed over all steps so far, for scores that use it"""
    centre: Tensor | None = None
    """[b t]: p_t of a local window"""

    def to_dense(self, source_size: int) -> Tensor | None:
        """The weights over all source positions [b h t s]."""
        if self.index is None or self.weights is None:
            return self.weights
        index = self.index[:, None].expand_as(self.weights)
        # Positions outside a sentence are clamped onto real ones with weight 0: add, don't overwrite.
        full = self.weights.new_zeros(*self.weights.shape[:-1], source_size)
        return full.scatter_add(-1, index, self.weights)

    @staticmethod
    def concatenate(steps: "list[AttentionOutput]") -> "AttentionOutput":
        """One after the other along t."""

        def along(dim: int, parts: list[Tensor | None]) -> Tensor | None:
            present = [part for part in parts if part is not None]
            return torch.cat(present, dim) if present else None

        return AttentionOutput(
            torch.cat([s.context for s in steps], 1),
            along(2, [s.weights for s in steps]),
            along(1, [s.index for s in steps]),
            along(1, [s.log_prob for s in steps]),
            along(1, [s.entropy for s in steps]),
            steps[-1].coverage,
            along(1, [s.centre for s in steps]),
        )


class WindowPart(Protocol):
    """What Attention asks of a window."""

    def __call__(
        self, query: Tensor, positions: Tensor, lengths: Tensor, reach: Tensor, source_size: int
    ) -> WindowView: ...


class NormaliserPart(Protocol):
    """What Attention asks of a normaliser."""

    hard: bool

    def __call__(self, energies: Tensor, noise: Tensor | None = None) -> Normalised: ...


class Heads(nn.Module):
    """q_j = Q_j q, k_j = K_j h, v_j = V_j h of size m/n for each of n heads, and a = W_o [a_j]_j (Vaswani 2017).

    One head is the paper's equation exactly: nothing is projected.
    """

    def __init__(self, heads: int, query_size: int, memory_size: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_size = query_size if heads == 1 else memory_size // heads
        self.key_size = memory_size // heads
        if heads > 1:
            self.query = Linear(query_size, memory_size, bias=False)
            self.key = Linear(memory_size, memory_size, bias=False)
            self.value = Linear(memory_size, memory_size, bias=False)
            self.output = Linear(memory_size, memory_size, bias=False)

    def split(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        return x.view(b, t, self.heads, d // self.heads).transpose(1, 2)  # [b h t d/h]

    def split_query(self, query: Tensor) -> Tensor:
        """[b t q] -> [b h t q/h]"""
        return self.split(query if self.heads == 1 else self.query(query))

    def split_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """[b s m] -> keys, values [b h s m/h]"""
        if self.heads == 1:
            return self.split(memory), self.split(memory)
        return self.split(self.key(memory)), self.split(self.value(memory))

    def merge(self, context: Tensor) -> Tensor:
        """[b h t v] -> [b t m]"""
        merged = context.transpose(1, 2).flatten(2)  # [b t m]
        return merged if self.heads == 1 else self.output(merged)


class Attention(nn.Module):
    """score x window x normaliser x heads."""

    def __init__(self, heads: Heads, score: Score, window: WindowPart, normaliser: NormaliserPart) -> None:
        super().__init__()
        self.heads = heads
        self.score = score
        self.window = window
        self.normaliser = normaliser

    @property
    def uses_coverage(self) -> bool:
        return getattr(self.score, "coverage", None) is not None

    def prepare(self, states: Tensor, lengths: Tensor, summary: Tensor) -> Memory:
        """Encoder states [b s m], lengths [b] -> Memory; `summary` is what `FixedVector` remembers instead."""
        keys, values = self.heads.split_memory(states)
        return Memory(_full(values), _full(self.score.project(keys)), lengths)

    def initial_coverage(self, memory: Memory) -> Tensor | None:
        """The coverage before the first step [b h s]."""
        return memory.values.new_zeros(memory.values.shape[:3]) if self.uses_coverage else None

    def forward(
        self,
        query: Tensor,
        memory: Memory,
        positions: Tensor,
        coverage: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> AttentionOutput:
        """query [b t q], positions of the steps [b t] -> context [b t v] and weights.

        Coverage [b h s] is that before the step, so t is 1 where it is used, and where the memory has `readers`: then
        b is their number n.
        """
        if memory.readers is not None:
            return self._shared(memory.readers, query, memory, positions, coverage)
        source_size = memory.values.size(2)
        reach = memory.lengths if self.score.reach is None else memory.lengths.clamp(max=self.score.reach)
        view: WindowView = self.window(query, positions, memory.lengths, reach, source_size)
        keys, values, seen = memory.keys, memory.values, coverage
        fold, unfold = _as_it_is, _as_it_is
        if view.index is not None:  # each step sees a few positions of its own: fold the steps into the batch
            fold, unfold = _fold, partial(_unfold, len(query))
            keys, values = _gather(keys, view.index), _gather(values, view.index)  # [b·t h w k]
            seen = None if coverage is None else _gather(coverage[..., None], view.index).squeeze(-1)

        energies = unfold(self.score(fold(self.heads.split_query(query)), keys, seen))  # [b h t w]
        energies = energies.masked_fill(~view.visible[:, None], -math.inf)
        if view.log_gain is not None and self.normaliser.hard:
            energies = energies + view.log_gain[:, None]
        weights, log_prob, entropy = self.normaliser(energies, noise)
        if view.log_gain is not None and not self.normaliser.hard:
            weights = weights * view.log_gain[:, None].exp()
        context = unfold(linear(fold(weights), values.transpose(-1, -2)))  # [b h t v]

        attended = AttentionOutput(
            self.heads.merge(context), weights, view.index, log_prob, entropy, centre=view.centre
        )
        if coverage is None:
            return attended
        spent = attended.to_dense(source_size)
        assert spent is not None
        return replace(attended, coverage=coverage + spent.sum(2))

    def _shared(
        self, readers: Readers, query: Tensor, memory: Memory, positions: Tensor, coverage: Tensor | None
    ) -> AttentionOutput:
        """`forward` of one step [n 1 q], whose rows are steps of the sentences."""
        if coverage is not None:  # each row has its own
            return self(query, memory.select(readers.sentences), positions, coverage)
        seen = self(readers.spread(query), replace(memory, readers=None), readers.spread(positions))
        assert seen.weights is not None
        return AttentionOutput(
            readers.collect(seen.context),
            readers.collect(seen.weights.transpose(1, 2)).transpose(1, 2),  # [n h 1 w]
            None if seen.index is None else readers.collect(seen.index),
            centre=None if seen.centre is None else readers.collect(seen.centre),
        )


class FixedVector(nn.Module):
    """What attention replaces: the same vector of the whole source at every step, whatever the query."""

    uses_coverage = False

    def prepare(self, states: Tensor, lengths: Tensor, summary: Tensor) -> Memory:
        values = summary[:, None, None]  # [b 1 1 m]
        return Memory(values, values, lengths)

    def initial_coverage(self, memory: Memory) -> Tensor | None:
        return None

    def forward(
        self,
        query: Tensor,
        memory: Memory,
        positions: Tensor,
        coverage: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> AttentionOutput:
        values = memory.values[:, 0]  # [b 1 m]
        rows = values if memory.readers is None else values[memory.readers.sentences]
        return AttentionOutput(rows.expand(-1, query.size(1), -1))


def _full(x: Tensor) -> Tensor:
    """At least in fp32: the steps read it elementwise, which is slower in 16 bits."""
    return x.float() if x.dtype.itemsize == 2 else x


def _as_it_is(x: Tensor) -> Tensor:
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
