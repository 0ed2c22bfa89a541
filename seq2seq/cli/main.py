"""`seq2seq COMMAND [overrides]`: finds the command, composes its configuration, turns mistakes into exit codes."""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from seq2seq import __version__
from seq2seq.cli import usage
from seq2seq.config import COMMANDS, ConfigError, nearest, parse
from seq2seq.text.corpus import DataError

OK, OURS, YOURS = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0 done, 2 the user's mistake, 1 ours, 130 or 143 stopped by a signal."""
    command, *overrides = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
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
    try:
        return _compose_and_run(command, overrides)
    except (ConfigError, DataError) as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


def _complain(message: str) -> int:
    print(message, file=sys.stderr)
    return YOURS


def _compose_and_run(command: str, overrides: Sequence[str]) -> int:
    from seq2seq.cli.compose import run_composed

    run: Callable[..., int] = importlib.import_module(f"seq2seq.cli.{command}").run
    codes: list[int] = []

    def job(values: dict[str, Any], choices: dict[str, str]) -> None:
        codes.append(run(parse(command, values), choices))

    run_composed(command, overrides, job)
    return max(codes, default=OK)


if __name__ == "__main__":
    sys.exit(main())
