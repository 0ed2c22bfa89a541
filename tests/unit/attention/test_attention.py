"""What holds for every attention: the whole product of score, window, normaliser and heads."""

import pytest
import torch
from support.variants import (
    MEMORY_SIZE,
    Row,
    assert_close,
    attention_inputs,
    attention_rows,
    build_attention,
    gradients,
    label,
    numbers,
    run_attention,
)
from torch import Tensor

from seq2seq.attention import window
from seq2seq.attention.attention import Attention, AttentionOutput, Heads
from seq2seq.attention.positions import Rotary

ROWS = attention_rows()
every_attention = pytest.mark.parametrize("row", ROWS, ids=label)


def attended(attention: Attention, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """context [b t m], dense weights [b h t s]."""
    seen = run_attention(attention, inputs)
    return AttentionOutput.concatenate(seen).context, torch.cat([s.to_dense(inputs[1].size(1)) for s in seen], 2)


def same(actual: Tensor, expected: Tensor) -> None:
    assert_close(actual, expected, 1e-10, 1e-12)


@every_attention
def test_padding_changes_nothing(row: Row) -> None:
    attention = build_attention(row)
    query, states, lengths, positions = attention_inputs()
    context, weights = attended(attention, (query, states, lengths, positions))
    garbage = states.clone()
    for b, length in enumerate(lengths.tolist()):
        garbage[b, length:] = 1e6 * (-1) ** b
    longer = torch.cat([garbage, torch.full((3, 2, states.size(2)), -1e6, dtype=states.dtype)], 1)
    context_longer, weights_longer = attended(attention, (query, longer, lengths, positions))
    same(context_longer, context)
    same(weights_longer[..., : states.size(1)], weights)
    assert (weights_longer[..., states.size(1) :] == 0).all()


@every_attention
def test_batch_is_single_sentences(row: Row) -> None:
    attention = build_attention(row)
    query, states, lengths, positions = attention_inputs()
    context, weights = attended(attention, (query, states, lengths, positions))
    for b, length in enumerate(lengths.tolist()):
        one = slice(b, b + 1)
        alone = attended(attention, (query[one], states[one, :length], lengths[one], positions[one]))
        same(alone[0], context[one])
        same(alone[1], weights[one, ..., :length])


@every_attention
def test_steps_together_are_steps_apart(row: Row) -> None:
    attention = build_attention(row)
    query, states, lengths, positions = attention_inputs()
    if attention.uses_coverage:
        memory = attention.prepare(states, states, lengths)
        coverage = attention.initial_coverage(memory)
        assert coverage is not None
        total = torch.zeros_like(coverage)
        for t in range(3):
            step = attention(query[:, t : t + 1], memory, positions[:, t : t + 1], coverage=coverage)
            total = total + step.to_dense(states.size(1)).sum(2)
            coverage = step.coverage
            same(coverage, total)
        return
    context, weights = attended(attention, (query, states, lengths, positions))
    for t in range(3):
        now = slice(t, t + 1)
        one = attended(attention, (query[:, now], states, lengths, positions[:, now]))
        same(one[0], context[:, now])
        same(one[1], weights[:, :, now])


@every_attention
def test_weights_are_weights(row: Row) -> None:
    attention = build_attention(row)
    query, states, lengths, positions = attention_inputs()
    seen = run_attention(attention, (query, states, lengths, positions))
    weights = torch.cat([s.to_dense(states.size(1)) for s in seen], 2)
    assert weights.shape == (3, row["heads"], 3, 6)
    assert (weights >= 0).all()
    total = weights.sum(-1)
    assert (total > 0).all(), "a window is never empty"
    if row["normaliser"] in ("hard", "gumbel", "reinforce"):
        assert ((weights == 0) | (weights == 1)).all()
        assert (total == 1).all()
    elif row["window"] == "local_p":
        assert (total <= 1 + 1e-12).all()
    else:
        same(total, torch.ones_like(total))


@every_attention
def test_invisible_positions_get_exactly_zero(row: Row) -> None:
    attention = build_attention(row)
    query, states, lengths, positions = attention_inputs()
    seen = run_attention(attention, (query, states, lengths, positions))
    weights = torch.cat([s.to_dense(states.size(1)) for s in seen], 2)
    reach = [min(n, 4) if row["score"] == "location" else n for n in lengths.tolist()]
    for b in range(3):
        assert (weights[b, ..., reach[b] :] == 0).all()
        if row["window"] == "local_m":
            for t in range(3):
                centre = min(int(positions[b, t]), reach[b] - 1)
                far = [i for i in range(reach[b]) if abs(i - centre) > 2]
                assert (weights[b, :, t, far] == 0).all()
    if row["window"].startswith("local"):
        assert ((weights != 0).sum(-1) <= 5).all(), "2D + 1"


@pytest.mark.parametrize("training", [False, True])
@every_attention
def test_gradients_are_finite(row: Row, training: bool) -> None:
    attention = build_attention(row).train(training)
    query, states, lengths, positions = attention_inputs()
    query.requires_grad_()
    states.requires_grad_()
    seen = AttentionOutput.concatenate(run_attention(attention, (query, states, lengths, positions)))
    loss = seen.context.square().sum()
    if seen.log_prob is not None and seen.entropy is not None:
        loss = loss + seen.log_prob.sum() + seen.entropy.sum()
    found = gradients(loss, attention, query, states)
    assert all(gradient.isfinite().all() for gradient in found.values())
    for b, length in enumerate(lengths.tolist()):
        assert (found["input 1"][b, length:] == 0).all(), "nothing flows into padding"
    assert found["input 1"].any()


@pytest.mark.parametrize("row", [row for row in ROWS if row["window"].startswith("local")], ids=label)
def test_a_window_gathers_what_it_sees_or_hides_the_rest(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for widths in (0, 2):
        monkeypatch.setattr(window, "WIDTHS", widths)
        monkeypatch.setattr(window, "WIDTHS_AT_ONCE", widths)
        attention = build_attention(row)
        inputs = attention_inputs()
        inputs[1].requires_grad_()
        seen = AttentionOutput.concatenate(run_attention(attention, inputs))
        assert (seen.index is None) == (widths == 2)
        spans = attention.spans(seen, inputs[2])
        assert spans is not None
        dense = seen.to_dense(inputs[1].size(1))
        assert dense is not None
        found.append(
            [seen.context, dense, *spans, *gradients(seen.context.square().sum(), attention, inputs[1]).values()]
        )
    for gathered, in_order in zip(*found, strict=True):
        same(in_order, gathered)


@every_attention
def test_the_memory_follows_its_rows(row: Row) -> None:
    attention = build_attention(row)
    query, states, lengths, positions = attention_inputs()
    rows = torch.tensor([2, 0, 0])
    memory = attention.prepare(states, states, lengths)
    now = slice(0, 1)
    whole = attention(query[:, now], memory, positions[:, now], coverage=attention.initial_coverage(memory))
    chosen = memory.select(rows)
    some = attention(query[rows, now], chosen, positions[rows, now], coverage=attention.initial_coverage(chosen))
    # Not torch.equal: on some CPUs a product rounds by the row's place in the batch.
    torch.testing.assert_close(some.context, whole.context[rows], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(some.to_dense(6), whole.to_dense(6)[rows], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("turned", [False, True], ids=["plain", "rotary"])
@every_attention
def test_a_causal_memory_that_grows_is_the_whole_one(row: Row, turned: bool) -> None:
    """Positions attend to those up to themselves: all at once, and one step after the other with an appended memory."""
    memory_size = 8 if turned else MEMORY_SIZE  # the heads that are turned have an even size
    made = build_attention(row, memory_size, memory_size)
    parts = made.heads, made.score, made.window, made.normaliser
    attention = Attention(*parts, rotary=Rotary() if turned else None, parallel=turned).eval()
    _, states, lengths, _ = attention_inputs(memory_size=memory_size)
    size = states.size(1)
    steps = torch.arange(size).expand(3, -1)
    rows = torch.tensor([2, 0, 0])
    whole_memory = attention.prepare(states, states, torch.full((3,), size), causal=True)
    assert whole_memory.extent(steps).tolist() == [[1, 2, 3, 4, 5, 6]] * 3
    assert attention.prepare(states, states, lengths).extent(steps).tolist() == [[6] * 6, [1] * 6, [3] * 6]
    one = torch.ones(3, dtype=torch.long)
    memory, seen = attention.prepare(states[:, :0], states[:, :0], 0 * one, causal=True), []
    for place in range(size):
        now = slice(place, place + 1)
        new = attention.prepare(states[:, now], states[:, now], one, causal=True, first=place)
        memory = memory.append(new)
        seen.append(attention(states[:, now], memory, steps[:, now], coverage=attention.initial_coverage(memory)))
    same(memory.keys, whole_memory.keys)
    some = memory.select(rows)
    last = attention(states[rows, -1:], some, steps[:, -1:], coverage=attention.initial_coverage(some))
    same(last.context, seen[-1].context[rows])
    if attention.uses_coverage:
        return
    whole = attention(states, whole_memory, steps)
    same(torch.cat([step.context for step in seen], 1), whole.context)
    same(attention(states, whole_memory, steps, need_weights=False).context, whole.context)
    if turned and row["score"].startswith(("dot", "scaled_dot", "cosine")) and row["window"] == "global":
        memories = (attention.prepare(states, states, lengths, first=first) for first in (0, 7))
        now, later = (attention(states, memory, steps + n) for memory, n in zip(memories, (0, 7), strict=True))
        same(later.context, now.context)  # products tell distances alone
    blind = row["score"] in ("linear", "key", "location")  # which see no query, or no key, whose distance would tell
    if turned and not blind and row["normaliser"] == "softmax" and row["window"] != "local_m":
        plain = Attention(*parts).eval()
        unturned = plain(states, plain.prepare(states, states, torch.full((3,), size), causal=True), steps)
        assert not torch.allclose(unturned.context, whole.context)
    for place, step in enumerate(seen):
        dense, width = whole.to_dense(size)[:, :, place : place + 1], place + 1
        same(step.to_dense(width), dense[..., :width])
        assert (dense[..., width:] == 0).all()


@every_attention
def test_weights_are_left_out_where_nobody_needs_them(row: Row) -> None:
    attention = build_attention(row)
    query, states, lengths, positions = attention_inputs()
    memory, now = attention.prepare(states, states, lengths), slice(0, 1)
    given = query[:, now], memory, positions[:, now]
    coverage = attention.initial_coverage(memory)
    full = attention(*given, coverage=coverage)
    bare = attention(*given, coverage=coverage, need_weights=False)
    assert bare.weights is None
    assert torch.equal(bare.context, full.context)
    assert coverage is None or torch.equal(bare.coverage, full.coverage)


@pytest.mark.parametrize("heads", [1, 2])
def test_heads_project_if_asked_to_other_sizes_too(heads: int) -> None:
    layer = Heads(heads, 5, 6, 8, project=True, output_size=7).double()
    query, keys, values = numbers(2, 3, 5), numbers(2, 4, 6), numbers(2, 4, 8)
    assert layer.split_query(query).shape == (2, heads, 3, 6 // heads)
    assert [tuple(x.shape) for x in layer.split_memory(keys, values)] == [
        (2, heads, 4, 6 // heads),
        (2, heads, 4, 8 // heads),
    ]
    assert layer.merge(numbers(2, heads, 3, 8 // heads)).shape == (2, 3, 7)
    with pytest.raises(AssertionError):
        Heads(2, 6, 6, 6, project=False, output_size=6)


def test_counts() -> None:
    assert len(ROWS) == 504
