"""Outputs of long work: what is finished stays as NAME.partial, from which the same command goes on."""

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

from seq2seq.cli.files import follow, is_special, open_text, output_stream, write_errors
from seq2seq.errors import DataError
from seq2seq.text.storage import rename_file


def partial_path(name: str) -> Path | None:
    """Where an output is until it is complete; None where nothing is kept: standard output, a pipe, a device."""
    final = follow(name)
    return None if name == "-" or is_special(final) else final.with_name(f"{final.name}.partial")


@contextmanager
def partial_stream(name: str, kept: int = 0) -> Iterator[tuple[TextIO, Callable[[], None]]]:
    """An output, and what has to be called whenever something that is worth keeping was written.

    It begins with so many lines of its `partial_path`, which is replaced when that is called first.
    """
    partial = partial_path(name)
    if partial is None:
        with output_stream(name) as file:
            yield file, file.flush
        return
    begun, packed = partial.with_suffix(".tmp"), name.endswith(".gz")
    with write_errors(name):
        begun.unlink(missing_ok=True)  # a link there would lead what is written elsewhere
        try:
            with open_text(begun, packed=packed) as file:

                def keep() -> None:
                    file.flush()
                    if begun.exists():
                        begun.replace(partial)

                file.writelines(islice(whole_lines(partial, packed=packed), kept))
                yield file, keep
                keep()
            rename_file(partial, follow(name))
        finally:
            begun.unlink(missing_ok=True)


def whole_lines(path: Path, *, packed: bool) -> Iterator[str]:
    """The lines of an output, each with its `\\n`, up to where it was cut; none where it is not there."""
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


def finished_sentences(names: Sequence[str], lines_each: int) -> int:
    """How many sentences, of so many lines each, are whole in the `partial_path` of every output that has one.

    Raises DataError where some are not there.
    """
    partials = {name: path for name in names if (path := partial_path(name)) is not None}
    there = [path for path in partials.values() if os.path.isfile(path)]
    if not there:
        return 0
    for path in partials.values():
        if path not in there:
            raise DataError(
                f"{path}: not there, but {there[0]} is. Resume with the outputs of the run that was stopped, or delete "
                f"{there[0]} to begin again."
            )
    return min(_count(path, name) for name, path in partials.items()) // lines_each


def is_complete(names: Sequence[str], sentences: int | None, lines_each: int) -> bool:
    """Whether an earlier run has completed outputs of so many sentences, of so many lines each."""
    partials = [partial_path(name) for name in names]
    return (
        sentences is not None
        and not any(path is None or os.path.isfile(path) for path in partials)
        and all(os.path.isfile(name) and _count(Path(name), name) == sentences * lines_each for name in names)
    )


def _count(path: Path, name: str) -> int:
    return sum(1 for _ in whole_lines(path, packed=name.endswith(".gz")))
