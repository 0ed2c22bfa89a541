"""Inputs and outputs of the commands: files, gzip, `-` for the standard streams, and progress on a terminal."""

import gzip
import io
import os
import select
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, TextIO, cast

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from seq2seq.cli.main import standard_output
from seq2seq.errors import DataError
from seq2seq.text.corpus import (
    MOST_BYTES,
    decode_lines,
    existing,
    find_file,
    in_groups,
    open_binary,
    raw_lines,
    read_lines,
)
from seq2seq.text.storage import rename_file, replace_file, unfinished_path, writing

_PATIENCE = 0.02
"""Seconds without input after which the lines read so far are translated."""
_ENDLESS = 1 << 26
"""Bytes after which a line without end is an error."""
_DEVICES = ("/dev", "/dev/fd")
"""Directories of devices and of the program's own streams, which are links."""
_LEVEL = 6
"""Compression level of the gzip program; Python's default takes twice as long to save one percent"""

# --- inputs ----------------------------------------------------------------------------------------------------------


def input_lines(name: str) -> Iterator[str]:
    """Yield the lines of stdin, of a file, of a named pipe, or of NAME.gz."""
    if name == "-":
        yield from decode_lines(raw_lines(_stdin()), "stdin")
    else:
        yield from read_lines(Path(name) if os.path.exists(name) else find_file(name))


def input_groups(name: str, size: int, read: Callable[[str], Iterator[str]]) -> Iterator[list[str | DataError]]:
    """Yield lines in groups of at most `size`: full groups of a file, whatever has arrived of a pipe.

    So lines from an open pipe are answered as they come. An unreadable line of a pipe is yielded as the error. `read`
    yields the lines of a file.
    """
    if not is_pipe(name) or name.endswith(".gz"):
        for group in in_groups(read(name), size, len):
            yield [*group]
        return
    with ExitStack() as stack:
        file = _stdin() if name == "-" else stack.enter_context(open_binary(Path(name)))
        label = "stdin" if name == "-" else name
        numbers = count(1)
        for raw in arriving_lines(file.fileno(), size, label):
            lines = (decode_line(line, label, next(numbers)) for line in raw)
            yield from in_groups(lines, size, lambda line: 0 if isinstance(line, DataError) else len(line))


def is_pipe(name: str) -> bool:
    """Whether lines arrive over time and can be read only once: stdin, a named pipe, a terminal."""
    return name == "-" or (_is_special(Path(name)) and not os.path.isdir(name))


def is_typed(name: str) -> bool:
    """Whether a person types this input."""
    return name == "-" and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


def _stdin() -> BinaryIO:
    if is_typed("-"):
        print("Type a sentence and press Enter; Ctrl-D ends.", file=sys.stderr)
    return sys.stdin.buffer


def decode_line(raw: bytes, name: str, number: int) -> str | DataError:
    """Return the text of a raw line, or what is wrong with it."""
    try:
        (line,) = decode_lines([raw], name, number)
        return line
    except DataError as error:
        return error


def arriving_lines(descriptor: int, size: int, name: str = "stdin") -> Iterator[list[bytes]]:
    """Yield whole lines as they arrive, one to `size` at a time; wait only if there are none.

    Only the beginning of a line that is too long is kept. Raises DataError for a line without end.
    """
    lines: deque[bytes] = deque()
    rest = b""
    more, dropped = True, 0
    while more or lines:
        while more and len(lines) < size and (not lines or select.select([descriptor], [], [], _PATIENCE)[0]):
            block = os.read(descriptor, 1 << 16)
            *whole, rest = (rest + block).split(b"\n")
            lines.extend(line + b"\n" for line in whole)
            dropped = len(rest[MOST_BYTES + 1 :]) + (0 if whole else dropped)
            rest = rest[: MOST_BYTES + 1]
            more = bool(block) and dropped <= _ENDLESS
            if not block and rest:
                lines.append(rest)
        if lines:
            yield [lines.popleft() for _ in range(min(size, len(lines)))]
    if dropped > _ENDLESS:
        raise DataError(f"{name}: a line of more than {_ENDLESS:,} bytes; expected a sentence on each line")


# --- outputs ---------------------------------------------------------------------------------------------------------


@contextmanager
def output_stream(name: str) -> Iterator[TextIO]:
    """Open standard output, or a file that appears only when it is complete.

    Lines end in `\\n` and are UTF-8 on every system. A file whose name ends in .gz is compressed.
    """
    if name == "-":
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        with standard_output() as output:
            yield output
        return
    with output_file(name) as path, _open_text(path, packed=name.endswith(".gz")) as file:
        yield file


@contextmanager
def output_file(name: str) -> Iterator[Path]:
    """Give a path to write to; the file takes its name only when it is complete and on the disk.

    Links are followed. Anything but a regular file, such as a pipe or /dev/null, is written to directly. Raises
    DataError if the output can't be written.
    """
    final = _follow(name)
    with writing(name):
        if _is_special(final):
            yield final
        else:
            with replace_file(final) as unfinished:
                yield unfinished


@contextmanager
def _open_text(path: Path, *, packed: bool) -> Iterator[TextIO]:
    """Open a text file to write, compressed if `packed`; the same text gives the same bytes."""
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("wb"))
        if packed:
            file = cast(BinaryIO, stack.enter_context(gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)))
        yield stack.enter_context(io.TextIOWrapper(file, encoding="utf-8", newline="\n"))


def _follow(name: str) -> Path:
    """Return the path of this name, or of the file that a link of this name leads to."""
    path = Path(name)
    return path if _is_special(path) or not os.path.islink(name) else Path(os.path.realpath(name))


def _is_special(path: Path) -> bool:
    """Whether something other than a file has this name: a pipe, a device such as /dev/stdout, a directory."""
    # unlike Path's, these functions accept any name
    return str(path.parent) in _DEVICES or (os.path.exists(path) and not os.path.isfile(path))


def check_output(name: str, inputs: Iterable[str | None] = (), key: str = "output") -> None:
    """Raise DataError if an output file can't be written, or would replace an input; call it before doing the work."""
    if name == "-":
        return
    final = _follow(name)
    written = {os.path.realpath(path) for path in (final, partial_path(name)) if path is not None}
    for given in inputs:
        if given is not None and (file := existing(given)) and os.path.realpath(file) in written:
            raise DataError(f"{key}={name}: {given} would be replaced. Give another name.")
    with writing(name):
        if os.path.isdir(final):
            raise DataError(f"{name}: is a directory, expected a file. Give another name.")
        if not _is_special(final):
            with NamedTemporaryFile(prefix=f"{final.name}.", dir=final.parent):
                pass


def check_directory(name: str) -> None:
    """Raise DataError if an output directory can't be made or written to; call it before doing the work."""
    with writing(name):
        for path in (Path(name), *Path(name).parents):
            try:
                path.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not path.is_dir():
                what = "a file, expected" if path == Path(name) else f"can't be made: {path} is a file, not"
                raise DataError(f"{name}: {what} a directory. Give another name.")
            with NamedTemporaryFile(dir=path):
                pass
            return


def make_directory(name: str | Path) -> Path:
    """Make a directory if it is missing, and return it. Raises DataError if it can't be made or written to."""
    check_directory(str(name))
    with writing(name):
        Path(name).mkdir(parents=True, exist_ok=True)
    return Path(name)


# --- outputs that can be resumed -------------------------------------------------------------------------------------


def partial_path(name: str) -> Path | None:
    """Return the path of an unfinished output; None for standard output, pipes and devices, which keep nothing."""
    final = _follow(name)
    return None if name == "-" or _is_special(final) else final.with_name(f"{final.name}.partial")


@contextmanager
def resumable_stream(name: str, kept: int = 0) -> Iterator[tuple[TextIO, Callable[[], None]]]:
    """Open an output, and yield a function that marks what was written so far as worth keeping.

    The output begins with the first `kept` lines of its `partial_path`, which the first call of that function replaces.
    """
    partial = partial_path(name)
    if partial is None:
        with output_stream(name) as file:
            yield file, file.flush
        return
    begun, packed = unfinished_path(partial), name.endswith(".gz")
    with writing(name):
        begun.unlink(missing_ok=True)  # never write through a link
        try:
            with _open_text(begun, packed=packed) as file:

                def keep() -> None:
                    file.flush()
                    if begun.exists():
                        begun.replace(partial)

                file.writelines(islice(whole_lines(partial, packed=packed), kept))
                yield file, keep
                keep()
            rename_file(partial, _follow(name))
        finally:
            begun.unlink(missing_ok=True)


def whole_lines(path: Path, *, packed: bool) -> Iterator[str]:
    """Yield the lines of an output, each with its `\\n`, up to where it was cut; none if it is missing."""
    if not os.path.isfile(path):
        return
    with path.open("rb") as raw:
        file: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if packed else raw
        try:
            for line in file:
                if line.endswith(b"\n"):
                    yield line.decode("utf-8", "replace")
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return


def finished_sentences(names: Sequence[str], total: int | None, lines_each: int) -> tuple[Path | None, int]:
    """Return the first output's file from an earlier run, if it has one, and the number of sentences in all files.

    These are the partial files of the outputs, or the outputs themselves if all have `total` sentences. Outputs that
    are no regular files have none. Raises DataError if only some partial files exist.
    """
    partials = {name: path for name in names if (path := partial_path(name)) is not None}
    started = [path for path in partials.values() if os.path.isfile(path)]
    if started:
        if missing := [path for path in partials.values() if path not in started]:
            raise DataError(
                f"{missing[0]}: missing, but {started[0]} exists. Resume with the outputs of the stopped run, or "
                f"delete {started[0]} to start over."
            )
        done = min(_count_lines(path, name) for name, path in partials.items())
        return partials.get(names[0]), done // lines_each
    if total is None or len(partials) < len(names):
        return None, 0
    complete = all(_count_lines(Path(name), name) == total * lines_each for name in names)
    return (Path(names[0]), total) if complete else (None, 0)


def _count_lines(path: Path, name: str) -> int:
    """Return the number of whole lines; -1 if the file is missing."""
    return sum(1 for _ in whole_lines(path, packed=name.endswith(".gz"))) if os.path.isfile(path) else -1


# --- progress --------------------------------------------------------------------------------------------------------


@contextmanager
def progress(total: int | None, done: int = 0, *, hidden: bool = False) -> Iterator[Callable[[int], object]]:
    """Show a progress bar if stderr is a terminal; yield a function to call with the number of further lines."""
    if sys.stderr is None:  # closed
        yield lambda lines: None
        return
    with (
        tqdm(total=total, initial=done, unit="line", disable=hidden or None, dynamic_ncols=True) as bar,
        logging_redirect_tqdm(),
    ):
        yield bar.update
