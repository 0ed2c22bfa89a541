"""Search against scripted models: exhaustive search is the judge."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from seq2seq.search.beam import beam
from seq2seq.search.protocol import Hypothesis, Limits, Ranking
from seq2seq.search.stepwise import greedy
from seq2seq.text.tokenizer import BOS, EOS, PAD

VOCAB = 6  # PAD, UNK, BOS, EOS and two words
LIMITS = Limits(forbidden=(PAD, BOS), max_length=4, max_length_ratio=10.0)


@dataclass(frozen=True)
class Prefixes:
    """The state of the scripted model: the source and the prefix of every row."""

    rows: tuple[tuple[int, ...], ...]
    attention: Tensor | None = None

    def select(self, rows: Tensor) -> "Prefixes":
        return Prefixes(tuple(self.rows[row] for row in rows.tolist()))


class Scripted:
    """Log-probabilities that are any function of source and prefix; the attention tells which row asked."""

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature
        self.asked: list[int] = []

    def start(self, sources: Sequence[Sequence[int]]) -> Prefixes:
        return Prefixes(tuple((source[0],) for source in sources))

    def step(self, tokens: Tensor, state: Prefixes) -> tuple[Tensor, Prefixes]:
        rows = tuple((*row, token) for row, token in zip(state.rows, tokens.tolist(), strict=True))
        self.asked.append(len(rows))
        attention = torch.tensor([[[float(len(row)), float(row[-1])]] for row in rows])  # [n 1 2]
        return torch.stack([self.log_probs(row) for row in rows]), Prefixes(rows, attention)

    def log_probs(self, row: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(hash(row) % (1 << 31))
        return (torch.randn(VOCAB, generator=generator, dtype=torch.float64) / self.temperature).log_softmax(-1)


def every_hypothesis(model: Scripted, source: int, limits: Limits, ranking: Ranking) -> list[tuple[float, list[int]]]:
    """All allowed outputs with their ranks, best first."""
    words = [token for token in range(VOCAB) if token not in limits.forbidden and token != EOS]
    found = []
    for length in range(1, limits.max_length + 1):
        for prefix in itertools.product(words, repeat=length - 1):
            for last in [EOS] if length < limits.max_length else [*words, EOS]:
                tokens = [*prefix, last]
                score = sum(float(model.log_probs((source, BOS, *tokens[:i]))[token]) for i, token in enumerate(tokens))
                found.append((ranking(score, length, None), tokens))
    return sorted(found, key=lambda pair: -pair[0])


RANKINGS = [Ranking("wu", 1.0), Ranking("wu", 0.6), Ranking("average"), Ranking("none")]


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("source", range(20))
def test_a_wide_beam_is_exhaustive_search(source: int, ranking: Ranking) -> None:
    model = Scripted(temperature=0.5)
    (found,) = beam(model, [[source, EOS]], LIMITS, ranking, beam_size=81, n_best=5)
    for hypothesis, (rank, tokens) in zip(found, every_hypothesis(model, source, LIMITS, ranking), strict=False):
        assert hypothesis.tokens == tokens
        assert hypothesis.rank == pytest.approx(rank, abs=1e-12)


@pytest.mark.parametrize("source", range(30))
def test_a_beam_of_one_is_greedy(source: int) -> None:
    for ranking in RANKINGS:
        (one,), (other,) = (
            search[0]
            for search in (
                greedy(Scripted(), [[source, EOS]], LIMITS, ranking),
                beam(Scripted(), [[source, EOS]], LIMITS, ranking, beam_size=1),
            )
        )
        assert one.tokens == other.tokens
        assert one.token_scores == other.token_scores
        assert one.rank == other.rank


def same(one: Hypothesis, other: Hypothesis) -> bool:
    assert one.attention is not None
    assert other.attention is not None
    return (
        one.tokens == other.tokens
        and one.token_scores == other.token_scores
        and torch.equal(one.attention, other.attention)
    )


@pytest.mark.parametrize("beam_size", [1, 2, 3])
def test_neighbours_in_the_batch_change_nothing(beam_size: int) -> None:
    sources = [[number, EOS] for number in range(12)]

    def search(batch: list[list[int]]) -> list[list[Hypothesis]]:
        return beam(Scripted(), batch, LIMITS, RANKINGS[0], beam_size, n_best=beam_size)

    together = search(sources)
    for number, source in enumerate(sources):
        (alone,) = search([source])
        assert len(alone) == len(together[number]) == beam_size
        assert all(itertools.starmap(same, zip(alone, together[number], strict=True)))
    assert [h[0].tokens for h in search(sources[::-1])] == [h[0].tokens for h in together[::-1]]


def test_scores_tokens_and_attention_belong_together() -> None:
    model = Scripted()
    for hypotheses in beam(model, [[n, EOS] for n in range(8)], LIMITS, RANKINGS[0], 3, 3):
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(sum(hypothesis.token_scores))
            assert hypothesis.rank == hypothesis.score / RANKINGS[0].length_penalty(len(hypothesis.tokens))
            assert hypothesis.attention is not None
            inputs = [BOS, *hypothesis.tokens[:-1]]
            assert hypothesis.attention[0].tolist() == [[2.0 + t, float(token)] for t, token in enumerate(inputs)]


def test_forbidden_tokens_are_never_produced_and_the_limit_holds_per_sentence() -> None:
    limits = Limits(forbidden=(PAD, BOS, EOS), max_length=100, max_length_ratio=2.0)
    sources = [[1, EOS], [2, 4, 4, EOS]]
    for hypotheses in (
        greedy(Scripted(), sources, limits, RANKINGS[0]),
        beam(Scripted(), sources, limits, RANKINGS[0], 2),
    ):
        assert [len(best.tokens) for best, *_ in hypotheses] == [14, 18]
        assert not {PAD, BOS, EOS} & {token for best, *_ in hypotheses for token in best.tokens}


def test_finished_sentences_leave_the_batch() -> None:
    model = Scripted()
    results = greedy(model, [[number, EOS] for number in range(20)], LIMITS, RANKINGS[0])
    going = [sum(len(best.tokens) > t for best, *_ in results) for t in range(4)]
    assert model.asked == [n for n in going if n]
    assert going[0] > going[-1]


def test_length_penalties_are_the_papers() -> None:
    assert Ranking("wu", 0.6).length_penalty(7) == pytest.approx((12 / 6) ** 0.6)
    assert Ranking("average", 0.6).length_penalty(7) == 7
    assert Ranking("none", 0.6).length_penalty(7) == 1
    assert math.isclose(Ranking("wu", 0.0).length_penalty(9), 1.0)
