"""`seq2seq.train`: the command as a Python function."""

import json
from pathlib import Path
from typing import Any

from seq2seq.cli.command_line import quoted
from seq2seq.cli.compose import run_composed
from seq2seq.cli.training import run_directory, run_training
from seq2seq.config import parse


def train(*overrides: str, **values: Any) -> Path:
    """Train as `seq2seq train OVERRIDES` does, and return the run directory.

    Keyword arguments are further overrides, with values of Python: `train("experiment=demo", seed=2)`. Keys with dots
    come from a mapping: `train("experiment=demo", **{"training.max_updates": 10})`. Raises ConfigError or DataError for
    mistakes, and SystemExit if the training is stopped by a signal or loses a process.
    """
    words = [f"{key}={quoted(str(v)) if isinstance(v, str | Path) else json.dumps(v)}" for key, v in values.items()]
    directories = []

    def job(composed: dict[str, Any]) -> None:
        config = parse("train", composed)
        if code := run_training(config):
            raise SystemExit(code)
        directories.append(run_directory(config))

    run_composed("train", [*overrides, *words], job)
    (directory,) = directories
    return directory
