"""`seq2seq COMMAND [overrides]`: finds the command, composes its configuration, turns errors into exit codes."""

import errno
import gc
import importlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

from seq2seq.cli import help as usage
from seq2seq.config import COMMANDS, parse
from seq2seq.errors import ConfigError, DataError, nearest
from seq2seq.version import __version__

OK, INTERNAL, USER = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 2 the user's mistake, 1 internal error, 130 or 143 stopped by a signal."""
    with _closed_streams():
        try:
            code = _run([*(sys.argv[1:] if arguments is None else arguments)] or ["--help"])
            with standard_output():  # what is left in its buffer is written here, where errors are told
                return code
        except (ConfigError, DataError) as error:
            return _complain(str(error))
        except Stopped as stopped:
            return stopped.exit_code
        except BrokenPipeError:  # the reader of our output has closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return _complain(f"{error.filename}: the file name is too long. Use a shorter one.")
        except KeyboardInterrupt:
            return 130


def _run(arguments: list[str]) -> int:
    command, *words = arguments
    if command in ("-h", "--help", "help"):
        print(usage.overview())
        return OK
    if command == "--version":
        print(__version__)
        return OK
    if command in ("-sc", "--shell-completion"):
        return importlib.import_module("seq2seq.cli.completion").run(words)
    if command not in COMMANDS:
        return _complain(f"{command}: no such command.{nearest(command, COMMANDS)} Commands: {', '.join(COMMANDS)}.")
    if {"-h", "--help"} & set(words):
        print(_help(command, [word for word in words if word not in ("-h", "--help")]))
        return OK
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # huggingface_hub would draw them into a file
    with _importing():
        module = importlib.import_module(f"seq2seq.cli.{command}")
        read = importlib.import_module("seq2seq.cli.command_line").read
        run_composed = importlib.import_module("seq2seq.cli.compose").run_composed
        ranks = importlib.import_module("seq2seq.training.process_group")
    several, line = ranks.world_size(), read(command, words)
    if several > 1 and (command != "train" or line.multirun):
        raise ConfigError(
            f"WORLD_SIZE={several}: torchrun starts processes for a single training. Start "
            f"{'each run of a --multirun' if command == 'train' else command} without it."
        )
    codes: list[int] = []

    def job(values: dict[str, Any]) -> float | None:
        config = parse(command, values)
        codes.append(module.run(config))
        if codes[-1] > 128:  # stopped: further runs of a --multirun don't begin
            raise Stopped(codes[-1])
        return module.objective(config) if line.multirun and hasattr(module, "objective") else None

    run_composed(command, line, job)
    return max(codes, default=OK)


def _help(command: str, words: list[str]) -> str:
    user_configs = None
    if any(word.startswith("-") for word in words):  # else spare the import of Hydra, which knows its flags
        flags, words = importlib.import_module("seq2seq.cli.command_line").flags_and_words(words)
        if user_configs := flags.get("config_dir"):
            importlib.import_module("seq2seq.cli.user_configs").check_user_configs(user_configs)
    keys = [word for word in words if "=" not in word]
    texts = [usage.of_name(command, key, user_configs) for key in keys] or [usage.of_command(command, user_configs)]
    return "\n\n".join(texts)


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Write what is printed inside the block. Raises DataError if it can't be written, or BrokenPipeError."""
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:  # main handles it
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again at exit
        raise DataError(f"stdout: can't be written ({error.strerror})") from error


class _Closed:
    """A closed standard stream, which raises DataError when it is used."""

    def __init__(self, name: str, instead: str) -> None:
        self._message = f"{name}: closed. {instead}"

    def flush(self) -> None:
        """Do nothing: nothing was written."""

    def __getattr__(self, name: str) -> NoReturn:
        raise DataError(self._message)


@contextmanager
def _closed_streams() -> Iterator[None]:
    """Keep the descriptor of a closed standard stream (`<&-`) from being given to the next file that is opened."""
    before = sys.stdin, sys.stdout, sys.stderr
    if None not in before:
        yield
        return
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or cast(TextIO, _Closed("stdin", "Give the text as a file or through a pipe."))
    sys.stdout = sys.stdout or cast(TextIO, _Closed("stdout", "Give output=FILE, or redirect the output."))
    sys.stderr = sys.stderr or io.StringIO()
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


class Stopped(BaseException):
    """A signal ended a run, whose state is saved. Other jobs of the command don't start."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@contextmanager
def _importing() -> Iterator[None]:
    """Exit at once on a signal while libraries are imported, and pause garbage collection.

    Libraries swallow KeyboardInterrupt and break. Nearly all of their million objects stay, and scanning them takes a
    tenth of the time, so they are exempt from collection for good.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    signals = (signal.SIGINT, signal.SIGTERM) if in_main_thread else ()
    before = {number: signal.signal(number, _leave) for number in signals}
    enabled, modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules:  # else all garbage of an earlier command would be kept
            gc.freeze()
        if enabled:
            gc.enable()
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _complain(message: str) -> int:
    print(message, file=sys.stderr)
    return USER


if __name__ == "__main__":
    sys.exit(main())
