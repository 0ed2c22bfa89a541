"""Training with frozen parts, from end to end."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.sentences import PAIRS, write_pairs
from support.trainers import SMALL, weights

from seq2seq.cli.main import main

TINY = [
    *SMALL, "data.train=text", "data.valid=text", "model.embedding_size=16", "model.hidden_size=16",
    "training.weight_decay=0.1", "training.optimizer=adamw", "decoding.max_length=4",
]  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pairs("text", PAIRS)
    return tmp_path


def train(*more: str) -> int:
    return main(["train", *TINY, *more])


@pytest.mark.parametrize(("processes", "ties", "precision"), [(1, "none", "bf16"), (2, "all", "fp32")])
def test_frozen_weights_stay_bitwise_and_all_others_move(
    corpus: Path, processes: int, ties: str, precision: str
) -> None:
    model = [f"model.tied_embeddings={ties}", f"training.processes={processes}", f"training.precision={precision}"]
    assert train("run_dir=parent", *model, "training.max_updates=2") == 0
    frozen = [*model, "training.start_from=parent/last", "training.freeze=[encoder,source_embedding,output.bias]"]
    assert train("run_dir=run", *frozen, "training.max_updates=6") == 0
    before, after = weights("parent/last"), weights("run/last")
    fixed = {name for name in before if name.startswith(("encoder.", "source_embedding.")) or name == "output.bias"}
    assert ("output.weight" in before) == (ties == "none")
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == (name in fixed), name
    moved = {key.partition(".")[0] for key in load_file("run/last/state.safetensors")}
    assert len(moved) == len(before) - len(fixed)
    assert train("run_dir=parts", *frozen, "training.max_updates=3") == 0
    assert train("run_dir=parts", *frozen, "training.max_updates=6") == 0
    parts = weights("parts/last")
    assert all(torch.equal(tensor, parts[name]) for name, tensor in after.items())


def test_what_is_frozen_belongs_to_the_run(corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("run_dir=run", "training.freeze=[decoder.attention]", "training.max_updates=1") == 0
    assert train("run_dir=run", "training.max_updates=2") == 2
    assert "training.freeze: was ['decoder.attention'], now []" in capfd.readouterr().err
    assert train("check=true", "training.freeze=[encodr]") == 2
    assert "training.freeze: 'encodr': no such part in this model. Did you mean 'encoder'" in capfd.readouterr().err
