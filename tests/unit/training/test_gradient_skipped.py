"""An update whose gradient is not finite changes nothing but the count of such updates."""

import json
import math
from pathlib import Path

import pytest
from support import trainers
from torch import Tensor

from seq2seq.checkpoint import optimizer_tensors
from seq2seq.errors import ConfigError
from seq2seq.model.translation import TranslationModel
from seq2seq.text.batches import Batch
from seq2seq.training.loop import Trainer
from seq2seq.training.loss import Loss, TranslationLoss


class Spoilt(TranslationLoss):
    """Its gradient is not finite where `broken` says so."""

    broken = False

    def __call__(self, model: TranslationModel, batch: Batch, baseline: float = 0.0) -> Loss:
        loss = super().__call__(model, batch, baseline)
        factor = math.nan if Spoilt.broken else 1.0
        return Loss({name: term * factor for name, term in loss.terms.items()}, loss.tokens)


def everything(trainer: Trainer) -> dict[str, Tensor]:
    moments = optimizer_tensors(trainer.optimizer, trainer.model.parameters())
    return {key: tensor.clone() for key, tensor in {**trainer.model.state_dict(), **moments}.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(tensor.equal(other[key]) for key, tensor in one.items())


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    trainer = trainers.make(tmp_path, "training.max_skipped=2", "model/attention/normaliser=reinforce")
    trainer.gradient.loss = Spoilt(reward_weight=1.0)
    monkeypatch.setattr(Spoilt, "broken", False)
    return trainer


def test_a_skipped_update_leaves_weights_and_optimizer(trainer: Trainer) -> None:
    batches = trainer.batches()
    trainer.step(next(batches))
    before, baseline = everything(trainer), trainer.progress.baseline
    assert baseline
    for count in (1, 2):
        Spoilt.broken = True
        trainer.step(next(batches))
        progress = trainer.progress
        assert same(everything(trainer), before)
        assert progress.baseline == baseline
        assert (progress.update, progress.skipped, progress.skipped_in_a_row) == (1 + count, count, count)
    Spoilt.broken = False
    trainer.step(next(batches))
    assert not same(everything(trainer), before)
    assert all(tensor.isfinite().all() for tensor in everything(trainer).values())
    assert (trainer.progress.skipped, trainer.progress.skipped_in_a_row) == (2, 0)


def test_too_many_in_a_row_stop_training_with_advice(trainer: Trainer) -> None:
    batches = trainer.batches()
    Spoilt.broken = True
    trainer.step(next(batches))
    trainer.step(next(batches))
    with pytest.raises(ConfigError, match=r"norm of the gradient, 3 times in a row, is nan at update 3. Use a lower"):
        trainer.step(next(batches))


@pytest.mark.parametrize("validate_every", [4, 100])
def test_the_state_that_is_left_has_weights_and_optimizer_from_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validate_every: int
) -> None:
    """And training goes on from it once what spoilt the gradients is gone."""
    settings = ["training.max_skipped=2", "training.save_every=1", f"training.validate_every={validate_every}"]
    trainer = trainers.make(tmp_path, *settings, "training.max_updates=9")
    step, good = trainer.step, {}

    def broken_from_the_fourth_on(batch: Batch) -> tuple[Loss, Tensor]:
        Spoilt.broken = trainer.progress.update >= 3
        if trainer.progress.update == 3:
            good.update(everything(trainer))
        return step(batch)

    monkeypatch.setattr(Spoilt, "broken", False)
    trainer.gradient.loss = Spoilt()
    trainer.step = broken_from_the_fourth_on  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="3 times in a row"):
        trainer.run()
    left = trainers.make(tmp_path, *settings, "training.max_updates=9")
    assert left.progress.skipped_in_a_row <= 2
    assert same(everything(left), good)
    Spoilt.broken = False
    left.run()
    assert not same(everything(left), good)
    assert all(tensor.isfinite().all() for tensor in everything(left).values())


def test_metrics_count_them_and_stay_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainers.make(tmp_path, "training.max_updates=6", "training.log_every=1")
    step = trainer.step

    def every_third_is_broken(batch: Batch) -> tuple[Loss, Tensor]:
        Spoilt.broken = trainer.progress.update % 3 == 1
        return step(batch)

    monkeypatch.setattr(Spoilt, "broken", False)
    trainer.gradient.loss = Spoilt()
    trainer.step = every_third_is_broken  # type: ignore[method-assign]
    trainer.run()
    text = (trainer.run_dir / "metrics.jsonl").read_text()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]
    trained = [line for line in lines if line["event"] == "train"]
    assert [line["skipped"] for line in trained] == [0, 1, 1, 1, 2, 2]
    assert [line["loss"] is None for line in trained] == [False, True, False, False, True, False]
    assert trainers.make(tmp_path).progress.skipped == 2


def test_a_state_from_before_they_were_counted_is_read(tmp_path: Path) -> None:
    trainer = trainers.make(tmp_path, "training.max_updates=1")
    trainer.run()
    path = trainer.run_dir / "last/state.json"
    state = json.loads(path.read_text())
    state["position"] = {
        key: value for key, value in state["position"].items() if key not in ("skipped", "skipped_in_a_row")
    }
    path.write_text(json.dumps(state))
    path.with_name("SHA256SUMS").unlink()
    assert trainers.make(tmp_path).progress.update == 1
