"""Long columns of numbers in files, of which a few at a time are read.

They are read and not mapped into memory: every sentence that is looked up in a mapping maps the sixteen pages around
it, so that after some hundred batches all of a corpus counts as memory of the process.
"""

import os
import weakref
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

_BEGIN = b"\x93NUMPY\x01\x00"
"""Of a file of np.save; the size of a header follows, and the header."""

Number = TypeVar("Number", bound=np.generic)
Number_co = TypeVar("Number_co", bound=np.generic, covariant=True)


class Numbers(Protocol[Number_co]):
    """An array along its first axis, or what is like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Number_co]: ...


class Stored(Generic[Number]):
    """Those of a file; processes may share it, and a file that is removed or replaced meanwhile stays readable."""

    def __init__(self, path: Path, dtype: np.dtype[Number], width: int | None, skipped: int) -> None:
        """`width` numbers make up a row; None: each is one. As many bytes are `skipped` at the beginning."""
        self._dtype, self._width, self._skipped = dtype, width, skipped
        self._row = dtype.itemsize * (width or 1)
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._rows = (os.fstat(self._file).st_size - skipped) // self._row

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, rows: slice, /) -> NDArray[Number]:
        start, stop, step = rows.indices(self._rows)
        count = max(stop - start, 0)
        raw = os.pread(self._file, count * self._row, self._skipped + start * self._row)
        numbers = np.frombuffer(raw, self._dtype)
        if len(raw) < count * self._row:
            raise OSError(f"a file of the cache ends {count * self._row - len(raw)} bytes too soon; remove the cache")
        return (numbers if self._width is None else numbers.reshape(-1, self._width))[::step]


def stored(path: Path, dtype: np.dtype[Number], width: int | None = None) -> Numbers[Number]:
    """Of a file of such numbers, or of `np.save`; [n], or [n width]."""
    skipped = 0
    if path.suffix == ".npy":
        with path.open("rb") as file:
            begin = file.read(len(_BEGIN) + 2)
        if not begin.startswith(_BEGIN):
            raise ValueError(f"{path.name} is not of np.save")
        skipped = len(begin) + int.from_bytes(begin[len(_BEGIN) :], "little")  # its header is for others
    if hasattr(os, "pread"):
        return Stored(path, dtype, width, skipped)
    count = (path.stat().st_size - skipped) // dtype.itemsize
    mapped = np.memmap(path, dtype, "r", skipped, (count,)) if count else np.zeros(0, dtype)
    return mapped if width is None else mapped.reshape(-1, width)
