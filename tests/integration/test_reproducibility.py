"""The same command gives the same bits, from nothing and in another process."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sentences import PAIRS, write_pairs
from trainers import ENVIRONMENT, SMALL

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
