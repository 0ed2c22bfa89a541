"""`seq2seq train training.loss=minimum_risk`, as a run of its own."""

import itertools
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from support.sentences import PAIRS, write_pairs
from support.trainers import SMALL, weights

from seq2seq.cli.main import main
from seq2seq.training.progress import Progress

RISKY = [
    *SMALL, "data.train=train", "data.valid=train", "model.embedding_size=8", "model.hidden_size=8",
    "training.batch_tokens=32", "training.learning_rate=0.001", "training.loss=minimum_risk",
    "training.risk_samples=3", "training.risk_metric=chrf", "training.log_every=1", "training.max_updates=5",
    "training.validate_every=100", "decoding.max_length=6",
]  # fmt: skip


def train(*more: str) -> int:
    return main(["train", *RISKY, *more])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs("train", PAIRS)
    more = f"training.processes={processes}"
    assert train("run_dir=whole", more) == 0
    losses = [json.loads(line).get("loss") for line in Path("whole/metrics.jsonl").read_text().splitlines()]
    assert all(0 < loss < 1 for loss in losses[:-1])  # costs of a sentence
    advance, updates = Progress.advance, itertools.count(1)

    def stop_after_two(progress: Progress, tokens: int) -> None:
        advance(progress, tokens)
        if next(updates) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "advance", stop_after_two)
    assert train("run_dir=parts", more) == 128 + signal.SIGTERM
    assert train("run_dir=parts", more) == 0
    whole, parts = weights("whole/last"), weights("parts/last")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("start", [True, False])
def test_a_model_that_can_not_translate_yet_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], start: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.en").write_text("".join(f"{s}\n" for s, _ in PAIRS))
    Path("train.de").write_text("".join(f"{t}\n" for _, t in PAIRS))
    more = ["training.start_from=first"] if start else []
    if start:
        first = [word for word in RISKY if "risk" not in word]
        assert main(["train", *first, "run_dir=first", "training.max_updates=1"]) == 0
    for updates in (1, 2):
        assert train("run_dir=run", f"training.max_updates={updates}", *more) == 0
        told = "Train it with cross_entropy first" in capfd.readouterr().err
        assert told == (updates == 1 and not start)  # not of a run that goes on
