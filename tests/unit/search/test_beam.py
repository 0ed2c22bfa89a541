"""Search against scripted models: exhaustive search is the judge."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from reference.beam import beam as reference_beam
from torch import Tensor

from seq2seq.search import largest
from seq2seq.search.beam import beam
from seq2seq.search.constraints import repeated
from seq2seq.search.ensemble import Ensemble, Member
from seq2seq.search.greedy import Sampling, greedy, sample
from seq2seq.search.protocol import Hypothesis, Integers, Limits, Ranking
from seq2seq.text.tokenizer import BOS, EOS, PAD

VOCAB = 6  # PAD, UNK, BOS, EOS and two words
LIMITS = Limits(forbidden=(PAD, BOS), max_length=4, max_length_ratio=10.0)


@dataclass(frozen=True)
class Prefixes:
    """The state of the scripted model: the source and the prefix of every row."""

    rows: tuple[tuple[int, ...], ...]
    attention: Tensor | None = None
    vocabulary: Integers | None = None

    def select(self, rows: Tensor) -> "Prefixes":
        return Prefixes(tuple(self.rows[row] for row in rows.tolist()), vocabulary=self.vocabulary)


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
        attention = torch.tensor([[[len(row) / 20, row[-1] / 20]] for row in rows])  # [n 1 2]
        return torch.stack([self.log_probs(row) for row in rows]), Prefixes(rows, attention)

    def log_probs(self, row: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(hash(row) % (1 << 31))
        return (torch.randn(VOCAB, generator=generator, dtype=torch.float64) / self.temperature).log_softmax(-1)


def attention_of(tokens: Sequence[int]) -> Tensor:
    """What the scripted model attends to while it says these [1 t 2]."""
    inputs = [BOS, *tokens[:-1]]
    return torch.tensor([[[(2.0 + t) / 20, float(token) / 20] for t, token in enumerate(inputs)]])


def repeats(tokens: Sequence[int], n: int) -> bool:
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(grams)) < len(grams)


def every_hypothesis(
    model: "Scripted | Mixture", source: int, limits: Limits, ranking: Ranking, prefix: Sequence[int] = ()
) -> list[tuple[float, list[int]]]:
    """All allowed outputs with their ranks, best first."""
    words = [token for token in range(VOCAB) if token not in limits.forbidden and token != EOS]
    longest = max(limits.max_length, len(prefix) + 1)
    found = []
    for length in range(1, longest + 1):
        for said in itertools.product(words, repeat=length - 1):
            for last in [EOS] if length < longest else [*words, EOS]:
                tokens = [*said, last]
                short = last == EOS and length < math.ceil(limits.min_length_ratio * 2)
                again = limits.no_repeat_ngram is not None and repeats(tokens, limits.no_repeat_ngram)
                if short or again or tokens[: len(prefix)] != list(prefix):
                    continue
                score = sum(float(model.log_probs((source, BOS, *tokens[:i]))[token]) for i, token in enumerate(tokens))
                found.append((ranking(score, length, attention_of(tokens)), tokens))
    return sorted(found, key=lambda pair: -pair[0])


@dataclass(frozen=True)
class Mixture:
    """What an ensemble of scripted models should say."""

    models: Sequence[Scripted]

    def log_probs(self, row: tuple[int, ...]) -> Tensor:
        return torch.stack([model.log_probs(row).exp() for model in self.models]).mean(0).log()


RANKINGS = [
    Ranking("wu", 1.0),
    Ranking("wu", 0.6),
    Ranking("average"),
    Ranking("none"),
    Ranking("wu", 1.0, coverage=0.8),
    Ranking("average", coverage=0.2),
]
CONSTRAINED = [
    dataclasses.replace(LIMITS, min_length_ratio=1.5),
    dataclasses.replace(LIMITS, no_repeat_ngram=1),
    dataclasses.replace(LIMITS, no_repeat_ngram=2, min_length_ratio=1.0),
]


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("source", range(20))
def test_a_wide_beam_is_exhaustive_search(source: int, ranking: Ranking) -> None:
    model = Scripted(temperature=0.5)
    (found,) = beam(model, [[source, EOS]], LIMITS, ranking, beam_size=81, n_best=5)
    for hypothesis, (rank, tokens) in zip(found, every_hypothesis(model, source, LIMITS, ranking), strict=False):
        assert hypothesis.tokens == tokens
        assert hypothesis.rank == pytest.approx(rank, abs=1e-12)


def agrees(found: Sequence[Hypothesis], expected: Sequence[tuple[float, Sequence[int]]]) -> None:
    assert found
    for hypothesis, (rank, tokens) in zip(found, expected, strict=False):
        assert hypothesis.tokens == list(tokens)
        assert hypothesis.rank == pytest.approx(rank, abs=1e-9)


@pytest.mark.parametrize("ranking", [RANKINGS[0], RANKINGS[4]])
@pytest.mark.parametrize("limits", CONSTRAINED)
@pytest.mark.parametrize("source", range(10))
def test_a_wide_beam_under_constraints_is_exhaustive_search(source: int, limits: Limits, ranking: Ranking) -> None:
    model = Scripted(temperature=0.5)
    (found,) = beam(model, [[source, EOS]], limits, ranking, beam_size=81, n_best=5)
    agrees(found, every_hypothesis(model, source, limits, ranking))


@pytest.mark.parametrize("prefix", [[4], [5, 5], [4, 5, 1, 1, 5]])
@pytest.mark.parametrize("source", range(10))
def test_a_prefix_is_said_first_and_the_rest_is_searched_for(source: int, prefix: list[int]) -> None:
    model, other = Scripted(temperature=0.5), [source + 50, EOS]
    found, free = beam(model, [[source, EOS], other], LIMITS, RANKINGS[0], 81, 3, prefixes=[prefix, []])
    agrees(found, every_hypothesis(model, source, LIMITS, RANKINGS[0], prefix))
    agrees(free, every_hypothesis(model, source + 50, LIMITS, RANKINGS[0]))
    ((best,), _) = greedy(model, [[source, EOS], other], LIMITS, RANKINGS[0], prefixes=[prefix, []])
    assert best.tokens[: len(prefix)] == prefix
    assert len(best.tokens) > len(prefix)


@pytest.mark.parametrize("search", [greedy, lambda *args: beam(*args, beam_size=2)])
def test_where_every_word_would_repeat_the_sentence_ends(search: Callable[..., list[list[Hypothesis]]]) -> None:
    limits = Limits((PAD, BOS), 20, 20.0, min_length_ratio=9.0, no_repeat_ngram=1)  # three words, eighteen wanted
    for best, *_ in search(Scripted(), [[source, EOS] for source in range(5)], limits, RANKINGS[0]):
        assert sorted(best.tokens) == [1, EOS, 4, 5]
        assert best.tokens[-1] == EOS


class Short(Scripted):
    """A scripted model whose columns are these tokens alone."""

    tokens = np.array([PAD, 1, BOS, EOS, 5])

    def log_probs(self, row: tuple[int, ...]) -> Tensor:
        full = torch.full((VOCAB,), -torch.inf, dtype=torch.float64)
        full[self.tokens] = super().log_probs(row)[self.tokens].log_softmax(-1)
        return full

    def start(self, sources: Sequence[Sequence[int]]) -> Prefixes:
        return dataclasses.replace(super().start(sources), vocabulary=self.tokens)

    def step(self, tokens: Tensor, state: Prefixes) -> tuple[Tensor, Prefixes]:
        log_probs, state = super().step(tokens, state)
        return log_probs[:, self.tokens], dataclasses.replace(state, vocabulary=self.tokens)


@pytest.mark.parametrize("limits", [LIMITS, *CONSTRAINED, dataclasses.replace(LIMITS, forbidden=(PAD, BOS, 1, 4))])
@pytest.mark.parametrize("prefix", [[], [5], [1, 5]])
def test_columns_stand_for_the_tokens_that_a_model_says(limits: Limits, prefix: list[int]) -> None:
    for source in range(5):
        (found,) = beam(Short(0.5), [[source, EOS]], limits, RANKINGS[0], 81, 3, prefixes=[prefix])
        agrees(found, every_hypothesis(Short(0.5), source, limits, RANKINGS[0], prefix))
        ((best,),) = greedy(Short(0.5), [[source, EOS]], limits, RANKINGS[0], prefixes=[prefix])
        (one,) = beam(Short(0.5), [[source, EOS]], limits, RANKINGS[0], 1, prefixes=[prefix])
        assert best.tokens == one[0].tokens
        assert 4 not in best.tokens
        (drawn,) = sample(Short(), [[source, EOS]], limits, RANKINGS[0], Sampling(), 5, [(1, 0)], prefixes=[prefix])
        assert not {4} & {token for hypothesis in drawn for token in hypothesis.tokens}


@pytest.mark.parametrize("ranking", RANKINGS)
def test_search_stops_as_soon_as_nothing_unfinished_can_win(ranking: Ranking) -> None:
    class Sure(Scripted):
        def log_probs(self, row: tuple[int, ...]) -> Tensor:
            p = torch.full((VOCAB,), 0.01 / (VOCAB - 1), dtype=torch.float64)
            p[EOS if len(row) == 3 else 4] = 0.99  # a word, then the end
            return p.log()

    model = Sure()
    (found,) = beam(model, [[7, EOS]], LIMITS, ranking, beam_size=3)
    assert found[0].tokens == [4, EOS]
    assert len(model.asked) == 2


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_narrow_beams_are_those_of_a_list_of_hypotheses(
    seed: int, blocks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random models, beams, limits and rankings; several sentences of different lengths in a batch."""
    if blocks:  # as large vocabularies are searched
        monkeypatch.setattr(largest, "_MANY", 1)
        monkeypatch.setattr(largest, "_WIDTH", 2)
    drawn = np.random.default_rng(seed)
    beam_size = int(drawn.integers(1, 7))
    n_best = int(drawn.integers(1, beam_size + 1))
    ranking = RANKINGS[drawn.integers(len(RANKINGS))]
    model = Scripted(float(drawn.choice([0.5, 1.0, 3.0])))
    ratio = float(drawn.choice([0.0, 0.0, 0.7, 1.5]))
    limits = Limits((PAD, BOS), int(drawn.integers(1, 14)), float(drawn.choice([0.0, 2.0])), ratio)
    sources = [[100 * seed + number, *[4] * number, EOS] for number in range(4)]
    found = beam(model, sources, limits, ranking, beam_size, n_best)
    for source, hypotheses in zip(sources, found, strict=True):

        def log_probs(tokens: tuple[int, ...], source: list[int] = source) -> list[float]:
            p = model.log_probs((source[0], BOS, *tokens))
            p[[PAD, BOS]] = -torch.inf
            if len(tokens) + 1 < limits.min_length_ratio * len(source):
                p[EOS] = -torch.inf
            return p.tolist()

        def rank(total: float, tokens: tuple[int, ...]) -> float:
            return ranking(total, len(tokens), attention_of(tokens))

        longest = limits.longest(source, ())
        agrees(hypotheses, wanted := reference_beam(log_probs, rank, EOS, longest, beam_size)[:n_best])
        assert len(hypotheses) == len(wanted)


@pytest.mark.parametrize("tokens", [[4, 5, 4, 5, 6, 4], [4, 4, 4], [4], []])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_what_is_blocked_is_what_would_repeat(tokens: list[int], n: int) -> None:
    before = repeats(tokens, n)
    rows, found = repeated(np.array([[9] * len(tokens), tokens], np.int64), n)  # beside another row
    blocked = set(found[rows == 1].tolist())
    for token in range(3, 8):
        assert (token in blocked) == (repeats([*tokens, token], n) and (not before or token in blocked))


def test_an_ensemble_searches_the_mean_of_the_probabilities() -> None:
    class Shifted(Scripted):
        def log_probs(self, row: tuple[int, ...]) -> Tensor:
            return super().log_probs((row[0] + 1000, *row[1:]))

    models = [Scripted(0.5), Shifted(1.0), Scripted(0.8)]
    for source in range(10):
        sources = [[source, EOS]]
        ensemble = Ensemble([Member(model, sources, aligned=True) for model in models])
        (found,) = beam(ensemble, sources, LIMITS, RANKINGS[4], 81, 5)
        agrees(found, every_hypothesis(Mixture(models), source, LIMITS, RANKINGS[4]))
        ((best,),) = greedy(ensemble, sources, LIMITS, RANKINGS[0])
        (one,) = beam(ensemble, sources, LIMITS, RANKINGS[0], 1)
        assert best.tokens == one[0].tokens


def draw(sampling: Sampling, count: int, source: int = 7) -> list[Hypothesis]:
    (drawn,) = sample(Scripted(), [[source, EOS]], LIMITS, RANKINGS[0], sampling, count, [(1, 0)])
    return drawn


def shares(drawn: Sequence[Hypothesis]) -> list[float]:
    """Of each first token."""
    return [sum(h.tokens[0] == token for h in drawn) / len(drawn) for token in range(VOCAB)]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(0.5),
        Sampling(2.0),
        Sampling(top_k=2),
        Sampling(0.7, 3, 0.6),
        Sampling(1.0, 2, 0.5),
        Sampling(top_p=0.8),
    ],
)
def test_samples_come_as_often_as_they_should(sampling: Sampling) -> None:
    log_probs = Scripted().log_probs((7, BOS))
    log_probs[[PAD, BOS]] = -torch.inf
    p = (log_probs / sampling.temperature).softmax(-1).tolist()
    ranked = sorted(range(VOCAB), key=lambda token: -p[token])[: sampling.top_k]
    total = sum(p[token] for token in ranked)
    kept = [t for place, t in enumerate(ranked) if sum(p[u] for u in ranked[:place]) < sampling.top_p * total]
    found = shares(draw(sampling, 4000))
    for token in range(VOCAB):
        expected = p[token] / sum(p[t] for t in kept) if token in kept else 0.0
        assert found[token] == pytest.approx(expected, abs=0.03)
        assert (found[token] == 0) == (token not in kept)


def test_every_step_draws_anew() -> None:
    class Even(Scripted):
        def log_probs(self, row: tuple[int, ...]) -> Tensor:
            return torch.zeros(VOCAB).log_softmax(-1)

    limits = Limits((PAD, BOS, EOS), 2, 10.0)  # three words are left
    (drawn,) = sample(Even(), [[7, EOS]], limits, RANKINGS[0], Sampling(), 500, [(1, 0)])
    alike = sum(hypothesis.tokens[0] == hypothesis.tokens[1] for hypothesis in drawn) / len(drawn)
    assert alike == pytest.approx(1 / 3, abs=0.07)


def test_the_scores_of_samples_are_the_models_whatever_the_temperature() -> None:
    for hypothesis in draw(Sampling(3.0, 3), 50):
        for t, (token, score) in enumerate(zip(hypothesis.tokens, hypothesis.token_scores, strict=True)):
            assert score == pytest.approx(float(Scripted().log_probs((7, BOS, *hypothesis.tokens[:t]))[token]))


def test_samples_depend_on_seed_and_line_and_not_on_the_batch() -> None:
    sources = [[source, EOS] for source in (3, 3, 4, 5)]
    seeds = [(1, line) for line in range(4)]

    def tokens(rows: list[int], seed: int = 1) -> list[list[list[int]]]:
        found = sample(Scripted(), [sources[r] for r in rows], LIMITS, RANKINGS[0], Sampling(), 6,
                       [(seed, seeds[r][1]) for r in rows])  # fmt: skip
        return [[h.tokens for h in drawn] for drawn in found]

    together = tokens([0, 1, 2, 3])
    assert tokens([3, 1, 0]) == [together[3], together[1], together[0]]
    assert together[0] != together[1]  # the same sentence in two lines
    assert together != tokens([0, 1, 2, 3], seed=2)
    assert len({tuple(t) for t in together[0]}) > 1


def test_what_is_drawn_does_not_hang_on_rounding() -> None:
    """As other batches round otherwise: which of nearly equal tokens is the more probable means nothing."""
    flat = 1e-6 * torch.randn(2000, 50)
    uniform = torch.rand(2000, dtype=torch.float64)
    columns = Sampling().choose(flat, uniform)
    assert Sampling().choose(flat + 1e-6 * torch.randn(2000, 50), uniform).equal(columns)
    assert columns.unique().numel() == 50


@pytest.mark.parametrize("sampling", [Sampling(top_k=4), Sampling(top_p=0.4), Sampling(2.0, 8, 0.5)])
def test_of_equal_tokens_the_first_are_kept(sampling: Sampling) -> None:
    even = torch.full((400, 10), -math.log(10))
    columns = sampling.choose(even, torch.rand(400, dtype=torch.float64))
    assert columns.unique().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=2), Sampling(top_p=0.9)])
def test_what_is_forbidden_is_never_drawn(sampling: Sampling) -> None:
    log_probs = torch.tensor([[-torch.inf, 0.3, -torch.inf, 1.1, -torch.inf, -torch.inf]]).expand(2, -1)
    ends = torch.tensor([0.0, np.nextafter(1, 0)], dtype=torch.float64)
    assert sampling.choose(log_probs, ends).tolist() == [1, 3]


def test_cold_samples_and_samples_of_one_token_are_greedy() -> None:
    for source in range(10):
        ((best,),) = greedy(Scripted(), [[source, EOS]], LIMITS, RANKINGS[0])
        for sampling in (Sampling(1e-3), Sampling(top_k=1), Sampling(top_p=1e-9)):
            assert [h.tokens for h in draw(sampling, 2, source)] == [best.tokens] * 2


def test_the_coverage_penalty_is_wus() -> None:
    attention = torch.tensor([[[0.5, 0.0, 0.2], [0.7, 0.0, 0.1]], [[0.5, 0.0, 0.4], [0.7, 0.0, 0.1]]])  # [h t s]
    expected = 0.2 * (math.log(1.0) + math.log(1e-6) + math.log(0.4))
    assert Ranking("none", coverage=0.2)(-3.0, 2, attention) == pytest.approx(-3.0 + expected, abs=1e-6)
    with pytest.raises(ValueError, match="without attention"):
        Ranking("none", coverage=0.2)(-3.0, 2, None)


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
            torch.testing.assert_close(hypothesis.attention, attention_of(hypothesis.tokens))


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
