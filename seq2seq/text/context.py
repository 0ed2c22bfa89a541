"""The sentences before a sentence in its document.

Shapes: b pairs, k sentences before each, s source, c further sentences, o their length.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.text.cleaning import is_blank

Row = Sequence[int] | NDArray[np.uint32]
"""Tokens of a sentence"""


class InContext(list[int]):
    """The tokens of a sentence, and those of the sentences before it."""

    def __init__(self, tokens: Iterable[int], before: Sequence[Row] = ()) -> None:
        """`before` has the nearest sentence first."""
        super().__init__(tokens)
        self.before = before


class Past:
    """The last sentences of a document that is read line by line."""

    def __init__(self, size: int) -> None:
        self._sentences = deque[str](maxlen=size)

    def before(self, line: str, *, begins: bool = False) -> tuple[str, ...]:
        """The sentences before the next line, in the order of the text, none if it `begins` a document.

        A blank line is no sentence.
        """
        if begins:
            self._sentences.clear()
        known = tuple(self._sentences)
        if not is_blank(line):
            self._sentences.append(line)
        return known


@dataclass(frozen=True)
class Context:
    """The sentences before each source of a batch, each sentence once."""

    others: Tensor
    """[c o]: sentences that are not sources of the batch, EOS last"""
    other_lengths: Tensor
    """[c]"""
    before: Tensor
    """[b k]: places of the sentences before among the b sources and, from b on, the others; nearest first, then −1"""

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Context":
        return Context(*(x.to(device, non_blocking=non_blocking) for x in vars(self).values()))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The fields as plain arrays, for another process."""
        return {name: value.numpy() for name, value in vars(self).items()}

    @staticmethod
    def of_arrays(arrays: Mapping[str, NDArray[Any]]) -> "Context":
        """The context with the fields that `arrays` gave."""
        return Context(**{name: torch.from_numpy(value) for name, value in arrays.items()})

    def sentences(self, sources: Tensor, lengths: Tensor) -> list[InContext]:
        """Sources [b s] of these lengths [b], each in its context."""
        rows = [row[:n].tolist() for row, n in zip(sources, lengths.tolist(), strict=True)]
        rows += [row[:n].tolist() for row, n in zip(self.others, self.other_lengths.tolist(), strict=True)]
        return [
            InContext(rows[place], [rows[other] for other in before if other >= 0])
            for place, before in enumerate(self.before.tolist())
        ]


def gather(sources: Sequence[Row], pad: Callable[[Sequence[Row]], tuple[Tensor, Tensor]]) -> Context | None:
    """The context of the sources of a batch; equal sentences become one. None if no source has any."""
    before = [row.before if isinstance(row, InContext) else () for row in sources]
    if not any(before):
        return None
    places: dict[bytes, int] = {}
    for place, row in enumerate(sources):
        places.setdefault(_content(row), place)
    others: list[Row] = []
    found = torch.full((len(sources), max(map(len, before))), -1)
    for row, sentences in zip(found, before, strict=True):
        for distance, sentence in enumerate(sentences):
            place = places.setdefault(_content(sentence), len(sources) + len(others))
            if place == len(sources) + len(others):
                others.append(sentence)
            row[distance] = place
    if not others:
        return Context(torch.zeros(0, 1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), found)
    return Context(*pad(others), found)


def _content(row: Row) -> bytes:
    return np.asarray(row, np.int64).tobytes()
