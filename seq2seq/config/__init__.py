"""Every option as a dataclass with its default and its rules, the tables of names, and `parse`, the one door from plain
values to typed options.

A configuration is data: it names parts from the tables and can run nothing. Defaults exist here and nowhere else.
`parse` reads both what the command line composed and what a checkpoint stored.

The rest of the project imports these names from here, the modules of this package from each other.
"""
# ruff: noqa: F403

import dataclasses
from collections.abc import Mapping
from typing import Any

from seq2seq.config.architectures import *
from seq2seq.config.attention import *
from seq2seq.config.benchmark import *
from seq2seq.config.commands import *
from seq2seq.config.commands import COMMANDS
from seq2seq.config.data import *
from seq2seq.config.data import Data
from seq2seq.config.decoding import *
from seq2seq.config.decoding import Decoding
from seq2seq.config.description import *
from seq2seq.config.model import *
from seq2seq.config.model import GROUPS, Model
from seq2seq.config.old_words import *
from seq2seq.config.old_words import lost, upgrade
from seq2seq.config.schema import *
from seq2seq.config.schema import SchemaReader, problems, sections
from seq2seq.config.training import *
from seq2seq.errors import ConfigError

KINDS: dict[str, type] = {**COMMANDS, "model": Model, "data": Data, "decoding": Decoding}
"""What `parse` reads: a command's options, or a section of them."""

_MOST_ERRORS, _MOST_LETTERS = 50, 2000
"""Limits: errors shown at once, characters per error."""


def parse(kind: str, values: Mapping[str, Any]) -> Any:
    """Read plain values into the dataclass of `kind` (a key of `KINDS`), checked as a whole.

    Raises ConfigError with one line for each unknown key, unknown name, wrong type, number out of bounds, missing
    value and impossible pair. Words of earlier versions are understood.
    """
    prefix = "" if kind in COMMANDS else f"{kind}."
    reader = SchemaReader(KINDS[kind], GROUPS, prefix)
    config = reader.read(upgrade({kind: values})[kind] if prefix else upgrade(values))
    errors = reader.errors or [*(() if prefix else lost(values)), *problems(config)]
    if errors:
        shown = [error[:_MOST_LETTERS] for error in errors[:_MOST_ERRORS]]
        more = len(errors) - len(shown)
        raise ConfigError("\n".join([*shown, f"... and {more} more"] if more else shown))
    for section in list(sections(config)):  # after the rules, which speak of what was given
        if hasattr(section, "leave_out_unused"):
            section.leave_out_unused()
    return config


def to_plain(config: Any) -> dict[str, Any]:
    """Return a parsed dataclass as plain builtins, such as `parse` reads."""
    return dataclasses.asdict(config)
