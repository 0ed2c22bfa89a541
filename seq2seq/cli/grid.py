"""The grid of a comparison: a cell for each variant and seed, and each finished run."""

import functools
import hashlib
import itertools
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonprefix
from pathlib import Path
from typing import Any

from seq2seq.cli.compose import composed
from seq2seq.config import (
    CompareConfig,
    Decoding,
    TrainConfig,
    greedy_decoding,
    lost,
    parse,
    stored_data,
    to_plain,
    upgrade,
)
from seq2seq.errors import ConfigError, DataError
from seq2seq.text.json_io import read_json
from seq2seq.text.storage import file_name, within

_SET_BY_COMPARE = ("seed", "run_dir", "change", "device", "check")
"""Keys of a training that the comparison sets itself"""
_WITHOUT_EFFECT = {
    "": ("run_dir", "change", "device", "check"),
    "data": ("train", "valid", "test", "cache_dir"),
    "training": ("keep_best", "keep_last", "save_every", "log_every", "samples", "tensorboard"),
}
"""Keys of a training that do not change its result; the files of `data` count by their content"""


@dataclass(frozen=True)
class Cell:
    """One variant with one seed."""

    label: str
    training: TrainConfig
    run: Path | None = None
    """A finished run, whose checkpoint is used as it is"""
    given: frozenset[str] = frozenset()
    """Names of the options that `common` and the variant set"""

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return self.training.seed

    @property
    def name(self) -> str:
        """A file name for label and seed."""
        return f"{file_name(self.label)}-seed{self.seed}"


def plan(config: CompareConfig) -> list[Cell]:
    """Return all cells, those of one seed together. Raises ConfigError for all mistakes, with the variant of each."""
    variants: list[Cell] = []
    mistakes = []
    if config.variants and (not config.seeds or len(set(config.seeds)) < len(config.seeds)):
        raise ConfigError(f"seeds={config.seeds}: expected one or more, each once, such as [1,2,3]")
    for label, words in config.variants.items():
        try:
            overrides = (*_overrides(config.common), *_overrides(words))
            cell = Cell(label, _composed(overrides), given=frozenset(map(_name, overrides)))
            decoding = to_plain(decoding_of(cell, config))
            parse("train", {**to_plain(cell.training), "decoding": decoding})  # will it decode like this?
            variants.append(cell)
        except ConfigError as error:
            mistakes.append(f"variants.{label}: {error}")
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    finished = list(_finished(config.runs))
    if taken := {cell.label for cell in variants} & {cell.label for cell in finished}:
        raise ConfigError(f"runs and variants: both have {', '.join(sorted(taken))}. Give the variant another label.")
    grid = itertools.product(config.seeds, variants)
    seeded = (replace(cell, training=replace(cell.training, seed=seed)) for seed, cell in grid)
    return [*seeded, *finished]


def decoding_of(cell: Cell, config: CompareConfig) -> Decoding:
    """Return how a cell is decoded: as the comparison says, except for what its own variant or experiment sets.

    The validations of a finished run do not count.
    """
    if cell.run is not None:
        return config.decoding
    own, usual = to_plain(cell.training.decoding), to_plain(greedy_decoding())
    chosen = {key: value for key, value in own.items() if value != usual[key] or f"decoding.{key}" in cell.given}
    decoding: Decoding = parse("decoding", to_plain(config.decoding) | chosen)
    return decoding


@functools.cache
def _composed(overrides: tuple[str, ...]) -> TrainConfig:
    config: TrainConfig = parse("train", composed("train", overrides))
    return config


def _overrides(text: str) -> Iterator[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"{text}: can't be read ({error}). Expected overrides as on the command line.") from error
    for word in words:
        name = _name(word)
        if name in _SET_BY_COMPARE or name.split(".")[0].split("/")[0] == "hydra" or word.startswith("-"):
            raise ConfigError(f"{word}: not possible for a single variant. Give it to seq2seq compare itself.")
        yield word


def _name(word: str) -> str:
    """Return the option that an override sets."""
    return word.partition("=")[0].lstrip("+~")


def _finished(runs: Sequence[str]) -> Iterator[Cell]:
    """Yield the cells of finished runs; runs that differ only in their seed are one variant."""
    groups: dict[str, list[tuple[str, TrainConfig]]] = {}
    for name in runs:
        training, no_longer = read_run(Path(name))
        key = value_hash([settings(replace(training, seed=0)), training.data.train, training.data.valid, no_longer])
        groups.setdefault(key, []).append((name, training))
    labels = {key: _shared_name([Path(name).resolve().name for name, _ in group]) for key, group in groups.items()}
    uses = Counter(labels.values())
    for key, group in groups.items():
        if len({training.seed for _, training in group}) < len(group):
            twice = ", ".join(name for name, _ in group)
            raise ConfigError(f"runs: {twice}: the same settings and seed more than once. Leave out the duplicates.")
        label = labels[key] if uses[labels[key]] == 1 else group[0][0]
        yield from (Cell(label, training, Path(name)) for name, training in group)


def _shared_name(names: Sequence[str]) -> str:
    """Return the common beginning of the names, without `-seed`."""
    shared = re.sub(r"[-_.]*(seed|s)?[-_.]*$", "", commonprefix(names))  # noqa: RUF071
    return names[0] if len(names) == 1 else shared or names[0]


def read_run(path: Path) -> tuple[TrainConfig, list[str]]:
    """Read the configuration of a run, and its settings that this version no longer has.

    Raises DataError if there is none.
    """
    try:
        values = read_json(within(path, "config.json"))
        if "format" in values:
            is_in_run = (path.parent / "config.json").exists()
            advice = f"Give {path.parent}" if is_in_run else "Score it with `evaluate`, several with `bleu`"
            raise DataError(f"runs: {path}: a checkpoint; expected a run directory. {advice}")
        stored = {**values, "data": stored_data(values["data"])}
        config: TrainConfig = parse("train", upgrade(stored))
    except OSError as error:
        raise DataError(
            f"runs: {path}: no run here ({error.strerror}); expected a run directory with config.json"
        ) from error
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise DataError(f"runs: {path}/config.json: not the configuration of a run ({error})") from error
    return config, sorted(lost(stored))


def settings(training: TrainConfig) -> dict[str, Any]:
    """Return all settings that affect the result of a training, except the corpora."""
    values = to_plain(training)
    for section, keys in _WITHOUT_EFFECT.items():
        for key in keys:
            del (values[section] if section else values)[key]
    return values


def value_hash(values: Any) -> str:
    """Return the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
