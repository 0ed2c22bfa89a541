"""Drawing how a word is cut into pieces, reproducibly.

Sentencepiece draws too, but since version 0.2.2 it salts its seed with a number that differs between processes: a
resumed training would see other pieces.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random

Scores = Mapping[str, float]
"""Scores of pieces: for BPE the higher the earlier they were merged, for unigram log-probabilities."""


def drop_merges(word: str, scores: Scores, amount: float, random: Random) -> list[str]:
    """Cut a word by BPE, leaving out each possible merge with probability `amount` at every step.

    This is algorithm 1 of Provilkov 2020; of equally early merges the first is made.
    """
    symbols = list(word)
    while len(symbols) > 1:
        kept = [
            (scores[left + right], -place)
            for place, (left, right) in enumerate(pairwise(symbols))
            if left + right in scores and random.random() >= amount
        ]
        if not kept:
            break
        place = -max(kept)[1]
        symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
    return symbols


def draw_segmentation(word: str, scores: Scores, amount: float, random: Random) -> list[str]:
    """Draw a segmentation x with probability ~ P(x)^amount; the word needs to have at least one.

    This is forward filtering and backward sampling (Kudo 2018, section 3.2).
    """
    total = [0.0, *[-math.inf] * len(word)]  # of all ways to get this far, as logarithms
    ways: list[list[tuple[int, float]]] = [[]]  # where the last piece begins, and the total of those ways
    for end in range(1, len(word) + 1):
        last = [
            (start, total[start] + amount * scores[word[start:end]])
            for start in range(end)
            if total[start] > -math.inf and word[start:end] in scores
        ]
        ways.append(last)
        if last:
            most = max(value for _, value in last)
            total[end] = most + math.log(sum(math.exp(value - most) for _, value in last))
    pieces, end = [], len(word)
    while end:
        (start,) = random.choices(
            [start for start, _ in ways[end]], [math.exp(value - total[end]) for _, value in ways[end]]
        )
        pieces.append(word[start:end])
        end = start
    return pieces[::-1]


def choose(candidates: Sequence[Sequence[float]], amount: float, random: Random) -> int:
    """Draw the index of a segmentation x, given by the scores of its pieces, with probability ~ P(x)^amount."""
    totals = [amount * math.fsum(scores) for scores in candidates]
    most = max(totals)
    return random.choices(range(len(totals)), [math.exp(total - most) for total in totals])[0]
