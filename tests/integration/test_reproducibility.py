"""The same command gives the same bits, from nothing and in another process."""

import hashlib
import json
import random
import subprocess
import sys
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
    "training.max_updates=4", "decoding.max_length=4", "run_dir=run",
]  # fmt: skip


def started(directory: Path, *more: str) -> subprocess.Popen[str]:
    """The command, in a directory of its own with the same corpus."""
    directory.mkdir()
    write_pairs(directory / "train", PAIRS)
    return subprocess.Popen(
        [sys.executable, "-m", "seq2seq", *COMMAND, *more],
        env=ENVIRONMENT, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def weights(process: subprocess.Popen[str], directory: Path) -> str:
    """SHA-256 of the trained weights."""
    _, said = process.communicate()
    assert process.returncode == 0, said
    return hashlib.sha256((directory / "run/last/model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are forked on Linux only"
))])  # fmt: skip
def test_the_same_command_gives_the_same_bits(tmp_path: Path, processes: int) -> None:
    where = {name: tmp_path / name for name in ("one", "two")}
    running = {name: started(directory, f"training.processes={processes}") for name, directory in where.items()}
    found = {name: weights(process, where[name]) for name, process in running.items()}
    assert found["one"] == found["two"]
    first, second = (
        json.loads((where[name] / "run/last/config.json").read_text())["origin"] for name in ("one", "two")
    )
    assert first == second
    assert first["training"]["processes"] == processes
    assert first["hashes"].keys() == {"train", "valid"}


@pytest.mark.parametrize(
    "more",
    [
        ["data.subword_sampling=0.2", "model.dropout=0.3", "training.accumulate=2"],
        ["model/attention/normaliser=reinforce", "training.scheduled_sampling=linear",
         "training.sampled_inputs_half=2"],
        ["training.loss=minimum_risk", "training.risk_samples=3", "model/attention/normaliser=gumbel"],
    ],
)  # fmt: skip
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
