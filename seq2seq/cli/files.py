"""Input and output of the commands: files, gzip, or `-` for the standard streams."""

import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from seq2seq.text.corpus import MOST_BYTES, DataError, decode_lines, existing, in_groups, raw_lines, read_lines


def file_lines(name: str) -> Iterator[str]:
    """The lines of a file, also of NAME.gz."""
    return read_lines(existing(name) or Path(name))  # what is no file, such as a pipe, can be read too


def input_groups(name: str, most: int, read: Callable[[str], Iterator[str]] = file_lines) -> Iterator[list[str]]:
    """The lines in groups of at most so many: of a file full ones, of stdin what has arrived when it is asked for.

    So that a pipe that stays open gets its answers. `read` gives the lines of a file.
    """
    if name != "-":
        yield from in_groups(read(name), most, len)
        return
    done = 0
    for raw in arriving_lines(sys.stdin.fileno(), most):
        yield from in_groups(decode_lines(raw, "stdin", done + 1), most, len)
        done += len(raw)


def arriving_lines(descriptor: int, most: int) -> Iterator[list[bytes]]:
    """Whole lines as they arrive, at least one and at most so many at a time; waits only while there is none."""
    lines: deque[bytes] = deque()
    rest = b""
    more = True
    while more or lines:
        while more and len(lines) < most and (not lines or select.select([descriptor], [], [], _PATIENCE)[0]):
            block = os.read(descriptor, 1 << 16)
            more = bool(block)
            *whole, rest = (rest + block).split(b"\n")
            lines.extend(line + b"\n" for line in whole)
            if len(rest) > MOST_BYTES:  # too long to be read, and so is all that comes after it
                more = False
            if not more and rest:
                lines.append(rest)
        if lines:
            yield [lines.popleft() for _ in range(min(most, len(lines)))]


_PATIENCE = 0.02
"""Seconds without input after which the lines that have come are translated."""


def input_lines(name: str) -> Iterator[str]:
    """The lines of a file, or of stdin."""
    if name == "-":
        yield from decode_lines(raw_lines(sys.stdin.buffer), "stdin")
    else:
        yield from file_lines(name)


@contextmanager
def output_stream(name: str) -> Iterator[TextIO]:
    """A file that is there only when it is complete, or stdout. Lines end in `\\n` and are UTF-8 everywhere.

    What is there and no file, such as /dev/null, is written into and not replaced.
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
    final = Path(name)
    if final.exists() and not final.is_file():
        try:
            with final.open("w", encoding="utf-8", newline="\n") as file:
                yield file
        except OSError as error:
            raise DataError(f"{name}: can't be written ({error.strerror})") from error
        return
    unfinished = final.with_name(f"{final.name}.tmp")
    try:
        unfinished.unlink(missing_ok=True)  # a link there would lead what is written elsewhere
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        unfinished.replace(final)
    except OSError as error:
        raise DataError(f"{name}: can't be written ({error.strerror})") from error
    finally:
        unfinished.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """Unless it is there. Raises DataError where it can't be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise DataError(f"{path}: a file, expected a directory. Give another.") from error
    except OSError as error:
        raise DataError(f"{path}: can't be made a directory ({error.strerror})") from error
