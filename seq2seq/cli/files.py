"""Input and output of the commands: files, gzip, or `-` for the standard streams."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from seq2seq.text.corpus import DataError, decode_lines, read_lines


def input_lines(name: str) -> Iterator[str]:
    """The lines of a file, or of stdin."""
    if name == "-":
        yield from decode_lines(sys.stdin.buffer, "stdin")
    else:
        yield from read_lines(Path(name))


@contextmanager
def output_stream(name: str) -> Iterator[TextIO]:
    """A file that is there only when it is complete, or stdout. Lines end in `\\n` and are UTF-8 everywhere."""
    if name == "-":
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
        yield sys.stdout
        sys.stdout.flush()
        return
    final = Path(name)
    unfinished = final.with_name(f"{final.name}.tmp")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        unfinished.replace(final)
    except OSError as error:
        raise DataError(f"{name}: can't be written ({error.strerror})") from error
    finally:
        unfinished.unlink(missing_ok=True)
