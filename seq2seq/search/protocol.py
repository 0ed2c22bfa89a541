"""What search asks of a model, and what it returns.

Shapes: n rows (hypotheses), h heads, t target, s source, u columns (the vocabulary, or a shortlist's part of it).
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
"""Tokens a translation may have beyond what its source's length allows."""
_LEAST_COVERAGE = 1e-6
"""Least coverage of a position: the logarithm of 0 would rule out hard attention."""


class SearchState(Protocol):
    """Everything a model carries from step to step, for n hypotheses."""

    @property
    def attention(self) -> Tensor | None:
        """The weights of the last step [n h s]; None without attention, or where nobody needs them."""

    @property
    def vocabulary(self) -> Integers | None:
        """The tokens of the log-probabilities' columns [u], ascending, with PAD, UNK, BOS and EOS first.

        None: the whole vocabulary, so that a token is its column. The same at every step.
        """

    def select(self, rows: Tensor) -> Self:
        """Take these rows [m], given on the CPU, in that order; rows may be left out or repeated."""


S = TypeVar("S", bound=SearchState)


class Stepper(Protocol[S]):
    """A model as search sees it."""

    def start(self, sources: Sequence[Sequence[int]]) -> S:
        """Source tokens, EOS included -> the state before the first step, a row per source."""

    def step(self, tokens: Tensor, state: S) -> tuple[Tensor, S]:
        """The previous token of each row [n] (BOS first) -> log-probabilities of the next [n u], the next state.

        Tokens are on the CPU. Search may overwrite the log-probabilities, which are −∞ for columns a row may not have.
        """


@dataclass(frozen=True)
class Hypothesis:
    """A translation in tokens."""

    tokens: list[int]
    """Tokens, with EOS last unless the length limit ended it."""
    token_scores: list[float]
    """Natural-log probability of each token."""
    rank: float
    """The number search sorts by: see `Ranking`."""
    attention: Tensor | None
    """[h t s]: a row of source weights for each token."""

    @property
    def score(self) -> float:
        """Log-probability of the whole, without penalties."""
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
        """lp of hypotheses of this length."""
        if self.length_normalisation == "wu":
            return float(((5 + length) / 6) ** self.alpha)
        return float(length) if self.length_normalisation == "average" else 1.0

    def coverage_penalty(self, attention: Tensor | None) -> float:
        """cp of the weights [h t s] of all steps. Raises ValueError without weights."""
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
    """The limits of a hypothesis."""

    forbidden: Sequence[int]
    """Tokens that are never produced."""
    max_length: int
    """Most tokens, EOS included."""
    max_length_ratio: float
    """A translation has at most this many times the tokens of its own source, plus MARGIN."""
    min_length_ratio: float = 0.0
    """A translation has at least this many times the tokens of its source, rounded up; EOS counts on both sides."""
    no_repeat_ngram: int | None = None
    """Length of n-grams that may not occur twice; None: all may."""

    def longest(self, source: Sequence[int], prefix: Sequence[int]) -> int:
        """Most tokens for this source, whatever else is in its batch; always enough for the prefix and EOS."""
        return max(len(prefix) + 1, min(self.max_length, int(_times(self.max_length_ratio, source)) + MARGIN))

    def shortest(self, source: Sequence[int]) -> int:
        """Fewest tokens for this source."""
        return math.ceil(_times(self.min_length_ratio, source))


def _times(ratio: float, source: Sequence[int]) -> float:
    return round(ratio * len(source), 6)  # 100 x 1.1 is 110.00000000000001
