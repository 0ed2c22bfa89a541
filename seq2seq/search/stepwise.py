"""Search with one hypothesis a row: greedy search, and ancestral sampling. Finished hypotheses leave the batch.

Shapes: n rows (unfinished hypotheses), v vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq.search.constraints import Constraints, Sentence, sentences
from seq2seq.search.protocol import Hypothesis, Limits, Ranking, S, Stepper
from seq2seq.text.tokenizer import BOS, EOS

Choose = Callable[[Tensor, list[int], int], Tensor]
"""Allowed log-probabilities [n v], the numbers of the rows' hypotheses, tokens so far -> the next of each row [n]."""


def greedy(
    model: Stepper[S],
    sources: Sequence[Sequence[int]],
    limits: Limits,
    ranking: Ranking,
    prefixes: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """The most probable token at every step.

    Source tokens, EOS included, and the tokens each translation begins with -> for each source a list of its one
    hypothesis (as `beam` gives several).
    """
    wanted = sentences(sources, limits, prefixes)
    found = _walk(
        model, model.start(sources), wanted, limits, ranking, lambda log_probs, rows, step: log_probs.argmax(-1)
    )
    return [[hypothesis] for hypothesis in found]


@dataclass(frozen=True)
class Sampling:
    """From which tokens, and how evenly, the next is drawn."""

    temperature: float = 1.0
    top_k: int | None = None
    """Only the k most probable; None: all."""
    top_p: float = 1.0
    """Only the fewest that have so much probability together (Holtzman 2020), after top_k."""

    def choose(self, log_probs: Tensor, uniform: Tensor) -> Tensor:
        """Log-probabilities [n v], a number in [0, 1) for each row [n] -> tokens [n]."""
        scaled = (log_probs.cpu().double() / self.temperature).softmax(-1)
        most = min(self.top_k or scaled.size(-1), scaled.size(-1))
        probability, tokens = scaled.topk(most, -1)  # descending
        total = probability.sum(-1, keepdim=True)
        before = probability.cumsum(-1) - probability
        probability = probability.masked_fill(before >= self.top_p * total, 0)
        cumulated = probability.cumsum(-1)
        drawn = uniform[:, None] * cumulated[:, -1:]
        place = (cumulated <= drawn).sum(-1, keepdim=True).clamp(max=most - 1)
        return tokens.gather(1, place).squeeze(1).to(log_probs.device)


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
    """So many samples of each source, in the order of drawing; they depend on the source and its own seed alone.

    Sources, prefixes and result are as in `greedy`; a hypothesis' scores are the model's, whatever the temperature.
    """
    wanted = [sentence for sentence in sentences(sources, limits, prefixes) for _ in range(count)]
    uniform = [
        np.random.default_rng([*seeds[number // count], number % count]).random(sentence.longest)
        for number, sentence in enumerate(wanted)
    ]

    def choose(log_probs: Tensor, rows: list[int], step: int) -> Tensor:
        return sampling.choose(log_probs, torch.tensor([uniform[row][step] for row in rows], dtype=torch.float64))

    start = model.start(sources).select(torch.arange(len(sources)).repeat_interleave(count))
    found = _walk(model, start, wanted, limits, ranking, choose)
    return [found[first : first + count] for first in range(0, len(found), count)]


def _walk(
    model: Stepper[S], state: S, wanted: Sequence[Sentence], limits: Limits, ranking: Ranking, choose: Choose
) -> list[Hypothesis]:
    """A hypothesis for each row of the state."""
    constraints = Constraints.of(limits)
    tokens: list[list[int]] = [[] for _ in wanted]
    scores: list[list[float]] = [[] for _ in wanted]
    attention: list[list[Tensor]] = [[] for _ in wanted]
    active = list(range(len(wanted)))
    previous = torch.full((len(wanted),), BOS)
    step = 0
    while active:
        log_probs, state = model.step(previous, state)
        paths = [tokens[number] for number in active]
        allowed = constraints.apply(log_probs, [wanted[number] for number in active], step + 1, paths.__getitem__)
        chosen = choose(allowed, active, step)
        said = allowed.gather(1, chosen[:, None]).squeeze(1)
        for row, (number, token, score) in enumerate(zip(active, chosen.tolist(), said.tolist(), strict=True)):
            tokens[number].append(token)
            scores[number].append(score)
            if state.attention is not None:
                attention[number].append(state.attention[row, :, : wanted[number].source_length])
        step += 1
        going = [row for row, n in enumerate(active) if tokens[n][-1] != EOS and step < wanted[n].longest]
        if len(going) < len(active):
            rows = torch.tensor(going, dtype=torch.long, device=chosen.device)
            state, chosen, active = state.select(rows), chosen[rows], [active[row] for row in going]
        previous = chosen
    found = []
    for t, p, a in zip(tokens, scores, attention, strict=True):
        stacked = torch.stack(a, 1).cpu() if a else None  # [h t s]
        found.append(Hypothesis(t, p, ranking(sum(p), len(t), stacked), stacked))
    return found
