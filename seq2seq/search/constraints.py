"""Which tokens may come next in each hypothesis.

Shapes: b sentences, n rows (hypotheses), u columns (the vocabulary, or a shortlist's part of it), t tokens so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq.search.history import History
from seq2seq.search.protocol import Integers, Limits
from seq2seq.text.tokenizer import EOS


@dataclass(frozen=True)
class Sentence:
    """A source, how its translation has to begin, and how long it may be."""

    source_length: int
    prefix: Sequence[int]
    """Tokens that come first, whatever their probability; no other limit applies to them."""
    shortest: int
    longest: int


def sentences(
    sources: Sequence[Sequence[int]], limits: Limits, prefixes: Sequence[Sequence[int]] | None
) -> list[Sentence]:
    """Combine sources (tokens with EOS) with the limits and the tokens their translations have to begin with."""
    beginnings: Sequence[Sequence[int]] = [()] * len(sources) if prefixes is None else prefixes
    return [
        Sentence(len(source), prefix, limits.shortest(source), limits.longest(source, prefix))
        for source, prefix in zip(sources, beginnings, strict=True)
    ]


class Constraints:
    """The limits on single tokens. Those that are not in use cost nothing."""

    def __init__(self, limits: Limits, wanted: Sequence[Sentence], vocabulary: Integers | None) -> None:
        """`vocabulary` is that of the `SearchState`."""
        self._vocabulary = vocabulary
        forbidden = np.array(limits.forbidden, np.int64)
        present = forbidden if vocabulary is None else np.intersect1d(forbidden, vocabulary)
        self._forbidden = torch.from_numpy(self._columns(present))
        self._no_repeat_ngram = limits.no_repeat_ngram
        self._shortest = np.array([sentence.shortest for sentence in wanted])
        self._prefixes = [sentence.prefix for sentence in wanted]
        self._prefix_lengths = np.array([len(prefix) for prefix in self._prefixes])
        self._none_early_from, self._last_forced = int(self._shortest.max()), int(self._prefix_lengths.max())

    def apply(self, log_probs: Tensor, rows: Integers, length: int, history: History) -> None:
        """Put −∞ into the log-probabilities [n u] wherever a hypothesis may not have that token as its `length`-th.

        `rows` are the numbers of the rows' sentences [n].
        """
        forced = self._forced(rows, length)
        forced_scores = None if forced is None else log_probs[forced]
        repetitions = self._repetitions(length, history)
        ending = None if repetitions is None else log_probs[:, EOS].clone()
        self._forbidden = self._forbidden.to(log_probs.device)
        log_probs.index_fill_(1, self._forbidden, -torch.inf)
        if length < self._none_early_from:
            early = torch.from_numpy(length < self._shortest[rows]).to(log_probs.device)
            log_probs[:, EOS].masked_fill_(early, -torch.inf)
        if repetitions is not None and ending is not None:
            log_probs[repetitions] = -torch.inf
            nothing_left = log_probs.amax(1) == -torch.inf  # ending is then better than repeating
            log_probs[nothing_left, EOS] = ending[nothing_left]
        if forced is not None and forced_scores is not None:
            log_probs[forced[0]] = -torch.inf
            log_probs[forced] = forced_scores

    def _forced(self, rows: Integers, length: int) -> tuple[Tensor, Tensor] | None:
        """Rows still within their prefix, and the columns of the prefixes' next tokens."""
        if length > self._last_forced:
            return None
        within = np.flatnonzero(length <= self._prefix_lengths[rows])
        tokens = np.array([self._prefixes[number][length - 1] for number in rows[within]])
        return torch.from_numpy(within), torch.from_numpy(self._columns(tokens))

    def _repetitions(self, length: int, history: History) -> tuple[Tensor, Tensor] | None:
        """Rows, and columns that would repeat an n-gram of the row."""
        if self._no_repeat_ngram is None or length <= self._no_repeat_ngram:
            return None
        rows, tokens = repeated(history.tokens(), self._no_repeat_ngram)
        return torch.from_numpy(rows), torch.from_numpy(self._columns(tokens))

    def _columns(self, tokens: Integers) -> Integers:
        """The columns of tokens that have one."""
        return tokens if self._vocabulary is None else np.searchsorted(self._vocabulary, tokens)


def repeated(history: Integers, n: int) -> tuple[Integers, Integers]:
    """The tokens of each row so far [n t] -> rows, and tokens that would repeat an n-gram of the row."""
    t = history.shape[1]
    if t < n:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    grams = np.lib.stride_tricks.sliding_window_view(history, n, axis=1)  # [n t-n+1 n]
    rows, places = np.nonzero((grams[..., :-1] == history[:, None, t - n + 1 :]).all(-1))
    return rows, grams[rows, places, -1]
