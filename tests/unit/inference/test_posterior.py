"""The posterior attention of a batch against a loop over sentences, steps and positions, over the covering array."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.searches import SOURCES
from support.variants import build_model, label, pairwise_rows
from torch import Tensor

from seq2seq.inference.forced_scores import force_tokens
from seq2seq.model.protocol import Source
from seq2seq.model.translation import TranslationModel
from seq2seq.text.tokenizer import BOS

TARGETS = [[5, 4, 3], [4, 7, 7, 8, 3], [3], [6, 5]]
ROWS = [row for row in pairwise_rows() if row["placement"] not in ("none", "none-fed")]


def all_equal(source: Source, layer: int, position: int) -> Source:
    """A source whose words all have the value of one word, which any weights with the sum 1 give as the context."""
    memories = list(source.memories)
    values = memories[layer].values
    memories[layer] = replace(memories[layer], values=values[:, :, position : position + 1].expand_as(values))
    return replace(source, memories=tuple(memories))


def one_by_one(model: TranslationModel, words: list[int], target: list[int]) -> tuple[Tensor, Tensor]:
    """Prior and posterior [t s] of one pair, by Bayes' rule."""
    tokens = torch.tensor([words])
    source, state = model.encode(tokens, torch.tensor([len(words)]))
    priors, posteriors = [], []
    for before, token in zip([BOS, *target[:-1]], target, strict=True):
        given = torch.tensor([before])
        _, attended, following = model.step(given, source, state)
        weights = attended.to_dense(len(words))
        assert weights is not None
        prior = weights.mean(1)[0, 0].tolist()
        joint = []
        for i, weight in enumerate(prior):
            log_probs, _, _ = model.step(given, all_equal(source, model.decoder.alignment_layer, i), state)
            joint.append(weight * math.exp(log_probs[0, token].item()))
        priors.append(prior)
        posteriors.append([each / sum(joint) for each in joint])
        state = following
    return torch.tensor(priors, dtype=torch.float64), torch.tensor(posteriors, dtype=torch.float64)


def sums_to_1(weights: Tensor) -> bool:
    return torch.allclose(weights.sum(-1), weights.new_ones(()), atol=1e-5)


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize("row", ROWS, ids=label)
def test_batches_give_what_a_loop_gives(row: dict[str, Any], *, top: bool) -> None:
    model = build_model(row)
    model.choose_layer(model.decoder.attention_layers if top else 1)
    with torch.inference_mode():
        found = force_tokens(model, SOURCES[:4], TARGETS, 64, attention="posterior")
        expected = [one_by_one(model, words, target) for words, target in zip(SOURCES, TARGETS, strict=False)]
    for (_, actual), (prior, posterior) in zip(found, expected, strict=True):
        assert actual is not None
        if not sums_to_1(prior):  # the loop is right only for weights with the sum 1: not for those of local_p
            assert actual[0].sum(-1).tolist() == pytest.approx([1] * len(prior))
            continue
        torch.testing.assert_close(actual[0].double(), posterior, rtol=1e-5, atol=1e-6)


def test_most_attentions_have_weights_with_the_sum_1_and_another_posterior_than_prior() -> None:
    ones = different = 0
    for row in ROWS:
        prior, posterior = one_by_one(build_model(row), SOURCES[0], TARGETS[0])
        ones += sums_to_1(prior)
        different += not torch.allclose(prior, posterior, atol=1e-3)
    assert ones > 0.6 * len(ROWS)
    assert different > 0.5 * len(ROWS)


def test_scores_are_the_same_as_with_the_prior() -> None:
    model = build_model(ROWS[0])
    expected, found = (force_tokens(model, SOURCES[:4], TARGETS, 64, attention=kind) for kind in ("prior", "posterior"))
    assert [scores for scores, _ in found] == [scores for scores, _ in expected]
