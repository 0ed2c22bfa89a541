"""Several models that search as one model.

Shapes: n rows (hypotheses), h heads, t target, s source, u columns (the vocabulary, or a shortlist's part of it).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seq2seq.search.protocol import Integers, SearchState, Stepper


def mean_probability(log_probs: Sequence[Tensor]) -> Tensor:
    """Log of the mean probability over models."""
    return torch.stack(list(log_probs)).logsumexp(0) - math.log(len(log_probs))


def mean_attention(weights: Iterable[Tensor | None], heads: int) -> Tensor | None:
    """Mean over models of the mean over heads, dimension `heads`, which keeps size 1; None without any attention."""
    present = [w.mean(heads, keepdim=True) for w in weights if w is not None]
    return torch.stack(present).mean(0) if present else None


@dataclass(frozen=True)
class Member:
    """A model of an ensemble, and the sources in its own pieces. All members have the same shortlist, or none."""

    stepper: Stepper[Any]
    sources: Sequence[Sequence[int]]
    aligned: bool
    """Whether its pieces are those given to `start`, so that its attention counts."""


@dataclass(frozen=True)
class EnsembleState:
    """The members' states, which have the same rows."""

    members: Sequence[SearchState]
    attention: Tensor | None = None
    """[n 1 s]: weights of the last step."""

    @property
    def vocabulary(self) -> Integers | None:
        return self.members[0].vocabulary

    def select(self, rows: Tensor) -> "EnsembleState":
        return EnsembleState([member.select(rows) for member in self.members])


@dataclass(frozen=True)
class Ensemble:
    """Models with one target vocabulary: a token's probability is the mean of theirs."""

    members: Sequence[Member]

    def start(self, sources: Sequence[Sequence[int]]) -> EnsembleState:
        return EnsembleState([member.stepper.start(member.sources) for member in self.members])

    def step(self, tokens: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        steps = [member.stepper.step(tokens, one) for member, one in zip(self.members, state.members, strict=True)]
        attention = mean_attention(
            (one.attention for member, (_, one) in zip(self.members, steps, strict=True) if member.aligned), heads=1
        )
        return mean_probability([log_probs for log_probs, _ in steps]), EnsembleState([s for _, s in steps], attention)
