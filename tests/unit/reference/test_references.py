"""The references themselves, against numbers known from elsewhere."""

import math

import pytest
import torch
from reference import normaliser
from reference.attention import attend
from reference.parameters import under, widened
from reference.placement import PLACEMENTS
from reference.recurrent import gru, lstm
from reference.score import SCORES
from reference.window import window
from support.variants import fill, names, numbers
from torch import Tensor, nn

from seq2seq import config


def scalars(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def values(tensors: list[Tensor]) -> list[float]:
    return [x.item() for x in tensors]


def test_softmax_of_logarithms() -> None:
    assert values(normaliser.softmax(scalars(math.log(1), math.log(3)))) == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(
    ("energies", "weights"),
    [
        ([5.0], [1.0]),
        ([0.0, 0.0], [0.5, 0.5]),
        ([0.1, 0.5], [0.3, 0.7]),
        ([0.0, 2.0], [0.0, 1.0]),
        ([1.0, 0.8, 0.1], [0.6, 0.4, 0.0]),  # Martins & Astudillo's own example is of this kind
        ([-100.0, 0.2, 0.0, 0.1], [0.0, 13 / 30, 7 / 30, 1 / 3]),
    ],
)
def test_sparsemax_of_known_cases(energies: list[float], weights: list[float]) -> None:
    assert values(normaliser.sparsemax(scalars(*energies))) == pytest.approx(weights)


def test_hard_takes_the_lowest_of_ties() -> None:
    assert values(normaliser.hard(scalars(1.0, 2.0, 2.0))) == [0, 1, 0]


def test_reinforce_tells_log_prob_and_entropy_of_what_it_drew() -> None:
    energies = scalars(math.log(0.5), math.log(0.25), math.log(0.25))
    weights, log_prob, entropy = normaliser.reinforce(energies, scalars(0.0, 0.0, 5.0))
    assert values(weights) == [0, 0, 1]
    assert log_prob is not None
    assert entropy is not None
    assert log_prob.item() == pytest.approx(math.log(0.25))
    assert entropy.item() == pytest.approx(1.5 * math.log(2))


def test_windows_of_known_cases() -> None:
    q = torch.zeros(2, dtype=torch.float64)
    assert window(config.GlobalWindow(), {}, q, 7, 3, None) == ([0, 1, 2], None)
    assert window(config.GlobalWindow(), {}, q, 7, 3, 2) == ([0, 1], None)
    assert window(config.LocalM(half_width=1), {}, q, 0, 5, None)[0] == [0, 1]
    assert window(config.LocalM(half_width=1), {}, q, 3, 5, None)[0] == [2, 3, 4]
    assert window(config.LocalM(half_width=1), {}, q, 9, 5, None)[0] == [3, 4]
    p = {"hidden.weight": torch.zeros(2, 2).double(), "v.weight": torch.zeros(1, 2).double()}
    visible, gains = window(config.LocalP(half_width=1), p, q, 0, 6, None)  # p_t = 5/2, of which ⌊p_t + ½⌋ = 3
    assert visible == [2, 3, 4]
    assert gains is not None
    assert values(gains) == pytest.approx([math.exp(-0.5), math.exp(-0.5), math.exp(-4.5)])


@pytest.mark.parametrize(("cell", "function"), [(nn.GRUCell, gru), (nn.LSTMCell, lstm)])
def test_cells_are_torchs(cell: type[nn.GRUCell] | type[nn.LSTMCell], function: object) -> None:
    module = fill(cell(3, 4).double())
    p = {f"{name}_l0": value for name, value in module.named_parameters()}
    x, state = numbers(3), (numbers(4, offset=1.0), numbers(4, offset=2.0))[: 2 if cell is nn.LSTMCell else 1]
    expected = module(x, state if cell is nn.LSTMCell else state[0])
    actual = function(p, x, state)
    for part, wanted in zip(actual, expected if cell is nn.LSTMCell else (expected,), strict=True):
        torch.testing.assert_close(part, wanted, rtol=1e-12, atol=1e-12)


def test_a_widened_cell_takes_both_inputs() -> None:
    module = fill(nn.GRUCell(3, 4).double())
    p = {f"{name}_l0": value for name, value in module.named_parameters()}
    narrow = {**p, "weight_ih_l0": p["weight_ih_l0"][:, :2]}
    again = widened(narrow, p["weight_ih_l0"][:, 2:])
    assert torch.equal(again["weight_ih_l0"], p["weight_ih_l0"])
    assert under({"a.b": 1, "ab.c": 2}, "a") == {"b": 1}


def test_attention_of_a_hand_computed_case() -> None:
    """q = 1, h = (0, ln 3): weights 1/4 and 3/4, context ¾ ln 3."""
    options = config.Attention(config.Before(), config.Dot(), config.GlobalWindow(), config.Softmax(), 1)
    states = [torch.tensor([0.0]).double(), torch.tensor([math.log(3)], dtype=torch.float64)]
    seen = attend(options, {}, torch.ones(1).double(), states, 0)
    assert seen.weights[0].tolist() == pytest.approx([0.25, 0.75])
    assert seen.context.item() == pytest.approx(0.75 * math.log(3))
    again = attend(options, {}, torch.ones(1).double(), states, 1, coverage=seen.coverage)
    assert again.coverage[0].tolist() == pytest.approx([0.5, 1.5])


def test_every_name_has_a_reference() -> None:
    assert list(SCORES) == names(config.Score)
    assert list(PLACEMENTS) == names(config.Placement)
