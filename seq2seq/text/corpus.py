"""Reading raw text: UTF-8, one sentence a line, plain or gzip.

Only `\\n` ends a line, so U+2028 and its like stay inside; a byte order mark and a trailing CR are dropped. A DataError
names file and line of what can't be read. Memory is bounded by the longest line, which has MOST_BYTES at most.
"""

import difflib
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from seq2seq.errors import DataError

MOST_BYTES = 1 << 20
"""Bytes of a line, at most: no sentence is as long, and a file without line ends must not fill the memory."""

_MOST_UNPACKED = 128
"""Unpacked size of a gzip file over its own, at most: text has about 4, a decompression bomb 1000."""
_ALWAYS_UNPACKED = 1 << 26
"""Bytes that a gzip file may unpack to whatever its own size."""


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """Open a plain or gzip file to read bytes."""
    try:
        with path.open("rb") as file:
            yield io.BufferedReader(_Unpacked(file, path), 1 << 16) if path.suffix == ".gz" else file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a complete gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error


class _Unpacked(io.RawIOBase):
    """The content of a gzip file. Raises DataError if it is far too large for the size of the file."""

    def __init__(self, packed: BinaryIO, path: Path) -> None:
        self._file = gzip.GzipFile(fileobj=packed)
        self._path = path
        self._left = max(_ALWAYS_UNPACKED, _MOST_UNPACKED * os.fstat(packed.fileno()).st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise DataError(
                f"{self._path}: unpacks to more than {_MOST_UNPACKED} times its size, expected text. If it is text, "
                "unpack it and give the plain file."
            )
        return count


def raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, each with its `\\n`; a line that is too long is cut just above the limit."""
    return iter(partial(file.readline, MOST_BYTES + 1), b"")


def decode_lines(lines: Iterable[bytes], name: str, first: int = 1) -> Iterator[str]:
    """Decode raw lines and strip their `\\n`; `first` is the number of the first line."""
    for number, raw in enumerate(lines, first):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        raw = raw.removesuffix(b"\n")
        if len(raw) > MOST_BYTES:
            raise DataError(
                f"{name}:{number}: a line of more than {MOST_BYTES:,} bytes; expected a sentence on each line"
            )
        raw = raw.removesuffix(b"\r")
        if b"\0" in raw:
            raise DataError(f"{name}:{number}: a NUL byte; this is not a text file")
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name}:{number}: not UTF-8 (byte 0x{raw[error.start]:02x} at column {error.start + 1}); "
                "convert the file, for example with iconv"
            ) from error


Item = TypeVar("Item")

_MOST_TEXT = 1 << 24
"""Characters of a group of lines, roughly."""


def in_groups(items: Iterable[Item], most: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Groups of at most `most` items, fewer if they are very long; `size` gives the characters of an item."""
    group, total = list[Item](), 0
    for item in items:
        group.append(item)
        total += size(item)
        if len(group) == most or total > _MOST_TEXT:
            yield group
            group, total = [], 0
    if group:
        yield group


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a file."""
    with open_binary(path) as file:
        yield from decode_lines(raw_lines(file), str(path))


def content_hash(*paths: Path) -> str:
    """SHA-256 of the uncompressed bytes of files."""
    digest = hashlib.sha256()
    for path in paths:
        with open_binary(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()


def existing(name: str) -> Path | None:
    """The file NAME or NAME.gz; None if there is neither."""
    candidates = (Path(name), Path(f"{name}.gz"))
    return next((path for path in candidates if os.path.isfile(path)), None)  # it takes any name, unlike Path.is_file


def find_file(name: str) -> Path:
    """Find the file NAME or NAME.gz. Raises DataError if there is neither."""
    path = existing(name)
    if path is None:
        raise DataError(f"{name}: no such file (nor {name}.gz).{near(name, file_names(Path(name).parent))}")
    return path


def near(name: str, names: Iterable[str], key: str = "") -> str:
    """` Did you mean ...?` with the path of the most similar name in the same directory, or nothing."""
    path = Path(name)
    close = difflib.get_close_matches(path.name, list(names), n=1, cutoff=0.7)
    return f" Did you mean {key}{path.with_name(close[0])}?" if close else ""


def file_names(directory: Path) -> list[str]:
    """The names of the files in a directory, without .gz; none if it can't be read."""
    try:
        with os.scandir(directory) as entries:
            return sorted({entry.name.removesuffix(".gz") for entry in entries if entry.is_file()})
    except OSError:
        return []
