"""What search asks of a model, and what it gives back.

Shapes: n rows (hypotheses), h heads, s source, v vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from torch import Tensor


class SearchState(Protocol):
    """Everything a model carries between steps, for n hypotheses."""

    @property
    def attention(self) -> Tensor | None:
        """The weights of the last step [n h s]; None where the model has none."""

    def select(self, rows: Tensor) -> Self:
        """The state of these rows, in that order; rows may be left out or repeated."""


S = TypeVar("S", bound=SearchState)


class Stepper(Protocol[S]):
    """A model as search sees it."""

    def start(self, sources: Sequence[Sequence[int]]) -> S:
        """Source tokens, EOS included -> the state before the first step, a row per source."""

    def step(self, tokens: Tensor, state: S) -> tuple[Tensor, S]:
        """The previous token of each row [n] (BOS first) -> log-probabilities of the next [n v], the next state."""


@dataclass(frozen=True)
class Hypothesis:
    """A translation in tokens."""

    tokens: list[int]
    """With EOS last, unless the length limit ended it."""
    token_scores: list[float]
    """Natural-log probability of each token."""
    rank: float
    """What search sorts by: the score over the length penalty."""
    attention: Tensor | None
    """[h t s]: a row of source weights for each token."""

    @property
    def score(self) -> float:
        """Log-probability of the whole, no penalty."""
        return sum(self.token_scores)


@dataclass(frozen=True)
class LengthPenalty:
    """rank = score / lp(length), length counting EOS."""

    kind: str
    """`wu`: ((5 + length)/6)^alpha (Wu 2016, eq. 14); `average`: length; `none`: 1."""
    alpha: float = 1.0

    def __call__(self, length: int) -> float:
        if self.kind == "wu":
            return float(((5 + length) / 6) ** self.alpha)
        return float(length) if self.kind == "average" else 1.0


@dataclass(frozen=True)
class Limits:
    """What a hypothesis may be."""

    forbidden: Sequence[int]
    """Tokens never produced."""
    max_length: int
    """Tokens, EOS included."""
    max_length_ratio: float
    """Each sentence is also held to so many times its own source's length, + 10."""

    def length(self, source: Sequence[int]) -> int:
        """The most tokens for this source, whatever else is in its batch."""
        return max(1, min(self.max_length, int(self.max_length_ratio * len(source)) + 10))
