"""Input and output of the commands: files, gzip, or `-` for the standard streams."""

import gzip
import io
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, TextIO, cast

from seq2seq.errors import DataError
from seq2seq.text.corpus import MOST_BYTES, decode_lines, find_file, in_groups, open_binary, raw_lines, read_lines
from seq2seq.text.storage import replace_file


def file_lines(name: str) -> Iterator[str]:
    """The lines of a file, also of NAME.gz."""
    return read_lines(Path(name) if os.path.exists(name) else find_file(name))  # a named pipe, too, can be read


def input_groups(
    name: str, most: int, read: Callable[[str], Iterator[str]] = file_lines
) -> Iterator[list[str | DataError]]:
    """The lines in groups of at most so many: of a file full ones, of a pipe what has arrived when it is asked for.

    So that a pipe that stays open gets its answers; a line of it that can't be read is given as what is wrong with it.
    `read` gives the lines of a file.
    """
    if not is_pipe(name) or name.endswith(".gz"):
        for group in in_groups(read(name), most, len):
            yield [*group]
        return
    with ExitStack() as stack:
        file = _stdin() if name == "-" else stack.enter_context(open_binary(Path(name)))
        label = "stdin" if name == "-" else name
        numbers = count(1)
        for raw in arriving_lines(file.fileno(), most, label):
            lines = (_decoded(line, label, next(numbers)) for line in raw)
            yield from in_groups(lines, most, lambda line: 0 if isinstance(line, DataError) else len(line))


def is_pipe(name: str) -> bool:
    """Whether lines arrive one after the other and can be read only once: stdin, a named pipe, a terminal."""
    return name == "-" or (is_special(Path(name)) and not os.path.isdir(name))


def is_typed(name: str) -> bool:
    """Whether a person types this input."""
    return name == "-" and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


def _stdin() -> BinaryIO:
    """Standard input; a person who types it is told how."""
    if is_typed("-"):
        print("Type a sentence and press Enter; Ctrl-D ends.", file=sys.stderr)
    return sys.stdin.buffer


def _decoded(raw: bytes, name: str, number: int) -> str | DataError:
    try:
        (line,) = decode_lines([raw], name, number)
        return line
    except DataError as error:
        return error


def arriving_lines(descriptor: int, most: int, name: str = "stdin") -> Iterator[list[bytes]]:
    """Whole lines as they arrive, at least one and at most so many at a time; waits only while there is none.

    Of a line that is too long as much as shows it. Raises DataError for one without end.
    """
    lines: deque[bytes] = deque()
    rest = b""
    more, dropped = True, 0
    while more or lines:
        while more and len(lines) < most and (not lines or select.select([descriptor], [], [], _PATIENCE)[0]):
            block = os.read(descriptor, 1 << 16)
            *whole, rest = (rest + block).split(b"\n")
            lines.extend(line + b"\n" for line in whole)
            dropped = len(rest[MOST_BYTES + 1 :]) + (0 if whole else dropped)
            rest = rest[: MOST_BYTES + 1]
            more = bool(block) and dropped <= _ENDLESS
            if not block and rest:
                lines.append(rest)
        if lines:
            yield [lines.popleft() for _ in range(min(most, len(lines)))]
    if dropped > _ENDLESS:
        raise DataError(f"{name}: a line of more than {_ENDLESS:,} bytes; expected a sentence on each line")


_PATIENCE = 0.02
"""Seconds without input after which the lines that have come are translated."""
_ENDLESS = 1 << 26
"""Bytes of a line after which its end is no longer waited for."""


def input_lines(name: str) -> Iterator[str]:
    """The lines of a file, or of stdin."""
    if name == "-":
        yield from decode_lines(raw_lines(_stdin()), "stdin")
    else:
        yield from file_lines(name)


@contextmanager
def output_stream(name: str) -> Iterator[TextIO]:
    """Standard output, or a file that is there only when it is complete.

    Lines end in `\\n` and are UTF-8 everywhere. A file with a name in .gz is compressed.
    """
    if name == "-":
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:  # see main
            raise
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again when it ends
            raise DataError(f"stdout: can't be written ({error.strerror})") from error
        return
    with output_file(name) as path, open_text(path, packed=name.endswith(".gz")) as file:
        yield file


@contextmanager
def output_file(name: str) -> Iterator[Path]:
    """A path to write an output file to, which gets its name only when it is complete and on the disk.

    A link is followed. Anything but a file, such as a pipe or /dev/null, is written to and not replaced.
    Raises DataError where it can't be written.
    """
    final = follow(name)
    with write_errors(name):
        if is_special(final):
            yield final
        else:
            with replace_file(final) as unfinished:
                yield unfinished


@contextmanager
def open_text(path: Path, *, packed: bool) -> Iterator[TextIO]:
    """A text file to write, `packed` by gzip; the same text gives the same bytes."""
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("wb"))
        if packed:
            file = cast(BinaryIO, stack.enter_context(gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)))
        yield stack.enter_context(io.TextIOWrapper(file, encoding="utf-8", newline="\n"))


_LEVEL = 6
"""Of gzip: its own default. Python's takes twice the time to save a hundredth."""


def follow(name: str) -> Path:
    """The file of this name, or what a link of this name leads to."""
    return Path(os.path.realpath(name) if os.path.islink(name) else name)


def is_special(path: Path) -> bool:
    """Whether something other than a file has this name: a pipe, a device, a directory."""
    return os.path.exists(path) and not os.path.isfile(path)  # unlike Path's, they take any name


@contextmanager
def write_errors(name: str) -> Iterator[None]:
    """Turns the system's error about this output into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{name}: can't be written ({error.strerror or error})") from error


def check_output(name: str) -> None:
    """Raises DataError where an output file can't be written, before work is done for it."""
    final = follow(name)
    with write_errors(name):
        if os.path.isdir(final):
            raise DataError(f"{name}: a directory, expected a file. Give another.")
        if name != "-" and not is_special(final):
            with NamedTemporaryFile(prefix=f"{final.name}.", dir=final.parent):
                pass


def check_directory(name: str) -> None:
    """Raises DataError where an output directory can't be made or written to, before work is done for it."""
    with write_errors(name):
        for path in (Path(name), *Path(name).parents):
            try:
                path.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not path.is_dir():
                what = "a file, expected" if path == Path(name) else f"can't be made: {path} is a file, not"
                raise DataError(f"{name}: {what} a directory. Give another.")
            with NamedTemporaryFile(dir=path):
                pass
            return


def make_directory(path: Path) -> None:
    """Make a directory unless it is there. Raises DataError where it can't be made or written to."""
    check_directory(str(path))
    with write_errors(str(path)):
        path.mkdir(parents=True, exist_ok=True)
