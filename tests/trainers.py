"""Trainers on a corpus of a few sentences, for tests of single updates."""

from pathlib import Path

import torch
from sentences import PAIRS

from seq2seq.cli.compose import run_composed
from seq2seq.config import TrainConfig, parse
from seq2seq.training.loop import Trainer
from seq2seq.training.setup import make_trainer, prepare_data

TINY = [
    "data.source_lang=en", "data.target_lang=de", "data.vocab_size=330", "data.character_coverage=1.0",
    "model.embedding_size=12", "model.hidden_size=12", "training.batch_tokens=64", "training.learning_rate=0.01",
    "training.processes=1", "device=cpu",
]  # fmt: skip


def write_corpus(directory: Path) -> list[str]:
    """The corpus in a directory, and what tells `train` of it."""
    for name, pairs in (("train", PAIRS * 3), ("valid", PAIRS[::5])):
        (directory / f"{name}.en").write_text("".join(f"{s}\n" for s, _ in pairs))
        (directory / f"{name}.de").write_text("".join(f"{t}\n" for _, t in pairs))
    names = {"data.train": "train", "data.valid": "valid", "data.cache_dir": "cache"}
    return [*TINY, *(f"{key}={directory / name}" for key, name in names.items())]


def make(directory: Path, *more: str, precise: bool = True) -> Trainer:
    """A trainer at update 0, in float64 if `precise`; its run directory is `directory/run`."""
    configs: list[TrainConfig] = []
    overrides = [*write_corpus(directory), *more]
    run_composed("train", overrides, lambda values, choices: configs.append(parse("train", values)))
    (config,) = configs
    trainer = make_trainer(config, prepare_data(config), directory / "run", torch.device("cpu"))
    if precise:
        trainer.model.double()
    return trainer
