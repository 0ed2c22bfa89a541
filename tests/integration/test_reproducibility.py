"""The same command gives the same bits, from nothing and in another process."""

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import trainers
from support.sentences import PAIRS, write_pairs
from support.trainers import ENVIRONMENT, SMALL

COMMAND = [
    "train", *SMALL, "data.train=train", "data.valid=train", "data.cache_dir=cache", "training.learning_rate=0.001",
    "training.max_updates=4", "decoding.max_length=4",
]  # fmt: skip


RUN = """
import json, sys
from seq2seq.cli.main import main
sys.exit(max(main(words) for words in json.loads(sys.argv[1])))
"""
"""Trainings one after the other: to start takes longer than each."""


def started(directory: Path, commands: Sequence[Sequence[str]]) -> subprocess.Popen[str]:
    """Start a process with these commands, in a directory of its own with the same corpus."""
    directory.mkdir()
    write_pairs(directory / "train", PAIRS)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        env=ENVIRONMENT, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_the_same_command_gives_the_same_bits(tmp_path: Path) -> None:
    """With one process, and where they can be forked with two."""
    numbers = [1, 2] if sys.platform.startswith("linux") else [1]
    commands = [[*COMMAND, f"training.processes={number}", f"run_dir=run{number}"] for number in numbers]
    where = [tmp_path / name for name in ("one", "two")]
    running = [started(directory, commands) for directory in where]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said
    for number in numbers:
        runs = [directory / f"run{number}/last" for directory in where]
        one, two = (hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest() for run in runs)
        assert one == two
        first, second = (json.loads((run / "config.json").read_text())["origin"] for run in runs)
        assert first == second
        assert first["training"]["processes"] == number
        assert first["hashes"].keys() == {"train", "valid"}


@pytest.mark.parametrize(
    "more",
    [
        ["data.subword_sampling=0.2", "model.dropout=0.3", "training.accumulate=2"],
        ["model/attention/normaliser=reinforce"],
        ["training.loss=minimum_risk", "training.risk_samples=3", "model/attention/normaliser=gumbel"],
    ],
)
def test_no_generator_has_to_be_remembered(tmp_path: Path, more: list[str]) -> None:
    """All that is drawn follows from the seed and the update: so whatever became of the generators is the same."""

    def trained(run: str, disturbed: bool) -> dict[str, torch.Tensor]:
        trainer = trainers.make(tmp_path, *more, "training.max_updates=5", "training.validate_every=2", run=run)
        step = trainer.step

        def stepping(batch: Any) -> Any:
            if disturbed:
                random.seed(trainer.progress.update)
                np.random.seed(trainer.progress.update)
                torch.manual_seed(trainer.progress.update)
            return step(batch)

        trainer.step = stepping  # type: ignore[method-assign]
        trainer.run()
        return trainer.model.state_dict()

    one, other = trained("one", False), trained("other", True)
    assert all(tensor.equal(other[name]) for name, tensor in one.items())
