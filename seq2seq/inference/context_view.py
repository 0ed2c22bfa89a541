"""What a context-aware model looked at in the sentences before: how much at which sentence, and at which word of it.

Shapes: t source tokens, s tokens of a sentence before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from seq2seq.inference.heatmap import Heatmap
from seq2seq.inference.models import TrainedModels
from seq2seq.inference.out_of_memory import in_halves_that_fit
from seq2seq.inference.translation import Translation
from seq2seq.inference.weights import Weights
from seq2seq.text.batches import pad
from seq2seq.text.context import gather

_GATE = "λ"
"""Name of the column of the gate"""


@dataclass(frozen=True, eq=False)
class ContextView:
    """The context of one sentence, and the weights of its parts."""

    source: str
    source_tokens: list[str]
    sentences: tuple[str, ...]
    """The sentences before, in the order of the text"""
    tokens: list[list[str]]
    """The pieces of each"""
    gate: Weights
    """[t]: how much of a token's state is its own sentence's alone"""
    weights: list[Weights]
    """[t s] of each sentence: the weight of its words; all sentences together sum to 1 at each token"""

    def heatmap(self) -> Heatmap:
        """A row for each source token: the gate, then the weights of the words before."""
        matrix = np.concatenate([self.gate[:, None], *self.weights], 1)
        columns = [_GATE, *(token for tokens in self.tokens for token in tokens)]
        texts, names = (" ".join(self.sentences), self.source), (columns, self.source_tokens)
        return Heatmap(*texts, *names, matrix[None], scores=[], score=0.0, part="context")


def view_context(
    models: TrainedModels, results: Sequence[Translation], precision: str, batch_size: int
) -> list[ContextView | None]:
    """Return what each source looked at; None without context, and for an ensemble, whose models look each."""
    views: list[ContextView | None] = [None] * len(results)
    if len(models.members) > 1 or models.model.context is None:
        return views
    rows = [row for row, result in enumerate(results) if result.context and result.source_tokens]
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        found = in_halves_that_fit(lambda part: _view(models, [results[row] for row in part], precision), chosen)
        for row, view in zip(chosen, found, strict=True):
            views[row] = view
    return views


@torch.inference_mode()
def _view(models: TrainedModels, results: Sequence[Translation], precision: str) -> list[ContextView]:
    (sources,) = models.read([result.source for result in results], [result.context for result in results])
    context = gather(sources, pad)
    assert context is not None
    (model,) = models.models(precision)
    tokens, lengths = (x.to(models.device) for x in pad(sources))
    looked = model.look_at_context(tokens, lengths, context.to(models.device))
    gates, by_sentence, by_word = (x.double().cpu().numpy() for x in vars(looked).values())
    views = []
    for row, (result, source) in enumerate(zip(results, sources, strict=True)):
        t, k = len(source), len(source.before)
        weights = [
            by_sentence[row, :t, j, None] * by_word[row, :t, j, : len(source.before[j])] for j in reversed(range(k))
        ]
        pieces = [models.source.pieces(before) for before in reversed(source.before)]
        sentences = result.context[len(result.context) - k :]
        views.append(
            ContextView(result.source, models.source.pieces(source), sentences, pieces, gates[row, :t], weights)
        )
    return views
