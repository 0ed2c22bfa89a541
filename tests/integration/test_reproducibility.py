"""The same command gives the same bits, from nothing and in another process."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sentences import PAIRS

import seq2seq

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(seq2seq.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
COMMAND = [
    "train", "data.train=train", "data.valid=train", "data.source_lang=en", "data.target_lang=de",
    "data.vocab_size=330", "data.character_coverage=1.0", "data.cache_dir=cache", "model.embedding_size=12",
    "model.hidden_size=12", "training.batch_tokens=64", "training.max_updates=4", "decoding.max_length=4", "device=cpu",
    "run_dir=run",
]  # fmt: skip


def started(directory: Path, *more: str) -> subprocess.Popen[str]:
    """The command, in a directory of its own with the same corpus."""
    directory.mkdir()
    for language, side in (("en", 0), ("de", 1)):
        (directory / f"train.{language}").write_text("".join(f"{pair[side]}\n" for pair in PAIRS))
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
