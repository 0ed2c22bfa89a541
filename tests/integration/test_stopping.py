"""What ends a training, and that it goes on when the limit is raised."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support import trainers

from seq2seq.cli.main import main
from seq2seq.training.checkpoints import CheckpointKeeper


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    command = ["train", *trainers.write_corpus(tmp_path), "training.validate_every=100"]
    return lambda run, *more: main([*command, f"run_dir={run}", *more])


def state(run: str) -> Any:
    return json.loads(Path(f"{run}/last/state.json").read_text())


def test_hours_are_counted_over_resumes(
    train: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]

    def a_minute_later() -> float:
        clock[0] += 60
        return clock[0]

    monkeypatch.setattr(time, "monotonic", a_minute_later)
    assert train("run", "training.max_updates=3") == 0
    hours = state("run")["position"]["hours"]
    assert hours >= 3 / 60
    assert train("run", "training.max_updates=100", f"training.max_hours={hours + 0.25}") == 0
    assert f"training.max_hours={hours + 0.25} is reached" in capfd.readouterr().err
    position = state("run")["position"]
    assert 3 < position["update"] < 3 + 15
    assert hours + 0.25 <= position["hours"] < hours + 0.5
    assert Path("run/best/model.safetensors").is_file()
    events = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert (events[-1]["event"], events[-1]["update"]) == ("valid", position["update"])
    assert train("run", "training.max_updates=100", f"training.max_hours={hours + 0.25}") == 0
    assert "nothing to do, training.max_hours" in capfd.readouterr().err
    assert state("run")["position"]["update"] == position["update"]


def test_a_signal_in_the_last_validation_ends_it_too(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = CheckpointKeeper.record_if_best

    def stopped(self: CheckpointKeeper, *arguments: Any) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return original(self, *arguments)

    monkeypatch.setattr(CheckpointKeeper, "record_if_best", stopped)
    assert train("run", "training.max_updates=2", "data.test=valid") == 130
    assert state("run")["position"]["update"] == 2
    assert not Path("run/test.json").exists()
    monkeypatch.setattr(CheckpointKeeper, "record_if_best", original)
    assert train("run", "training.max_updates=2", "data.test=valid") == 0
    assert Path("run/test.json").exists()


def test_a_seed_may_be_a_date_and_a_time(train: Any) -> None:
    assert train("run", "training.max_updates=1", "seed=20240101123456") == 0


def test_a_cosine_ends_with_the_time(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def a_minute_later() -> float:
        clock[0] += 60
        return clock[0]

    def rates(run: str) -> list[float]:
        events = [json.loads(line) for line in Path(f"{run}/metrics.jsonl").read_text().splitlines()]
        return [event["learning_rate"] for event in events if event["event"] == "train"]

    cosine = ["training.schedule=cosine", "training.log_every=1"]
    assert train("whole", *cosine, "training.max_updates=10") == 0
    assert train("unhurried", *cosine, "training.max_updates=10", "training.max_hours=1000") == 0
    for name, tensor in trainers.weights("whole/last").items():
        assert torch.equal(tensor, trainers.weights("unhurried/last")[name]), name
    monkeypatch.setattr(time, "monotonic", a_minute_later)
    assert train("timed", *cosine, "training.max_updates=1000", "training.max_hours=1") == 0
    found = rates("timed")
    assert 5 < len(found) < 100
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.0095
    assert found[-1] < 0.0005
    assert rates("whole")[-1] == pytest.approx(0)


def test_the_limit_that_is_reached_is_named(train: Any, capfd: pytest.CaptureFixture[str]) -> None:
    few = ["training.max_updates=100", "training.max_epochs=1", "training.batch_tokens=2000"]
    assert train("run", *few) == 0
    updates = state("run")["position"]["update"]
    assert f"done: training.max_epochs=1 is reached ({updates} updates)" in capfd.readouterr().err
    assert train("run", *few, f"training.max_updates={updates}") == 0
    assert f"nothing to do, training.max_updates={updates} is reached ({updates} updates)" in capfd.readouterr().err


def test_training_stops_when_the_rate_falls_too_low_and_goes_on_below(
    train: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    falling = ["training.schedule=inverse_sqrt", "training.warmup_updates=4", "training.max_updates=20"]
    assert train("whole", *falling) == 0
    assert train("parts", *falling, "training.min_learning_rate=0.006") == 0
    assert "below training.min_learning_rate=0.006" in capfd.readouterr().err
    assert state("parts")["position"]["update"] == 11  # 0.01 √(4/11) is 0.00603, √(4/12) gives 0.00577
    assert train("parts", *falling) == 0
    assert state("parts")["position"]["update"] == 20
    for name, tensor in trainers.weights("whole/last").items():
        assert torch.equal(tensor, trainers.weights("parts/last")[name]), name


def test_a_plateau_may_end_it(train: Any) -> None:
    still = ["training.learning_rate=1e-12", "training.plateau_patience=0", "training.validate_every=1"]
    assert train("run", *still, "training.min_learning_rate=3e-13", "training.patience=null") == 0
    assert state("run")["schedule"][0] == 0.25


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["training.min_learning_rate=1"], "training.min_learning_rate=1.0 and training.learning_rate=0.01"),
        (
            ["training.min_learning_rate=0.001", "training.schedule=constant"],
            "training.min_learning_rate=0.001 and training.schedule=constant",
        ),
    ],
)
def test_a_rate_that_never_falls_so_low_is_refused(
    train: Any, capfd: pytest.CaptureFixture[str], more: list[str], complaint: str
) -> None:
    assert train("run", *more) == 2
    assert complaint in capfd.readouterr().err
