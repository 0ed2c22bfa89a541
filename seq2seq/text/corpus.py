"""Reading raw text: UTF-8, one sentence a line, plain or gzip, two files or one TSV.

Lines end at `\\n` alone, so U+2028 and its like stay inside a line; a byte order mark and a trailing CR are dropped.
What can't be read is a DataError naming file and line.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO


class DataError(Exception):
    """The user's mistake in a file: where it is, what was expected, what to change."""


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryIO]:
    """A plain or gzip file, read as bytes."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a complete gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error


def decode_lines(lines: Iterable[bytes], name: str, first: int = 1) -> Iterator[str]:
    """Raw lines, each with its `\\n` -> text without it; `first` is the number of the first one."""
    for number, raw in enumerate(lines, first):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if b"\0" in raw:
            raise DataError(f"{name}:{number}: a NUL byte; this is not a text file")
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name}:{number}: not UTF-8 (byte 0x{raw[error.start]:02x} at column {error.start + 1}); "
                "convert the file, for example with iconv"
            ) from error


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a file."""
    with open_binary(path) as file:
        yield from decode_lines(file, str(path))


@dataclass(frozen=True)
class ParallelText:
    """Pairs of sentences: two files of as many lines, or one TSV whose first two columns are source and target."""

    name: str
    files: tuple[Path, ...]

    @classmethod
    def find(cls, name: str, source_lang: str, target_lang: str) -> "ParallelText":
        """`name` is a .tsv(.gz), or a prefix: NAME.source_lang and NAME.target_lang, each also as .gz."""
        if name.endswith((".tsv", ".tsv.gz")):
            return cls(name, (find_file(name),))
        return cls(name, (find_file(f"{name}.{source_lang}"), find_file(f"{name}.{target_lang}")))

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Source and target of each line."""
        if len(self.files) == 1:
            yield from self._columns()
            return
        source, target = self.files
        for number, (left, right) in enumerate(zip_longest(read_lines(source), read_lines(target)), 1):
            if left is None or right is None:
                shorter, longer = (source, target) if left is None else (target, source)
                raise DataError(
                    f"{shorter}:{number}: the file ends here, but {longer} has a line {number}; "
                    "a parallel corpus needs as many lines on both sides"
                )
            yield left, right

    def _columns(self) -> Iterator[tuple[str, str]]:
        for number, line in enumerate(read_lines(self.files[0]), 1):
            columns = line.split("\t")
            if len(columns) < 2:
                raise DataError(f"{self.files[0]}:{number}: no tab; expected source<TAB>target")
            yield columns[0], columns[1]

    def content_hash(self) -> str:
        """SHA-256 of the files' bytes as text, whatever their compression."""
        return content_hash(*self.files)


def content_hash(*paths: Path) -> str:
    """SHA-256 of the files' bytes as text, whatever their compression."""
    digest = hashlib.sha256()
    for path in paths:
        with open_binary(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(b"\0")
    return digest.hexdigest()


def find_file(name: str) -> Path:
    """The file of this name, or NAME.gz. Raises DataError if there is neither."""
    for candidate in (Path(name), Path(f"{name}.gz")):
        if candidate.is_file():
            return candidate
    raise DataError(f"{name}: no such file (nor {name}.gz)")
