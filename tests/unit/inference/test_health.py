"""Numbers about attention, against ones computed by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seq2seq.inference.health import QUANTITIES, Health, HealthAccumulator, OutsideWindow, measure, verdicts
from seq2seq.inference.weights import AttentionWindow

ROWS = torch.tensor([[[0.25, 0.75, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
"""One head: the second word and a bit of the first, the first word, EOS."""


def health(*attentions: Tensor | None, windows: list[AttentionWindow] | None = None) -> Health:
    accumulator = HealthAccumulator()
    for attention in attentions:
        accumulator.add(attention, windows)
    found = accumulator.health()
    assert found is not None
    return found


def test_one_head_as_computed_by_hand() -> None:
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    found = health(ROWS)
    assert found.heads == [found.together]
    assert found.together == pytest.approx(
        {
            "entropy": entropy / 3,
            "relative_entropy": entropy / math.log(3) / 3,
            "largest": (0.75 + 1 + 1) / 3,
            "movement": (0.75 + 1) / 2,
            "backward": 1 / 2,
            "on_eos": 1 / 3,
            "received": (1.25 + 0.75) / 2,
            "covered": 1.0,
            "imbalance": 0.25,
        }
    )


def test_a_step_that_stays_does_not_go_back() -> None:
    assert health(torch.eye(5)[[0, 0, 3, 1, 1, 4]][None]).together["backward"] == pytest.approx(1 / 5)


def test_heads_are_measured_each_and_as_their_mean() -> None:
    first, second = torch.tensor([[1.0, 0, 0], [1, 0, 0]]), torch.tensor([[0.0, 1, 0], [0, 0, 1]])
    found = health(torch.stack([first, second]))
    assert [head["entropy"] for head in found.heads] == [0, 0]
    assert found.together["entropy"] == pytest.approx(math.log(2))
    assert [head["movement"] for head in found.heads] == [0, 1]
    assert found.together["movement"] == pytest.approx(0.5)
    assert [head["received"] for head in found.heads] == [1.0, 0.5]
    assert [head["covered"] for head in found.heads] == [0.5, 0.5]
    assert found.together["covered"] == 1.0
    assert [head["imbalance"] for head in found.heads] == [1.0, 0.5]


def test_windows_as_computed_by_hand() -> None:
    weights = torch.tensor([[[0.1, 0.3, 0.0, 0.0, 0.0], [0.0, 0.2, 0.2, 0.4, 0.0], [0.0, 0.0, 0.0, 0.5, 0.5]]])
    windows = [AttentionWindow(0, 1, 0.3), AttentionWindow(1, 3, 2.0), AttentionWindow(3, 4, 4.0)]
    values = health(weights, windows=windows).together
    assert values["width"] == pytest.approx((2 + 3 + 2) / 3)
    assert values["at_ends"] == pytest.approx(2 / 3)
    assert values["lost"] == pytest.approx((0.6 + 0.2 + 0) / 3)
    # The first word is no end that cuts the source off, and neither is EOS.
    assert values["edge"] == pytest.approx((0.75 + (0.25 + 0.5) + 0.5) / 3)
    assert values["edge_evenly"] == pytest.approx((1 / 2 + 2 / 3 + 1 / 2) / 3)
    first, second = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)), -(0.5 * math.log(0.25) + 0.5 * math.log(0.5))
    assert values["entropy"] == pytest.approx((first + second + math.log(2)) / 3)
    expected = first / math.log(2) + second / math.log(3) + 1
    assert values["relative_entropy"] == pytest.approx(expected / 3)
    # What was lost is not given to anybody.
    assert values["received"] == pytest.approx((0.1 + 0.5 + 0.2 + 0.9) / 4)


def test_a_window_of_one_position_has_one_end() -> None:
    weights = torch.eye(3)[None]
    values = health(weights, windows=[AttentionWindow(i, i, i) for i in range(3)]).together
    assert values["edge"] == values["edge_evenly"] == 1
    assert "relative_entropy" not in values


def test_a_test_set_is_the_mean_over_its_steps_and_source_tokens() -> None:
    longer = torch.full((1, 1, 5), 0.2)
    values = health(ROWS, None, longer, torch.zeros(1, 0, 4)).together
    one = health(ROWS).together
    assert values["entropy"] == pytest.approx((3 * one["entropy"] + math.log(5)) / 4)
    assert values["relative_entropy"] == pytest.approx((3 * one["relative_entropy"] + 1) / 4)
    assert values["movement"] == one["movement"]  # one step has none before it
    assert values["covered"] == pytest.approx(2 / 6)
    assert values["imbalance"] == pytest.approx((2 * 0.25 + 4 * 0.8) / 6)


def test_without_attention_there_is_nothing_to_say() -> None:
    accumulator = HealthAccumulator()
    accumulator.add(None)
    assert accumulator.health() is None


@settings(deadline=None, max_examples=50)
@given(
    h=st.integers(1, 3), t=st.integers(1, 6), s=st.integers(1, 7), sharp=st.floats(0, 1e3), seed=st.integers(0, 10**6)
)
def test_values_stay_in_their_range(h: int, t: int, s: int, sharp: float, seed: int) -> None:
    energies = torch.randn(h, t, s, generator=torch.Generator().manual_seed(seed))
    found = health((sharp * energies).softmax(-1))
    assert len(found.heads) == h
    assert verdicts(found) is not None
    for values in (found.together, *found.heads):
        for name in ("relative_entropy", "largest", "movement", "backward", "on_eos", "covered"):
            assert -1e-6 <= values.get(name, 0.5) <= 1 + 1e-6, name
        if s > 1:
            assert values["received"] * (s - 1) + values["on_eos"] * t == pytest.approx(t, rel=1e-5)


def test_every_quantity_is_explained_and_measured() -> None:
    hidden = OutsideWindow(torch.zeros(len(ROWS), 3), torch.zeros(3))
    assert measure(ROWS, [AttentionWindow(0, 2, 1.0)] * 3, hidden).keys() == QUANTITIES.keys()


def diagonal(size: int) -> Tensor:
    return torch.eye(size)[None]


@pytest.mark.parametrize(
    ("attention", "complaint"),
    [
        (torch.full((1, 6, 6), 1 / 6), "The attention is almost uniform"),
        (torch.full((2, 6, 6), 1 / 6), "All heads are almost uniform"),
        (torch.cat([diagonal(6), torch.full((2, 6, 6), 1 / 6)]), "Heads 2, 3 are almost uniform"),
        (torch.cat([torch.full((1, 6, 6), 1 / 6), diagonal(6)]), "Head 1 is almost uniform"),
        (torch.eye(6)[[2] * 6][None], "The attention is almost the same at every step"),
        (torch.eye(6)[[5, 5, 1, 5, 2, 5]][None], "67% of the weight is on </s>"),
        (torch.eye(6)[[0, 1, 0, 1, 0, 5]][None], "60% of the source's tokens get hardly any weight"),
    ],
)
def test_what_is_surely_wrong_is_said(attention: Tensor, complaint: str) -> None:
    assert any(verdict.startswith(complaint) for verdict in verdicts(health(attention)))


def test_windows_that_miss_are_named() -> None:
    windows = [AttentionWindow(i, i + 4, i + 2) for i in range(4)]
    faint, outside = torch.zeros(1, 4, 9), torch.zeros(1, 4, 9)
    for i in range(4):
        faint[0, i, i + 2] = 0.3
        outside[0, i, i + 4] = 1.0
    assert any("70% of the weight is lost" in verdict for verdict in verdicts(health(faint, windows=windows)))
    stuck = [
        AttentionWindow(0, 2, 0.4),
        AttentionWindow(0, 2, 0.4),
        AttentionWindow(6, 8, 7.6),
        AttentionWindow(1, 3, 2.0),
    ]
    assert any("75% of the windows are centred" in verdict for verdict in verdicts(health(faint, windows=stuck)))
    (verdict,) = [v for v in verdicts(health(outside, windows=windows)) if "half_width" in v]
    assert verdict.startswith("100% of the weight is at the ends of the window, 35% if it were uniform")


@pytest.mark.parametrize("attention", [diagonal(7), torch.cat([diagonal(7)] * 2), 0.8 * diagonal(7) + 0.2 / 7])
def test_nothing_is_said_of_sound_attention(attention: Tensor) -> None:
    assert verdicts(health(attention)) == []
    windows = [AttentionWindow(max(i - 2, 0), min(i + 2, 6), i) for i in range(7)]
    assert verdicts(health(attention, windows=windows)) == []


def test_uniform_attention_is_named_once() -> None:
    assert len(verdicts(health(torch.full((1, 6, 6), 1 / 6)))) == 1


def test_few_target_tokens_can_not_cover_many_source_tokens() -> None:
    assert verdicts(health(torch.eye(9)[[0, 4, 8]][None])) == []
