"""The exponential moving average of the weights: its equation, where it is used, and that a run resumes exactly."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import trainers
from torch import Tensor, nn

from seq2seq.training.optimizer import PREFIX, MovingAverage

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")


def test_the_average_is_written_out() -> None:
    model = nn.Linear(1, 1, bias=False).double()
    expected = model.weight.item()
    average = MovingAverage(model, 0.5)
    for update, weight in enumerate((3.0, -1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0), 1):
        nn.init.constant_(model.weight, weight)
        average.update(update)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * weight
    assert decay == 0.5
    with average.in_place() as weights:
        assert model.weight.item() == pytest.approx(expected, rel=1e-12)
        assert float(weights[f"{PREFIX}weight"]) == 3.0
    assert model.weight.item() == 3.0


def test_they_change_places_in_the_same_memory_and_exactly() -> None:
    model = nn.Linear(5, 5)
    before, places = model.weight.detach().clone(), [weight.data_ptr() for weight in model.parameters()]
    version = model.weight._version
    average = MovingAverage(model, 0.999)
    nn.init.normal_(model.weight)
    after = model.weight.detach().clone()
    with average.in_place():
        assert torch.equal(model.weight, before)
        assert model.weight._version > version  # copies of the model for decoding are made again
    assert torch.equal(model.weight, after)
    assert [weight.data_ptr() for weight in model.parameters()] == places


def test_what_is_restored_goes_on_as_the_first() -> None:
    one, other = nn.Linear(5, 5), nn.Linear(5, 5)
    first, second = MovingAverage(one, 0.9), MovingAverage(other, 0.9)
    nn.init.normal_(one.weight)
    first.update(7)
    with first.in_place() as weights:
        other.load_state_dict(one.state_dict())
        second.restore(weights)
    assert torch.equal(one.weight, other.weight)
    for model, average in ((one, first), (other, second)):
        with torch.no_grad():
            model.weight.mul_(0.3)
        average.update(8)
    with first.in_place(), second.in_place():
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.bias, other.bias)


def tensors(run: Path, name: str) -> dict[str, Tensor]:
    return load_file(run / name)


@pytest.mark.parametrize("more", [[], pytest.param(["training.processes=2"], marks=LINUX)])
def test_a_run_validates_and_keeps_averages_and_resumes_exactly(tmp_path: Path, more: list[str]) -> None:
    options = [
        "training.ema=0.9", "training.validate_every=4", "training.optimizer=adadelta", "training.learning_rate=1",
        "training.weight_decay=0.01", "training.metric=loss", *more,
    ]  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainers.make(tmp_path, *options, "training.max_updates=8", run="whole").run()
    for updates in (3, 8):
        trainers.make(tmp_path, *options, f"training.max_updates={updates}", run="parts").run()
    for name in ("last/model.safetensors", "last/state.safetensors"):
        expected, found = tensors(whole, name), tensors(parts, name)
        assert expected.keys() == found.keys()
        assert all(torch.equal(tensor, found[key]) for key, tensor in expected.items())
    averages, state = tensors(whole, "last/model.safetensors"), tensors(whole, "last/state.safetensors")
    assert not torch.equal(averages["output.bias"], state[f"{PREFIX}output.bias"])
    assert "exponential moving average, decay 0.9" in (whole / "last/README.md").read_text()
    events = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    valid = [event for event in events if event["event"] == "valid"]
    trainer = trainers.make(tmp_path)  # at update 0, but for its weights
    trainer.model.load_state_dict(averages, strict=False)
    assert trainer.validation.loss(trainer.translator, trainer.group) == pytest.approx(valid[-1]["loss"], rel=1e-6)
    assert valid[-1]["best"]
    best = tensors(whole, "best/model.safetensors")
    assert all(torch.equal(tensor, best[key]) for key, tensor in averages.items())
