"""Attention agrees with the papers' loops: the whole product of score, window, normaliser and heads, forward and
gradient, on a padded batch, against each sentence alone."""

import pytest
import torch
from reference.attention import AttentionOutput as Reference
from reference.attention import attend
from reference.parameters import parameters_of
from support.variants import (
    Row,
    assert_same,
    attention_inputs,
    attention_options,
    attention_rows,
    build_attention,
    gradients,
    label,
    mixed,
    run_attention,
)
from torch import Tensor

from seq2seq import config
from seq2seq.attention.attention import Attention, AttentionOutput
from seq2seq.attention.normaliser import gumbel_noise

ROWS = attention_rows()
DRAWN = [row for row in ROWS if row["normaliser"] in ("gumbel", "reinforce")]


def run_reference(
    options: config.Attention, attention: Attention, inputs: tuple[Tensor, ...], noise: Tensor | None
) -> list[list[Reference]]:
    """The reference on each sentence and each step alone: [sentence][step]."""
    query, states, lengths, positions = inputs
    p = parameters_of(attention)
    found = []
    for b, length in enumerate(lengths.tolist()):
        sentence, coverage, steps = list(states[b, :length]), None, []
        if attention.uses_coverage:
            coverage = [torch.zeros(length, dtype=states.dtype)] * options.heads
        for t in range(query.size(1)):
            step_noise = None if noise is None else list(noise[b, :, t])
            step = attend(options, p, query[b, t], sentence, int(positions[b, t]), coverage=coverage, noise=step_noise)
            coverage = None if coverage is None else step.coverage
            steps.append(step)
        found.append(steps)
    return found


def outputs(seen: list[AttentionOutput], source_size: int) -> list[Tensor]:
    """context [b t m], weights [b h t s], log_prob and entropy [b t] where there are any, coverage [b h s] if used."""
    whole = AttentionOutput.concatenate(seen)
    dense = [step.to_dense(source_size) for step in seen]
    found = [whole.context, torch.cat(dense, 2), whole.log_prob, whole.entropy, whole.coverage]
    return [x for x in found if x is not None]


def reference_outputs(seen: list[list[Reference]], source_size: int, *, coverage: bool) -> list[Tensor]:
    """The same, zeros beyond each sentence."""

    def pad(x: Tensor) -> Tensor:
        return torch.cat([x, x.new_zeros(source_size - len(x))])

    context = torch.stack([torch.stack([step.context for step in steps]) for steps in seen])
    weights = torch.stack([torch.stack([torch.stack([pad(w) for w in s.weights]) for s in steps], 1) for steps in seen])
    found = [context, weights]
    for name in ("log_prob", "entropy"):
        if getattr(seen[0][0], name) is not None:
            found.append(torch.stack([torch.stack([getattr(s, name) for s in steps]) for steps in seen]))
    if coverage:
        found.append(torch.stack([torch.stack([pad(c) for c in steps[-1].coverage]) for steps in seen]))
    return found


def compare(row: Row, sizes: tuple[int, int] | None = None, *, training: bool) -> None:
    """Forward and gradients of the module and the reference."""
    sizes = sizes or ()
    options, attention = attention_options(row), build_attention(row, *sizes).train(training)
    query, states, lengths, positions = attention_inputs(*sizes)
    inputs = (query.requires_grad_(), states.requires_grad_(), lengths, positions)
    noise = gumbel_noise(query.new_empty(3, row["heads"], 3, states.size(1))) if training else None
    actual = outputs(run_attention(attention, inputs, noise), states.size(1))
    expected = reference_outputs(
        run_reference(options, attention, inputs, noise), states.size(1), coverage=attention.uses_coverage
    )
    assert_same(dict(enumerate(actual)), dict(enumerate(expected)))
    assert_same(
        gradients(mixed(actual), attention, query, states), gradients(mixed(expected), attention, query, states)
    )


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_attention_is_the_papers(row: Row) -> None:
    compare(row, training=False)


@pytest.mark.parametrize("row", DRAWN, ids=label)
def test_drawn_attention_is_the_papers_given_the_noise(row: Row) -> None:
    compare(row, training=True)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("score", ["dot", "scaled_dot", "cosine"])
def test_keys_of_the_querys_size_are_not_projected(score: str, heads: int) -> None:
    row = {"score": score, "window": "global", "normaliser": "softmax", "heads": heads}
    assert not any(name.startswith("score.match") for name in parameters_of(build_attention(row, 4, 4)))
    compare(row, (4, 4), training=False)


def test_counts() -> None:
    assert len(ROWS) == 504  # 14 scores with their switches x 3 windows x 6 normalisers x 2 heads
    assert len(DRAWN) == 168
    assert len({label({**row, "score": row["score"].split("-")[0]}) for row in ROWS}) == 10 * 3 * 6 * 2
