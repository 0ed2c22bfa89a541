"""`seq2seq COMMAND [overrides]`: finds the command, composes its configuration, turns mistakes into exit codes."""

import gc
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from seq2seq.cli import usage
from seq2seq.config import COMMANDS, ConfigError, parse
from seq2seq.schema import nearest
from seq2seq.text.corpus import DataError
from seq2seq.version import __version__

OK, OURS, YOURS = 0, 1, 2

_FEW_KERNELS = {"LRU_CACHE_CAPACITY": "32", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32"}
"""A kernel is made for each shape of a bf16 product, and by default the last thousand are kept: half a gigabyte of them
in a training. These settings are read when torch is loaded.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 done, 2 the user's mistake, 1 ours, 130 or 143 stopped by a signal."""
    try:
        return _run([*(sys.argv[1:] if arguments is None else arguments)] or ["--help"])
    except (ConfigError, DataError) as error:
        return _complain(str(error))
    except Stopped as stopped:
        return stopped.exit_code
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    command, *overrides = arguments
    if command in ("-h", "--help", "help"):
        print(usage.overview())
        return OK
    if command == "--version":
        print(__version__)
        return OK
    if command not in COMMANDS:
        return _complain(f"{command}: no such command.{nearest(command, COMMANDS)} Commands: {', '.join(COMMANDS)}.")
    if {"-h", "--help"} & set(overrides):
        print(usage.of_command(command))
        return OK
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    for name, value in _FEW_KERNELS.items():
        os.environ.setdefault(name, value)
    with _leaving_at_once(), _keeping_garbage():
        run: Callable[..., int] = importlib.import_module(f"seq2seq.cli.{command}").run
        compose = importlib.import_module("seq2seq.cli.compose")
        ranks = importlib.import_module("seq2seq.training.ranks")
    several = ranks.asked_for()
    if several > 1 and (command != "train" or {"-m", "--multirun"} & set(overrides)):
        raise ConfigError(
            f"WORLD_SIZE={several}: torchrun starts processes for a single training. Start "
            f"{'each run of a --multirun' if command == 'train' else command} without it."
        )
    codes: list[int] = []

    def job(values: dict[str, Any], choices: dict[str, str]) -> None:
        codes.append(run(parse(command, values), choices))
        if codes[-1] > 128:  # stopped: further runs of a --multirun don't begin
            raise Stopped(codes[-1])

    compose.run_composed(command, overrides, job)
    return max(codes, default=OK)


class Stopped(BaseException):
    """A signal ended a run, whose state is saved: other jobs of the command don't begin."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """While libraries are imported: they swallow a KeyboardInterrupt, and are broken afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _keeping_garbage() -> Iterator[None]:
    """While libraries are imported: of the million objects they make nearly all stay, and looking them through again
    and again takes a tenth of the time. Nor are they ever looked through afterwards.
    """
    enabled, there = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > there:  # else all garbage of an earlier command would be kept
            gc.freeze()
        if enabled:
            gc.enable()


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _complain(message: str) -> int:
    print(message, file=sys.stderr)
    return YOURS


if __name__ == "__main__":
    sys.exit(main())
