"""Log-probabilities and attention of given translations.

Shapes: b batch, h heads, t target, s source.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seq2seq.attention.score import full_precision
from seq2seq.inference.models import TrainedModels, check_length
from seq2seq.inference.posterior import POSTERIOR_SIZE, posterior
from seq2seq.inference.teacher_forcing import USUAL_SIZE, PairBatch, Tokens, force_pairs, log_probs
from seq2seq.inference.translation import Translation, in_documents
from seq2seq.model.translation import TranslationModel
from seq2seq.search.ensemble import mean_attention, mean_probability
from seq2seq.search.shortlist import Selection
from seq2seq.text.cleaning import is_blank

Forced = tuple[list[float], Tensor | None]
"""Log-probability of each target token, and attention [h t s]"""


@dataclass(frozen=True)
class SentencePair:
    """A source line and its translation: as a line of text, or as tokens."""

    source: str
    target: str
    tokens: list[str] | None = None
    """Names of pieces to score as they are: without `</s>`, as an unfinished sentence. None: encode `target`."""
    context: tuple[str, ...] = ()
    """The source sentences before it in its document, in the order of the text"""


def pairs_in_documents(
    pairs: Iterable[tuple[str, str]], size: int, begins: Iterable[bool] | None = None
) -> Iterator[SentencePair]:
    """The pairs, each with so many source sentences before it.

    `begins` tells which begin a document; None: those that are blank on both sides.
    """
    known = list(pairs)
    starts = (all(map(is_blank, pair)) for pair in known) if begins is None else begins
    requests = in_documents((source for source, _ in known), size, starts)
    return (SentencePair(*pair, context=request.context) for pair, request in zip(known, requests, strict=True))


@dataclass(frozen=True, eq=False, repr=False)
class ScoredPair(Translation):
    """A given translation, with its log-probabilities and attention; its `rank` is its `score`."""

    as_tokens: bool = False
    """Whether it was given as tokens"""


def score_pairs(
    models: TrainedModels,
    pairs: Sequence[SentencePair],
    batch_size: int = 64,
    precision: str = "fp32",
    shortlist: int | None = None,
    attention: str = "prior",
) -> list[ScoredPair]:
    """Score pairs, in order, with products in this precision. Names of given tokens must be in the vocabulary.

    With a shortlist, each pair has the candidates of a search, and its own tokens. `attention` is the `prior`, which is
    the model's own, or the `posterior` given the tokens. Raises DataError for a side of more than MOST_PIECES.
    """
    filled = [row for row, pair in enumerate(pairs) if not _is_blank(models, pair)]
    lines = [pairs[row].source for row in filled]
    protected = [models.source.protected(line) for line in lines]
    targets = models.target.encode([pairs[row].target for row in filled], protected)
    for place, row in enumerate(filled):
        if (names := pairs[row].tokens) is not None:
            targets[place] = [models.piece_numbers[name] for name in names]
    readings = models.read(lines, [pairs[row].context for row in filled], protected)
    sources = models.of_source(readings)
    for line, *sides in zip(lines, sources, targets, strict=True):
        check_length(max(map(len, sides)), repr(line[:60]))

    def scored(
        pair: SentencePair, source: list[str], target: list[str], scores: list[float], weights: Tensor | None
    ) -> ScoredPair:
        total, dense, given = sum(scores, 0.0), None if weights is None else weights.numpy(), pair.tokens is not None
        sides = pair.source, pair.target
        return ScoredPair(
            *sides, total, total, source, target, scores, dense, shortlist, context=pair.context, as_tokens=given
        )

    results = [scored(pair, [], [], [], None) for pair in pairs]
    forced = _force_all(models, readings, targets, batch_size, precision, shortlist, attention)
    for row, source, target, (scores, weights) in zip(filled, sources, targets, forced, strict=True):
        pieces = models.source.pieces(source), models.target.pieces(target)
        results[row] = scored(pairs[row], *pieces, scores, weights)
    return results


def with_posterior(
    models: TrainedModels, translations: Sequence[Translation], batch_size: int, precision: str
) -> list[Translation]:
    """Replace the attention of translations by the posterior attention given their tokens."""
    pairs = [SentencePair(each.source, each.text, each.tokens, each.context) for each in translations]
    scored = score_pairs(models, pairs, batch_size, precision, attention="posterior")
    return [replace(each, attention=of_pair.attention) for each, of_pair in zip(translations, scored, strict=True)]


def _is_blank(models: TrainedModels, pair: SentencePair) -> bool:
    """Whether there is nothing to score."""
    if pair.tokens is not None:
        return not pair.tokens
    return models.source.is_blank(pair.source) and models.target.is_blank(pair.target)


def _force_all(
    models: TrainedModels,
    readings: Sequence[Tokens],
    targets: Tokens,
    batch_size: int,
    precision: str,
    shortlist: int | None,
    attention: str,
) -> list[Forced]:
    """Run `force_tokens` of the only model, or of an ensemble: the log of the mean probability."""

    def select(rows: Sequence[int]) -> Selection | None:
        return models.select([readings[0][row] for row in rows], [targets[row] for row in rows], shortlist)

    by_model = [
        force_tokens(model, reading, targets, batch_size, select, attention)
        for model, reading in zip(models.models(precision), readings, strict=True)
    ]
    if len(by_model) == 1:
        return by_model[0]
    counted = [models.shares_source(member) for member in models.members]
    results: list[Forced] = []
    for of_pair in zip(*by_model, strict=True):
        scores = mean_probability([torch.tensor(scores, dtype=torch.float64) for scores, _ in of_pair])
        weights = mean_attention((w for (_, w), counts in zip(of_pair, counted, strict=True) if counts), heads=0)
        results.append((scores.tolist(), weights))
    return results


def force_tokens(
    model: TranslationModel,
    sources: Tokens,
    targets: Tokens,
    batch_size: int,
    select: Callable[[Sequence[int]], Selection | None] = lambda rows: None,
    attention: str = "prior",
) -> list[Forced]:
    """Compute the log-probability of each target token, and the attention that a search for them would have.

    Sources include EOS. `select` gives what the targets of these rows may consist of; None: the whole vocabulary.
    `attention` may be `posterior`, over the whole vocabulary.
    """

    def read(batch: PairBatch) -> list[Forced]:
        decoded = batch.decode(model)
        real = torch.arange(batch.targets.size(1)) < batch.target_lengths[:, None]
        features = decoded.features[real.to(decoded.features.device)]
        sentences = real.nonzero()[:, 0]
        scores = log_probs(model.output, features, batch.targets[real], sentences, select(batch.rows))
        dense = decoded.attended.to_dense(batch.source.size(1))
        if dense is not None and attention == "posterior":
            dense = posterior(model, batch, full_precision(dense).mean(1))[:, None]
        weights: list[Tensor | None] = [None] * len(batch.rows)
        if dense is not None:  # copied: a view would keep the whole batch
            weights = [w[:, :t, :s].float().cpu().clone() for w, (t, s) in zip(dense, batch.sizes(), strict=True)]
        by_pair = (part.tolist() for part in torch.split(scores, batch.target_lengths.tolist()))
        return list(zip(by_pair, weights, strict=True))

    usual_size = POSTERIOR_SIZE if attention == "posterior" else USUAL_SIZE
    return force_pairs(model, sources, targets, batch_size, read, usual_size)
