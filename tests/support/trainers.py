"""Small trainings on a corpus of a few sentences, and trainers for tests of single updates."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import seq2seq
from seq2seq.config import TrainConfig, parse
from seq2seq.training.corpora import prepare_data
from seq2seq.training.loop import Trainer
from seq2seq.training.setup import make_trainer
from support.sentences import PAIRS, write_pairs

SMALL = [
    "data.source_lang=en", "data.target_lang=de", "data.vocab_size=360", "data.character_coverage=1.0",
    "model.embedding_size=12", "model.hidden_size=12", "training.batch_tokens=64", "training.learning_rate=0.01",
    "device=cpu",
]  # fmt: skip
"""Options of `train` for any of these corpora."""
TINY = [*SMALL, "training.processes=1", "decoding.max_length=3"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(seq2seq.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
"""Environment of a separate process that runs this package in one thread."""


def write_corpus(directory: Path) -> list[str]:
    """Write the corpus to a directory; return the options of `train` that name it."""
    write_pairs(directory / "train", PAIRS * 3)
    write_pairs(directory / "valid", PAIRS[::5])
    return told(directory)


def told(directory: Path) -> list[str]:
    """Return the options of `train` that name a corpus in this directory."""
    names = {"data.train": "train", "data.valid": "valid", "data.cache_dir": "cache"}
    return [*TINY, *(f"{key}={directory / name}" for key, name in names.items())]


def learn_few_pairs(corpus: Path, work: Path) -> list[str]:
    """Return a command that trains for a few updates on `train` in one directory, with its cache in another."""
    return [
        "train", *SMALL, f"data.train={corpus}/train", f"data.valid={corpus}/train", f"data.cache_dir={work}/cache",
        "data.vocab_size=350", "training.max_updates=40", "training.validate_every=1000",
    ]  # fmt: skip


def settings(overrides: Sequence[str]) -> TrainConfig:
    """Parse options as `train` would, without Hydra, which takes longer than such a training."""
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


def weights(checkpoint: str | Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint."""
    return load_file(Path(checkpoint) / "model.safetensors")


def make(directory: Path, *more: str, precise: bool = False, run: str = "run") -> Trainer:
    """Make a trainer at update 0, or resumed from its run directory; in float64 if `precise`."""
    config = settings([*write_corpus(directory), *more])
    (directory / run).mkdir(exist_ok=True)
    trainer = make_trainer(config, prepare_data(config), directory / run, torch.device("cpu"))
    trainer.resume()
    if precise:
        trainer.model.double()
    return trainer
