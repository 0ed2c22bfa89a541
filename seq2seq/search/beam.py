"""Beam search with true n-best lists.

A beam of k holds k hypotheses, finished ones included. Each hypothesis that ends leaves one place less for the others,
so a beam of one is greedy search, and finished hypotheses and sentences leave the batch. A sentence is settled when n
of its hypotheses are finished and no unfinished one can still rank above the last of them: scores only fall, and the
coverage penalty is never positive. Hypotheses of one length compete by score; the penalties rank finished ones.

Shapes: a unsettled sentences, n rows (their unfinished hypotheses), k beam, u columns (the vocabulary, or a
shortlist's part of it), m blocks of columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.search import largest
from seq2seq.search.constraints import Constraints, sentences
from seq2seq.search.history import History
from seq2seq.search.protocol import Floats, Hypothesis, Integers, Limits, Ranking, S, Stepper
from seq2seq.text.tokenizer import BOS, EOS


@dataclass
class _Active:
    """The unsettled sentences: arrays with one item each [a]."""

    numbers: Integers
    rows: Integers
    """Number of unfinished hypotheses; those of a sentence are adjacent, in the order of the sentences."""
    places: Integers
    """Places left in the beam."""
    longest: Integers
    """Most tokens of a hypothesis."""
    greatest_penalty: Floats
    """lp of that length."""
    worst: Floats
    """Rank of the last of the n best finished hypotheses; −∞ while there are fewer."""

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Drop the other sentences."""
        for column in fields(self):
            setattr(self, column.name, getattr(self, column.name)[which])


class _Candidates(NamedTuple):
    """The best continuations of each sentence [a k], best first."""

    sums: Floats
    """The row's total plus the token's score; −∞ where there are no more candidates."""
    scores: Floats
    """Log-probability of the token alone."""
    parents: Integers
    """The row that each continues."""
    columns: Integers


@torch.inference_mode()
def beam(
    model: Stepper[S],
    sources: Sequence[Sequence[int]],
    limits: Limits,
    ranking: Ranking,
    beam_size: int,
    n_best: int = 1,
    prefixes: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """Return the n best hypotheses of each source, best first.

    Sources are tokens with EOS; `prefixes` are the tokens each translation begins with.
    """
    wanted = sentences(sources, limits, prefixes)
    state = model.start(sources)
    constraints, history = Constraints(limits, wanted, state.vocabulary), History()
    done: list[list[Hypothesis]] = [[] for _ in wanted]
    active = _Active(
        np.arange(len(wanted)),
        np.ones(len(wanted), np.int64),
        np.full(len(wanted), beam_size),
        np.array([sentence.longest for sentence in wanted]),
        np.array([ranking.length_penalty(sentence.longest) for sentence in wanted]),
        np.full(len(wanted), -np.inf),
    )
    totals, previous = np.zeros(len(wanted)), torch.full((len(wanted),), BOS)  # per row
    length = 0
    while len(active.numbers):
        length += 1
        log_probs, state = model.step(previous, state)
        constraints.apply(log_probs, active.numbers.repeat(active.rows), length, history)
        top = _continue(log_probs, totals, active.rows, beam_size)
        tokens = top.columns if state.vocabulary is None else state.vocabulary[top.columns]
        sums = totals[top.parents] + top.scores  # in double precision
        history.append(
            state.attention, top.parents.ravel().tolist(), tokens.ravel().tolist(), top.scores.ravel().tolist()
        )
        taken = (np.arange(sums.shape[1]) < active.places[:, None]) & (top.sums > -np.inf)
        ends = taken & ((tokens == EOS) | (length >= active.longest)[:, None])
        going = taken & ~ends
        for candidate in np.flatnonzero(ends).tolist():
            sentence = candidate // ends.shape[1]
            number = active.numbers[sentence]
            active.places[sentence] -= 1
            if sums.flat[candidate] / ranking.length_penalty(length) > active.worst[sentence]:
                ended = history.hypothesis(candidate, wanted[number].source_length, ranking)
                active.worst[sentence] = _add(done[number], ended, n_best)
        if any(done):
            best = sums[np.arange(len(sums)), going.argmax(1)]  # among those that continue
            going &= (best / active.greatest_penalty > active.worst)[:, None]

        kept = np.flatnonzero(going)
        history.keep(kept.tolist())
        totals, previous = sums.ravel()[kept], torch.from_numpy(tokens.ravel()[kept])
        if len(kept):
            state = state.select(torch.from_numpy(top.parents.ravel()[kept]))
        active.rows = going.sum(1)
        if not active.rows.all():
            active.keep(active.rows > 0)
    return done


def _add(done: list[Hypothesis], hypothesis: Hypothesis, n_best: int) -> float:
    """Insert into the n best, best first; return the rank of the last of them, −∞ while there are fewer."""
    done.append(hypothesis)
    done.sort(key=lambda h: -h.rank)
    del done[n_best:]
    return done[-1].rank if len(done) == n_best else -np.inf


def _continue(log_probs: Tensor, totals: Floats, counts: Integers, k: int) -> _Candidates:
    """log_probs [n u], totals [n], number of rows per sentence, in order [a] -> its k best continuations."""
    if largest.worth_blocking(log_probs):
        # The best lie in the k blocks of columns with the greatest maxima over all rows of the sentence.
        maxima, rows, blocks = _best(largest.block_maxima(log_probs).numpy(), totals, counts, k)
        before = np.where(maxima > -np.inf, totals[rows], -np.inf).ravel()
        parents = rows.ravel()
        inside = largest.within_blocks(log_probs, torch.from_numpy(parents), torch.from_numpy(blocks.ravel()))
        scores, columns = (x.numpy() for x in inside)  # [a·k w]
        sums, groups, places = _best(scores, before, np.full(len(counts), rows.shape[1]), k)
        return _Candidates(sums, scores[groups, places], parents[groups], columns[groups, places])
    best = log_probs.topk(min(k, log_probs.size(1)), -1)  # a sentence takes no more from one row
    scores, columns = (x.cpu().numpy() for x in best)
    sums, rows, places = _best(scores, totals, counts, k)
    return _Candidates(sums, scores[rows, places], rows, columns[rows, places])


def _best(scores: Floats, totals: Floats, counts: Integers, k: int) -> tuple[Floats, Integers, Integers]:
    """Find each sentence's k greatest sums of a row's total [n] and its scores [n c].

    `counts` [a] are the numbers of rows of the sentences, in order. Returns the sums, best first and filled up with −∞,
    their rows, and their places in the rows, each [a k].
    """
    sums = scores + totals.astype(scores.dtype)[:, None]
    (n, c), a, most = sums.shape, len(counts), int(counts.max())
    first = counts.cumsum() - counts
    if n < a * most:
        grid = np.full((a * most, c), -np.inf, sums.dtype)
        grid[np.arange(n) + (np.arange(a) * most - first).repeat(counts)] = sums
        sums = grid
    best, chosen = (x.numpy() for x in torch.from_numpy(sums.reshape(a, -1)).topk(min(k, most * c), -1))
    # A place without a row is never taken; it merely has to point at some row.
    return best, np.minimum(first[:, None] + chosen // c, n - 1), chosen % c
