"""The path of every hypothesis: which token each step appended to which row.

A step has candidates: tokens that may continue its rows. Some end, some are dropped, and those that are kept are the
rows of the next step.

Shapes: n rows of a step, c candidates of a step, h heads, t target, s source.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seq2seq.search.protocol import Hypothesis, Integers, Ranking


class _Step(NamedTuple):
    attention: Tensor | None  # [n h s]
    parents: Sequence[int]  # [c]: the row that each candidate continues
    tokens: Sequence[int]  # [c]
    scores: Sequence[float]  # [c]


@dataclass
class History:
    """The steps so far. A hypothesis is read backwards from its last candidate."""

    _steps: list[_Step] = field(default_factory=list)
    _kept: list[Sequence[int]] = field(default_factory=list)  # per step, the candidates that are the next rows
    _tokens: Integers | None = None

    def append(
        self, attention: Tensor | None, parents: Sequence[int], tokens: Sequence[int], scores: Sequence[float]
    ) -> None:
        """Add a step: its attention [n h s], and each candidate's row, token and log-probability [c]."""
        self._steps.append(_Step(attention, parents, tokens, scores))

    def keep(self, candidates: Sequence[int]) -> None:
        """Record which candidates of the last step continue, in the order of the next step's rows [n]."""
        self._kept.append(candidates)

    def tokens(self) -> Integers:
        """The tokens of each row of the next step [n t], after at least one step; extends the last call's result."""
        for number in range(0 if self._tokens is None else self._tokens.shape[1], len(self._kept)):
            step, kept = self._steps[number], self._kept[number]
            new = np.array([[step.tokens[candidate]] for candidate in kept], np.int64)
            before = [step.parents[candidate] for candidate in kept]
            self._tokens = new if self._tokens is None else np.hstack([self._tokens[before], new])
        assert self._tokens is not None
        return self._tokens

    def hypothesis(self, candidate: int, source_length: int, ranking: Ranking) -> Hypothesis:
        """The hypothesis that this candidate of the last step ended, with a source of this length."""
        tokens, scores, weights = [], [], []
        for number in range(len(self._steps) - 1, -1, -1):
            step = self._steps[number]
            row = step.parents[candidate]
            tokens.append(step.tokens[candidate])
            scores.append(step.scores[candidate])
            if step.attention is not None:
                weights.append(step.attention[row])
            if number:
                candidate = self._kept[number - 1][row]
        attention = torch.stack(weights[::-1], 1)[..., :source_length].cpu() if weights else None  # [h t s]
        scores.reverse()
        return Hypothesis(tokens[::-1], scores, ranking(sum(scores), len(tokens), attention), attention)
