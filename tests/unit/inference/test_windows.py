"""Windows and their centres are the papers', whether steps run together or one by one."""

import math
from typing import Any

import pytest
import torch
from reference.parameters import parameters_of, under
from reference.window import window
from support.variants import (
    DEFAULT,
    PLACEMENTS,
    SMALL,
    attention_inputs,
    attention_options,
    build_attention,
    build_model,
    label,
    run_attention,
)
from torch import Tensor

from seq2seq.attention.attention import AttentionOutput
from seq2seq.inference.forced_scores import force_tokens
from seq2seq.inference.weights import AttentionWindow
from seq2seq.inference.windows import attention_windows
from seq2seq.model.quantised import quantise
from seq2seq.text.tokenizer import BOS

SOURCES = [[4, 5, 6, 7, 8, 5, 4, 3], [3], [6, 4, 3], [8, 3]]
TARGETS = [[5, 4, 3], [4, 7, 7, 7, 8, 3], [3], [6, 8, 8, 4, 4, 5, 7]]
HALF_WIDTH = SMALL["local_p"]["half_width"]
ATTENDING = [name for name in PLACEMENTS if not name.startswith("none")]
ROWS: list[dict[str, Any]] = [
    {**DEFAULT, "window": local, "placement": placement, "score": score}
    for local in ("local_m", "local_p")
    for placement in ATTENDING
    for score in ("additive", "location")
]


def test_half_widths_are_the_same() -> None:
    assert SMALL["local_m"]["half_width"] == HALF_WIDTH


def centre_of_paper(name: str, hidden: Tensor, v: Tensor, q: Tensor, t: int, size: int, reach: int) -> float:
    """p_t of Luong 2015, section 3.2, positions from 0, held to what the score can reach."""
    if name == "local_m":
        return min(t, reach - 1)
    inner = sum(float(v[0, i]) * math.tanh(float(hidden[i] @ q)) for i in range(len(q)))
    return min((size - 1) / (1 + math.exp(-inner)), reach - 1)


@pytest.mark.parametrize("score", ["dot", "location"])
@pytest.mark.parametrize("name", ["local_m", "local_p"])
def test_attention_tells_the_centre_and_sees_what_lies_around_it(name: str, score: str) -> None:
    row = {"score": score, "window": name, "normaliser": "softmax", "heads": 2}
    attention, inputs = build_attention(row), attention_inputs()
    query, _, lengths, positions = inputs
    seen = AttentionOutput.concatenate(run_attention(attention, inputs))
    p = {name: weight.detach() for name, weight in under(parameters_of(attention), "window").items()}
    limit = SMALL["location"]["max_length"] if score == "location" else None
    assert seen.centre is not None
    for b, size in enumerate(lengths.tolist()):
        for t in range(query.size(1)):
            reach = size if limit is None else min(size, limit)
            where = int(positions[b, t])
            nothing = torch.zeros(1, 1)
            expected = centre_of_paper(
                name, p.get("hidden.weight", nothing), p.get("v.weight", nothing), query[b, t], where, size, reach
            )
            assert float(seen.centre[b, t].detach()) == pytest.approx(expected, abs=1e-12)
            visible, _ = window(attention_options(row).window, p, query[b, t], where, size, limit)
            middle = math.floor(expected + 0.5)
            assert visible == list(range(max(middle - HALF_WIDTH, 0), min(middle + HALF_WIDTH, reach - 1) + 1))


@torch.no_grad()
def stepped(model: Any, source: list[int], target: list[int]) -> list[float]:
    """The centres of one sentence alone, a step at a time."""
    memory, state = model.encode(torch.tensor([source]), torch.tensor([len(source)]))
    found = []
    for token in [BOS, *target[:-1]]:
        _, attended, state = model.step(torch.tensor([token]), memory, state)
        found.append(float(attended.centre))
    return found


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_each_token_has_the_window_of_its_step(row: dict[str, Any]) -> None:
    model = build_model(row)
    found = attention_windows(model, SOURCES, TARGETS, batch_size=3)
    assert found is not None
    attention = force_tokens(model, SOURCES, TARGETS, batch_size=4)
    for source, target, windows, (_, weights) in zip(SOURCES, TARGETS, found, attention, strict=True):
        assert [one.centre for one in windows] == pytest.approx(stepped(model, source, target), abs=1e-12)
        reach = min(len(source), SMALL["location"]["max_length"]) if row["score"] == "location" else len(source)
        assert weights is not None
        for t, one in enumerate(windows):
            if row["window"] == "local_m":
                assert one.centre == min(t, reach - 1)
            middle = math.floor(one.centre + 0.5)
            assert one == AttentionWindow(max(middle - HALF_WIDTH, 0), min(middle + HALF_WIDTH, reach - 1), one.centre)
            seen = weights[:, t].sum(0).nonzero().flatten().tolist()
            assert seen == list(range(one.first, one.last + 1))


def test_batches_and_their_order_change_nothing() -> None:
    model = build_model({**DEFAULT, "window": "local_p"})
    together, alone = (
        attention_windows(model, SOURCES, TARGETS, 64),
        attention_windows(model, SOURCES[::-1], TARGETS[::-1], 1),
    )
    assert together is not None
    assert alone is not None
    for one, other in zip(together, alone[::-1], strict=True):
        assert [(w.first, w.last) for w in one] == [(w.first, w.last) for w in other]
        assert [w.centre for w in one] == pytest.approx([w.centre for w in other], abs=1e-12)


def test_where_nothing_is_local_there_are_no_windows() -> None:
    assert attention_windows(build_model(DEFAULT), SOURCES, TARGETS, 3) is None
    assert attention_windows(build_model({**DEFAULT, "placement": "none"}), SOURCES, TARGETS, 3) is None
    assert attention_windows(build_model({**DEFAULT, "window": "local_m"}), [], [], 3) == []


@pytest.mark.parametrize("local", ["local_m", "local_p"])
def test_in_bf16_too_positions_are_counted_exactly(local: str) -> None:
    model = build_model({**DEFAULT, "window": local, "score": "dot"}).float()
    found = attention_windows(quantise(model, "bf16"), [[4] * 400 + [3]], [[5] * 300], 1)
    assert found is not None
    if local == "local_m":
        assert [one.centre for one in found[0]] == list(range(300))
    assert all(one.last - one.first == 2 * HALF_WIDTH for one in found[0] if 2 < one.centre < 398)
