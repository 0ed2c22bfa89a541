"""Beam search with true n-best lists.

A beam of k holds k hypotheses, finished ones included: each that ends leaves one place less to go on with, so a beam
of one is greedy search, and finished hypotheses and sentences leave the batch. A sentence is settled when n of its
hypotheses are finished and no unfinished one can still rank above the last of them (Ranking.bound). Hypotheses of one
length compete by their score; the penalties rank those that are finished.

Shapes: b sentences, n rows (unfinished hypotheses of all sentences), k beam, v vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from seq2seq.search.constraints import Constraints, Sentence, sentences
from seq2seq.search.history import History
from seq2seq.search.protocol import Hypothesis, Limits, Ranking, S, Stepper
from seq2seq.text.tokenizer import BOS, EOS


@dataclass
class _Beam:
    """Of a sentence: the places left, and the best finished hypotheses."""

    sentence: Sentence
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
    ranking: Ranking
    history: History = field(default_factory=History)

    def advance(
        self, beam: _Beam, number: int, candidates: _Candidates, length: int, attention: Tensor | None
    ) -> list[int]:
        """Finish what ends among the candidates there is place for; the columns of those that go on."""
        going: list[int] = []
        totals, tokens = candidates.totals[number], candidates.tokens[number]
        for column in range(min(beam.places, len(tokens))):
            if totals[column] == -torch.inf:
                break
            if tokens[column] != EOS and length < beam.sentence.longest:
                going.append(column)
            else:
                beam.finish(self._hypothesis(beam.sentence, candidates, (number, column), attention), self.n_best)
        if going and len(beam.done) == self.n_best:
            bound = self.ranking.bound(totals[going[0]], beam.sentence.longest)
            return going if bound > beam.done[-1].rank else []
        return going

    def _hypothesis(
        self, sentence: Sentence, candidates: _Candidates, place: tuple[int, int], attention: Tensor | None
    ) -> Hypothesis:
        number, column = place
        parent = candidates.parents[number][column]
        tokens, scores, weights = self.history.path(parent)
        tokens, scores = [*tokens, candidates.tokens[number][column]], [*scores, candidates.scores[number][column]]
        if attention is not None:
            weights = [*weights, attention[parent]]
        stacked = torch.stack(weights, 1)[..., : sentence.source_length].cpu() if weights else None  # [h t s]
        return Hypothesis(tokens, scores, self.ranking(sum(scores), len(tokens), stacked), stacked)


def beam(
    model: Stepper[S],
    sources: Sequence[Sequence[int]],
    limits: Limits,
    ranking: Ranking,
    beam_size: int,
    n_best: int = 1,
    prefixes: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """Source tokens, EOS included, and the tokens each translation begins with -> for each source its n best
    hypotheses, best first.
    """
    search, constraints = _Search(beam_size, n_best, ranking), Constraints.of(limits)
    beams = [_Beam(sentence, beam_size) for sentence in sentences(sources, limits, prefixes)]
    active = beams
    rows_of = [[row] for row in range(len(sources))]  # of each active sentence
    state = model.start(sources)
    totals, previous = torch.zeros(len(sources)), torch.full((len(sources),), BOS)
    length = 0
    while active:
        length += 1
        log_probs, state = model.step(previous, state)
        of_rows = [beam.sentence for beam, rows in zip(active, rows_of, strict=True) for _ in rows]
        allowed = constraints.apply(log_probs, of_rows, length, search.history.tokens)
        candidates = _continue(totals.to(allowed.device), allowed, rows_of, beam_size)
        kept = [search.advance(b, number, candidates, length, state.attention) for number, b in enumerate(active)]
        places = [(number, column) for number, columns in enumerate(kept) for column in columns]
        parents = [candidates.parents[number][column] for number, column in places]
        tokens = [candidates.tokens[number][column] for number, column in places]
        scores = [candidates.scores[number][column] for number, column in places]
        sums = [candidates.totals[number][column] for number, column in places]
        search.history.append(state.attention, parents, tokens, scores)
        active = [beam for beam, columns in zip(active, kept, strict=True) if columns]
        rows_of = _consecutive([len(columns) for columns in kept if columns])
        state = state.select(torch.tensor(parents, dtype=torch.long))
        totals, previous = torch.tensor(sums, dtype=log_probs.dtype), torch.tensor(tokens, dtype=torch.long)
    return [beam.done for beam in beams]


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
