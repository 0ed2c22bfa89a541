"""Two directions combined: cases worked by hand, and what holds for all links."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.inference.alignment import Aligner, WordAlignment, align
from seq2seq.inference.forced_scores import ScoredPair
from seq2seq.inference.symmetrisation import (
    METHODS,
    agreement_of_directions,
    grow_diag,
    grow_diag_final_and,
    intersection,
    order,
    tune,
    union,
)
from seq2seq.inference.translation import Translation
from seq2seq.text.word_alignments import Link
from seq2seq.text.words import Words

LINKS = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


def test_intersection_and_union() -> None:
    forward, reverse = [(0, 0), (1, 1)], [(1, 1), (2, 1)]
    assert intersection(forward, reverse) == {(1, 1)}
    assert union(forward, reverse) == {(0, 0), (1, 1), (2, 1)}


def test_growing_takes_neighbours_that_align_a_new_word_only() -> None:
    # 0-0 is common. 1-1 is its neighbour on the diagonal, 1-2 a neighbour of that; 4-4 has no neighbour; 0-1 aligns
    # two words that have links by then.
    forward, reverse = {(0, 0), (1, 1), (4, 4)}, {(0, 0), (1, 2), (0, 1)}
    assert grow_diag(forward, reverse) == {(0, 0), (0, 1), (1, 1), (1, 2)}


def test_a_link_between_two_aligned_words_is_not_grown() -> None:
    common = {(0, 0), (1, 1)}
    assert grow_diag(common | {(0, 1)}, common | {(1, 0)}) == common


def test_growing_goes_on_from_what_was_grown() -> None:
    chain = {(0, 0), (1, 0), (2, 0), (3, 0)}
    assert grow_diag(chain, {(0, 0)}) == chain


def test_the_final_step_joins_words_that_are_both_free() -> None:
    forward, reverse = {(0, 0), (3, 3), (5, 0)}, {(0, 0), (3, 5), (4, 2)}
    # 3-3 comes first, so word 3 of the source is taken when 3-5 is looked at; 5-0 joins a word that is aligned.
    assert grow_diag_final_and(forward, reverse) == {(0, 0), (3, 3), (4, 2)}


@given(LINKS, LINKS)
def test_each_method_lies_between_intersection_and_union(forward: set[Link], reverse: set[Link]) -> None:
    few, many = intersection(forward, reverse), union(forward, reverse)
    grown, final = grow_diag(forward, reverse), grow_diag_final_and(forward, reverse)
    assert few <= grown <= final <= many
    for symmetrise in METHODS.values():
        assert symmetrise(forward, forward) == forward


@given(LINKS, LINKS)
def test_final_and_leaves_no_link_between_two_free_words(forward: set[Link], reverse: set[Link]) -> None:
    final = grow_diag_final_and(forward, reverse)
    sources, targets = {i for i, _ in final}, {j for _, j in final}
    assert all(i in sources or j in targets for i, j in forward | reverse)


def test_agreement_is_the_share_of_common_links() -> None:
    assert agreement_of_directions([[(0, 0), (1, 1)], []], [[(0, 0)], [(2, 2)]]) == 0.5
    assert agreement_of_directions([[]], [[]]) == 0


def test_links_come_in_the_order_of_the_target() -> None:
    assert order({(2, 0), (0, 1), (1, 0)}) == [(1, 0), (2, 0), (0, 1)]


def scored(matrix: list[list[float]], source: str, target: str) -> ScoredPair:
    """A pair of words that are each a piece, with EOS and without attention to it: weights [t s] without EOS."""
    weights = np.zeros((1, len(matrix) + 1, len(matrix[0]) + 1))
    weights[0, :-1, :-1], weights[0, -1, -1] = matrix, 1
    return ScoredPair(source, target, 0.0, 0.0, [], [], [], weights)


class OnePieceAWord(Aligner):
    """Reads pairs of `scored`."""

    def align(self, result: Translation) -> WordAlignment:
        assert result.attention is not None
        sides = [
            Words(line.split(), [*(range(n, n + 1) for n in range(len(line.split()))), range(0)])
            for line in (result.source, result.text)
        ]
        return align(*sides, result.attention, self.rule)


def test_a_planted_shift_is_found_without_gold() -> None:
    generator = np.random.default_rng(1)
    forward, reverse = [], []
    for _ in range(20):
        order_of_words = generator.permutation(5)
        matrix = np.full((5, 5), 0.05)
        matrix[np.arange(5), order_of_words] = 0.8
        lagging = np.vstack([np.full((1, 5), 0.2), matrix[:-1]])  # row t + 1 has the weights of token t
        forward.append(scored(lagging.tolist(), "a b c d e", "A B C D E"))
        reverse.append(scored(matrix.T.tolist(), "A B C D E", "a b c d e"))
    aligners = tuple(OnePieceAWord(*[None] * 2) for _ in range(2))  # type: ignore[arg-type]
    found = tune(aligners, forward, reverse)  # type: ignore[arg-type]
    assert [rule.shift for rule in found.rules] == [1, 0]
    assert found.rules[0].pieces == "mean"
    assert found.agreement > 0.8
