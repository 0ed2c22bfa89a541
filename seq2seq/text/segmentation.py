"""Drawing how a word is cut into pieces, from a generator of our own.

sentencepiece draws too, but since its version 0.2.2 salts its seed with a number that is another one in each process:
a training that is started again would see other pieces.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random

Scores = Mapping[str, float]
"""Of each piece: for BPE the higher the earlier it was merged, for unigram its log-probability."""


def drop_merges(word: str, scores: Scores, amount: float, random: Random) -> list[str]:
    """BPE in which at every step each merge that is possible is left out with probability `amount` (Provilkov 2020,
    algorithm 1); of equally early ones the first is made."""
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
    """A segmentation x of all there are, of which there has to be one, with probability ~ P(x)^amount, by forward
    filtering and backward sampling (Kudo 2018, section 3.2)."""
    total = [0.0, *[-math.inf] * len(word)]  # of all ways to get so far, in logarithms
    ways: list[list[tuple[int, float]]] = [[]]  # where the last piece begins, and the total of those ways
    for end in range(1, len(word) + 1):
        found = [
            (start, total[start] + amount * scores[word[start:end]])
            for start in range(end)
            if total[start] > -math.inf and word[start:end] in scores
        ]
        ways.append(found)
        if found:
            most = max(value for _, value in found)
            total[end] = most + math.log(sum(math.exp(value - most) for _, value in found))
    pieces, end = [], len(word)
    while end:
        (start,) = random.choices(
            [start for start, _ in ways[end]], [math.exp(value - total[end]) for _, value in ways[end]]
        )
        pieces.append(word[start:end])
        end = start
    return pieces[::-1]


def choose(candidates: Sequence[Sequence[float]], amount: float, random: Random) -> int:
    """The number of a segmentation, given by the scores of its pieces, with probability ~ P(x)^amount."""
    totals = [amount * math.fsum(scores) for scores in candidates]
    most = max(totals)
    return random.choices(range(len(totals)), [math.exp(total - most) for total in totals])[0]
