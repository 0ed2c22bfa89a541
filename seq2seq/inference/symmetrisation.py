"""One alignment from the two of both directions of translation (Och & Ney 2003, section 4; Koehn 2003).

Links are (i, j): word i of the source and word j of the target, in both directions.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from seq2seq.inference.alignment import Aligner, WordAlignment
from seq2seq.inference.forced_scores import ScoredPair
from seq2seq.inference.link_rules import LinkRule
from seq2seq.text.word_alignments import Link

_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def intersection(forward: Collection[Link], reverse: Collection[Link]) -> set[Link]:
    """The links of both: few and precise."""
    return set(forward) & set(reverse)


def union(forward: Collection[Link], reverse: Collection[Link]) -> set[Link]:
    """The links of either: many, with the best recall."""
    return set(forward) | set(reverse)


def grow_diag(forward: Collection[Link], reverse: Collection[Link]) -> set[Link]:
    """The intersection, grown by neighbouring links of the union that align a word without any link so far.

    Links are visited in the order of the text, again and again until none is added.
    """
    found, possible = intersection(forward, reverse), union(forward, reverse)
    sources, targets = {i for i, _ in found}, {j for _, j in found}
    grown = True
    while grown:
        grown = False
        for i, j in sorted(found):
            for link in ((i + down, j + right) for down, right in _NEIGHBOURS):
                if link in possible and link not in found and not (link[0] in sources and link[1] in targets):
                    found.add(link)
                    sources.add(link[0])
                    targets.add(link[1])
                    grown = True
    return found


def grow_diag_final_and(forward: Collection[Link], reverse: Collection[Link]) -> set[Link]:
    """What `grow_diag` gives, and each link of either direction between two words without any link so far."""
    forward, reverse = sorted(forward), sorted(reverse)
    found = grow_diag(forward, reverse)
    sources, targets = {i for i, _ in found}, {j for _, j in found}
    for i, j in (*forward, *reverse):
        if i not in sources and j not in targets:
            found.add((i, j))
            sources.add(i)
            targets.add(j)
    return found


Symmetrise = Callable[[Collection[Link], Collection[Link]], set[Link]]

METHODS: dict[str, Symmetrise] = {
    "intersection": intersection,
    "union": union,
    "grow-diag": grow_diag,
    "grow-diag-final-and": grow_diag_final_and,
}


def agreement_of_directions(forward: Iterable[Sequence[Link]], reverse: Iterable[Sequence[Link]]) -> float:
    """2 |F ∩ R| / (|F| + |R|) of the links F and R of all pairs; 0 if there are none."""
    pairs = [(set(f), set(r)) for f, r in zip(forward, reverse, strict=True)]
    both = sum(len(f & r) for f, r in pairs)
    return 2 * both / max(1, sum(len(f) + len(r) for f, r in pairs))


def order(links: Iterable[Link]) -> list[Link]:
    """Links in the order of the target, as models give them."""
    return sorted(links, key=lambda link: (link[1], link[0]))


def both_directions(forward: WordAlignment, reverse: WordAlignment, symmetrise: Symmetrise) -> WordAlignment:
    """The alignment by both: symmetrised links, and the mean of both matrices.

    `reverse` aligns the words of the source with those of the target.
    """
    links = order(symmetrise(forward.links, [(i, j) for j, i in reverse.links]))
    return replace(forward, links=links, matrix=(forward.matrix + reverse.matrix.T) / 2)


_SHIFTS = (0, -1, 1)
_PIECES = ("mean", "first")
_THRESHOLDS = (None, 0.05, 0.1, 0.2, 0.3, 0.4)


class Tuned(NamedTuple):
    """The rules by which two directions agree most, and how much they then agree."""

    rules: tuple[LinkRule, LinkRule]
    """The rules of forward and reverse"""
    agreement: float


def tune(aligners: tuple[Aligner, Aligner], forward: Sequence[ScoredPair], reverse: Sequence[ScoredPair]) -> Tuned:
    """Find how to read the links of both directions without gold links: so that they agree most.

    The shift of each direction is found first, then which pieces count, then a threshold for both. `reverse` has the
    same pairs as `forward`, the other way round. Of equals, the first of the candidates wins: that of untuned models.
    """

    @functools.cache
    def links(direction: int, rule: LinkRule) -> list[list[Link]]:
        aligner = replace(aligners[direction], rule=rule)
        found = [aligner.align(scored).links for scored in (forward, reverse)[direction]]
        return found if direction == 0 else [[(i, j) for j, i in each] for each in found]

    def best(candidates: Iterable[tuple[LinkRule, LinkRule]]) -> Tuned:
        rated = [Tuned(rules, agreement_of_directions(links(0, rules[0]), links(1, rules[1]))) for rules in candidates]
        return max(rated, key=lambda tuned: tuned.agreement)

    one, other = best((LinkRule(one), LinkRule(other)) for one in _SHIFTS for other in _SHIFTS).rules
    one, other = best((replace(one, pieces=pieces), replace(other, pieces=pieces)) for pieces in _PIECES).rules
    return best((replace(one, threshold=least), replace(other, threshold=least)) for least in _THRESHOLDS)
