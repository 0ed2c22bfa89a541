"""Long columns of numbers in files, read a few at a time.

Files are read and not mapped into memory: each look-up in a mapping maps the sixteen pages around it, so that after
some hundred batches a whole corpus would count as memory of the process.
"""

import os
import weakref
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

_BEGIN = b"\x93NUMPY\x01\x00"
"""First bytes of a file of np.save; the size of a header follows, then the header."""

Number = TypeVar("Number", bound=np.generic)
Number_co = TypeVar("Number_co", bound=np.generic, covariant=True)


class Numbers(Protocol[Number_co]):
    """An array along its first axis, or something that reads like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Number_co]: ...


class Stored(Generic[Number]):
    """The numbers of a file. Processes may share it, and it stays readable if it is removed or replaced."""

    def __init__(self, path: Path, dtype: np.dtype[Number], width: int | None, skipped: int) -> None:
        """Open a file whose first `skipped` bytes are left out; a row has `width` numbers, or is one number."""
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
            raise OSError(f"a file of the cache ends {count * self._row - len(raw)} bytes too soon; delete the cache")
        return (numbers if self._width is None else numbers.reshape(-1, self._width))[::step]


def stored(path: Path, dtype: np.dtype[Number], width: int | None = None) -> Numbers[Number]:
    """The numbers [n], or [n width], of a raw file or of one of `np.save`."""
    skipped = 0
    if path.suffix == ".npy":
        with path.open("rb") as file:
            begin = file.read(len(_BEGIN) + 2)
        if not begin.startswith(_BEGIN):
            raise ValueError(f"{path.name} was not written by np.save")
        skipped = len(begin) + int.from_bytes(begin[len(_BEGIN) :], "little")  # type and shape are known
    return Stored(path, dtype, width, skipped)
