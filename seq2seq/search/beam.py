"""Beam search with true n-best lists. Finished sentences leave the batch.

A sentence is finished when n hypotheses are, and no unfinished one can still rank above the last of them: log
probabilities only fall, so a score over the penalty of the longest length allowed bounds what an unfinished
hypothesis can reach.

Shapes: b sentences, k beam, v vocabulary.
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
    """A source and what is finished of its translations."""

    source_length: int
    longest: int
    done: list[Hypothesis] = field(default_factory=list)

    def finish(self, hypothesis: Hypothesis, n_best: int) -> None:
        self.done = sorted([*self.done, hypothesis], key=lambda h: -h.rank)[:n_best]

    def is_settled(self, best_unfinished: float, n_best: int, penalty: LengthPenalty) -> bool:
        """Whether no unfinished hypothesis can enter the n best."""
        if best_unfinished == -torch.inf:
            return True
        if len(self.done) < n_best:
            return False
        return self.done[-1].rank >= best_unfinished / penalty(self.longest)


@dataclass(frozen=True)
class _Candidates:
    """The best continuations of each sentence, best first, each [b 2k]."""

    totals: Tensor
    parents: Tensor
    """row in the batch"""
    tokens: Tensor
    scores: Tensor
    """log-probability of the token alone"""

    def take(self, rows: list[int], columns: list[list[int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of these rows the k columns of each: totals [b k]; parents, tokens and scores [b·k]."""
        row = torch.tensor(rows, device=self.totals.device)[:, None]
        place = (row, torch.tensor(columns, device=self.totals.device))
        return (
            self.totals[place],
            self.parents[place].flatten(),
            self.tokens[place].flatten(),
            self.scores[place].flatten(),
        )


@dataclass(frozen=True)
class _Search:
    """What stays the same over the steps."""

    beam_size: int
    n_best: int
    penalty: LengthPenalty
    history: History = field(default_factory=History)

    def advance(
        self, sentence: _Sentence, row: int, candidates: _Candidates, length: int, attention: Tensor | None
    ) -> list[int]:
        """Finish what ends among the k best; the columns of the k that go on (none: the sentence is settled)."""
        totals = candidates.totals[row].tolist()
        going: list[int] = []
        for column, token in enumerate(candidates.tokens[row].tolist()):
            if token != EOS and length < sentence.longest:
                going.append(column)
            elif column < self.beam_size and totals[column] > -torch.inf:
                hypothesis = self._hypothesis(sentence, candidates, (row, column), attention)
                sentence.finish(hypothesis, self.n_best)
        best_unfinished = totals[going[0]] if going else -torch.inf
        return [] if sentence.is_settled(best_unfinished, self.n_best, self.penalty) else going[: self.beam_size]

    def _hypothesis(
        self, sentence: _Sentence, candidates: _Candidates, place: tuple[int, int], attention: Tensor | None
    ) -> Hypothesis:
        parent = int(candidates.parents[place])
        tokens, scores, weights = self.history.path(parent)
        tokens, scores = [*tokens, int(candidates.tokens[place])], [*scores, float(candidates.scores[place])]
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
    sentences = [_Sentence(len(source), limits.length(source)) for source in sources]
    active = sentences
    state = model.start(sources).select(torch.arange(len(sources)).repeat_interleave(beam_size))
    totals = torch.full((len(sources), beam_size), -torch.inf)
    totals[:, 0] = 0.0  # one live hypothesis at first: the others would repeat it
    previous = torch.full((len(sources) * beam_size,), BOS)
    length = 0
    while active:
        length += 1
        log_probs, state = model.step(previous, state)
        log_probs[:, list(limits.forbidden)] = -torch.inf
        candidates = _continue(totals.to(log_probs.device), log_probs)
        kept = [search.advance(s, row, candidates, length, state.attention) for row, s in enumerate(active)]
        going = [row for row, columns in enumerate(kept) if columns]
        if not going:
            break
        totals, parents, tokens, scores = candidates.take(going, [kept[row] for row in going])
        search.history.append(state.attention, parents.tolist(), tokens.tolist(), scores.tolist())
        active = [active[row] for row in going]
        state, previous = state.select(parents), tokens
    return [sentence.done for sentence in sentences]


def _continue(totals: Tensor, log_probs: Tensor) -> _Candidates:
    """totals [b k], log_probs [b·k v] -> the 2k best continuations: k of them at least don't end in EOS."""
    b, k = totals.shape
    v = log_probs.size(-1)
    extended = (totals.flatten()[:, None] + log_probs).view(b, k * v)
    best, flat = extended.topk(2 * k, -1)
    parents = flat // v + torch.arange(b, device=flat.device)[:, None] * k
    return _Candidates(best, parents, flat % v, log_probs[parents, flat % v])
