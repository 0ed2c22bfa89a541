"""Rows of numbers on disk, one after the other: the tokens of sentences, or the links of pairs."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from seq2seq.text.disk_arrays import Numbers, stored

_AT_A_TIME = 1 << 20
"""Numbers that are checked at a time."""


class Rows(Protocol):
    """The tokens of every sentence, EOS included, or the links of every pair."""

    def __getitem__(self, row: int, /) -> NDArray[np.uint32]: ...

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The length of each row."""


@dataclass(frozen=True)
class StoredRows:
    """Rows of numbers, stored one after the other."""

    numbers: Numbers[np.uint32]
    """[n] for tokens; [n 2] for links: the target piece and the source piece of each."""
    offsets: Numbers[np.int64]
    """Where each row begins, and where the last one ends."""

    def __getitem__(self, row: int) -> NDArray[np.uint32]:
        begin, end = self.offsets[row : row + 2].tolist()
        return self.numbers[begin:end]

    @property
    def lengths(self) -> NDArray[np.int32]:
        lengths = np.empty(len(self.offsets) - 1, np.int32)
        for start in range(0, len(lengths), _AT_A_TIME):
            lengths[start : start + _AT_A_TIME] = np.diff(self.offsets[start : start + _AT_A_TIME + 1])
        return lengths


@dataclass(frozen=True)
class JoinedRows:
    """The rows of several parts, one part after the other, without copies."""

    parts: Sequence[Rows]
    sizes: Sequence[int]
    """Number of rows of each part."""

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *self.sizes])[:-1]

    def __getitem__(self, row: int) -> NDArray[np.uint32]:
        part = int(self._starts.searchsorted(row, side="right")) - 1
        return self.parts[part][row - int(self._starts[part])]

    @property
    def lengths(self) -> NDArray[np.int32]:
        return np.concatenate([part.lengths for part in self.parts])


@dataclass
class RowWriter:
    """Writes rows of numbers one after the other, and remembers the size of each."""

    file: BinaryIO
    sizes: "array[int]" = field(default_factory=lambda: array("I"))

    def add(self, row: Sequence[int] | NDArray[np.uint32]) -> None:
        self.file.write(np.asarray(row, np.uint32).tobytes())
        self.sizes.append(len(row))

    def save_offsets(self, path: Path) -> None:
        """Write where each row begins, and where the last one ends."""
        offsets = np.zeros(len(self.sizes) + 1, np.int64)
        np.cumsum(self.sizes, dtype=np.int64, out=offsets[1:])
        np.save(path, offsets)


def open_rows(entry: Path, name: str, count: int, shortest: int, width: int | None = None) -> StoredRows:
    """Open rows, and check that their offsets lead from 0 to the end and never back."""
    label = name.partition(".")[0]
    numbers = stored(entry / name, np.dtype(np.uint32), width)
    offsets = stored(entry / f"{label}.offsets.npy", np.dtype(np.int64))
    if len(offsets) != count + 1:
        raise ValueError(f"{label}.offsets has {len(offsets)} numbers, expected {count + 1}")
    valid = (int(offsets[0:1][0]), int(offsets[count : count + 1][0])) == (0, len(numbers))
    for start in range(0, count, _AT_A_TIME):
        block = offsets[start : start + _AT_A_TIME + 1]
        valid = valid and block.min() >= 0 and block.max() <= len(numbers) and np.diff(block).min() >= shortest
    if not valid:
        raise ValueError(f"{label}.offsets does not divide the {len(numbers)} numbers into rows")
    return StoredRows(numbers, offsets)


def open_tokens(entry: Path, name: str, count: int, vocab_size: int) -> StoredRows:
    """Open rows of tokens, none of them empty, and check that each token is in the vocabulary."""
    rows = open_rows(entry, name, count, 1)
    for start in range(0, len(rows.numbers), _AT_A_TIME):
        if (most := int(rows.numbers[start : start + _AT_A_TIME].max())) >= vocab_size:
            raise ValueError(f"{name} has pieces up to {most}, its tokenizer only {vocab_size}")
    return rows
