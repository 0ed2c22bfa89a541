"""`seq2seq.train`: the command as a Python function."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seq2seq.cli.command_line import quoted, read
from seq2seq.cli.compose import run_composed
from seq2seq.cli.training import Callback, run_directory, run_training
from seq2seq.config import parse
from seq2seq.errors import ConfigError


def train(*overrides: str, callback: Callback = lambda row: None, **values: Any) -> Path:
    """Train as `seq2seq train OVERRIDES` does, and return the run directory.

    Keyword arguments are further overrides, with values of Python: `train("experiment=demo", seed=2)`. Groups of
    keys are mappings: `train("experiment=demo", training={"max_updates": 10})`. `callback` is called with each line
    of metrics.jsonl as a dictionary. Raises ConfigError or DataError for mistakes, and SystemExit if the training is
    stopped by a signal or loses a process.
    """
    words = [f"{key}={_written(value)}" for key, value in _settings(values)]
    line = read("train", [*overrides, *words])
    if line.multirun:
        raise ConfigError("--multirun: seq2seq.train returns one run directory. Call it once for each run.")
    directories = []

    def job(composed: dict[str, Any]) -> None:
        config = parse("train", composed)
        if code := run_training(config, callback):
            raise SystemExit(code)
        directories.append(run_directory(config))

    with _shown_logs():
        run_composed("train", line, job)
    (directory,) = directories
    return directory


def _settings(values: Mapping[str, Any], group: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key with its value; those of a mapping have dots."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{group}{key}.")
        else:
            yield f"{group}{key}", value


def _written(value: Any) -> str:
    """Write a value of Python as an override has it."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    return quoted(str(value)) if isinstance(value, str | Path) else json.dumps(value)


@contextmanager
def _shown_logs() -> Iterator[None]:
    """Show inside the block what the command shows, unless the program has set up its own logging."""
    root, package = logging.getLogger(), logging.getLogger("seq2seq")
    if root.handlers:
        yield
        return
    handler, level = logging.StreamHandler(), package.level
    package.setLevel(level or logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        package.setLevel(level)
