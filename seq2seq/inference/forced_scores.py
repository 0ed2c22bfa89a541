"""ScoredPair decoding: what the model says about a translation that is given.

Shapes: b batch, h heads, t target, s source, n real target tokens, r features, v vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.inference.out_of_memory import in_halves_that_fit
from seq2seq.inference.translator import Translator, check_length
from seq2seq.model.translation import Output, TranslationModel
from seq2seq.search.ensemble import mean_attention, mean_probability
from seq2seq.search.shortlist import Selection
from seq2seq.text.batches import pad
from seq2seq.text.tokenizer import BOS

_ROWS = 512
"""Tokens whose vocabulary is projected at a time."""
_USUAL_SIZE = 512 * 512
"""Weights of a pair's attention up to which a batch has its full number of pairs."""


@dataclass(frozen=True)
class SentencePair:
    """A source line and its translation: as a line of text, or as tokens."""

    source: str
    target: str
    tokens: list[str] | None = None
    """Pieces by name, used as they are: without `</s>` the sentence is scored as unfinished. None: `target` says it."""


@dataclass(frozen=True)
class ScoredPair:
    """A pair, and what the model says about it."""

    pair: SentencePair
    source_tokens: list[str]
    tokens: list[str]
    """None of a blank pair."""
    token_scores: list[float]
    """Natural-log probability of each token."""
    attention: Tensor | None
    """[h t s]: a row of weights over the source tokens for each token; None without attention."""
    shortlist: int | None = None
    """Probabilities are normalised over so many candidates of a shortlist; None: over the whole vocabulary."""

    @property
    def score(self) -> float:
        """Log-probability of the whole, no penalty."""
        return sum(self.token_scores)


def score_pairs(
    translator: Translator,
    pairs: Sequence[SentencePair],
    batch_size: int,
    precision: str = "fp32",
    shortlist: int | None = None,
) -> list[ScoredPair]:
    """Each pair's scores, in order, by products in this precision. The names of given tokens have to be the
    vocabulary's. With a shortlist the candidates of each pair are those of searching, and its own tokens. Raises
    DataError for a side of more than MOST_PIECES.
    """
    blank = [_is_blank(translator, pair) for pair in pairs]
    filled = [pair for pair, nothing in zip(pairs, blank, strict=True) if not nothing]
    protected = [translator.source.protected(pair.source) for pair in filled]
    encoded = translator.target.encode([pair.target for pair in filled], protected)
    numbers = piece_numbers(translator) if any(pair.tokens is not None for pair in filled) else {}
    targets = [
        tokens if pair.tokens is None else [numbers[name] for name in pair.tokens]
        for pair, tokens in zip(filled, encoded, strict=True)
    ]
    sources = iter(read := translator.source.encode([pair.source for pair in filled]))
    for pair, *both in zip(filled, read, targets, strict=True):
        check_length(max(map(len, both)), repr(pair.source[:60]))
    together = _force_together(translator, filled, targets, batch_size, precision, shortlist)
    said = iter(zip(targets, together, strict=True))
    found = []
    for pair, nothing in zip(pairs, blank, strict=True):
        if nothing:
            found.append(ScoredPair(pair, [], [], [], None, shortlist))
            continue
        tokens, (scores, attention) = next(said)
        pieces = translator.source.pieces(next(sources)), translator.target.pieces(tokens)
        found.append(ScoredPair(pair, *pieces, scores, attention, shortlist))
    return found


def _is_blank(translator: Translator, pair: SentencePair) -> bool:
    """Whether nothing is there to be scored."""
    if pair.tokens is not None:
        return not pair.tokens
    return translator.source.is_blank(pair.source) and translator.target.is_blank(pair.target)


def _force_together(
    translator: Translator,
    pairs: Sequence[SentencePair],
    targets: Sequence[Sequence[int]],
    batch_size: int,
    precision: str,
    shortlist: int | None,
) -> list[tuple[list[float], Tensor | None]]:
    """`force_tokens` of the only model, or what an ensemble says: the log of the mean of the probabilities."""
    lines = [pair.source for pair in pairs]
    readings = [reader.tokenizer.encode(lines) for reader in translator.readers]

    def select(rows: Sequence[int]) -> Selection | None:
        return translator.select([readings[0][row] for row in rows], [targets[row] for row in rows], shortlist)

    said = [
        force_tokens(model, reading, targets, batch_size, select)
        for model, reading in zip(translator.models(precision), readings, strict=True)
    ]
    if len(said) == 1:
        return said[0]
    aligned = [translator.aligned(reader) for reader in translator.readers]
    found = []
    for of_pair in zip(*said, strict=True):
        scores = mean_probability([torch.tensor(scores, dtype=torch.float64) for scores, _ in of_pair])
        weights = mean_attention((w for (_, w), counts in zip(of_pair, aligned, strict=True) if counts), heads=0)
        found.append((scores.tolist(), weights))
    return found


def piece_numbers(translator: Translator) -> dict[str, int]:
    """The number of each piece of the target vocabulary."""
    return {name: number for number, name in enumerate(translator.target.pieces(range(len(translator.target))))}


@torch.inference_mode()
def force_tokens(
    model: TranslationModel,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    batch_size: int,
    select: Callable[[Sequence[int]], Selection | None] = lambda rows: None,
) -> list[tuple[list[float], Tensor | None]]:
    """Source tokens, EOS included, and target tokens, any number above none -> for each target the log-probability
    of its tokens, and its attention [h t s], which is that of searching for the same tokens. `select` gives what the
    targets of these rows may consist of (None: the vocabulary).
    """
    model.eval()
    device = model.output.weight.device

    def of_batch(rows: Sequence[int]) -> list[tuple[list[float], Tensor | None]]:
        source, source_lengths = pad([sources[row] for row in rows])
        inputs, target_lengths = pad([[BOS, *targets[row][:-1]] for row in rows])
        target, _ = pad([targets[row] for row in rows])
        decoded = model(source.to(device), source_lengths.to(device), inputs.to(device))
        real = torch.arange(target.size(1)) < target_lengths[:, None]
        scores = _log_probs(model.output, decoded.features[real.to(device)], target[real], real, select(rows))
        weights = decoded.attended.to_dense(source.size(1))
        said = []
        for place, (row, of_row) in enumerate(zip(rows, torch.split(scores, target_lengths.tolist()), strict=True)):
            t, s = len(targets[row]), len(sources[row])
            # A copy: a view would keep the whole batch.
            attention = None if weights is None else weights[place, :, :t, :s].float().cpu().clone()
            said.append((of_row.tolist(), attention))
        return said

    found: dict[int, tuple[list[float], Tensor | None]] = {}
    sizes = [(len(target), len(source)) for source, target in zip(sources, targets, strict=True)]
    for rows in _batches(sizes, batch_size):
        found.update(zip(rows, in_halves_that_fit(of_batch, rows), strict=True))
    return [found[row] for row in range(len(targets))]


def _batches(sizes: Sequence[tuple[int, int]], batch_size: int) -> Iterator[list[int]]:
    """Rows by ascending target and source length [t s]; of very long pairs fewer go together."""
    batch: list[int] = []
    longest = 0
    for row in sorted(range(len(sizes)), key=lambda row: sizes[row]):
        longest = max(longest, sizes[row][1])
        if batch and (
            len(batch) == batch_size or (len(batch) + 1) * sizes[row][0] * longest > batch_size * _USUAL_SIZE
        ):
            yield batch
            batch, longest = [], sizes[row][1]
        batch.append(row)
    if batch:
        yield batch


def _log_probs(output: Output, features: Tensor, tokens: Tensor, real: Tensor, selection: Selection | None) -> Tensor:
    """features [n r], tokens [n], which places of the batch are real [b t] -> log-probability of each token [n]; never
    more than a few rows of logits at once.
    """
    project: Callable[[Tensor], Tensor] = output.logits
    absent = None
    if selection is not None:
        allowed = torch.from_numpy(selection.tokens)
        project, tokens = output.restricted_to(allowed.to(features.device)), torch.searchsorted(allowed, tokens)
        absent = selection.absent
    sentences = real.nonzero()[:, 0]  # [n]
    parts = []
    for x, chosen, rows in zip(*(torch.split(of, _ROWS) for of in (features, tokens, sentences)), strict=True):
        logits = project(x)
        if absent is not None:
            logits = logits.masked_fill(absent[rows].to(logits.device), -torch.inf)
        parts.append(logits.log_softmax(-1).gather(1, chosen[:, None].to(logits.device)).squeeze(1))
    return torch.cat(parts)
