"""Training with all that is drawn in it: it resumes bitwise, and sees no text but its own."""

import json
from pathlib import Path

import pytest
import torch
from support.sentences import PAIRS, write_pairs
from support.trainers import SMALL, weights

from seq2seq.cli.main import main

TINY = [*SMALL, "data.train=train", "data.valid=train", "training.validate_every=5", "decoding.max_length=5"]
DRAWN = [
    "model.dropout=0.2", "model.variational_dropout=true", "model.recurrent_dropout=0.2",
    "data.subword_sampling=0.3",
]  # fmt: skip


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS)


@pytest.mark.parametrize(
    "variant",
    [
        ["training.r_drop=5"],
        ["model/attention=luong2015_global", "model.cell=lstm", "training.processes=2", "training.precision=bf16"],
    ],
)
def test_a_run_that_was_stopped_ends_like_one_that_was_not(variant: list[str]) -> None:
    command = ["train", *TINY, *DRAWN, *variant]
    assert main([*command, "run_dir=whole", "training.schedule=constant", "training.max_updates=13"]) == 0
    for updates in (6, 13):
        assert main([*command, "run_dir=parts", "training.schedule=constant", f"training.max_updates={updates}"]) == 0
    for name, tensor in weights("whole/last").items():
        assert torch.equal(tensor, weights("parts/last")[name]), name


def test_sampling_changes_the_training_and_no_validation() -> None:
    """An update of rate 0 leaves the model as it was: the same validation, but another training loss."""
    losses: dict[str, list[float]] = {"train": [], "valid": []}
    for run, more in (("plain", []), ("drawn", ["data.subword_sampling=0.3"])):
        rate = ["training.learning_rate=1e-30", "training.max_updates=1", "training.log_every=1", "model.dropout=0"]
        assert main(["train", *TINY, *rate, *more, f"run_dir={run}"]) == 0
        for line in map(json.loads, Path(f"{run}/metrics.jsonl").read_text().splitlines()):
            losses[line["event"]].append(line["loss"])
    (plain, drawn), (valid, other) = losses["train"], losses["valid"]
    assert plain != drawn
    assert valid == other
