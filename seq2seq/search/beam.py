"""Beam search with true n-best lists.

A beam of k holds k hypotheses, finished ones included: each that ends leaves one place less to go on with, so a beam
of one is greedy search, and finished hypotheses and sentences leave the batch. A sentence is settled when n of its
hypotheses are finished and no unfinished one can still rank above the last of them: log-probabilities only fall, so
the score over the penalty of the longest length allowed bounds what an unfinished hypothesis can reach.

Shapes: b sentences, n rows (unfinished hypotheses of all sentences), k beam, v vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from seq2seq.search.history import History
from seq2seq.search.protocol import Hypothesis, LengthPenalty, Limits, S, Stepper
from seq2seq.text.tokenizer import BOS, EOS


@dataclass
class _Sentence:
    """A source, the places left in its beam, and its best finished hypotheses."""

    source_length: int
    longest: int
    places: int
    done: list[Hypothesis] = field(default_factory=list)

    def finish(self, hypothesis: Hypothesis, n_best: int) -> None:
        self.places -= 1
        self.done = sorted([*self.done, hypothesis], key=lambda h: -h.rank)[:n_best]


@dataclass(frozen=True)
class _Candidates:
    """The best continuations of each sentence, best first, as plain lists [b k]."""

    totals: list[list[float]]
    parents: list[list[int]]
    """row each continues"""
    tokens: list[list[int]]
    scores: list[list[float]]
    """log-probability of the token alone"""


@dataclass(frozen=True)
class _Search:
    """What stays the same over the steps."""

    beam_size: int
    n_best: int
    penalty: LengthPenalty
    history: History = field(default_factory=History)

    def advance(
        self, sentence: _Sentence, number: int, candidates: _Candidates, length: int, attention: Tensor | None
    ) -> list[int]:
        """Finish what ends among the candidates there is place for; the columns of those that go on."""
        going: list[int] = []
        totals, tokens = candidates.totals[number], candidates.tokens[number]
        for column in range(min(sentence.places, len(tokens))):
            if totals[column] == -torch.inf:
                break
            if tokens[column] != EOS and length < sentence.longest:
                going.append(column)
            else:
                sentence.finish(self._hypothesis(sentence, candidates, (number, column), attention), self.n_best)
        if going and len(sentence.done) == self.n_best:
            bound = totals[going[0]] / self.penalty(sentence.longest)
            return going if bound > sentence.done[-1].rank else []
        return going

    def _hypothesis(
        self, sentence: _Sentence, candidates: _Candidates, place: tuple[int, int], attention: Tensor | None
    ) -> Hypothesis:
        number, column = place
        parent = candidates.parents[number][column]
        tokens, scores, weights = self.history.path(parent)
        tokens, scores = [*tokens, candidates.tokens[number][column]], [*scores, candidates.scores[number][column]]
        if attention is not None:
            weights = [*weights, attention[parent]]
        stacked = torch.stack(weights, 1)[..., : sentence.source_length] if weights else None  # [h t s]
        return Hypothesis(tokens, scores, sum(scores) / self.penalty(len(tokens)), stacked)


def beam(
    model: Stepper[S],
    sources: Sequence[Sequence[int]],
    limits: Limits,
    penalty: LengthPenalty,
    beam_size: int,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """Source tokens, EOS included -> for each source its n best hypotheses, best first."""
    search = _Search(beam_size, n_best, penalty)
    sentences = [_Sentence(len(source), limits.length(source), beam_size) for source in sources]
    active = sentences
    rows_of = [[row] for row in range(len(sources))]  # of each active sentence
    state = model.start(sources)
    totals, previous = torch.zeros(len(sources)), torch.full((len(sources),), BOS)
    forbidden = torch.tensor(list(limits.forbidden), dtype=torch.long)
    length = 0
    while active:
        length += 1
        log_probs, state = model.step(previous, state)
        log_probs = log_probs.index_fill(1, forbidden.to(log_probs.device), -torch.inf)
        candidates = _continue(totals.to(log_probs.device), log_probs, rows_of, beam_size)
        kept = [search.advance(s, number, candidates, length, state.attention) for number, s in enumerate(active)]
        places = [(number, column) for number, columns in enumerate(kept) for column in columns]
        parents = [candidates.parents[number][column] for number, column in places]
        tokens = [candidates.tokens[number][column] for number, column in places]
        scores = [candidates.scores[number][column] for number, column in places]
        sums = [candidates.totals[number][column] for number, column in places]
        search.history.append(state.attention, parents, tokens, scores)
        active = [sentence for sentence, columns in zip(active, kept, strict=True) if columns]
        rows_of = _consecutive([len(columns) for columns in kept if columns])
        state = state.select(torch.tensor(parents, dtype=torch.long))
        totals, previous = torch.tensor(sums, dtype=log_probs.dtype), torch.tensor(tokens, dtype=torch.long)
    return [sentence.done for sentence in sentences]


def _consecutive(counts: list[int]) -> list[list[int]]:
    """Row numbers in groups of these sizes."""
    groups, start = [], 0
    for count in counts:
        groups.append(list(range(start, start + count)))
        start += count
    return groups


def _continue(totals: Tensor, log_probs: Tensor, rows_of: list[list[int]], beam_size: int) -> _Candidates:
    """totals [n], log_probs [n v], each sentence's rows -> its k best continuations."""
    k = min(beam_size, log_probs.size(-1))
    best, tokens = log_probs.topk(k, -1)  # [n k]: no sentence takes more than k from one row
    grid = log_probs.new_full((len(rows_of), max(map(len, rows_of)), k), -torch.inf)
    sentence = torch.tensor([number for number, rows in enumerate(rows_of) for _ in rows], device=grid.device)
    place = torch.tensor([place for rows in rows_of for place in range(len(rows))], device=grid.device)
    grid[sentence, place] = totals[:, None] + best
    sums, flat = grid.flatten(1).topk(min(beam_size, grid[0].numel()), -1)
    first = torch.tensor([rows[0] for rows in rows_of], device=grid.device)[:, None]
    # A place that no row has is −∞ and never taken; its parent only has to be some row.
    parents = (first + flat // k).clamp(max=len(totals) - 1)
    chosen = flat % k
    return _Candidates(
        sums.tolist(), parents.tolist(), tokens[parents, chosen].tolist(), best[parents, chosen].tolist()
    )
