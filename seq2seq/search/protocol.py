"""What search asks of a model, and what it gives back.

Shapes: n rows (hypotheses), h heads, t target, s source, u columns (the vocabulary, or what a shortlist leaves of it).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

MARGIN = 10
"""Tokens that a translation may have besides those that its source's length allows."""
_LEAST_COVERAGE = 1e-6
"""What a position without any attention counts as: the logarithm of 0 would forbid hard attention."""


class SearchState(Protocol):
    """Everything a model carries between steps, for n hypotheses."""

    @property
    def attention(self) -> Tensor | None:
        """The weights of the last step [n h s]; None where the model has none, or nobody wants them."""

    @property
    def vocabulary(self) -> Integers | None:
        """The tokens that the columns of the log-probabilities stand for [u], ascending, PAD, UNK, BOS and EOS first;
        None: all, and a token is its column. The same at every step.
        """

    def select(self, rows: Tensor) -> Self:
        """The state of these rows, given on the CPU, in that order; rows may be left out or repeated."""


S = TypeVar("S", bound=SearchState)


class Stepper(Protocol[S]):
    """A model as search sees it."""

    def start(self, sources: Sequence[Sequence[int]]) -> S:
        """Source tokens, EOS included -> the state before the first step, a row per source."""

    def step(self, tokens: Tensor, state: S) -> tuple[Tensor, S]:
        """The previous token of each row [n] (BOS first) -> log-probabilities of the next [n u], the next state.

        Tokens come on the CPU. The log-probabilities are search's to overwrite, −∞ where a row may not have a column.
        """


@dataclass(frozen=True)
class Hypothesis:
    """A translation in tokens."""

    tokens: list[int]
    """With EOS last, unless the length limit ended it."""
    token_scores: list[float]
    """Natural-log probability of each token."""
    rank: float
    """What search sorts by: see Ranking."""
    attention: Tensor | None
    """[h t s]: a row of source weights for each token."""

    @property
    def score(self) -> float:
        """Log-probability of the whole, no penalty."""
        return sum(self.token_scores)


@dataclass(frozen=True)
class Ranking:
    """rank = score / lp(length) + cp(attention), length counting EOS (Wu 2016, eq. 14)."""

    length_normalisation: str
    """`wu`: lp = ((5 + length)/6)^alpha; `average`: lp = length; `none`: lp = 1."""
    alpha: float = 1.0
    coverage: float = 0.0
    """Wu's beta: cp = beta Σ_i log min(Σ_t α_{t,i}, 1) over the source with its EOS, α the mean over heads; a sum below
    1e-6 counts as 1e-6."""

    def length_penalty(self, length: int) -> float:
        """lp"""
        if self.length_normalisation == "wu":
            return float(((5 + length) / 6) ** self.alpha)
        return float(length) if self.length_normalisation == "average" else 1.0

    def coverage_penalty(self, attention: Tensor | None) -> float:
        """cp of the weights [h t s] of all steps. Raises ValueError where a model has none."""
        if not self.coverage:
            return 0.0
        if attention is None:
            raise ValueError(f"coverage={self.coverage}: a model without attention covers nothing; take 0")
        covered = attention.double().mean(0).sum(0).clamp(_LEAST_COVERAGE, 1)  # [s]
        return self.coverage * float(covered.log().sum())

    def __call__(self, score: float, length: int, attention: Tensor | None) -> float:
        return score / self.length_penalty(length) + self.coverage_penalty(attention)


@dataclass(frozen=True)
class Limits:
    """What a hypothesis may be."""

    forbidden: Sequence[int]
    """Tokens never produced."""
    max_length: int
    """Tokens, EOS included."""
    max_length_ratio: float
    """Each sentence is also held to so many times its own source's length, + MARGIN."""
    min_length_ratio: float = 0.0
    """No sentence ends before it has so many times its own source's tokens, rounded up; EOS counts on both sides."""
    no_repeat_ngram: int | None = None
    """No n-gram of so many tokens comes twice."""

    def longest(self, source: Sequence[int], prefix: Sequence[int]) -> int:
        """The most tokens for this source, whatever else is in its batch; never fewer than a prefix and its EOS."""
        return max(len(prefix) + 1, min(self.max_length, int(self.max_length_ratio * len(source)) + MARGIN))

    def shortest(self, source: Sequence[int]) -> int:
        """The fewest tokens for this source."""
        return math.ceil(self.min_length_ratio * len(source))
