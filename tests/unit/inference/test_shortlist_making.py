"""Shortlists count what the attention aligns, in bounded memory."""

from collections import defaultdict
from collections.abc import Sequence

import pytest
import torch
from support.searches import SOURCES
from support.variants import DEFAULT, VOCAB, build_model

from seq2seq.inference import shortlist_making
from seq2seq.inference.forced_scores import force_tokens
from seq2seq.inference.shortlist_making import Links, make_shortlist
from seq2seq.text.tokenizer import EOS


def test_the_table_is_the_sum_of_the_attention() -> None:
    model = build_model(DEFAULT)
    targets = [[5, 6, 4, 3], [3], [4, 4, 3], [8, 7, 3], [6, 3]]
    sums: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for source, target, (_, attention) in zip(SOURCES, targets, force_tokens(model, SOURCES, targets, 3), strict=True):
        assert attention is not None
        for said, row in zip(target, attention.mean(0).tolist(), strict=True):
            for piece, weight in zip(source, row, strict=True):
                sums[piece][said] += weight if weight >= 0.02 else 0.0
    table = make_shortlist(model, SOURCES, targets, 3, batch_size=2)
    assert table.candidates.shape == (VOCAB, 3)
    for piece in range(VOCAB):
        best = sorted(sums[piece], key=lambda token, piece=piece: -sums[piece][token])[:3]
        assert table.candidates[piece].tolist() == best + [EOS] * (3 - len(best))
    assert table.frequent.tolist()[:2] == [3, 4]


def test_the_rarer_links_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist_making, "_MAX_LINKS", 20)
    sizes = []
    merged = shortlist_making._merged

    def measured(parts: Sequence[Links]) -> Links:
        sizes.append(sum(len(numbers) for numbers, _ in parts))
        return merged(parts)

    monkeypatch.setattr(shortlist_making, "_merged", measured)
    links = ((torch.tensor([number, 7, 150]), torch.tensor([0.5, 1.0, 0.7])) for number in range(200))
    numbers, sums = (side.numpy() for side in shortlist_making._summed(links))
    assert max(sizes) <= 20 + 3
    assert {7, 150} <= set(numbers.tolist())
    assert sums[numbers == 7][0] == pytest.approx(200.5)
