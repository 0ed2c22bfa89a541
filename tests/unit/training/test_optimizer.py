"""Optimizers: their equations, what decays, what is saved."""

from typing import Any

import pytest
import torch
from support.variants import DEFAULT, build_model, one_by_one_rows
from torch import nn

from seq2seq.checkpoint import optimizer_tensors, restore_optimizer
from seq2seq.config import Training
from seq2seq.training.optimizer import is_matrix, make_optimizer

NAMES = Training.__dataclass_fields__["optimizer"].metadata["choices"]


def parameters(**row: Any) -> dict[str, nn.Parameter]:
    return dict(build_model({**DEFAULT, **row}).named_parameters())


def split(**row: Any) -> tuple[set[str], set[str]]:
    """Names of what decays, and of what does not."""
    named = parameters(**row)
    decayed = {name for name, weight in named.items() if is_matrix(name, weight)}
    return decayed, named.keys() - decayed


@pytest.mark.parametrize("heads", [1, 2])
def test_matrices_and_embeddings_decay_and_nothing_else(heads: int) -> None:
    decayed, kept = split(heads=heads, coverage=True, window="local_p", bridge="attention")
    attention = "decoder.attention"
    assert decayed >= {"source_embedding.weight", "decoder.embedding.weight", "output.weight"}
    assert decayed >= {"encoder.layers.0.0.rnn.weight_ih_l0", f"{attention}.score.query.weight"}
    assert f"{attention}.window.hidden.weight" in decayed
    assert kept >= {"output.bias", "encoder.layers.0.0.rnn.bias_ih_l0", f"{attention}.score.key.bias"}
    assert kept >= {f"{attention}.score.v", f"{attention}.score.coverage", f"{attention}.window.v.weight"}
    assert "bridge.pooling.query.weight" in kept
    assert {f"{attention}.score.g", f"{attention}.score.v"} <= split(score="normed_additive", heads=heads)[1]
    assert f"{attention}.score.log_scale" in split(score="cosine", heads=heads)[1]


@pytest.mark.parametrize("row", one_by_one_rows(), ids=str)
def test_no_bias_and_no_vector_decays(row: dict[str, Any]) -> None:
    for name, weight in build_model(row).named_parameters():
        if "bias" in name or weight.numel() == max(weight.shape):
            assert not is_matrix(name, weight), name


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_moves_the_matrices_alone(name: str) -> None:
    model = build_model(DEFAULT)
    before = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    optimizer = make_optimizer(name, model, learning_rate=0.1, weight_decay=0.5)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for key, weight in model.named_parameters():
        moved = not torch.equal(weight, before[key])
        assert moved == bool(is_matrix(key, weight) and before[key].any()), key


def test_adadelta_is_zeilers() -> None:
    """Algorithm 1: E[g²] and E[Δx²] with rho 0.95, Δx = −RMS[Δx]_{t-1} / RMS[g]_t · g_t, eps 1e-6."""
    model = nn.Linear(2, 1, bias=False).double()
    optimizer = make_optimizer("adadelta", model, learning_rate=1.0, weight_decay=0.0)
    x = model.weight.detach().clone()
    squares, changes = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(4):
        gradient = torch.tensor([[1.5, -0.3 * step]], dtype=torch.float64)
        squares = 0.95 * squares + 0.05 * gradient**2
        change = -((changes + 1e-6).sqrt() / (squares + 1e-6).sqrt()) * gradient
        changes = 0.95 * changes + 0.05 * change**2
        x = x + change
        model.weight.grad = gradient
        optimizer.step()
    torch.testing.assert_close(model.weight.detach(), x, rtol=1e-12, atol=0)


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int) -> None:
    torch.manual_seed(seed)
    for _ in range(steps):
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_optimizer_goes_on_as_the_first(name: str) -> None:
    one, other = build_model(DEFAULT), build_model(DEFAULT)
    options = {"learning_rate": 0.1, "weight_decay": 0.01}
    first, second = (make_optimizer(name, model, **options) for model in (one, other))
    stepped(one, first, 3, seed=1)
    other.load_state_dict(one.state_dict())
    tensors = {key: tensor.clone() for key, tensor in optimizer_tensors(first, one.parameters()).items()}
    assert bool(tensors) == (name != "sgd")
    restore_optimizer(second, other.parameters(), tensors)
    for model, optimizer in ((one, first), (other, second)):
        stepped(model, optimizer, 3, seed=2)
    for key, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[key]), key


def test_moments_are_numbered_as_the_models_parameters_are() -> None:
    """So were they in states that were saved when all weights decayed alike."""
    model = build_model(DEFAULT)
    optimizer = make_optimizer("adam", model, learning_rate=0.1, weight_decay=0.0)
    stepped(model, optimizer, 1, seed=1)
    plain = torch.optim.Adam(model.parameters(), lr=0.1)
    tensors = optimizer_tensors(optimizer, model.parameters())
    restore_optimizer(plain, model.parameters(), tensors)
    for number, weight in enumerate(model.parameters()):
        moment = plain.state_dict()["state"][number]["exp_avg"]
        assert torch.equal(moment, optimizer.state[weight]["exp_avg"])
        assert torch.equal(moment, tensors[f"{number}.exp_avg"])
