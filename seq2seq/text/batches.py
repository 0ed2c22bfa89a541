"""Batches: sentences of similar length together, as many as a token budget allows.

Shapes: b batch, s source, t target.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.text.cache import EncodedCorpus
from seq2seq.text.tokenizer import BOS, PAD


@dataclass(frozen=True)
class Batch:
    """Padded pairs. Real tokens are those that are not PAD."""

    source: Tensor
    """[b s], EOS last"""
    source_lengths: Tensor
    """[b]"""
    inputs: Tensor
    """[b t]: BOS, then the target but its last token"""
    targets: Tensor
    """[b t]: the target, EOS last"""
    links: Tensor | None = None
    """[b t s]: 1/n for each of the n source pieces that a target piece is linked to; None: no links are given"""

    def to(self, device: torch.device) -> "Batch":
        move = [t.to(device, non_blocking=True) for t in (self.source, self.source_lengths, self.inputs, self.targets)]
        links = None if self.links is None else self.links.to(device, non_blocking=True)
        return Batch(move[0], move[1], move[2], move[3], links)

    def arrays(self) -> "dict[str, NDArray[Any] | None]":
        """As plain arrays, for another process."""
        return {name: None if value is None else value.numpy() for name, value in vars(self).items()}

    @staticmethod
    def of_arrays(arrays: "Mapping[str, NDArray[Any] | None]") -> "Batch":
        """What `arrays` gave."""
        return Batch(**{name: torch.from_numpy(value) for name, value in arrays.items() if value is not None})

    def split(self, parts: int) -> "list[Batch]":
        """Every parts-th pair of it, from the first, the second, ..; each as short as it can be, and none empty."""
        if parts == 1:
            return [self]
        return [self._part(slice(first, None, parts)) for first in range(min(parts, len(self.source)))]

    def _part(self, rows: slice) -> "Batch":
        source_size = int(self.source_lengths[rows].max())
        target_size = int((self.targets[rows] != PAD).sum(1).max())
        return Batch(
            self.source[rows, :source_size],
            self.source_lengths[rows],
            self.inputs[rows, :target_size],
            self.targets[rows, :target_size],
            None if self.links is None else self.links[rows, :target_size, :source_size],
        )

    @property
    def tokens(self) -> int:
        """Real target tokens."""
        return int((self.targets != PAD).sum())


def pad(rows: Sequence[Sequence[int] | NDArray[np.uint32]]) -> tuple[Tensor, Tensor]:
    """Sequences -> padded tokens [b s], lengths [b]."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.full((len(rows), int(lengths.max())), PAD)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = torch.as_tensor(np.asarray(row, dtype=np.int64))
    return padded, lengths


def make_batch(corpus: EncodedCorpus, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
    """The pairs of these rows."""
    links = None if corpus.links is None else [corpus.links[int(row)] for row in rows]
    return pad_pairs([corpus.source[int(row)] for row in rows], [corpus.target[int(row)] for row in rows], links)


def pad_pairs(
    sources: Sequence[Sequence[int] | NDArray[np.uint32]],
    targets_of: Sequence[Sequence[int] | NDArray[np.uint32]],
    links_of: Sequence[NDArray[np.uint32]] | None = None,
) -> Batch:
    """Sequences of tokens, EOS last, and the target piece and source piece of each link [n 2] -> their batch."""
    source, lengths = pad(sources)
    targets, target_lengths = pad(targets_of)
    inputs = targets.roll(1, 1)
    inputs[:, 0] = BOS
    inputs[torch.arange(inputs.size(1)) >= target_lengths[:, None]] = PAD
    links = None
    if links_of is not None:
        links = spread_links(links_of, targets.size(1), source.size(1))
    return Batch(source, lengths, inputs, targets, links)


def spread_links(pieces: Sequence[NDArray[np.uint32]], target_size: int, source_size: int) -> Tensor:
    """Target piece and source piece of each link [n 2], of each sentence -> [b t s]: a row of ones over its sum.

    The row of a piece without a link is 0.
    """
    linked = torch.zeros(len(pieces), target_size, source_size)
    for matrix, pairs in zip(linked, pieces, strict=True):
        t, s = torch.as_tensor(pairs.astype(np.int64)).unbind(1)
        matrix[t, s] = 1
    return linked / linked.sum(-1, keepdim=True).clamp(min=1)


def plan_batches(
    corpus: EncodedCorpus, batch_tokens: int, seed: Sequence[int] | None, batch_sentences: int | None = None
) -> list[NDArray[np.int64]]:
    """Rows of each batch, sorted by length and cut so that rows x longest target <= batch_tokens (one row at least),
    and there are no more than batch_sentences of them.

    Pairs of equal lengths are mixed and the batches shuffled by `seed`; None leaves the order of lengths. The number
    of batches depends on neither.
    """
    generator = None if seed is None else np.random.default_rng(list(seed))
    source, target = corpus.source.lengths, corpus.target.lengths
    mixed = np.arange(len(corpus)) if generator is None else generator.permutation(len(corpus))
    order = np.lexsort((source[mixed], target[mixed]))
    del source  # of many millions of pairs these are hundreds of megabytes
    rows = mixed[order]
    del mixed, order
    batches = [rows[start:end] for start, end in _cut(target[rows], batch_tokens, batch_sentences)]
    if generator is not None:
        generator.shuffle(order := np.arange(len(batches)))
        batches = [batches[i] for i in order]
    return batches


def _cut(lengths: NDArray[np.int32], budget: int, most: int | None) -> Iterator[tuple[int, int]]:
    """Ranges of at most so many ascending lengths in which count x longest fits the budget."""
    start = 0
    while start < len(lengths):
        end = min(start + max(budget // int(lengths[start]), 1), start + (most or len(lengths)), len(lengths))
        while end - start > 1 and (end - start) * int(lengths[end - 1]) > budget:
            end -= 1
        yield start, end
        start = end
