"""Search with real models: a few sentences, and what holds hypotheses in."""

from collections.abc import Sequence

import pytest
import torch

from seq2seq.model.translation import TranslationModel
from seq2seq.search.beam import beam
from seq2seq.search.greedy import greedy
from seq2seq.search.protocol import Hypothesis, Limits, Ranking
from seq2seq.search.shortlist import Selection
from seq2seq.search.stepper import ModelStepper
from seq2seq.text.tokenizer import BOS, PAD
from support.variants import BASES, Row, label

SOURCES = [[4, 5, 6, 7, 8, 3], [3], [6, 4, 3], [8, 3], [5, 5, 5, 5, 3]]
LIMITS = Limits(forbidden=[PAD, BOS], max_length=6, max_length_ratio=2.0)
RANKING = Ranking("wu", 0.6)


def every_search(rows: Sequence[Row]) -> pytest.MarkDecorator:
    """Run a test of `row` and `size`: a beam with each row, and greedy search with the default of each architecture."""
    cases = [(row, 3) for row in rows] + [(row, 1) for row in rows if row in BASES]
    return pytest.mark.parametrize(("row", "size"), cases, ids=[f"{size}-{label(row)}" for row, size in cases])


def search(
    model: TranslationModel,
    sources: Sequence[Sequence[int]],
    size: int,
    *,
    limits: Limits = LIMITS,
    n_best: int = 2,
    selection: Selection | None = None,
    prefixes: list[list[int]] | None = None,
) -> list[list[Hypothesis]]:
    """For each source the one hypothesis of greedy search (size 1), or the best of a beam."""
    stepper = ModelStepper(model, torch.device("cpu"), selection)
    if size == 1:
        return greedy(stepper, sources, limits, RANKING, prefixes)
    return beam(stepper, sources, limits, RANKING, size, n_best, prefixes)
