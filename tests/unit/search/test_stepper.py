"""What search is given of a model: hypotheses that share the memory of their sentence."""

import random
from typing import Any

import pytest
import torch
from support.searches import SOURCES
from support.variants import build_model, label, one_by_one_rows
from torch import Tensor

from seq2seq.search import stepper
from seq2seq.search.stepper import ModelStepper
from seq2seq.text.batches import pad

ROWS = one_by_one_rows()


def label_of(value: Any) -> str:
    return label(value) if isinstance(value, dict) else str(value)


def same(one: Tensor | None, other: Tensor | None) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def selections(seed: int) -> list[list[int]]:
    """Rows of each step: repeated, left out and in any order, until few sentences are left."""
    generator, rows, found = random.Random(seed), len(SOURCES), []
    for most in (9, 12, 12, 7, 5, 3, 1):
        found.append([generator.randrange(rows) for _ in range(generator.randint(1, most))])
        rows = len(found[-1])
    return found


@pytest.mark.parametrize(
    ("row", "share"), [*((row, 0.75) for row in ROWS), (ROWS[0], 0.0), (ROWS[0], 2.0)], ids=label_of
)
def test_a_shared_memory_is_as_good_as_one_for_each_row(
    row: dict[str, Any], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stepper, "_WORTH_KEEPING", share)  # never, sometimes, always let go
    model = build_model(row)
    lazy = ModelStepper(model, torch.device("cpu"))
    state = lazy.start(SOURCES)
    memory, own = model.encode(*pad(SOURCES))
    tokens = torch.full((len(SOURCES),), 2)
    with torch.inference_mode():
        for step, rows in enumerate(selections(len(label(row)))):
            said, state = lazy.step(tokens, state)
            expected, attended, own = model.step(tokens, memory, own)
            same(said, expected)
            weights = attended.to_dense(memory.size)
            same(state.attention, None if weights is None else weights[:, :, 0].float())
            chosen = torch.tensor(rows)
            state, memory, own = state.select(chosen), memory.select(chosen), own.select(chosen)
            tokens = 4 + (torch.arange(len(rows)) + step) % 5
        assert len(state.source.lengths) < len(SOURCES) or share == 0


def test_the_memory_is_copied_only_when_sentences_leave() -> None:
    model = build_model(ROWS[0])
    state = ModelStepper(model, torch.device("cpu")).start(SOURCES)
    values = state.source.memories[0].values
    grown = state.select(torch.arange(5).repeat_interleave(3))
    assert grown.source.memories[0].values is values
    assert grown.select(torch.tensor([2, 0, 1, 4, 8, 11])).source.memories[0].values is values  # four of five sentences
    assert len(grown.select(torch.tensor([0, 3, 6])).source.lengths) == 3
    turned = grown.select(torch.tensor([1, 0, 2, *range(3, 15)]))
    assert turned.source is grown.source
