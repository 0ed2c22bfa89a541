"""The path of every hypothesis: which token each step appended to which row.

Shapes: n rows before a step's selection, m rows after it, h heads, s source.
"""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class _Step:
    attention: Tensor | None  # [n h s]
    parents: list[int]  # [m]: the row each kept hypothesis came from
    tokens: list[int]  # [m]
    scores: list[float]  # [m]


@dataclass
class History:
    """Steps so far; a hypothesis is read backwards from its last row."""

    steps: list[_Step] = field(default_factory=list)

    def append(self, attention: Tensor | None, parents: list[int], tokens: list[int], scores: list[float]) -> None:
        """A step: its attention [n h s], and for each of the m rows kept its parent row, token and log-probability."""
        self.steps.append(_Step(attention, parents, tokens, scores))

    def path(self, row: int) -> tuple[list[int], list[float], list[Tensor]]:
        """Tokens, log-probabilities and attention [h s] of each step of what is now in this row."""
        tokens: list[int] = []
        scores: list[float] = []
        attention: list[Tensor] = []
        for step in reversed(self.steps):
            tokens.append(step.tokens[row])
            scores.append(step.scores[row])
            row = step.parents[row]
            if step.attention is not None:
                attention.append(step.attention[row])
        return tokens[::-1], scores[::-1], attention[::-1]

    def tokens(self, row: int) -> list[int]:
        """The tokens of what is now in this row."""
        tokens: list[int] = []
        for step in reversed(self.steps):
            tokens.append(step.tokens[row])
            row = step.parents[row]
        return tokens[::-1]
