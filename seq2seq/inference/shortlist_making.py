"""Making a lexical shortlist: which target pieces a model aligns to each source piece.

Shapes: b batch, t target, s source, l links.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from seq2seq.inference.teacher_forcing import PairBatch, Tokens, forced_batches
from seq2seq.model.translation import TranslationModel
from seq2seq.search.shortlist import Shortlist
from seq2seq.text.protection import common
from seq2seq.text.tokenizer import EOS, PAD, Tokenizer

Pair = tuple[str, str]
Links = tuple[Tensor, Tensor]
"""Number of a pair of pieces, and its weight, for each of some links [l]"""

_MIN_WEIGHT = 0.02
"""Smaller weights make no link: each pair has many, and they are noise."""
_MAX_LINKS = 1 << 24
"""Pairs of pieces that are counted at a time; of more, the rarer half is forgotten."""


def draw(pairs: Iterable[Pair], size: int | None, seed: int) -> Sequence[Pair]:
    """Draw so many of the pairs, all equally likely (Vitter 1985, algorithm R); None: take all."""
    generator = np.random.default_rng(seed)
    drawn: list[Pair] = []
    for number, pair in enumerate(pairs):
        if size is None or number < size:
            drawn.append(pair)
        elif (place := int(generator.integers(number + 1))) < size:
            drawn[place] = pair
    return drawn


def encode(source: Tokenizer, target: Tokenizer, pairs: Sequence[Pair], max_length: int) -> tuple[Tokens, Tokens]:
    """Return the tokens of both sides, EOS included, of the pairs that have at most `max_length` on each."""
    shared = [common(source.protected(s), target.protected(t)) for s, t in pairs]
    sides = source.encode([s for s, _ in pairs], shared), target.encode([t for _, t in pairs], shared)
    short = [pair for pair in zip(*sides, strict=True) if max(map(len, pair)) <= max_length]
    return [s for s, _ in short], [t for _, t in short]


def make_shortlist(
    model: TranslationModel, sources: Tokens, targets: Tokens, candidates: int, batch_size: int
) -> Shortlist:
    """Count what the model's attention aligns in pairs of tokens, EOS included. The model has to have attention."""
    source_size, target_size = model.source_embedding.num_embeddings, len(model.output.bias)
    candidates = min(candidates, target_size)

    def read(batch: PairBatch) -> list[Links]:
        weights = batch.decode(model).attended.to_dense(batch.source.size(1))
        assert weights is not None
        seen = weights.float().mean(1).cpu() * (batch.targets != PAD)[..., None]  # [b t s]
        b, t, s = torch.nonzero(seen >= _MIN_WEIGHT, as_tuple=True)
        return [(batch.source[b, s] * target_size + batch.targets[b, t], seen[b, t, s])]

    batches = forced_batches(model, sources, targets, batch_size, read)
    numbers, sums = (side.numpy() for side in _summed(chain.from_iterable(links for _, links in batches)))
    order = np.lexsort((-sums, numbers // target_size))  # the links of each source piece together, best first
    source, target = np.divmod(numbers[order], target_size)
    rank = np.arange(len(order)) - np.searchsorted(source, source)
    best = rank < candidates
    table = np.full((source_size, candidates), EOS, np.int32)
    table[source[best], rank[best]] = target[best]
    frequency = np.bincount(np.concatenate([np.asarray(tokens) for tokens in targets]), minlength=target_size)
    return Shortlist(table, np.argsort(-frequency, kind="stable")[:candidates].astype(np.int32))


def _summed(links: Iterable[Links]) -> Links:
    """Sum the weights of each pair of pieces, in ascending order. Memory is bounded, whatever the vocabularies."""
    parts: list[Links] = []
    for part in links:
        parts.append(part)
        if sum(len(numbers) for numbers, _ in parts) > _MAX_LINKS:
            parts = [_merged(parts)]
    return _merged(parts)


def _merged(parts: Sequence[Links]) -> Links:
    numbers, weights = map(torch.cat, zip(*parts, strict=True))
    numbers, place = torch.unique(numbers, return_inverse=True)
    sums = torch.zeros(len(numbers)).index_add_(0, place, weights)
    if len(numbers) > _MAX_LINKS // 2:
        kept = sums.topk(_MAX_LINKS // 2).indices.sort().values
        numbers, sums = numbers[kept], sums[kept]
    return numbers, sums
