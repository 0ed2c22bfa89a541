"""What attention does in a forced pass, and what local windows hide."""

import math
from typing import Any

import pytest
import torch
from support.variants import (
    DEFAULT,
    SMALL,
    attention_inputs,
    build_attention,
    build_model,
    one_by_one_rows,
    run_attention,
)

from seq2seq.attention.attention import Attention, AttentionOutput
from seq2seq.attention.window import Global
from seq2seq.inference.forced_scores import force_tokens
from seq2seq.inference.health import Health, HealthAccumulator, OutsideWindow, verdicts
from seq2seq.inference.measurement import measure_attention, recording_outside
from seq2seq.inference.windows import attention_windows

SOURCES = [[4, 5, 6, 7, 8, 5, 4, 3], [3], [6, 4, 3], [8, 3]]
TARGETS = [[5, 4, 3], [4, 7, 7, 7, 8, 3], [3], [6, 8, 8, 4, 4, 5, 3]]
LOCAL = ("local_m", "local_p")
OUTSIDE = ("outside", "outside_evenly")


@pytest.mark.parametrize("normaliser", ["softmax", "sparsemax", "hard", "gumbel", "reinforce"])
@pytest.mark.parametrize("score", ["general", "additive-coverage=True", "location"])
@pytest.mark.parametrize("name", LOCAL)
def test_windows_hide_what_a_global_attention_would_see_outside(name: str, score: str, normaliser: str) -> None:
    local = build_attention({"score": score, "window": name, "normaliser": normaliser, "heads": 2})
    everywhere = Attention(local.heads, local.score, Global(), local.normaliser).eval()
    inputs = attention_inputs()
    query, states, lengths, positions = inputs
    with torch.no_grad(), recording_outside(local) as hidden:
        steps = run_attention(local, inputs)
    seen = AttentionOutput.concatenate(steps)
    assert seen.centre is not None
    weight = torch.cat([of_step.weight for of_step in hidden], -1)
    share = torch.cat([of_step.positions for of_step in hidden], -1)
    everywhere.requires_grad_(False)
    memory = everywhere.prepare(states, states, lengths)
    coverage = everywhere.initial_coverage(memory)
    width = SMALL[name]["half_width"]
    for t in range(query.size(1)):
        now = slice(t, t + 1)
        whole = everywhere(query[:, now], memory, positions[:, now], coverage=coverage).weights[:, :, 0]  # [b h s]
        for b, size in enumerate(lengths.tolist()):
            reach = min(size, SMALL["location"]["max_length"]) if score == "location" else size
            middle = math.floor(float(seen.centre[b, t]) + 0.5)
            outside = [i for i in range(reach) if abs(i - middle) > width]
            torch.testing.assert_close(weight[b, :, t], whole[b, :, outside].sum(-1))
            assert float(share[b, t]) == pytest.approx(len(outside) / reach)
        if coverage is not None:
            coverage = steps[t].coverage  # of the local attention: that is whose energies are meant
    assert weight.max() > 0.1


@pytest.mark.parametrize("row", one_by_one_rows(), ids=str)
def test_a_forced_pass_is_that_of_the_other_commands(row: dict[str, Any]) -> None:
    model = build_model(row)
    found = measure_attention(model, SOURCES, TARGETS, 2)
    forced = force_tokens(model, SOURCES, TARGETS, 3)
    windows = attention_windows(model, SOURCES, TARGETS, 3) or [None] * len(SOURCES)
    accumulator = HealthAccumulator()
    for (_, attention), of_sentence in zip(forced, windows, strict=True):
        accumulator.add(attention, of_sentence)
    expected = accumulator.health()
    if expected is None:
        assert found is None
        return
    assert found is not None
    for ours, theirs in zip([found.together, *found.heads], [expected.together, *expected.heads], strict=True):
        assert {name: value for name, value in ours.items() if name not in OUTSIDE} == pytest.approx(theirs, abs=1e-5)
        assert ("outside" in ours) == (row["window"] in LOCAL)


def test_the_attention_is_left_as_it_was() -> None:
    model = build_model({**DEFAULT, "window": "local_p"})
    attention = model.decoder.attention
    assert isinstance(attention, Attention)
    with recording_outside(attention):
        assert attention._forward_hooks
    assert not attention._forward_hooks
    with pytest.raises(IndexError):  # tokens that the vocabulary has not
        measure_attention(model, SOURCES, [[99, 3]] * len(SOURCES), 2)
    assert not attention._forward_hooks


def test_a_window_that_misses_the_weight_is_named() -> None:
    def of(weight: float) -> Health:
        accumulator = HealthAccumulator()
        rows = torch.full((2, 3, 8), 0.0)
        rows[:, torch.arange(3), torch.arange(3)] = 1.0
        accumulator.add(rows, None, OutsideWindow(torch.full((2, 3), weight), torch.full((3,), 0.4)))
        found = accumulator.health()
        assert found is not None
        return found

    assert of(0.75).together["outside"] == pytest.approx(0.75)
    assert of(0.75).heads[1]["outside_evenly"] == pytest.approx(0.4)
    (verdict,) = verdicts(of(0.75))
    assert "window=global" in verdict
    assert not verdicts(of(0.45))
