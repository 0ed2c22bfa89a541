"""RUN_DIR/train.log: every log line of a training, with timestamps."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from seq2seq.errors import ConfigError, DataError
from seq2seq.text.storage import within, writing


class RunLog(logging.Handler):
    """Buffers log lines until the run has a directory, then appends them to train.log there."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[bytes] = []
        self._file: BinaryIO | None = None

    def open(self, run_dir: Path) -> None:
        """Append to the run's train.log, beginning with the buffered lines."""
        path = within(run_dir, "train.log")
        with writing(path):
            file = path.open("ab+", buffering=0)
            if file.tell() and file.seek(-1, 2) >= 0 and file.read(1) != b"\n":  # left by a killed process
                file.write(b"\n")
            file.write(b"".join(self._waiting))
        self._file, self._waiting = file, []

    def format(self, record: logging.LogRecord) -> str:
        """Put the time before each line of the message, and the level before warnings and errors."""
        time = f"{datetime.fromtimestamp(record.created):%Y-%m-%d %H:%M:%S}"
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return "".join(f"{time} {level}{line}".rstrip() + "\n" for line in super().format(record).split("\n"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message, or buffer it until there is a file."""
        lines = self.format(record).encode(errors="backslashreplace")
        if self._file is None:
            self._waiting.append(lines)
        else:
            with suppress(OSError):  # a full disk: the next line of metrics.jsonl ends the training
                self._file.write(lines)

    def close(self) -> None:
        """Close the log; buffered lines without a file are dropped."""
        super().close()
        if self._file is not None:
            self._file.close()


@contextmanager
def run_log() -> Iterator[RunLog]:
    """Log the block, and any error that ends it, to train.log. Lines of DEBUG or below the set level go only there."""
    log, root, package = RunLog(), logging.getLogger(), logging.getLogger("seq2seq")
    terminals, level, disabled = list(root.handlers), package.level, root.manager.disable
    shown = max(package.getEffectiveLevel(), logging.INFO)

    def is_for_people(record: logging.LogRecord) -> bool:
        return record.levelno >= shown

    for terminal in terminals:
        terminal.addFilter(is_for_people)
    root.addHandler(log)
    package.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    try:
        yield log
    except Exception as error:
        trace = None if isinstance(error, (ConfigError, DataError)) else sys.exc_info()
        log.handle(logging.LogRecord(__name__, logging.ERROR, "", 0, str(error), None, trace))
        raise
    finally:
        logging.captureWarnings(False)
        package.setLevel(level)
        logging.disable(disabled)
        root.removeHandler(log)
        for terminal in terminals:
            terminal.removeFilter(is_for_people)
        log.close()
