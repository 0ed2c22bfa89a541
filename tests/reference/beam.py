"""Beam search over a list of hypotheses of one sentence; finished ones keep their places. Nothing stops early."""

import math
from collections.abc import Callable, Sequence

Tokens = tuple[int, ...]


def beam(
    log_probs: Callable[[Tokens], Sequence[float]],
    rank: Callable[[float, Tokens], float],
    end: int,
    longest: int,
    beam_size: int,
) -> list[tuple[float, Tokens]]:
    """The log-probabilities of the token after some tokens (−∞: it may not follow), the rank of a sum of them and its
    tokens -> all hypotheses that finish, best first, by rank.
    """
    going: list[tuple[float, Tokens]] = [(0.0, ())]
    finished: list[tuple[float, Tokens]] = []
    for length in range(1, longest + 1):
        continued = [
            (total + log_p, (*tokens, token))
            for total, tokens in going
            for token, log_p in enumerate(log_probs(tokens))
            if log_p > -math.inf
        ]
        best = sorted(continued, reverse=True)[: beam_size - len(finished)]
        going = [(total, tokens) for total, tokens in best if tokens[-1] != end and length < longest]
        finished += [(rank(total, tokens), tokens) for total, tokens in best if tokens[-1] == end or length == longest]
    return sorted(finished, reverse=True)
