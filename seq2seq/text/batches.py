"""Batches of sentences of similar length, as many as a token budget allows.

Shapes: b batch, s source, t target.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, starmap
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.context import Context, InContext, Row, gather
from seq2seq.text.tokenizer import BOS, PAD

_TOGETHER = 4
"""Neighbours of a document in one batch, at most. More would share more, but waste room on unequal lengths."""


@dataclass(frozen=True)
class Batch:
    """Padded pairs; real tokens are those other than PAD."""

    source: Tensor
    """[b s], EOS last"""
    source_lengths: Tensor
    """[b]"""
    inputs: Tensor
    """[b t]: BOS, then the target without its last token"""
    targets: Tensor
    """[b t]: the target, EOS last"""
    links: Tensor | None = None
    """[b t s]: 1/n for each of the n source pieces that a target piece is linked to; None without links"""
    context: Context | None = None
    """The sentences before; None without any"""

    def to(self, device: torch.device) -> Self:
        """Copy the tensors to a device."""
        tensors = {name: value for name, value in vars(self).items() if hasattr(value, "to")}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})

    def arrays(self) -> dict[str, Any]:
        """The fields as plain arrays, for another process."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return {name: value.arrays() if name == "context" else value.numpy() for name, value in given.items()}

    @staticmethod
    def of_arrays(arrays: Mapping[str, Any]) -> "Batch":
        """The batch with the fields that `arrays` gave."""
        tensors = {name: torch.from_numpy(value) for name, value in arrays.items() if name != "context"}
        return Batch(**tensors, context=Context.of_arrays(arrays["context"]) if "context" in arrays else None)

    def split(self, parts: int) -> "list[Batch]":
        """Split the pairs into this many batches, each padded as little as possible; none is empty."""
        if parts == 1:
            return [self]
        parts, size = min(parts, len(self.source)), len(self.source)
        if self.context is None:
            return [self._part(slice(first, None, parts), None) for first in range(parts)]
        bounds = [size * part // parts for part in range(parts + 1)]  # neighbours share their context
        sources = self.sources()
        return [self._part(rows, gather(sources[rows], pad)) for rows in starmap(slice, pairwise(bounds))]

    def _part(self, rows: slice, context: Context | None) -> "Batch":
        source_size = int(self.source_lengths[rows].max())
        target_size = int((self.targets[rows] != PAD).sum(1).max())
        return Batch(
            self.source[rows, :source_size],
            self.source_lengths[rows],
            self.inputs[rows, :target_size],
            self.targets[rows, :target_size],
            None if self.links is None else self.links[rows, :target_size, :source_size],
            context,
        )

    def sources(self) -> Sequence[InContext]:
        """The tokens of each source, with the sentences before it."""
        if self.context is not None:
            return self.context.sentences(self.source, self.source_lengths)
        return [InContext(row[:n].tolist()) for row, n in zip(self.source, self.source_lengths.tolist(), strict=True)]

    @property
    def tokens(self) -> int:
        """The number of real target tokens."""
        return int((self.targets != PAD).sum())


def pad(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Pad sequences to tokens [b s], and give their lengths [b]."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    padded = np.full((len(rows), int(lengths.max())), PAD)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(padded), torch.from_numpy(lengths)


def make_batch(corpus: EncodedCorpus, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
    """The batch of these rows."""
    links = None if corpus.links is None else [corpus.links[int(row)] for row in rows]
    sources = corpus.sources(rows) if corpus.documents is not None else [corpus.source[int(row)] for row in rows]
    return pad_pairs(sources, [corpus.target[int(row)] for row in rows], links)


def pad_pairs(
    sources: Sequence[Row], target_rows: Sequence[Row], links: Sequence[NDArray[np.uint32]] | None = None
) -> Batch:
    """Make a batch of sequences, EOS last, and of the target piece and source piece of each link [n 2]."""
    source, lengths = pad(sources)
    targets, target_lengths = pad(target_rows)
    inputs = targets.roll(1, 1)
    inputs[:, 0] = BOS
    inputs[torch.arange(inputs.size(1)) >= target_lengths[:, None]] = PAD
    spread = None if links is None else spread_links(links, targets.size(1), source.size(1))
    return Batch(source, lengths, inputs, targets, spread, gather(sources, pad))


def spread_links(pieces: Sequence[NDArray[np.uint32]], target_size: int, source_size: int) -> Tensor:
    """Spread the target piece and source piece of each link [n 2] of each sentence to [b t s].

    The row of a piece has equal parts of 1 for the pieces it is linked to, and zeros if there are none.
    """
    linked = torch.zeros(len(pieces), target_size, source_size)
    for matrix, pairs in zip(linked, pieces, strict=True):
        t, s = torch.as_tensor(pairs.astype(np.int64)).unbind(1)
        matrix[t, s] = 1
    return linked / linked.sum(-1, keepdim=True).clamp(min=1)


def plan_batches(
    corpus: EncodedCorpus, batch_tokens: int, seed: Sequence[int] | None, batch_sentences: int | None = None
) -> list[NDArray[np.int64]]:
    """The rows of each batch, sorted by length so that rows x longest target <= batch_tokens, but at least one row.

    A batch has at most batch_sentences rows. `seed` mixes pairs of equal lengths and shuffles the batches; None leaves
    them in the order of lengths. The number of batches does not depend on it. A few neighbours of a document stay
    together, so that they share their context.
    """
    generator = None if seed is None else np.random.default_rng(list(seed))
    source, target = corpus.source.lengths, corpus.target.lengths
    if corpus.documents is not None:
        batches = list(_neighbours(target, corpus.documents.firsts, batch_tokens, batch_sentences, generator))
        return _shuffled(batches, generator)
    mixed = np.arange(len(corpus)) if generator is None else generator.permutation(len(corpus))
    order = np.lexsort((source[mixed], target[mixed]))
    del source  # hundreds of megabytes for many millions of pairs
    rows = mixed[order]
    del mixed, order
    batches = [rows[start:end] for start, end in _cut(target[rows], batch_tokens, batch_sentences)]
    return _shuffled(batches, generator)


def _shuffled(batches: list[NDArray[np.int64]], generator: np.random.Generator | None) -> list[NDArray[np.int64]]:
    if generator is None:
        return batches
    generator.shuffle(order := np.arange(len(batches)))
    return [batches[i] for i in order]


def _neighbours(
    lengths: NDArray[np.int32],
    documents: NDArray[np.int64],
    budget: int,
    most: int | None,
    generator: np.random.Generator | None,
) -> Iterator[NDArray[np.int64]]:
    """Batches of pieces of documents, each of a few rows in a row, by the longest target of a piece."""
    rows, most = np.arange(len(lengths)), most or len(lengths)
    new = np.diff(documents, prepend=-1) != 0
    inside = rows - np.maximum.accumulate(np.where(new, rows, 0))  # place in the document
    size = min(_TOGETHER, most)
    starts = np.flatnonzero(inside % size == 0)
    while True:
        sizes, longest = np.diff(np.append(starts, len(rows))), np.maximum.reduceat(lengths, starts)
        large = (sizes > 1) & (sizes * longest > budget)
        if not large.any():
            break
        starts = np.sort(np.concatenate([starts, starts[large] + sizes[large] // 2]))
    mixed = np.arange(len(starts)) if generator is None else generator.permutation(len(starts))
    order = mixed[np.lexsort((sizes[mixed], longest[mixed]))]
    batch, count = list[NDArray[np.int64]](), 0
    for start, size, length in zip(*(of_piece[order].tolist() for of_piece in (starts, sizes, longest)), strict=True):
        if batch and ((count + size) * length > budget or count + size > most):
            yield np.concatenate(batch)
            batch, count = [], 0
        batch.append(rows[start : start + size])
        count += size
    if batch:
        yield np.concatenate(batch)


def _cut(lengths: NDArray[np.int32], budget: int, most: int | None) -> Iterator[tuple[int, int]]:
    """Ranges of at most `most` ascending lengths in which count x longest fits the budget."""
    start = 0
    while start < len(lengths):
        end = min(start + max(budget // int(lengths[start]), 1), start + (most or len(lengths)), len(lengths))
        while end - start > 1 and (end - start) * int(lengths[end - 1]) > budget:
            end -= 1
        yield start, end
        start = end
