"""Trainers on a corpus of a few sentences, for tests of single updates."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentences import PAIRS

from seq2seq.config import TrainConfig, parse
from seq2seq.training.corpora import prepare_data
from seq2seq.training.loop import Trainer
from seq2seq.training.setup import make_trainer

TINY = [
    "data.source_lang=en", "data.target_lang=de", "data.vocab_size=330", "data.character_coverage=1.0",
    "model.embedding_size=12", "model.hidden_size=12", "training.batch_tokens=64", "training.learning_rate=0.01",
    "training.processes=1", "decoding.max_length=3", "device=cpu",
]  # fmt: skip


def write_corpus(directory: Path) -> list[str]:
    """The corpus in a directory, and what tells `train` of it."""
    for name, pairs in (("train", PAIRS * 3), ("valid", PAIRS[::5])):
        (directory / f"{name}.en").write_text("".join(f"{s}\n" for s, _ in pairs))
        (directory / f"{name}.de").write_text("".join(f"{t}\n" for _, t in pairs))
    return told(directory)


def told(directory: Path) -> list[str]:
    """What tells `train` of a corpus that is there."""
    names = {"data.train": "train", "data.valid": "valid", "data.cache_dir": "cache"}
    return [*TINY, *(f"{key}={directory / name}" for key, name in names.items())]


def settings(overrides: Sequence[str]) -> TrainConfig:
    """What `train` would make of them, without Hydra, which takes longer than such a training."""
    attention = {"score": "additive", "window": "global", "normaliser": "softmax", "placement": "before"}
    named = {group: {"name": name} for group, name in attention.items()}
    values: dict[str, Any] = {"model": {"attention": named, "bridge": {"name": "last"}}}
    for override in overrides:
        key, _, text = override.partition("=")
        *path, last = key.replace("/", ".").split(".")
        section = values
        for name in path:
            section = section.setdefault(name, {})
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        section[last] = {"name": value} if "/" in key else value
    config: TrainConfig = parse("train", values)
    return config


def make(directory: Path, *more: str, precise: bool = False, run: str = "run") -> Trainer:
    """A trainer at update 0, or as its run directory left off; in float64 if `precise`."""
    config = settings([*write_corpus(directory), *more])
    (directory / run).mkdir(exist_ok=True)
    trainer = make_trainer(config, prepare_data(config), directory / run, torch.device("cpu"))
    trainer.resume()
    if precise:
        trainer.model.double()
    return trainer
