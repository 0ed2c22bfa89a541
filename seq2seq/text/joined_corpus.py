"""Several encoded corpora as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from seq2seq.text.cache import EncodedCorpus, Rows, Side


@dataclass(frozen=True)
class JoinedRows:
    """The rows of several parts, one part after the other; nothing of them is copied."""

    parts: Sequence[Rows]
    sizes: Sequence[int]
    """Rows of each part."""

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *self.sizes])[:-1]

    def __getitem__(self, row: int) -> NDArray[np.uint32]:
        part = int(self._starts.searchsorted(row, side="right")) - 1
        return self.parts[part][row - int(self._starts[part])]


@dataclass(frozen=True)
class JoinedSide(JoinedRows):
    """The tokens of every sentence."""

    parts: Sequence[Side]

    @property
    def lengths(self) -> NDArray[np.int32]:
        return np.concatenate([part.lengths for part in self.parts])


def join(corpora: Sequence[EncodedCorpus], weights: Sequence[int]) -> EncodedCorpus:
    """All corpora one after the other, each as many times as its weight. One corpus of weight 1 is itself.

    Links are joined where all have them.
    """
    if len(corpora) == 1 and weights[0] == 1:
        return corpora[0]
    parts = [corpus for corpus, weight in zip(corpora, weights, strict=True) for _ in range(weight) if len(corpus)]
    sizes = [len(part) for part in parts]
    links = [part.links for part in parts if part.links is not None]
    return EncodedCorpus(
        JoinedSide([part.source for part in parts], sizes),
        JoinedSide([part.target for part in parts], sizes),
        {"kept": sum(sizes)},
        JoinedRows(links, sizes) if len(links) == len(parts) else None,
    )
