"""Every option as a dataclass with its default and its rules, the tables of names, and `parse`, the one door from plain
values to typed options.

A configuration is data: it names parts from the tables and can run nothing. Defaults exist here and nowhere else.
`parse` reads both what the command line composed and what a checkpoint stored.

This package is used through its own name: its modules import each other, the rest of the project imports from here.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from seq2seq.config.attention import (
    Additive,
    After,
    Attention,
    Before,
    Between,
    Concat,
    Cosine,
    Dot,
    General,
    GlobalWindow,
    Gumbel,
    Hard,
    Key,
    Linear,
    LocalM,
    LocalP,
    Location,
    NoAttention,
    Normaliser,
    NormedAdditive,
    Placement,
    Reinforce,
    ScaledDot,
    Score,
    Softmax,
    Sparsemax,
    Window,
)
from seq2seq.config.benchmark import BenchmarkConfig, Generated
from seq2seq.config.commands import (
    AlignConfig,
    AverageConfig,
    BleuConfig,
    CompareConfig,
    EvaluateConfig,
    PlotConfig,
    ScoreConfig,
    ShortlistConfig,
    TrainConfig,
    TranslateConfig,
)
from seq2seq.config.data import Data, Split, several, stored_data
from seq2seq.config.decoding import Decoding
from seq2seq.config.model import GROUPS, AttentionBridge, Bridge, LastBridge, MeanBridge, Model, ZeroBridge, memory_size
from seq2seq.config.schema import REQUIRED, Option, SchemaReader, default_of, keys, problems, sections
from seq2seq.config.training import CHANGEABLE, Training
from seq2seq.errors import ConfigError

__all__ = [
    "CHANGEABLE",
    "COMMANDS",
    "GROUPS",
    "KINDS",
    "REQUIRED",
    "Additive",
    "After",
    "AlignConfig",
    "Attention",
    "AttentionBridge",
    "AverageConfig",
    "Before",
    "BenchmarkConfig",
    "Between",
    "BleuConfig",
    "Bridge",
    "CompareConfig",
    "Concat",
    "Cosine",
    "Data",
    "Decoding",
    "Dot",
    "EvaluateConfig",
    "General",
    "Generated",
    "GlobalWindow",
    "Gumbel",
    "Hard",
    "Key",
    "LastBridge",
    "Linear",
    "LocalM",
    "LocalP",
    "Location",
    "MeanBridge",
    "Model",
    "NoAttention",
    "Normaliser",
    "NormedAdditive",
    "Option",
    "Placement",
    "PlotConfig",
    "Reinforce",
    "ScaledDot",
    "Score",
    "ScoreConfig",
    "ShortlistConfig",
    "Softmax",
    "Sparsemax",
    "Split",
    "TrainConfig",
    "Training",
    "TranslateConfig",
    "Window",
    "ZeroBridge",
    "default_of",
    "keys",
    "memory_size",
    "parse",
    "several",
    "stored_data",
    "to_plain",
]

COMMANDS: dict[str, type] = {
    "train": TrainConfig,
    "translate": TranslateConfig,
    "evaluate": EvaluateConfig,
    "bleu": BleuConfig,
    "score": ScoreConfig,
    "align": AlignConfig,
    "plot": PlotConfig,
    "shortlist": ShortlistConfig,
    "average": AverageConfig,
    "compare": CompareConfig,
    "benchmark": BenchmarkConfig,
}
KINDS: dict[str, type] = {**COMMANDS, "model": Model, "data": Data, "decoding": Decoding}

_MOST_ERRORS, _MOST_LETTERS = 50, 2000
"""That are told of at once, and of each."""


def parse(kind: str, values: Mapping[str, Any]) -> Any:
    """Plain values -> the dataclass of `kind` (a key of `KINDS`), checked as a whole.

    Raises ConfigError with one line for each unknown key, unknown name, wrong type, number out of its bounds, missing
    value and impossible pair.
    """
    reader = SchemaReader(GROUPS, {Attention: "model/attention"})
    config = reader.read(KINDS[kind], values)
    errors = reader.errors or list(problems(config))
    if errors:
        told = [error[:_MOST_LETTERS] for error in errors[:_MOST_ERRORS]]
        more = len(errors) - len(told)
        raise ConfigError("\n".join([*told, f"... and {more} more"] if more else told))
    for section in sections(config):  # after the rules, which speak of what was given
        if isinstance(section, Attention):
            section.leave_out_unused()
    return config


def to_plain(config: Any) -> dict[str, Any]:
    """A parsed dataclass as plain builtins, such as `parse` reads."""
    return dataclasses.asdict(config)
