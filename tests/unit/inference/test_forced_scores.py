"""Forced decoding says what search said, a row for each value of each axis."""

from typing import Any

import pytest
import torch
from support.searches import SOURCES, every_search, search
from support.variants import build_model, label, one_by_one_rows, set_dropout

from seq2seq.inference import teacher_forcing
from seq2seq.inference.forced_scores import force_tokens
from seq2seq.model.translation import TranslationModel
from seq2seq.search.protocol import Hypothesis
from seq2seq.text.tokenizer import EOS

ROWS = one_by_one_rows()


def searched(model: TranslationModel, size: int) -> list[tuple[list[int], Hypothesis]]:
    return [(source, h) for source, ranked in zip(SOURCES, search(model, SOURCES, size), strict=True) for h in ranked]


def test_the_rows_are_as_many_as_they_were() -> None:
    assert len(ROWS) == 79


@every_search(ROWS)
def test_scores_and_attention_are_those_of_search(row: dict[str, Any], size: int) -> None:
    model = build_model(row)
    found = searched(model, size)
    said = force_tokens(model, [source for source, _ in found], [h.tokens for _, h in found], batch_size=3)
    for (source, hypothesis), (scores, attention) in zip(found, said, strict=True):
        torch.testing.assert_close(scores, hypothesis.token_scores, rtol=1e-9, atol=1e-9)
        assert (attention is None) == (hypothesis.attention is None) == row["placement"].startswith("none")
        if attention is not None:
            assert attention.shape[1:] == (len(hypothesis.tokens), len(source))
            torch.testing.assert_close(attention, hypothesis.attention, rtol=1e-5, atol=1e-6)


def test_in_single_precision_the_scores_agree_to_1e_4() -> None:
    for row in ROWS:
        model = build_model(row).float()
        found = searched(model, 3)
        said = force_tokens(model, [source for source, _ in found], [h.tokens for _, h in found], batch_size=64)
        for (_, hypothesis), (scores, _) in zip(found, said, strict=True):
            assert sum(scores) == pytest.approx(hypothesis.score, abs=1e-4), label(row)


def test_nothing_is_dropped_while_scores_are_forced() -> None:
    model = build_model(ROWS[0])
    expected = force_tokens(model, SOURCES, SOURCES, batch_size=3)
    set_dropout(model, 0.5)
    for (scores, _), (wanted, _) in zip(force_tokens(model.train(), SOURCES, SOURCES, 3), expected, strict=True):
        assert scores == wanted


def test_some_hypotheses_end_and_some_do_not() -> None:
    last = [h.tokens[-1] == EOS for row in ROWS[:5] for _, h in searched(build_model(row), 3)]
    assert 0 < sum(last) < len(last)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_batches_order_and_the_size_of_a_projection_change_nothing(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(ROWS[0])
    sources = [*SOURCES, [4, 3]]
    targets = [[5, 4, 3], [4, 7, 7, 7, 8, 3], [3], [6], [8, 8, 3], [4, 4, 4, 4]]
    together = force_tokens(model, sources, targets, 3)
    monkeypatch.setattr(teacher_forcing, "_ROWS", 2)
    turned = force_tokens(model, sources[::-1], targets[::-1], batch_size)[::-1]
    for (scores, attention), (other_scores, other_attention), target in zip(together, turned, targets, strict=True):
        assert len(scores) == len(target)
        torch.testing.assert_close(scores, other_scores, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(attention, other_attention, rtol=1e-5, atol=1e-6)


def test_nothing_forced_gives_nothing() -> None:
    assert force_tokens(build_model(ROWS[0]), [], [], 3) == []
