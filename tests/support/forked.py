"""Commands in processes that begin with all modules imported, which takes longer than most commands of the tests."""

import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from seq2seq.cli.main import main

_PROCESSES = multiprocessing.get_context("fork" if sys.platform.startswith("linux") else "spawn")


def start(arguments: Sequence[str], log: Path, prepare: Callable[[], object] | None = None) -> BaseProcess:
    """Start a command that writes to a log, after what has to be prepared in its process."""
    importlib.import_module(f"seq2seq.cli.{arguments[0]}")
    process = _PROCESSES.Process(target=_run, args=(arguments, log, prepare))
    process.start()
    return process


def _run(arguments: Sequence[str], log: Path, prepare: Callable[[], object] | None) -> None:
    with log.open("w", buffering=1) as file:
        sys.stdout = sys.stderr = file
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        if prepare:
            prepare()
        code = main(arguments)
        file.flush()
        os._exit(code)
