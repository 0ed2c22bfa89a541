"""Search with one hypothesis per row: greedy search, and ancestral sampling. Finished hypotheses leave the batch.

Shapes: n rows (unfinished hypotheses), u columns (the vocabulary, or a shortlist's part of it).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq.search.constraints import Constraints, Sentence, sentences
from seq2seq.search.history import History
from seq2seq.search.largest import largest
from seq2seq.search.protocol import Hypothesis, Integers, Limits, Ranking, S, Stepper
from seq2seq.text.tokenizer import BOS, EOS

Choose = Callable[[Tensor, Integers, int], tuple[Tensor, Tensor]]
"""Log-probabilities after all constraints [n u], the numbers of the rows' hypotheses [n], tokens so far -> the
log-probability and the column of each row's next token [n]."""


@torch.inference_mode()
def greedy(
    model: Stepper[S],
    sources: Sequence[Sequence[int]],
    limits: Limits,
    ranking: Ranking,
    prefixes: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """Take the most probable token at every step; return a list with the one hypothesis of each source.

    Sources and prefixes are as in `beam`.
    """
    wanted = sentences(sources, limits, prefixes)
    found = _decode_rows(
        model, model.start(sources), wanted, limits, ranking, lambda log_probs, rows, step: largest(log_probs)
    )
    return [[hypothesis] for hypothesis in found]


@dataclass(frozen=True)
class Sampling:
    """Which tokens the next is drawn from, and how evenly."""

    temperature: float = 1.0
    top_k: int | None = None
    """Number of most probable tokens to draw from; None: all."""
    top_p: float = 1.0
    """Draw from the fewest tokens with this much probability together (Holtzman 2020), after top_k."""

    def choose(self, log_probs: Tensor, uniform: Tensor) -> Tensor:
        """Log-probabilities [n u], a number in [0, 1) for each row [n] -> columns [n].

        The distribution is inverted in the columns' own order. Sorted by probability, nearly equal columns would swap
        with every rounding, and samples would depend on the batch.
        """
        probability = (log_probs.cpu().double() / self.temperature).softmax(-1)
        if self.top_k is not None or self.top_p < 1:
            probability = probability.masked_fill(~self._allowed(probability), 0)
        cumulated = probability.cumsum(-1)
        total = cumulated[:, -1:].contiguous()
        place = torch.searchsorted(cumulated, uniform[:, None] * total, right=True)
        last = torch.searchsorted(cumulated, total)  # column with a probability above 0
        return place.minimum(last).squeeze(-1).to(log_probs.device)

    def _allowed(self, probability: Tensor) -> Tensor:
        """probability [n u] -> whether top_k and top_p keep it [n u]; of equal ones the first are kept."""
        most = min(self.top_k or probability.size(-1), probability.size(-1))
        best = probability.topk(most, -1).values  # descending
        before = best.cumsum(-1) - best
        count = (before < self.top_p * best.sum(-1, keepdim=True)).sum(-1, keepdim=True)
        least = best.gather(1, count - 1)
        more, equal = probability > least, probability == least
        return more | (equal & (equal.cumsum(-1) <= count - more.sum(-1, keepdim=True)))


@torch.inference_mode()
def sample(
    model: Stepper[S],
    sources: Sequence[Sequence[int]],
    limits: Limits,
    ranking: Ranking,
    sampling: Sampling,
    count: int,
    seeds: Sequence[Sequence[int]],
    prefixes: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """Draw `count` samples of each source; they depend only on the source and its own seed.

    Sources and prefixes are as in `beam`. Scores are the model's, whatever the temperature.
    """
    wanted = [sentence for sentence in sentences(sources, limits, prefixes) for _ in range(count)]
    uniform = [
        np.random.default_rng([*seeds[number // count], number % count]).random(sentence.longest)
        for number, sentence in enumerate(wanted)
    ]

    def choose(log_probs: Tensor, rows: Integers, step: int) -> tuple[Tensor, Tensor]:
        columns = sampling.choose(log_probs, torch.tensor([uniform[row][step] for row in rows], dtype=torch.float64))
        return log_probs.gather(1, columns[:, None]).squeeze(1), columns

    start = model.start(sources).select(torch.arange(len(sources)).repeat_interleave(count))
    found = _decode_rows(model, start, wanted, limits, ranking, choose)
    return [found[first : first + count] for first in range(0, len(found), count)]


def _decode_rows(
    model: Stepper[S], state: S, wanted: Sequence[Sentence], limits: Limits, ranking: Ranking, choose: Choose
) -> list[Hypothesis]:
    """Decode each row of the state into one hypothesis."""
    constraints, history = Constraints(limits, wanted, state.vocabulary), History()
    longest = np.array([sentence.longest for sentence in wanted])  # per row
    finished: dict[int, Hypothesis] = {}
    active = np.arange(len(wanted))  # the number of each row's hypothesis
    previous = torch.full((len(wanted),), BOS)
    length = 0
    while True:
        log_probs, state = model.step(previous, state)
        constraints.apply(log_probs, active, length + 1, history)
        scores, columns = (chosen.cpu().numpy() for chosen in choose(log_probs, active, length))
        tokens = columns if state.vocabulary is None else state.vocabulary[columns]
        history.append(state.attention, range(len(tokens)), tokens.tolist(), scores.tolist())
        length += 1
        done = (tokens == EOS) | (longest <= length)
        for row in np.flatnonzero(done).tolist():
            finished[active[row]] = history.hypothesis(row, wanted[active[row]].source_length, ranking)
        going = np.flatnonzero(~done)
        history.keep(going.tolist())
        if not len(going):
            return [finished[number] for number in range(len(wanted))]
        if len(going) < len(active):
            state = state.select(torch.from_numpy(going))
            active, longest, tokens = active[going], longest[going], tokens[going]
        previous = torch.from_numpy(tokens)
