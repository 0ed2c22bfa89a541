"""Minimum-risk training: the loss and its gradient by enumeration, what is sampled, and that the risk falls."""

import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from support import FORMAT_1
from support.sentences import PAIRS
from support.variants import DEFAULT, VOCAB, build_model, gradients, pairwise_rows, plain_model, set_dropout
from torch import Tensor

from seq2seq import build
from seq2seq.config import parse
from seq2seq.errors import ConfigError
from seq2seq.inference.metrics import sentence_metric
from seq2seq.search.greedy import Sampling, sample
from seq2seq.search.protocol import Limits, Ranking
from seq2seq.search.stepper import ModelStepper
from seq2seq.text.batches import Batch, pad
from seq2seq.text.tokenizer import BOS, EOS, PAD, Tokenizer
from seq2seq.training.loss import Loss, TranslationLoss
from seq2seq.training.risk import Candidates, MinimumRisk, candidate_log_probs, expected_costs

TOKENIZER = Tokenizer.load(FORMAT_1 / "source.model")
SOURCES = [[4, 5, 6, 7, 8, 3], [3], [6, 4, 3]]
SHARPNESS = 0.3
CPU = torch.device("cpu")


def batch_of(sources: list[list[int]], targets: list[list[int]]) -> Batch:
    source, lengths = pad(sources)
    return Batch(source, lengths, pad([[BOS, *target[:-1]] for target in targets])[0], pad(targets)[0])


def every_sentence(most: int) -> list[list[int]]:
    """All that end within so many tokens."""
    words = range(EOS + 1, VOCAB)
    return [[*words_of, EOS] for n in range(most) for words_of in itertools.product(words, repeat=n)]


def cost(tokens: list[int], row: int) -> float:
    """Something that differs from sentence to sentence."""
    return 0.5 + 0.5 * math.sin(sum((n + 1) * token for n, token in enumerate(tokens)) + row)


def log_p_one_by_one(model: Any, source: list[int], tokens: list[int]) -> Tensor:
    """log p(y | x), a step of search at a time."""
    memory, state = model.encode(torch.tensor([source]), torch.tensor([len(source)]))
    total, previous = torch.zeros((), dtype=torch.float64), BOS
    for token in tokens:
        log_probs, _, state = model.step(torch.tensor([previous]), memory, state)
        total, previous = total + log_probs[0, token], token
    return total


@pytest.mark.parametrize("row", [DEFAULT, *pairwise_rows()[:12]], ids=str)
def test_the_loss_and_its_gradient_are_those_of_enumeration(row: dict[str, Any]) -> None:
    model = build_model(row)
    if row["normaliser"] in ("gumbel", "reinforce"):
        model.eval()
    space = every_sentence(2)
    candidates: Candidates = [space, space[1:4], space[:1]]  # as different in number as can be
    costs = [[cost(tokens, number) for tokens in of] for number, of in enumerate(candidates)]
    batch = batch_of(SOURCES, [of[0] for of in candidates])
    found = expected_costs(candidate_log_probs(model, batch, candidates), costs, SHARPNESS)

    # By the definition, and the gradient by the paper's: α Σ_y Q(y) (Δ(y) − Σ_y' Q(y') Δ(y')) ∇ log p(y).
    surrogate = torch.zeros((), dtype=torch.float64)
    for number, (source, of_sentence) in enumerate(zip(SOURCES, candidates, strict=True)):
        log_p = [log_p_one_by_one(model, source, list(tokens)) for tokens in of_sentence]
        power = [math.exp(float(each.detach())) ** SHARPNESS for each in log_p]
        risk = sum(w * c for w, c in zip(power, costs[number], strict=True)) / sum(power)
        assert float(found[number].detach()) == pytest.approx(risk, abs=1e-12)
        for each, w, c in zip(log_p, power, costs[number], strict=True):
            surrogate = surrogate + SHARPNESS * w / sum(power) * (c - risk) * each
    expected = gradients(surrogate, model)
    for name, gradient in gradients(found.sum(), model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-7, atol=1e-10)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-4


def toy() -> tuple[Any, Batch]:
    """A small model of real pieces, and sentences for it."""
    torch.manual_seed(1)
    sizes = {"embedding_size": 16, "hidden_size": 16, "encoder_hidden_size": 8, "dropout": 0.0}
    options = parse("model", {**_plain(), **sizes})
    model = build.translation_model(options, len(TOKENIZER), len(TOKENIZER))
    sources, targets = zip(*PAIRS[:8], strict=True)
    return model, batch_of(TOKENIZER.encode(sources), TOKENIZER.encode(targets))


def _plain() -> dict[str, Any]:
    return plain_model({**DEFAULT, "embedding_size": 4})


def minimum_risk(samples: int = 12, sharpness: float = 0.05, metric: str = "chrf") -> MinimumRisk:
    limits = Limits(TOKENIZER.forbidden(), 24, 2.0)
    return MinimumRisk(TOKENIZER, sentence_metric(metric, "13a"), limits, samples, sharpness)


def trained(model: Any, batch: Batch, loss: Any, updates: int, rate: float) -> list[Loss]:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    found = []
    model.train()
    for _ in range(updates):
        found.append(loss(model, batch))
        optimizer.zero_grad()
        (found[-1].total / found[-1].tokens).backward()
        optimizer.step()
    return found


def cost_of_samples(model: Any, batch: Batch) -> float:
    """The mean cost of what the model says itself, repeated and unfinished ones and all."""
    risk, count = minimum_risk(), 12
    sources = [row[row != PAD].tolist() for row in batch.source]
    references = [TOKENIZER.decode(row.tolist()) for row in batch.targets]
    stepper = ModelStepper(model, CPU, keep_attention=False)
    drawn = sample(
        stepper, sources, risk.limits, Ranking("none"), Sampling(), count, [[n] for n in range(len(sources))]
    )
    costs = [
        1 - risk.metric(TOKENIZER.decode(hypothesis.tokens), reference) / 100
        for reference, of_sentence in zip(references, drawn, strict=True)
        for hypothesis in of_sentence
    ]
    return sum(costs) / len(costs)


def test_the_risk_of_a_trained_model_falls() -> None:
    model, batch = toy()
    trained(model, batch, TranslationLoss(), 40, 0.02)
    before = cost_of_samples(model, batch)
    losses = trained(model, batch, minimum_risk(8, sharpness=0.5), 24, 0.005)
    after = cost_of_samples(model, batch)
    assert before > 0.2
    assert after < 0.9 * before
    assert all(0 <= float(loss.total.detach()) <= len(batch.source) for loss in losses)


def test_candidates_are_the_reference_and_distinct_samples() -> None:
    model, batch = toy()
    trained(model, batch, TranslationLoss(), 40, 0.02)
    risk = dataclasses.replace(minimum_risk(samples=30), limits=Limits(TOKENIZER.forbidden(), 9, 2.0))
    model.train()
    torch.manual_seed(3)
    first = risk.candidates(model, batch)
    assert model.training
    for candidates, target in zip(first, batch.targets, strict=True):
        assert list(candidates[0]) == target[target != PAD].tolist()
        assert len(set(map(tuple, candidates))) == len(candidates) <= 31
        assert all(EOS not in tokens[:-1] and not {BOS, PAD} & set(tokens) for tokens in candidates)
    assert max(map(len, first)) > 5
    assert any(tokens[-1] != EOS for candidates in first for tokens in candidates)  # the limits are narrow
    torch.manual_seed(3)
    assert risk.candidates(model, batch) == first  # as a run that goes on draws them
    torch.manual_seed(4)
    assert risk.candidates(model, batch) != first


def test_candidates_are_drawn_without_dropout() -> None:
    (model, batch), found = toy(), []
    for p in (0.5, 0.0):
        set_dropout(model, p)
        torch.manual_seed(3)
        found.append(minimum_risk(samples=2).candidates(model.train(), batch))
        assert model.training
    assert found[0] == found[1]


def test_candidates_come_as_often_as_the_model_says() -> None:
    model, source, count = build_model(DEFAULT), [4, 5, 3], 1000
    batch = batch_of([source] * count, [[4, 4, EOS]] * count)
    risk = dataclasses.replace(minimum_risk(samples=1), limits=Limits([PAD, BOS], 1, 2.0))
    found = torch.tensor([drawn[0] for _, drawn in risk.candidates(model, batch)]).bincount(minlength=VOCAB) / count
    log_p = torch.stack([log_p_one_by_one(model, source, [token]).detach() for token in range(VOCAB)])
    log_p[[PAD, BOS]] = -math.inf
    torch.testing.assert_close(found, log_p.softmax(-1).float(), rtol=0, atol=0.04)


def test_costs_are_of_the_text() -> None:
    target = "die Katze sieht dich ."
    candidates = TOKENIZER.encode([target, "die Katze mag dich .", "ein Hund"])
    for metric in ("bleu", "chrf"):
        costs = minimum_risk(metric=metric)._costs(candidates)
        assert costs[0] == pytest.approx(0)
        assert 0 < costs[1] < costs[2] <= 1


def test_the_likelihood_of_the_references_is_told() -> None:
    model, batch = toy()
    found = minimum_risk(samples=2)(model.eval(), batch)
    torch.testing.assert_close(found.terms["nll"], TranslationLoss()(model, batch).terms["nll"])
    assert found.tokens == batch.tokens


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_reach_the_weights_under_autocast(dtype: torch.dtype) -> None:
    """Sampling must not leave copies of the weights behind that have none."""
    model, batch = toy()
    with torch.autocast("cpu", dtype):
        loss = minimum_risk()(model.train(), batch)
    assert loss.total.dtype is loss.terms["nll"].dtype is torch.float32
    loss.total.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.output.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("training", "model", "message"),
    [
        ({"risk_samples": 5}, {}, "training.risk_samples=5 and training.loss=cross_entropy"),
        ({"loss": "minimum_risk"}, {"name": "reinforce"}, "normaliser=reinforce and training.loss=minimum_risk"),
        ({"r_drop": 1.0}, {"name": "reinforce"}, "normaliser=reinforce and training.r_drop=1.0"),
        ({"r_drop": 1.0}, {}, "r_drop=1.0 and model.dropout=0: both passes would be the same"),
        ({"loss": "minimum_risk", "r_drop": 1.0}, {}, "r_drop=1.0 and training.loss=minimum_risk"),
        ({"loss": "minimum_risk", "guided_alignment": 0.2}, {}, "guided_alignment=0.2 and training.loss=minimum_risk"),
    ],
)
def test_impossible_pairs_are_refused(training: dict[str, Any], model: dict[str, Any], message: str) -> None:
    data = {"train": "t", "valid": "v", "source_lang": "en", "target_lang": "de", "alignments": "a"}
    options = _plain()
    options["attention"]["normaliser"] = model or options["attention"]["normaliser"]
    with pytest.raises(ConfigError, match=message):
        parse("train", {"data": data, "model": options, "training": training})
