"""Which tokens may come next in each hypothesis.

Shapes: n rows (hypotheses), v vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.search.protocol import Limits
from seq2seq.text.tokenizer import EOS


@dataclass(frozen=True)
class Sentence:
    """A source, and how its translation has to begin and how long it may be."""

    source_length: int
    prefix: Sequence[int]
    """Tokens that come first, whatever their probability; none of the other limits holds for them."""
    shortest: int
    longest: int


def sentences(
    sources: Sequence[Sequence[int]], limits: Limits, prefixes: Sequence[Sequence[int]] | None
) -> list[Sentence]:
    """Source tokens, EOS included, and for each the tokens its translation has to begin with (None: nothing)."""
    begun: Sequence[Sequence[int]] = [()] * len(sources) if prefixes is None else prefixes
    return [
        Sentence(len(source), prefix, limits.shortest(source), limits.longest(source, prefix))
        for source, prefix in zip(sources, begun, strict=True)
    ]


@dataclass(frozen=True)
class Constraints:
    """The limits that hold for single tokens."""

    forbidden: Tensor
    no_repeat_ngram: int | None

    @classmethod
    def of(cls, limits: Limits) -> "Constraints":
        return cls(torch.tensor(list(limits.forbidden), dtype=torch.long), limits.no_repeat_ngram)

    def apply(
        self, log_probs: Tensor, rows: Sequence[Sentence], length: int, path: Callable[[int], Sequence[int]]
    ) -> Tensor:
        """Log-probabilities [n v] of the token that makes a hypothesis `length` long, with −∞ where it may not be.

        `rows` are the sentences of the rows, and `path` gives the tokens that a row has so far.
        """
        allowed = log_probs.index_fill(1, self.forbidden.to(log_probs.device), -torch.inf)
        if early := [row for row, sentence in enumerate(rows) if length < sentence.shortest]:
            allowed[early, EOS] = -torch.inf
        if self.no_repeat_ngram is not None:
            repeated = [self._repeated(path(row), self.no_repeat_ngram) for row in range(len(rows))]
            places = [(row, token) for row, tokens in enumerate(repeated) for token in tokens]
            if places:
                allowed[tuple(torch.tensor(places).T)] = -torch.inf
                nothing_left = allowed.amax(1) == -torch.inf  # then ending is better than repeating
                allowed[nothing_left, EOS] = log_probs[nothing_left, EOS]
        for row, sentence in enumerate(rows):
            if length <= len(sentence.prefix):
                allowed[row] = -torch.inf
                token = sentence.prefix[length - 1]
                allowed[row, token] = log_probs[row, token]
        return allowed

    @staticmethod
    def _repeated(tokens: Sequence[int], n: int) -> list[int]:
        """What would end an n-gram that has been."""
        last = tuple(tokens[len(tokens) - n + 1 :]) if n > 1 else ()
        return [tokens[i + n - 1] for i in range(len(tokens) - n + 1) if tuple(tokens[i : i + n - 1]) == last]
